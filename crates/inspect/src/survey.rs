//! All files of a version, looked at together.

mod formats;
mod groups;
mod pickled;
mod texts;

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

pub(crate) use groups::part;

use modelkeep_core::ByteRange;

use crate::{
    Bytes, Error, Limits, Plan, Record,
    danger::{self, Finding, Severity},
    hash::tensor_hash,
    record::{Place, Problem, Row, Tensors},
};

/// The files of a version, wherever they lie.
pub trait Files {
    /// Path and size of each, in byte order of the paths.
    fn list(&self) -> Vec<(String, u64)>;

    /// Opens one, by its place in the list.
    ///
    /// # Errors
    /// Whatever keeps its bytes from being read.
    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>>;
}

/// Why the files of a version could not be looked at. What is wrong with a file itself is in the record.
#[derive(Debug, thiserror::Error)]
#[error("cannot look into {path}")]
pub struct SurveyError {
    /// The file.
    pub path: String,
    /// Why its bytes cannot be had.
    #[source]
    pub source: io::Error,
}

/// What the headers of the files say, before any tensor is hashed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    record: Record,
    listed: Vec<Listed>,
    /// By the places of the files.
    plans: BTreeMap<usize, Plan>,
    files: Vec<String>,
    findings: Vec<Finding>,
}

/// Findings that a record keeps; the worst come first.
const MOST_FINDINGS: usize = 200;

/// A tensor, where it is described, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// The file whose header has it.
    file: usize,
    name: String,
    dtype: String,
    shape: Vec<u64>,
    /// The file that has its bytes, and which they are there.
    place: Option<(usize, ByteRange)>,
}

impl Survey {
    /// Reads the headers of all files.
    ///
    /// # Errors
    /// [`SurveyError`].
    pub fn new(files: &dyn Files, limits: &Limits) -> Result<Self, SurveyError> {
        let list = files.list();
        let mut looking = Looking {
            files,
            list: &list,
            limits,
            record: Record {
                schema: Record::SCHEMA.to_owned(),
                ..Record::default()
            },
            listed: Vec::new(),
            count: 0,
            bytes: 0,
        };
        formats::look(&mut looking)?;
        texts::look(&mut looking)?;
        Ok(looking.finish())
    }

    /// As [`Survey::new`], then [`Survey::scan`], with the memory of one of them.
    ///
    /// # Errors
    /// [`SurveyError`].
    pub fn scanned(files: &dyn Files, limits: &Limits) -> Result<Self, SurveyError> {
        let findings = danger::scan_files(files, limits)?;
        let mut survey = Self::new(files, limits)?;
        survey.keep(findings);
        Ok(survey)
    }

    /// Looks for what could do harm. What is more than worth knowing is kept with the record.
    ///
    /// # Errors
    /// [`SurveyError`].
    pub fn scan(&mut self, files: &dyn Files, limits: &Limits) -> Result<(), SurveyError> {
        self.keep(danger::scan_files(files, limits)?);
        Ok(())
    }

    fn keep(&mut self, findings: Vec<Finding>) {
        let warned = findings
            .iter()
            .filter(|finding| finding.severity > Severity::Info);
        self.record.findings = warned.take(MOST_FINDINGS).cloned().collect();
        self.findings = findings;
    }

    /// What [`Survey::scan`] found, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Which bytes of a file are tensors; `None` when none are.
    #[must_use]
    pub fn plan(&self, file: usize) -> Option<&Plan> {
        self.plans.get(&file)
    }

    /// Where each tensor lies: by the path of the file that describes it and its name, the place of the file that has its
    /// bytes, and which they are.
    pub(crate) fn places(&self) -> HashMap<(String, String), (usize, ByteRange)> {
        let listed = self.listed.iter();
        listed
            .filter_map(|tensor| {
                Some((
                    (self.files[tensor.file].clone(), tensor.name.clone()),
                    tensor.place?,
                ))
            })
            .collect()
    }

    /// The record, with the hashes of tensors that `hashes` has: by the place of a file, in the order of its plan.
    #[must_use]
    pub fn finish(&self, hashes: &Hashes) -> Record {
        let mut record = self.record.clone();
        if let Some(tensors) = &mut record.tensors {
            let described = self.described();
            tensors.files = described.iter().map(|&file| self.files[file].clone()).collect();
            tensors.rows = self.rows(&described, hashes).collect();
        }
        record
    }

    /// As [`Survey::finish`]. A table of tensors of more than [`Record::MOST_INLINE`] bytes is not in the record, but
    /// beside it, in JSON.
    #[must_use]
    pub fn finish_apart(&self, hashes: &Hashes) -> (Record, Option<Vec<u8>>) {
        let mut length = Length(0);
        self.write_table(hashes, &mut length);
        if self.record.tensors.is_none() || length.0 <= Record::MOST_INLINE {
            return (self.finish(hashes), None);
        }
        // Such a table may have tens of megabytes: they are there once.
        let mut table = Vec::with_capacity(length.0);
        self.write_table(hashes, &mut table);
        (self.record.clone(), Some(table))
    }

