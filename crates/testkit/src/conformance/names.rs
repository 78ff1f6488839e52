//! Clauses of [`Names`](modelkeep_core::content::Names), [`Journal`] and [`Transaction`].

use std::collections::BTreeMap;

use modelkeep_core::{
    Descriptor, Digest, Index, Manifest, Tag,
    content::{Error, Journal, Result, Transaction},
    manifest, media,
};

use super::NameEnd;

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn image(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// A manifest whose blobs the end has.
fn whole_image(end: &dyn NameEnd, content: &str) -> Manifest {
    let config = end.put(media::OCI_CONFIG, b"{}").unwrap();
    let layer = end.put(media::OCI_LAYER, content.as_bytes()).unwrap();
    image(config, vec![layer])
}

fn put(end: &dyn NameEnd, image: &Manifest) -> Descriptor {
    end.put(media::OCI_MANIFEST, &manifest::to_json(image)).unwrap()
}

fn begin(end: &dyn NameEnd) -> Box<dyn Transaction + '_> {
    Journal::begin(end).unwrap()
}

fn admit(end: &dyn NameEnd, manifest: &Descriptor) -> Result<()> {
    begin(end).admit(manifest)
}

fn admitted(end: &dyn NameEnd, content: &str) -> Descriptor {
    let manifest = put(end, &whole_image(end, content));
    admit(end, &manifest).unwrap();
    manifest
}

fn elsewhere(content: &str) -> Descriptor {
    Descriptor::of(media::OCI_LAYER, content.as_bytes())
}

/// A tag is nothing, then what it was set to, then what it was set to next.
pub fn a_tag_is_what_it_was_last_set_to(end: &dyn NameEnd) {
    let (one, two) = (admitted(end, "one"), admitted(end, "two"));
    assert_eq!(end.resolve(&tag("1.0")).unwrap(), None);
    for manifest in [&one, &two, &two, &one] {
        begin(end).set_tag(&tag("1.0"), manifest).unwrap();
        assert_eq!(end.resolve(&tag("1.0")).unwrap().as_ref(), Some(manifest));
    }
    assert_eq!(end.resolve(&tag("1.1")).unwrap(), None);
}

/// Case and length of a tag are kept, and the order is that of the bytes.
pub fn tags_are_listed_in_byte_order(end: &dyn NameEnd) {
    assert_eq!(end.tags().unwrap(), []);
    let manifest = admitted(end, "one");
    let longest = "L".repeat(128);
    let mut tags: Vec<Tag> = ["v1", "V1", "_x", "1.10", "1.9", "1.0-rc", "B", "a", &longest]
        .into_iter()
        .map(tag)
        .collect();
    let mut change = begin(end);
    for tag in &tags {
        change.set_tag(tag, &manifest).unwrap();
    }
    drop(change);
    tags.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    assert_eq!(end.tags().unwrap(), tags);
}

