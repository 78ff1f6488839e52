//! What two models differ in.

mod files;
mod tensors;
mod texts;
mod values;
mod verdict;

use std::collections::BTreeMap;

use modelkeep_core::Digest;
use serde::Serialize;

pub use files::{FileChanges, Modified, Renamed, Sized};
pub use tensors::{Form, TensorChange, TensorChanges};
pub use texts::{KeyChange, TextChanges, TokenChange, TokenChanges};
pub use values::Distance;

use crate::{Files, Limits, Record, SurveyError};

/// One of the two models.
pub struct Subject<'a> {
    /// Its files.
    pub files: &'a dyn Files,
    /// The digest of each, in the order of [`Files::list`].
    pub digests: Vec<Digest>,
    /// What its files say that it is, with the table of tensors.
    pub record: Record,
    /// Figures that were declared with it. They come before those of the record.
    pub metrics: BTreeMap<String, f64>,
    /// Parameters that were declared with it.
    pub params: BTreeMap<String, String>,
}

/// What is different in the second of two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Files.
    pub files: FileChanges,
    /// Tensors.
    pub tensors: TensorChanges,
    /// Figures, in byte order of their names.
    pub metrics: Vec<MetricChange>,
    /// Parameters, in byte order of their names.
    pub params: Vec<KeyChange>,
    /// Keys of configs and of the front matter of the card.
    pub texts: TextChanges,
    /// Entries of the vocabulary.
    pub vocabulary: TokenChanges,
    /// What the model is: license, architecture, sizes.
    pub record: Vec<KeyChange>,
    /// What keeps the second from being used in the place of the first.
    pub incompatible: Vec<String>,
}

/// A figure that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricChange {
    /// Its name.
    pub name: String,
    /// In the first model.
    pub from: Option<f64>,
    /// In the second.
    pub to: Option<f64>,
    /// By how much it moved, where both have it.
    pub delta: Option<f64>,
}

impl Diff {
    /// Compares two models. Of their files only small texts that differ are read; about weights, the records know.
    ///
    /// # Errors
    /// [`SurveyError`] when such a text cannot be read.
    pub fn new(from: &Subject<'_>, to: &Subject<'_>, limits: &Limits) -> Result<Self, SurveyError> {
        let files = FileChanges::new(from, to);
        let tensors = TensorChanges::new(from, to, &files);
        let (texts, vocabulary) = texts::compare(from, to, &files, limits)?;
        let record = verdict::fields(&from.record, &to.record);
        let incompatible = verdict::incompatible(&from.record, &to.record, &vocabulary);
        Ok(Self {
            files,
            tensors,
            metrics: metrics(from, to),
            params: params(from, to),
            texts,
            vocabulary,
            record,
            incompatible,
        })
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.metrics.is_empty() && self.params.is_empty()
    }
}

fn metrics(from: &Subject<'_>, to: &Subject<'_>) -> Vec<MetricChange> {
    let all = |subject: &Subject<'_>| {
        let mut all: BTreeMap<String, f64> = BTreeMap::new();
        for metric in &subject.record.metrics {
            let name = match &metric.dataset {
                Some(dataset) => format!("{}@{dataset}", metric.name),
                None => metric.name.clone(),
            };
            all.entry(name).or_insert(metric.value);
        }
        all.extend(subject.metrics.clone());
        all
    };
    let (from, to) = (all(from), all(to));
    names(&from, &to)
        .filter_map(|name| {
            let (from, to) = (from.get(name).copied(), to.get(name).copied());
            (from != to).then(|| MetricChange {
                name: name.clone(),
                from,
                to,
                delta: from.zip(to).map(|(from, to)| to - from),
            })
        })
        .collect()
}

fn params(from: &Subject<'_>, to: &Subject<'_>) -> Vec<KeyChange> {
    let all = |subject: &Subject<'_>| {
        let mut all = subject.record.params.clone();
        all.extend(subject.params.clone());
        all
    };
    keys(&all(from), &all(to))
}

/// The keys that do not have the same value.
fn keys(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<KeyChange> {
    names(from, to)
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| KeyChange {
            key: name.clone(),
            from: from.get(name).cloned(),
            to: to.get(name).cloned(),
        })
        .collect()
}

/// The names that are in either, each once, in order.
fn names<'a, V, W>(
    from: &'a BTreeMap<String, V>,
    to: &'a BTreeMap<String, W>,
) -> impl Iterator<Item = &'a String> {
    let names: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    names.into_iter()
}

#[cfg(test)]
mod tests;
