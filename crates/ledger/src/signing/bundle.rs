use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use modelkeep_core::manifest;
use serde::{Deserialize, Serialize};

use super::{PublicKey, SignError, Signer};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement and its signature, as a Sigstore bundle of version 0.3 with a DSSE envelope and a key of its own.
///
/// It is read more strictly than the format demands: one signature, no field that is not known, no log entries. What
/// is refused here could mean one thing to us and another to the next verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    payload: Vec<u8>,
    signature: Vec<u8>,
    hint: Option<String>,
}

/// Bytes that are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum MalformedBundle {
    /// More bytes than are read.
    #[error("it has {0} bytes, and {most} are the most that is read", most = Bundle::MOST_BYTES)]
    Size(usize),
    /// Not JSON of the shape.
    #[error("it is not a bundle of the form that is read here")]
    Json(#[from] serde_json::Error),
    /// A field that must have another value.
    #[error("its {field} is {found:?}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// What stands there, shortened.
        found: String,
    },
    /// Not Base64.
    #[error("its {0} is not Base64")]
    Base64(&'static str),
    /// Not exactly one signature.
    #[error("it has {0} signatures, and one is read")]
    Signatures(usize),
}

/// The key did not sign the statement.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotSigned {
    /// The bundle names another key.
    #[error("it names a key with the hint {found}, not {expected}")]
    OtherKey {
        /// The hint of the key that was asked for.
        expected: String,
        /// The hint in the bundle.
        found: String,
    },
    /// The signature is not that key's over these bytes.
    #[error("the signature is not the key's over these bytes")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
    // Always written: a reader of the format may insist on it.
    #[serde(default)]
    tlog_entries: [(); 0],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    #[serde(default)]
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

impl Bundle {
    /// Its media type, which is also the artifact type of a manifest that carries it.
    pub const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    /// The most bytes of a bundle that is read.
    pub const MOST_BYTES: usize = 16 << 20;

    /// Signs an in-toto statement.
    ///
    /// # Errors
    /// What kept the signer from signing; what it gave instead of its signature.
    pub fn sign(statement: Vec<u8>, signer: &dyn Signer) -> Result<Self, SignError> {
        let message = encode(&statement);
        let signature = signer.sign(&message)?;
        // A program that signs with another key than it says would make a bundle that nobody can check.
        if !signer.public().verifies(&message, &signature) {
            return Err(SignError(Box::new(NotSigned::Signature)));
        }
        Ok(Self {
            payload: statement,
            signature,
            hint: Some(signer.public().hint().to_owned()),
        })
    }

    /// Reads a bundle; the bytes may come from anyone. Nothing has been verified then.
    ///
    /// # Errors
    /// Whatever makes it none.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedBundle> {
        if bytes.len() > Self::MOST_BYTES {
            return Err(MalformedBundle::Size(bytes.len()));
        }
        let document: Document = serde_json::from_slice(bytes)?;
        let envelope = document.dsse_envelope;
        for (field, found, expected) in [
            ("mediaType", &document.media_type, MEDIA_TYPE),
            ("payloadType", &envelope.payload_type, PAYLOAD_TYPE),
        ] {
            if found != expected {
                let found = found.chars().take(100).collect();
                return Err(MalformedBundle::Field { field, found });
            }
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err(MalformedBundle::Signatures(envelope.signatures.len()));
        };
        let decode = |field, text: &str| BASE64.decode(text).map_err(|_| MalformedBundle::Base64(field));
        let hint = document.verification_material.public_key.hint;
        Ok(Self {
            payload: decode("payload", &envelope.payload)?,
            signature: decode("sig", &signature.sig)?,
            hint: (!hint.is_empty()).then_some(hint),
        })
    }

    /// The statement, if `key` signed it.
    ///
    /// # Errors
    /// See [`NotSigned`].
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8], NotSigned> {
        let expected = key.hint().to_owned();
        if let Some(found) = self.hint.as_ref().filter(|hint| **hint != expected) {
            let found = found.chars().take(100).collect();
            return Err(NotSigned::OtherKey { expected, found });
        }
        if key.verifies(&encode(&self.payload), &self.signature) {
            Ok(&self.payload)
        } else {
            Err(NotSigned::Signature)
        }
    }

    /// The hint of the key that made it, where it says one. Anyone can have written it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The statement, whoever signed it: for messages, and to find the key that is to be asked.
    #[must_use]
    pub fn unverified(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes of the bundle.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        manifest::to_json(&Document {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material {
                public_key: Hint {
                    hint: self.hint.clone().unwrap_or_default(),
                },
                tlog_entries: [],
            },
            dsse_envelope: Envelope {
                payload: BASE64.encode(&self.payload),
                payload_type: PAYLOAD_TYPE.to_owned(),
                signatures: vec![Signature {
                    sig: BASE64.encode(&self.signature),
                    keyid: String::new(),
                }],
            },
        })
    }
}

