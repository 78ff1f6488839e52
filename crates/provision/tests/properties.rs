//! What holds for every declaration and every state: the plan after apply is empty, and interrupted anywhere the next
//! `up` leads there all the same.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{cell::Cell, collections::BTreeMap};

use modelkeep_core::{
    Mutability, RepoName, TagFilter,
    repositories::{
        Catalog, Change, Description, Enforcement, Error, Logo, Observed, Powers, Repositories, Result,
    },
};
use modelkeep_provision::{ApplyError, Declaration, OWNER, OWNER_TAG, Wanted, adopt, apply, plan};
use modelkeep_testkit::{LogosAre, MemoryRepositories};

/// SplitMix64: the same numbers from the same seed, on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn sometimes<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    /// One of few, so that two of them are often the same.
    fn word(&mut self) -> String {
        ["a", "b", "prod", "vision team", "ü", "x/y@1"][self.below(6) as usize].to_owned()
    }

    fn words(&mut self) -> Vec<String> {
        (0..self.below(4)).map(|_| self.word()).collect()
    }

    fn filters(&mut self) -> Vec<TagFilter> {
        let all = ["latest", "dev-*", "*-rc", "a", "v*"];
        let start = self.below(5) as usize;
        let number = 1 + self.below(5) as usize;
        (0..number)
            .map(|n| all[(start + n) % 5].parse().unwrap())
            .collect()
    }

    fn mutability(&mut self) -> Mutability {
        match self.below(4) {
            0 => Mutability::Mutable,
            1 => Mutability::Immutable,
            2 => Mutability::ImmutableWithExclusion(self.filters()),
            _ => Mutability::MutableWithExclusion(self.filters()),
        }
    }

    fn catalog(&mut self, powers: &Powers) -> Catalog {
        if powers.catalog.is_none() {
            return Catalog::default();
        }
        Catalog {
            description: self.sometimes(Self::word),
            about: self.sometimes(|random| random.words().join("\n")),
            usage: self.sometimes(|_| String::new()),
            architectures: self.words().into_iter().collect(),
            operating_systems: self.words().into_iter().collect(),
            logo: self.sometimes(|random| Logo::Bytes(vec![random.below(3) as u8; 9])),
        }
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let keys = self.words();
        keys.into_iter().map(|key| (key, self.word())).collect()
    }

    fn policy(&mut self) -> Option<String> {
        let space = ["", " ", "\n"][self.below(3) as usize];
        self.sometimes(|random| format!("{{{space}\"Sid\":{space}{:?} }}", random.word()))
    }

    fn declaration(&mut self, powers: &Powers) -> Declaration {
        let mut declaration = Declaration::new(name());
        declaration.mutability = match self.mutability() {
            // As many as there may be leaves none for an alias.
            full if full.filters().len() == powers.filters => full,
            mutability => {
                declaration.aliases = self
                    .sometimes(|_| "stable".parse().unwrap())
                    .into_iter()
                    .collect();
                mutability
            }
        };
        declaration.catalog = self.catalog(powers);
        declaration.resource_tags = self.tags();
        declaration.policy = self.policy();
        declaration
    }

    /// What anybody may have made of it, with whatever client.
    fn drift(&mut self, registry: &MemoryRepositories) {
        let powers = registry.powers();
        for _ in 0..self.below(4) {
            let change = match self.below(6) {
                0 if powers.enforcement == Enforcement::Registry => Change::SetMutability(self.mutability()),
                1 => Change::PutCatalog(self.catalog(&powers)),
                2 => Change::Tag(self.tags()),
                3 => Change::Untag(self.words().into_iter().collect()),
                4 => Change::DeletePolicy,
                _ => match self.policy() {
                    Some(policy) => Change::SetPolicy(policy),
                    None => continue,
                },
            };
            registry.apply(&name(), &change).unwrap();
        }
    }

    /// A registry with nothing in it, or with a repository that is declared here, was another way, and has drifted.
    fn registry(&mut self, powers: &Powers) -> MemoryRepositories {
        let logos = [LogosAre::Digests, LogosAre::Urls, LogosAre::Hidden][self.below(3) as usize];
        let registry = MemoryRepositories::new(powers.clone(), logos);
        if self.below(4) > 0 {
            let before = self.declaration(powers).wanted(powers).unwrap();
            up(&registry, &before).unwrap();
            self.drift(&registry);
        }
        registry
    }
}

fn name() -> RepoName {
    "team/digits".parse().unwrap()
}

fn up(registry: &dyn Repositories, wanted: &Wanted) -> std::result::Result<(), ApplyError> {
    let plan = plan(wanted, registry.observe(&wanted.name).unwrap()).unwrap();
    apply(registry, &plan, &mut |_| {}).map(drop)
}

fn for_many(check: impl Fn(u64, &mut Random, &Powers)) {
    for powers in [Powers::embedded(), Powers::ecr_public(), Powers::ecr()] {
        for seed in 0..400 {
            check(seed, &mut Random(seed), &powers);
        }
    }
}

