//! A version as a repository holds it: found by its name, its documents read and checked.

mod documents;
mod names;

use std::{collections::BTreeMap, io::Read as _};

use documents::{find_image, parse_config};
pub(crate) use documents::{read_config, read_document, read_image, read_manifest};
use jiff::Timestamp;
use modelkeep_core::{
    ByteRange, Contents, Descriptor, Digest, ImageConfig, Limits, Manifest, Reference, annotation,
    content::Error, name::Target,
};
use modelkeep_inspect::{Record, Survey};
use modelkeep_ledger::{History, Publication, Yanked, signing::PublicKey};
use modelkeep_package::{
    foreign::{self, Kind},
    modelpack,
};
pub(crate) use names::{are_tags_believed, manifest_of, resolve};

use crate::{
    error::{Exit, Failure},
    holding::Holding,
    lock,
    settings::Settings,
    wiring::{self, Endpoint},
};

/// Largest table of tensors that is read, in bytes: a hundred thousand tensors have some 20 MB.
const MOST_TABLE: u64 = 64 << 20;

/// An image that a version or a digest names.
pub(crate) struct Held {
    pub(crate) reference: Reference,
    pub(crate) repository: Endpoint,
    /// What the history says of it; `None` for what is named by digest and for tags without history.
    pub(crate) publication: Option<Publication>,
    /// Why the version should not be taken into use; `None` for what is named by digest.
    yanked: Option<Yanked>,
    /// The signature over its files, where the history names one.
    pub(crate) signature: Option<Signature>,
    /// The manifest or the index that is named.
    pub(crate) root: Descriptor,
    /// The image or artifact: the named one, or the image for `linux/amd64` in an index.
    pub(crate) image: Descriptor,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Its config, if it is an image's.
    pub(crate) config: Option<ImageConfig>,
    /// Labels of the image, or what an artifact of ours has in their stead.
    labels: BTreeMap<String, String>,
    /// Its config, whatever it is.
    pub(crate) config_bytes: Vec<u8>,
}

/// A signature over the files of an image, as an entry of the history names it.
pub(crate) struct Signature {
    /// The bundle.
    pub(crate) bundle: Descriptor,
    /// The key that signed the entry, and must have signed the bundle.
    pub(crate) key: PublicKey,
}

impl Signature {
    /// The newest signature over the files of the image or index `root`.
    pub(crate) fn find(history: &History, root: &Descriptor) -> Option<Self> {
        let mut publications = history.publications().iter().rev();
        publications.find_map(|it| {
            let is_about = it.manifest().digest == root.digest;
            is_about.then(|| Self::of(history, it)).flatten()
        })
    }

    /// The signature that an entry names.
    pub(crate) fn of(history: &History, publication: &Publication) -> Option<Self> {
        Some(Self {
            bundle: (**publication.publish.signature.as_ref()?).clone(),
            key: history.known_key(publication.signer.as_ref()?)?.clone(),
        })
    }
}

/// What a version or a digest names, before any of it is read.
pub(crate) struct Named {
    pub(crate) reference: Reference,
    pub(crate) repository: Endpoint,
    pub(crate) history: History,
    pub(crate) root: Descriptor,
    pub(crate) publication: Option<Publication>,
}

impl Named {
    /// Finds what `text` names.
    pub(crate) fn find(settings: &Settings, text: &str) -> Result<Self, Failure> {
        Self::of(settings, wiring::placed(settings, settings.reference(text)?)?)
    }

    /// Finds what a whole reference names.
    pub(crate) fn of(settings: &Settings, reference: Reference) -> Result<Self, Failure> {
        let repository = wiring::repository(settings, reference.host.as_ref(), &reference.name)?;
        // What a digest names is what it is, and registries need not let everybody list their tags.
        let history = match (&repository, &reference.target) {
            (Endpoint::Remote(_), Target::Digest(_)) => History::default(),
            _ => repository.history()?,
        };
        let (root, publication) = resolve(&repository, &history, &reference)?;
        Ok(Self {
            reference,
            repository,
            history,
            root,
            publication,
        })
    }

    /// Why the version should not be taken into use.
    pub(crate) fn yanked(&self) -> Option<&Yanked> {
        let publication = self.publication.as_ref()?;
        self.history.yanked(&publication.version)
    }

