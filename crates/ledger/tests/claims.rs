//! The claims of a history on a simulated registry: whatever the schedule, one entry wins a place.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use modelkeep_core::Digest;
use modelkeep_ledger::{
    EntryId,
    claim::{Claim, Claimant, Next, Undecided},
};

fn id(number: usize) -> EntryId {
    Digest::of(&number.to_le_bytes())
}

/// Every interleaving of the writes and lists of two or three claimants, each of which may die before any step.
mod every_interleaving {
    use super::*;

    #[derive(Clone, PartialEq, Eq, Hash)]
    enum State {
        /// About to write what the claimant says.
        Writes,
        /// Has written, about to list.
        Lists,
        Decided(EntryId),
        Died,
    }

    #[derive(Clone, PartialEq, Eq, Hash)]
    struct World {
        tags: BTreeSet<Claim>,
        claimants: Vec<(Claimant, State)>,
    }

    /// Worlds that were seen, and those in which everybody had come to an end. Rounds after `deepest` are not entered:
    /// they repeat what the first ones show, for nobody brings a new entry into them.
    fn explore(claimants: usize, deepest: u32) -> (usize, usize) {
        let start = World {
            tags: BTreeSet::new(),
            claimants: (0..claimants)
                .map(|number| (Claimant::new(1, id(number)), State::Writes))
                .collect(),
        };
        let mut seen = HashSet::from([start.clone()]);
        let mut open = vec![start];
        let mut ends = 0;
        while let Some(world) = open.pop() {
            let mut decided: Vec<&EntryId> = world
                .claimants
                .iter()
                .filter_map(|(_, state)| match state {
                    State::Decided(entry) => Some(entry),
                    _ => None,
                })
                .collect();
            decided.dedup();
            assert!(decided.len() <= 1, "two entries won one place");
            let mut next = Vec::new();
            for number in 0..claimants {
                let mut after = world.clone();
                let (claimant, state) = &mut after.claimants[number];
                match state {
                    State::Decided(_) | State::Died => continue,
                    State::Writes => {
                        let claim = claimant.write();
                        if claim.round > deepest {
                            continue;
                        }
                        after.tags.insert(claim);
                        *state = State::Lists;
                    }
                    State::Lists => {
                        *state = match claimant.see(&after.tags, None).unwrap() {
                            Next::Write(_) => State::Writes,
                            Next::Decided(entry) => State::Decided(entry),
                        };
                    }
                }
                next.push(after);
                let mut dies = world.clone();
                dies.claimants[number].1 = State::Died;
                next.push(dies);
            }
            ends += usize::from(next.is_empty());
            open.extend(next.into_iter().filter(|world| seen.insert(world.clone())));
        }
        (seen.len(), ends)
    }

    #[test]
    fn of_two_claimants_gives_the_place_to_one() {
        let (worlds, ends) = explore(2, 4);
        assert!(worlds > 500 && ends > 50, "{worlds} worlds, {ends} ends");
    }

    #[test]
    fn of_three_claimants_gives_the_place_to_one() {
        let (worlds, ends) = explore(3, 2);
        assert!(worlds > 10_000 && ends > 500, "{worlds} worlds, {ends} ends");
    }
}

/// Random schedules in virtual time: slow and lost answers, writes that come into force after their writer died, lists
/// that are older than they seem.
mod random_schedules {
    use super::*;

