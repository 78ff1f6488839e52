//! The record of the version: headers before the files are packed, hashes of tensors while they are.

use std::{collections::BTreeMap, io::Read as _, path::PathBuf, sync::Arc};

use modelkeep_core::{Descriptor, Digest, content::Target, media};
use modelkeep_disk::publish;
use modelkeep_inspect::{Limits, Plan, Record, Survey, TensorHasher, record::Place};
use modelkeep_package::{
    image,
    pack::{self, Watch},
};

use super::{Job, Packed};
use crate::{error::Failure, model::Local};

/// The table of tensors, in the directory that is Modelkeep's own.
const TABLE: &str = "tensors.json";
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// What [`Job::record`] makes.
pub(super) struct Recorded {
    /// The record, as the label holds it.
    pub(super) label: String,
    /// The table of tensors, a layer of its own, if the record has no room for it.
    pub(super) table: Option<(Descriptor, Vec<u8>)>,
}

impl Job<'_> {
    /// What the headers of the files say. They are read once.
    pub(super) fn survey(&self) -> Result<Arc<Survey>, Failure> {
        let mut held = self
            .survey
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(survey) = &*held {
            return Ok(Arc::clone(survey));
        }
        let survey = Survey::new(&Local(&self.files), &Limits::default()).map_err(Failure::failed)?;
        let survey = Arc::new(survey);
        *held = Some(Arc::clone(&survey));
        Ok(survey)
    }

    /// The record of what was packed.
    fn record(&self, packed: &Packed) -> Result<Recorded, Failure> {
        let survey = self.survey()?;
        let mut hashes = packed.tensors.clone();
        for file in 0..self.files.len() {
            if let (Some(plan), false) = (survey.plan(file), hashes.contains_key(&file)) {
                let digest = &packed.digests[file];
                let held = match self.held_hashes(digest, plan) {
                    Some(held) => held,
                    None => {
                        let read = self.read_hashes(file, plan)?;
                        self.keep_hashes(digest, plan, &read);
                        read
                    }
                };
                hashes.insert(file, held);
            }
        }
        Ok(self.recorded(survey.finish(&hashes)))
    }

    /// A record of the same length as that of what will be packed.
    pub(super) fn unread_record(&self) -> Result<Recorded, Failure> {
        let survey = self.survey()?;
        let any = "0".repeat(64);
        let planned = (0..self.files.len()).filter_map(|file| Some((file, survey.plan(file)?)));
        let hashes = planned.map(|(file, plan)| (file, vec![any.clone(); plan.ranges().len()]));
        Ok(self.recorded(survey.finish(&hashes.collect())))
    }

    fn recorded(&self, mut record: Record) -> Recorded {
        let table = record.split().map(|table| {
            let (layer, offset) = image::document_layer(&self.image.path, TABLE, &table);
            let descriptor = Descriptor::of(media::OCI_LAYER, &layer);
            record.place_table(Place {
                layer: descriptor.digest.clone(),
                offset,
                size: table.len() as u64,
                digest: Digest::of(&table),
            });
            (descriptor, layer)
        });
        Recorded {
            label: record.to_json(),
            table,
        }
    }

    /// The label with the record of what was packed, and all layers. The table of tensors, if it has a layer of its own,
    /// is stored in `target`.
    pub(super) fn recorded_layers(
        &self,
        packed: &Packed,
        target: Option<&dyn Target>,
    ) -> Result<(String, Vec<Descriptor>), Failure> {
        let recorded = self.record(packed)?;
        let mut layers = packed.layers.clone();
        if let Some((descriptor, layer)) = recorded.table {
            if let Some(target) = target {
                target.put(&descriptor.media_type, &layer)?;
            }
            layers.push(descriptor);
        }
        Ok((recorded.label, layers))
    }

    fn read_hashes(&self, file: usize, plan: &Plan) -> Result<Vec<String>, Failure> {
        let scanned = &self.files[file];
        let mut opened = pack::open(scanned).map_err(Failure::failed)?;
        let mut hasher = TensorHasher::new(plan);
        let mut piece = vec![0; PIECE];
        loop {
            let came = match opened.read(&mut piece) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                came => came.map_err(|source| {
                    Failure::failed(pack::PackError::Read {
                        path: scanned.location.clone(),
                        source,
                    })
                })?,
            };
            if came == 0 {
                break;
            }
            hasher.update(&piece[..came]);
        }
        hasher
            .finish()
            .ok_or_else(|| Failure::failed(pack::PackError::Changed(scanned.path.clone())))
    }

    fn hashes_path(&self, file: &Digest, plan: &Plan) -> PathBuf {
        let tensors = self.settings.store.value.join("cache").join("tensors");
        tensors.join(format!("{}-{}", file.hex(), &plan.fingerprint()[..16]))
    }

    /// The hashes that the tensors of a file had when it was last read.
    fn held_hashes(&self, file: &Digest, plan: &Plan) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.hashes_path(file, plan)).ok()?;
        // The last line is the digest of what is above it.
        let (hashes, sum) = text.trim_end().rsplit_once('\n')?;
        let hashes: Vec<String> = (Digest::of(hashes.as_bytes()).hex() == sum)
            .then(|| hashes.lines().map(str::to_owned).collect())?;
        (hashes.len() == plan.ranges().len()).then_some(hashes)
    }

    /// Keeps them. What cannot be kept is found out again.
    pub(super) fn keep_hashes(&self, file: &Digest, plan: &Plan, hashes: &[String]) {
        if self.arguments.dry_run && !self.settings.store.value.exists() {
            return;
        }
        let path = self.hashes_path(file, plan);
        let text = hashes.join("\n");
        let sum = Digest::of(text.as_bytes());
        if let Some(directory) = path.parent() {
            let _ = std::fs::create_dir_all(directory);
        }
        let _ = publish::replace(&path, format!("{text}\n{}\n", sum.hex()).as_bytes());
    }
}

/// Hashes tensors, and counts, while files are packed.
pub(super) struct Hashing<'a> {
    survey: &'a Survey,
    on_bytes: &'a mut dyn FnMut(u64),
    current: Option<(usize, TensorHasher)>,
    /// By the places of the files.
    pub(super) hashes: BTreeMap<usize, Vec<String>>,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(survey: &'a Survey, on_bytes: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            survey,
            on_bytes,
            current: None,
            hashes: BTreeMap::new(),
        }
    }

    pub(super) fn finish(mut self) -> BTreeMap<usize, Vec<String>> {
        self.close();
        self.hashes
    }

    fn close(&mut self) {
        if let Some((file, hasher)) = self.current.take()
            && let Some(hashes) = hasher.finish()
        {
            self.hashes.insert(file, hashes);
        }
    }
}

impl Watch for Hashing<'_> {
    fn bytes(&mut self, file: usize, bytes: &[u8]) {
        if self.current.as_ref().is_none_or(|(current, _)| *current != file) {
            self.close();
            self.current = self.survey.plan(file).map(|plan| (file, TensorHasher::new(plan)));
        }
        if let Some((_, hasher)) = &mut self.current {
            hasher.update(bytes);
        }
        (self.on_bytes)(bytes.len() as u64);
    }
}
