//! The attacks on update systems that TUF lists, each tried on a history; and every byte of an entry or of a signature
//! over files changed.
//!
//! How old a history may be (freeze) is for `crates/cli/src/freshness.rs`, and what a registry may send without end for the
//! clients of registries; what of both lies here is tried here.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use modelkeep_core::{
    Descriptor, Digest,
    content::{Journal, Target},
    media,
};
use modelkeep_ledger::{
    Conflict, Draft, Founds, History, Keys, ListedKey, MalformedHistory, NoteError, Publish, Role, Seal,
    Seen, Unauthorized, Who, Written, checkpoint, fork, publish, read, rekey,
    signing::{Bundle, ModelStatement, PrivateKey, PublicKey, SignError, Signer},
};
use modelkeep_testkit::Memory;
use serde_json::Value;

type Key = Arc<PrivateKey>;

fn key() -> Key {
    Arc::new(PrivateKey::generate())
}

fn at(time: &str, seal: Option<Seal>) -> Who {
    Who {
        time: time.to_owned(),
        author: "a".to_owned(),
        seal,
    }
}

fn who(key: &Key) -> Who {
    at(
        "2026-11-01T00:00:00Z",
        Some(Seal::new(key.clone(), None, Vec::new(), Founds::Any).unwrap()),
    )
}

fn listed(key: &PublicKey) -> ListedKey {
    ListedKey {
        key: key.clone(),
        role: Role::Publisher,
        name: None,
    }
}

fn push(end: &Memory, version: &str, who: &Who) {
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
    publish(end, draft).unwrap();
}

fn history(who: &Who, versions: &[&str]) -> Vec<Vec<u8>> {
    let end = Memory::default();
    for version in versions {
        push(&end, version, who);
    }
    end.entries(1).unwrap()
}

fn seen(entries: &[Vec<u8>]) -> Seen {
    Seen::of(&History::verify(entries).unwrap()).unwrap()
}

/// A bundle with another statement, or with whatever else is changed.
fn changed(entry: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(entry).unwrap();
    change(&mut bundle);
    bundle.to_string().into_bytes()
}

#[test]
fn rollback_whoever_has_seen_a_history_refuses_an_older_one() {
    let entries = history(&who(&key()), &["1.0", "1.1", "1.2"]);
    let seen = seen(&entries);
    for found in 0..3 {
        let older = &entries[..found];
        assert!(History::verify(older).is_ok(), "an older history is whole");
        let found = found as u64;
        assert_eq!(seen.check(older), Err(Conflict::Older { seen: 3, found }));
    }
    assert_eq!(seen.check(&entries), Ok(()));
}

#[test]
fn split_view_whoever_has_seen_one_history_refuses_the_other_of_the_same_key() {
    let ada = who(&key());
    let (one, other) = (
        history(&ada, &["1.0", "1.1", "1.2"]),
        history(&ada, &["1.0", "6.6", "6.7", "6.8"]),
    );
    assert_eq!(fork(&one, &other), Some(2));
    assert!(matches!(
        seen(&one).check(&other),
        Err(Conflict::Forked { height: 3, .. })
    ));
    assert!(matches!(
        seen(&other).check(&one),
        Err(Conflict::Older { seen: 4, found: 3 })
    ));
    let stranger = history(&who(&key()), &["1.0", "1.1", "1.2"]);
    assert!(matches!(
        seen(&one).check(&stranger),
        Err(Conflict::Another { .. })
    ));
}

#[test]
fn freeze_a_checkpoint_says_that_a_history_is_still_what_it_is_and_nobody_else_can() {
    let (ada, eve) = (key(), key());
    let end = Memory::default();
    push(&end, "1.0", &who(&ada));
    let later = |key: &Key| at("2026-12-01T00:00:00Z", who(key).seal);
    assert!(matches!(
        checkpoint(&end, &later(&eve), None),
        Err(NoteError::Unauthorized(Unauthorized::NotListed(_)))
    ));
    assert_eq!(read(&end).unwrap().time(), Some("2026-11-01T00:00:00Z"));
    checkpoint(&end, &later(&ada), None).unwrap();
    let entries = end.entries(1).unwrap();
    assert_eq!(
        History::verify(&entries).unwrap().time(),
        Some("2026-12-01T00:00:00Z")
    );
    // An old time cannot be made a new one.
    let fresher = changed(&entries[1], |bundle| {
        let payload = &mut bundle["dsseEnvelope"]["payload"];
        let text = String::from_utf8(BASE64.decode(payload.as_str().unwrap()).unwrap()).unwrap();
        *payload = BASE64.encode(text.replace("2026-12", "2027-12")).into();
    });
    assert!(matches!(
        History::verify(&[entries[0].clone(), fresher]),
        Err(MalformedHistory::Forged { height: 2, .. })
    ));
}