/// What is signed: the pre-authentication encoding of DSSE (protocol.md, "Signature Definition").
fn encode(payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::signing::PrivateKey;

    fn signed(key: &PrivateKey) -> Value {
        let bundle = Bundle::sign(b"{\"a\":1}".to_vec(), key).unwrap();
        serde_json::from_slice(&bundle.to_bytes()).unwrap()
    }

    fn read(bundle: &Value, key: &PrivateKey) -> Option<Vec<u8>> {
        let bundle = Bundle::parse(bundle.to_string().as_bytes()).ok()?;
        bundle.verify(key.public()).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn the_encoding_is_that_of_dsse() {
        assert_eq!(
            encode(b"hello"),
            b"DSSEv1 28 application/vnd.in-toto+json 5 hello"
        );
    }

    #[test]
    fn a_bundle_opens_with_the_key_that_made_it() {
        let key = PrivateKey::generate();
        let bundle = signed(&key);
        assert_eq!(read(&bundle, &key).unwrap(), b"{\"a\":1}");
        assert_eq!(read(&bundle, &PrivateKey::generate()), None);
    }

    #[test]
    fn a_bundle_without_a_hint_is_tried_with_the_key_at_hand() {
        let key = PrivateKey::generate();
        let mut bundle = signed(&key);
        bundle["verificationMaterial"]["publicKey"] = json!({});
        assert!(read(&bundle, &key).is_some());
        assert!(read(&bundle, &PrivateKey::generate()).is_none());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let key = PrivateKey::generate();
        let good = signed(&key);
        let changes: &[(&str, Value)] = &[
            (
                "/mediaType",
                json!("application/vnd.dev.sigstore.bundle+json;version=0.2"),
            ),
            ("/extra", json!(1)),
            ("/dsseEnvelope/payloadType", json!("application/json")),
            ("/dsseEnvelope/payload", json!("eyJhIjoyfQ==")),
            ("/dsseEnvelope/payload", json!("eyJhIjoxfQ")),
            ("/dsseEnvelope/signatures", json!([])),
            (
                "/dsseEnvelope/signatures",
                json!([
                    good["dsseEnvelope"]["signatures"][0],
                    good["dsseEnvelope"]["signatures"][0]
                ]),
            ),
            ("/dsseEnvelope/signatures/0/sig", json!("AAAA")),
            ("/verificationMaterial/publicKey/hint", json!("00")),
            ("/verificationMaterial/tlogEntries", json!([{}])),
            ("/verificationMaterial/certificate", json!({})),
        ];
        for (pointer, value) in changes {
            let mut bundle = good.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            match bundle.pointer_mut(parent).unwrap() {
                Value::Array(items) => items[field.parse::<usize>().unwrap()] = value.clone(),
                object => object[field] = value.clone(),
            }
            assert_ne!(bundle, good);
            assert_eq!(read(&bundle, &key), None, "{pointer} {value}");
        }
    }

    #[test]
    fn every_flipped_bit_of_payload_and_signature_is_seen() {
        let key = PrivateKey::generate();
        let bundle = Bundle::sign(b"{\"a\":1}".to_vec(), &key).unwrap();
        for at in 0..bundle.payload.len() {
            let mut bundle = bundle.clone();
            bundle.payload[at] ^= 1;
            assert_eq!(bundle.verify(key.public()), Err(NotSigned::Signature));
        }
        for at in 0..bundle.signature.len() {
            let mut bundle = bundle.clone();
            bundle.signature[at] ^= 1;
            assert_eq!(bundle.verify(key.public()), Err(NotSigned::Signature));
        }
    }

    #[test]
    fn a_signer_that_signs_with_another_key_is_found_out() {
        struct Liar(PrivateKey, PublicKey);
        impl Signer for Liar {
            fn public(&self) -> &PublicKey {
                &self.1
            }
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
                self.0.sign(message)
            }
        }
        let liar = Liar(PrivateKey::generate(), PrivateKey::generate().public().clone());
        assert!(Bundle::sign(b"{}".to_vec(), &liar).is_err());
    }

    #[test]
    fn a_bundle_too_large_to_be_one_is_not_read() {
        let bytes = vec![b' '; Bundle::MOST_BYTES + 1];
        assert!(matches!(Bundle::parse(&bytes), Err(MalformedBundle::Size(_))));
    }
}
