use modelkeep_core::{Digest, Mutability, Tag};

/// What somebody wants a version to be.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// Digest of the manifest.
    pub manifest: &'a Digest,
    /// Content root of the model, where it has one.
    pub root: Option<&'a Digest>,
    /// Digest of the image that the model lies on, where it lies on one.
    pub base: Option<&'a Digest>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    /// Nothing stands under it.
    Free,
    /// This stands under it.
    Stands(Proposed<'a>),
    /// The manifest of this digest stood under it, and nothing else may.
    Kept(&'a Digest),
}

impl<'a> From<Option<Proposed<'a>>> for Name<'a> {
    fn from(standing: Option<Proposed<'a>>) -> Self {
        standing.map_or(Self::Free, Self::Stands)
    }
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
    /// Other content stands under the name, or stood there before it was deleted, and it may not move.
    Taken,
}

/// The rule of publishing: may `version` become what is proposed, when `name` is what it is now?
///
/// The content is the same when the manifest is, or when the content root and the image below it are, whatever the
/// time, the commit or the message. A name that is kept can be given back to its manifest.
#[must_use]
pub fn judge<'a>(
    mutability: &Mutability,
    version: &Tag,
    name: impl Into<Name<'a>>,
    proposed: Proposed<'_>,
) -> Verdict {
    let standing = match name.into() {
        Name::Free => return Verdict::New,
        Name::Kept(digest) if digest != proposed.manifest && mutability.holds(version) => {
            return Verdict::Taken;
        }
        Name::Kept(_) => return Verdict::New,
        Name::Stands(standing) => standing,
    };
    let same_model = standing.root.is_some() && standing.root == proposed.root;
    let same_files = same_model && standing.base == proposed.base;
    if standing.manifest == proposed.manifest || same_files {
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
        let proposed = |manifest, root| Proposed {
            manifest,
            root,
            base: None,
        };
        let judge = |mutability: &Mutability, standing: Option<Proposed<'_>>, proposed| {
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

    #[test]
    fn a_model_on_another_image_is_other_content() {
        let [a, b, root, image] = [&b"a"[..], b"b", b"root", b"image"].map(Digest::of);
        let on = |manifest, base| Proposed {
            manifest,
            root: Some(&root),
            base,
        };
        let judge = |standing, proposed| {
            judge(
                &Mutability::Immutable,
                &"1.0".parse().unwrap(),
                Some(standing),
                proposed,
            )
        };
        assert_eq!(judge(on(&a, Some(&image)), on(&b, Some(&image))), Verdict::Same);
        assert_eq!(judge(on(&a, None), on(&b, Some(&image))), Verdict::Taken);
        assert_eq!(judge(on(&a, Some(&image)), on(&b, None)), Verdict::Taken);
        assert_eq!(judge(on(&a, Some(&image)), on(&b, Some(&root))), Verdict::Taken);
    }

    #[test]
    fn a_name_that_is_kept_goes_back_to_its_manifest_only() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        let version = "1.0".parse().unwrap();
        let judge = |mutability: &Mutability, manifest| {
            let proposed = Proposed {
                manifest,
                root: Some(&a),
                base: None,
            };
            judge(mutability, &version, Name::Kept(&a), proposed)
        };
        assert_eq!(judge(&Mutability::Immutable, &a), Verdict::New);
        assert_eq!(judge(&Mutability::Immutable, &b), Verdict::Taken);
        assert_eq!(judge(&Mutability::Mutable, &b), Verdict::New);
    }
}