/// Fails at one of its changes, before it is made or after.
struct Interrupted<'a> {
    registry: &'a MemoryRepositories,
    left: Cell<u64>,
    made: bool,
}

impl Repositories for Interrupted<'_> {
    fn powers(&self) -> Powers {
        self.registry.powers()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        self.registry.observe(name)
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        let broken = || Error::Unreachable {
            endpoint: "memory".to_owned(),
            reason: "interrupted".to_owned(),
        };
        match self.left.get() {
            0 => {
                if self.made {
                    // A registry may take the policy in a call of its own: that one did not come.
                    let change = match change {
                        Change::Create(description) => Change::Create(Description {
                            policy: None,
                            ..description.clone()
                        }),
                        other => other.clone(),
                    };
                    self.registry.apply(name, &change)?;
                }
                Err(broken())
            }
            left => {
                self.left.set(left - 1);
                self.registry.apply(name, change)
            }
        }
    }
}

#[test]
fn the_plan_after_apply_is_empty() {
    for_many(|seed, random, powers| {
        let registry = random.registry(powers);
        let wanted = random.declaration(powers).wanted(powers).unwrap();
        let first = plan(&wanted, registry.observe(&wanted.name).unwrap()).unwrap();
        apply(&registry, &first, &mut |_| {}).unwrap_or_else(|error| panic!("{seed}: {error}\n{first}"));
        let second = plan(&wanted, registry.observe(&wanted.name).unwrap()).unwrap();
        assert!(second.is_empty(), "{seed}: {first}\n{second}");
    });
}

#[test]
fn an_empty_plan_is_made_for_what_is_wanted_only() {
    for_many(|seed, random, powers| {
        let registry = random.registry(powers);
        let wanted = random.declaration(powers).wanted(powers).unwrap();
        up(&registry, &wanted).unwrap();
        let found = registry.observe(&wanted.name).unwrap().unwrap();
        let other = random.declaration(powers).wanted(powers).unwrap();
        let plan = plan(&other, Some(found)).unwrap();
        let differs = other.description.resource_tags != wanted.description.resource_tags;
        assert!(!(differs && plan.is_empty()), "{seed}: {plan}");
    });
}

#[test]
fn interrupted_anywhere_the_next_up_leads_there() {
    for_many(|seed, random, powers| {
        let state = random.next();
        let wanted = random.declaration(powers).wanted(powers).unwrap();
        for made in [false, true] {
            for step in 0.. {
                let registry = Random(state).registry(powers);
                let interrupted = Interrupted {
                    registry: &registry,
                    left: Cell::new(step),
                    made,
                };
                if up(&interrupted, &wanted).is_ok() {
                    break;
                }
                up(&registry, &wanted).unwrap_or_else(|error| panic!("{seed} at {step}: {error}"));
                let plan = plan(&wanted, registry.observe(&wanted.name).unwrap()).unwrap();
                assert!(plan.is_empty(), "{seed} at {step}: {plan}");
            }
        }
    });
}

#[test]
fn a_plan_is_not_applied_to_a_world_that_moved() {
    for_many(|seed, random, powers| {
        let registry = random.registry(powers);
        let wanted = random.declaration(powers).wanted(powers).unwrap();
        let before = registry.observe(&wanted.name).unwrap();
        let first = plan(&wanted, before.clone()).unwrap();
        if before.is_some() {
            random.drift(&registry);
        } else if random.below(2) == 0 {
            registry
                .apply(&name(), &Change::Create(Description::new(Mutability::Mutable)))
                .unwrap();
        }
        let after = registry.observe(&wanted.name).unwrap();
        let applied = apply(&registry, &first, &mut |_| {});
        if before == after {
            applied.unwrap();
        } else {
            assert!(matches!(applied, Err(ApplyError::Moved { .. })), "{seed}");
            assert_eq!(registry.observe(&wanted.name).unwrap(), after, "{seed}");
        }
    });
}

#[test]
fn what_is_adopted_is_otherwise_what_it_was() {
    for_many(|seed, random, powers| {
        let registry = MemoryRepositories::new(powers.clone(), LogosAre::Urls);
        let declaration = random.declaration(powers);
        let description = Description {
            mutability: declaration.mutability.clone(),
            catalog: declaration.catalog.clone(),
            resource_tags: declaration.resource_tags.clone(),
            policy: declaration.policy.clone(),
        };
        registry.apply(&name(), &Change::Create(description)).unwrap();
        let found = registry.observe(&name()).unwrap().unwrap();
        let wanted = declaration.wanted(powers).unwrap();
        assert!(
            plan(&wanted, Some(found.clone())).is_err(),
            "{seed}: it is not ours"
        );
        let mut taken = found.clone();
        taken
            .description
            .resource_tags
            .insert(OWNER_TAG.to_owned(), OWNER.to_owned());
        let reached = apply(&registry, &adopt(found, powers), &mut |_| {})
            .unwrap()
            .unwrap();
        assert_eq!(reached, taken, "{seed}");
        assert!(adopt(reached, powers).is_empty(), "{seed}");
        up(&registry, &wanted).unwrap();
    });
}
