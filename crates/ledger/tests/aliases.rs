//! Names that move, and versions that are advised against.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_core::{
    Descriptor, Manifest, Mutability, Tag,
    content::{Journal, Names, Target as _},
    manifest, media,
};
use modelkeep_ledger::{
    AliasError, History, MalformedHistory, Outcome, Publish, Who, YankError, promote, read, restore,
    rollback, tag, yank,
};
use modelkeep_testkit::Memory;

fn name(text: &str) -> Tag {
    text.parse().unwrap()
}

fn who() -> Who {
    Who {
        time: "2026-11-23T10:00:00Z".to_owned(),
        author: "ada".to_owned(),
        seal: None,
    }
}

/// A repository with the alias `production` and the versions 1.0, 1.1 and 1.2.
fn repository() -> (Memory, [Descriptor; 3]) {
    let filters = vec!["production".parse().unwrap()];
    let end = Memory::new(Mutability::ImmutableWithExclusion(filters));
    let manifests = ["1.0", "1.1", "1.2"].map(|version| {
        let image = Manifest {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            config: end.put(media::OCI_CONFIG, b"{}").unwrap(),
            layers: vec![end.put(media::OCI_LAYER, version.as_bytes()).unwrap()],
            subject: None,
            annotations: Default::default(),
        };
        let manifest = end.put(media::OCI_MANIFEST, &manifest::to_json(&image)).unwrap();
        tag(
            &end,
            None,
            &who(),
            &[name(version)],
            &Publish::of(manifest.clone()),
        )
        .unwrap();
        manifest
    });
    (end, manifests)
}

fn point(end: &Memory, version: &str) -> Result<Outcome, AliasError> {
    promote(end, &who(), &name("production"), &name(version), None)
}

fn target(end: &Memory) -> String {
    let history = read(end).unwrap();
    let moved = history.alias(&name("production")).unwrap();
    let resolved = end.resolve(&name("production")).unwrap().unwrap();
    assert_eq!(
        resolved.digest, moved.alias.manifest.digest,
        "the tag follows the history"
    );
    moved.alias.version.to_string()
}

#[test]
fn an_alias_points_where_it_was_promoted_to_and_rolls_back() {
    let (end, _) = repository();
    assert_eq!(point(&end, "1.0").unwrap(), Outcome::Published);
    assert_eq!(point(&end, "1.0").unwrap(), Outcome::Unchanged);
    assert!(matches!(
        rollback(&end, &who(), &name("production"), None),
        Err(AliasError::NoEarlier(_))
    ));
    point(&end, "1.1").unwrap();
    assert_eq!(target(&end), "1.1");
    let back = rollback(&end, &who(), &name("production"), Some("slow".to_owned())).unwrap();
    assert_eq!((back, target(&end)), (name("1.0"), "1.0".to_owned()));
    let history = read(&end).unwrap();
    let moves = history.moves().iter();
    let moves: Vec<_> = moves.map(|moved| moved.alias.version.to_string()).collect();
    assert_eq!(moves, ["1.0", "1.1", "1.0"]);
    assert_eq!(history.moves()[2].alias.message.as_deref(), Some("slow"));
}

#[test]
fn an_alias_is_no_version() {
    let (end, _) = repository();
    point(&end, "1.1").unwrap();
    let history = read(&end).unwrap();
    assert!(history.version(&name("production")).is_none());
    assert_eq!(history.newest_first().len(), 3);
    assert_eq!(history.aliases().len(), 1);
}

#[test]
fn only_a_name_that_may_move_becomes_an_alias_of_a_version() {
    let (end, _) = repository();
    let attempt = |alias: &str, version: &str| promote(&end, &who(), &name(alias), &name(version), None);
    assert!(matches!(attempt("staging", "1.0"), Err(AliasError::Held(_))));
    assert!(matches!(attempt("1.0", "1.1"), Err(AliasError::Held(_))));
    assert!(matches!(attempt("ledger", "1.0"), Err(AliasError::Reserved(_))));
    assert!(matches!(
        attempt("production", "2.0"),
        Err(AliasError::NoVersion(_))
    ));
    assert_eq!(read(&end).unwrap().height(), 3);
}

