//! What keeps a version from moving, and for whom: said in the same words wherever it is said.

/// Who keeps versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The embedded store.
    Store,
    /// A registry that keeps the history, and lets no client do otherwise: `modelkeep serve`.
    Registry,
    /// Those who use modelkeep, on a registry that lets anybody who may push move a tag.
    Client,
}

impl Keeper {
    /// The word in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Registry => "registry",
            Self::Client => "client",
        }
    }
}
