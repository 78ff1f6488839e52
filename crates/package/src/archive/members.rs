use std::{
    collections::{BTreeMap, HashSet},
    io::Read,
};

use modelkeep_core::ModelPath;

use super::LayerError;
use crate::{
    image::{ImagePath, Within},
    scan::MOST_FILES,
    tar::read::{Input, Kind, Members},
};

/// Which members of an archive are files of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule<'a> {
    /// All of them, under their names. Each path is there once.
    All,
    /// Those below a directory of an image, where a layer adds to, replaces and removes what lies below it (OCI
    /// image-spec, `layer.md`).
    Below(&'a ImagePath),
}

/// A file of the model in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<T> {
    pub(crate) path: ModelPath,
    pub(crate) size: u64,
    /// Where its bytes begin in the uncompressed layer.
    pub(crate) offset: u64,
    pub(crate) taken: T,
}

/// What a layer does to the model.
#[derive(Debug)]
pub(crate) struct Change<T> {
    pub(crate) files: Vec<Found<T>>,
    directories: Vec<String>,
    gone: Vec<Gone>,
}

impl<T> Change<T> {
    /// That of a layer which is one file.
    pub(crate) fn file(path: ModelPath, size: u64, taken: T) -> Self {
        let found = Found {
            path,
            size,
            offset: 0,
            taken,
        };
        Self {
            files: vec![found],
            directories: Vec::new(),
            gone: Vec::new(),
        }
    }
}

/// What a layer removes of those below it.
#[derive(Debug, PartialEq, Eq)]
enum Gone {
    /// A file, or a directory with all in it.
    Path(String),
    /// All that is in a directory; of the empty path all there is.
    Within(String),
}

/// Marks in the names of members: what of the layers below is not there any more.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What is done with a file of the model: its path, its size, and its bytes.
pub(crate) type Take<'a, T> = dyn FnMut(&ModelPath, u64, &mut dyn Read) -> Result<T, LayerError> + 'a;

/// Reads the members of a layer. `take` is called for each file of the model, and may read its bytes.
pub(crate) fn read<R: Input, T>(
    members: &mut Members<R>,
    rule: Rule<'_>,
    take: &mut Take<'_, T>,
) -> Result<Change<T>, LayerError> {
    let mut change = Change {
        files: Vec::new(),
        directories: Vec::new(),
        gone: Vec::new(),
    };
    let mut seen = HashSet::new();
    while let Some(member) = members.next()? {
        let Some(path) = of_model(&member.name, &member.kind, rule, &mut change.gone)? else {
            continue;
        };
        let path: ModelPath = path.parse()?;
        if seen.len() == MOST_FILES {
            return Err(LayerError::TooMany(MOST_FILES));
        }
        let is_directory = member.kind == Kind::Directory;
        if !seen.insert(path.as_str().to_owned()) && !is_directory {
            return Err(LayerError::Twice(path));
        }
        match member.kind {
            Kind::File(size) => {
                let taken = take(&path, size, members)?;
                change.files.push(Found {
                    path,
                    size,
                    offset: member.offset,
                    taken,
                });
            }
            Kind::Directory => change.directories.push(path.as_str().to_owned()),
            Kind::Link { .. } => return Err(refused(&member.name, "a link")),
            Kind::Other(what) => return Err(refused(&member.name, what)),
        }
    }
    // A directory whose name a file had before it.
    let files: HashSet<&str> = change.files.iter().map(|found| found.path.as_str()).collect();
    match change
        .directories
        .iter()
        .find(|path| files.contains(path.as_str()))
    {
        Some(path) => Err(LayerError::Twice(path.parse()?)),
        None => Ok(change),
    }
}

fn refused(name: &str, what: &'static str) -> LayerError {
    LayerError::Kind {
        name: shown(name),
        what,
    }
}

fn shown(name: &str) -> String {
    name.chars().take(200).collect()
}

