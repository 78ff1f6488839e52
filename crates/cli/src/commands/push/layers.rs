//! Files into layers: read once, in parallel, and only what is not remembered.

use std::{collections::BTreeMap, time::SystemTime};

use modelkeep_client::{Begun, Registry};
use modelkeep_core::{
    ByteRange, Descriptor, Digest,
    content::{Expect, Need, Source, Target},
};
use modelkeep_package::{
    layout::LayerPlan,
    pack::{PackedLayer, Piece, feed_layer, pack_layer},
    scan::ModelFile,
};
use modelkeep_transfer::in_parallel;

use super::{Job, Packed, holders::Holders, record::Hashing, workers};
use crate::{
    error::{self, Failure},
    report::progress::Progress,
    wiring::Endpoint,
};

/// Layers that are sent at once, at least: most of the time, each waits for the network.
const CONNECTIONS: usize = 4;
/// Bytes that are sent before progress is shown, where the system sends them.
const SHOWN: u64 = 8 << 20;

/// Hashes of tensors, by the places of their files.
type Tensors = BTreeMap<usize, Vec<String>>;

/// A registry that is pushed to, and what is known of its other repositories.
struct Remote<'a> {
    registry: &'a Registry,
    holders: Option<Holders>,
}

/// How a layer whose digest was known got there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Mounted,
    Sent,
}