    /// Refuses a version that was yanked, and one of a history that may have been kept in the past. What is named by
    /// its digest is nobody's word.
    pub(crate) fn check_use(&self, settings: &Settings) -> Result<(), Failure> {
        if self.reference.tag().is_some() {
            let place = lock::name_of(&(self.reference.host.clone(), self.reference.name.clone()));
            check_age(settings, &self.repository, &self.history, &place)?;
        }
        match self.yanked() {
            None => Ok(()),
            Some(yanked) => Err(refuse(&self.reference, &self.root, yanked)),
        }
    }
}

/// Refuses a history that may have been kept in the past. That on the user's own disk was not.
pub(crate) fn check_age(
    settings: &Settings,
    repository: &Endpoint,
    history: &History,
    place: &str,
) -> Result<(), Failure> {
    if let (Some(max_age), Endpoint::Remote(_)) = (settings.max_age.value, repository) {
        max_age.check(history, place, Timestamp::now())?;
    }
    Ok(())
}

impl Held {
    /// Finds what `text` names, and reads its documents.
    pub(crate) fn find(settings: &Settings, text: &str) -> Result<Self, Failure> {
        Self::read(Named::find(settings, text)?)
    }

    /// Reads the documents of what was found.
    fn read(named: Named) -> Result<Self, Failure> {
        let yanked = named.yanked().cloned();
        let Named {
            reference,
            repository,
            root,
            publication,
            history,
        } = named;
        let signature = Signature::find(&history, &root);
        let held = Self::of_digest(repository, reference, root)?;
        Ok(Self {
            publication,
            yanked,
            signature,
            ..held
        })
    }

    /// As [`Held::find`], to take it into use: a version that was yanked is refused.
    pub(crate) fn find_for_use(settings: &Settings, text: &str) -> Result<Self, Failure> {
        let named = Named::find(settings, text)?;
        named.check_use(settings)?;
        Self::read(named)
    }

    /// Reads the documents of a version that is locked, by its digest alone: no tag and no history is asked.
    pub(crate) fn of_lock(
        settings: &Settings,
        reference: Reference,
        root: Descriptor,
    ) -> Result<Self, Failure> {
        let repository = wiring::repository(settings, reference.host.as_ref(), &reference.name)?;
        Self::of_digest(repository, reference, root)
    }

    /// Reads the documents of `root`, whatever the history says of it.
    fn of_digest(repository: Endpoint, reference: Reference, root: Descriptor) -> Result<Self, Failure> {
        let (image, manifest) = find_image(repository.source(), &root)?;
        let limit = Limits::default().config_bytes;
        let config_bytes = repository.source().fetch(&manifest.config, limit)?;
        let config = match foreign::kind(&manifest) {
            Some(Kind::Image) => Some(parse_config(&manifest, &config_bytes)?),
            _ => None,
        };
        let labels = match &config {
            Some(config) => config.config.labels.clone(),
            None if modelpack::is_own(&manifest) => {
                let said = modelpack::image_config(&manifest);
                said.map_err(|error| Failure::new(Exit::Damage, error))?
                    .config
                    .labels
            }
            None => None,
        };
        Ok(Self {
            signature: None,
            reference,
            repository,
            publication: None,
            yanked: None,
            root,
            image,
            manifest,
            config,
            labels: labels.unwrap_or_default(),
            config_bytes,
        })
    }

    /// Why the version should not be taken into use.
    pub(crate) fn yanked(&self) -> Option<&Yanked> {
        self.yanked.as_ref()
    }

    /// Labels of the image.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The contents list in its labels, whatever it is about.
    pub(crate) fn list(&self) -> Result<Option<Contents>, Failure> {
        let contents = self.label(Contents::LABEL).map(Contents::parse).transpose();
        contents.map_err(|error| Failure::new(Exit::Damage, error))
    }

