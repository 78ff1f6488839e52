//! Into a version: every rule of `push` holds.

use std::{cell::OnceCell, path::Path};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Limits, Mutability, Reference, Tag, annotation,
    content::{Journal, Need, Source, Target},
    name::Target as Named,
};
use modelkeep_ledger::{
    Draft, History, Outcome, Publish, PublishError, Standing, Verdict, Who, judge, publish,
    signing::ModelStatement,
};
use modelkeep_store::{Repository, Store};
use modelkeep_transfer::{Copied, Tree};

use super::{Done, Job, Said, failure, referrers, workers};
use crate::{
    error::{Exit, Failure},
    held::read_document,
    origin::Origin,
    place::Place,
    promise::Keeper,
    provenance::{Provenance, now},
    publishing::{check_version, contents_of, next_free_of, standing},
    signature::{Attached, signed_files},
    signing,
    wiring::{self, Endpoint, Mounting, Remote},
};

/// The version that is to be, and what is there.
pub(super) struct Into<'a> {
    job: &'a Job<'a>,
    reference: &'a Reference,
    pub(super) version: &'a Tag,
    /// `None` when the embedded store does not have the repository yet.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) keeper: Keeper,
    mutability: Mutability,
    history: History,
    /// Found out once: git is asked, and the user for a passphrase.
    who: OnceCell<Who>,
    pub(super) standing: Option<Standing>,
}

/// An image whose blobs and manifests but the topmost have arrived.
pub(super) struct Arrived<'a> {
    pub(super) manifest: &'a Descriptor,
    pub(super) bytes: &'a [u8],
    /// The manifests below it, each after what it lists.
    pub(super) children: Vec<Descriptor>,
    pub(super) said: Said,
    /// Where it came from.
    pub(super) from: String,
}

impl<'a> Into<'a> {
    pub(super) fn open(job: &'a Job<'a>, reference: &'a Reference) -> Result<Self, Failure> {
        let Named::Tag(version) = &reference.target else {
            return Err(Failure::usage(format!(
                "{reference} is a digest: a version is published by its name"
            )));
        };
        check_version(job.settings, version)?;
        let endpoint = wiring::for_push(job.settings, reference.host.as_ref(), &reference.name)?;
        let history = match &endpoint {
            Some(endpoint) => endpoint.history()?,
            None => History::default(),
        };
        let standing = match &endpoint {
            Some(endpoint) => standing(endpoint, &history, version)?,
            None => None,
        };
        let (keeper, mutability) = match &endpoint {
            Some(endpoint) => (endpoint.keeper()?, endpoint.mutability()?),
            None => (Keeper::Store, None),
        };
        Ok(Self {
            job,
            reference,
            version,
            endpoint,
            keeper,
            mutability: mutability.unwrap_or_else(|| job.settings.mutability.value.clone()),
            history,
            who: OnceCell::new(),
            standing,
        })
    }

    /// Makes sure, before anything is sent, that whoever publishes may, and that the key which signs is open.
    pub(super) fn admit(&self) -> Result<&Who, Failure> {
        if let Some(who) = self.who.get() {
            return Ok(who);
        }
        let here = Path::new(".");
        let who = match self.job.dry_run {
            true => signing::admitted(here, &self.history)?.0,
            false => signing::who(here, &self.history)?,
        };
        Ok(self.who.get_or_init(|| who))
    }

    /// Whether the entry of what stands, or of what is published now, is signed.
    pub(super) fn is_signed(&self, outcome: &str) -> bool {
        match outcome {
            "published" => self.who.get().is_some_and(|who| self.history.is_signed_by(who)),
            _ => {
                let standing = self.history.version(self.version);
                standing.is_some_and(|standing| standing.signer.is_some())
            }
        }
    }

    /// What the end takes.
    pub(super) fn limits(&self) -> Limits {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or_else(Limits::default, |endpoint| endpoint.target().limits())
    }

