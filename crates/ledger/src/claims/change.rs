//! Changing: how an entry gets its place.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::Arc,
};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Error, Journal, Manifests, Names, Result, Transaction},
    media,
    name::Target,
};

use super::{Chain, Claims, document, entries, entry_under};
use crate::{
    EntryId, Signatures, Written,
    claim::{Claim, Claimant, Next, Place, Undecided},
};

/// Entries of others that are looked at before one has its place.
const MOST_RIVALS: usize = 64;
/// Lists that are read, each later than the one before, until one shows what was written.
const LISTS: u32 = 6;

/// A change of a history on a registry. It excludes nobody: who is slower is told.
pub(super) struct Change<'a, R> {
    claims: &'a Claims<R>,
    chain: Arc<Chain>,
}

/// Entries that somebody wants to have a place, and whether they may.
struct Rivals<'a> {
    chain: &'a Chain,
    judged: HashMap<EntryId, Option<Vec<u8>>>,
}

impl<'a, R: Manifests> Change<'a, R> {
    pub(super) fn new(claims: &'a Claims<R>, chain: Arc<Chain>) -> Self {
        Self { claims, chain }
    }

    fn failed(&self, kind: io::ErrorKind, why: &str) -> Error {
        Error::io(format!("change {}", self.claims.what))(io::Error::new(kind, why))
    }

    /// Claims the place for `own` until it is somebody's, and gives whose.
    fn claim(&self, height: u64, own: EntryId, rivals: &mut Rivals<'_>) -> Result<EntryId> {
        let pace = &self.claims.pace;
        let mut settle = pace.settle;
        let mut claimant = Claimant::new(height, own);
        let mut write = claimant.write();
        loop {
            self.write(&write.tag(), &rivals.bytes(&write.entry))?;
            let mut lists = 0;
            let next = loop {
                (pace.wait)(settle);
                let tags = self.claims.list()?;
                let decided = self.decided(height, &tags, rivals)?;
                let listed = self.listed(&write, &tags, rivals)?;
                lists += 1;
                match claimant.see(&listed, decided.as_ref()) {
                    // This registry needs longer than it was given.
                    Err(Undecided::NotListed(_)) if lists < LISTS => settle *= 2,
                    next => break next,
                }
            };
            match next {
                Ok(Next::Write(claim)) => write = claim,
                Ok(Next::Decided(entry)) => return Ok(entry),
                Err(undecided) => {
                    let doing = format!("add entry {height} to {}", self.claims.what);
                    return Err(Error::io(doing)(io::Error::other(undecided)));
                }
            }
        }
    }

    /// The claims of the round of `write` whose entries may have the place.
    fn listed(&self, write: &Claim, tags: &[Tag], rivals: &mut Rivals<'_>) -> Result<Vec<Claim>> {
        let mut listed = Vec::new();
        let claims = tags.iter().filter_map(Claim::from_tag);
        for claim in claims.filter(|claim| claim.height == write.height && claim.round == write.round) {
            if rivals.may(
                &self.claims.registry,
                &claim.entry,
                &claim.tag(),
                &self.claims.what,
            )? {
                listed.push(claim);
            }
        }
        Ok(listed)
    }

    /// The entry that has the place, if one has it.
    fn decided(&self, height: u64, tags: &[Tag], rivals: &mut Rivals<'_>) -> Result<Option<EntryId>> {
        let mut decided = BTreeSet::new();
        let places = tags.iter().filter_map(Place::from_tag);
        for place in places.filter(|place| place.height == height) {
            if rivals.may(
                &self.claims.registry,
                &place.entry,
                &place.tag(),
                &self.claims.what,
            )? {
                decided.insert(place.entry);
            }
        }
        // Of two, the reader that comes next says so, with both.
        Ok(decided.pop_first())
    }

    fn write(&self, tag: &Tag, entry: &[u8]) -> Result<()> {
        let malformed = |error| Error::Malformed {
            what: format!("an entry for {}", self.claims.what),
            reason: format!("{error}"),
        };
        let manifest = document::to_manifest(entry).map_err(malformed)?;
        self.claims.registry.write(tag, media::OCI_INDEX, &manifest)
    }
}

