//! What a request says about who sent it.

use super::secret::Secret;
use crate::http::Request;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The `Authorization` field, taken apart.
#[derive(Debug)]
pub(crate) enum Credentials {
    None,
    Basic(String, Secret),
    Bearer(Secret),
    Malformed,
}

impl Credentials {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let mut fields = request.headers("authorization");
        match (fields.next(), fields.next()) {
            (None, _) => Self::None,
            (Some(field), None) => Self::parse(field).unwrap_or(Self::Malformed),
            (Some(_), Some(_)) => Self::Malformed,
        }
    }

    fn parse(field: &str) -> Option<Self> {
        let (scheme, rest) = field.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(Secret::new(rest)));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(LENIENT.decode(rest).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        if name.is_empty() && password.is_empty() {
            // Podman and skopeo without credentials answer a Basic challenge like this.
            return Some(Self::None);
        }
        Some(Self::Basic(name.to_owned(), Secret::new(password)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_keep_colons_in_the_password_and_stay_out_of_logs() {
        let Some(Credentials::Basic(name, password)) = Credentials::parse("basic YWRhOnNlOmNyZXQ=") else {
            panic!("not understood");
        };
        assert_eq!((name.as_str(), password.expose()), ("ada", "se:cret"));
        assert_eq!(format!("{password:?}"), "***");
    }

    #[test]
    fn an_empty_name_and_password_are_no_credentials() {
        assert!(matches!(
            Credentials::parse("Basic Og=="),
            Some(Credentials::None)
        ));
        assert!(matches!(
            Credentials::parse("Basic Onh4"),
            Some(Credentials::Basic(..))
        ));
    }

    #[test]
    fn what_is_neither_basic_nor_bearer_is_malformed() {
        for field in ["", "Basic", "Basic !!", "Basic YWRh", "Digest a=b", "Basic /w=="] {
            assert!(Credentials::parse(field).is_none(), "{field}");
        }
    }
}
