//! From a docker engine, which sends an image once, from its beginning to its end.

use std::io::{Cursor, Read};

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

impl Job<'_> {
    pub(super) fn from_daemon(&self, name: &str) -> Result<Done, Failure> {
        let daemon = Daemon::from_environment(&variable).map_err(Failure::failed)?;
        let stream = |target: &dyn Target, inspected: &Inspected, all_there| {
            let progress = self.progress(inspected.size);
            let place = format!("the image {name} that the docker engine sends");
            let add = |bytes| progress.add(bytes);
            let received = receive(daemon.save(name)?, &place, target, all_there, &add)?;
            Ok::<_, Failure>((received, progress))
        };
        let inspected = daemon.inspect(name)?.ok_or_else(|| {
            Failure::failed(Error::NotFound {
                what: format!("the image {name}"),
                place: format!("the docker engine at {}", daemon.socket().display()),
            })
        })?;
        match &self.to {
            Place::Version(reference) => {
                let into = Into::open(self, reference)?;
                if let Some(done) = self.stands_already(&into, &inspected)? {
                    return Ok(done);
                }
                self.daemon_to_version(&into, &inspected, &stream)
            }
            Place::Layout { directory, named } => {
                let layout_name = layout_name(name, named)?;
                if self.dry_run {
                    let (received, progress) = stream(&Nowhere::default(), &inspected, false)?;
                    let done = done(&received, "would copy");
                    self.end(progress, &done);
                    return Ok(done);
                }
                let layout = OciLayoutWriter::create(directory)?;
                let (received, progress) = stream(&layout, &inspected, false)?;
                for blob in [&received.config, &received.manifest] {
                    layout.put(&blob.descriptor.media_type, &blob.bytes)?;
                }
                layout.finish(&received.manifest.descriptor, &layout_name, &[])?;
                let done = done(&received, "copied");
                self.end(progress, &done);
                Ok(done)
            }
            Place::Archive { file, .. } => Err(Failure::usage(format!(
                "{} is sent as an archive already: there is nothing to copy",
                self.from
            ))
            .hint(format!("`docker save -o {} {name}` writes it", file.display()))),
            Place::Daemon { name: other } => Err(Failure::usage(
                "both are the same docker engine: there is nothing to copy".to_owned(),
            )
            .hint(format!("`docker tag {name} {other}` gives it another name"))),
        }
    }

    /// What is said when the version that stands has the config that docker names the image by: all is the same then,
    /// and nothing need be sent.
    fn stands_already(&self, into: &Into<'_>, inspected: &Inspected) -> Result<Option<Done>, Failure> {
        let (Some(endpoint), Some(standing)) = (&into.endpoint, &into.standing) else {
            return Ok(None);
        };
        let image = read_manifest(endpoint.source(), &standing.manifest);
        if !image.is_ok_and(|image| image.config.digest == inspected.id) {
            return Ok(None);
        }
        let done = Done {
            outcome: "unchanged",
            digest: Some(standing.manifest.digest.clone()),
            image_id: Some(inspected.id.clone()),
            root: standing.root.clone(),
            ..Done::default()
        };
        self.end(self.progress(0), &done);
        Ok(Some(done))
    }

    fn daemon_to_version(
        &self,
        into: &Into<'_>,
        inspected: &Inspected,
        stream: &dyn Fn(&dyn Target, &Inspected, bool) -> Result<(Received, Progress), Failure>,
    ) -> Result<Done, Failure> {
        let all_there = has_layers(into, inspected)?;
        if self.dry_run {
            let nowhere = Nowhere {
                limits: into.limits(),
            };
            let (received, progress) = stream(&nowhere, inspected, all_there)?;
            let said = Said::read(&Documents(&received), &received.manifest.descriptor, None);
            let outcome = into.judge(&said.model.standing(received.manifest.descriptor.clone()))?;
            let done = done(&received, outcome);
            self.end(progress, &done);
            return Ok(done);
        }
        let made = into.made()?;
        let (received, progress) = stream(made.target(), inspected, all_there)?;
        let said = Said::read(&Documents(&received), &received.manifest.descriptor, None);
        into.judge(&said.model.standing(received.manifest.descriptor.clone()))?;
        let config = &received.config;
        made.target().put(&config.descriptor.media_type, &config.bytes)?;
        let arrived = Arrived {
            manifest: &received.manifest.descriptor,
            bytes: &received.manifest.bytes,
            children: Vec::new(),
            said,
            from: format!("{}@{}", self.from, config.descriptor.digest),
        };
        let (outcome, digest) = into.publish(&made, arrived)?;
        let mut done = done(&received, outcome);
        done.digest = Some(digest);
        self.end(progress, &done);
        Ok(done)
    }
}

/// Whether a registry has all layers of an image, by the digests that docker knows them by: names of members say
/// nothing of them where docker is old.
fn has_layers(into: &Into<'_>, inspected: &Inspected) -> Result<bool, Failure> {
    let Some(Endpoint::Remote(registry)) = &into.endpoint else {
        return Ok(false);
    };
    let layers = &inspected.root_fs.layers;
    for layer in layers {
        let layer = Descriptor::plain(media::OCI_LAYER, layer.clone(), 0);
        if registry.need(&layer)? != Need::Nothing {
            return Ok(false);
        }
    }
    Ok(!layers.is_empty())
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
