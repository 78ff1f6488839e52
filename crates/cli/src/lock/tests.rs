use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn lock() -> Lock {
    let mut lock = Lock::default();
    let seen = Seen {
        identity: digest("first"),
        height: 12,
        head: digest("newest"),
    };
    let repositories = [
        ("registry.example:5000/team/digits", Some(seen)),
        ("plain.example/digits", None),
        ("digits", None),
    ];
    for (name, history) in repositories {
        let seen = "2026-11-23T10:00:00Z".to_owned();
        lock.repositories
            .insert(name.to_owned(), Locked { history, seen });
        let model = |alias: Option<&str>| Model {
            alias: alias.map(|alias| alias.parse().unwrap()),
            manifest: Descriptor::plain(media::OCI_MANIFEST, digest(name), 1234),
            root: alias.map(|_| digest("root")),
            signature: alias.map(|_| digest("signature")),
            signer: alias.map(|_| digest("key").to_string().parse().unwrap()),
        };
        for (version, alias) in [("1.0", None), ("1.1", Some("production"))] {
            let key = (name.to_owned(), version.parse().unwrap());
            lock.models.insert(key, model(alias));
        }
    }
    lock
}

#[test]
fn a_lock_file_reads_what_it_wrote() {
    for lock in [Lock::default(), lock()] {
        assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
    }
}

#[test]
fn every_changed_byte_of_a_lock_file_is_refused() {
    let text = lock().to_text();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // What is no UTF-8 is refused when it is read.
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Lock::parse(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn a_lock_file_that_was_cut_or_added_to_is_refused() {
    let text = lock().to_text();
    let whole_tables: Vec<usize> = text.match_indices("\n[[").map(|(at, _)| at).collect();
    for length in (0..text.len()).filter(|length| !whole_tables.contains(length)) {
        assert!(Lock::parse(&text[..length]).is_err(), "{length}");
    }
    for more in ["\n", "x = 1\n", "# more\n", "\n[[model]]\n"] {
        assert!(Lock::parse(&format!("{text}{more}")).is_err(), "{more:?}");
    }
    assert!(Lock::parse(&text.replace('\n', "\r\n")).is_err());
}

#[test]
fn another_version_of_the_format_is_said_to_be_one() {
    let text = lock().to_text().replace("version = 1\n", "version = 2\n");
    assert!(matches!(Lock::parse(&text), Err(Malformed::Version(2))));
}

#[test]
fn models_are_found_by_version_by_alias_and_by_repository() {
    let lock = lock();
    let found = |text| lock.models_named(text).len();
    assert_eq!(found(None), 6);
    assert_eq!(found(Some("1.0")), 3);
    assert_eq!(found(Some("production")), 3);
    assert_eq!(found(Some("digits:production")), 2);
    assert_eq!(found(Some("team/digits:1.0")), 1);
    assert_eq!(found(Some("registry.example:5000/team/digits:1.1")), 1);
    assert_eq!(found(Some("1.2")), 0);
}
