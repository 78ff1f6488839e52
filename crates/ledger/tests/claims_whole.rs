//! The whole protocol on a simulated registry: publishers that know nothing of each other, and a reader that comes after.
//!
//! More than CI runs, by hand: `MODELKEEP_SEEDS=1000000 cargo test --release -p modelkeep-ledger --test claims_whole`.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Error, Journal, Names},
    media,
};
use modelkeep_ledger::{
    Draft, History, Outcome, Publish, PublishError, Standing, Who,
    claims::{Claims, Pace},
    publish,
};
use modelkeep_testkit::{Conditions, Loose};

/// How often a publisher whose registry has not answered begins anew.
const ATTEMPTS: u32 = 3;

fn claims(registry: &Loose, settle: u64) -> Claims<Loose> {
    let waits = registry.clone();
    let pace = Pace {
        settle: Duration::from_millis(settle),
        connections: 1,
        wait: Arc::new(move |time| waits.wait(time)),
    };
    Claims::new(registry.clone(), "test/model", Mutability::Immutable, pace)
}

/// What one publisher wants.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    version: u64,
    content: u64,
}

impl Wanted {
    fn version(self) -> Tag {
        format!("{}.0", self.version).parse().unwrap()
    }

    fn manifest(self) -> (Vec<u8>, Descriptor) {
        let bytes = format!("{{\"content\":{}}}", self.content).into_bytes();
        let descriptor = Descriptor::of(media::OCI_MANIFEST, &bytes);
        (bytes, descriptor)
    }

    fn draft(self, author: usize, attempt: u32) -> Draft {
        Draft {
            version: self.version(),
            who: Who {
                time: format!("2026-11-01T00:00:{attempt:02}Z"),
                author: format!("publisher {author}"),
                seal: None,
            },
            children: Vec::new(),
            publish: Publish {
                root: Some(Digest::of(&self.content.to_le_bytes())),
                ..Publish::of(self.manifest().1)
            },
        }
    }
}

/// What a publisher was told in the end; `None` for one that died.
type Told = Option<Result<(Outcome, Standing), PublishError>>;

struct Course {
    wanted: Vec<Wanted>,
    told: Vec<Told>,
    /// What a reader finds afterwards.
    read: Result<History, Error>,
    registry: Loose,
}

fn run(seed: u64, settle: u64, conditions: Conditions) -> Course {
    let publishers = 2 + usize::try_from(seed % 4 + seed / 7 % 4).unwrap();
    let wanted: Vec<Wanted> = (0..publishers as u64)
        .map(|number| match seed / 3 % 4 {
            // All want one version, with content of their own; or half of them with the same.
            0 | 1 => Wanted {
                version: 1,
                content: number,
            },
            2 => Wanted {
                version: 1,
                content: number / 2,
            },
            _ => Wanted {
                version: 1 + number % 3,
                content: number,
            },
        })
        .collect();
    let registry = Loose::new(seed, conditions, publishers);
    for one in &wanted {
        registry.put(media::OCI_MANIFEST, &one.manifest().0);
    }
    let told = registry.run(|number, seen| {
        for attempt in 0..ATTEMPTS {
            // A new process each time: it knows nothing of the one before.
            let journal = claims(&seen, settle);
            let told = publish(&journal, wanted[number].draft(number, attempt));
            match told {
                Err(PublishError::Content(Error::Io { .. })) if seen.is_dead() => return None,
                Err(PublishError::Content(Error::Io { .. })) if attempt + 1 < ATTEMPTS => {}
                told => return Some(told),
            }
        }
        unreachable!("the last attempt returns")
    });
    registry.settle();
    let read = claims(&registry, 0).entries(1);
    Course {
        wanted,
        told,
        read: read.map(|entries| History::verify(&entries).unwrap()),
        registry,
    }
}

