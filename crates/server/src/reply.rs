//! What goes wrong, as the client is told it: status, code and message of the specification ("Error Codes"). What
//! only the log may know stays apart.

use std::{borrow::Cow, error::Error as StdError, io};

use modelkeep_core::content;
use modelkeep_ledger::{
    AcceptError, AliasError, DeleteError, NoteError, PublishError, Refused, TagError, YankError,
};
use modelkeep_store::UploadError;

use crate::{
    access::Denial,
    ecr_public::ApiError,
    http::{BodyFault, Response, Status},
    pushed::Refusal as PushRefusal,
    route::NoRoute,
};

/// Why a request is not done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Access control answers.
    Denied(Denial),
    /// An answer of its own.
    Refused(Box<Refusal>),
    /// An answer of the ECR Public API.
    Api(Box<ApiError>),
}

/// A refusal and its private part.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: Status,
    code: &'static str,
    message: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
    detail: Option<String>,
}

impl Fault {
    pub(crate) fn new(status: Status, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(Box::new(Refusal {
            status,
            code,
            message: message.into(),
            fields: Vec::new(),
            detail: None,
        }))
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::BAD_REQUEST, code, message)
    }

    pub(crate) fn missing(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::NOT_FOUND, code, message)
    }

    /// 405: it exists and stays.
    pub(crate) fn stays(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::METHOD_NOT_ALLOWED, "DENIED", message).field("Allow", "GET, HEAD, PUT")
    }

    /// 507: what is here stays readable, and nothing new is begun.
    pub(crate) fn full() -> Self {
        let message = "the disk of this registry is full: nothing new can be taken until there is room";
        Self::new(Status::INSUFFICIENT_STORAGE, "DENIED", message)
    }

    /// 503: the same request may go through later.
    pub(crate) fn busy(message: &'static str) -> Self {
        Self::new(Status::UNAVAILABLE, "TOOMANYREQUESTS", message).field("Retry-After", "2")
    }

    /// 500: the client hears nothing of why.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let message = "internal error: the log of the registry has more, under the id of this request";
        Self::new(Status::INTERNAL_ERROR, "UNKNOWN", message).detail(detail.into())
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.fields.push((name, value.into()));
        }
        self
    }

    fn detail(mut self, detail: String) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.detail = Some(detail);
        }
        self
    }

    /// A fault of a body that was not taken whole.
    pub(crate) fn body(code: &'static str, error: &io::Error) -> Self {
        match BodyFault::of(error) {
            Some(BodyFault::TooLong) => Self::new(
                Status::CONTENT_TOO_LARGE,
                "SIZE_INVALID",
                "the request body is too large",
            ),
            Some(fault) => Self::new(fault.status(), code, fault.to_string()),
            None => Self::bad(code, "the request body did not arrive").detail(error.to_string()),
        }
    }

    /// The answer, and what the log is to have besides.
    pub(crate) fn answer(self) -> (Response, Option<String>) {
        let refusal = match self {
            Self::Denied(denial) => return (denial.response(), None),
            Self::Refused(refusal) => *refusal,
            Self::Api(error) => return error.answer(),
        };
        let mut response = Response::error(refusal.status, refusal.code, &refusal.message);
        for (name, value) in &refusal.fields {
            response = response.field(name, value);
        }
        let detail = refusal.detail.or_else(|| Some(refusal.message.into_owned()));
        (response, detail)
    }
}

impl From<Denial> for Fault {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<NoRoute> for Fault {
    fn from(route: NoRoute) -> Self {
        match route {
            NoRoute::Path => Self::missing("UNSUPPORTED", "this registry has no such path"),
            NoRoute::Method(allowed) => Self::new(
                Status::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "this path has no such method",
            )
            .field("Allow", allowed),
            NoRoute::Name(name) => Self::bad(
                "NAME_INVALID",
                format!("{:?} is not a repository name", excerpt(&name)),
            ),
            NoRoute::Digest(text) => {
                Self::bad("DIGEST_INVALID", format!("{:?} is not a digest", excerpt(&text)))
            }
            NoRoute::Tag(text) => Self::bad("MANIFEST_INVALID", format!("{:?} is not a tag", excerpt(&text))),
            NoRoute::Upload => Self::no_upload(),
        }
    }
}

impl Fault {
    /// 409: tags that stay, and a version that is free.
    fn immutable(refused: Vec<Refused>) -> Self {
        // Only a proposal: whoever follows it is judged again.
        let next = refused.first().and_then(|refused| refused.next_free.clone());
        let mut message = TagError::Refused(refused).to_string();
        if let Some(next) = next {
            message.push_str(&format!("; the next free version is {next}"));
        }
        Self::new(Status::CONFLICT, "DENIED", message)
    }

    /// 409: the server has no key of the history.
    pub(crate) fn signed() -> Self {
        Self::new(
            Status::CONFLICT,
            "DENIED",
            "the history of this repository is signed: change it with modelkeep, and one of its keys",
        )
    }