#[test]
fn mix_and_match_entries_of_two_histories_make_none() {
    let ada = who(&key());
    let one = history(&ada, &["1.0", "1.1", "1.2"]);
    let other = history(&ada, &["2.0", "1.1", "1.2"]);
    for pattern in 1..7u8 {
        let mixed: Vec<Vec<u8>> = (0..3)
            .map(|height| match pattern >> height & 1 {
                0 => one[height].clone(),
                _ => other[height].clone(),
            })
            .collect();
        assert!(
            matches!(History::verify(&mixed), Err(MalformedHistory::Chain { .. })),
            "{pattern:03b}"
        );
    }
}

#[test]
fn endless_data_an_entry_has_an_end_and_so_has_its_nesting() {
    let entries = history(&who(&key()), &["1.0"]);
    let mut long = entries[0].clone();
    long.resize(Bundle::MOST_BYTES + 1, b' ');
    assert!(Bundle::parse(&long).is_err());
    let deep = ["[".repeat(200_000), "{\"a\":".repeat(200_000)];
    for deep in deep {
        assert!(Written::parse(deep.as_bytes()).is_err());
    }
}

#[test]
fn wrong_key_an_entry_of_a_key_that_is_not_listed_is_refused() {
    let (ada, eve) = (key(), key());
    let entries = history(&who(&ada), &["1.0", "1.1"]);
    let statement = Bundle::parse(&entries[1]).unwrap().unverified().to_vec();
    let forged = Bundle::sign(statement, &*eve).unwrap().to_bytes();
    assert!(matches!(
        History::verify(&[entries[0].clone(), forged.clone()]),
        Err(MalformedHistory::Unauthorized {
            height: 2,
            source: Unauthorized::UnknownHint(_)
        })
    ));
    // Under the name of a key that is listed.
    let hint = ada.public().hint().to_owned();
    let disguised = changed(&forged, |bundle| {
        bundle["verificationMaterial"]["publicKey"]["hint"] = hint.into();
    });
    assert!(matches!(
        History::verify(&[entries[0].clone(), disguised]),
        Err(MalformedHistory::Forged { height: 2, .. })
    ));
}

#[test]
fn one_signature_counted_twice_an_entry_has_one_signature_and_no_more() {
    let entries = history(&who(&key()), &["1.0", "1.1"]);
    for count in [0, 2, 3] {
        let twice = changed(&entries[1], |bundle| {
            let signatures = &mut bundle["dsseEnvelope"]["signatures"];
            let one = signatures[0].clone();
            *signatures = vec![one; count].into();
        });
        assert!(
            matches!(
                History::verify(&[entries[0].clone(), twice]),
                Err(MalformedHistory::Entry { height: 2, .. })
            ),
            "{count}"
        );
    }
}

#[test]
fn revoked_key_a_key_that_was_removed_signs_no_more_and_what_it_signed_stays() {
    let (ada, bo) = (key(), key());
    let end = Memory::default();
    push(&end, "1.0", &who(&ada));
    let only_bo = |_: &Keys| Ok(Keys::new(vec![listed(bo.public())])?);
    rekey(&end, &who(&ada), None, only_bo).unwrap();
    let before = end.entries(1).unwrap();
    push(&end, "1.1", &who(&bo));
    let history = History::verify(&end.entries(1).unwrap()).unwrap();
    assert_eq!(history.publications().len(), 2);
    // The old key makes an entry all the same, as it would have before.
    let statement = Bundle::parse(&end.entries(1).unwrap()[2])
        .unwrap()
        .unverified()
        .to_vec();
    let late = Bundle::sign(statement, &*ada).unwrap().to_bytes();
    assert!(matches!(
        History::verify(&[before, vec![late]].concat()),
        Err(MalformedHistory::Unauthorized { height: 3, .. })
    ));
}

