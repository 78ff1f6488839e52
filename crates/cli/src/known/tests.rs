use std::{collections::BTreeMap, fs, sync::Arc, thread};

use modelkeep_core::{
    Descriptor,
    content::{Journal, Target},
    media,
};
use modelkeep_ledger::{Draft, Founds, Publish, Seal, Who, publish, signing::PrivateKey};
use modelkeep_testkit::Memory;

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn known(&self, place: &str) -> Known {
        let (host, name) = place.split_once('/').unwrap();
        Known::recall(self.0.path(), &host.parse().unwrap(), &name.parse().unwrap()).unwrap()
    }

    fn accept(&self, place: &str, entries: &[Vec<u8>]) -> Result<u64, Error> {
        let history = self.known(place).accept(entries.to_vec(), 0)?;
        Ok(history.height())
    }

    /// The names of the files below `known`, locks left out.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.0.path().join("known");
        let mut left = vec![root.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                    continue;
                }
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if name != "lock" {
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        files
    }
}

fn who(seal: Option<Seal>) -> Who {
    Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "a".to_owned(),
        seal,
    }
}

fn push(end: &Memory, journal: &dyn Journal, version: &str, who: &Who) {
    let config = end.put("application/vnd.oci.empty.v1+json", b"{}").unwrap();
    let config = serde_json::to_string(&config).unwrap();
    let kind = media::OCI_MANIFEST;
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[],"annotations":{{"v":"{version}"}}}}"#
    );
    end.put(kind, bytes.as_bytes()).unwrap();
    let draft = Draft {
        version: version.parse().unwrap(),
        who: who.clone(),
        children: Vec::new(),
        publish: Publish::of(Descriptor::of(kind, bytes.as_bytes())),
    };
    publish(journal, draft).unwrap();
}

/// The entries of a history with these versions, signed.
fn history(key: &Arc<PrivateKey>, versions: &[&str]) -> Vec<Vec<u8>> {
    let seal = Seal::new(key.clone(), None, Vec::new(), Founds::Any).unwrap();
    let end = Memory::default();
    for version in versions {
        push(&end, &end, version, &who(Some(seal.clone())));
    }
    end.entries(1).unwrap()
}

fn key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate())
}

const PLACE: &str = "registry.example:5000/team/digits";
const MIRROR: &str = "mirror.example/digits";

