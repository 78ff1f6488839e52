//! AWS's Signature Version 4, checked: who signed this request?
//!
//! Written here, and not taken from the crate that signs: to check is to compute the same two hashes and five HMACs over
//! what arrived, and the crate would have to be led to sign exactly the fields that a foreign client chose, with the
//! types of three more crates in between. The requests that are checked have one shape (`POST /`, without a query), so
//! that none of the rules about paths and queries matters, which is where implementations differ.
//!
//! Source: "Create a signed AWS API request", AWS Identity and Access Management User Guide.

use super::secret::Secret;
use hmac::{Hmac, KeyInit, Mac as _};
use jiff::{civil::DateTime, fmt::strtime, tz::TimeZone};
use modelkeep_core::Digest;
use sha2::Sha256;
use subtle::ConstantTimeEq;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the clocks of client and server may be apart.
const SKEW_SECONDS: i64 = 15 * 60;
/// Fields that one signature may cover; clients sign about six.
const MOST_FIELDS: usize = 64;

/// Why nobody is known to have signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// There is no signature.
    Missing,
    /// What is there is not all that a signature needs.
    Incomplete(String),
    /// It is another's signature, of another request, or of another time.
    Invalid(String),
    /// Nobody has the key that it names.
    UnknownKey,
}

/// What a signature covers, as it arrived.
pub(crate) struct Covered<'a, 'f> {
    pub(crate) method: &'a str,
    /// Percent-encoded as AWS has it.
    pub(crate) path: &'a str,
    /// Sorted and encoded as AWS has it.
    pub(crate) query: &'a str,
    /// Every value of the header field of a name.
    pub(crate) fields: &'f dyn Fn(&str) -> Vec<&'a str>,
}

/// The `Authorization` field of a signed request, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    /// Id of the key.
    pub(crate) key: &'a str,
    /// Region of the credential's scope.
    pub(crate) region: &'a str,
    /// Date of the scope, `YYYYMMDD`.
    date: &'a str,
    service: &'a str,
    /// Names of the fields that it covers, in lower case.
    names: Vec<&'a str>,
    hex: &'a str,
    /// `X-Amz-Date`: `YYYYMMDDTHHMMSSZ`.
    time: &'a str,
}