impl Job<'_> {
    /// Reads the files into layers, in parallel, and into `target` if there is one. Layers whose files are as they
    /// were are not read.
    pub(super) fn pack(&self, target: Option<&dyn Target>, progress: &Progress) -> Result<Packed, Failure> {
        struct Layer {
            descriptor: Descriptor,
            files: Vec<Digest>,
            tensors: Tensors,
            read: bool,
            written: u64,
        }
        let remote = match (target, &self.endpoint) {
            (Some(_), Some(Endpoint::Remote(registry))) => Some(Remote {
                registry,
                holders: self.host.as_ref().map(|host| Holders::open(self.settings, host)),
            }),
            _ => None,
        };
        let at_once = if remote.is_some() {
            workers().max(CONNECTIONS)
        } else {
            workers()
        };
        let mut packed = in_parallel(&self.plans, at_once, |plan| {
            if let Some((descriptor, files)) = self.remembered(plan) {
                let there = match target {
                    Some(target) => target.need(&descriptor)? == Need::Nothing,
                    None => true,
                };
                let known = if there {
                    progress.add(files_size(&self.files, plan));
                    Some(Known::There)
                } else {
                    let remote = remote.as_ref();
                    let sent = remote.map(|remote| self.send_known(remote, plan, &descriptor, progress));
                    sent.transpose()?.flatten()
                };
                if let Some(known) = known {
                    self.keep_holder(remote.as_ref(), &descriptor.digest);
                    let read = known == Known::Sent;
                    return Ok(Layer {
                        descriptor,
                        files,
                        tensors: Tensors::new(),
                        read,
                        written: if read { plan.size() } else { 0 },
                    });
                }
            }
            let begun = SystemTime::now();
            let (packed, tensors) = match &remote {
                Some(remote) => self.send(remote.registry, plan, progress)?,
                None => self.store(plan, target, progress)?,
            };
            let written = if target.is_some() { plan.size() } else { 0 };
            self.remember(plan, &packed.files, packed.hashed.digest(), begun);
            self.remember_tensors(plan, &packed.files, &tensors)?;
            self.keep_holder(remote.as_ref(), packed.hashed.digest());
            Ok::<_, Failure>(Layer {
                descriptor: self.layer_descriptor(plan, packed.hashed.digest()),
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

    /// Reads the files of a layer into `target`. Gives the hashes of their tensors too.
    fn store(
        &self,
        plan: &LayerPlan,
        target: Option<&dyn Target>,
        progress: &Progress,
    ) -> Result<(PackedLayer, Tensors), Failure> {
        let survey = self.survey()?;
        let mut sink = target
            .map(|target| target.begin(Expect::Unknown { size: plan.size() }))
            .transpose()?;
        let mut on_bytes = |bytes| progress.add(bytes);
        let mut hashing = Hashing::new(&survey, &mut on_bytes);
        let packed =
            pack_layer(&self.files, plan, sink.as_deref_mut(), &mut hashing).map_err(Failure::failed)?;
        let tensors = hashing.finish();
        if let Some(sink) = sink {
            sink.commit(&packed.hashed)?;
        }
        Ok((packed, tensors))
    }

    /// Reads the files of a layer, and sends of it what the registry does not have; again, from where it was, when the
    /// connection breaks.
    fn send(
        &self,
        registry: &Registry,
        plan: &LayerPlan,
        progress: &Progress,
    ) -> Result<(PackedLayer, Tensors), Failure> {
        let survey = self.survey()?;
        let expect = Expect::Unknown { size: plan.size() };
        let key = self.upload_key(plan);
        let mut shown = Shown::new(progress);
        persist(registry, |has| {
            let upload = registry.begin_blob(plan.size(), Some(&key))?;
            *has = upload.offset();
            let mut sink = upload.into_sink(&expect);
            shown.again();
            let mut on_bytes = |bytes| shown.add(bytes);
            let mut hashing = Hashing::new(&survey, &mut on_bytes);
            let packed =
                pack_layer(&self.files, plan, Some(&mut *sink), &mut hashing).map_err(Failure::failed)?;
            let tensors = hashing.finish();
            sink.commit(&packed.hashed)?;
            Ok((packed, tensors))
        })
    }

    /// Has a layer whose digest is known taken over from another repository of the registry, or sends its files unread.
    /// `None` when the digest was of something else.
    fn send_known(
        &self,
        remote: &Remote<'_>,
        plan: &LayerPlan,
        layer: &Descriptor,
        progress: &Progress,
    ) -> Result<Option<Known>, Failure> {
        let Remote { registry, holders } = remote;
        let key = self.upload_key(plan);
        let holder = holders
            .as_ref()
            .and_then(|holders| holders.find(&layer.digest, &self.name));
        let mut shown = Shown::new(progress);
        let sent = persist(registry, |has| {
            let begun = match &holder {
                Some(holder) => registry.mount_or_begin(layer, Some(&key), holder)?,
                None => Begun::Upload(registry.begin_blob(layer.size, Some(&key))?),
            };
            shown.again();
            let mut upload = match begun {
                Begun::Mounted => {
                    shown.add(files_size(&self.files, plan));
                    return Ok(Known::Mounted);
                }
                Begun::Upload(upload) => upload,
            };
            *has = upload.offset();
            feed_layer(&self.files, plan, *has, &mut |piece| match piece {
                Piece::Bytes(bytes) => upload.write(bytes),
                Piece::File { file, offset, length } => {
                    let mut at = offset;
                    while at < offset + length {
                        let now = (offset + length - at).min(SHOWN);
                        upload.write_file(file, at, now)?;
                        at += now;
                        shown.add(now);
                    }
                    Ok(())
                }
            })
            .map_err(Failure::failed)?;
            upload.finish(&layer.digest)?;
            Ok(Known::Sent)
        });
        match sent {
            Err(failure) if refuses_the_digest(&failure) => Ok(None),
            sent => sent.map(Some),
        }
    }

    /// Stands for the bytes of a layer before they are read: an upload that was broken off goes on if its files are
    /// still the same.
    fn upload_key(&self, plan: &LayerPlan) -> Digest {
        let mut text = match plan.image_path() {
            Some(path) => format!("{path}\n"),
            None => "raw\n".to_owned(),
        };
        for member in plan.members() {
            let file = &self.files[member.file];
            text.push_str(&format!("{:?} {:?} {}\n", file.mode, file.stamp, file.path));
        }
        Digest::of(text.as_bytes())
    }

    fn keep_holder(&self, remote: Option<&Remote<'_>>, layer: &Digest) {
        if let Some(holders) = remote.and_then(|remote| remote.holders.as_ref()) {
            holders.add(layer, &self.name);
        }
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
        let digest = match (plan.is_raw(), digests.as_slice()) {
            (true, [only]) => only.clone(),
            _ => self.cache.layer(&plan.recipe(&self.files, digest_of)?)?.0,
        };
        Some((self.layer_descriptor(plan, &digest), digests))
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

    fn remember_tensors(&self, plan: &LayerPlan, files: &[Digest], tensors: &Tensors) -> Result<(), Failure> {
        let survey = self.survey()?;
        for (member, digest) in plan.members().iter().zip(files) {
            if let (Some(plan), Some(hashes)) = (survey.plan(member.file), tensors.get(&member.file)) {
                self.hashes.add(digest, plan, hashes);
            }
        }
        Ok(())
    }
}

/// Attempts at an upload until it is done, or the registry's patience ends. `attempt` says what the registry had of it
/// when it began: as long as that grows, it goes on.
fn persist<T>(
    registry: &Registry,
    mut attempt: impl FnMut(&mut u64) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut retries = registry.retries();
    let mut before = 0;
    loop {
        let mut has = 0;
        let failure = match attempt(&mut has) {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let error: &(dyn std::error::Error + 'static) = &*failure.error;
        let again = error::registry(error).is_some_and(|error| retries.wait(error, has > before));
        if !again {
            return Err(failure);
        }
        before = has;
    }
}

fn refuses_the_digest(failure: &Failure) -> bool {
    let error: &(dyn std::error::Error + 'static) = &*failure.error;
    matches!(
        error::registry(error),
        Some(modelkeep_client::Error::Status { status: 400, .. } | modelkeep_client::Error::Stored { .. })
    )
}

/// Progress of a layer that may be begun several times: what is sent a second time is none.
struct Shown<'a> {
    progress: &'a Progress,
    done: u64,
    shown: u64,
}

impl<'a> Shown<'a> {
    fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            done: 0,
            shown: 0,
        }
    }

    fn again(&mut self) {
        self.done = 0;
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        self.progress.add(self.done.max(self.shown) - self.shown);
        self.shown = self.shown.max(self.done);
    }
}

fn files_size(files: &[ModelFile], plan: &LayerPlan) -> u64 {
    plan.members()
        .iter()
        .map(|member| files[member.file].stamp.size)
        .sum()
}