    /// SplitMix64: small, seeded, and the same everywhere.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }
    }

    #[derive(Clone, Copy)]
    struct Conditions {
        /// Claimants wait so long after a write has been answered.
        settle: u64,
        /// A list may lack writes that were answered less than this ago.
        staleness: u64,
        /// Of a thousand steps, so many are the claimant's last.
        deaths: u64,
    }

    struct Claiming {
        claimant: Claimant,
        at: u64,
        writes: bool,
        rounds: u32,
        end: Option<EntryId>,
        dead: bool,
    }

    struct Outcome {
        decided: BTreeSet<EntryId>,
        survivors: usize,
        undecided: usize,
    }

    fn run(seed: u64, claimants: usize, conditions: Conditions) -> Outcome {
        let mut random = Random(seed);
        // When each tag came into force, and when whoever wrote it got the answer.
        let mut tags: BTreeMap<Claim, (u64, u64)> = BTreeMap::new();
        let mut all: Vec<Claiming> = (0..claimants)
            .map(|number| Claiming {
                claimant: Claimant::new(1, id(number)),
                at: random.below(12),
                writes: true,
                rounds: 0,
                end: None,
                dead: false,
            })
            .collect();
        while let Some(acting) = all
            .iter_mut()
            .filter(|one| one.end.is_none() && !one.dead && one.rounds < 40)
            .min_by_key(|one| one.at)
        {
            let now = acting.at;
            let dies = random.below(1000) < conditions.deaths;
            if acting.writes {
                let takes = 1 + random.below(10);
                // The write of one who dies may come into force long after.
                let (force, answer) = if dies {
                    (now + random.below(200), u64::MAX)
                } else {
                    (now + random.below(takes), now + takes)
                };
                // A lost answer is asked again: the same tag, written twice.
                let answer = if !dies && random.below(20) == 0 {
                    answer + 5
                } else {
                    answer
                };
                let entry = tags.entry(acting.claimant.write()).or_insert((force, answer));
                entry.0 = entry.0.min(force);
                entry.1 = entry.1.min(answer);
                acting.writes = false;
                acting.at = answer.saturating_add(conditions.settle);
            } else {
                let own = acting.claimant.write();
                let listed: Vec<&Claim> = tags
                    .iter()
                    .filter(|(claim, (force, answer))| {
                        // What was answered longer ago than the staleness is there, and what one has written oneself;
                        // of the rest, any part may be.
                        let old = answer.saturating_add(conditions.staleness) <= now;
                        let there = *force <= now && (conditions.staleness == 0 || random.below(2) == 0);
                        old || there || **claim == own
                    })
                    .map(|(claim, _)| claim)
                    .collect();
                match acting.claimant.see(listed, None) {
                    Ok(Next::Write(claim)) => {
                        acting.writes = true;
                        acting.rounds = claim.round;
                        acting.at = now + random.below(8);
                    }
                    Ok(Next::Decided(entry)) => acting.end = Some(entry),
                    Err(Undecided::NotListed(_)) => acting.at = now + 1,
                    Err(error) => panic!("{error}"),
                }
            }
            acting.dead |= dies;
        }
        Outcome {
            decided: all.iter().filter_map(|one| one.end.clone()).collect(),
            survivors: all.iter().filter(|one| !one.dead).count(),
            undecided: all.iter().filter(|one| !one.dead && one.end.is_none()).count(),
        }
    }

    /// More than CI runs, by hand: `MODELKEEP_SEEDS=1000000 cargo test --release -p modelkeep-ledger --test claims`.
    fn seeds() -> u64 {
        std::env::var("MODELKEEP_SEEDS").map_or(20_000, |count| count.parse().unwrap())
    }

    #[test]
    fn give_the_place_to_one_while_the_settle_time_holds() {
        let mut undecided = 0;
        let mut survivors = 0;
        for seed in 0..seeds() {
            let claimants = 2 + usize::try_from(seed % 7).unwrap();
            let conditions = Conditions {
                settle: 20,
                staleness: [0, 8, 20][usize::try_from(seed % 3).unwrap()],
                deaths: [0, 20, 100][usize::try_from(seed / 3 % 3).unwrap()],
            };
            let outcome = run(seed, claimants, conditions);
            assert!(
                outcome.decided.len() <= 1,
                "seed {seed}: {} entries won one place",
                outcome.decided.len()
            );
            undecided += outcome.undecided;
            survivors += outcome.survivors;
        }
        // Chance ends contention: of ten thousand claimants at most one is left after forty rounds.
        assert!(undecided * 10_000 <= survivors, "{undecided} of {survivors}");
    }

    #[test]
    fn can_give_it_to_two_when_lists_are_older_than_the_settle_time() {
        let conditions = Conditions {
            settle: 0,
            staleness: 20,
            deaths: 0,
        };
        let double = (0..2000)
            .filter(|&seed| run(seed, 4, conditions).decided.len() > 1)
            .count();
        assert!(
            double > 0,
            "the simulation shows nothing: its lists are never stale"
        );
    }
}
