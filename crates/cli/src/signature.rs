//! The OpenSSF Model Signing bundle over the files of a version, as a repository keeps it: a blob that the history names,
//! and a manifest that refers to the image, by which other tools find it.

use std::collections::BTreeMap;

use modelkeep_core::{
    Contents, Descriptor, Digest, Manifest, ModelPath, annotation,
    content::{self, Source, Target},
    manifest::to_json,
    media,
};
use modelkeep_ledger::signing::{
    Bundle, MalformedBundle, MalformedStatement, ModelStatement, NotSigned, PublicKey, Signer,
};

use crate::error::Failure;

/// What the manifest says of the bundle, in the names that sigstore gives.
const CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// A bundle, and the manifest that attaches it to an image. The same files, image and key give the same two, unless the
/// signer is a program whose signatures are not.
pub(crate) struct Attached {
    /// The bundle, as the history names it.
    pub(crate) bundle: Descriptor,
    /// The manifest that refers to the image.
    pub(crate) manifest: Descriptor,
    /// Its bytes.
    pub(crate) manifest_bytes: Vec<u8>,
}

impl Attached {
    /// Signs the files of `statement`, and stores what the manifest needs in `target`; the manifest itself it does not.
    pub(crate) fn make(
        statement: &ModelStatement,
        image: &Descriptor,
        created: Option<&str>,
        signer: &dyn Signer,
        target: &dyn Target,
    ) -> Result<Self, Failure> {
        let bundle = Bundle::sign(statement.to_bytes(), signer).map_err(Failure::failed)?;
        let bytes = bundle.to_bytes();
        if bytes.len() > Bundle::MOST_BYTES {
            return Err(Failure::failed(MalformedBundle::Size(bytes.len())));
        }
        let bundle = target.put(Bundle::MEDIA_TYPE, &bytes)?;
        let mut annotations = BTreeMap::from([
            (CONTENT.0.to_owned(), CONTENT.1.to_owned()),
            (PREDICATE_TYPE.to_owned(), ModelStatement::PREDICATE.to_owned()),
        ]);
        annotations.extend(created.map(|created| (annotation::CREATED.to_owned(), created.to_owned())));
        let manifest_bytes = to_json(&Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: Some(Bundle::MEDIA_TYPE.to_owned()),
            config: target.put(media::OCI_EMPTY, b"{}")?,
            layers: vec![bundle.clone()],
            subject: Some(Descriptor::plain(
                &image.media_type,
                image.digest.clone(),
                image.size,
            )),
            annotations,
        });
        Ok(Self {
            bundle,
            manifest: Descriptor::of(media::OCI_MANIFEST, &manifest_bytes),
            manifest_bytes,
        })
    }
}

/// The files that a signature over a version is about: all but what belongs to git, which other tools leave out.
pub(crate) fn signed_files(contents: &Contents) -> BTreeMap<ModelPath, Digest> {
    let files = contents.files().iter().filter(|file| !is_ignored(&file.path));
    files
        .map(|file| (file.path.clone(), file.digest.clone()))
        .collect()
}

/// Whether a file belongs to git.
pub(crate) fn is_ignored(path: &ModelPath) -> bool {
    let first = path.components().next();
    ModelStatement::IGNORED.iter().any(|name| first == Some(name))
}

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSignature {
    #[error("the signature cannot be read")]
    Content(#[from] content::Error),
    #[error("the signature is no bundle")]
    Bundle(#[from] MalformedBundle),
    #[error("key {key}, which signed the entry in the history, did not sign the files")]
    Key {
        key: String,
        #[source]
        source: NotSigned,
    },
    #[error("what was signed is no list of files")]
    Statement(#[from] MalformedStatement),
    #[error("the files are not those that were signed")]
    Files,
}

/// The bytes of the bundle that an entry of the history names, if `key`, which signed the entry, signed exactly the
/// files of `contents`.
pub(crate) fn verified(
    source: &dyn Source,
    bundle: &Descriptor,
    key: &PublicKey,
    contents: &Contents,
) -> Result<Vec<u8>, BadSignature> {
    let bytes = source.fetch(bundle, Bundle::MOST_BYTES as u64)?;
    let parsed = Bundle::parse(&bytes)?;
    let statement = parsed.verify(key).map_err(|source| BadSignature::Key {
        key: key.id().to_string(),
        source,
    })?;
    let statement = ModelStatement::parse(statement)?;
    match statement.compare(&signed_files(contents)).is_empty() {
        true => Ok(bytes),
        false => Err(BadSignature::Files),
    }
}
