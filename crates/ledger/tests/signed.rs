//! Histories that list keys: who may add to them, and what readers refuse.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use modelkeep_core::{Descriptor, Tag, content::Journal, media};
use modelkeep_ledger::{
    Draft, Founds, History, Keys, ListedKey, MalformedHistory, NoteError, Outcome, Publish, PublishError,
    Role, Seal, Unauthorized, Who, checkpoint, entries, publish, read, rekey,
    signing::{PrivateKey, Signer},
};
use modelkeep_testkit::Memory;

fn name(text: &str) -> Tag {
    text.parse().unwrap()
}

fn seal(key: &Arc<PrivateKey>, recovery: Option<&PrivateKey>) -> Option<Seal> {
    let beside = recovery.map(|key| ListedKey {
        key: key.public().clone(),
        role: Role::Recovery,
        name: None,
    });
    Some(
        Seal::new(
            key.clone(),
            Some("Ada".to_owned()),
            beside.into_iter().collect(),
            Founds::Any,
        )
        .unwrap(),
    )
}

fn who(seal: Option<Seal>) -> Who {
    Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "a".to_owned(),
        seal,
    }
}

fn push(end: &Memory, version: &str, who: &Who) -> Result<Outcome, PublishError> {
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[],"annotations":{{"v":"{version}"}}}}"#,
        media::OCI_MANIFEST
    );
    use modelkeep_core::content::Target as _;
    end.put("application/vnd.oci.empty.v1+json", b"{}").unwrap();
    end.put(media::OCI_MANIFEST, bytes.as_bytes()).unwrap();
    let draft = Draft {
        version: name(version),
        who: who.clone(),
        children: Vec::new(),
        publish: Publish::of(Descriptor::of(media::OCI_MANIFEST, bytes.as_bytes())),
    };
    publish(end, draft).map(|(outcome, _)| outcome)
}

