use std::{fs, os::unix::fs::symlink};

use modelkeep_core::content::{Need, Target};

use super::*;

fn put(layout: &OciLayoutWriter, bytes: &[u8]) -> Descriptor {
    layout.put(media::OCI_MANIFEST, bytes).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let bytes = fs::read(path.join(INDEX_FILE)).unwrap();
    let index: Index = serde_json::from_slice(&bytes).unwrap();
    let name = |entry: Descriptor| entry.annotations[annotation::REF_NAME].clone();
    index.manifests.into_iter().map(name).collect()
}

#[test]
fn versions_gather_in_a_layout_and_keep_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/layout");
    for (name, content) in [("1.0", "a"), ("1.1", "b"), ("1.0", "c")] {
        let layout = OciLayoutWriter::create(&path).unwrap();
        let descriptor = put(&layout, content.as_bytes());
        assert_eq!(layout.need(&descriptor).unwrap(), Need::Nothing);
        assert_eq!(layout.fetch(&descriptor, 100).unwrap(), content.as_bytes());
        layout.finish(&descriptor, name, &[]).unwrap();
    }
    assert_eq!(names(&path), ["1.1", "1.0"]);
    let mut there: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    there.sort();
    assert_eq!(there, ["blobs", "index.json", "oci-layout"]);
    assert_eq!(
        fs::read_to_string(path.join(VERSION_FILE)).unwrap(),
        r#"{"imageLayoutVersion":"1.0.0"}"#
    );
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(
        OciLayoutWriter::create(directory.path()),
        Err(Error::Malformed { .. })
    ));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_layout_of_another_version_is_left_alone_and_a_busy_one_too() {
    let directory = tempfile::tempdir().unwrap();
    let layout = OciLayoutWriter::create(directory.path()).unwrap();
    assert!(matches!(
        OciLayoutWriter::create(directory.path()),
        Err(Error::Malformed { .. })
    ));
    drop(layout);
    OciLayoutWriter::create(directory.path()).unwrap();
    fs::write(
        directory.path().join(VERSION_FILE),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(
        OciLayoutWriter::create(directory.path()),
        Err(Error::Malformed { .. })
    ));
}

/// A layout with the image `1.0`, what says something about it, and an index of the image.
fn layout(path: &Path) -> (Descriptor, Descriptor) {
    let writer = OciLayoutWriter::create(path).unwrap();
    let config = writer.put(media::OCI_CONFIG, b"{}").unwrap();
    let manifest = |subject: Option<&Descriptor>| {
        modelkeep_core::manifest::to_json(&modelkeep_core::Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: subject.map(|_| "application/x-signature".to_owned()),
            config: config.clone(),
            layers: Vec::new(),
            subject: subject.cloned(),
            annotations: BTreeMap::new(),
        })
    };
    let image = writer.put(media::OCI_MANIFEST, &manifest(None)).unwrap();
    let about = writer.put(media::OCI_MANIFEST, &manifest(Some(&image))).unwrap();
    writer
        .finish(&image, "1.0", std::slice::from_ref(&about))
        .unwrap();
    (image, about)
}

#[test]
fn an_image_is_found_by_name_by_digest_and_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (image, about) = layout(directory.path());
    let opened = OciLayout::open(directory.path()).unwrap();
    assert_eq!(opened.find(&Named::Only).unwrap(), image);
    assert_eq!(opened.find(&Named::Name("1.0".to_owned())).unwrap(), image);
    assert_eq!(opened.find(&Named::Digest(about.digest.clone())).unwrap(), about);
    let error = opened.find(&Named::Name("2.0".to_owned())).unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { place, .. } if place.ends_with("1.0")),
        "{error}"
    );
    let writer = OciLayoutWriter::create(directory.path()).unwrap();
    writer.finish(&about, "2.0", &[]).unwrap();
    let opened = OciLayout::open(directory.path()).unwrap();
    assert!(matches!(opened.find(&Named::Only), Err(Error::Malformed { .. })));
}

#[test]
fn what_says_something_about_an_image_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (image, about) = layout(directory.path());
    let opened = OciLayout::open(directory.path()).unwrap();
    let found = opened.referrers(&image.digest).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, about.digest);
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/x-signature"));
    assert!(opened.referrers(&about.digest).unwrap().is_empty());
}

#[test]
fn no_link_leads_out_of_a_layout() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "{}").unwrap();
    let refuses = |link: &dyn Fn(&Path, &Descriptor)| {
        let directory = tempfile::tempdir().unwrap();
        let (image, _) = layout(directory.path());
        link(directory.path(), &image);
        let opened = OciLayout::open(directory.path())?;
        opened.fetch(&image, 1000).map(drop)
    };
    let replaced = |path: &Path, to: &Path| {
        if path.is_dir() {
            fs::rename(path, to.with_file_name("moved")).unwrap();
            symlink(to.with_file_name("moved"), path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
            symlink(to, path).unwrap();
        }
    };
    let blob = |path: &Path, image: &Descriptor| path.join("blobs/sha256").join(image.digest.hex());
    for link in [
        &|path: &Path, image: &Descriptor| replaced(&blob(path, image), &secret),
        &|path: &Path, _: &Descriptor| replaced(&path.join("blobs/sha256"), &secret),
        &|path: &Path, _: &Descriptor| replaced(&path.join(INDEX_FILE), &secret),
        &|path: &Path, _: &Descriptor| replaced(&path.join(VERSION_FILE), &secret),
    ] as [&dyn Fn(&Path, &Descriptor); 4]
    {
        let error = refuses(link).unwrap_err();
        assert!(matches!(&error, Error::Malformed { .. }), "{error}");
        let _ = fs::remove_dir_all(outside.path().join("moved"));
    }
}

#[test]
fn what_is_no_layout_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = || OciLayout::open(directory.path()).unwrap_err();
    assert!(matches!(open(), Error::Malformed { .. }));
    fs::write(
        directory.path().join(VERSION_FILE),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(open(), Error::Malformed { .. }));
    for index in [
        "{}".to_owned(),
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"a","size":-1,"digest":"x"}]}"#.to_owned(),
        format!("[{}", " ".repeat(5 << 20)),
    ] {
        fs::write(directory.path().join(INDEX_FILE), index).unwrap();
        assert!(matches!(open(), Error::Malformed { .. }));
    }
    assert!(matches!(
        OciLayout::open(&directory.path().join("none")),
        Err(Error::Io { .. })
    ));
}
