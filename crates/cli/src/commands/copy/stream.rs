//! From a docker engine, which sends an image once, from its beginning to its end.

use std::{
    io::{Cursor, Read},
    path::Path,
};

use modelkeep_client::{Daemon, Inspected};
use modelkeep_core::{
    ByteRange, Descriptor, Hashed, Limits,
    content::{self, Error, Expect, Need, Sink, Source, Target},
    media,
};
use modelkeep_package::{
    docker_archive::{Received, receive},
    oci_layout::{Named, OciLayoutWriter},
};
use modelkeep_transfer::Copied;

use super::{
    Done, Job, Said,
    version::{Arrived, Into},
};
use crate::{
    error::Failure,
    held::read_manifest,
    place::Place,
    report::progress::Progress,
    wiring::{Endpoint, variable},
};

/// An image that an engine sends.
struct Sent<'a> {
    job: &'a Job<'a>,
    name: &'a str,
    daemon: Daemon,
    inspected: Inspected,
}

impl Job<'_> {
    pub(super) fn stream(&self, name: &str) -> Result<Done, Failure> {
        let daemon = Daemon::from_environment(&variable).map_err(Failure::failed)?;
        match &self.to {
            Place::Archive { file, .. } => Err(Failure::usage(format!(
                "{} is sent as an archive already: there is nothing to copy",
                self.from
            ))
            .hint(format!("`docker save -o {} {name}` writes it", file.display()))),
            Place::Daemon { name: other } => Err(Failure::usage(
                "both are the same docker engine: there is nothing to copy".to_owned(),
            )
            .hint(format!("`docker tag {name} {other}` gives it another name"))),
            Place::Version(reference) => {
                let sent = Sent::find(self, daemon, name)?;
                sent.to_version(&Into::open(self, reference)?)
            }
            Place::Layout { directory, named } => Sent::find(self, daemon, name)?.to_layout(directory, named),
        }
    }
}

impl<'a> Sent<'a> {
    fn find(job: &'a Job<'a>, daemon: Daemon, name: &'a str) -> Result<Self, Failure> {
        let inspected = daemon.inspect(name)?.ok_or_else(|| {
            Failure::failed(Error::NotFound {
                what: format!("the image {name}"),
                place: format!("the docker engine at {}", daemon.socket().display()),
            })
        })?;
        Ok(Self {
            job,
            name,
            daemon,
            inspected,
        })
    }

    /// Reads the image, and hands its layers to `target`.
    fn receive(&self, target: &dyn Target, all_there: bool) -> Result<(Received, Progress), Failure> {
        let progress = self.job.progress(self.inspected.size);
        let place = format!("the image {} that the docker engine sends", self.name);
        let add = |bytes| progress.add(bytes);
        let received = receive(self.daemon.save(self.name)?, &place, target, all_there, &add)?;
        Ok((received, progress))
    }

    fn to_layout(&self, directory: &Path, named: &Named) -> Result<Done, Failure> {
        let name = layout_name(self.name, named)?;
        if self.job.dry_run {
            let (received, progress) = self.receive(&Nowhere::default(), false)?;
            let done = done(&received, "would copy");
            self.job.end(progress, &done);
            return Ok(done);
        }
        let layout = OciLayoutWriter::create(directory)?;
        let (received, progress) = self.receive(&layout, false)?;
        for blob in [&received.config, &received.manifest] {
            layout.put(&blob.descriptor.media_type, &blob.bytes)?;
        }
        layout.finish(&received.manifest.descriptor, &name, &[])?;
        let done = done(&received, "copied");
        self.job.end(progress, &done);
        Ok(done)
    }

    fn to_version(&self, into: &Into<'_>) -> Result<Done, Failure> {
        if let Some(done) = self.stands_already(into) {
            self.job.end(self.job.progress(0), &done);
            return Ok(done);
        }
        let all_there = self.has_layers(into)?;
        if self.job.dry_run {
            let nowhere = Nowhere {
                limits: into.limits(),
            };
            let (received, progress) = self.receive(&nowhere, all_there)?;
            let said = Said::read(&Documents(&received), &received.manifest.descriptor, None);
            let outcome = into.judge(&said.model.standing(received.manifest.descriptor.clone()))?;
            if outcome != "unchanged" {
                into.admit()?;
            }
            let mut done = done(&received, outcome);
            done.keeper = Some(into.keeper);
            self.job.end(progress, &done);
            return Ok(done);
        }
        into.admit()?;
        let made = into.made()?;
        let (received, progress) = self.receive(made.target(), all_there)?;
        let said = Said::read(&Documents(&received), &received.manifest.descriptor, None);
        into.judge(&said.model.standing(received.manifest.descriptor.clone()))?;
        let config = &received.config;
        made.target().put(&config.descriptor.media_type, &config.bytes)?;
        let arrived = Arrived {
            manifest: &received.manifest.descriptor,
            bytes: &received.manifest.bytes,
            children: Vec::new(),
            said,
            from: format!("{}@{}", self.job.from, config.descriptor.digest),
        };
        let (outcome, digest) = into.publish(&made, arrived)?;
        let mut done = done(&received, outcome);
        done.digest = Some(digest);
        done.keeper = Some(into.keeper);
        done.signed = Some(into.is_signed(outcome));
        self.job.end(progress, &done);
        Ok(done)
    }

