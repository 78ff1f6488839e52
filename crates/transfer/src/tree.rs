use std::collections::{HashMap, HashSet};

use modelkeep_core::{
    Descriptor, Digest, Document, Limits, Manifest,
    content::{Error, Source, Target},
    media,
};

use crate::{
    copy::{Copied, CopyError, copy_blob, copy_blobs},
    in_parallel,
};

/// Most manifests, and most blobs, below one index.
const MOST: usize = 50_000;

/// An image or index and all that it needs, as its manifests say. Nothing but manifests has been read.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The root first, and every index before what it lists.
    manifests: Vec<Descriptor>,
    configs: Vec<Descriptor>,
    layers: Vec<Descriptor>,
}

impl Tree {
    /// Reads the manifests of `root`.
    ///
    /// # Errors
    /// [`CopyError::Source`], [`CopyError::Manifest`], [`CopyError::TooMany`].
    pub fn read(source: &dyn Source, root: &Descriptor) -> Result<Self, CopyError> {
        let mut tree = Self {
            manifests: vec![root.clone()],
            configs: Vec::new(),
            layers: Vec::new(),
        };
        // By digest: descriptors of one blob may differ in what they say about it, and an index may have thousands.
        let mut known = HashSet::from([root.digest.clone()]);
        let mut lists = Lists::new();
        let mut listed = 0;
        let mut at = 0;
        while let Some(manifest) = tree.manifests.get(at).cloned() {
            at += 1;
            match read(source, &manifest)? {
                Document::Image(image) => tree.add_image(image, &mut known),
                Document::Index(index) => {
                    let mut children = Vec::new();
                    for child in index.manifests {
                        if !media::is_manifest(&child.media_type) {
                            continue;
                        }
                        children.push(child.digest.clone());
                        if known.insert(child.digest.clone()) {
                            tree.manifests.push(child);
                        }
                    }
                    listed += children.len();
                    lists.insert(manifest.digest, children);
                }
            }
            if listed > MOST || tree.configs.len() + tree.layers.len() > MOST {
                return Err(CopyError::TooMany(root.digest.to_string(), MOST));
            }
        }
        let order = parents_first(&root.digest, &lists);
        tree.manifests
            .sort_by_cached_key(|manifest| order.get(&manifest.digest).copied());
        Ok(tree)
    }

    fn add_image(&mut self, image: Manifest, known: &mut HashSet<Digest>) {
        if known.insert(image.config.digest.clone()) {
            self.configs.push(image.config);
        }
        for layer in image.layers {
            // What has URLs need not be in a registry, and is fetched by nobody here.
            if layer.urls.is_empty() && known.insert(layer.digest.clone()) {
                self.layers.push(layer);
            }
        }
    }

    /// The manifests, the root first.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// Everything that is no manifest: configs and layers, each once.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.configs.iter().chain(&self.layers)
    }

    /// Bytes of it all.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.manifests.iter().chain(self.blobs()).map(|blob| blob.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Refuses what the target does not take.
    ///
    /// # Errors
    /// [`CopyError::TooLarge`].
    pub fn check(&self, limits: &Limits) -> Result<(), CopyError> {
        for (what, blobs, most) in [
            ("layer", &self.layers, limits.layer_bytes),
            ("config", &self.configs, limits.layer_bytes),
            ("manifest", &self.manifests, limits.manifest_bytes),
        ] {
            if let Some(large) = blobs.iter().find(|blob| blob.size > most) {
                return Err(CopyError::TooLarge {
                    what,
                    digest: large.digest.clone(),
                    size: large.size,
                    most,
                });
            }
        }
        Ok(())
    }

    /// Copies everything but the root, which names it all: blobs first, then manifests, children before parents, so
    /// that an interrupted copy never leaves a manifest that points at nothing.
    ///
    /// # Errors
    /// Which end failed, and at what. What has arrived stays, and the next copy finds it.
    pub fn send(
        &self,
        source: &dyn Source,
        target: &dyn Target,
        workers: usize,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<Copied, CopyError> {
        let blobs: Vec<Descriptor> = self.blobs().cloned().collect();
        let mut copied = copy_blobs(source, target, &blobs, workers, on_bytes)?;
        for manifest in self.manifests[1..].iter().rev() {
            let written = copy_blob(source, target, manifest, on_bytes)?;
            copied.add(manifest, written, on_bytes);
        }
        Ok(copied)
    }

    /// The blobs and manifests that an end lacks; `has` says of each whether it is there.
    ///
    /// # Errors
    /// [`CopyError::Target`].
    pub fn missing(
        &self,
        has: impl Fn(&Descriptor) -> Result<bool, Error> + Sync,
        workers: usize,
    ) -> Result<Vec<Descriptor>, CopyError> {
        let all: Vec<Descriptor> = self.blobs().chain(&self.manifests).cloned().collect();
        let found = in_parallel(&all, workers, |blob| {
            has(blob).map_err(|error| CopyError::Target(blob.digest.to_string(), error))
        })?;
        let missing = all.into_iter().zip(found).filter(|(_, found)| !found);
        Ok(missing.map(|(blob, _)| blob).collect())
    }
}

/// What each index lists.
type Lists = HashMap<Digest, Vec<Digest>>;

/// The place of each manifest in an order in which every index comes before what it lists: an index may list a manifest
/// beside another index that lists it too.
fn parents_first(root: &Digest, lists: &Lists) -> HashMap<Digest, usize> {
    let children = |manifest: &Digest| lists.get(manifest).map_or(&[][..], Vec::as_slice);
    let mut seen = HashSet::from([root]);
    let mut finished = Vec::new();
    let mut open = vec![(root, children(root).iter())];
    while let Some((manifest, left)) = open.last_mut() {
        match left.next() {
            Some(child) if seen.insert(child) => open.push((child, children(child).iter())),
            Some(_) => {}
            None => {
                finished.push(*manifest);
                open.pop();
            }
        }
    }
    let first = finished.into_iter().rev().enumerate();
    first.map(|(place, manifest)| (manifest.clone(), place)).collect()
}

fn read(source: &dyn Source, manifest: &Descriptor) -> Result<Document, CopyError> {
    let name = || manifest.digest.to_string();
    let bytes = source
        .fetch(manifest, Limits::default().manifest_bytes)
        .map_err(|error| CopyError::Source(name(), error))?;
    Document::parse(&manifest.media_type, &bytes).map_err(|error| CopyError::Manifest(name(), error))
}
