use modelkeep_core::Digest;

use crate::{Entry, EntryId, MalformedEntry, signing::Bundle};

/// An entry as it is kept: a statement, alone or in a bundle with its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The digest of the statement, signed or not.
    pub id: EntryId,
    /// What the statement says.
    pub entry: Entry,
    /// The bundle, if it is signed. Nothing has been verified.
    pub bundle: Option<Bundle>,
}

impl Written {
    /// Reads an entry.
    ///
    /// # Errors
    /// Whatever makes it none.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedEntry> {
        // A statement has none of the fields of a bundle.
        match Bundle::parse(bytes) {
            Ok(bundle) => {
                let statement = bundle.unverified();
                Ok(Self {
                    id: Digest::of(statement),
                    entry: Entry::parse(statement)?,
                    bundle: Some(bundle),
                })
            }
            Err(_) => Ok(Self {
                id: Digest::of(bytes),
                entry: Entry::parse(bytes)?,
                bundle: None,
            }),
        }
    }

    /// The identity of an entry of which nothing else is asked.
    #[must_use]
    pub fn id_of(bytes: &[u8]) -> EntryId {
        match Bundle::parse(bytes) {
            Ok(bundle) => Digest::of(bundle.unverified()),
            Err(_) => Digest::of(bytes),
        }
    }
}