/// The path in the model of a member that is part of it. What it removes is added to `gone`.
fn of_model(
    name: &str,
    kind: &Kind,
    rule: Rule<'_>,
    gone: &mut Vec<Gone>,
) -> Result<Option<String>, LayerError> {
    let wrong = |reason| {
        Err(LayerError::Name {
            name: shown(name),
            reason,
        })
    };
    let plain = name.strip_suffix('/').unwrap_or(name);
    let path = match rule {
        Rule::All if *kind == Kind::Directory && matches!(plain, "" | ".") => return Ok(None),
        Rule::All => plain.to_owned(),
        Rule::Below(directory) => {
            let parts: Vec<&str> = name
                .split('/')
                .filter(|part| !matches!(*part, "" | "."))
                .collect();
            if parts.contains(&"..") {
                return wrong("it holds '..'");
            }
            let clean = parts.join("/");
            let (parent, last) = clean.rsplit_once('/').unwrap_or(("", &clean));
            if let Some(removed) = whiteout(parent, last) {
                if gone.len() == MOST_FILES {
                    return Err(LayerError::TooMany(MOST_FILES));
                }
                gone.extend(removed.and_then(|removed| removed.below(directory)));
                return Ok(None);
            }
            match directory.place(&clean) {
                Within::Outside => return Ok(None),
                Within::Above if *kind == Kind::Directory => return Ok(None),
                Within::Above => {
                    return wrong("the directory of the model is no directory in this layer");
                }
                Within::Inside(_) if clean != plain => {
                    return wrong("it is not written plainly");
                }
                Within::Inside(path) => path.to_owned(),
            }
        }
    };
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return wrong("it is not UTF-8");
    }
    Ok(Some(path))
}

/// What a member says is gone, by its name; `Some(None)` for marks that say nothing.
fn whiteout(parent: &str, name: &str) -> Option<Option<Gone>> {
    if name == OPAQUE {
        return Some(Some(Gone::Within(parent.to_owned())));
    }
    let removed = name.strip_prefix(WHITEOUT)?;
    if removed.is_empty() || removed.starts_with(WHITEOUT) {
        return Some(None);
    }
    Some(Some(Gone::Path(match parent {
        "" => removed.to_owned(),
        parent => format!("{parent}/{removed}"),
    })))
}

impl Gone {
    /// What it means for the model that lies at `directory`.
    fn below(self, directory: &ImagePath) -> Option<Self> {
        let (path, is_path) = match &self {
            Self::Path(path) => (path, true),
            Self::Within(path) => (path, false),
        };
        match directory.place(path) {
            Within::Above => Some(Self::Within(String::new())),
            Within::Inside(path) if is_path => Some(Self::Path(path.to_owned())),
            Within::Inside(path) => Some(Self::Within(path.to_owned())),
            // The root of the image holds all.
            Within::Outside if path.is_empty() => Some(Self::Within(String::new())),
            Within::Outside => None,
        }
    }
}

/// The files that there are when the layers lie on each other, in byte order of their paths, each with the place of its
/// layer.
pub(crate) fn overlay<T>(
    changes: Vec<(usize, Change<T>)>,
    rule: Rule<'_>,
) -> Result<Vec<(usize, Found<T>)>, LayerError> {
    let mut files: BTreeMap<String, (usize, Found<T>)> = BTreeMap::new();
    for (layer, change) in changes {
        if let Rule::Below(_) = rule {
            lay(&mut files, &change);
        }
        for found in change.files {
            let path = found.path.clone();
            if files.insert(path.as_str().to_owned(), (layer, found)).is_some() {
                return Err(LayerError::Twice(path));
            }
        }
        if files.len() > MOST_FILES {
            return Err(LayerError::TooMany(MOST_FILES));
        }
    }
    Ok(files.into_values().collect())
}

/// Removes what a layer hides of those below it.
fn lay<T>(files: &mut BTreeMap<String, (usize, Found<T>)>, change: &Change<T>) {
    for gone in &change.gone {
        match gone {
            Gone::Within(directory) if directory.is_empty() => files.clear(),
            Gone::Within(directory) => remove_below(files, directory),
            Gone::Path(path) => {
                files.remove(path);
                remove_below(files, path);
            }
        }
    }
    for found in &change.files {
        files.remove(found.path.as_str());
        remove_below(files, found.path.as_str());
        for parent in found.path.parents() {
            files.remove(parent);
        }
    }
    for directory in &change.directories {
        files.remove(directory);
    }
}

fn remove_below<T>(files: &mut BTreeMap<String, (usize, Found<T>)>, directory: &str) {
    // The character after the slash ends the range of what begins with it.
    let range = format!("{directory}/")..format!("{directory}0");
    let below: Vec<String> = files.range(range).map(|(path, _)| path.clone()).collect();
    for path in below {
        files.remove(&path);
    }
}
