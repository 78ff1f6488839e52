use std::collections::{BTreeMap, BTreeSet, HashMap};

use modelkeep_core::Digest;
use serde::Serialize;

use super::{FileChanges, Subject, values::Distance};
use crate::{record::Row, survey::part};

/// What became of the tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TensorChanges {
    /// How many only the second model has.
    pub added: u64,
    /// How many only the first model has.
    pub removed: u64,
    /// How many have another type, shape or content.
    pub changed: u64,
    /// How many are the same.
    pub unchanged: u64,
    /// How many have the same type and shape, and contents that nobody has hashed.
    pub unknown: u64,
    /// Those that are not the same, in byte order of their names.
    pub list: Vec<TensorChange>,
}

/// A tensor that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorChange {
    /// Its name.
    pub name: String,
    /// The file of the second model that describes it, or of the first if the second does not have it.
    pub file: String,
    /// What became of it: `added`, `removed`, `changed` or `unknown`.
    pub change: &'static str,
    /// Type and shape in the first model.
    pub from: Option<Form>,
    /// Type and shape in the second.
    pub to: Option<Form>,
    /// How far the values have moved, when that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// The file of the first model that describes it.
    #[serde(skip)]
    pub(super) from_file: String,
}

/// Type and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Form {
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
}

/// A tensor in a model: by the files that belong together, and its name. Which of several parts holds it says nothing; if
/// several do, which should not be, they are counted.
type Key = (String, String, usize);

impl TensorChanges {
    pub(super) fn new(from: &Subject<'_>, to: &Subject<'_>, files: &FileChanges) -> Self {
        let renamed: HashMap<&str, &str> = files
            .renamed
            .iter()
            .map(|file| (file.from.as_str(), file.to.as_str()))
            .collect();
        let (old_files, new_files) = (families(from, &renamed), families(to, &HashMap::new()));
        // Where each model has its tensors in one place, it does not matter what the place is called.
        let one = |families: &[String]| families.iter().collect::<BTreeSet<_>>().len() == 1;
        let is_same_place = one(&old_files) && one(&new_files);
        let (old, new) = (
            rows(from, &old_files, is_same_place),
            rows(to, &new_files, is_same_place),
        );
        let (old_digests, new_digests) = (digests(from), digests(to));
        let mut changes = Self::default();
        let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (was, is) = (old.get(key).copied(), new.get(key).copied());
            let change = match (was, is) {
                (Some(was), Some(is)) if was.dtype != is.dtype || was.shape != is.shape => "changed",
                (Some(was), Some(is)) => {
                    let same_file = old_digests.get(file(from, was)) == new_digests.get(file(to, is));
                    match (&was.hash, &is.hash) {
                        (Some(was), Some(is)) if was != is => "changed",
                        (Some(_), Some(_)) => "",
                        _ if same_file => "",
                        _ => "unknown",
                    }
                }
                (None, _) => "added",
                (_, None) => "removed",
            };
            *match change {
                "changed" => &mut changes.changed,
                "unknown" => &mut changes.unknown,
                "added" => &mut changes.added,
                "removed" => &mut changes.removed,
                _ => {
                    changes.unchanged += 1;
                    continue;
                }
            } += 1;
            let described = is.map_or_else(|| was.map_or("", |was| file(from, was)), |is| file(to, is));
            changes.list.push(TensorChange {
                name: key.1.clone(),
                file: described.to_owned(),
                change,
                from: was.map(form),
                to: is.map(form),
                distance: None,
                from_file: was.map_or_else(String::new, |was| file(from, was).to_owned()),
            });
        }
        changes
            .list
            .sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        changes
    }

    /// Whether all tensors are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn form(row: &Row) -> Form {
    Form {
        dtype: row.dtype.clone(),
        shape: row.shape.clone(),
    }
}

fn file<'a>(subject: &'a Subject<'_>, row: &Row) -> &'a str {
    let tensors = subject.record.tensors.as_ref();
    tensors
        .and_then(|tensors| tensors.files.get(row.file))
        .map_or("", String::as_str)
}

fn families(subject: &Subject<'_>, renamed: &HashMap<&str, &str>) -> Vec<String> {
    let tensors = subject.record.tensors.iter();
    let files = tensors.flat_map(|tensors| &tensors.files);
    files
        .map(|path| {
            let path = renamed.get(path.as_str()).copied().unwrap_or(path.as_str());
            // A model that is now in more parts is the same model.
            match part(path) {
                Some((before, _, _, after)) => format!("{before}{after}"),
                None => path.to_owned(),
            }
        })
        .collect()
}

fn rows<'a>(subject: &'a Subject<'_>, families: &[String], is_same_place: bool) -> BTreeMap<Key, &'a Row> {
    let tensors = subject.record.tensors.iter();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let rows = tensors.flat_map(|tensors| &tensors.rows).map(|row| {
        let place = families.get(row.file).filter(|_| !is_same_place);
        let place = place.map_or("", String::as_str);
        let count = counts.entry((place, &row.name)).or_default();
        *count += 1;
        ((place.to_owned(), row.name.clone(), *count), row)
    });
    rows.collect()
}

fn digests(subject: &Subject<'_>) -> HashMap<String, Digest> {
    let paths = subject.files.list().into_iter().map(|(path, _)| path);
    paths.zip(subject.digests.iter().cloned()).collect()
}
