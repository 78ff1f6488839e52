use std::collections::BTreeMap;

use super::{KeyChange, TokenChanges, keys};
use crate::{
    Record,
    record::{Port, Tokenizer},
};

/// What the models say that they are, where it is not the same.
pub(super) fn fields(from: &Record, to: &Record) -> Vec<KeyChange> {
    keys(&said(from), &said(to))
}

fn said(record: &Record) -> BTreeMap<String, String> {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
    let tokenizer = record.tokenizer.as_ref();
    let fields = [
        ("architecture", record.architecture.clone()),
        ("base_models", list(&record.lineage.base_models)),
        ("datasets", list(&record.lineage.datasets)),
        ("formats", list(&record.formats)),
        ("library", record.library.clone()),
        ("license", record.license.clone()),
        ("parameters", record.parameters.map(|count| count.to_string())),
        ("quantization", record.quantization.clone()),
        ("relation", record.lineage.relation.clone()),
        ("run", record.lineage.run.clone()),
        ("model", record.lineage.model.clone()),
        ("task", record.task.clone()),
        (
            "tokenizer",
            tokenizer.and_then(|tokenizer| tokenizer.kind.clone()),
        ),
    ];
    let mut said: BTreeMap<String, String> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    said.extend(
        record
            .sizes
            .iter()
            .map(|(name, size)| (name.clone(), size.to_string())),
    );
    for (role, token) in tokenizer.into_iter().flat_map(|tokenizer| &tokenizer.special) {
        said.insert(format!("{role}_token"), token.clone());
    }
    said
}

/// Sizes without which weights and inputs of one model do not fit the other.
const SIZES: [&str; 2] = ["hidden_size", "num_hidden_layers"];

/// Why the second model cannot be used in the place of the first, one reason a line.
pub(super) fn incompatible(from: &Record, to: &Record, tokens: &TokenChanges) -> Vec<String> {
    let mut reasons = Vec::new();
    if let (Some(was), Some(is)) = (&from.architecture, &to.architecture)
        && was != is
    {
        reasons.push(format!("architecture: {was} is now {is}"));
    }
    for size in SIZES {
        if let (Some(was), Some(is)) = (from.sizes.get(size), to.sizes.get(size))
            && was != is
        {
            reasons.push(format!("architecture: {size} was {was} and is {is}"));
        }
    }
    ports("input", &from.inputs, &to.inputs, &mut reasons);
    ports("output", &from.outputs, &to.outputs, &mut reasons);
    if let (Some(was), Some(is)) = (&from.tokenizer, &to.tokenizer) {
        reasons.extend(vocabulary(was, is, tokens));
    }
    reasons
}

fn vocabulary(was: &Tokenizer, is: &Tokenizer, tokens: &TokenChanges) -> Option<String> {
    if was.fingerprint.is_none() || is.fingerprint.is_none() || was.fingerprint == is.fingerprint {
        return None;
    }
    if tokens.is_empty() {
        return Some("vocabulary: it is another one".to_owned());
    }
    let parts = [
        (tokens.added, "added"),
        (tokens.removed, "removed"),
        (tokens.renumbered, "renumbered"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    Some(format!("vocabulary: tokens {}", parts.join(", ")))
}

fn ports(what: &str, from: &[Port], to: &[Port], reasons: &mut Vec<String>) {
    // A model that names none may have any.
    if from.is_empty() || to.is_empty() {
        return;
    }
    let form = |port: &Port| format!("{}[{}]", port.dtype, port.shape.join(", "));
    for was in from {
        match to.iter().find(|port| port.name == was.name) {
            None => reasons.push(format!("{what} {} is gone", was.name)),
            Some(is) if is != was => {
                reasons.push(format!(
                    "{what} {} was {} and is {}",
                    was.name,
                    form(was),
                    form(is)
                ));
            }
            Some(_) => {}
        }
    }
    for is in to.iter().filter(|is| from.iter().all(|was| was.name != is.name)) {
        reasons.push(format!("{what} {} is new", is.name));
    }
}
