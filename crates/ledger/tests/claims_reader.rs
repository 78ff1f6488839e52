//! What a reader makes of a registry on which somebody has written what does not belong there, or taken something away.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{sync::Arc, time::Duration};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Error, Journal, Manifests, Names},
    media,
    name::Target,
};
use modelkeep_ledger::{
    Draft, Founds, Outcome, Publish, PublishError, Seal, Who, Written,
    claim::{Claim, Phase, Place},
    claims::{Claims, Pace, to_manifest},
    publish,
    signing::PrivateKey,
};
use modelkeep_testkit::Loose;

fn claims(registry: &Loose) -> Claims<Loose> {
    let pace = Pace {
        settle: Duration::ZERO,
        connections: 2,
        wait: Arc::new(|_| {}),
    };
    Claims::new(registry.clone(), "test/model", Mutability::Immutable, pace)
}

fn draft(registry: &Loose, version: &str) -> Draft {
    let manifest = registry.put(media::OCI_MANIFEST, version.as_bytes());
    Draft {
        version: version.parse().unwrap(),
        who: Who {
            time: "2026-11-01T00:00:00Z".to_owned(),
            author: "a".to_owned(),
            seal: None,
        },
        children: Vec::new(),
        publish: Publish::of(manifest),
    }
}

/// A registry with the versions 1.0, 1.1 and 1.2, and their entries.
fn registry() -> (Loose, Vec<Vec<u8>>) {
    let registry = Loose::calm();
    for version in ["1.0", "1.1", "1.2"] {
        publish(&claims(&registry), draft(&registry, version)).unwrap();
    }
    let entries = claims(&registry).entries(1).unwrap();
    assert_eq!(entries.len(), 3);
    (registry, entries)
}

fn place(height: u64, entry: &[u8]) -> Tag {
    let entry = Written::id_of(entry);
    Place { height, entry }.tag()
}

fn claim(height: u64, entry: &[u8], phase: Phase) -> Tag {
    let entry = Written::id_of(entry);
    let round = 1;
    Claim {
        height,
        round,
        phase,
        entry,
    }
    .tag()
}

fn write(registry: &Loose, tag: &Tag, entry: &[u8]) {
    let manifest = to_manifest(entry).unwrap();
    registry.write(tag, media::OCI_INDEX, &manifest).unwrap();
}

/// An entry for place 3 that follows entry 2 as well as the one that is there.
fn other_third() -> Vec<u8> {
    let other = Loose::calm();
    for version in ["1.0", "1.1", "2.0"] {
        publish(&claims(&other), draft(&other, version)).unwrap();
    }
    claims(&other).entries(3).unwrap().remove(0)
}

#[test]
fn an_entry_lies_under_three_tags_and_pins_its_manifest() {
    let (registry, entries) = registry();
    let tags = registry.tags().unwrap();
    assert_eq!(tags.len(), 3 + 3 * 3);
    for (entry, height) in entries.iter().zip(1..) {
        for tag in [
            place(height, entry),
            claim(height, entry, Phase::Announce),
            claim(height, entry, Phase::Commit),
        ] {
            let found = registry.resolve(&tag).unwrap().unwrap();
            assert_eq!(
                found,
                Descriptor::of(media::OCI_INDEX, &to_manifest(entry).unwrap())
            );
        }
    }
}