/// No tag is left pointing at what is not a manifest of the repository.
pub fn a_tag_points_at_nothing_but_a_manifest(end: &dyn NameEnd) {
    let stored = put(end, &whole_image(end, "one"));
    for manifest in [&stored, &elsewhere("absent")] {
        let error = begin(end).set_tag(&tag("1.0"), manifest).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    assert_eq!(end.tags().unwrap(), []);
}

/// Without its config, or a layer in the size that it says, a manifest is refused.
pub fn a_manifest_is_admitted_with_all_that_it_needs(end: &dyn NameEnd) {
    let whole = whole_image(end, "one");
    let mut other_size = whole.layers[0].clone();
    other_size.size += 1;
    for broken in [
        image(elsewhere("config"), whole.layers.clone()),
        image(
            whole.config.clone(),
            vec![whole.layers[0].clone(), elsewhere("layer")],
        ),
        image(whole.config.clone(), vec![other_size]),
    ] {
        let error = admit(end, &put(end, &broken)).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    let absent = Descriptor::of(media::OCI_MANIFEST, b"never stored");
    assert!(matches!(admit(end, &absent), Err(Error::NotFound { .. })));
    admit(end, &put(end, &whole)).unwrap();
}

/// To admit is to say what is so; it may be said twice.
pub fn a_manifest_may_be_admitted_again(end: &dyn NameEnd) {
    let manifest = admitted(end, "one");
    admit(end, &manifest).unwrap();
    begin(end).set_tag(&tag("1.0"), &manifest).unwrap();
}

/// What a manifest only mentions may be missing.
pub fn a_manifest_does_not_need_its_subject_or_what_lies_elsewhere(end: &dyn NameEnd) {
    let mut image = whole_image(end, "one");
    image.subject = Some(elsewhere("subject"));
    let mut foreign = elsewhere("foreign");
    foreign.urls = vec!["https://example.com/layer".to_owned()];
    image.layers.push(foreign);
    admit(end, &put(end, &image)).unwrap();
}

/// A tag that is removed is gone, alone, and may be set again.
pub fn a_removed_tag_is_gone_and_can_be_set_again(end: &dyn NameEnd) {
    let manifest = admitted(end, "one");
    let mut change = begin(end);
    change.remove_tag(&tag("1.0")).unwrap();
    for name in ["1.0", "V1", "v1"] {
        change.set_tag(&tag(name), &manifest).unwrap();
    }
    change.remove_tag(&tag("V1")).unwrap();
    assert_eq!(change.resolve(&tag("V1")).unwrap(), None);
    assert_eq!(change.tags().unwrap(), [tag("1.0"), tag("v1")]);
    change.set_tag(&tag("V1"), &manifest).unwrap();
    drop(change);
    assert_eq!(end.resolve(&tag("V1")).unwrap(), Some(manifest));
}

/// What is withdrawn is no manifest any more, until it is admitted again.
pub fn a_withdrawn_manifest_is_none_until_it_is_admitted_again(end: &dyn NameEnd) {
    let (gone, stays) = (admitted(end, "one"), admitted(end, "two"));
    let mut change = begin(end);
    change.withdraw(&elsewhere("never").digest).unwrap();
    assert_eq!(change.manifest(&gone.digest).unwrap().as_ref(), Some(&gone));
    change.withdraw(&gone.digest).unwrap();
    assert_eq!(change.manifest(&gone.digest).unwrap(), None);
    assert!(matches!(
        change.set_tag(&tag("1.0"), &gone),
        Err(Error::NotFound { .. })
    ));
    change.set_tag(&tag("1.0"), &stays).unwrap();
    change.admit(&gone).unwrap();
    change.set_tag(&tag("1.0"), &gone).unwrap();
}

/// Who would withdraw a manifest can ask whether an index lists it.
pub fn the_index_that_lists_a_manifest_is_found(end: &dyn NameEnd) {
    let (child, other) = (admitted(end, "one"), admitted(end, "two"));
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: vec![child.clone()],
        subject: Some(other.clone()),
        annotations: BTreeMap::new(),
    };
    let index = end.put(media::OCI_INDEX, &manifest::to_json(&index)).unwrap();
    let mut change = begin(end);
    assert_eq!(change.listed_by(&child.digest).unwrap(), None);
    change.admit(&index).unwrap();
    assert_eq!(
        change.listed_by(&child.digest).unwrap().as_ref(),
        Some(&index.digest)
    );
    for unlisted in [&other, &index] {
        assert_eq!(change.listed_by(&unlisted.digest).unwrap(), None);
    }
    change.withdraw(&index.digest).unwrap();
    assert_eq!(change.listed_by(&child.digest).unwrap(), None);
}

/// An index needs manifests; that their bytes are stored is not enough.
pub fn an_index_needs_its_manifests(end: &dyn NameEnd) {
    let child = put(end, &whole_image(end, "one"));
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: vec![child.clone()],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let index = end.put(media::OCI_INDEX, &manifest::to_json(&index)).unwrap();
    assert!(matches!(admit(end, &index), Err(Error::NotFound { .. })));
    admit(end, &child).unwrap();
    admit(end, &index).unwrap();
}

/// Bytes are read as the type that they came as, and refused if they are something else.
pub fn what_is_not_a_manifest_is_not_admitted(end: &dyn NameEnd) {
    let image = put(end, &whole_image(end, "one"));
    let as_index = Descriptor::plain(media::OCI_INDEX, image.digest, image.size);
    let text = end.put(media::OCI_MANIFEST, b"hello").unwrap();
    let config = end.put(media::OCI_CONFIG, b"{}").unwrap();
    for descriptor in [as_index, text, config] {
        let error = admit(end, &descriptor).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        assert!(begin(end).set_tag(&tag("1.0"), &descriptor).is_err());
    }
}

/// Heights begin at 1.
pub fn entries_are_read_from_any_height(end: &dyn NameEnd) {
    assert!(end.entries(0).unwrap().is_empty());
    let mut change = begin(end);
    for height in 1..=12 {
        change
            .append(height, format!("entry {height}").as_bytes())
            .unwrap();
    }
    drop(change);
    for (from, count) in [(0, 12), (1, 12), (2, 11), (12, 1), (13, 0), (u64::MAX, 0)] {
        let entries = end.entries(from).unwrap();
        assert_eq!(entries.len(), count, "from {from}");
        let first = entries
            .first()
            .map(|entry| String::from_utf8_lossy(entry).into_owned());
        let expected = (count > 0).then(|| format!("entry {}", from.max(1)));
        assert_eq!(first, expected);
    }
}

/// History is only ever added to, at its end.
pub fn a_height_is_given_once_and_without_a_gap(end: &dyn NameEnd) {
    let mut change = begin(end);
    for height in [0, 2, u64::MAX] {
        assert!(change.append(height, b"gap").is_err(), "{height}");
    }
    change.append(1, b"one").unwrap();
    for height in [0, 1, 3] {
        assert!(change.append(height, b"again").is_err(), "{height}");
    }
    change.append(2, b"two").unwrap();
    assert!(change.append(1, b"again").is_err());
    drop(change);
    assert_eq!(end.entries(1).unwrap(), [b"one", b"two"]);
}

/// Whoever changes names decides by what stands, which is what it did.
pub fn a_change_sees_what_it_did(end: &dyn NameEnd) {
    let manifest = put(end, &whole_image(end, "one"));
    let mut change = begin(end);
    change.admit(&manifest).unwrap();
    change.append(1, b"one").unwrap();
    change.set_tag(&tag("1.0"), &manifest).unwrap();
    assert_eq!(change.resolve(&tag("1.0")).unwrap(), Some(manifest));
    assert_eq!(change.tags().unwrap(), [tag("1.0")]);
    assert_eq!(change.entries(1).unwrap(), [b"one"]);
}

/// What was decided in a change still holds when it is done: of many who give a version, one does.
pub fn changes_take_turns(end: &dyn NameEnd) {
    const ROUNDS: usize = 10;
    let manifests: Vec<Descriptor> = (0..8).map(|n| admitted(end, &n.to_string())).collect();
    let publish = |manifest: &Descriptor, version: &Tag| {
        let mut change = begin(end);
        if change.resolve(version).unwrap().is_some() {
            return;
        }
        let height = change.entries(1).unwrap().len() as u64 + 1;
        change
            .append(height, format!("{version} {}", manifest.digest).as_bytes())
            .unwrap();
        change.set_tag(version, manifest).unwrap();
    };
    std::thread::scope(|scope| {
        for manifest in &manifests {
            scope.spawn(move || (0..ROUNDS).for_each(|n| publish(manifest, &tag(&n.to_string()))));
        }
    });
    let entries = end.entries(1).unwrap();
    assert_eq!(entries.len(), ROUNDS);
    for entry in entries {
        let entry = String::from_utf8(entry).unwrap();
        let (version, digest) = entry.split_once(' ').unwrap();
        let digest: Digest = digest.parse().unwrap();
        assert_eq!(end.resolve(&tag(version)).unwrap().unwrap().digest, digest);
    }
}

/// It would wait for itself.
pub fn a_change_within_a_change_is_refused(end: &dyn NameEnd) {
    let change = begin(end);
    assert!(change.begin().is_err());
}
