//! Files into layers: read once, in parallel, and only what is not remembered.

use std::{collections::BTreeMap, time::SystemTime};

use modelkeep_core::{
    ByteRange, Descriptor, Digest,
    content::{Expect, Need, Source, Target},
};
use modelkeep_package::{
    image,
    layout::LayerPlan,
    pack::{PackedLayer, pack_layer},
    scan::ModelFile,
};
use modelkeep_transfer::in_parallel;

use super::{Job, Packed, record::Hashing, workers};
use crate::{
    error::{Failure, registry},
    report::progress::Progress,
    wiring::Endpoint,
};

/// How often a layer is sent whose connection breaks.
const ATTEMPTS: u32 = 3;

impl Job<'_> {
    /// Reads the files into layers, in parallel, and into `target` if there is one. Layers whose files are as they
    /// were are not read.
    pub(super) fn pack(&self, target: Option<&dyn Target>, progress: &Progress) -> Result<Packed, Failure> {
        struct Layer {
            descriptor: Descriptor,
            files: Vec<Digest>,
            tensors: BTreeMap<usize, Vec<String>>,
            read: bool,
            written: u64,
        }
        let mut packed = in_parallel(&self.plans, workers(), |plan| {
            if let Some((descriptor, files)) = self.remembered(plan) {
                let there = match target {
                    Some(target) => target.need(&descriptor)? == Need::Nothing,
                    None => true,
                };
                if there {
                    progress.add(files_size(&self.files, plan));
                    let (read, written) = (false, 0);
                    return Ok(Layer {
                        descriptor,
                        files,
                        tensors: BTreeMap::new(),
                        read,
                        written,
                    });
                }
            }
            let begun = SystemTime::now();
            let (packed, tensors) = self.send(plan, target, progress)?;
            let written = if target.is_some() { plan.size() } else { 0 };
            self.remember(plan, &packed.files, packed.hashed.digest(), begun);
            self.remember_tensors(plan, &packed.files, &tensors)?;
            Ok::<_, Failure>(Layer {
                descriptor: image::layer_descriptor(&self.files, plan, packed.hashed.digest()),
                files: packed.files,
                tensors,
                read: true,
                written,
            })
        })?;
        let mut digests = vec![None; self.files.len()];
        for (plan, layer) in self.plans.iter().zip(&packed) {
            for (member, digest) in plan.members().iter().zip(&layer.files) {
                digests[member.file] = Some(digest.clone());
            }
        }
        let read = self.plans.iter().zip(&packed).filter(|(_, layer)| layer.read);
        Ok(Packed {
            digests: digests
                .into_iter()
                .map(|digest| digest.expect("every file is in a layer"))
                .collect(),
            bytes_read: read.map(|(plan, _)| files_size(&self.files, plan)).sum(),
            bytes_written: packed.iter().map(|layer| layer.written).sum(),
            reused: packed
                .iter()
                .map(|layer| self.is_reused(target, layer.read, &layer.descriptor))
                .collect(),
            tensors: packed
                .iter_mut()
                .flat_map(|layer| std::mem::take(&mut layer.tensors))
                .collect(),
            layers: packed.into_iter().map(|layer| layer.descriptor).collect(),
        })
    }

    /// Reads the files of a layer into `target`, again from the beginning when the connection to it breaks. Gives the
    /// hashes of their tensors too.
    pub(super) fn send(
        &self,
        plan: &LayerPlan,
        target: Option<&dyn Target>,
        progress: &Progress,
    ) -> Result<(PackedLayer, BTreeMap<usize, Vec<String>>), Failure> {
        let survey = self.survey()?;
        let size = plan.size();
        let mut shown = 0;
        let mut attempt = || {
            let mut sink = target
                .map(|target| target.begin(Expect::Unknown { size }))
                .transpose()?;
            let mut done = 0;
            let mut on_bytes = |bytes| {
                done += bytes;
                // What is sent a second time is no progress.
                progress.add(done.max(shown) - shown);
                shown = shown.max(done);
            };
            let mut hashing = Hashing::new(&survey, &mut on_bytes);
            let packed =
                pack_layer(&self.files, plan, sink.as_deref_mut(), &mut hashing).map_err(Failure::failed)?;
            let tensors = hashing.finish();
            if let Some(sink) = sink {
                sink.commit(&packed.hashed)?;
            }
            Ok((packed, tensors))
        };
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(failure) if is_lost_connection(&failure) => {}
                result => return result,
            }
        }
        attempt()
    }

    /// Whether a layer need not be stored again. A comparison, which stores nothing, looks whether it could be read.
    pub(super) fn is_reused(&self, target: Option<&dyn Target>, read: bool, layer: &Descriptor) -> bool {
        let nothing = ByteRange { offset: 0, length: 0 };
        match (target, &self.endpoint) {
            (Some(_), _) => !read,
            (None, Some(Endpoint::Store(held))) => held.open(layer, nothing).is_ok(),
            (None, Some(Endpoint::Remote(held))) => held.need(layer).is_ok_and(|need| need == Need::Nothing),
            (None, None) => false,
        }
    }

    /// A layer whose files are as they were when it was last packed, and their digests.
    pub(super) fn remembered(&self, plan: &LayerPlan) -> Option<(Descriptor, Vec<Digest>)> {
        let members = plan.members().iter();
        let digests: Vec<Digest> = members
            .map(|m| self.cache.file(&self.files[m.file]))
            .collect::<Option<_>>()?;
        let digest_of = |file| {
            let at = plan.members().iter().position(|member| member.file == file)?;
            digests.get(at).cloned()
        };
        let recipe = plan.recipe(&self.files, digest_of)?;
        let (digest, _) = self.cache.layer(&recipe)?;
        Some((image::layer_descriptor(&self.files, plan, &digest), digests))
    }

    pub(super) fn remember(&self, plan: &LayerPlan, files: &[Digest], layer: &Digest, begun: SystemTime) {
        // The cache lies in the store's directory, which a dry run does not make.
        if self.arguments.dry_run && !self.settings.store.value.exists() {
            return;
        }
        for (member, digest) in plan.members().iter().zip(files) {
            self.cache.add_file(&self.files[member.file], digest, begun);
        }
        let mut digests = files.iter().cloned();
        if let Some(recipe) = plan.recipe(&self.files, |_| digests.next()) {
            self.cache.add_layer(&recipe, layer, plan.size());
        }
    }

    fn remember_tensors(
        &self,
        plan: &LayerPlan,
        files: &[Digest],
        tensors: &BTreeMap<usize, Vec<String>>,
    ) -> Result<(), Failure> {
        let survey = self.survey()?;
        for (member, digest) in plan.members().iter().zip(files) {
            if let (Some(plan), Some(hashes)) = (survey.plan(member.file), tensors.get(&member.file)) {
                self.hashes.add(digest, plan, hashes);
            }
        }
        Ok(())
    }
}

fn is_lost_connection(failure: &Failure) -> bool {
    let error: &(dyn std::error::Error + 'static) = &*failure.error;
    registry(error).is_some_and(modelkeep_client::Error::is_lost_connection)
}

fn files_size(files: &[ModelFile], plan: &LayerPlan) -> u64 {
    plan.members()
        .iter()
        .map(|member| files[member.file].stamp.size)
        .sum()
}
