use modelkeep_core::media;

use super::*;
use crate::Seal;

fn who(seal: Option<Seal>) -> Who {
    Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "a".to_owned(),
        seal,
    }
}

fn history(versions: &[&str]) -> (History, Vec<Vec<u8>>) {
    let mut history = History::default();
    let entries = versions
        .iter()
        .map(|version| {
            let manifest = Descriptor::of(media::OCI_MANIFEST, version.as_bytes());
            let publish = Publish::of(manifest);
            let version = version.parse().unwrap();
            history
                .push(Some(&version), &who(None), None, Operation::Publish(publish))
                .unwrap()
        })
        .collect();
    (history, entries)
}

#[test]
fn a_history_verifies_and_names_parents() {
    let (_, entries) = history(&["1.0", "1.1", "latest"]);
    let read = History::verify(&entries).unwrap();
    let parents: Vec<_> = read
        .newest_first()
        .iter()
        .map(|p| p.parent.as_ref().map(Tag::to_string))
        .collect();
    assert_eq!(parents, [Some("1.1".to_owned()), Some("1.0".to_owned()), None]);
}

#[test]
fn any_change_of_the_chain_is_noticed() {
    let (_, entries) = history(&["1.0", "1.1", "1.2"]);
    let broken = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut entries = entries.clone();
        change(&mut entries);
        History::verify(&entries).is_err()
    };
    assert!(broken(&|entries| {
        entries.remove(0);
    }));
    assert!(broken(&|entries| {
        entries.remove(1);
    }));
    assert!(broken(&|entries| entries.swap(1, 2)));
    assert!(broken(&|entries| {
        let text = String::from_utf8(entries[1].clone()).unwrap();
        entries[1] = text.replace("2026", "2025").into_bytes();
    }));
    assert!(broken(&|entries| entries[1] = entries[0].clone()));
}

#[test]
fn the_next_version_is_after_the_highest_and_free() {
    let next = |versions: &[&str], bump| history(versions).0.next(bump).unwrap().to_string();
    assert_eq!(next(&[], Bump::Minor), "0.1.0");
    assert_eq!(next(&["1.0", "1.1", "latest"], Bump::Minor), "1.2");
    assert_eq!(next(&["2.0", "1.1"], Bump::Patch), "2.0.1");
    assert_eq!(next(&["1.0-rc.1"], Bump::Minor), "1.0");
}

#[test]
fn a_free_version_is_proposed() {
    let (history, _) = history(&["1.0", "1.1", "v2"]);
    let free = |version: &str| {
        history
            .next_free(&version.parse().unwrap())
            .map(|v| v.to_string())
    };
    assert_eq!(free("1.0").as_deref(), Some("1.2"));
    assert_eq!(free("v2").as_deref(), Some("v3"));
    assert_eq!(free("latest"), None);
}

#[test]
fn a_deleted_version_is_gone_and_its_number_is_not_proposed_again() {
    for name in [NameAfter::Free, NameAfter::Kept] {
        let (mut history, mut entries) = history(&["1.0", "1.1"]);
        let version = "1.1".parse().unwrap();
        let manifest = history.version(&version).unwrap().manifest().clone();
        let delete = Delete {
            manifest: manifest.clone(),
            name,
        };
        let entry = history.push(Some(&version), &who(None), None, Operation::Delete(delete));
        entries.push(entry.unwrap());
        let read = History::verify(&entries).unwrap();
        assert_eq!((read.height(), read.publications().len()), (3, 2));
        assert!(read.version(&version).is_none() && read.last().is_none());
        assert_eq!(read.newest(), Some(&version));
        assert_eq!(read.newest_first().len(), 1);
        assert_eq!(
            read.kept(&version),
            (name == NameAfter::Kept).then_some(&manifest)
        );
        assert_eq!(read.next(Bump::Minor).unwrap().as_str(), "1.2");
    }
}
