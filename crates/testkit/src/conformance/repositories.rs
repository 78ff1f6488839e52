//! What [`Repositories`] promises. Each clause works on names of its own below `conformance/`, and takes a registry
//! that has none of them.

use std::collections::{BTreeMap, BTreeSet};

use modelkeep_core::{
    Mutability, RepoName,
    repositories::{
        Catalog, Change, Deletion, Description, Enforcement, Error, Flaw, Logo, Observed, Repositories,
    },
};

/// A registry, and how an image comes to a repository of it.
pub struct Registry<'a> {
    /// The registry.
    pub repositories: &'a dyn Repositories,
    /// Pushes an image.
    pub push_image: &'a dyn Fn(&RepoName),
}

impl Registry<'_> {
    fn apply(&self, name: &RepoName, change: Change) -> Result<(), Error> {
        self.repositories.apply(name, &change)
    }

    fn make(&self, name: &str) -> RepoName {
        let name = self::name(name);
        self.apply(&name, Change::Create(Description::new(Mutability::Immutable)))
            .unwrap();
        name
    }

    fn observe(&self, name: &RepoName) -> Observed {
        self.repositories.observe(name).unwrap().unwrap()
    }

    /// What is observed where `mutability` was declared.
    fn enforced(&self, mutability: &Mutability) -> Mutability {
        match self.repositories.powers().enforcement {
            Enforcement::Registry => mutability.clone(),
            Enforcement::Client => Mutability::Mutable,
        }
    }

    fn catalog(&self) -> Catalog {
        match self.repositories.powers().catalog {
            Some(_) => catalog(),
            None => Catalog::default(),
        }
    }
}

fn name(text: &str) -> RepoName {
    format!("conformance/{text}").parse().unwrap()
}

fn with_exclusion() -> Mutability {
    Mutability::ImmutableWithExclusion(vec!["latest".parse().unwrap(), "dev-*".parse().unwrap()])
}

fn catalog() -> Catalog {
    let set = |items: &[&str]| {
        items
            .iter()
            .map(|item| (*item).to_owned())
            .collect::<BTreeSet<_>>()
    };
    Catalog {
        description: Some("reads digits".to_owned()),
        about: Some("# Digits\n\nA model — with \"quotes\".".to_owned()),
        usage: Some("docker pull".to_owned()),
        architectures: set(&["x86-64", "ARM 64"]),
        operating_systems: set(&["Linux"]),
        logo: Some(Logo::Bytes(b"\x89PNG\r\n\x1a\n and more".to_vec())),
    }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn policy(sid: &str) -> String {
    let statement = format!(
        r#"{{"Sid":"{sid}","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::123456789012:root"}},"Action":["ecr:BatchGetImage"]}}"#
    );
    format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)
}

/// Compares as a reader of JSON would.
fn assert_policy(found: Option<&str>, expected: Option<&str>) {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(found.map(parse), expected.map(parse));
}

fn assert_catalog(found: &Catalog, expected: &Catalog) {
    let plain = |catalog: &Catalog| Catalog {
        logo: None,
        ..catalog.clone()
    };
    assert_eq!(plain(found), plain(expected));
    assert_eq!(found.logo.is_some(), expected.logo.is_some());
    if let Some(digest) = found.logo.as_ref().and_then(Logo::digest) {
        assert_eq!(Some(digest), expected.logo.as_ref().and_then(Logo::digest));
    }
}

/// `observe` answers `None` for a name that is not there, also below and beside one that is.
pub fn what_is_not_there_is_observed_as_none(registry: &Registry<'_>) {
    assert!(registry.repositories.observe(&name("none")).unwrap().is_none());
    registry.make("one");
    assert!(registry.repositories.observe(&name("none")).unwrap().is_none());
    assert!(registry.repositories.observe(&name("one/two")).unwrap().is_none());
}

/// All that a `Create` says is observed, and observing twice gives the same.
pub fn what_is_created_is_observed(registry: &Registry<'_>) {
    let name = name("team/digits");
    let declared = Description {
        mutability: with_exclusion(),
        catalog: registry.catalog(),
        resource_tags: tags(&[("team", "vision"), ("empty", "")]),
        policy: Some(policy("first")),
    };
    registry.apply(&name, Change::Create(declared.clone())).unwrap();
    let found = registry.observe(&name);
    assert_eq!(found.name, name);
    assert!(found.uri.ends_with(name.as_str()), "{}", found.uri);
    assert_eq!(found.enforcement, registry.repositories.powers().enforcement);
    assert!(found.images.is_none());
    assert_eq!(
        found.description.mutability,
        registry.enforced(&declared.mutability)
    );
    assert_eq!(found.description.resource_tags, declared.resource_tags);
    assert_policy(found.description.policy.as_deref(), declared.policy.as_deref());
    assert_catalog(&found.description.catalog, &declared.catalog);
    assert_eq!(registry.observe(&name), found, "observing changes nothing");
}

