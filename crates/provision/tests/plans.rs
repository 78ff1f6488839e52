//! What plans look like, and what they refuse.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_core::{
    Mutability, RepoName,
    repositories::{Change, Deletion, Description, Error, Logo, Observed, Powers, Repositories},
};
use modelkeep_provision::{ApplyError, Declaration, Force, LOGO_TAG, Plan, Stays, apply, destroy, plan};
use modelkeep_testkit::{LogosAre, MemoryRepositories};

fn name() -> RepoName {
    "ml-model-repo".parse().unwrap()
}

fn preview(registry: &MemoryRepositories, declaration: &Declaration) -> Plan {
    let wanted = declaration.wanted(&registry.powers()).unwrap();
    plan(&wanted, registry.observe(&name()).unwrap()).unwrap()
}

fn up(registry: &MemoryRepositories, declaration: &Declaration) -> Observed {
    let plan = preview(registry, declaration);
    apply(registry, &plan, &mut |_| {}).unwrap().unwrap()
}

fn declaration() -> Declaration {
    let mut declaration = Declaration::new(name());
    declaration.aliases = vec!["latest".parse().unwrap()];
    declaration.catalog.description = Some("A model\u{1b}[2J".to_owned());
    declaration.catalog.about = Some("x".repeat(200));
    declaration.resource_tags = [("team".to_owned(), "vision".to_owned())].into();
    declaration
}

#[test]
fn a_plan_is_read_line_by_line() {
    let public = MemoryRepositories::new(Powers::ecr_public(), LogosAre::Urls);
    let mut declaration = declaration();
    assert_eq!(
        preview(&public, &declaration).to_string(),
        format!(
            "\
+ create ml-model-repo in ECR Public
    image_tag_mutability: IMMUTABLE_WITH_EXCLUSION (latest)
    catalog.description: \"A model\\u{{1b}}[2J\"
    catalog.about: {:?}… (200 characters)
    resource_tags.dev.modelkeep.managed-by: modelkeep
    resource_tags.team: vision
enforced by: client (ECR Public lets every other client move every tag)
",
            "x".repeat(80)
        )
    );
    up(&public, &declaration);
    assert_eq!(
        preview(&public, &declaration).to_string(),
        "= same ml-model-repo in ECR Public\n\
         enforced by: client (ECR Public lets every other client move every tag)\n"
    );
    declaration.catalog.description = None;
    declaration.resource_tags = [("owner".to_owned(), "vision team".to_owned())].into();
    declaration.policy = Some("{}".to_owned());
    let change = preview(&public, &declaration);
    assert_eq!(
        change.to_string(),
        "\
~ update catalog.description: \"A model\\u{1b}[2J\" -> (none)
~ update resource_tags.team: vision -> (none)
~ update resource_tags.owner: (none) -> vision team
~ update policy: (none) -> {}
enforced by: client (ECR Public lets every other client move every tag)
"
    );
    let document = serde_json::to_value(&change).unwrap();
    assert_eq!(document["repository"], "ml-model-repo");
    assert_eq!(document["enforcement"], "client");
    assert_eq!(document["exists"], true);
    assert_eq!(
        document["changes"][1],
        serde_json::json!({"action": "update", "field": "resource_tags.team", "from": "vision", "to": null})
    );
}

#[test]
fn mutability_is_set_where_the_registry_enforces_it() {
    let ecr = MemoryRepositories::new(Powers::ecr(), LogosAre::Urls);
    let mut declaration = Declaration::new(name());
    up(&ecr, &declaration);
    declaration.aliases = vec!["latest".parse().unwrap(), "stable".parse().unwrap()];
    let change = preview(&ecr, &declaration);
    assert_eq!(
        change.to_string(),
        "~ update image_tag_mutability: IMMUTABLE -> IMMUTABLE_WITH_EXCLUSION (latest, stable)\n\
         enforced by: registry\n"
    );
    let found = up(&ecr, &declaration);
    assert_eq!(found.description.mutability.filters().len(), 2);
    // In whatever order they come back.
    declaration.aliases.reverse();
    assert!(preview(&ecr, &declaration).is_empty());
}