fn conflict(result: Result<u64, Error>) -> Conflict {
    match result {
        Err(Error::Conflict { source, evidence, .. }) => {
            assert!(evidence.is_some());
            *source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_seen_must_be_there_when_the_registry_is_read_again() {
    let (home, key) = (Home::new(), key());
    let entries = history(&key, &["1.0", "1.1", "1.2"]);
    assert_eq!(home.accept(PLACE, &entries[..2]).unwrap(), 2);
    assert_eq!(home.known(PLACE).entries(), &entries[..2]);
    assert_eq!(home.accept(PLACE, &entries).unwrap(), 3);
    let before = home.files();
    for older in 0..3 {
        let refused = conflict(home.accept(PLACE, &entries[..older]));
        assert_eq!(
            refused,
            Conflict::Older {
                seen: 3,
                found: older as u64
            }
        );
    }
    // What is refused is not remembered.
    let mut after = home.files();
    after.retain(|name, _| !name.starts_with("evidence"));
    assert_eq!(before, after);
    assert_eq!(home.accept(PLACE, &entries).unwrap(), 3);
}

#[test]
fn a_second_history_is_refused_and_the_entries_of_both_are_kept() {
    let (home, key) = (Home::new(), key());
    let one = history(&key, &["1.0", "1.1", "1.2"]);
    home.accept(PLACE, &one).unwrap();
    // The same key, the same first entry, and then other versions.
    let other = history(&key, &["1.0", "6.6", "6.7", "6.8"]);
    assert_eq!(Written::id_of(&one[0]), Written::id_of(&other[0]));
    let refused = conflict(home.accept(PLACE, &other));
    let height = |entries: &[Vec<u8>]| Written::id_of(&entries[1]);
    let (seen, found) = (height(&one), height(&other));
    assert_eq!(
        refused,
        Conflict::Forked {
            height: 2,
            seen,
            found
        }
    );
    let kept: Vec<Vec<u8>> = home
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("evidence"))
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.contains(&one[1]) && kept.contains(&other[1]));
}

#[test]
fn another_history_in_a_known_place_is_refused() {
    let home = Home::new();
    let (one, other) = (history(&key(), &["1.0"]), history(&key(), &["1.0", "1.1"]));
    home.accept(PLACE, &one).unwrap();
    let (seen, found) = (Written::id_of(&one[0]), Written::id_of(&other[0]));
    assert_eq!(
        conflict(home.accept(PLACE, &other)),
        Conflict::Another { seen, found }
    );
    // Elsewhere it is a history like any other.
    assert_eq!(home.accept(MIRROR, &other).unwrap(), 2);
}

#[test]
fn a_mirror_is_held_against_what_was_seen_of_its_history_elsewhere() {
    let (home, key) = (Home::new(), key());
    let entries = history(&key, &["1.0", "1.1", "1.2"]);
    home.accept(PLACE, &entries[..2]).unwrap();
    assert_eq!(
        conflict(home.accept(MIRROR, &entries[..1])),
        Conflict::Older { seen: 2, found: 1 }
    );
    assert_eq!(home.accept(MIRROR, &entries).unwrap(), 3);
    // And the origin against what was seen at the mirror.
    assert_eq!(
        conflict(home.accept(PLACE, &entries[..2])),
        Conflict::Older { seen: 3, found: 2 }
    );
}

#[test]
fn every_changed_byte_of_what_is_remembered_is_noticed() {
    let (home, key) = (Home::new(), key());
    let entries = history(&key, &["1.0", "1.1"]);
    home.accept(PLACE, &entries).unwrap();
    for (name, bytes) in home.files() {
        let path = home.0.path().join("known").join(&name);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let (host, repository) = PLACE.split_once('/').unwrap();
            let recalled = Known::recall(
                home.0.path(),
                &host.parse().unwrap(),
                &repository.parse().unwrap(),
            );
            match (name.starts_with("places"), recalled) {
                (true, Err(Error::Damaged { .. })) => {}
                // The entries come anew from the registry; how far they went stands elsewhere.
                (false, Ok(known)) => assert!(known.entries().is_empty(), "{name} {at}"),
                (_, other) => panic!("{name} {at}: {:?}", other.err()),
            }
        }
        fs::write(&path, &bytes).unwrap();
        for length in 0..bytes.len() {
            assert!(files::opens(&bytes[..length]).is_none(), "{name} {length}");
        }
    }
    // Who takes the entries away does not take away how far they went.
    let histories = home.0.path().join("known/histories");
    fs::remove_dir_all(&histories).unwrap();
    assert_eq!(
        conflict(home.accept(PLACE, &entries[..1])),
        Conflict::Older { seen: 2, found: 1 }
    );
    // What was lost is there again after the next look.
    assert_eq!(home.accept(PLACE, &entries).unwrap(), 2);
    assert_eq!(home.known(PLACE).entries(), entries);
}

#[test]
fn processes_that_remember_at_once_forget_nothing() {
    let (home, key) = (Home::new(), key());
    let entries = history(&key, &["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"]);
    // Each has asked what is known before any of them has written.
    let readers: Vec<(usize, Known)> = (1..=6).map(|length| (length, home.known(PLACE))).collect();
    thread::scope(|scope| {
        for (length, known) in &readers {
            let found = entries[..*length].to_vec();
            scope.spawn(move || known.accept(found, 0).unwrap());
        }
    });
    let known = home.known(PLACE);
    assert_eq!(known.entries(), entries);
    assert_eq!(known.past().seen.as_ref().unwrap().height, 6);
}

/// A journal that is held against what is known of it, as that of a registry.
struct Held<'a>(&'a Memory, Known);

impl Journal for Held<'_> {
    fn entries(&self, from: u64) -> content::Result<Vec<Vec<u8>>> {
        self.1.entries_of(self.0, from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> content::Result<Box<dyn content::Transaction + 'a>> {
        self.1.begin(self.0)
    }
}

#[test]
fn what_is_added_is_known_at_once() {
    let (home, key) = (Home::new(), key());
    let end = Memory::default();
    let seal = Seal::new(key, None, Vec::new(), Founds::Any).unwrap();
    let journal = Held(&end, home.known(PLACE));
    push(&end, &journal, "1.0", &who(Some(seal.clone())));
    push(&end, &journal, "1.1", &who(Some(seal)));
    let entries = Journal::entries(&end, 1).unwrap();
    assert_eq!(home.known(PLACE).entries(), entries);
    let taken_back = Memory::default();
    Journal::begin(&taken_back)
        .unwrap()
        .append(1, &entries[0])
        .unwrap();
    let journal = Held(&taken_back, home.known(PLACE));
    let refused = modelkeep_ledger::read(&journal).unwrap_err();
    assert!(matches!(find(&refused), Some(Error::Conflict { .. })));
    assert!(journal.begin().unwrap().entries(1).is_err());
}
