use super::{Names, Result};
use crate::{Descriptor, name::Target};

/// What every registry can do, whatever it knows of histories: read a manifest, and write one under a tag.
pub trait Manifests: Names {
    /// The manifest that a tag or a digest names, and its bytes. What a digest names has been verified; what a tag
    /// names is what the registry says.
    ///
    /// # Errors
    /// [`Error::Io`](super::Error::Io); [`Error::Malformed`](super::Error::Malformed) when it has more than `limit`
    /// bytes; [`Error::Damaged`](super::Error::Damaged) when the bytes are not the digest's.
    fn read(&self, name: &Target, limit: u64) -> Result<Option<(Descriptor, Vec<u8>)>>;

    /// The descriptor of what a tag or a digest names.
    ///
    /// # Errors
    /// As [`Manifests::read`].
    fn find(&self, name: &Target) -> Result<Option<Descriptor>>;

    /// Points `tag` at a manifest, which comes with it; all that the manifest names is there. Writing the same again
    /// changes nothing, and is no error.
    ///
    /// # Errors
    /// [`Error::Io`](super::Error::Io): then it may or may not have been written.
    fn write(&self, tag: &crate::Tag, media_type: &str, bytes: &[u8]) -> Result<()>;
}