#[test]
fn two_entries_at_one_place_are_a_conflict_with_both_as_evidence() {
    let (registry, entries) = registry();
    let other = other_third();
    write(&registry, &place(3, &other), &other);
    // Whoever has read the history before sees it as well as a stranger.
    let knows = claims(&registry).knowing(entries.clone()).unwrap();
    for reader in [claims(&registry), knows] {
        match reader.entries(1) {
            Err(Error::Conflict { evidence, .. }) => {
                assert!(evidence.contains(&entries[2]) && evidence.contains(&other));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_first_entries_of_an_unsigned_history_are_a_conflict() {
    let (registry, entries) = registry();
    let other = Loose::calm();
    publish(&claims(&other), draft(&other, "9.0")).unwrap();
    let first = claims(&other).entries(1).unwrap().remove(0);
    write(&registry, &place(1, &first), &first);
    let knows = claims(&registry).knowing(entries.clone()).unwrap();
    for reader in [claims(&registry), knows] {
        match reader.entries(1) {
            Err(Error::Conflict { evidence, .. }) => {
                assert!(evidence.contains(&entries[0]) && evidence.contains(&first));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_entry_that_follows_what_is_not_there_is_a_conflict() {
    let (registry, entries) = registry();
    let other = Loose::calm();
    for version in ["1.0", "3.0", "4.0", "5.0"] {
        publish(&claims(&other), draft(&other, version)).unwrap();
    }
    let fourth = claims(&other).entries(4).unwrap().remove(0);
    write(&registry, &place(4, &fourth), &fourth);
    match claims(&registry).entries(1) {
        Err(Error::Conflict { evidence, .. }) => assert_eq!(evidence, [entries[2].clone(), fourth]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_that_was_taken_away_below_others_is_named() {
    let (registry, entries) = registry();
    registry.remove(&place(2, &entries[1]));
    let error = claims(&registry).entries(1).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("entry 2"), "{error}");
}

#[test]
fn what_was_seen_must_be_there_still() {
    let (registry, entries) = registry();
    registry.remove(&place(3, &entries[2]));
    assert_eq!(claims(&registry).entries(1).unwrap().len(), 2);
    let knows = claims(&registry).knowing(entries.clone()).unwrap();
    match knows.entries(1) {
        Err(Error::Conflict { evidence, .. }) => assert_eq!(evidence, [entries[2].clone()]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_known_is_not_fetched_and_counts_as_verified() {
    let (registry, entries) = registry();
    let knows = claims(&registry).knowing(entries[..2].to_vec()).unwrap();
    assert_eq!(knows.verified(), 2);
    for entry in &entries[..2] {
        let height = if *entry == entries[0] { 1 } else { 2 };
        registry
            .write(&place(height, entry), media::OCI_INDEX, b"{}")
            .unwrap();
    }
    assert_eq!(knows.entries(1).unwrap(), entries);
    assert_eq!(knows.verified(), 3);
}

#[test]
fn a_place_whose_tag_was_moved_is_read_from_its_claims_and_reported() {
    let (registry, entries) = registry();
    let tag = place(2, &entries[1]);
    for moved in [
        &b"{}"[..],
        &to_manifest(&entries[0]).unwrap(),
        &vec![b' '; 1 << 20],
    ] {
        registry.write(&tag, media::OCI_INDEX, moved).unwrap();
        let reader = claims(&registry);
        assert_eq!(reader.entries(1).unwrap(), entries);
        let tampered: Vec<Tag> = reader.tampered().into_iter().map(|it| it.tag).collect();
        assert_eq!(tampered, std::slice::from_ref(&tag));
    }
    for phase in [Phase::Announce, Phase::Commit] {
        let tag = claim(2, &entries[1], phase);
        registry.write(&tag, media::OCI_INDEX, b"{}").unwrap();
    }
    let error = claims(&registry).entries(1).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(tag.as_str()), "{error}");
}

#[test]
fn what_nobody_claimed_and_is_no_entry_keeps_nobody_from_publishing() {
    let (registry, entries) = registry();
    let junk = Place {
        height: 4,
        entry: Digest::of(b"junk"),
    };
    registry.write(&junk.tag(), media::OCI_INDEX, b"{}").unwrap();
    let later = Place {
        height: 99_999_999,
        entry: Digest::of(b"junk"),
    };
    registry.write(&later.tag(), media::OCI_INDEX, b"{}").unwrap();
    let reader = claims(&registry);
    assert_eq!(reader.entries(1).unwrap(), entries);
    assert_eq!(reader.tampered().len(), 2);
    let (outcome, _) = publish(&reader, draft(&registry, "1.3")).unwrap();
    assert_eq!(outcome, Outcome::Published);
    assert_eq!(claims(&registry).entries(1).unwrap().len(), 4);
}

#[test]
fn claims_for_entries_that_do_not_follow_are_passed_over() {
    let (registry, entries) = registry();
    for (entry, phase) in [(&entries[0], Phase::Commit), (&other_third(), Phase::Announce)] {
        write(&registry, &claim(4, entry, phase), entry);
    }
    let unwritten = Claim {
        height: 4,
        round: 1,
        phase: Phase::Commit,
        entry: Digest::of(b"nothing"),
    };
    registry.write(&unwritten.tag(), media::OCI_INDEX, b"{}").unwrap();
    publish(&claims(&registry), draft(&registry, "1.3")).unwrap();
    assert_eq!(claims(&registry).entries(1).unwrap().len(), 4);
}

#[test]
fn whoever_died_after_its_claims_is_finished_by_the_next() {
    let (registry, _) = registry();
    let other = Loose::calm();
    for version in ["1.0", "1.1", "1.2", "1.3"] {
        publish(&claims(&other), draft(&other, version)).unwrap();
    }
    let fourth = claims(&other).entries(4).unwrap().remove(0);
    registry.put(media::OCI_MANIFEST, b"1.3");
    for phase in [Phase::Announce, Phase::Commit] {
        write(&registry, &claim(4, &fourth, phase), &fourth);
    }
    let journal = claims(&registry);
    publish(&journal, draft(&registry, "1.4")).unwrap();
    let read = claims(&registry).entries(4).unwrap();
    assert_eq!((read.len(), &read[0]), (2, &fourth));
    // Its tag was finished too.
    assert!(registry.resolve(&"1.3".parse().unwrap()).unwrap().is_some());
    let same = publish(&journal, draft(&registry, "1.3")).unwrap();
    assert_eq!(same.0, Outcome::Unchanged);
}

#[test]
fn more_than_is_looked_at_is_an_error_and_no_flood() {
    let (registry, _) = registry();
    for number in 0..17_u32 {
        let junk = Place {
            height: 4,
            entry: Digest::of(&number.to_le_bytes()),
        };
        registry.write(&junk.tag(), media::OCI_INDEX, b"{}").unwrap();
    }
    assert!(matches!(
        claims(&registry).entries(1),
        Err(Error::Malformed { .. })
    ));
    let (registry, _) = self::registry();
    for number in 0..65_u32 {
        let claim = Claim {
            height: 4,
            round: 1,
            phase: Phase::Announce,
            entry: Digest::of(&number.to_le_bytes()),
        };
        registry.write(&claim.tag(), media::OCI_INDEX, b"{}").unwrap();
    }
    let refused = publish(&claims(&registry), draft(&registry, "1.3"));
    assert!(matches!(
        refused,
        Err(PublishError::Content(Error::Malformed { .. }))
    ));
    let mut large = draft(&registry, "1.3");
    large.publish.message = Some("x".repeat(300_000));
    let refused = publish(&claims(&registry), large);
    assert!(matches!(
        refused,
        Err(PublishError::Content(Error::Malformed { .. }))
    ));
}

#[test]
fn a_version_whose_manifest_was_taken_away_keeps_nobody_from_publishing() {
    let (registry, _) = registry();
    let emptied = Loose::calm();
    for tag in registry.tags().unwrap().iter().filter(|tag| tag.is_reserved()) {
        let (_, index) = registry
            .read(&Target::Tag(tag.clone()), 1 << 20)
            .unwrap()
            .unwrap();
        emptied.write(tag, media::OCI_INDEX, &index).unwrap();
    }
    let (outcome, _) = publish(&claims(&emptied), draft(&emptied, "1.3")).unwrap();
    assert_eq!(outcome, Outcome::Published);
}

/// A registry with a history of two versions that `key` signs.
fn signed(key: &Arc<PrivateKey>) -> (Loose, Vec<Vec<u8>>) {
    let registry = Loose::calm();
    for version in ["1.0", "1.1"] {
        let mut draft = draft(&registry, version);
        draft.who.seal = Some(Seal::new(key.clone(), None, Vec::new(), Founds::Any).unwrap());
        publish(&claims(&registry), draft).unwrap();
    }
    let entries = claims(&registry).entries(1).unwrap();
    (registry, entries)
}

fn key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate())
}

#[test]
fn what_nobody_who_may_has_signed_says_nothing_against_a_signed_history() {
    let (ours, theirs) = (key(), key());
    let (registry, entries) = signed(&ours);
    let stranger = other_third();
    write(&registry, &place(3, &stranger), &stranger);
    write(&registry, &claim(3, &stranger, Phase::Commit), &stranger);
    let reader = claims(&registry);
    assert_eq!(reader.entries(1).unwrap(), entries);
    assert_eq!(reader.tampered().len(), 1);
    // Another history of the same name: who knows ours goes on with it, and a stranger cannot tell which it is.
    let (_, others) = signed(&theirs);
    write(&registry, &place(1, &others[0]), &others[0]);
    let knows = claims(&registry).knowing(entries.clone()).unwrap();
    assert_eq!(knows.entries(1).unwrap(), entries);
    assert!(matches!(
        claims(&registry).entries(1),
        Err(Error::Conflict { .. })
    ));
    let mut next = draft(&registry, "1.2");
    next.who.seal = Some(Seal::new(ours, None, Vec::new(), Founds::Any).unwrap());
    assert_eq!(publish(&knows, next).unwrap().0, Outcome::Published);
}

#[test]
fn a_key_that_signs_two_entries_for_one_place_is_shown_with_both() {
    let ours = key();
    let (registry, entries) = signed(&ours);
    let other = Loose::calm();
    write(&other, &place(1, &entries[0]), &entries[0]);
    other.put(media::OCI_MANIFEST, b"1.0");
    let mut draft = draft(&other, "9.0");
    draft.who.seal = Some(Seal::new(ours, None, Vec::new(), Founds::Any).unwrap());
    publish(&claims(&other), draft).unwrap();
    let second = claims(&other).entries(2).unwrap().remove(0);
    write(&registry, &place(2, &second), &second);
    let knows = claims(&registry).knowing(entries.clone()).unwrap();
    for reader in [claims(&registry), knows] {
        match reader.entries(1) {
            Err(Error::Conflict { evidence, .. }) => {
                assert!(evidence.contains(&entries[1]) && evidence.contains(&second));
            }
            other => panic!("{other:?}"),
        }
    }
}
