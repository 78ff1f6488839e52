//! Pages: `maxResults`, and a `nextToken` that says behind what the next one begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::ApiError;

const USUAL: usize = 100;
const MOST: i64 = 1000;

/// How many items, and behind which.
pub(super) struct Page {
    pub(super) most: usize,
    /// What [`token`] was given.
    pub(super) last: Option<String>,
}

impl Page {
    pub(super) fn of(most: Option<i64>, token: Option<&str>) -> Result<Self, ApiError> {
        let most = match most {
            None => USUAL,
            Some(most @ 1..=MOST) => usize::try_from(most).unwrap_or(USUAL),
            Some(_) => {
                return Err(ApiError::parameter(
                    "maxResults",
                    "Member must be between 1 and 1000",
                ));
            }
        };
        let last = token.map(|token| {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(invalid_token)
        });
        Ok(Self {
            most,
            last: last.transpose()?,
        })
    }
}

/// The token of the page behind `last`.
pub(super) fn token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

pub(super) fn invalid_token() -> ApiError {
    ApiError::parameter("nextToken", "must be a token of an answer to the same operation")
}

/// Pages and a list of what is wanted exclude each other.
pub(super) fn refuse_with_list(list: &str, most: Option<i64>, token: Option<&str>) -> Result<(), ApiError> {
    let name = match (most, token) {
        (Some(_), _) => "maxResults",
        (None, Some(_)) => "nextToken",
        (None, None) => return Ok(()),
    };
    Err(ApiError::parameter(
        name,
        format_args!("must not be there beside {list}"),
    ))
}
