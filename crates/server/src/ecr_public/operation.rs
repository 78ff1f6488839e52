//! The operations, by the names of the service model.

use super::{
    ApiError, Call, authorization, delete_images, images, layers, put_image, registries, repositories,
};
use super::{catalog_data, policies, resource_tags};
use crate::http::Request;

/// Before the operation's name in `X-Amz-Target`.
const SERVICE: &str = "SpencerFrontendService";

macro_rules! operations {
    ($($name:ident => $($perform:ident)::+,)*) => {
        /// What a request wants done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)*
        }

        impl Operation {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name, for answers, counters and logs.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Does it, and gives the answer's JSON.
            pub(super) fn perform(self, call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
                match self {
                    $(Self::$name => $($perform)::+(call),)*
                }
            }
        }
    };
}

operations! {
    BatchCheckLayerAvailability => layers::check,
    BatchDeleteImage => delete_images::delete,
    CompleteLayerUpload => layers::complete,
    CreateRepository => repositories::create,
    DeleteRepository => repositories::delete,
    DeleteRepositoryPolicy => policies::delete,
    DescribeImageTags => images::describe_tags,
    DescribeImages => images::describe,
    DescribeRegistries => registries::describe,
    DescribeRepositories => repositories::describe,
    GetAuthorizationToken => authorization::get_token,
    GetRegistryCatalogData => registries::get_catalog_data,
    GetRepositoryCatalogData => catalog_data::get,
    GetRepositoryPolicy => policies::get,
    InitiateLayerUpload => layers::initiate,
    ListTagsForResource => resource_tags::list,
    PutImage => put_image::put,
    PutImageTagMutability => repositories::put_mutability,
    PutRegistryCatalogData => registries::put_catalog_data,
    PutRepositoryCatalogData => catalog_data::put,
    SetRepositoryPolicy => policies::set,
    TagResource => resource_tags::tag,
    UntagResource => resource_tags::untag,
    UploadLayerPart => layers::upload_part,
}

impl Operation {
    /// The operation that a request names.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, ApiError> {
        let target = request.header("x-amz-target").unwrap_or_default();
        let named = match target.split_once('.') {
            Some((SERVICE, name)) => Self::named(name),
            _ => None,
        };
        named.ok_or_else(|| {
            let message = "X-Amz-Target names no operation of ECR Public";
            ApiError::new("UnknownOperationException", message)
        })
    }

    /// The longest body that it takes.
    pub(super) fn most_bytes(self) -> u64 {
        match self {
            // 20,971,520 bytes in base64, and the rest.
            Self::UploadLayerPart => 28 << 20,
            // 4 MiB of text as a JSON string, whose quotes and ends of lines are two bytes each.
            Self::PutImage => 8 << 20,
            // A logo of 512,000 bytes in base64, and two texts of 25,600 characters.
            Self::CreateRepository | Self::PutRepositoryCatalogData => 2 << 20,
            _ => 256 << 10,
        }
    }
}