    /// What the rule says of `candidate`, by what stands; refusal is an error, but for a dry run.
    pub(super) fn judge(&self, candidate: &Standing) -> Result<&'static str, Failure> {
        let stands = self.standing.as_ref().map(Standing::proposed);
        let verdict = judge(&self.mutability, self.version, stands, candidate.proposed());
        match (verdict, &self.standing) {
            (Verdict::Taken, Some(standing)) if !self.job.dry_run => {
                let next_free = match &self.endpoint {
                    Some(endpoint) => next_free_of(endpoint, &self.history, self.version)?,
                    None => None,
                };
                Err(self.refused(PublishError::Taken {
                    version: self.version.clone(),
                    standing: standing.manifest.digest.clone(),
                    refused: candidate.manifest.digest.clone(),
                    next_free,
                }))
            }
            (Verdict::Taken, _) => Ok("would refuse"),
            (Verdict::Same, _) => Ok("unchanged"),
            (Verdict::New | Verdict::Moves, _) => Ok("would publish"),
        }
    }

    fn refused(&self, error: impl std::convert::Into<Failure>) -> Failure {
        let failure: Failure = error.into();
        match failure.exit {
            Exit::Exists => failure.hint(format!("`modelkeep show {}` says what stands", self.reference)),
            _ => failure,
        }
    }

    /// The end, which is made if it is not there.
    pub(super) fn made(&self) -> Result<Made<'_>, Failure> {
        match &self.endpoint {
            Some(Endpoint::Remote(remote)) => Ok(Made::Remote(remote)),
            _ => {
                let settings = self.job.settings;
                let store = Store::create(&settings.store.value)?;
                let mutability = &settings.mutability.value;
                let (repository, _) = store.create_repository(&self.reference.name, mutability, &now())?;
                Ok(Made::Store(Box::new(repository)))
            }
        }
    }

    /// Signs the model that has arrived in `end`, if it is one and whoever copies signs.
    fn attach<T: Source + Target>(
        &self,
        end: &T,
        manifest: &Descriptor,
    ) -> Result<Option<Attached>, Failure> {
        let who = self.admit()?;
        let seal = who.seal.as_ref().filter(|_| self.history.is_signed_by(who));
        let (Some(seal), Some(contents)) = (seal, contents_of(end, manifest)) else {
            return Ok(None);
        };
        let statement = ModelStatement::new(self.reference.name.as_str(), signed_files(&contents));
        let statement = statement.map_err(Failure::failed)?;
        let annotations = match read_document(end, manifest)? {
            Document::Image(image) => image.annotations,
            Document::Index(index) => index.annotations,
        };
        let created = annotations.get(annotation::CREATED).map(String::as_str);
        Attached::make(&statement, manifest, created, seal.signer(), end).map(Some)
    }

    /// Makes what has arrived the version, and says what came of it in JSON's words, and what stands then.
    pub(super) fn publish(
        &self,
        made: &Made<'_>,
        arrived: Arrived<'_>,
    ) -> Result<(&'static str, Digest), Failure> {
        let Arrived {
            manifest,
            bytes,
            mut children,
            said,
            from,
        } = arrived;
        made.target().put(&manifest.media_type, bytes)?;
        // Before the version, so that no collection takes the bundle that it names.
        let signature = match made {
            Made::Remote(remote) => {
                let signature = self.attach(&***remote, manifest)?;
                if let Some(signature) = &signature {
                    remote.put_referrer(&signature.manifest.media_type, &signature.manifest_bytes)?;
                }
                signature
            }
            Made::Store(repository) => {
                let signature = self.attach(&**repository, manifest)?;
                if let Some(signature) = &signature {
                    repository.put(&signature.manifest.media_type, &signature.manifest_bytes)?;
                    children.push(signature.manifest.clone());
                }
                signature
            }
        };
        let who = Who {
            time: now(),
            ..self.admit()?.clone()
        };
        let draft = Draft {
            version: self.version.clone(),
            who: match &self.endpoint {
                Some(endpoint) => endpoint.known_as(who)?,
                None => who,
            },
            children,
            publish: Publish {
                manifest: Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.size),
                root: said.model.root,
                base: said.model.base,
                from: Some(from),
                signature: signature.map(|signature| Box::new(signature.bundle)),
                message: said.message,
                metrics: said.metrics,
                params: said.params,
            },
        };
        let (outcome, standing) = publish(made.journal(), draft).map_err(|error| self.refused(error))?;
        let outcome = match outcome {
            Outcome::Published => "published",
            Outcome::Unchanged => "unchanged",
        };
        Ok((outcome, standing.manifest.digest))
    }
}