    /// The contents list of an image that Modelkeep made.
    pub(crate) fn model(&self) -> Result<Contents, Failure> {
        let list = self.list()?.filter(|contents| is_about(contents, &self.manifest));
        list.ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!(
                    "{} is a version without a list of its files: modelkeep did not make it, or another tool has \
                     packed its layers again",
                    self.reference
                ),
            )
            .hint(format!(
                "`modelkeep pull {}` reads its layers, and gives its files",
                self.reference
            ))
        })
    }

    /// What the files of the version say that it is: as the image states it, else as their headers say now. `None` when
    /// these can only be read with the layers that they lie in.
    pub(crate) fn record(&self, holding: &Holding) -> Result<Option<Record>, Failure> {
        if let Some(record) = self.stated(holding) {
            return Ok(Some(record));
        }
        if !holding.is_ranged() {
            return Ok(None);
        }
        let Some(files) = holding.files(self)? else {
            return Ok(None);
        };
        let files = holding.layered(self, &files);
        let survey = Survey::new(&files, &modelkeep_inspect::Limits::default()).map_err(Failure::failed)?;
        Ok(Some(survey.finish(&BTreeMap::new())))
    }

    /// The record that the image states, if it is about its files.
    pub(crate) fn stated(&self, holding: &Holding) -> Option<Record> {
        let label = self.label(annotation::RECORD).filter(|_| holding.is_own);
        label.and_then(Record::parse)
    }

    /// As [`Held::record`], with the table of tensors even if it lies in a layer of its own.
    pub(crate) fn whole_record(&self, holding: &Holding) -> Result<Option<Record>, Failure> {
        let Some(mut record) = self.record(holding)? else {
            return Ok(None);
        };
        let table = record.tensors.as_ref().and_then(|tensors| tensors.table.clone());
        // A layer that is compressed is not read for the table alone.
        let Some(place) = table.filter(|_| holding.is_ranged()) else {
            return Ok(Some(record));
        };
        let what = "the table of tensors";
        let malformed = |reason: &str| {
            Failure::failed(Error::Malformed {
                what: what.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let layer = self
            .manifest
            .layers
            .iter()
            .find(|layer| layer.digest == place.layer);
        let layer = layer.ok_or_else(|| malformed("its layer is not in the image"))?;
        if place.size > MOST_TABLE {
            return Err(malformed(&format!(
                "it has {} bytes, and {MOST_TABLE} are the most that is read",
                place.size
            )));
        }
        let range = ByteRange {
            offset: place.offset,
            length: place.size,
        };
        let mut table = Vec::new();
        let mut reader = self.repository.source().open(layer, range)?;
        reader
            .read_to_end(&mut table)
            .map_err(Error::io(format!("read {what}")))?;
        let found = Digest::of(&table);
        if found != place.digest {
            return Err(Failure::failed(Error::damaged(what, &place.digest, found)));
        }
        if !record.join(&table) {
            return Err(malformed("it is no table"));
        }
        Ok(Some(record))
    }

    /// The version, if it was asked for by version.
    pub(crate) fn version(&self) -> Option<String> {
        self.reference.tag().map(ToString::to_string)
    }

    /// Metrics: those of the history, else those that the image states.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        match &self.publication {
            Some(publication) => publication.publish.metrics.clone(),
            None => stated(self.annotations(), annotation::METRICS),
        }
    }

    /// Parameters: those of the history, else those that the image states.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        match &self.publication {
            Some(publication) => publication.publish.params.clone(),
            None => stated(self.annotations(), annotation::PARAMS),
        }
    }

    /// Annotations of the manifest.
    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.manifest.annotations
    }
}

/// Why a version that was yanked is not taken into use.
pub(crate) fn refuse(reference: &Reference, root: &Descriptor, yanked: &Yanked) -> Failure {
    let Yanked { reason, time, author } = yanked;
    let error = format!("{reference} was yanked by {author} at {time}: {reason}");
    Failure::new(Exit::Policy, error).hint(format!(
        "who needs it all the same names its digest: {}@{}",
        reference.name, root.digest
    ))
}

/// What an annotation holds in JSON; nothing when it is absent, or not what we write.
pub(crate) fn stated<T: serde::de::DeserializeOwned + Default>(
    annotations: &BTreeMap<String, String>,
    name: &str,
) -> T {
    let text = annotations.get(name);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Whether a contents list is about the layers of the image that carries it. Docker and others compress the layers of
/// an image that they push and keep its labels, and an image that is built on another one inherits them.
pub(crate) fn is_about(contents: &Contents, manifest: &Manifest) -> bool {
    let has = |digest: &Digest| manifest.layers.iter().any(|layer| layer.digest == *digest);
    contents.layers().iter().all(has)
}