    pub(crate) fn no_upload() -> Self {
        Self::missing("BLOB_UPLOAD_UNKNOWN", "there is no such upload")
    }
}

impl From<content::Error> for Fault {
    fn from(error: content::Error) -> Self {
        if let content::Error::Io { source, .. } = &error {
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    return Self::full().detail(chain(&error));
                }
                io::ErrorKind::FileTooLarge => {
                    return Self::new(
                        Status::CONTENT_TOO_LARGE,
                        "SIZE_INVALID",
                        "no file can be so large",
                    );
                }
                _ => {}
            }
        }
        Self::internal(chain(&error))
    }
}

impl From<UploadError> for Fault {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Busy => Self::busy("somebody else is writing to this upload"),
            UploadError::Gone => Self::no_upload(),
            UploadError::Digest { .. } => Self::bad("DIGEST_INVALID", error.to_string()),
            UploadError::Content(error) => error.into(),
        }
    }
}

impl From<TagError> for Fault {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Refused(refused) => Self::immutable(refused),
            TagError::Unauthorized(_) => Self::signed(),
            TagError::Content(error) => error.into(),
            TagError::History(error) => Self::internal(chain(&error)),
        }
    }
}

impl From<PushRefusal> for Fault {
    fn from(refusal: PushRefusal) -> Self {
        match refusal {
            PushRefusal::Malformed(error) => Self::bad("MANIFEST_INVALID", chain(&error)),
            PushRefusal::Digest { is, said } => Self::bad(
                "DIGEST_INVALID",
                format!("the manifest is {is}, and was pushed as {said}"),
            ),
            PushRefusal::Type { is, said } => Self::bad(
                "MANIFEST_INVALID",
                format!("the manifest is here as {is}, and came as {said}"),
            ),
            PushRefusal::Needs { what, .. } => Self::missing(
                "MANIFEST_BLOB_UNKNOWN",
                format!("the manifest needs {what}, which the repository does not have"),
            ),
            PushRefusal::Tags(refused) => Self::immutable(refused),
            PushRefusal::Fault(fault) => fault,
        }
    }
}

impl From<DeleteError> for Fault {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound(_) => Self::missing("MANIFEST_UNKNOWN", error.to_string()),
            DeleteError::Tag(_) | DeleteError::Index(_) => Self::stays(error.to_string()),
            DeleteError::Unauthorized(_) => Self::signed(),
            DeleteError::Content(error) => error.into(),
            DeleteError::History(error) => Self::internal(chain(&error)),
        }
    }
}

impl From<AcceptError> for Fault {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Malformed(_) => Self::bad("HISTORY_INVALID", chain(&error)),
            AcceptError::Overtaken { height } => {
                Self::new(Status::CONFLICT, "HISTORY_OVERTAKEN", error.to_string())
                    .field("Modelkeep-Height", height.to_string())
            }
            AcceptError::Refused(_) if error.unauthorized().is_none() => {
                Self::bad("HISTORY_INVALID", chain(&error))
            }
            AcceptError::NoManifest(_) => Self::missing("MANIFEST_UNKNOWN", error.to_string()),
            AcceptError::Needs(_) => Self::missing("MANIFEST_BLOB_UNKNOWN", error.to_string()),
            AcceptError::Content(error)
            | AcceptError::Publish(PublishError::Content(error))
            | AcceptError::Alias(AliasError::Content(error))
            | AcceptError::Yank(YankError::Content(error))
            | AcceptError::Delete(DeleteError::Content(error))
            | AcceptError::Note(NoteError::Content(error)) => error.into(),
            AcceptError::History(error) => Self::internal(chain(&error)),
            // What the rules refuse, and who is not let.
            AcceptError::Refused(_)
            | AcceptError::Reserved(_)
            | AcceptError::Redundant
            | AcceptError::Mistaken(_)
            | AcceptError::Publish(_)
            | AcceptError::Alias(_)
            | AcceptError::Yank(_)
            | AcceptError::Delete(_)
            | AcceptError::Note(_) => Self::new(Status::CONFLICT, "DENIED", chain(&error)),
        }
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn excerpt(text: &str) -> String {
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ReplyBody;

    fn body(response: &Response) -> String {
        match response.reply_body() {
            ReplyBody::Owned(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_broke_within_is_for_the_log_alone() {
        let error = content::Error::io("read /secret/place")(io::Error::other("disk on fire"));
        let (response, detail) = Fault::from(error).answer();
        assert_eq!(response.status(), Status::INTERNAL_ERROR);
        assert!(!body(&response).contains("secret"));
        assert_eq!(detail.unwrap(), "cannot read /secret/place: disk on fire");
    }

    #[test]
    fn a_full_disk_is_507_whoever_found_it() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = content::Error::io("write x")(kind.into());
            let (response, _) = Fault::from(UploadError::from(error)).answer();
            assert_eq!(response.status(), Status::INSUFFICIENT_STORAGE);
            assert!(body(&response).contains("\"DENIED\""));
        }
    }
}
