//! Signatures: keys, sealed statements, and the OpenSSF Model Signing statement over the files of a model.
//!
//! One kind of document carries every signature: a Sigstore bundle (version 0.3) around a DSSE envelope around an
//! in-toto statement. What says who made a version and what says which files it has are sealed in the same way, and
//! others can check both with their own tools. Keys are on the curve P-256 alone: it is what every verifier reads.
//!
//! Nothing here decides whether a key is trusted. Verifying answers one question: did this key sign these bytes?

mod bundle;
mod key;
mod model;

pub use bundle::{Bundle, MalformedBundle, NotSigned};
pub use key::{KeyError, KeyId, PrivateKey, PublicKey, SignError, Signer};
pub use model::{MalformedStatement, Mismatch, ModelStatement};
