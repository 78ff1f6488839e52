use modelkeep_core::{Digest, Mutability, Tag};

/// What somebody wants a version to be.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// Digest of the manifest.
    pub manifest: &'a Digest,
    /// Content root of the model, where it has one.
    pub root: Option<&'a Digest>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The name is free.
    New,
    /// The same content stands under the name: nothing is to be done.
    Same,
    /// Other content stands under the name, and it may move.
    Moves,
    /// Other content stands under the name, and it may not move.
    Taken,
}

/// The rule of publishing: may `version` become what is proposed, when `standing` is what it is now?
///
/// The content is the same when the manifest is, or when the content root is, whatever the time, the commit or the
/// message.
#[must_use]
pub fn judge(
    mutability: &Mutability,
    version: &Tag,
    standing: Option<Proposed<'_>>,
    proposed: Proposed<'_>,
) -> Verdict {
    let Some(standing) = standing else {
        return Verdict::New;
    };
    let same_root = standing.root.is_some() && standing.root == proposed.root;
    if standing.manifest == proposed.manifest || same_root {
        Verdict::Same
    } else if mutability.holds(version) {
        Verdict::Taken
    } else {
        Verdict::Moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_the_same_moved_or_taken() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        let proposed = |manifest, root| Proposed { manifest, root };
        let judge = |mutability: &Mutability, standing, proposed| {
            judge(mutability, &"1.0".parse().unwrap(), standing, proposed)
        };
        let immutable = &Mutability::Immutable;
        assert_eq!(judge(immutable, None, proposed(&a, None)), Verdict::New);
        assert_eq!(
            judge(immutable, Some(proposed(&a, None)), proposed(&a, None)),
            Verdict::Same
        );
        assert_eq!(
            judge(immutable, Some(proposed(&a, Some(&b))), proposed(&b, Some(&b))),
            Verdict::Same
        );
        assert_eq!(
            judge(immutable, Some(proposed(&a, None)), proposed(&b, None)),
            Verdict::Taken
        );
        assert_eq!(
            judge(immutable, Some(proposed(&a, Some(&a))), proposed(&b, None)),
            Verdict::Taken
        );
        assert_eq!(
            judge(&Mutability::Mutable, Some(proposed(&a, None)), proposed(&b, None)),
            Verdict::Moves
        );
    }
}