impl<'a> Signature<'a> {
    /// Reads what `covered` says about its signature. Nothing is proved yet.
    pub(crate) fn of(covered: &Covered<'a, '_>) -> Result<Self, SignatureFault> {
        let incomplete = |what: &str| SignatureFault::Incomplete(what.to_owned());
        let field = match (covered.fields)("authorization").as_slice() {
            [] => return Err(SignatureFault::Missing),
            [field] => *field,
            _ => return Err(incomplete("there is more than one Authorization header")),
        };
        let Some(rest) = field.strip_prefix(ALGORITHM) else {
            return Err(incomplete("Authorization must begin with 'AWS4-HMAC-SHA256'"));
        };
        let (mut credential, mut names, mut hex) = (None, None, None);
        for part in rest.split(',') {
            let Some((name, value)) = part.trim().split_once('=') else {
                return Err(incomplete("a part of Authorization is not NAME=VALUE"));
            };
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut names,
                "Signature" => &mut hex,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(incomplete("a part of Authorization is there twice"));
            }
        }
        let credential =
            credential.ok_or_else(|| incomplete("Authorization header requires 'Credential' parameter"))?;
        let hex = hex.ok_or_else(|| incomplete("Authorization header requires 'Signature' parameter"))?;
        let names =
            names.ok_or_else(|| incomplete("Authorization header requires 'SignedHeaders' parameter"))?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [key, date, region, service, "aws4_request"] = scope[..] else {
            let what = "Credential must be KEY/DATE/REGION/SERVICE/aws4_request";
            return Err(incomplete(what));
        };
        let time = match (covered.fields)("x-amz-date").as_slice() {
            [time] => *time,
            _ => {
                return Err(incomplete(
                    "Authorization header requires one 'X-Amz-Date' header",
                ));
            }
        };
        let names: Vec<&str> = names.split(';').collect();
        let in_order = names.windows(2).all(|two| two[0] < two[1]);
        if names.len() > MOST_FIELDS || !in_order {
            return Err(incomplete("'SignedHeaders' must be sorted, each name once"));
        }
        Ok(Self {
            key,
            region,
            date,
            service,
            names,
            hex,
            time,
        })
    }

    /// Whether its time and service are those of a request to `service` at `now` (Unix seconds), and whether it
    /// covers what must not be exchanged.
    pub(crate) fn is_for(
        &self,
        covered: &Covered<'_, '_>,
        service: &str,
        now: i64,
    ) -> Result<(), SignatureFault> {
        let invalid = |what: String| Err(SignatureFault::Invalid(what));
        if self.service != service {
            return invalid(format!(
                "Credential should be scoped to correct service: '{service}'."
            ));
        }
        let Some(signed) = seconds(self.time) else {
            return invalid("X-Amz-Date must be YYYYMMDDTHHMMSSZ".to_owned());
        };
        if self.time.get(..8) != Some(self.date) {
            return invalid("Date in Credential scope does not match YYYYMMDD from X-Amz-Date".to_owned());
        }
        if (now - signed).abs() > SKEW_SECONDS {
            let (time, which) = (
                self.time,
                if now > signed {
                    "expired"
                } else {
                    "not yet current"
                },
            );
            return invalid(format!(
                "Signature {which}: {time} is more than 15 minutes from the time of the server"
            ));
        }
        let covers = |name: &str| (covered.fields)(name).is_empty() || self.names.contains(&name);
        let must = [
            "x-amz-date",
            "x-amz-target",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ];
        if !self.names.contains(&"host") || !must.into_iter().all(covers) {
            return invalid("'Host' and all 'X-Amz-' headers must be signed".to_owned());
        }
        Ok(())
    }

    /// Whether `secret` made it, over `covered` and a body of this hash.
    pub(crate) fn check(
        &self,
        covered: &Covered<'_, '_>,
        secret: &Secret,
        body: &Digest,
    ) -> Result<(), SignatureFault> {
        let mut request = format!("{}\n{}\n{}\n", covered.method, covered.path, covered.query);
        for name in &self.names {
            let values = (covered.fields)(name);
            let values: Vec<String> = values.into_iter().map(collapsed).collect();
            request.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        request.push_str(&format!("\n{}\n{}", self.names.join(";"), body.hex()));
        let Self {
            date,
            region,
            service,
            ..
        } = self;
        let text = format!(
            "{ALGORITHM}\n{}\n{date}/{region}/{service}/aws4_request\n{}",
            self.time,
            Digest::of(request.as_bytes()).hex()
        );
        let mut key = hmac(format!("AWS4{}", secret.expose()).as_bytes(), date);
        for word in [region, service, "aws4_request"] {
            key = hmac(&key, word);
        }
        let expected: String = hmac(&key, &text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if bool::from(expected.as_bytes().ct_eq(self.hex.as_bytes())) {
            return Ok(());
        }
        Err(SignatureFault::Invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method."
                .to_owned(),
        ))
    }
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Without space at its ends, and with one space where there are more.
fn collapsed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// `YYYYMMDDTHHMMSSZ` as Unix seconds.
fn seconds(time: &str) -> Option<i64> {
    if time.len() != 16 {
        return None;
    }
    let parsed: DateTime = strtime::parse("%Y%m%dT%H%M%SZ", time).ok()?.to_datetime().ok()?;
    Some(parsed.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation.
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
        Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    const NOW: i64 = 1_440_938_160;

    fn fields<'a>(
        authorization: &'a str,
        changed: &'a [(&'a str, &'a str)],
    ) -> impl Fn(&str) -> Vec<&'a str> {
        move |name| {
            let changes: Vec<&str> = changed
                .iter()
                .filter(|(n, _)| *n == name)
                .map(|(_, v)| *v)
                .collect();
            if !changes.is_empty() {
                return changes;
            }
            match name {
                "authorization" => vec![authorization],
                "content-type" => vec!["  application/x-www-form-urlencoded;   charset=utf-8 "],
                "host" => vec!["iam.amazonaws.com"],
                "x-amz-date" => vec!["20150830T123600Z"],
                _ => Vec::new(),
            }
        }
    }

    fn check(
        authorization: &str,
        changed: &[(&str, &str)],
        secret: &str,
        body: &[u8],
    ) -> Result<(), SignatureFault> {
        let fields = fields(authorization, changed);
        let covered = Covered {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            fields: &fields,
        };
        let signature = Signature::of(&covered)?;
        signature.is_for(&covered, "iam", NOW)?;
        signature.check(&covered, &Secret::new(secret), &Digest::of(body))
    }

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn the_example_of_the_documentation_is_right() {
        assert_eq!(check(AUTHORIZATION, &[], SECRET, b""), Ok(()));
    }

    #[test]
    fn any_change_of_what_is_covered_is_noticed() {
        let invalid = |result| assert!(matches!(result, Err(SignatureFault::Invalid(_))), "{result:?}");
        invalid(check(AUTHORIZATION, &[], "another", b""));
        invalid(check(AUTHORIZATION, &[], SECRET, b"x"));
        invalid(check(AUTHORIZATION, &[("host", "other")], SECRET, b""));
        invalid(check(
            AUTHORIZATION,
            &[("content-type", "text/plain")],
            SECRET,
            b"",
        ));
        invalid(check(
            AUTHORIZATION,
            &[("x-amz-date", "20150830T123601Z")],
            SECRET,
            b"",
        ));
        // A field that nobody signed could have been put there by anybody.
        invalid(check(AUTHORIZATION, &[("x-amz-target", "A.B")], SECRET, b""));
        let id = AUTHORIZATION.find("AKIDEXAMPLE").unwrap();
        for at in 0..AUTHORIZATION.len() {
            let mut bytes = AUTHORIZATION.as_bytes().to_vec();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            // The id only says which secret to check with.
            let is_id = (id..id + "AKIDEXAMPLE".len()).contains(&at);
            assert_eq!(check(&changed, &[], SECRET, b"").is_ok(), is_id, "byte {at}");
            assert!(
                check(&AUTHORIZATION[..at], &[], SECRET, b"").is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn a_signature_is_good_for_fifteen_minutes_either_way() {
        let fields = fields(AUTHORIZATION, &[]);
        let covered = Covered {
            method: "GET",
            path: "/",
            query: "",
            fields: &fields,
        };
        let signature = Signature::of(&covered).unwrap();
        for (now, good) in [
            (NOW, true),
            (NOW - 900, true),
            (NOW + 900, true),
            (NOW - 901, false),
            (NOW + 901, false),
        ] {
            assert_eq!(signature.is_for(&covered, "iam", now).is_ok(), good, "{now}");
        }
        assert!(signature.is_for(&covered, "ecr-public", NOW).is_err());
    }

    #[test]
    fn what_is_no_signature_is_told_apart() {
        let covered = Covered {
            method: "POST",
            path: "/",
            query: "",
            fields: &|_| Vec::new(),
        };
        assert_eq!(Signature::of(&covered), Err(SignatureFault::Missing));
        for field in [
            "",
            "Basic QVdTOng=",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
            "AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=00",
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host;date, Signature=00",
            "AWS4-HMAC-SHA256 Signature=1, Signature=2",
        ] {
            let result = check(field, &[], SECRET, b"");
            assert!(
                matches!(result, Err(SignatureFault::Incomplete(_))),
                "{field}: {result:?}"
            );
        }
    }

    #[test]
    fn times_are_read_as_they_are_written_and_no_others() {
        assert_eq!(seconds("20150830T123600Z"), Some(NOW));
        for time in [
            "",
            "2015-08-30T12:36Z",
            "20150830T123600",
            "20151330T123600Z",
            "20150830T123600ZZ",
            "éééééééé",
        ] {
            assert_eq!(seconds(time), None, "{time}");
        }
    }
}