impl Rivals<'_> {
    /// Whether the entry that `tag` names may have the place.
    fn may(&mut self, registry: &impl Manifests, id: &EntryId, tag: &Tag, what: &str) -> Result<bool> {
        if let Some(judged) = self.judged.get(id) {
            return Ok(judged.is_some());
        }
        if self.judged.len() > MOST_RIVALS {
            return Err(Error::Malformed {
                what: what.to_owned(),
                reason: format!("more than {MOST_RIVALS} entries claim its next place"),
            });
        }
        // What is listed and not yet there has not been written yet.
        let Some(found) = entry_under(registry, tag, id)? else {
            return Ok(false);
        };
        let entry = found.ok().map(|(_, entry)| entry).filter(|entry| {
            let mut history = self.chain.history.clone();
            history
                .extend(std::slice::from_ref(entry), Signatures::Verify)
                .is_ok()
        });
        let may = entry.is_some();
        self.judged.insert(id.clone(), entry);
        Ok(may)
    }

    fn bytes(&self, id: &EntryId) -> Vec<u8> {
        let judged = self.judged.get(id).cloned().flatten();
        judged.expect("only what may have the place is claimed for")
    }
}

impl<R: Manifests> Transaction for Change<'_, R> {
    fn mutability(&self) -> &Mutability {
        &self.claims.mutability
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        self.claims.registry.find(&Target::Digest(digest.clone()))
    }

    fn admit(&mut self, manifest: &Descriptor) -> Result<()> {
        match self.manifest(&manifest.digest)? {
            Some(found) if found.size == manifest.size => Ok(()),
            _ => Err(Error::NotFound {
                what: format!("the manifest {}", manifest.digest),
                place: "the registry".to_owned(),
            }),
        }
    }

    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()> {
        if height != self.chain.history.height() + 1 {
            return Err(self.failed(io::ErrorKind::InvalidInput, "the entry is not the next one"));
        }
        let length = entry.len() as u64;
        if length > document::MOST_ENTRY {
            return Err(Error::Malformed {
                what: format!("the entry for {}", self.claims.what),
                reason: format!(
                    "it has {length} bytes, and {} are the most: message, metrics and parameters count",
                    document::MOST_ENTRY
                ),
            });
        }
        let own = Written::id_of(entry);
        let mut rivals = Rivals {
            chain: &self.chain,
            judged: HashMap::from([(own.clone(), Some(entry.to_vec()))]),
        };
        let winner = self.claim(height, own.clone(), &mut rivals)?;
        let bytes = rivals.bytes(&winner);
        let place = Place {
            height,
            entry: winner.clone(),
        };
        // The same whoever writes it, and however often.
        self.write(&place.tag(), &bytes)?;
        self.claims.learn(&self.chain, &bytes);
        if winner != own {
            return Err(Error::Overtaken {
                what: self.claims.what.clone(),
            });
        }
        let mut chain = Chain::clone(&self.chain);
        chain
            .add(bytes, Signatures::Trust)
            .expect("it was found to follow before it got its place");
        self.chain = Arc::new(chain);
        Ok(())
    }

    fn set_tag(&mut self, tag: &Tag, manifest: &Descriptor) -> Result<()> {
        let name = Target::Digest(manifest.digest.clone());
        match self.claims.registry.read(&name, manifest.size)? {
            Some((found, bytes)) => self.claims.registry.write(tag, &found.media_type, &bytes),
            None => Err(Error::NotFound {
                what: format!("the manifest {}", manifest.digest),
                place: "the registry".to_owned(),
            }),
        }
    }

    fn remove_tag(&mut self, tag: &Tag) -> Result<()> {
        match self.resolve(tag)? {
            None => Ok(()),
            Some(_) => Err(self.failed(
                io::ErrorKind::Unsupported,
                &format!("this registry has no way to remove the tag {tag} that leaves its manifest"),
            )),
        }
    }

    fn manifests(&self) -> Result<Vec<Descriptor>> {
        Err(self.failed(io::ErrorKind::Unsupported, "this registry lists no manifests"))
    }

    fn listed_by(&self, _: &Digest) -> Result<Option<Digest>> {
        Err(self.failed(io::ErrorKind::Unsupported, "this registry lists no manifests"))
    }

    fn withdraw(&mut self, _: &Digest) -> Result<()> {
        Err(self.failed(
            io::ErrorKind::Unsupported,
            "manifests of this registry are removed by its own means",
        ))
    }
}

impl<R: Manifests> Names for Change<'_, R> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.claims.registry.resolve(tag)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.claims.list()
    }
}

impl<R: Manifests> Journal for Change<'_, R> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        Ok(entries(&self.chain, from))
    }

    fn verified(&self) -> u64 {
        self.chain.history.height()
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Err(self.failed(
            io::ErrorKind::Deadlock,
            "a change of a history begins another one",
        ))
    }
}
