//! Entries that were made elsewhere: what `accept` takes is what the operations would have done.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::sync::Arc;

use modelkeep_core::{
    Descriptor, Manifest, Mutability, Tag,
    content::{Journal, Names, Target as _},
    manifest, media,
};
use modelkeep_ledger::{
    AcceptError, AliasError, DeleteError, Draft, Force, Founds, History, Keys, NoteError, Outcome, Publish,
    PublishError, Role, Seal, Unauthorized, Who, Written, YankError, accept, checkpoint, delete, promote,
    publish, rekey, restore,
    signing::{Bundle, PrivateKey, Signer as _},
    tag, yank,
};
use modelkeep_testkit::Memory;

fn name(text: &str) -> Tag {
    text.parse().unwrap()
}

fn who(key: Option<&Arc<PrivateKey>>) -> Who {
    Who {
        time: "2026-11-23T10:00:00Z".to_owned(),
        author: "ada".to_owned(),
        seal: key.map(|key| Seal::new(key.clone(), None, Vec::new(), Founds::Any).unwrap()),
    }
}

fn image(end: &Memory, mark: &str) -> Descriptor {
    let image = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: end.put(media::OCI_CONFIG, b"{}").unwrap(),
        layers: vec![end.put(media::OCI_LAYER, mark.as_bytes()).unwrap()],
        subject: None,
        annotations: Default::default(),
    };
    end.put(media::OCI_MANIFEST, &manifest::to_json(&image)).unwrap()
}

fn published(end: &Memory, who: &Who, version: &str, manifest: &Descriptor) -> Result<Outcome, PublishError> {
    let draft = Draft {
        version: name(version),
        who: who.clone(),
        children: Vec::new(),
        publish: Publish::of(manifest.clone()),
    };
    publish(end, draft).map(|(outcome, _)| outcome)
}

/// A registry whose names may move where they begin with `p`, and what its clients make of its history with rules of
/// their own, in which every name may.
struct Ends {
    registry: Memory,
    client: Memory,
}

impl Ends {
    fn new() -> Self {
        let filters = vec!["p*".parse().unwrap()];
        Self {
            registry: Memory::new(Mutability::ImmutableWithExclusion(filters)),
            client: Memory::new(Mutability::Mutable),
        }
    }

    /// An image that both have, and that is a manifest of the registry.
    fn image(&self, mark: &str) -> Descriptor {
        let manifest = image(&self.registry, mark);
        tag(
            &self.registry,
            None,
            &who(None),
            &[],
            &Publish::of(manifest.clone()),
        )
        .unwrap();
        assert_eq!(image(&self.client, mark), manifest);
        manifest
    }

    fn give(&self) -> Result<Outcome, AcceptError> {
        give(&self.registry, &self.client)
    }

    #[track_caller]
    fn refused(&self) -> AcceptError {
        refused(&self.registry, &self.client)
    }
}

/// Gives the registry the newest entry of the client.
fn give(registry: &Memory, client: &Memory) -> Result<Outcome, AcceptError> {
    let entry = client.entries(1).unwrap().pop().unwrap();
    accept(registry, None, &entry).map(|(id, outcome)| {
        assert_eq!(id, Written::id_of(&entry));
        outcome
    })
}

/// What the registry refuses leaves its history and its tags as they were.
#[track_caller]
fn refused(registry: &Memory, client: &Memory) -> AcceptError {
    let entries = registry.entries(1).unwrap();
    let named = tags(registry);
    let error = give(registry, client).unwrap_err();
    assert_eq!(registry.entries(1).unwrap(), entries);
    assert_eq!(tags(registry), named);
    error
}

fn tags(end: &Memory) -> Vec<(Tag, Option<Descriptor>)> {
    let tags = end.tags().unwrap().into_iter();
    tags.map(|tag| (tag.clone(), end.resolve(&tag).unwrap()))
        .collect()
}

#[test]
fn what_the_operations_do_at_a_client_a_registry_takes_and_its_tags_follow() {
    let (ends, key) = (Ends::new(), Arc::new(PrivateKey::generate()));
    let (one, two) = (ends.image("one"), ends.image("two"));
    let ada = who(Some(&key));
    published(&ends.client, &ada, "1.0", &one).unwrap();
    assert_eq!(ends.give().unwrap(), Outcome::Published);
    assert_eq!(ends.give().unwrap(), Outcome::Unchanged, "its answer was lost");
    published(&ends.client, &ada, "1.1", &two).unwrap();
    ends.give().unwrap();
    promote(&ends.client, &ada, &name("production"), &name("1.0"), None).unwrap();
    ends.give().unwrap();
    assert_eq!(ends.registry.resolve(&name("production")).unwrap(), Some(one));
    yank(&ends.client, &ada, &name("1.1"), "wrong labels").unwrap();
    ends.give().unwrap();
    restore(&ends.client, &ada, &name("1.1")).unwrap();
    ends.give().unwrap();
    let other = PrivateKey::generate();
    let add = |keys: &Keys| {
        let mut listed = keys.listed().to_vec();
        listed.push(modelkeep_ledger::ListedKey {
            key: other.public().clone(),
            role: Role::Publisher,
            name: None,
        });
        Ok(Keys::new(listed)?)
    };
    rekey(&ends.client, &ada, None, add).unwrap();
    ends.give().unwrap();
    checkpoint(&ends.client, &ada, None).unwrap();
    ends.give().unwrap();
    let alias = modelkeep_core::name::Target::Tag(name("production"));
    delete(&ends.client, None, &ada, &alias, Force::No).unwrap();
    ends.give().unwrap();
    assert_eq!(ends.registry.resolve(&name("production")).unwrap(), None);
    let history = History::verify(&ends.registry.entries(1).unwrap()).unwrap();
    assert_eq!((history.height(), history.keys().listed().len()), (8, 2));
    assert_eq!(
        ends.registry.entries(1).unwrap(),
        ends.client.entries(1).unwrap(),
        "byte for byte"
    );
}

