//! What a registry asks of the ledger: tags pushed by anybody, and deletes.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_core::{
    Descriptor, Digest, Index, Manifest, Mutability, Tag,
    content::{Journal, Names, Target as _},
    manifest, media,
    name::Target,
};
use modelkeep_ledger::{
    DeleteError, Draft, Entry, Force, Histories, History, Operation, Outcome, Publish, PublishError,
    TagError, Who, clear, delete, publish, read, tag, untag,
};
use modelkeep_testkit::Memory;

fn who() -> Who {
    Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "ada".to_owned(),
        seal: None,
    }
}

fn name(text: &str) -> Tag {
    text.parse().unwrap()
}

/// A manifest that is stored, and not yet admitted.
fn image(end: &Memory, content: &str) -> Descriptor {
    let image = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: end.put(media::OCI_CONFIG, b"{}").unwrap(),
        layers: vec![end.put(media::OCI_LAYER, content.as_bytes()).unwrap()],
        subject: None,
        annotations: Default::default(),
    };
    end.put(media::OCI_MANIFEST, &manifest::to_json(&image)).unwrap()
}

fn plain(manifest: &Descriptor) -> Publish {
    Publish::of(manifest.clone())
}

fn push(end: &Memory, tags: &[&str], manifest: &Descriptor) -> Result<Vec<(Tag, Outcome)>, TagError> {
    let tags: Vec<Tag> = tags.iter().map(|tag| name(tag)).collect();
    tag(end, None, &who(), &tags, &plain(manifest))
}

fn delete_tag(end: &Memory, tag: &str, force: Force) -> Result<Vec<Tag>, DeleteError> {
    delete(end, None, &who(), &Target::Tag(name(tag)), force)
}

fn delete_digest(end: &Memory, manifest: &Descriptor, force: Force) -> Result<Vec<Tag>, DeleteError> {
    delete(end, None, &who(), &Target::Digest(manifest.digest.clone()), force)
}

fn resolved(end: &Memory, tag: &str) -> Option<Digest> {
    end.resolve(&name(tag)).unwrap().map(|found| found.digest)
}

#[test]
fn a_manifest_without_tags_is_admitted_without_an_entry() {
    let end = Memory::default();
    let one = image(&end, "one");
    assert_eq!(push(&end, &[], &one).unwrap(), []);
    assert_eq!(read(&end).unwrap().height(), 0);
    let change = Journal::begin(&end).unwrap();
    assert_eq!(change.manifest(&one.digest).unwrap(), Some(one));
}

#[test]
fn every_pushed_version_has_an_entry_and_pushing_again_changes_nothing() {
    let end = Memory::default();
    let one = image(&end, "one");
    let first = push(&end, &["1.0", "1", "1.0"], &one).unwrap();
    assert_eq!(
        first,
        [(name("1.0"), Outcome::Published), (name("1"), Outcome::Published)]
    );
    let again = push(&end, &["1.0", "1.0.0"], &one).unwrap();
    assert_eq!(
        again,
        [
            (name("1.0"), Outcome::Unchanged),
            (name("1.0.0"), Outcome::Published)
        ]
    );
    let history = read(&end).unwrap();
    let versions: Vec<&str> = history
        .publications()
        .iter()
        .map(|p| p.version.as_str())
        .collect();
    assert_eq!(versions, ["1.0", "1", "1.0.0"]);
    assert_eq!(history.publications()[0].author, "ada");
}