/// What nobody said is absent, and not an empty text.
pub fn what_was_never_said_is_observed_as_nothing(registry: &Registry<'_>) {
    let found = registry.observe(&registry.make("plain"));
    assert_eq!(found.description.catalog, Catalog::default());
    assert_eq!(found.description.resource_tags, BTreeMap::new());
    assert_eq!(found.description.policy, None);
}

/// The second `Create` of a name is [`Error::AlreadyExists`], and changes nothing.
pub fn a_name_is_created_once(registry: &Registry<'_>) {
    let name = registry.make("once");
    let first = registry.observe(&name);
    let mut other = Description::new(Mutability::Mutable);
    other.resource_tags = tags(&[("other", "one")]);
    let error = registry.apply(&name, Change::Create(other)).unwrap_err();
    assert!(
        matches!(&error, Error::AlreadyExists { name: taken, .. } if *taken == name),
        "{error}"
    );
    assert_eq!(registry.observe(&name), first);
}

/// `SetMutability` sets any policy where the registry enforces it, and is unsupported elsewhere.
pub fn mutability_is_set_where_the_registry_keeps_it(registry: &Registry<'_>) {
    let name = registry.make("mutability");
    let enforcement = registry.repositories.powers().enforcement;
    for mutability in [
        Mutability::Mutable,
        with_exclusion(),
        Mutability::MutableWithExclusion(vec!["release-*".parse().unwrap()]),
        Mutability::Immutable,
        Mutability::Immutable,
    ] {
        let done = registry.apply(&name, Change::SetMutability(mutability.clone()));
        match enforcement {
            Enforcement::Registry => done.unwrap(),
            Enforcement::Client => assert!(matches!(done, Err(Error::Unsupported { .. }))),
        }
        assert_eq!(
            registry.observe(&name).description.mutability,
            registry.enforced(&mutability)
        );
    }
}

/// `PutCatalog` replaces everything, and a missing logo leaves the one that is there.
pub fn catalog_data_is_replaced_whole_but_for_the_logo(registry: &Registry<'_>) {
    let name = registry.make("catalog");
    let put = |catalog: &Catalog| registry.apply(&name, Change::PutCatalog(catalog.clone()));
    if registry.repositories.powers().catalog.is_none() {
        let error = put(&catalog()).unwrap_err();
        assert!(
            matches!(error, Error::Invalid(Flaw { field: "catalog", .. })),
            "{error}"
        );
        assert_eq!(registry.observe(&name).description.catalog, Catalog::default());
        return;
    }
    let full = catalog();
    for _ in 0..2 {
        put(&full).unwrap();
        assert_catalog(&registry.observe(&name).description.catalog, &full);
    }
    let less = Catalog {
        usage: Some("other".to_owned()),
        ..Catalog::default()
    };
    put(&less).unwrap();
    let expected = Catalog {
        logo: full.logo,
        ..less
    };
    assert_catalog(&registry.observe(&name).description.catalog, &expected);
}

/// `Tag` adds and changes, `Untag` removes, and neither touches another key.
pub fn resource_tags_are_added_changed_and_removed(registry: &Registry<'_>) {
    let name = registry.make("resource-tags");
    let apply = |change| registry.apply(&name, change).unwrap();
    let found = || registry.observe(&name).description.resource_tags;
    apply(Change::Tag(tags(&[("a", "1"), ("b", "2")])));
    apply(Change::Tag(tags(&[("b", "3"), ("c", "x = y/z@1")])));
    assert_eq!(found(), tags(&[("a", "1"), ("b", "3"), ("c", "x = y/z@1")]));
    for _ in 0..2 {
        apply(Change::Untag(["a", "never"].map(str::to_owned).into()));
        assert_eq!(found(), tags(&[("b", "3"), ("c", "x = y/z@1")]));
    }
}

/// A policy is set, set again and removed, each as often as one likes.
pub fn a_policy_is_set_changed_and_removed(registry: &Registry<'_>) {
    let name = registry.make("policy");
    for sid in ["first", "first", "second"] {
        registry.apply(&name, Change::SetPolicy(policy(sid))).unwrap();
        let found = registry.observe(&name).description.policy;
        assert_policy(found.as_deref(), Some(&policy(sid)));
    }
    for _ in 0..2 {
        registry.apply(&name, Change::DeletePolicy).unwrap();
        assert_policy(registry.observe(&name).description.policy.as_deref(), None);
    }
}

