//! Reading: which entries have their places, and what speaks against them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use modelkeep_core::{
    Tag,
    content::{self, Manifests, Result},
    in_parallel,
};

use super::{Chain, Claims, Tampered, entry_under, lock};
use crate::{
    EntryId, MalformedHistory, Signatures, Written,
    claim::{Claim, Place},
};

/// Entries that are looked at for one place.
const MOST_AT_A_PLACE: usize = 16;
/// Entries that are looked at after a gap.
const MOST_AFTER: usize = 64;
/// Bytes of entries that are read.
const MOST_BYTES: u64 = 256 << 20;
/// Claims that are looked at instead of a place that is not what it says.
const MOST_COPIES: usize = 3;

/// What is wrong with a history, so that nobody may go by it.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// Two entries have one place, or one of them follows what is not there.
    #[error("two entries were made for place {height}, both by somebody who may")]
    Fork {
        /// The place.
        height: u64,
        /// The entry that is there, or the last one before.
        one: Vec<u8>,
        /// The other.
        other: Vec<u8>,
    },
    /// What was seen is there no more.
    #[error("entry {height}, which was seen before, is there no more")]
    Forgotten {
        /// Its number.
        height: u64,
        /// The entry.
        entry: Vec<u8>,
    },
    /// An entry is not listed, and a later one is.
    #[error("entry {height} is not listed, and entry {later} is: somebody has taken its tag away")]
    Gap {
        /// Its number.
        height: u64,
        /// The number of the other.
        later: u64,
    },
    /// A place that was claimed holds something else now.
    #[error("the tag {tag} is not what it says: {reason}")]
    Broken {
        /// The tag.
        tag: Tag,
        /// What is wrong.
        reason: String,
    },
    /// More than is looked at.
    #[error("{0}")]
    Excess(String),
}

impl Flaw {
    /// As an error of a port.
    fn of(self, what: &str) -> content::Error {
        let what = what.to_owned();
        match self {
            Self::Fork {
                ref one, ref other, ..
            } => content::Error::Conflict {
                what,
                how: self.to_string(),
                evidence: vec![one.clone(), other.clone()],
            },
            Self::Forgotten { ref entry, .. } => content::Error::Conflict {
                what,
                how: self.to_string(),
                evidence: vec![entry.clone()],
            },
            Self::Broken { tag, reason } => content::Error::Damaged {
                what: format!("the tag {tag} in {what}"),
                expected: "the entry that it names".to_owned(),
                found: reason,
            },
            Self::Gap { height, later } => content::Error::Damaged {
                what,
                expected: format!("entry {height}"),
                found: format!("entry {later} and no tag of entry {height}, which somebody has taken away"),
            },
            Self::Excess(reason) => content::Error::Malformed { what, reason },
        }
    }
}

/// Why a reading failed.
enum Failed {
    Flaw(Flaw),
    End(content::Error),
}

impl From<content::Error> for Failed {
    fn from(error: content::Error) -> Self {
        Self::End(error)
    }
}

impl From<Flaw> for Failed {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

/// What lies under the tag of a place.
enum Found {
    Entry(Box<Written>, Vec<u8>),
    /// Something else.
    Unfit {
        reason: String,
        /// Whether it was claimed by the protocol: then an entry was there once.
        was_claimed: bool,
    },
}

/// What was fetched, by place.
type Fetched = BTreeMap<u64, Vec<(EntryId, Found)>>;

impl<R: Manifests> Claims<R> {
    /// Reads what is new, and verifies it.
    pub(super) fn read(&self) -> Result<Arc<Chain>> {
        let failed = match self.read_once() {
            // A list need not show what was written a moment ago.
            Err(Failed::Flaw(Flaw::Gap { .. } | Flaw::Forgotten { .. } | Flaw::Broken { .. })) => {
                (self.pace.wait)(self.pace.settle);
                self.read_once()
            }
            read => read,
        };
        failed.map_err(|failed| match failed {
            Failed::Flaw(flaw) => flaw.of(&self.what),
            Failed::End(error) => error,
        })
    }

