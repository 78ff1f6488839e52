//! Copies between ends in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

use std::sync::atomic::{AtomicU64, Ordering};

use modelkeep_core::{
    ByteRange, Descriptor, Document, Index, Limits, Manifest,
    content::{Error, Need, Source, Target},
    manifest::to_json,
    media,
};
use modelkeep_testkit::Memory;
use modelkeep_transfer::{Copied, CopyError, Tree, copy};

/// An index over two images that share a layer of some pieces.
fn index(end: &Memory) -> Descriptor {
    let layer = end.put(media::OCI_LAYER, &vec![7; (2 << 20) + 5]).unwrap();
    let manifests = ["amd64", "arm64"].map(|architecture| {
        let config = end.put(media::OCI_CONFIG, architecture.as_bytes()).unwrap();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers: vec![layer.clone()],
            subject: None,
            annotations: Default::default(),
        };
        end.put(media::OCI_MANIFEST, &to_json(&manifest)).unwrap()
    });
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: manifests.to_vec(),
        subject: None,
        annotations: Default::default(),
    };
    end.put(media::OCI_INDEX, &to_json(&index)).unwrap()
}

#[test]
fn everything_that_a_root_needs_is_copied_once() {
    let (source, target) = (Memory::default(), Memory::default());
    let root = index(&source);
    let seen = AtomicU64::new(0);
    let on_bytes = |bytes| {
        seen.fetch_add(bytes, Ordering::Relaxed);
    };
    let copied = copy(&source, &target, &root, 3, &on_bytes).unwrap();
    assert_eq!((copied.blobs, copied.reused), (6, 0));
    assert_eq!(copied.bytes, seen.into_inner());
    let again = copy(&source, &target, &root, 3, &|_| {}).unwrap();
    assert_eq!(
        again,
        Copied {
            blobs: 0,
            bytes: 0,
            reused: 6
        }
    );
    assert_eq!(
        source.fetch(&root, 1 << 20).unwrap(),
        target.fetch(&root, 1 << 20).unwrap()
    );
}

#[test]
fn an_image_that_an_index_names_many_times_is_copied_once() {
    let (source, target) = (Memory::default(), Memory::default());
    let inner = index(&source);
    let names = |n: usize| Descriptor {
        annotations: [("n".to_owned(), n.to_string())].into(),
        ..inner.clone()
    };
    let outer = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: (0..1000).map(names).collect(),
        subject: None,
        annotations: Default::default(),
    };
    let root = source.put(media::OCI_INDEX, &to_json(&outer)).unwrap();
    let copied = copy(&source, &target, &root, 1, &|_| {}).unwrap();
    assert_eq!((copied.blobs, copied.reused), (7, 0));
}

#[test]
fn a_source_that_lacks_a_blob_is_named_and_no_manifest_arrives() {
    struct Lossy<'a>(&'a Memory);
    impl Source for Lossy<'_> {
        fn open<'b>(
            &'b self,
            blob: &Descriptor,
            range: ByteRange,
        ) -> Result<Box<dyn std::io::Read + Send + 'b>, Error> {
            if blob.media_type == media::OCI_LAYER {
                return Err(Error::NotFound {
                    what: blob.digest.to_string(),
                    place: "the source".to_owned(),
                });
            }
            self.0.open(blob, range)
        }
    }
    let (source, target) = (Memory::default(), Memory::default());
    let root = index(&source);
    let error = copy(&Lossy(&source), &target, &root, 2, &|_| {}).unwrap_err();
    assert!(
        matches!(error, CopyError::Source(_, Error::NotFound { .. })),
        "{error:?}"
    );
    assert!(target.fetch(&root, 1 << 20).is_err());
}

#[test]
fn a_source_that_gives_other_bytes_is_refused() {
    struct Liar<'a>(&'a Memory);
    impl Source for Liar<'_> {
        fn open<'b>(
            &'b self,
            blob: &Descriptor,
            range: ByteRange,
        ) -> Result<Box<dyn std::io::Read + Send + 'b>, Error> {
            if blob.media_type == media::OCI_LAYER {
                return Ok(Box::new(std::io::repeat(8)));
            }
            self.0.open(blob, range)
        }
    }
    let (source, target) = (Memory::default(), Memory::default());
    let root = index(&source);
    let error = copy(&Liar(&source), &target, &root, 2, &|_| {}).unwrap_err();
    assert!(
        matches!(error, CopyError::Target(_, Error::Damaged { .. })),
        "{error:?}"
    );
    assert!(target.fetch(&root, 1 << 20).is_err());
}

fn list(end: &Memory, manifests: &[&Descriptor]) -> Descriptor {
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: manifests.iter().map(|&manifest| manifest.clone()).collect(),
        subject: None,
        annotations: Default::default(),
    };
    end.put(media::OCI_INDEX, &to_json(&index)).unwrap()
}

#[test]
fn no_manifest_comes_before_what_it_lists() {
    let source = Memory::default();
    let inner = index(&source);
    // The image stands beside an index that lists it: found first, and needed by both.
    let Document::Index(images) =
        Document::parse(&inner.media_type, &source.fetch(&inner, 1 << 20).unwrap()).unwrap()
    else {
        panic!("an index was made");
    };
    let middle = list(&source, &[&inner]);
    let root = list(&source, &[&images.manifests[0], &inner, &middle]);
    let tree = Tree::read(&source, &root).unwrap();
    let digests: Vec<_> = tree.manifests().iter().map(|manifest| &manifest.digest).collect();
    let place = |of: &Descriptor| digests.iter().position(|digest| **digest == of.digest).unwrap();
    assert_eq!(place(&root), 0);
    assert!(place(&middle) < place(&inner) && place(&inner) < place(&images.manifests[0]));
    assert_eq!((digests.len(), tree.blobs().count()), (5, 3));
}

#[test]
fn what_the_target_does_not_take_is_known_before_it_is_sent() {
    let source = Memory::default();
    let root = index(&source);
    let tree = Tree::read(&source, &root).unwrap();
    let small = Limits {
        layer_bytes: 2 << 20,
        ..Limits::default()
    };
    tree.check(&Limits::default()).unwrap();
    let error = tree.check(&small).unwrap_err();
    assert!(
        matches!(error, CopyError::TooLarge { what: "layer", .. }),
        "{error}"
    );
    let target = Memory::default();
    let has = |blob: &Descriptor| Ok(target.need(blob)? == Need::Nothing);
    assert_eq!(tree.missing(has, 2).unwrap().len(), 6);
    copy(&source, &target, &root, 1, &|_| {}).unwrap();
    assert_eq!(tree.missing(has, 2).unwrap(), []);
}

#[test]
fn an_index_that_lists_too_much_is_refused() {
    let source = Memory::default();
    let one = index(&source);
    let many = list(&source, &vec![&one; 15_000]);
    let mut indexes = Vec::new();
    for n in 0..4 {
        let wide = Descriptor {
            annotations: [("n".to_owned(), n.to_string())].into(),
            ..many.clone()
        };
        let mut entries = vec![&one; 14_000];
        entries.push(&wide);
        indexes.push(list(&source, &entries));
    }
    let root = list(&source, &indexes.iter().collect::<Vec<_>>());
    let error = Tree::read(&source, &root).unwrap_err();
    assert!(matches!(error, CopyError::TooMany(..)), "{error}");
}