/// Every other change of a missing repository is [`Error::NotFound`].
pub fn nothing_but_a_create_makes_a_repository(registry: &Registry<'_>) {
    let name = name("missing");
    let mut changes = vec![
        Change::Tag(tags(&[("a", "1")])),
        Change::Untag(["a".to_owned()].into()),
        Change::SetPolicy(policy("first")),
        Change::DeletePolicy,
        Change::Delete(Deletion::OnlyEmpty),
        Change::Delete(Deletion::WithImages),
    ];
    let powers = registry.repositories.powers();
    if powers.enforcement == Enforcement::Registry {
        changes.push(Change::SetMutability(Mutability::Mutable));
    }
    if powers.catalog.is_some() {
        changes.push(Change::PutCatalog(catalog()));
    }
    for change in changes {
        let said = change.to_string();
        let error = registry.apply(&name, change).unwrap_err();
        assert!(
            matches!(&error, Error::NotFound { name: missing, .. } if *missing == name),
            "{said}: {error}"
        );
        assert!(registry.repositories.observe(&name).unwrap().is_none(), "{said}");
    }
}

/// `Delete` removes an empty repository, and none beside or below it.
pub fn an_empty_repository_is_deleted(registry: &Registry<'_>) {
    for deletion in [Deletion::OnlyEmpty, Deletion::WithImages] {
        let (name, beside) = (registry.make("empty"), registry.make("empty/beside"));
        registry.apply(&name, Change::Delete(deletion)).unwrap();
        assert!(registry.repositories.observe(&name).unwrap().is_none());
        assert!(registry.repositories.observe(&beside).unwrap().is_some());
        registry.apply(&beside, Change::Delete(deletion)).unwrap();
    }
}

/// [`Deletion::OnlyEmpty`] leaves images alone; [`Deletion::WithImages`] does not.
pub fn images_are_deleted_only_when_that_is_said(registry: &Registry<'_>) {
    let name = registry.make("full");
    (registry.push_image)(&name);
    let full = registry.observe(&name);
    assert!(!full.images.is_none());
    let error = registry
        .apply(&name, Change::Delete(Deletion::OnlyEmpty))
        .unwrap_err();
    assert!(
        matches!(&error, Error::NotEmpty { name: full } if *full == name),
        "{error}"
    );
    assert_eq!(registry.observe(&name), full);
    registry
        .apply(&name, Change::Delete(Deletion::WithImages))
        .unwrap();
    assert!(registry.repositories.observe(&name).unwrap().is_none());
}

/// A deleted name starts afresh.
pub fn a_repository_made_again_has_nothing_of_the_one_before(registry: &Registry<'_>) {
    let name = name("again");
    let declared = Description {
        mutability: Mutability::Mutable,
        catalog: registry.catalog(),
        resource_tags: tags(&[("team", "vision")]),
        policy: Some(policy("first")),
    };
    registry.apply(&name, Change::Create(declared)).unwrap();
    (registry.push_image)(&name);
    registry
        .apply(&name, Change::Delete(Deletion::WithImages))
        .unwrap();
    let found = registry.observe(&registry.make("again"));
    assert!(found.images.is_none());
    let expected = Description::new(registry.enforced(&Mutability::Immutable));
    assert_eq!(found.description, expected);
}

/// What [`Powers::check`](modelkeep_core::repositories::Powers::check) refuses is refused with its field.
pub fn what_breaks_a_limit_changes_nothing(registry: &Registry<'_>) {
    let powers = registry.repositories.powers();
    let name = registry.make("limits");
    let before = registry.observe(&name);
    let many = (0..=powers.resource_tags.number).map(|n| (n.to_string(), String::new()));
    let many: BTreeMap<String, String> = many.collect();
    let mut changes = vec![
        ("resource_tags", Change::Tag(many.clone())),
        ("resource_tags", Change::Tag(tags(&[("aws:mine", "")]))),
        ("policy", Change::SetPolicy("not JSON".to_owned())),
        (
            "policy",
            Change::SetPolicy(format!("{{{}}}", " ".repeat(powers.policy))),
        ),
    ];
    if powers.enforcement == Enforcement::Registry {
        let filters = (0..=powers.filters).map(|n| format!("{n}-*").parse().unwrap());
        let mutability = Mutability::ImmutableWithExclusion(filters.collect());
        changes.push((
            "image_tag_mutability_exclusion_filters",
            Change::SetMutability(mutability),
        ));
    }
    if let Some(limits) = powers.catalog {
        changes.push((
            "catalog.description",
            Change::PutCatalog(Catalog {
                description: Some("x".repeat(limits.description + 1)),
                ..Catalog::default()
            }),
        ));
    }
    for (field, change) in changes {
        let said = change.to_string();
        let error = registry.apply(&name, change).unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(flaw) if flaw.field == field),
            "{said}: {error}"
        );
        assert_eq!(registry.observe(&name), before, "{said}");
    }
    let mut declared = Description::new(Mutability::Immutable);
    declared.resource_tags = many;
    let unmade = self::name("limits/unmade");
    let error = registry.apply(&unmade, Change::Create(declared)).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(registry.repositories.observe(&unmade).unwrap().is_none());
}
