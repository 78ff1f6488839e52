//! Errors as AWS's JSON protocol has them: `__type` and `message`, with status 400, or 500 for the server's own.

use modelkeep_core::{content, name::InvalidName};
use modelkeep_store::UploadError;
use serde_json::{Map, Value, json};

use super::AMZ_JSON;
use crate::{
    access::{Denial, SignatureFault, Unsigned},
    http::{ReplyBody, Response, Status},
    reply::{Fault, chain},
};

/// An error of the API.
#[derive(Debug)]
pub(crate) struct ApiError {
    kind: &'static str,
    status: Status,
    message: String,
    /// Members besides the message.
    members: Map<String, Value>,
    /// For the log alone.
    detail: Option<String>,
}

impl ApiError {
    /// The error of this name, as the service model has it.
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: Status::BAD_REQUEST,
            message: message.into(),
            members: Map::new(),
            detail: None,
        }
    }

    /// A parameter that is not what it must be.
    pub(super) fn parameter(name: &str, constraint: impl std::fmt::Display) -> Self {
        let message = format!("Invalid parameter at '{name}' failed to satisfy constraint: '{constraint}'");
        Self::new("InvalidParameterException", message)
    }

    /// 500: the client hears nothing of why.
    fn internal(detail: Option<String>) -> Self {
        let message = "internal error: the log of the registry has more, under the id of this request";
        Self {
            status: Status::INTERNAL_ERROR,
            detail,
            ..Self::new("ServerException", message)
        }
    }

    pub(super) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Whether it is the error of this name.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// The answer, and what the log is to have besides.
    pub(crate) fn answer(self) -> (Response, Option<String>) {
        let mut body = json!({ "__type": self.kind, "message": self.message });
        if let Value::Object(members) = &mut body {
            members.extend(self.members);
        }
        let response = Response::new(self.status)
            .field("Content-Type", AMZ_JSON)
            .field("X-Amzn-ErrorType", self.kind)
            .body(ReplyBody::Owned(body.to_string().into_bytes()));
        let detail = self.detail.unwrap_or(self.message);
        (response, Some(format!("{}: {detail}", self.kind)))
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl From<Fault> for ApiError {
    /// What the parts that all protocols share found.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Api(error) => *error,
            Fault::Denied(denial) => denial.into(),
            refused @ Fault::Refused(_) => {
                let (response, detail) = refused.answer();
                let said = || detail.clone().unwrap_or_default();
                match response.status() {
                    Status::UNAVAILABLE => {
                        Self::new("ServiceUnavailableException", said()).status(Status::UNAVAILABLE)
                    }
                    Status::INSUFFICIENT_STORAGE => Self {
                        detail: detail.clone(),
                        ..Self::new("ServerException", "the disk of this registry is full")
                            .status(Status::INTERNAL_ERROR)
                    },
                    Status::INTERNAL_ERROR => Self::internal(detail),
                    // A history that is signed: no leave that the registry gives would help.
                    Status::CONFLICT => Self::new("AccessDeniedException", said()),
                    Status::CONTENT_TOO_LARGE => {
                        Self::new("RequestEntityTooLargeException", said()).status(Status::CONTENT_TOO_LARGE)
                    }
                    _ => Self::new("InvalidParameterException", said()),
                }
            }
        }
    }
}

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::TooManyRequests { seconds } => Self::new(
                "ThrottlingException",
                format!("Rate exceeded: come back in {seconds} s"),
            ),
            Denial::Forbidden { .. } | Denial::Unauthenticated { .. } => Self::new(
                "AccessDeniedException",
                "without accounts this server takes requests of programs on its own machine only",
            ),
        }
    }
}

impl From<Unsigned> for ApiError {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::Denied(denial) => denial.into(),
            Unsigned::Signature(SignatureFault::Missing) => Self::new(
                "MissingAuthenticationTokenException",
                "Request is missing Authentication Token",
            ),
            Unsigned::Signature(SignatureFault::Incomplete(what)) => {
                Self::new("IncompleteSignatureException", what)
            }
            Unsigned::Signature(SignatureFault::Invalid(what)) => {
                Self::new("InvalidSignatureException", what)
            }
            Unsigned::Signature(SignatureFault::UnknownKey) => Self::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ),
        }
    }
}

impl From<content::Error> for ApiError {
    fn from(error: content::Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Gone => Self::new("UploadNotFoundException", error.to_string()),
            UploadError::Digest { .. } => Self::new("InvalidLayerException", error.to_string()),
            other => Fault::from(other).into(),
        }
    }
}

impl From<InvalidName> for ApiError {
    fn from(error: InvalidName) -> Self {
        Self::new("InvalidParameterException", chain(&error))
    }
}