#[test]
fn a_key_that_adds_itself_is_refused_by_readers_too() {
    let (ada, eve) = (key(), key());
    let entries = history(&who(&ada), &["1.0"]);
    // As the rule would let a key do that is listed.
    let end = Memory::default();
    push(&end, "1.0", &who(&ada));
    let with_eve = |keys: &Keys| {
        let listed = keys.listed().iter().cloned().chain([listed(eve.public())]);
        Ok(Keys::new(listed.collect())?)
    };
    rekey(&end, &who(&ada), None, with_eve).unwrap();
    let allowed = end.entries(2).unwrap().remove(0);
    let statement = Bundle::parse(&allowed).unwrap().unverified().to_vec();
    let own = Bundle::sign(statement, &*eve).unwrap().to_bytes();
    assert!(matches!(
        History::verify(&[entries[0].clone(), own]),
        Err(MalformedHistory::Unauthorized { height: 2, .. })
    ));
    assert!(History::verify(&[entries[0].clone(), allowed]).is_ok());
}

/// Signs nothing: it gives a signature that was made for something else.
struct Replay(PrivateKey, Vec<u8>);

impl Signer for Replay {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.1.clone())
    }
}

#[test]
fn a_signature_of_another_entry_is_refused_when_it_is_made() {
    let key = PrivateKey::generate();
    let old = key.sign(b"another message").unwrap();
    let signer = Arc::new(Replay(key, old));
    let end = Memory::default();
    let seal = Seal::new(signer, None, Vec::new(), Founds::Any).unwrap();
    let draft = Draft {
        version: "1.0".parse().unwrap(),
        who: at("2026-11-01T00:00:00Z", Some(seal)),
        children: Vec::new(),
        publish: Publish::of(Descriptor::of(media::OCI_MANIFEST, b"{}")),
    };
    assert!(publish(&end, draft).is_err());
    assert!(end.entries(1).unwrap().is_empty());
}

/// All histories that come of changing one byte of one entry, in as many ways as there are `bits`.
fn with_each_byte_changed(entries: &[Vec<u8>], bits: usize, mut check: impl FnMut(usize, usize, &[Vec<u8>])) {
    let mut entries = entries.to_vec();
    for entry in 0..entries.len() {
        for byte in 0..entries[entry].len() {
            for bit in (0..bits).map(|bit| (byte + bit) % 8) {
                entries[entry][byte] ^= 1 << bit;
                check(entry, byte, &entries);
                entries[entry][byte] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn every_changed_byte_of_a_signed_entry_is_refused() {
    let entries = history(&who(&key()), &["1.0", "1.1"]);
    let mut tried = 0;
    with_each_byte_changed(&entries, 1, |entry, byte, changed| {
        tried += 1;
        assert!(History::verify(changed).is_err(), "byte {byte} of entry {entry}");
    });
    assert_eq!(tried, entries.concat().len());
}

#[test]
fn every_changed_byte_of_an_unsigned_entry_is_refused_by_whoever_has_seen_it() {
    let entries = history(&at("2026-11-01T00:00:00Z", None), &["1.0", "1.1"]);
    let seen = seen(&entries);
    with_each_byte_changed(&entries, 8, |entry, byte, changed| {
        let refused = History::verify(changed).is_err() || seen.check(changed).is_err();
        assert!(refused, "byte {byte} of entry {entry}");
    });
}

#[test]
fn every_changed_byte_of_a_signature_over_files_is_refused() {
    let key = PrivateKey::generate();
    let files = ["config.json", "weights/model.safetensors"];
    let files = files.map(|path| (path.parse().unwrap(), Digest::of(path.as_bytes())));
    let statement = ModelStatement::new("digits", files.clone()).unwrap();
    let bundle = Bundle::sign(statement.to_bytes(), &key).unwrap().to_bytes();
    let is_over_files = |bundle: &[u8]| {
        let Ok(bundle) = Bundle::parse(bundle) else {
            return false;
        };
        let Ok(signed) = bundle.verify(key.public()) else {
            return false;
        };
        let found = files.clone().into_iter().collect();
        ModelStatement::parse(signed).is_ok_and(|statement| statement.compare(&found).is_empty())
    };
    assert!(is_over_files(&bundle));
    with_each_byte_changed(&[bundle], 1, |_, byte, changed| {
        assert!(!is_over_files(&changed[0]), "byte {byte}");
    });
}