    /// What is said when the version that stands has the config that docker names the image by: all is the same then,
    /// and nothing need be sent.
    fn stands_already(&self, into: &Into<'_>) -> Option<Done> {
        let (endpoint, standing) = (into.endpoint.as_ref()?, into.standing.as_ref()?);
        let image = read_manifest(endpoint.source(), &standing.manifest).ok()?;
        (image.config.digest == self.inspected.id).then(|| Done {
            outcome: "unchanged",
            digest: Some(standing.manifest.digest.clone()),
            image_id: Some(self.inspected.id.clone()),
            root: standing.root.clone(),
            ..Done::default()
        })
    }

    /// Whether a registry has all layers of the image, by the digests that docker knows them by: names of members say
    /// nothing of them where docker is old.
    fn has_layers(&self, into: &Into<'_>) -> Result<bool, Failure> {
        let Some(Endpoint::Remote(registry)) = &into.endpoint else {
            return Ok(false);
        };
        let layers = &self.inspected.root_fs.layers;
        for layer in layers {
            let layer = Descriptor::plain(media::OCI_LAYER, layer.clone(), 0);
            if registry.need(&layer)? != Need::Nothing {
                return Ok(false);
            }
        }
        Ok(!layers.is_empty())
    }
}

/// The name of the image in a layout: as it was said, else docker's tag.
fn layout_name(name: &str, named: &Named) -> Result<String, Failure> {
    match named {
        Named::Name(name) => Ok(name.clone()),
        Named::Only => Ok(name.rsplit(':').next().unwrap_or(name).to_owned()),
        Named::Digest(digest) => Err(Failure::usage(format!(
            "{digest} is a digest: a layout names its images, as oci:DIR:NAME"
        ))),
    }
}

fn done(received: &Received, outcome: &'static str) -> Done {
    let said = Said::read(&Documents(received), &received.manifest.descriptor, None);
    let documents = [&received.config, &received.manifest].map(|blob| blob.bytes.len() as u64);
    let (layers, bytes) = received.written;
    let stays = outcome == "unchanged";
    Done {
        outcome,
        digest: Some(received.manifest.descriptor.digest.clone()),
        image_id: Some(received.config.descriptor.digest.clone()),
        root: said.model.root,
        copied: Copied {
            blobs: layers + if stays { 0 } else { 2 },
            bytes: bytes + if stays { 0 } else { documents.iter().sum() },
            reused: received.reused + if stays { 2 } else { 0 },
        },
        ..Done::default()
    }
}

/// The documents of an image that was received.
struct Documents<'a>(&'a Received);

impl Source for Documents<'_> {
    fn open<'b>(&'b self, blob: &Descriptor, range: ByteRange) -> content::Result<Box<dyn Read + Send + 'b>> {
        let mut documents = [&self.0.config, &self.0.manifest].into_iter();
        let found = documents.find(|document| document.descriptor.digest == blob.digest);
        let found = found.ok_or_else(|| Error::NotFound {
            what: blob.digest.to_string(),
            place: "what docker sent".to_owned(),
        })?;
        let mut bytes = Cursor::new(found.bytes.as_slice());
        bytes.set_position(range.offset);
        Ok(Box::new(bytes.take(range.length)))
    }
}

/// A target that forgets what it is given: a dry run only wants to know what it is.
#[derive(Default)]
struct Nowhere {
    limits: Limits,
}

impl Target for Nowhere {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn need(&self, _: &Descriptor) -> content::Result<Need> {
        Ok(Need::From(0))
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> content::Result<Box<dyn Sink + 'a>> {
        if expect.size() > self.limits.layer_bytes {
            return Err(Error::Malformed {
                what: "a layer".to_owned(),
                reason: format!(
                    "it has {} bytes, and the target takes {} at most",
                    expect.size(),
                    self.limits.layer_bytes
                ),
            });
        }
        Ok(Box::new(Self::default()))
    }
}

impl Sink for Nowhere {
    fn write(&mut self, _: u64, _: &[u8]) -> content::Result<()> {
        Ok(())
    }

    fn commit(self: Box<Self>, _: &Hashed) -> content::Result<()> {
        Ok(())
    }
}
