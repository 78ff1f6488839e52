//! Copies between ends in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

use std::sync::atomic::{AtomicU64, Ordering};

use modelkeep_core::{
    ByteRange, Descriptor, Index, Manifest,
    content::{Error, Source, Target},
    manifest::to_json,
    media,
};
use modelkeep_testkit::Memory;
use modelkeep_transfer::{Copied, CopyError, copy};

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