#[test]
fn one_tag_that_may_not_move_keeps_all_from_being_set() {
    let end = Memory::default();
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    push(&end, &["1.0", "2.0"], &one).unwrap();
    let error = push(&end, &["new", "1.0", "2.0"], &two).unwrap_err();
    let TagError::Refused(refused) = error else {
        panic!("{error}");
    };
    let refused: Vec<(&str, &Digest)> = refused.iter().map(|r| (r.tag.as_str(), &r.stays)).collect();
    assert_eq!(refused, [("1.0", &one.digest), ("2.0", &one.digest)]);
    assert_eq!(resolved(&end, "new"), None);
    assert_eq!(read(&end).unwrap().height(), 2);
    assert!(
        Journal::begin(&end)
            .unwrap()
            .manifest(&two.digest)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_registry_takes_another_manifest_with_the_same_content_for_another() {
    let end = Memory::default();
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    let root = Some(Digest::of(b"root"));
    let rooted = |manifest| Publish {
        root: root.clone(),
        ..plain(manifest)
    };
    tag(&end, None, &who(), &[name("1.0")], &rooted(&one)).unwrap();
    assert!(matches!(
        tag(&end, None, &who(), &[name("1.0")], &rooted(&two)),
        Err(TagError::Refused(_))
    ));
    assert_eq!(
        read(&end).unwrap().version(&name("1.0")).unwrap().publish.root,
        root
    );
}

#[test]
fn names_of_the_protocol_are_set_and_removed_without_history() {
    let end = Memory::default();
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    let fallback = format!("sha256-{}", one.digest.hex());
    push(&end, &[&fallback], &one).unwrap();
    let moved = push(&end, &[&fallback], &two).unwrap();
    assert_eq!(moved[0].1, Outcome::Published);
    assert_eq!(resolved(&end, &fallback), Some(two.digest));
    delete_tag(&end, &fallback, Force::No).unwrap();
    assert_eq!(resolved(&end, &fallback), None);
    assert_eq!(read(&end).unwrap().height(), 0);
}

#[test]
fn what_the_policy_holds_is_not_deleted() {
    let end = Memory::default();
    let one = image(&end, "one");
    push(&end, &["1.0"], &one).unwrap();
    for error in [
        delete_tag(&end, "1.0", Force::No).unwrap_err(),
        delete_digest(&end, &one, Force::No).unwrap_err(),
    ] {
        assert!(
            matches!(&error, DeleteError::Tag(tag) if tag.as_str() == "1.0"),
            "{error}"
        );
    }
    assert_eq!(resolved(&end, "1.0"), Some(one.digest));
    assert_eq!(read(&end).unwrap().height(), 1);
}

#[test]
fn what_is_not_there_is_not_deleted() {
    let end = Memory::default();
    let never = Descriptor::of(media::OCI_MANIFEST, b"never");
    for error in [
        delete_tag(&end, "1.0", Force::No).unwrap_err(),
        delete_digest(&end, &never, Force::OwnersAct).unwrap_err(),
    ] {
        assert!(matches!(error, DeleteError::NotFound(_)), "{error}");
    }
}

#[test]
fn a_deleted_tag_that_may_move_is_free_for_anything() {
    let end = Memory::new(Mutability::Mutable);
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    push(&end, &["dev", "other"], &one).unwrap();
    assert_eq!(delete_tag(&end, "dev", Force::No).unwrap(), [name("dev")]);
    assert_eq!(resolved(&end, "dev"), None);
    assert_eq!(resolved(&end, "other"), Some(one.digest));
    let history = read(&end).unwrap();
    assert!(history.version(&name("dev")).is_none() && history.kept(&name("dev")).is_none());
    push(&end, &["dev"], &two).unwrap();
    assert_eq!(resolved(&end, "dev"), Some(two.digest));
}

#[test]
fn a_name_that_the_owner_freed_goes_back_to_its_manifest_only() {
    let end = Memory::default();
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    push(&end, &["1.0"], &one).unwrap();
    delete_tag(&end, "1.0", Force::OwnersAct).unwrap();
    assert_eq!(resolved(&end, "1.0"), None);
    let error = push(&end, &["1.0"], &two).unwrap_err();
    assert!(matches!(&error, TagError::Refused(refused) if refused[0].stays == one.digest));
    let draft = Draft {
        version: name("1.0"),
        who: who(),
        children: Vec::new(),
        publish: plain(&two),
    };
    let error = publish(&end, draft).unwrap_err();
    assert!(matches!(&error, PublishError::Kept { kept, .. } if *kept == one.digest));
    push(&end, &["1.0"], &one).unwrap();
    assert_eq!(resolved(&end, "1.0"), Some(one.digest));
    assert_eq!(read(&end).unwrap().publications().len(), 2);
}

#[test]
fn a_manifest_goes_with_all_its_tags() {
    let end = Memory::new(Mutability::Mutable);
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    let fallback = format!("sha256-{}", two.digest.hex());
    push(&end, &["a", "b", &fallback], &one).unwrap();
    push(&end, &["c"], &two).unwrap();
    let mut gone = delete_digest(&end, &one, Force::No).unwrap();
    gone.sort();
    assert_eq!(gone, [name("a"), name("b"), name(&fallback)]);
    assert_eq!(end.tags().unwrap(), [name("c")]);
    assert!(
        Journal::begin(&end)
            .unwrap()
            .manifest(&one.digest)
            .unwrap()
            .is_none()
    );
    assert!(matches!(
        delete_digest(&end, &one, Force::No),
        Err(DeleteError::NotFound(_))
    ));
    let history = read(&end).unwrap();
    assert_eq!((history.height(), history.newest_first().len()), (5, 1));
}

#[test]
fn an_index_is_not_deleted_from_under() {
    let end = Memory::new(Mutability::Mutable);
    let child = image(&end, "one");
    push(&end, &["child"], &child).unwrap();
    let index = Index {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        manifests: vec![child.clone()],
        subject: None,
        annotations: Default::default(),
    };
    let index = end.put(media::OCI_INDEX, &manifest::to_json(&index)).unwrap();
    push(&end, &[], &index).unwrap();
    for force in [Force::No, Force::OwnersAct] {
        let error = delete_digest(&end, &child, force).unwrap_err();
        assert!(matches!(&error, DeleteError::Index(by) if *by == index.digest));
    }
    assert_eq!(resolved(&end, "child"), Some(child.digest.clone()));
    delete_digest(&end, &index, Force::No).unwrap();
    delete_digest(&end, &child, Force::No).unwrap();
    assert_eq!(end.tags().unwrap(), []);
}

#[test]
fn whoever_comes_next_finishes_a_delete_and_a_publication() {
    let end = Memory::new(Mutability::Mutable);
    let one = image(&end, "one");
    push(&end, &["1.0"], &one).unwrap();
    delete_tag(&end, "1.0", Force::No).unwrap();
    // As if the one that deleted had died before it removed the tag.
    Journal::begin(&end).unwrap().set_tag(&name("1.0"), &one).unwrap();
    push(&end, &[], &one).unwrap();
    assert_eq!(resolved(&end, "1.0"), None);
    push(&end, &["1.1"], &one).unwrap();
    Journal::begin(&end).unwrap().remove_tag(&name("1.1")).unwrap();
    push(&end, &[], &one).unwrap();
    assert_eq!(resolved(&end, "1.1"), Some(one.digest));
}

#[test]
fn a_delete_is_an_entry_that_says_what_was_deleted() {
    let end = Memory::default();
    let one = image(&end, "one");
    push(&end, &["1.0"], &one).unwrap();
    delete_tag(&end, "1.0", Force::OwnersAct).unwrap();
    let entry = Entry::parse(&end.entries(2).unwrap()[0]).unwrap();
    assert_eq!((entry.version(), entry.author()), (&name("1.0"), "ada"));
    assert!(matches!(entry.operation(), Operation::Delete(delete) if delete.manifest == one));
}

#[test]
fn a_repository_that_is_cleared_keeps_its_history_and_the_names_that_were_held() {
    let filters = vec!["latest".parse().unwrap()];
    let end = Memory::new(Mutability::ImmutableWithExclusion(filters));
    let (one, two) = (image(&end, "one"), image(&end, "two"));
    push(
        &end,
        &["1.0", "latest", &format!("sha256-{}", "0".repeat(64))],
        &one,
    )
    .unwrap();
    push(&end, &["1.1"], &two).unwrap();
    // An index that lists a manifest does not keep it, nor does one that lists an index.
    let mut lists = two.clone();
    for _ in 0..2 {
        let index = Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: vec![lists],
            subject: None,
            annotations: Default::default(),
        };
        lists = end.put(media::OCI_INDEX, &manifest::to_json(&index)).unwrap();
        push(&end, &[], &lists).unwrap();
    }
    let gone = clear(&end, &who()).unwrap();
    assert_eq!(gone.len(), 4);
    assert!(end.tags().unwrap().is_empty());
    assert!(Journal::begin(&end).unwrap().manifests().unwrap().is_empty());
    let history = read(&end).unwrap();
    assert_eq!(history.height(), 6);
    assert_eq!(history.kept(&name("1.0")).unwrap().digest, one.digest);
    assert_eq!(history.kept(&name("latest")), None);
    assert!(clear(&end, &who()).unwrap().is_empty());
    assert_eq!(read(&end).unwrap().height(), 6, "there is nothing left to record");
    assert!(matches!(push(&end, &["1.0"], &two), Err(TagError::Refused(_))));
    push(&end, &["1.0"], &one).unwrap();
}

#[test]
fn the_last_tag_takes_its_manifest_with_it_and_no_other_does() {
    let end = Memory::new(Mutability::Immutable);
    let one = image(&end, "one");
    push(&end, &["1.0", "1.1"], &one).unwrap();
    let gone = |tag: &str, force| untag(&end, &who(), &name(tag), None, force);
    assert!(matches!(gone("1.0", Force::No), Err(DeleteError::Tag(_))));
    assert!(matches!(
        gone("2.0", Force::OwnersAct),
        Err(DeleteError::NotFound(_))
    ));
    let other = Digest::of(b"other");
    let expected = untag(&end, &who(), &name("1.0"), Some(&other), Force::OwnersAct);
    assert!(matches!(expected, Err(DeleteError::NotFound(_))));
    let manifests = || Journal::begin(&end).unwrap().manifests().unwrap().len();
    assert_eq!(gone("1.0", Force::OwnersAct).unwrap().digest, one.digest);
    assert_eq!(manifests(), 1);
    gone("1.1", Force::OwnersAct).unwrap();
    assert_eq!(manifests(), 0);
    assert_eq!(read(&end).unwrap().kept(&name("1.0")).unwrap().digest, one.digest);
}

#[test]
fn the_last_tag_of_what_an_index_lists_stays() {
    let end = Memory::new(Mutability::Mutable);
    let one = image(&end, "one");
    push(&end, &["1.0"], &one).unwrap();
    let index = Index {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        manifests: vec![one.clone()],
        subject: None,
        annotations: Default::default(),
    };
    let index = end.put(media::OCI_INDEX, &manifest::to_json(&index)).unwrap();
    push(&end, &["all"], &index).unwrap();
    let gone = |tag: &str| untag(&end, &who(), &name(tag), None, Force::OwnersAct);
    assert!(matches!(gone("1.0"), Err(DeleteError::Index(listing)) if listing == index.digest));
    gone("all").unwrap();
    gone("1.0").unwrap();
    assert!(end.tags().unwrap().is_empty());
}

#[test]
fn what_is_remembered_goes_on_with_what_others_added() {
    let end = Memory::default();
    let [one, two] = ["one", "two"].map(|mark| image(&end, mark));
    let (histories, digits) = (Histories::default(), "digits".parse().unwrap());
    let here = |tags: &[&str], manifest: &Descriptor| {
        let tags: Vec<Tag> = tags.iter().map(|tag| name(tag)).collect();
        tag(&end, Some(histories.of(&digits)), &who(), &tags, &plain(manifest))
    };
    here(&["1.0"], &one).unwrap();
    push(&end, &["1.1"], &one).unwrap();
    let Err(TagError::Refused(refused)) = here(&["1.1"], &two) else {
        panic!("1.1 is another manifest");
    };
    assert_eq!(refused[0].next_free, Some(name("1.2")));
    here(&["1.2"], &two).unwrap();
    push(&end, &["1.3"], &two).unwrap();
    here(&["1.4", "1.5"], &one).unwrap();
    let history = History::verify(&end.entries(1).unwrap()).unwrap();
    assert_eq!(history.height(), 6);

    // A repository of the same name that began anew.
    let end = Memory::default();
    let one = image(&end, "one");
    for version in ["1.1", "1.0"] {
        let recent = Some(histories.of(&digits));
        tag(&end, recent, &who(), &[name(version)], &plain(&one)).unwrap();
    }
    assert_eq!(History::verify(&end.entries(1).unwrap()).unwrap().height(), 2);
}

#[test]
fn looking_a_version_up_finishes_its_publication() {
    let end = Memory::default();
    let one = image(&end, "one");
    let (histories, digits) = (Histories::default(), "digits".parse().unwrap());
    let look_up = |tag: &str| {
        let found = histories.of(&digits).look_up::<TagError>(&end, &name(tag));
        found.unwrap().map(|found| found.digest)
    };
    assert_eq!(look_up("1.0"), None);
    push(&end, &["1.0"], &one).unwrap();
    // As if its publisher had died before it wrote the tag.
    Journal::begin(&end).unwrap().remove_tag(&name("1.0")).unwrap();
    assert_eq!(look_up("1.0"), Some(one.digest.clone()));
    assert_eq!(resolved(&end, "1.0"), Some(one.digest));
    assert_eq!(look_up("1.1"), None);
    delete_tag(&end, "1.0", Force::OwnersAct).unwrap();
    assert_eq!(look_up("1.0"), None);
}
