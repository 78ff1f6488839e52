use std::{collections::BTreeMap, future::Future};

use modelkeep_core::{
    Mutability,
    repositories::{Catalog, Deletion, Images},
};

use super::super::Error;

/// What AWS says of a repository.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) arn: String,
    pub(super) registry_id: Option<String>,
    pub(super) uri: String,
    pub(super) created_at: Option<String>,
    /// `None` where the registry has no such thing.
    pub(super) mutability: Option<Mutability>,
}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// What [`Repositories`](super::Repositories) needs of the API of ECR or of ECR Public, which are one but for details.
///
/// Names of errors are AWS's: what is not there comes as [`Error::Refused`].
pub(super) trait Api {
    /// `DescribeRepositories`
    fn describe(&self, name: &str) -> impl Future<Output = Result<Described>>;

    /// `GetRepositoryCatalogData`
    fn catalog(&self, name: &str) -> impl Future<Output = Result<Catalog>>;

    /// `ListTagsForResource`
    fn tags(&self, arn: &str) -> impl Future<Output = Result<BTreeMap<String, String>>>;

    /// `GetRepositoryPolicy`
    fn policy(&self, name: &str) -> impl Future<Output = Result<String>>;

    /// The first page of `DescribeImages`.
    fn images(&self, name: &str) -> impl Future<Output = Result<Images>>;

    /// `CreateRepository`
    fn create(
        &self,
        name: &str,
        mutability: &Mutability,
        catalog: &Catalog,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<()>>;

    /// `PutImageTagMutability`
    fn put_mutability(&self, name: &str, mutability: &Mutability) -> impl Future<Output = Result<()>>;

    /// `PutRepositoryCatalogData`
    fn put_catalog(&self, name: &str, catalog: &Catalog) -> impl Future<Output = Result<()>>;

    /// `TagResource`
    fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> impl Future<Output = Result<()>>;

    /// `UntagResource`
    fn untag(&self, arn: &str, keys: Vec<String>) -> impl Future<Output = Result<()>>;

    /// `SetRepositoryPolicy`
    fn set_policy(&self, name: &str, text: &str) -> impl Future<Output = Result<()>>;

    /// `DeleteRepositoryPolicy`
    fn delete_policy(&self, name: &str) -> impl Future<Output = Result<()>>;

    /// `DeleteRepository`
    fn delete(&self, name: &str, deletion: Deletion) -> impl Future<Output = Result<()>>;
}

/// An answer without something that the API promises.
pub(super) fn missing(action: &str, what: &str) -> Error {
    Error::Protocol {
        action: action.to_owned(),
        reason: format!("the answer has no {what}"),
    }
}

/// How many images a page shows.
pub(super) fn counted(page: usize, goes_on: bool) -> Images {
    let count = page as u64;
    match (count, goes_on) {
        (_, false) => Images::Exactly(count),
        // A page may be empty, and another follow.
        (_, true) => Images::AtLeast(count.max(1)),
    }
}