    fn read_once(&self) -> std::result::Result<Arc<Chain>, Failed> {
        let base = self.chain();
        let tags = self.list()?;
        let mut places: BTreeMap<u64, BTreeSet<EntryId>> = BTreeMap::new();
        for place in tags.iter().filter_map(Place::from_tag) {
            places.entry(place.height).or_default().insert(place.entry);
        }
        for (at, id) in base.ids.iter().enumerate() {
            let height = at as u64 + 1;
            let others = places.get_mut(&height);
            let is_listed = others.is_some_and(|others| others.remove(id));
            if at < self.remembered && !is_listed {
                let entry = base.entries[at].clone();
                return Err(Flaw::Forgotten { height, entry }.into());
            }
        }
        let mut tampered = Vec::new();
        let fetched = self.fetch(&places, base.history.height(), &tags, &mut tampered)?;
        let chain = match fetched.is_empty() {
            true => Ok(base),
            false => extend((*base).clone(), fetched, &mut tampered).map(Arc::new),
        };
        *lock(&self.tampered) = tampered;
        let chain = chain?;
        let mut kept = lock(&self.chain);
        if kept.ids.len() < chain.ids.len() {
            *kept = Arc::clone(&chain);
        }
        Ok(Arc::clone(&kept))
    }

    /// Fetches what lies at places after the `known` ones, and what else lies at those.
    fn fetch(
        &self,
        places: &BTreeMap<u64, BTreeSet<EntryId>>,
        known: u64,
        tags: &[Tag],
        tampered: &mut Vec<Tampered>,
    ) -> std::result::Result<Fetched, Failed> {
        if let Some((height, many)) = places.iter().find(|(_, ids)| ids.len() > MOST_AT_A_PLACE) {
            let many = many.len();
            return Err(Flaw::Excess(format!(
                "{many} entries are listed for place {height}, and {MOST_AT_A_PLACE} are the most that is read"
            ))
            .into());
        }
        let wanted = wanted(places, known);
        let bytes = AtomicU64::new(0);
        let claims = OnceLock::new();
        let claims_for = |place: &Place| {
            let all: &Claimed<'_> = claims.get_or_init(|| claimed(tags));
            all.get(place).cloned().unwrap_or_default()
        };
        let found = in_parallel(&wanted, self.pace.connections, |place| {
            let found = self.fetch_place(place, &claims_for)?;
            if let (Found::Entry(_, entry), _) = &found {
                let length = entry.len() as u64;
                if bytes.fetch_add(length, Ordering::Relaxed) + length > MOST_BYTES {
                    let reason = format!("it has more than {MOST_BYTES} bytes, the most that is read");
                    return Err(Failed::Flaw(Flaw::Excess(reason)));
                }
            }
            Ok::<_, Failed>(found)
        })?;
        let mut fetched = Fetched::new();
        for (place, (found, flaw)) in wanted.into_iter().zip(found) {
            tampered.extend(flaw);
            let at = fetched.entry(place.height).or_default();
            at.push((place.entry, found));
        }
        Ok(fetched)
    }

    /// What lies at a place: under its tag, or else under those of claims, which pointed at the same once.
    fn fetch_place<'t>(
        &self,
        place: &Place,
        claims_for: &dyn Fn(&Place) -> Vec<&'t Tag>,
    ) -> std::result::Result<(Found, Option<Tampered>), Failed> {
        let tag = place.tag();
        let reason = match entry_under(&self.registry, &tag, &place.entry)? {
            Some(Ok((written, entry))) => return Ok((Found::Entry(Box::new(written), entry), None)),
            Some(Err(unfit)) => unfit.to_string(),
            None => "it is listed, and points at nothing".to_owned(),
        };
        let claims = claims_for(place);
        for claim in claims.iter().take(MOST_COPIES) {
            if let Some(Ok((written, entry))) = entry_under(&self.registry, claim, &place.entry)? {
                let tampered = Tampered { tag, reason };
                return Ok((Found::Entry(Box::new(written), entry), Some(tampered)));
            }
        }
        let was_claimed = !claims.is_empty();
        Ok((Found::Unfit { reason, was_claimed }, None))
    }
}

/// The tags of claims, by the place and the entry that they are about.
type Claimed<'a> = HashMap<Place, Vec<&'a Tag>>;

fn claimed(tags: &[Tag]) -> Claimed<'_> {
    let mut claimed = Claimed::new();
    for tag in tags {
        if let Some(Claim { height, entry, .. }) = Claim::from_tag(tag) {
            claimed.entry(Place { height, entry }).or_default().push(tag);
        }
    }
    claimed
}

