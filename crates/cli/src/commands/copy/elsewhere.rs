//! Into the forms in which other tools keep images.

use std::path::Path;

use modelkeep_client::Daemon;
use modelkeep_core::{Descriptor, Document, Limits, content::Error};
use modelkeep_package::{
    docker_archive::{ArchiveError, Plan},
    oci_layout::{Named, OciLayoutWriter},
};
use modelkeep_transfer::{Copied, Tree};

use super::{Done, Job, Said, failure, referrers, workers};
use crate::{error::Failure, held::read_document, origin::Origin, place::Place, wiring::variable};

impl Job<'_> {
    pub(super) fn to_layout(
        &self,
        origin: &Origin,
        directory: &Path,
        named: &Named,
    ) -> Result<Done, Failure> {
        let name = self.layout_name(origin, named)?;
        let tree = Tree::read(origin.source(), &origin.root).map_err(failure)?;
        tree.check(&Limits::default()).map_err(failure)?;
        let mut done = done(origin, self.dry_run);
        done.digest = Some(origin.root.digest.clone());
        let progress = self.progress(tree.size());
        if self.dry_run {
            done.copied = everything(&tree);
            self.end(progress, &done);
            return Ok(done);
        }
        let layout = OciLayoutWriter::create(directory)?;
        let add = |bytes| progress.add(bytes);
        done.copied = modelkeep_transfer::copy(origin.source(), &layout, &origin.root, workers(), &add)
            .map_err(failure)?;
        let (taken, copied) = referrers::copy_to_layout(origin, &tree, &layout, &add)?;
        done.referrers = taken.len() as u64;
        done.copied += copied;
        layout.finish(&origin.root, &name, &taken)?;
        self.end(progress, &done);
        Ok(done)
    }

    /// The name of the image in a layout: as it was said, else the version or name that it has, else its short digest.
    fn layout_name(&self, origin: &Origin, named: &Named) -> Result<String, Failure> {
        Ok(match (named, &origin.place) {
            (Named::Name(name), _) => name.clone(),
            (Named::Digest(_), _) => {
                return Err(Failure::usage(format!(
                    "{} is a digest: a layout names its images, as oci:DIR:NAME",
                    self.to
                )));
            }
            (Named::Only, Place::Version(reference)) if reference.tag().is_some() => {
                reference.tag().map(ToString::to_string).unwrap_or_default()
            }
            (
                Named::Only,
                Place::Layout {
                    named: Named::Name(name),
                    ..
                },
            ) => name.clone(),
            (Named::Only, _) => origin.root.digest.short().to_owned(),
        })
    }

    pub(super) fn to_archive(
        &self,
        origin: &Origin,
        file: &Path,
        name: Option<&str>,
    ) -> Result<Done, Failure> {
        let names: Vec<String> = match (name, &origin.place) {
            (Some(name), _) => vec![name.to_owned()],
            (None, Place::Version(reference)) => reference
                .tag()
                .map(|tag| format!("{}:{tag}", reference.name))
                .into_iter()
                .collect(),
            (None, _) => Vec::new(),
        };
        self.to_docker(origin, &names, |plan, add| {
            plan.write_file(origin.source(), file, &mut |bytes| add(bytes))
                .map_err(Failure::failed)
        })
    }

    pub(super) fn to_daemon(&self, origin: &Origin, name: &str) -> Result<Done, Failure> {
        if name.parse::<modelkeep_core::Digest>().is_ok() {
            return Err(Failure::usage(format!(
                "{} is a digest: an image is loaded by its name, as docker-daemon:NAME:TAG",
                self.to
            )));
        }
        let daemon = Daemon::from_environment(&variable).map_err(Failure::failed)?;
        self.to_docker(origin, &[name.to_owned()], |plan, add| {
            daemon.load(plan.size(), |stream| {
                let socket = || daemon.socket().to_owned();
                let mut write = |_: u64, bytes: &[u8]| {
                    stream.write_all(bytes).map_err(|source| ArchiveError::Io {
                        path: socket(),
                        source,
                    })
                };
                plan.write(origin.source(), &mut write, &mut |bytes| add(bytes))
                    .map_err(Failure::failed)
            })
        })
    }

    /// Writes an archive of docker's, which has no place for a manifest, other platforms, or referrers.
    fn to_docker(
        &self,
        origin: &Origin,
        names: &[String],
        write: impl FnOnce(&Plan, &dyn Fn(u64)) -> Result<(), Failure>,
    ) -> Result<Done, Failure> {
        let plan = Plan::of(origin.source(), &origin.root, names).map_err(Failure::failed)?;
        let mut done = done(origin, self.dry_run);
        done.left_out = left_out(origin)?;
        let blobs: Vec<&Descriptor> = plan.blobs().collect();
        done.image_id = blobs.first().map(|config| config.digest.clone());
        done.copied = Copied {
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            reused: 0,
        };
        let progress = self.progress(done.copied.bytes);
        if !self.dry_run {
            write(&plan, &|bytes| progress.add(bytes))?;
        }
        self.end(progress, &done);
        Ok(done)
    }
}

fn done(origin: &Origin, dry_run: bool) -> Done {
    Done {
        outcome: if dry_run { "would copy" } else { "copied" },
        source_digest: Some(origin.root.digest.clone()),
        root: Said::of(origin).model.root,
        ..Done::default()
    }
}

fn everything(tree: &Tree) -> Copied {
    Copied {
        blobs: (tree.blobs().count() + tree.manifests().len()) as u64,
        bytes: tree.size(),
        reused: 0,
    }
}

/// What docker does not keep of an image.
fn left_out(origin: &Origin) -> Result<Vec<String>, Error> {
    let mut texts = vec![format!(
        "docker keeps config and layers, and no manifest: {} is not known there",
        origin.root.digest
    )];
    if let Document::Index(index) = read_document(origin.source(), &origin.root)? {
        texts.push(format!(
            "of the {} manifests of the index only the image for linux/amd64 is copied",
            index.manifests.len()
        ));
    }
    let referrers = origin.referrers(&origin.root.digest)?.len();
    if referrers > 0 {
        texts.push(format!(
            "{referrers} that refer to it stay behind, such as signatures"
        ));
    }
    Ok(texts)
}
