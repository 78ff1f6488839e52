//! What has to change so that a repository is what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use modelkeep_core::{
    Mutability,
    repositories::{Catalog, Change, Description, Enforcement, Logo, Observed},
};
use serde_json::Value;

use crate::{Field, LOGO_TAG, Step, Wanted};

/// The steps from `found` to `wanted`, in an order that leads there from wherever it is interrupted.
pub(crate) fn steps(wanted: &Wanted, found: &Observed) -> Vec<Step> {
    let (want, have) = (&wanted.description, &found.description);
    let mut steps = Vec::new();
    let fields = mutability(want, found);
    if !fields.is_empty() {
        steps.push(Step::new(Change::SetMutability(want.mutability.clone()), fields));
    }
    let fields = catalog(wanted, have);
    if !fields.is_empty() {
        steps.push(Step::new(Change::PutCatalog(want.catalog.clone()), fields));
    }
    // First what goes: there may be as many as there can be. The note of a logo comes after the logo.
    steps.extend(untag(&want.resource_tags, &have.resource_tags));
    steps.extend(tag(&want.resource_tags, &have.resource_tags));
    steps.extend(policy(want.policy.as_deref(), have.policy.as_deref()));
    steps
}

/// What a new repository is given, one field each.
pub(crate) fn all(wanted: &Wanted) -> Vec<Field> {
    let want = &wanted.description;
    let mut fields = vec![Field::set(
        "image_tag_mutability",
        None,
        Some(text(&want.mutability)),
    )];
    fields.extend(catalog_fields(&want.catalog, &Catalog::default()));
    if let Some(logo) = &want.catalog.logo {
        fields.push(Field::set("catalog.logo", None, Some(logo.to_string())));
    }
    for (key, value) in &want.resource_tags {
        fields.push(tag_field(key, None, Some(value)));
    }
    fields.extend(
        want.policy
            .as_ref()
            .map(|policy| Field::set("policy", None, Some(policy.clone()))),
    );
    fields
}

/// A policy of tags on one line.
fn text(mutability: &Mutability) -> String {
    let filters: Vec<String> = mutability.filters().iter().map(ToString::to_string).collect();
    match filters.as_slice() {
        [] => mutability.as_str().to_owned(),
        filters => format!("{} ({})", mutability.as_str(), filters.join(", ")),
    }
}

/// Filters are a set: their order means nothing.
fn mutability(want: &Description, found: &Observed) -> Vec<Field> {
    let set = |mutability: &Mutability| -> (&'static str, BTreeSet<String>) {
        let filters = mutability.filters().iter().map(ToString::to_string);
        (mutability.as_str(), filters.collect())
    };
    let have = &found.description.mutability;
    // Where clients enforce it there is nothing to set.
    if found.enforcement == Enforcement::Client || set(&want.mutability) == set(have) {
        return Vec::new();
    }
    vec![Field::set(
        "image_tag_mutability",
        Some(text(have)),
        Some(text(&want.mutability)),
    )]
}

fn catalog(wanted: &Wanted, have: &Description) -> Vec<Field> {
    if wanted.powers.catalog.is_none() {
        return Vec::new();
    }
    let want = &wanted.description.catalog;
    let mut fields = catalog_fields(want, &have.catalog);
    if let Some(logo) = &want.logo
        && !shows(logo, have)
    {
        let before = match &have.catalog.logo {
            None | Some(Logo::Url(_)) => have.resource_tags.get(LOGO_TAG).cloned(),
            found => found.as_ref().map(ToString::to_string),
        };
        fields.push(Field::set("catalog.logo", before, Some(logo.to_string())));
    }
    fields
}

/// Whether a repository has this logo. One that is not declared is nobody's business: it cannot be removed. ECR Public
/// shows the address of a logo to accounts that it has verified, and nothing to others: the note says it for both.
fn shows(logo: &Logo, have: &Description) -> bool {
    match (&have.catalog.logo, logo.digest()) {
        (None | Some(Logo::Url(_)), Some(digest)) => {
            have.resource_tags.get(LOGO_TAG) == Some(&digest.to_string())
        }
        (Some(found), digest) => found.digest() == digest,
        (None, None) => false,
    }
}

fn catalog_fields(want: &Catalog, have: &Catalog) -> Vec<Field> {
    let list = |items: &BTreeSet<String>| {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        (!items.is_empty()).then(|| items.join(", "))
    };
    // An empty text says nothing.
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    [
        (
            "catalog.description",
            said(&have.description),
            said(&want.description),
        ),
        ("catalog.about", said(&have.about), said(&want.about)),
        ("catalog.usage", said(&have.usage), said(&want.usage)),
        (
            "catalog.architectures",
            list(&have.architectures),
            list(&want.architectures),
        ),
        (
            "catalog.operating_systems",
            list(&have.operating_systems),
            list(&want.operating_systems),
        ),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .map(|(name, from, to)| Field::set(name, from, to))
    .collect()
}

fn tag_field(key: &str, from: Option<&String>, to: Option<&String>) -> Field {
    Field::set(&format!("resource_tags.{key}"), from.cloned(), to.cloned())
}

type Tags = BTreeMap<String, String>;

fn untag(want: &Tags, have: &Tags) -> Option<Step> {
    // AWS's own cannot be removed.
    let extra = have
        .iter()
        .filter(|(key, _)| !want.contains_key(*key) && !key.starts_with("aws:"));
    let fields: Vec<Field> = extra
        .clone()
        .map(|(key, value)| tag_field(key, Some(value), None))
        .collect();
    let keys = extra.map(|(key, _)| key.clone()).collect();
    (!fields.is_empty()).then(|| Step::new(Change::Untag(keys), fields))
}

fn tag(want: &Tags, have: &Tags) -> Option<Step> {
    let other = want.iter().filter(|(key, value)| have.get(*key) != Some(*value));
    let fields: Vec<Field> = other
        .clone()
        .map(|(key, value)| tag_field(key, have.get(key), Some(value)))
        .collect();
    let tags = other.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!fields.is_empty()).then(|| Step::new(Change::Tag(tags), fields))
}

/// Policies are compared as JSON: registries give them back with other spaces.
fn policy(want: Option<&str>, have: Option<&str>) -> Option<Step> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let same = match (want, have) {
        (None, None) => true,
        (Some(want), Some(have)) => want == have || (parsed(want).is_some() && parsed(want) == parsed(have)),
        _ => false,
    };
    let field = || {
        vec![Field::set(
            "policy",
            have.map(str::to_owned),
            want.map(str::to_owned),
        )]
    };
    match want {
        _ if same => None,
        Some(policy) => Some(Step::new(Change::SetPolicy(policy.to_owned()), field())),
        None => Some(Step::new(Change::DeletePolicy, field())),
    }
}