    /// The files whose headers describe tensors, in order.
    fn described(&self) -> Vec<usize> {
        let mut files: Vec<usize> = self.listed.iter().map(|tensor| tensor.file).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn rows<'a>(&'a self, described: &'a [usize], hashes: &'a Hashes) -> impl Iterator<Item = Row> + 'a {
        let hash = move |place: Option<(usize, ByteRange)>| {
            let (file, range) = place?;
            if range.length == 0 {
                return Some(tensor_hash(&[]));
            }
            let at = self.plans.get(&file)?.find(range)?;
            hashes.get(&file)?.get(at).cloned()
        };
        let mut order: Vec<&Listed> = self.listed.iter().collect();
        order.sort_by(|a, b| (a.file, &a.name).cmp(&(b.file, &b.name)));
        order.into_iter().map(move |tensor| Row {
            file: described
                .binary_search(&tensor.file)
                .expect("it is one of the files that describe tensors"),
            name: tensor.name.clone(),
            dtype: tensor.dtype.clone(),
            shape: tensor.shape.clone(),
            bytes: tensor.place.map(|(_, range)| range.length),
            hash: hash(tensor.place),
        })
    }

    /// Writes what [`Table`] reads, a row at a time.
    fn write_table(&self, hashes: &Hashes, mut out: impl Write) {
        let described = self.described();
        let files: Vec<&String> = described.iter().map(|&file| &self.files[file]).collect();
        let mut write = || -> io::Result<()> {
            out.write_all(b"{\"files\":")?;
            serde_json::to_writer(&mut out, &files)?;
            out.write_all(b",\"rows\":[")?;
            for (n, row) in self.rows(&described, hashes).enumerate() {
                if n > 0 {
                    out.write_all(b",")?;
                }
                serde_json::to_writer(&mut out, &row)?;
            }
            out.write_all(b"]}")
        };
        write().expect("memory takes texts, numbers and lists");
    }
}

/// Hashes of tensors, by the place of their file, in the order of its plan.
pub type Hashes = BTreeMap<usize, Vec<String>>;

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A record whose tensors do not fit into a label, and their table.
impl Record {
    /// Most bytes of the table of tensors that is kept in the record itself.
    pub const MOST_INLINE: usize = 256 << 10;

    /// Says where the table is that the record is without.
    pub fn place_table(&mut self, place: Place) {
        if let Some(tensors) = &mut self.tensors {
            tensors.table = Some(place);
        }
    }

    /// Puts the table back. A table that is none changes nothing.
    pub fn join(&mut self, table: &[u8]) -> bool {
        let Ok(table) = serde_json::from_slice::<Table>(table) else {
            return false;
        };
        let Some(tensors) = &mut self.tensors else {
            return false;
        };
        tensors.files = table.files;
        tensors.rows = table.rows;
        true
    }
}

#[derive(serde::Deserialize)]
struct Table {
    files: Vec<String>,
    rows: Vec<Row>,
}

/// What has been seen so far.
struct Looking<'a> {
    files: &'a dyn Files,
    list: &'a [(String, u64)],
    limits: &'a Limits,
    record: Record,
    listed: Vec<Listed>,
    count: u64,
    bytes: u64,
}

impl Looking<'_> {
    fn find(&self, path: &str) -> Option<usize> {
        self.list
            .binary_search_by(|(other, _)| other.as_str().cmp(path))
            .ok()
    }

    /// Reads a file. What is wrong with it becomes a problem of the record.
    fn read<T>(
        &mut self,
        file: usize,
        read: impl FnOnce(&dyn Bytes, &Limits) -> crate::Result<T>,
    ) -> Result<Option<T>, SurveyError> {
        let path = &self.list[file].0;
        let failed = |source| SurveyError {
            path: path.clone(),
            source,
        };
        let bytes = self.files.open(file).map_err(failed)?;
        match read(&*bytes, self.limits) {
            Ok(read) => Ok(Some(read)),
            Err(Error::Read { source, .. }) => Err(failed(source)),
            Err(error) => {
                self.problem(file, error.to_string());
                Ok(None)
            }
        }
    }

    fn problem(&mut self, file: usize, problem: String) {
        // A model of a thousand broken files is broken enough.
        if self.record.problems.len() < 100 {
            let file = self.list[file].0.clone();
            let problem = problem.chars().take(500).collect();
            self.record.problems.push(Problem { file, problem });
        }
    }

    fn add(&mut self, tensor: Listed) {
        self.count += 1;
        self.bytes = self
            .bytes
            .saturating_add(tensor.place.map_or(0, |(_, range)| range.length));
        if self.count <= self.limits.tensors {
            self.listed.push(tensor);
        }
    }

    fn finish(mut self) -> Survey {
        if self.count > self.limits.tensors {
            self.listed = Vec::new();
        } else {
            groups::count(&self.listed, self.list, &mut self.record);
        }
        if self.count > 0 {
            self.record.tensors = Some(Tensors {
                count: self.count,
                bytes: self.bytes,
                ..Tensors::default()
            });
        }
        let mut places: BTreeMap<usize, Vec<ByteRange>> = BTreeMap::new();
        for (file, range) in self.listed.iter().filter_map(|tensor| tensor.place) {
            places.entry(file).or_default().push(range);
        }
        self.listed.shrink_to_fit();
        self.record.formats.sort_unstable();
        self.record.formats.dedup();
        self.record.problems.sort_by(|a, b| a.file.cmp(&b.file));
        let metric_order = |a: &crate::record::Metric, b: &crate::record::Metric| {
            (&a.name, &a.dataset, &a.task, &a.file).cmp(&(&b.name, &b.dataset, &b.task, &b.file))
        };
        self.record.metrics.sort_by(metric_order);
        let plans = places.into_iter().map(|(file, places)| (file, Plan::new(places)));
        Survey {
            record: self.record,
            listed: self.listed,
            plans: plans.filter(|(_, plan)| !plan.ranges().is_empty()).collect(),
            files: self.list.iter().map(|(path, _)| path.clone()).collect(),
            findings: Vec::new(),
        }
    }
}
