use std::{fmt, str::FromStr};

use modelkeep_core::{Digest, InvalidDigest};
use p256::{
    SecretKey,
    ecdsa::{self, Signature, VerifyingKey, signature::Signer as _, signature::Verifier as _},
    elliptic_curve::Generate as _,
};
use pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
};

/// The identity of a key: the SHA-256 of its SubjectPublicKeyInfo in DER, written `sha256:<hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Digest);

impl KeyId {
    /// Its digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.hex()
    }

    /// The first twelve digits; for people, never for machines.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.short()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A key that cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// It is under a passphrase, and none was given.
    #[error("the key is under a passphrase")]
    Encrypted,
    /// The passphrase does not open it.
    #[error("the passphrase does not open the key")]
    Passphrase,
    /// Not a P-256 key in a known PEM form.
    #[error("it is not a P-256 {0} key in PEM")]
    Malformed(&'static str),
}

/// A signature that could not be made, as the signer says.
#[derive(Debug, thiserror::Error)]
#[error("the signer did not sign")]
pub struct SignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who makes signatures: a key at hand, or a program that holds one.
pub trait Signer {
    /// The key that checks them.
    fn public(&self) -> &PublicKey;

    /// The ECDSA signature over the SHA-256 of `message`, in ASN.1 DER.
    ///
    /// # Errors
    /// What kept the signer from signing.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The secret half of a key pair. It is not printed, and wiped from memory when it goes.
pub struct PrivateKey {
    key: ecdsa::SigningKey,
    public: PublicKey,
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const PKCS8: &str = "-----BEGIN PRIVATE KEY-----";
const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----";

impl PrivateKey {
    /// A new key, from the randomness of the operating system.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(&SecretKey::generate())
    }

    fn of(secret: &SecretKey) -> Self {
        let key = ecdsa::SigningKey::from(secret);
        let public = PublicKey::of(*key.verifying_key());
        Self { key, public }
    }

    /// Reads a key: `PRIVATE KEY` (PKCS #8, RFC 5958), the same under a passphrase (`ENCRYPTED PRIVATE KEY`, RFC 8018),
    /// or `EC PRIVATE KEY` (RFC 5915), as openssl writes them.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        // openssl writes the parameters of the curve in front of a SEC 1 key.
        let begin = [ENCRYPTED, PKCS8, SEC1].into_iter().find_map(|label| {
            let at = pem.find(label)?;
            Some((label, pem[at..].trim_end()))
        });
        let malformed = KeyError::Malformed("private");
        let secret = match (begin, passphrase) {
            (Some((ENCRYPTED, _)), None) => return Err(KeyError::Encrypted),
            (Some((ENCRYPTED, pem)), Some(passphrase)) => decrypt(pem, passphrase)?,
            (Some((PKCS8, pem)), _) => SecretKey::from_pkcs8_pem(pem).map_err(|_| malformed)?,
            (Some((_, pem)), _) => SecretKey::from_sec1_pem(pem).map_err(|_| malformed)?,
            (None, _) => return Err(malformed),
        };
        Ok(Self::of(&secret))
    }

    /// The key in PEM: PKCS #8 under the passphrase (PBES2 with scrypt and AES-256), or open where there is none.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where the passphrase is longer than the format takes.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<String, KeyError> {
        let pem = match passphrase {
            Some(passphrase) => self.key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
            None => self.key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|pem| pem.to_string())
            .map_err(|_| KeyError::Malformed("private"))
    }
}

/// Opens a key that is under a passphrase. What a wrong passphrase makes of it is sometimes well padded, and no key.
fn decrypt(pem: &str, passphrase: &str) -> Result<SecretKey, KeyError> {
    let malformed = KeyError::Malformed("private");
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| malformed.clone())?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| malformed.clone())?;
    let opened = sealed.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
    SecretKey::from_pkcs8_der(opened.as_bytes()).map_err(|_| {
        match PrivateKeyInfoRef::try_from(opened.as_bytes()) {
            Ok(_) => malformed,
            Err(_) => KeyError::Passphrase,
        }
    })
}

impl Signer for PrivateKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: Signature = self.key.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.id)
    }
}

/// The half of a key pair that everybody may have.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    pem: String,
    hint: String,
    id: KeyId,
}