/// Who copies.
pub(super) fn author() -> Result<String, Failure> {
    Ok(Provenance::find(Path::new("."))?.author)
}

/// Where a version goes.
pub(super) enum Made<'a> {
    Store(Box<Repository>),
    Remote(&'a Remote),
}

impl Made<'_> {
    pub(super) fn target(&self) -> &dyn Target {
        match self {
            Self::Store(repository) => &**repository,
            Self::Remote(remote) => &***remote,
        }
    }

    fn journal(&self) -> &dyn Journal {
        match self {
            Self::Store(repository) => &**repository,
            Self::Remote(remote) => *remote,
        }
    }
}

impl Job<'_> {
    pub(super) fn to_version(&self, origin: &Origin, reference: &Reference) -> Result<Done, Failure> {
        let into = Into::open(self, reference)?;
        let tree = Tree::read(origin.source(), &origin.root).map_err(failure)?;
        tree.check(&into.limits()).map_err(failure)?;
        let said = Said::of(origin);
        let root = said.model.root.clone();
        let candidate = said.model.standing(origin.root.clone());
        let judged = into.judge(&candidate)?;
        let mut done = Done {
            outcome: judged,
            digest: Some(origin.root.digest.clone()),
            source_digest: Some(origin.root.digest.clone()),
            root,
            keeper: Some(into.keeper),
            ..Done::default()
        };
        if judged != "unchanged" {
            into.admit()?;
        }
        let progress = self.progress(tree.size());
        let same = into.standing.as_ref().filter(|_| judged == "unchanged");
        if let Some(standing) = same {
            done.digest = Some(standing.manifest.digest.clone());
        }
        // What stands is brought again where the end has lost some of it.
        let stands_otherwise = same.is_some_and(|standing| standing.manifest.digest != origin.root.digest);
        if self.dry_run || stands_otherwise {
            if !stands_otherwise {
                done.copied = missing(&tree, into.endpoint.as_ref())?;
            }
            self.end(progress, &done);
            return Ok(done);
        }
        let made = into.made()?;
        let mounting = match (&made, &self.from) {
            (Made::Remote(registry), Place::Version(from)) => Mounting::between(registry, from, reference),
            _ => None,
        };
        let target = mounting.as_ref().map_or(made.target(), |mounting| mounting);
        let add = |bytes| progress.add(bytes);
        done.copied = tree
            .send(origin.source(), target, workers(), &add)
            .map_err(failure)?;
        let bytes = origin
            .source()
            .fetch(&origin.root, Limits::default().manifest_bytes)?;
        let arrived = Arrived {
            manifest: &origin.root,
            bytes: &bytes,
            children: tree.manifests()[1..].iter().rev().cloned().collect(),
            said,
            from: origin.said(),
        };
        let (outcome, digest) = into.publish(&made, arrived)?;
        match outcome {
            "published" => {
                done.copied.blobs += 1;
                done.copied.bytes += origin.root.size;
            }
            _ => done.copied.reused += 1,
        }
        done.outcome = outcome;
        done.signed = Some(into.is_signed(outcome));
        if digest == origin.root.digest {
            let (count, copied) = referrers::copy(origin, &tree, &made, &add)?;
            done.referrers = count;
            done.copied += copied;
        }
        done.digest = Some(digest);
        self.end(progress, &done);
        Ok(done)
    }
}

/// What a copy would write.
fn missing(tree: &Tree, endpoint: Option<&Endpoint>) -> Result<Copied, Failure> {
    let nothing = ByteRange { offset: 0, length: 0 };
    let has = |blob: &Descriptor| match endpoint {
        None => Ok(false),
        // Not by `need`, which would promise to keep it.
        Some(Endpoint::Store(held)) => Ok(held.open(blob, nothing).is_ok()),
        Some(Endpoint::Remote(held)) => Ok(held.need(blob)? == Need::Nothing),
    };
    let missing = tree.missing(has, workers()).map_err(failure)?;
    let all = tree.blobs().count() + tree.manifests().len();
    Ok(Copied {
        blobs: missing.len() as u64,
        bytes: missing.iter().map(|blob| blob.size).sum(),
        reused: (all - missing.len()) as u64,
    })
}
