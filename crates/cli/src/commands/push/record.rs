//! The record of the version: headers before the files are packed, hashes of tensors while they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use modelkeep_core::{Descriptor, Digest, content::Target, media};
use modelkeep_inspect::{Limits, Record, Survey, TensorHasher, record::Place};
use modelkeep_package::{
    image, modelpack,
    pack::{PackError, Watch},
};

use super::{Job, Packed};
use crate::{args::Format, error::Failure, model::Local, tensors};

/// The table of tensors, in the directory that is Modelkeep's own.
const TABLE: &str = "tensors.json";

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
        let mut held = self.survey.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(survey) = &*held {
            return Ok(Arc::clone(survey));
        }
        let survey = Survey::scanned(&Local(&self.files), &Limits::default());
        let survey = Arc::new(survey.map_err(Failure::failed)?);
        *held = Some(Arc::clone(&survey));
        Ok(survey)
    }

    /// The record of what was packed, and of the hashes that came with it.
    fn record(&self, packed: &mut Packed) -> Result<Recorded, Failure> {
        let survey = self.survey()?;
        let mut hashes = std::mem::take(&mut packed.tensors);
        for file in 0..self.files.len() {
            if let (Some(plan), false) = (survey.plan(file), hashes.contains_key(&file)) {
                let digest = &packed.digests[file];
                let held = match self.hashes.find(digest, plan) {
                    Some(held) => held,
                    None => {
                        let (read, held) = tensors::read(&self.files[file], plan).map_err(Failure::failed)?;
                        if read != *digest {
                            let path = self.files[file].path.clone();
                            return Err(Failure::failed(PackError::Changed(path)));
                        }
                        self.hashes.add(digest, plan, &held);
                        held
                    }
                };
                hashes.insert(file, held);
            }
        }
        let finished = survey.finish_apart(&hashes);
        drop(hashes);
        Ok(self.recorded(finished))
    }

    /// A record of the same length as that of what will be packed.
    pub(super) fn unread_record(&self) -> Result<Recorded, Failure> {
        let survey = self.survey()?;
        let any = "0".repeat(64);
        let planned = (0..self.files.len()).filter_map(|file| Some((file, survey.plan(file)?)));
        let hashes = planned.map(|(file, plan)| (file, vec![any.clone(); plan.ranges().len()]));
        let finished = survey.finish_apart(&hashes.collect());
        Ok(self.recorded(finished))
    }

    fn recorded(&self, (mut record, table): (Record, Option<Vec<u8>>)) -> Recorded {
        let table = table.map(|table| {
            let (size, digest) = (table.len() as u64, Digest::of(&table));
            let (descriptor, layer, offset) = match (self.format, self.arguments.index) {
                (Format::ModelPack, false) => (modelpack::document_layer(TABLE, &table), table, 0),
                _ => {
                    let (layer, offset) = image::document_layer(&self.image.path, TABLE, table);
                    (Descriptor::of(media::OCI_LAYER, &layer), layer, offset)
                }
            };
            record.place_table(Place {
                layer: descriptor.digest.clone(),
                offset,
                size,
                digest,
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
        packed: &mut Packed,
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
