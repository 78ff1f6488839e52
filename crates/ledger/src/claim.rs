//! How one entry wins a place in a history that a registry without compare-and-set keeps.
//!
//! All that such a registry can do is to write a tag and to list tags. A claim therefore writes only tags whose names say
//! what they point to, so that none is ever overwritten, and decides by what the list shows. Each round is an
//! *adopt-commit* of two phases: announce an entry; then vote for it, `commit` if nothing else was announced and `unsure`
//! otherwise. A claimant that sees nothing but its own commit has won. One that sees another's commit makes that entry its
//! own, one that sees no commit takes the smallest, and both go on to the next round: whoever has lost helps the winner, so
//! that a claimant that died in the middle stops nobody.
//!
//! **Assumption:** a write that has been answered is listed within the settle time. Where that is broken, two entries may
//! win the same place. Both then lie there under their own names, and every reader sees the conflict.
//!
//! Here is only the decision; whoever drives it writes, waits and lists. `docs/decisions/0010-claims.md` says why it
//! is done so.

use std::{collections::BTreeSet, fmt, str::FromStr};

use modelkeep_core::{Digest, Tag};

use crate::EntryId;

/// What a claimant writes: `c.<height>.<round>.<phase>.<entry>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The place in the history, from 1.
    pub height: u64,
    /// The round, from 1.
    pub round: u32,
    /// What the claimant says in it.
    pub phase: Phase,
    /// The entry it is about.
    pub entry: EntryId,
}

/// What a claim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// `a`: this entry wants the place.
    Announce,
    /// `c`: nothing else was announced in this round.
    Commit,
    /// `u`: something else was.
    Unsure,
}

/// The place that an entry has won: `l.<height>.<entry>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The place in the history, from 1.
    pub height: u64,
    /// The entry.
    pub entry: EntryId,
}

/// Rounds that a claimant goes through at most: contention ends by chance long before.
const MOST_ROUNDS: u32 = 99;

/// A height is written with this many digits at least, so that names sort.
const HEIGHT_DIGITS: usize = 8;

impl Claim {
    /// The tag that says it.
    #[must_use]
    pub fn tag(&self) -> Tag {
        to_tag(self)
    }

    /// The claim that a tag says, if it is one.
    #[must_use]
    pub fn from_tag(tag: &Tag) -> Option<Self> {
        let mut parts = tag.as_str().strip_prefix("c.")?.split('.');
        let claim = Self {
            height: parts.next()?.parse().ok()?,
            round: parts.next()?.parse().ok()?,
            phase: match parts.next()? {
                "a" => Phase::Announce,
                "c" => Phase::Commit,
                "u" => Phase::Unsure,
                _ => return None,
            },
            entry: entry(parts.next()?)?,
        };
        // One claim has one name.
        (claim.tag() == *tag).then_some(claim)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Announce => 'a',
            Phase::Commit => 'c',
            Phase::Unsure => 'u',
        };
        let Self { height, round, .. } = self;
        write!(
            f,
            "c.{height:0HEIGHT_DIGITS$}.{round}.{phase}.{}",
            self.entry.hex()
        )
    }
}

impl Place {
    /// The tag that says it.
    #[must_use]
    pub fn tag(&self) -> Tag {
        to_tag(self)
    }

    /// The place that a tag says, if it is one.
    #[must_use]
    pub fn from_tag(tag: &Tag) -> Option<Self> {
        let (height, hex) = tag.as_str().strip_prefix("l.")?.split_once('.')?;
        let place = Self {
            height: height.parse().ok()?,
            entry: entry(hex)?,
        };
        (place.tag() == *tag).then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l.{:0HEIGHT_DIGITS$}.{}", self.height, self.entry.hex())
    }
}

fn to_tag(name: &impl fmt::Display) -> Tag {
    name.to_string()
        .parse()
        .expect("letters, digits and dots, less than 128 of them")
}

fn entry(hex: &str) -> Option<EntryId> {
    Digest::from_str(&format!("sha256:{hex}")).ok()
}

/// A claimant on its way to the place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimant {
    height: u64,
    round: u32,
    /// The entry that is announced in this round: the own one, or one that was adopted.
    entry: EntryId,
    /// What else was announced in this round, once it was looked at.
    announced: Option<BTreeSet<EntryId>>,
}

/// What a claimant does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Write this, wait for the settle time, list the tags, and tell what they say by [`Claimant::see`].
    Write(Claim),
    /// This entry has the place, whoever it belongs to.
    Decided(EntryId),
}

/// A claim that comes to no end.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Undecided {
    /// What was written is not in the list: the settle time is too short for this registry.
    #[error("the registry does not list {0}, which it has taken: its lists are older than the settle time")]
    NotListed(Claim),
    /// Others claimed the place in every round.
    #[error("{MOST_ROUNDS} rounds of claims for place {0} of the history decided nothing")]
    Contended(u64),
}

impl Claimant {
    /// A claimant who wants the place `height` for `entry`.
    #[must_use]
    pub fn new(height: u64, entry: EntryId) -> Self {
        Self {
            height,
            // Always from the first: who joins in a later round could bring an entry into it that an earlier one has
            // already refused.
            round: 1,
            entry,
            announced: None,
        }
    }