#[test]
fn a_push_to_the_name_of_an_alias_makes_it_what_was_pushed() {
    let (end, manifests) = repository();
    point(&end, "1.1").unwrap();
    tag(
        &end,
        None,
        &who(),
        &[name("production")],
        &Publish::of(manifests[0].clone()),
    )
    .unwrap();
    let history = read(&end).unwrap();
    assert!(history.alias(&name("production")).is_none());
    assert_eq!(
        history.manifest(&name("production")).unwrap().digest,
        manifests[0].digest
    );
}

#[test]
fn a_yanked_version_stays_what_it_is_and_is_promoted_no_more() {
    let (end, manifests) = repository();
    assert_eq!(
        yank(&end, &who(), &name("1.1"), "leaks").unwrap(),
        Outcome::Published
    );
    assert_eq!(
        yank(&end, &who(), &name("1.1"), "leaks").unwrap(),
        Outcome::Unchanged
    );
    let history = read(&end).unwrap();
    assert_eq!(history.yanked(&name("1.1")).unwrap().reason, "leaks");
    assert_eq!(history.version(&name("1.1")).unwrap().manifest(), &manifests[1]);
    assert_eq!(
        end.resolve(&name("1.1")).unwrap().unwrap().digest,
        manifests[1].digest
    );
    assert!(matches!(point(&end, "1.1"), Err(AliasError::Yanked { .. })));
    assert_eq!(restore(&end, &who(), &name("1.1")).unwrap(), Outcome::Published);
    assert_eq!(restore(&end, &who(), &name("1.1")).unwrap(), Outcome::Unchanged);
    assert!(read(&end).unwrap().yanked(&name("1.1")).is_none());
    point(&end, "1.1").unwrap();
}

#[test]
fn what_an_alias_points_at_is_not_yanked_and_nothing_else_than_a_version_is() {
    let (end, _) = repository();
    point(&end, "1.1").unwrap();
    assert!(matches!(
        yank(&end, &who(), &name("1.1"), "leaks"),
        Err(YankError::Aliased { .. })
    ));
    for other in ["2.0", "production"] {
        assert!(matches!(
            yank(&end, &who(), &name(other), "leaks"),
            Err(YankError::NoVersion(_))
        ));
    }
}

#[test]
fn a_rollback_does_not_lead_to_a_yanked_version() {
    let (end, _) = repository();
    point(&end, "1.0").unwrap();
    point(&end, "1.1").unwrap();
    yank(&end, &who(), &name("1.0"), "leaks").unwrap();
    assert!(matches!(
        rollback(&end, &who(), &name("production"), None),
        Err(AliasError::Yanked { .. })
    ));
    assert_eq!(target(&end), "1.1");
}

#[test]
fn a_history_that_yanks_what_is_no_version_is_refused() {
    let (end, _) = repository();
    yank(&end, &who(), &name("1.1"), "leaks").unwrap();
    let mut entries = end.entries(1).unwrap();
    let text = String::from_utf8(entries.pop().unwrap()).unwrap();
    entries.push(text.replace("\"name\":\"1.1\"", "\"name\":\"9.9\"").into_bytes());
    assert!(matches!(
        History::verify(&entries),
        Err(MalformedHistory::Unknown { height: 4, .. })
    ));
}

#[test]
fn a_tag_that_was_not_moved_because_the_mover_died_follows_at_the_next_change() {
    let (end, manifests) = repository();
    point(&end, "1.1").unwrap();
    // As if the process had died after the entry.
    let mut transaction = Journal::begin(&end).unwrap();
    transaction.set_tag(&name("production"), &manifests[0]).unwrap();
    drop(transaction);
    yank(&end, &who(), &name("1.2"), "slow").unwrap();
    assert_eq!(target(&end), "1.1");
}