#[test]
fn of_two_entries_for_one_height_the_second_hears_that_it_was_overtaken() {
    let ends = Ends::new();
    let (one, two) = (ends.image("one"), ends.image("two"));
    published(&ends.client, &who(None), "1.0", &one).unwrap();
    published(&ends.registry, &who(None), "1.1", &two).unwrap();
    assert!(matches!(ends.refused(), AcceptError::Overtaken { height: 1 }));
    // One that lies further ahead than the history goes does not follow either.
    published(&ends.client, &who(None), "1.2", &two).unwrap();
    published(&ends.client, &who(None), "1.3", &two).unwrap();
    assert!(matches!(ends.refused(), AcceptError::Overtaken { height: 1 }));
}

#[test]
fn a_client_with_rules_of_its_own_does_not_get_around_those_of_the_registry() {
    let ends = Ends::new();
    let (one, two) = (ends.image("one"), ends.image("two"));
    published(&ends.client, &who(None), "1.0", &one).unwrap();
    ends.give().unwrap();
    let attempt = |make: &dyn Fn(&Memory)| {
        let entries = ends.registry.entries(1).unwrap();
        let client = Memory::new(Mutability::Mutable);
        for mark in ["one", "two"] {
            image(&client, mark);
        }
        for entry in &entries {
            accept_at(&client, entry);
        }
        make(&client);
        refused(&ends.registry, &client)
    };
    let moved = attempt(&|client| {
        published(client, &who(None), "1.0", &two).unwrap();
    });
    assert!(
        matches!(&moved, AcceptError::Publish(PublishError::Taken { standing, .. }) if *standing == one.digest),
        "{moved:?}"
    );
    let alias = attempt(&|client| {
        promote(client, &who(None), &name("latest"), &name("1.0"), None).unwrap();
    });
    assert!(
        matches!(alias, AcceptError::Alias(AliasError::Held(_))),
        "{alias:?}"
    );
    let deleted = attempt(&|client| {
        let version = modelkeep_core::name::Target::Tag(name("1.0"));
        delete(client, None, &who(None), &version, Force::OwnersAct).unwrap();
    });
    assert!(
        matches!(deleted, AcceptError::Delete(DeleteError::Tag(_))),
        "{deleted:?}"
    );
    let missing = attempt(&|client| {
        published(client, &who(None), "1.1", &image(client, "three")).unwrap();
    });
    assert!(matches!(missing, AcceptError::NoManifest(_)), "{missing:?}");
    promote(
        &ends.registry,
        &who(None),
        &name("production"),
        &name("1.0"),
        None,
    )
    .unwrap();
    let entries = ends.registry.entries(1).unwrap();
    let yank = statement(&entries, "1.0", &one, r#""op":"yank","reason":"wrong""#);
    let aliased = accept(&ends.registry, None, yank.as_bytes()).unwrap_err();
    assert!(
        matches!(aliased, AcceptError::Yank(YankError::Aliased { .. })),
        "{aliased:?}"
    );
    let elsewhere = r#""op":"alias","version":"1.0""#;
    let elsewhere = statement(&entries, "preview", &two, elsewhere);
    let mistaken = accept(&ends.registry, None, elsewhere.as_bytes()).unwrap_err();
    assert!(matches!(mistaken, AcceptError::Mistaken(_)), "{mistaken:?}");
    let larger = Descriptor {
        size: two.size + 1,
        ..two.clone()
    };
    let larger = statement(&entries, "1.1", &larger, r#""op":"publish""#);
    let described = accept(&ends.registry, None, larger.as_bytes()).unwrap_err();
    assert!(matches!(described, AcceptError::NoManifest(_)), "{described:?}");
}

/// Adds an entry where no rule asks.
fn accept_at(end: &Memory, entry: &[u8]) {
    let written = Written::parse(entry).unwrap();
    if let Some(manifest) = written.entry.operation().manifest() {
        tag(end, None, &who(None), &[], &Publish::of(manifest.clone())).unwrap();
    }
    accept(end, None, entry).unwrap();
}

#[test]
fn what_is_forged_foreign_or_unsigned_is_refused() {
    let (ends, key) = (Ends::new(), Arc::new(PrivateKey::generate()));
    let (one, two) = (ends.image("one"), ends.image("two"));
    published(&ends.client, &who(Some(&key)), "1.0", &one).unwrap();
    ends.give().unwrap();
    let entries = ends.client.entries(1).unwrap();
    let made = |key: Option<&Arc<PrivateKey>>| {
        let statement = statement(&entries, "1.1", &two, r#""op":"publish""#).into_bytes();
        let entry = match key {
            None => statement,
            Some(key) => Bundle::sign(statement, &**key).unwrap().to_bytes(),
        };
        accept(&ends.registry, None, &entry).unwrap_err()
    };
    assert!(matches!(made(None).unauthorized(), Some(Unauthorized::NoKey)));
    let stranger = Arc::new(PrivateKey::generate());
    assert!(matches!(
        made(Some(&stranger)).unauthorized(),
        Some(Unauthorized::UnknownHint(_))
    ));
    published(&ends.client, &who(Some(&key)), "1.1", &two).unwrap();
    let signed = ends.client.entries(2).unwrap().remove(0);
    let forged = forge(&signed);
    let error = accept(&ends.registry, None, &forged).unwrap_err();
    assert!(
        matches!(&error, AcceptError::Refused(_)) && error.unauthorized().is_none(),
        "{error:?}"
    );
    for bytes in [&b""[..], b"{}", b"[]", &[0xff; 100], &signed[..signed.len() - 1]] {
        let error = accept(&ends.registry, None, bytes).unwrap_err();
        assert!(matches!(error, AcceptError::Malformed(_)), "{error:?}");
    }
    assert_eq!(ends.registry.entries(1).unwrap().len(), 1);
    assert_eq!(ends.give().unwrap(), Outcome::Published);
}

/// An entry after these, by somebody who looks at no rules.
fn statement(entries: &[Vec<u8>], name: &str, manifest: &Descriptor, operation: &str) -> String {
    let (first, last) = (
        Written::id_of(&entries[0]),
        Written::id_of(entries.last().unwrap()),
    );
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"{name}","digest":{{"sha256":"{}"}}}}],"predicateType":"https://modelkeep.dev/history/v1","predicate":{{"height":{},"history":"{first}","parents":["{last}"],"time":"2026-11-23T10:00:00Z","author":"eve",{operation},"manifest":{{"mediaType":"{}","digest":"{}","size":{}}}}}}}"#,
        manifest.digest.hex(),
        entries.len() + 1,
        manifest.media_type,
        manifest.digest,
        manifest.size,
    )
}