    fn claim(&self, phase: Phase) -> Claim {
        Claim {
            height: self.height,
            round: self.round,
            phase,
            entry: self.entry.clone(),
        }
    }

    /// What is to be written now.
    #[must_use]
    pub fn write(&self) -> Claim {
        let alone = |announced: &BTreeSet<EntryId>| announced.len() == 1;
        self.claim(match &self.announced {
            None => Phase::Announce,
            Some(announced) if alone(announced) => Phase::Commit,
            Some(_) => Phase::Unsure,
        })
    }

    /// Goes on with what was listed after the last write had settled: claims of this height whose entries may have the
    /// place, and the entry that has it, if any does. Claims for entries that may not have it must be left out.
    ///
    /// # Errors
    /// [`Undecided`]. After [`Undecided::NotListed`], list again later.
    pub fn see<'a>(
        &mut self,
        listed: impl IntoIterator<Item = &'a Claim>,
        decided: Option<&EntryId>,
    ) -> Result<Next, Undecided> {
        if let Some(entry) = decided {
            return Ok(Next::Decided(entry.clone()));
        }
        let written = self.write();
        let round: Vec<&Claim> = listed
            .into_iter()
            .filter(|claim| claim.height == self.height && claim.round == self.round)
            .collect();
        if !round.contains(&&written) {
            return Err(Undecided::NotListed(written));
        }
        let entries = |phase| {
            round
                .iter()
                .filter(move |claim| claim.phase == phase)
                .map(|claim| claim.entry.clone())
        };
        if self.announced.is_none() {
            self.announced = Some(entries(Phase::Announce).collect());
            return Ok(Next::Write(self.write()));
        }
        let committed: BTreeSet<EntryId> = entries(Phase::Commit).collect();
        let unsure: BTreeSet<EntryId> = entries(Phase::Unsure).collect();
        if unsure.is_empty() && committed.len() == 1 && committed.contains(&self.entry) {
            return Ok(Next::Decided(self.entry.clone()));
        }
        // Of what is committed there is at most one, or the assumption is broken and readers will see it.
        let adopted = committed.first().or_else(|| {
            unsure
                .first()
                .min(self.announced.as_ref().and_then(BTreeSet::first))
        });
        if let Some(adopted) = adopted {
            self.entry = adopted.clone();
        }
        if self.round == MOST_ROUNDS {
            return Err(Undecided::Contended(self.height));
        }
        self.round += 1;
        self.announced = None;
        Ok(Next::Write(self.write()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> EntryId {
        Digest::of(&[number])
    }

    #[test]
    fn names_come_back_from_their_tags() {
        let claim = Claim {
            height: 17,
            round: 2,
            phase: Phase::Unsure,
            entry: id(1),
        };
        assert_eq!(claim.tag().as_str(), format!("c.00000017.2.u.{}", id(1).hex()));
        assert_eq!(Claim::from_tag(&claim.tag()), Some(claim.clone()));
        let place = Place {
            height: 123_456_789,
            entry: id(2),
        };
        assert_eq!(Place::from_tag(&place.tag()), Some(place.clone()));
        assert!(claim.tag().is_reserved() && place.tag().is_reserved());
        let hex = id(1).hex().to_owned();
        for other in [
            format!("c.17.2.u.{hex}"),
            format!("c.00000017.02.u.{hex}"),
            format!("c.00000017.2.x.{hex}"),
            format!("c.00000017.2.u.{}", &hex[1..]),
            format!("c.{hex}"),
            "1.0".to_owned(),
        ] {
            assert_eq!(Claim::from_tag(&other.parse().unwrap()), None, "{other}");
        }
        for other in [
            format!("l.7.{hex}"),
            format!("l.00000007.{hex}.a"),
            "ledger".to_owned(),
        ] {
            assert_eq!(Place::from_tag(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn a_claimant_that_is_alone_wins_in_one_round() {
        let mut claimant = Claimant::new(3, id(1));
        let announce = claimant.write();
        assert_eq!(announce.phase, Phase::Announce);
        let Next::Write(commit) = claimant.see([&announce], None).unwrap() else {
            panic!("one phase does not decide");
        };
        assert_eq!(commit.phase, Phase::Commit);
        assert_eq!(
            claimant.see([&announce, &commit], None).unwrap(),
            Next::Decided(id(1))
        );
    }

    #[test]
    fn a_write_that_is_not_listed_decides_nothing() {
        let mut claimant = Claimant::new(3, id(1));
        let announce = claimant.write();
        assert_eq!(
            claimant.see([], None),
            Err(Undecided::NotListed(announce.clone()))
        );
        assert!(claimant.see([&announce], None).is_ok());
    }

    #[test]
    fn what_has_the_place_already_is_taken_over() {
        let mut claimant = Claimant::new(3, id(1));
        assert_eq!(claimant.see([], Some(&id(2))).unwrap(), Next::Decided(id(2)));
    }
}