fn unauthorized(result: Result<Outcome, PublishError>) -> Unauthorized {
    match result {
        Err(PublishError::Unauthorized(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A history founded by `key`, with a recovery key, and two versions.
fn signed(key: &Arc<PrivateKey>, recovery: &PrivateKey) -> Memory {
    let end = Memory::default();
    let ada = who(seal(key, Some(recovery)));
    push(&end, "1.0", &ada).unwrap();
    push(&end, "1.1", &ada).unwrap();
    end
}

#[test]
fn the_first_signed_entry_founds_the_history_and_strangers_stay_out() {
    let (key, recovery) = (Arc::new(PrivateKey::generate()), Arc::new(PrivateKey::generate()));
    let end = signed(&key, &recovery);
    let history = History::verify(&end.entries(1).unwrap()).unwrap();
    assert_eq!(history.keys().listed().len(), 2);
    let signers: Vec<_> = history
        .publications()
        .iter()
        .map(|it| it.signer.clone())
        .collect();
    assert_eq!(signers, vec![Some(key.public().id().clone()); 2]);
    assert!(matches!(
        unauthorized(push(&end, "1.2", &who(None))),
        Unauthorized::NoKey
    ));
    let stranger = who(seal(&Arc::new(PrivateKey::generate()), None));
    assert!(matches!(
        unauthorized(push(&end, "1.2", &stranger)),
        Unauthorized::NotListed(_)
    ));
    assert!(matches!(
        unauthorized(push(&end, "1.2", &who(seal(&recovery, None)))),
        Unauthorized::Recovery(_)
    ));
    assert_eq!(read(&end).unwrap().height(), 2);
}

#[test]
fn an_unsigned_history_gets_keys_with_its_first_signed_entry() {
    let end = Memory::default();
    push(&end, "1.0", &who(None)).unwrap();
    let key = Arc::new(PrivateKey::generate());
    push(&end, "1.1", &who(seal(&key, None))).unwrap();
    let history = read(&end).unwrap();
    let signers: Vec<bool> = history
        .publications()
        .iter()
        .map(|it| it.signer.is_some())
        .collect();
    assert_eq!(signers, [false, true]);
    assert!(matches!(
        unauthorized(push(&end, "1.2", &who(None))),
        Unauthorized::NoKey
    ));
}

#[test]
fn a_key_that_lies_ready_for_everything_founds_new_histories_and_leaves_others_to_who_adds_to_them() {
    let key = Arc::new(PrivateKey::generate());
    let ready = who(Some(
        Seal::new(key.clone(), None, Vec::new(), Founds::New).unwrap(),
    ));
    let end = Memory::default();
    push(&end, "1.0", &who(None)).unwrap();
    push(&end, "1.1", &ready).unwrap();
    assert!(read(&end).unwrap().keys().is_empty());
    push(&end, "1.2", &who(None)).unwrap();
    // What changes keys says that they are wanted.
    let founding = ready.seal.as_ref().unwrap().founding().clone();
    rekey(&end, &ready, None, |_| Ok(founding.clone())).unwrap();
    push(&end, "1.3", &ready).unwrap();
    let (history, logged) = entries(&end).unwrap();
    let signed: Vec<bool> = logged.iter().map(|it| it.signer.is_some()).collect();
    assert_eq!(signed, [false, false, false, true, true]);
    assert_eq!(history.signer(), Some(key.public().id()));

    let new = Memory::default();
    push(&new, "1.0", &ready).unwrap();
    assert_eq!(read(&new).unwrap().keys().listed().len(), 1);
}

#[test]
fn keys_are_changed_by_those_that_are_listed() {
    let (key, recovery) = (Arc::new(PrivateKey::generate()), Arc::new(PrivateKey::generate()));
    let end = signed(&key, &recovery);
    let other = Arc::new(PrivateKey::generate());
    let add = |keys: &Keys| {
        let mut listed = keys.listed().to_vec();
        listed.push(ListedKey {
            key: other.public().clone(),
            role: Role::Publisher,
            name: Some("Bo".to_owned()),
        });
        Ok(Keys::new(listed)?)
    };
    // Nobody lists his own key.
    let itself = rekey(&end, &who(seal(&other, None)), None, add);
    assert!(matches!(
        itself,
        Err(NoteError::Unauthorized(Unauthorized::NotListed(_)))
    ));
    rekey(&end, &who(seal(&key, None)), Some("Bo joins"), add).unwrap();
    push(&end, "1.2", &who(seal(&other, None))).unwrap();
    // A publisher does not touch the recovery key; the recovery key puts the publishers out.
    let without = |role: Role| {
        move |keys: &Keys| {
            let listed = keys.listed().iter().filter(|listed| listed.role != role);
            Ok(Keys::new(listed.cloned().collect())?)
        }
    };
    let refused = rekey(&end, &who(seal(&key, None)), None, without(Role::Recovery));
    assert!(matches!(
        refused,
        Err(NoteError::Unauthorized(Unauthorized::NoRecovery(_)))
    ));
    let first = |keys: &Keys| {
        let listed = keys
            .listed()
            .iter()
            .filter(|listed| listed.key.id() != key.public().id());
        Ok(Keys::new(listed.cloned().collect())?)
    };
    rekey(&end, &who(seal(&recovery, None)), None, first).unwrap();
    assert!(matches!(
        unauthorized(push(&end, "1.3", &who(seal(&key, None)))),
        Unauthorized::NotListed(_)
    ));
    push(&end, "1.3", &who(seal(&other, None))).unwrap();
    checkpoint(&end, &who(seal(&other, None)), None).unwrap();
    let history = History::verify(&end.entries(1).unwrap()).unwrap();
    assert_eq!((history.height(), history.newest()), (7, None));
}

#[test]
fn an_entry_that_its_key_did_not_sign_is_refused() {
    let (key, recovery) = (Arc::new(PrivateKey::generate()), PrivateKey::generate());
    let entries = signed(&key, &recovery).entries(1).unwrap();
    let change = |at: usize, change: &dyn Fn(String) -> String| {
        let mut entries = entries.clone();
        let mut bundle: serde_json::Value = serde_json::from_slice(&entries[at]).unwrap();
        let payload = &mut bundle["dsseEnvelope"]["payload"];
        let statement = String::from_utf8(BASE64.decode(payload.as_str().unwrap()).unwrap()).unwrap();
        *payload = BASE64.encode(change(statement)).into();
        entries[at] = bundle.to_string().into_bytes();
        History::verify(&entries).unwrap_err()
    };
    let later = |text: String| text.replace("2026-11-01", "2026-11-02");
    assert!(matches!(
        change(1, &later),
        MalformedHistory::Forged { height: 2, .. }
    ));
    assert!(matches!(
        change(0, &later),
        MalformedHistory::Forged { height: 1, .. }
    ));
    // Without its signature it is what anybody could have written.
    let mut bare = entries.clone();
    let bundle: serde_json::Value = serde_json::from_slice(&entries[1]).unwrap();
    bare[1] = BASE64
        .decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap())
        .unwrap();
    assert!(matches!(
        History::verify(&bare).unwrap_err(),
        MalformedHistory::Unauthorized {
            height: 2,
            source: Unauthorized::NoKey
        }
    ));
}
