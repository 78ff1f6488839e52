//! What keeps a version from moving, and for whom: said in the same words wherever it is said, in `docs/guide/immutability.md`
//! too.

use modelkeep_core::repositories::Enforcement;

use crate::settings::Registry;

/// Who keeps versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The embedded store.
    Store,
    /// A registry that keeps the history, and lets no client do otherwise: `modelkeep serve`.
    Registry,
    /// Those who use modelkeep, on a registry that lets anybody who may push move a tag.
    Client,
    /// As [`Client`](Self::Client), on a registry that refuses to move tags: private ECR.
    Tags,
}

impl Keeper {
    /// Who keeps the versions of a declared repository.
    pub(crate) fn declared(registry: &Registry, enforcement: Enforcement) -> Self {
        match (registry, enforcement) {
            (Registry::Embedded, _) => Self::Store,
            (_, Enforcement::Client) => Self::Client,
            // What calls itself ECR Public and enforces anything is `modelkeep serve`.
            (Registry::EcrPublic, Enforcement::Registry) => Self::Registry,
            (_, Enforcement::Registry) => Self::Tags,
        }
    }

    /// The word in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Registry | Self::Tags => "registry",
            Self::Client => "client",
        }
    }

    /// What is promised, and to whom.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::Store => {
                "a version never moves: the store refuses it, whatever program asks. Whoever may write its files can change \
                 them, and `modelkeep verify` shows it"
            }
            Self::Registry => {
                "a version never moves: the registry refuses it, whoever pushes with whatever client, and its tags follow the \
                 history. Those who use modelkeep need not trust the registry either: they hold it against what they have seen"
            }
            Self::Client => {
                "a version never moves for those who use modelkeep: they find it by its digest in the history. The registry \
                 lets anybody who may push move or delete a tag, and shows that to other clients; `modelkeep verify` shows \
                 what was moved, and `modelkeep verify --heal` puts it back"
            }
            Self::Tags => {
                "a version never moves for those who use modelkeep: they find it by its digest in the history. The registry \
                 refuses to move tags, for other clients too; whoever may change its policy, or delete tags, can undo that"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_promises_the_same_in_the_same_words() {
        let guide = include_str!("../../../docs/guide/immutability.md");
        for keeper in [Keeper::Store, Keeper::Registry, Keeper::Client, Keeper::Tags] {
            let row = format!("| {} |", keeper.promise());
            assert_eq!(guide.matches(&row).count(), 1, "{row}");
        }
    }
}