/// The same bundle over another statement.
fn forge(signed: &[u8]) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    let mut bundle: serde_json::Value = serde_json::from_slice(signed).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let statement = String::from_utf8(BASE64.decode(payload).unwrap()).unwrap();
    let other = statement.replace("\"ada\"", "\"eve\"");
    assert_ne!(statement, other);
    bundle["dsseEnvelope"]["payload"] = BASE64.encode(other).into();
    bundle.to_string().into_bytes()
}

#[test]
fn what_a_history_says_already_is_not_said_again_and_reserved_names_have_none() {
    let ends = Ends::new();
    let one = ends.image("one");
    published(&ends.client, &who(None), "1.0", &one).unwrap();
    ends.give().unwrap();
    let entries = ends.registry.entries(1).unwrap();
    let given = |name: &str, operation: &str| {
        let statement = statement(&entries, name, &one, operation);
        accept(&ends.registry, None, statement.as_bytes()).unwrap_err()
    };
    let same = given("1.0", r#""op":"publish""#);
    assert!(matches!(same, AcceptError::Redundant), "{same:?}");
    let restored = given("1.0", r#""op":"restore""#);
    assert!(matches!(restored, AcceptError::Redundant), "{restored:?}");
    let reserved = given("ledger", r#""op":"publish""#);
    assert!(matches!(reserved, AcceptError::Reserved(_)), "{reserved:?}");
    let unknown = given("2.0", r#""op":"yank","reason":"wrong""#);
    assert!(matches!(unknown, AcceptError::Refused(_)), "{unknown:?}");
    // Nobody could tell who said that an unsigned history is fresh.
    let first = Descriptor {
        digest: Written::id_of(&entries[0]),
        ..one.clone()
    };
    let note = statement(&entries, "ledger", &first, r#""op":"checkpoint""#);
    let (start, _) = note.split_once(r#","manifest""#).unwrap();
    let error = accept(&ends.registry, None, format!("{start}}}}}").as_bytes()).unwrap_err();
    assert!(
        matches!(error, AcceptError::Note(NoteError::NotSigned)),
        "{error:?}"
    );
}