impl PublicKey {
    fn of(key: VerifyingKey) -> Self {
        let der = key.to_public_key_der().expect("a point of P-256 has an encoding");
        let pem = key
            .to_public_key_pem(LineEnding::LF)
            .expect("a point of P-256 has an encoding");
        let id = KeyId(Digest::of(der.as_bytes()));
        let hint = Digest::of(pem.as_bytes()).hex().to_owned();
        Self { key, pem, hint, id }
    }

    /// Reads a `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 5480).
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(pem.trim())
            .map(Self::of)
            .map_err(|_| KeyError::Malformed("public"))
    }

    /// Reads a SubjectPublicKeyInfo in DER (RFC 5480).
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_der(der)
            .map(Self::of)
            .map_err(|_| KeyError::Malformed("public"))
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let der = self.key.to_public_key_der();
        der.expect("a point of P-256 has an encoding").into_vec()
    }

    /// The key in PEM, with 64 characters a line, line feeds, and one at the end.
    #[must_use]
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// What the key is called.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What bundles call it: the SHA-256 of the PEM text in hexadecimal digits (OpenSSF Model Signing).
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether `signature`, in ASN.1 DER, is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_der(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ecparam -name prime256v1 -genkey`.
    const OPENSSL: &str = include_str!("testdata/openssl-sec1.pem");

    #[test]
    fn a_wrong_passphrase_is_one_whatever_it_makes_of_the_key() {
        const CHEAP: &str = include_str!("testdata/openssl-one-iteration.pem");
        assert!(PrivateKey::from_pem(CHEAP, Some("sesame")).is_ok());
        // One in 256 leaves padding that is right.
        for number in 0..2000 {
            let opened = PrivateKey::from_pem(CHEAP, Some(&number.to_string()));
            assert_eq!(opened.map(|_| ()), Err(KeyError::Passphrase), "{number}");
        }
    }

    #[test]
    fn a_key_comes_back_from_its_own_pem() {
        let key = PrivateKey::generate();
        let back = PrivateKey::from_pem(&key.to_pem(None).unwrap(), None).unwrap();
        assert_eq!(back.public(), key.public());
        let public = PublicKey::from_pem(key.public().to_pem()).unwrap();
        assert_eq!(public.id(), key.public().id());
        let signature = key.sign(b"message").unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!PrivateKey::generate().public().verifies(b"message", &signature));
    }

    #[test]
    fn a_key_under_a_passphrase_opens_with_it_alone() {
        let key = PrivateKey::generate();
        let pem = key.to_pem(Some("correct horse")).unwrap();
        assert!(pem.starts_with(ENCRYPTED), "{pem}");
        assert_eq!(PrivateKey::from_pem(&pem, None).unwrap_err(), KeyError::Encrypted);
        assert_eq!(
            PrivateKey::from_pem(&pem, Some("battery staple")).unwrap_err(),
            KeyError::Passphrase
        );
        let back = PrivateKey::from_pem(&pem, Some("correct horse")).unwrap();
        assert_eq!(back.public(), key.public());
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        let key = PrivateKey::from_pem(OPENSSL, None).unwrap();
        let public = include_str!("testdata/openssl-public.pem");
        assert_eq!(key.public().to_pem(), public);
        // `openssl pkey -pubin -outform DER | sha256sum` and `sha256sum` of the file.
        assert_eq!(
            key.public().id().to_string(),
            format!("sha256:{}", include_str!("testdata/openssl-public.id").trim())
        );
        assert_eq!(
            key.public().hint(),
            include_str!("testdata/openssl-public.hint").trim()
        );
    }

    #[test]
    fn what_is_no_p256_key_is_refused() {
        let public = PrivateKey::generate().public().to_pem().to_owned();
        let p384 = include_str!("testdata/openssl-p384.pem");
        for (text, error) in [
            ("", KeyError::Malformed("private")),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                KeyError::Malformed("private"),
            ),
            (public.as_str(), KeyError::Malformed("private")),
            (p384, KeyError::Malformed("private")),
        ] {
            assert_eq!(
                PrivateKey::from_pem(text, Some("x")).unwrap_err(),
                error,
                "{text}"
            );
        }
        assert_eq!(
            PublicKey::from_pem("junk").unwrap_err(),
            KeyError::Malformed("public")
        );
    }

    #[test]
    fn neither_half_prints_a_secret() {
        let key = PrivateKey::generate();
        assert_eq!(format!("{key:?}"), format!("PrivateKey({})", key.public().id()));
    }
}