/// What must be whenever a reader finds nothing to complain of: each publisher was told the truth.
fn check_truth(seed: u64, course: &Course, history: &History) {
    let mut published = BTreeMap::new();
    for publication in history.publications() {
        let before = published.insert(&publication.version, publication.manifest());
        assert!(
            before.is_none(),
            "seed {seed}: {} was published twice",
            publication.version
        );
        // Tags are written by those who have read the history.
        let tag = course.registry.resolve(&publication.version).unwrap();
        assert!(
            tag.is_none_or(|tag| tag.digest == publication.manifest().digest),
            "seed {seed}: a tag says what the history does not"
        );
    }
    for (wanted, told) in course.wanted.iter().zip(&course.told) {
        let stands = history.version(&wanted.version()).map(|it| &it.manifest().digest);
        let own = &wanted.manifest().1.digest;
        match told {
            Some(Ok((_, standing))) => {
                assert_eq!(Some(&standing.manifest.digest), stands, "seed {seed}: {wanted:?}");
                assert_eq!(
                    Some(own),
                    stands,
                    "seed {seed}: {wanted:?} was told that it stands"
                );
            }
            Some(Err(PublishError::Taken { standing, .. })) => {
                assert_eq!(
                    Some(standing),
                    stands,
                    "seed {seed}: {wanted:?} was told another winner"
                );
                assert_ne!(
                    Some(own),
                    stands,
                    "seed {seed}: {wanted:?} was refused what stands"
                );
            }
            Some(Err(PublishError::Content(Error::Io { .. }))) | None => {}
            Some(Err(error)) => panic!("seed {seed}: {wanted:?} was told: {error}"),
        }
    }
}

fn seeds() -> u64 {
    std::env::var("MODELKEEP_SEEDS").map_or(20_000, |count| count.parse().unwrap())
}

/// Does `check` for every seed, on all processors.
fn for_seeds(seeds: Range<u64>, check: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    check(seed);
                }
            });
        }
    });
}

#[test]
fn one_publisher_wins_each_version_while_the_settle_time_holds() {
    let (unanswered, all) = (AtomicU64::new(0), AtomicU64::new(0));
    for_seeds(0..seeds(), |seed| {
        let conditions = Conditions {
            latency: [3, 10, 40][usize::try_from(seed % 3).unwrap()],
            staleness: [0, 8, 20][usize::try_from(seed / 5 % 3).unwrap()],
            deaths: [0, 0, 30][usize::try_from(seed / 2 % 3).unwrap()],
            losses: [0, 50][usize::try_from(seed / 11 % 2).unwrap()],
            sees_own: seed % 2 == 0,
        };
        let course = run(seed, 20, conditions);
        match &course.read {
            Ok(history) => check_truth(seed, &course, history),
            Err(error) => panic!("seed {seed}: {error}"),
        }
        let live = course.told.iter().flatten();
        all.fetch_add(live.clone().count() as u64, Ordering::Relaxed);
        let none = live
            .filter(|told| matches!(told, Err(PublishError::Content(_))))
            .count();
        unanswered.fetch_add(none as u64, Ordering::Relaxed);
    });
    // Nobody who goes on asking is kept from an end by others, dead or alive.
    let (unanswered, all) = (unanswered.into_inner(), all.into_inner());
    assert!(unanswered * 1000 < all, "{unanswered} of {all} came to no end");
}

#[test]
fn lists_that_are_older_than_the_settle_time_never_hide_a_second_winner() {
    let conflicts = AtomicU64::new(0);
    for_seeds(0..seeds() / 4, |seed| {
        let conditions = Conditions {
            latency: 5,
            staleness: 200,
            deaths: [0, 10][usize::try_from(seed / 2 % 2).unwrap()],
            losses: [0, 20][usize::try_from(seed / 4 % 2).unwrap()],
            sees_own: seed % 8 > 0,
        };
        let course = run(seed, 2, conditions);
        match &course.read {
            Ok(history) => check_truth(seed, &course, history),
            Err(Error::Conflict { evidence, .. }) => {
                assert_eq!(evidence.len(), 2, "seed {seed}");
                assert_ne!(evidence[0], evidence[1], "seed {seed}");
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    });
    let conflicts = conflicts.into_inner();
    assert!(
        conflicts > 0,
        "the simulation shows nothing: its lists are never stale"
    );
}