/// What is to be fetched: all that can follow, and of what lies after a gap enough to see that it is one.
fn wanted(places: &BTreeMap<u64, BTreeSet<EntryId>>, known: u64) -> Vec<Place> {
    let listed = places.iter().flat_map(|(&height, ids)| {
        let ids = ids.iter().cloned();
        ids.map(move |entry| Place { height, entry })
    });
    let mut last = known;
    let (follow, after): (Vec<Place>, Vec<Place>) = listed.partition(|place| {
        last += u64::from(place.height == last + 1);
        place.height <= last
    });
    follow
        .into_iter()
        .chain(after.into_iter().take(MOST_AFTER))
        .collect()
}

/// Adds to a history what follows it.
fn extend(
    mut chain: Chain,
    mut fetched: Fetched,
    tampered: &mut Vec<Tampered>,
) -> std::result::Result<Chain, Flaw> {
    let known = chain.history.height();
    while let Some(first) = fetched.first_entry().filter(|first| *first.key() <= known) {
        let (height, rivals) = first.remove_entry();
        let one = chain.entries[usize::try_from(height).unwrap_or(1).max(1) - 1].clone();
        for (id, found) in rivals {
            let reason = match found {
                Found::Entry(written, other) if chain.history.vouches(&written) => {
                    return Err(Flaw::Fork { height, one, other });
                }
                Found::Entry(..) => "nobody who may add to the history made it".to_owned(),
                Found::Unfit { reason, .. } => reason,
            };
            tampered.push(at(height, id, reason));
        }
    }
    loop {
        let height = chain.history.height() + 1;
        let Some(candidates) = fetched.remove(&height) else {
            break;
        };
        if !place(&mut chain, height, candidates, tampered)? {
            break;
        }
    }
    let height = chain.history.height() + 1;
    for (later, found) in fetched {
        for (id, found) in found {
            let reason = match found {
                Found::Entry(written, _)
                    if chain.history.identity().is_none()
                        || written.entry.history() == chain.history.identity() =>
                {
                    return Err(Flaw::Gap { height, later });
                }
                Found::Entry(..) => "it is an entry of another history".to_owned(),
                Found::Unfit { reason, .. } => reason,
            };
            tampered.push(at(later, id, reason));
        }
    }
    Ok(chain)
}

/// Gives the place after the last to the one entry that may have it, and says whether there is one.
fn place(
    chain: &mut Chain,
    height: u64,
    candidates: Vec<(EntryId, Found)>,
    tampered: &mut Vec<Tampered>,
) -> std::result::Result<bool, Flaw> {
    let before = (candidates.len() > 1).then(|| chain.history.clone());
    let mut refused: Vec<(EntryId, Box<Written>, Vec<u8>, MalformedHistory)> = Vec::new();
    let mut broken = None;
    let mut is_placed = false;
    for (id, found) in candidates {
        match found {
            Found::Entry(written, entry) if is_placed => {
                let mut other = before.clone().unwrap_or_default();
                match other.extend(std::slice::from_ref(&entry), Signatures::Verify) {
                    Ok(()) => {
                        let one = chain.entries.last().cloned().unwrap_or_default();
                        return Err(Flaw::Fork {
                            height,
                            one,
                            other: entry,
                        });
                    }
                    Err(error) => refused.push((id, written, entry, error)),
                }
            }
            Found::Entry(written, entry) => match chain.add(entry.clone(), Signatures::Verify) {
                Ok(()) => is_placed = true,
                Err(error) => refused.push((id, written, entry, error)),
            },
            Found::Unfit {
                reason,
                was_claimed: true,
            } => broken = Some((id, reason)),
            Found::Unfit { reason, .. } => tampered.push(at(height, id, reason)),
        }
    }
    for (id, written, other, error) in refused {
        // It follows something that is not here, and somebody who may made it.
        let is_off = matches!(error, MalformedHistory::Chain { .. }) && written.entry.height() == height;
        if is_off && chain.history.identity().is_some() && chain.history.vouches(&written) {
            let one = chain.entries.last().cloned().unwrap_or_default();
            return Err(Flaw::Fork { height, one, other });
        }
        tampered.push(at(height, id, error.to_string()));
    }
    match broken {
        Some((id, reason)) if !is_placed => {
            let tag = Place { height, entry: id }.tag();
            Err(Flaw::Broken { tag, reason })
        }
        Some((id, reason)) => {
            tampered.push(at(height, id, reason));
            Ok(true)
        }
        None => Ok(is_placed),
    }
}

fn at(height: u64, entry: EntryId, reason: String) -> Tampered {
    Tampered {
        tag: Place { height, entry }.tag(),
        reason,
    }
}