#[test]
fn a_logo_is_told_from_another_by_its_own_resource_tag() {
    for logos in [LogosAre::Urls, LogosAre::Digests, LogosAre::Hidden] {
        let public = MemoryRepositories::new(Powers::ecr_public(), logos);
        let mut declaration = declaration();
        declaration.catalog.logo = Some(Logo::Bytes(b"one".to_vec()));
        let first = up(&public, &declaration).description.resource_tags[LOGO_TAG].clone();
        assert!(preview(&public, &declaration).is_empty());
        declaration.catalog.logo = Some(Logo::Bytes(b"two".to_vec()));
        let change = preview(&public, &declaration);
        let fields: Vec<&str> = change
            .steps
            .iter()
            .flat_map(|step| step.fields.iter().map(|field| field.field.as_str()))
            .collect();
        assert_eq!(fields, ["catalog.logo", &format!("resource_tags.{LOGO_TAG}")]);
        assert_eq!(change.steps[0].fields[0].from.as_deref(), Some(first.as_str()));
        up(&public, &declaration);
        // One that is no longer declared stays, and is nobody's business.
        declaration.catalog.logo = None;
        let found = up(&public, &declaration);
        assert_eq!(
            found.description.catalog.logo.is_some(),
            logos != LogosAre::Hidden
        );
        assert!(!found.description.resource_tags.contains_key(LOGO_TAG));
    }
}

#[test]
fn destroying_needs_ownership_force_and_no_protection() {
    let ecr = MemoryRepositories::new(Powers::ecr(), LogosAre::Urls);
    let powers = ecr.powers();
    let plan_with = |protect, force| {
        let observed = ecr.observe(&name()).unwrap();
        destroy(&name(), observed, &powers, protect, force)
    };
    let nothing = plan_with(true, Force::No).unwrap();
    assert!(nothing.is_empty());
    assert_eq!(
        nothing.to_string(),
        "= none ml-model-repo in ECR\nenforced by: registry\n"
    );

    ecr.apply(&name(), &Change::Create(Description::new(Mutability::Immutable)))
        .unwrap();
    assert!(matches!(plan_with(false, Force::Yes), Err(Stays::NotOwned(_))));
    ecr.apply(&name(), &Change::Delete(Deletion::OnlyEmpty)).unwrap();

    up(&ecr, &Declaration::new(name()));
    assert!(matches!(plan_with(true, Force::Yes), Err(Stays::Protected(_))));
    let empty = plan_with(false, Force::Yes).unwrap();
    assert_eq!(
        empty.to_string(),
        "- delete ml-model-repo in ECR with no images\n"
    );
    assert_eq!(empty.steps[0].change, Change::Delete(Deletion::OnlyEmpty));

    // Somebody pushes between preview and apply: nobody agreed to delete that.
    ecr.push_image(&name());
    let moved = apply(&ecr, &empty, &mut |_| {});
    assert!(matches!(moved, Err(ApplyError::Moved { .. })));
    assert!(matches!(plan_with(false, Force::No), Err(Stays::NotEmpty { .. })));
    let forced = plan_with(false, Force::Yes).unwrap();
    assert_eq!(forced.steps[0].change, Change::Delete(Deletion::WithImages));
    ecr.push_image(&name());
    assert!(matches!(
        apply(&ecr, &forced, &mut |_| {}),
        Err(ApplyError::Moved { .. })
    ));

    let forced = plan_with(false, Force::Yes).unwrap();
    assert_eq!(apply(&ecr, &forced, &mut |_| {}).unwrap(), None);
    assert!(plan_with(false, Force::No).unwrap().is_empty());
}

#[test]
fn a_push_between_preview_and_apply_stops_no_update() {
    let ecr = MemoryRepositories::new(Powers::ecr(), LogosAre::Urls);
    let mut declaration = Declaration::new(name());
    up(&ecr, &declaration);
    declaration.mutability = Mutability::Mutable;
    let plan = preview(&ecr, &declaration);
    ecr.push_image(&name());
    apply(&ecr, &plan, &mut |_| {}).unwrap();
}

/// Takes every change and makes none, as a registry that answers too early.
struct Deaf(MemoryRepositories);

impl Repositories for Deaf {
    fn powers(&self) -> Powers {
        self.0.powers()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>, Error> {
        self.0.observe(name)
    }

    fn apply(&self, _: &RepoName, _: &Change) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn what_was_not_reached_is_said() {
    let ecr = Deaf(MemoryRepositories::new(Powers::ecr(), LogosAre::Urls));
    let mut declaration = Declaration::new(name());
    up(&ecr.0, &declaration);
    declaration.mutability = Mutability::Mutable;
    declaration.policy = Some("{}".to_owned());
    let error = apply(&ecr, &preview(&ecr.0, &declaration), &mut |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "every step was made, and the repository ml-model-repo still differs in image_tag_mutability, policy"
    );
    let gone = destroy(
        &name(),
        ecr.observe(&name()).unwrap(),
        &ecr.powers(),
        false,
        Force::No,
    )
    .unwrap();
    let error = apply(&ecr, &gone, &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().ends_with("still differs in that it exists"),
        "{error}"
    );
}
