use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{Error, Manifests, Names, Result},
    name::Target,
};

/// A registry in memory that knows manifests and tags and nothing else, and keeps no promises: answers come late or not
/// at all, writes take effect after their writer is gone, lists are old. Its time is virtual, and one seed gives one course of
/// events.
#[derive(Clone, Debug)]
pub struct Loose {
    inner: Arc<Inner>,
    /// Which client it is seen through; `None` sees everything at once.
    client: Option<usize>,
}

/// How bad it is. Times are in milliseconds of its own.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// A request takes so long at most until it has its effect, and its answer as long again.
    pub latency: u64,
    /// A list may lack writes that were answered less than this ago.
    pub staleness: u64,
    /// Of a thousand requests, so many are the last one of their client.
    pub deaths: u64,
    /// Of a thousand writes, so many get no answer. The client sends them again, and now and then gives up.
    pub losses: u64,
    /// Whether a client always sees in a list what it has written itself.
    pub sees_own: bool,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// One for each client.
    wakers: Vec<Condvar>,
    conditions: Conditions,
}

#[derive(Debug)]
struct State {
    random: u64,
    manifests: BTreeMap<Digest, (String, Vec<u8>)>,
    tags: BTreeMap<Tag, Tagged>,
    /// Writes whose writer does not wait for them: time, order, and what is written.
    late: BTreeMap<(u64, u64), (Tag, Digest)>,
    clients: Vec<Client>,
    turn: Option<usize>,
    order: u64,
}

#[derive(Debug)]
struct Tagged {
    digest: Digest,
    /// When the tag came into being, and when anybody was first told so.
    effect: u64,
    answered: u64,
    /// The clients that were told so.
    writers: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Client {
    now: u64,
    /// When it acts next; `None` while it runs, and when it has ended.
    waits: Option<u64>,
    has_ended: bool,
    is_dead: bool,
}

impl State {
    /// SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn put(&mut self, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let kept = (media_type.to_owned(), bytes.to_vec());
        self.manifests.entry(digest.clone()).or_insert(kept);
        digest
    }

    fn point(&mut self, tag: Tag, digest: Digest, effect: u64, answered: u64, writer: Option<usize>) {
        let tagged = self.tags.entry(tag).or_insert_with(|| Tagged {
            digest: digest.clone(),
            effect,
            answered,
            writers: BTreeSet::new(),
        });
        tagged.digest = digest;
        tagged.answered = tagged.answered.min(answered);
        tagged.writers.extend(writer);
    }

    /// Lets everything have its effect that has it by `now`.
    fn catch_up(&mut self, now: u64) {
        while let Some(first) = self.late.first_entry().filter(|first| first.key().0 <= now) {
            let ((effect, _), (tag, digest)) = first.remove_entry();
            self.point(tag, digest, effect, u64::MAX, None);
        }
    }

    fn write_late(&mut self, at: u64, tag: &Tag, digest: &Digest) {
        self.order += 1;
        self.late.insert((at, self.order), (tag.clone(), digest.clone()));
    }

    fn descriptor(&self, digest: &Digest) -> Option<Descriptor> {
        let (media_type, bytes) = self.manifests.get(digest)?;
        Some(Descriptor::plain(media_type, digest.clone(), bytes.len() as u64))
    }

    fn named(&self, name: &Target) -> Option<Descriptor> {
        match name {
            Target::Digest(digest) => self.descriptor(digest),
            Target::Tag(tag) => self.descriptor(&self.tags.get(tag)?.digest),
        }
    }
}

fn io_error(what: &str) -> Error {
    Error::io("speak to the registry")(io::Error::other(what.to_owned()))
}

impl Loose {
    /// A registry for so many clients.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions, clients: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    random: seed,
                    manifests: BTreeMap::new(),
                    tags: BTreeMap::new(),
                    late: BTreeMap::new(),
                    clients: (0..clients).map(|_| Client::default()).collect(),
                    turn: None,
                    order: 0,
                }),
                wakers: (0..clients).map(|_| Condvar::new()).collect(),
                conditions,
            }),
            client: None,
        }
    }

    /// A registry without fault, for tests of what somebody does to it.
    #[must_use]
    pub fn calm() -> Self {
        let calm = Conditions {
            latency: 0,
            staleness: 0,
            deaths: 0,
            losses: 0,
            sees_own: true,
        };
        Self::new(0, calm, 0)
    }

    /// Stores a manifest by its digest.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        self.lock().put(media_type, bytes);
        Descriptor::of(media_type, bytes)
    }

    /// Takes a tag away.
    pub fn remove(&self, tag: &Tag) {
        self.lock().tags.remove(tag);
    }

    /// Lets every client do its work at the same time, each seeing the registry through its own eyes, until the last one
    /// has ended.
    pub fn run<T: Send>(&self, work: impl Fn(usize, Loose) -> T + Sync) -> Vec<T> {
        let clients = self.inner.wakers.len();
        for number in 0..clients {
            let mut state = self.lock();
            let starts = state.below(self.inner.conditions.latency + 2);
            state.clients[number].now = starts;
        }
        thread::scope(|scope| {
            let running: Vec<_> = (0..clients)
                .map(|number| {
                    let seen = Self {
                        inner: Arc::clone(&self.inner),
                        client: Some(number),
                    };
                    let work = &work;
                    scope.spawn(move || {
                        let ending = Ending(&seen.inner, number);
                        let now = seen.lock().clients[number].now;
                        drop(seen.turn(now));
                        let result = work(number, seen.clone());
                        drop(ending);
                        result
                    })
                })
                .collect();
            let results = running.into_iter().map(|thread| thread.join());
            results
                .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// Lets everything have its effect that is still on its way.
    pub fn settle(&self) {
        self.lock().catch_up(u64::MAX);
    }

    /// Lets time pass for this client.
    pub fn wait(&self, time: Duration) {
        if let Some(number) = self.client {
            let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.lock().clients[number].now += time;
        }
    }

    /// Whether this client has died: it gets no more answers.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.client
            .is_some_and(|number| self.lock().clients[number].is_dead)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back when it is this client's turn to act at `at`.
    fn turn(&self, at: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let Some(number) = self.client else {
            return state;
        };
        state.clients[number].waits = Some(at);
        self.inner.hand_on(&mut state);
        while state.turn != Some(number) {
            let woken = self.inner.wakers[number].wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.clients[number].waits = None;
        state.catch_up(at);
        state
    }

    /// The time at which a request of this client has its effect, and that at which it is answered; and whether it was
    /// its last.
    fn request(&self) -> Result<(u64, u64, bool)> {
        let Some(number) = self.client else {
            return Ok((u64::MAX, u64::MAX, false));
        };
        let mut state = self.lock();
        if state.clients[number].is_dead {
            return Err(io_error("its client is dead"));
        }
        let latency = self.inner.conditions.latency;
        let effect = state.clients[number].now + state.below(latency + 1);
        let answer = effect + state.below(latency + 1);
        let dies = state.below(1000) < self.inner.conditions.deaths;
        state.clients[number].is_dead = dies;
        Ok((effect, answer, dies))
    }

    /// A request that changes nothing.
    fn ask<T>(&self, answer: impl FnOnce(&mut State, u64) -> T) -> Result<T> {
        let (effect, answered, dies) = self.request()?;
        if dies {
            return Err(io_error("its client died"));
        }
        let mut state = self.turn(effect);
        let answer = answer(&mut state, effect);
        self.answered(&mut state, answered);
        Ok(answer)
    }

    fn answered(&self, state: &mut State, at: u64) {
        if let Some(number) = self.client {
            state.clients[number].now = at;
        }
    }

    fn is_listed(
        &self,
        state: &mut State,
        tagged: (u64, u64, bool),
        snapshot: Option<u64>,
        now: u64,
    ) -> bool {
        let (effect, answered, is_own) = tagged;
        let conditions = &self.inner.conditions;
        if self.client.is_none() || answered.saturating_add(conditions.staleness) <= now {
            return true;
        }
        if is_own && conditions.sees_own {
            return true;
        }
        match snapshot {
            Some(snapshot) => effect <= snapshot,
            None => state.below(2) == 0,
        }
    }
}

/// The end of a client, however it comes.
struct Ending<'a>(&'a Inner, usize);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clients[self.1].has_ended = true;
        state.clients[self.1].waits = None;
        self.0.hand_on(&mut state);
    }
}

impl Inner {
    /// Gives the turn to whoever acts next, once nobody runs.
    fn hand_on(&self, state: &mut State) {
        let mut running = state.clients.iter().filter(|client| !client.has_ended);
        if running.any(|client| client.waits.is_none()) {
            return;
        }
        let clients = state.clients.iter().enumerate();
        let next = clients
            .filter_map(|(number, client)| Some((client.waits?, number)))
            .min();
        state.turn = next.map(|(_, number)| number);
        if let Some((_, number)) = next {
            self.wakers[number].notify_one();
        }
    }
}

impl Names for Loose {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.find(&Target::Tag(tag.clone()))
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.ask(|state, now| {
            let staleness = self.inner.conditions.staleness;
            // Some lists are as of one moment, others lack what they lack.
            let snapshot = (state.below(2) == 0).then(|| now.saturating_sub(state.below(staleness + 1)));
            let tags: Vec<(Tag, (u64, u64, bool))> = state
                .tags
                .iter()
                .map(|(tag, tagged)| {
                    let is_own = self.client.is_some_and(|client| tagged.writers.contains(&client));
                    (tag.clone(), (tagged.effect, tagged.answered, is_own))
                })
                .collect();
            let listed = tags
                .into_iter()
                .filter(|(_, tagged)| self.is_listed(state, *tagged, snapshot, now));
            listed.map(|(tag, _)| tag).collect()
        })
    }
}

impl Manifests for Loose {
    fn read(&self, name: &Target, limit: u64) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let found = self.ask(|state, now| {
            // What nobody has been told of need not be readable yet.
            let is_young = match name {
                Target::Tag(tag) => state.tags.get(tag).is_some_and(|tagged| tagged.answered > now),
                Target::Digest(_) => false,
            };
            if is_young && self.client.is_some() && state.below(4) == 0 {
                return None;
            }
            let found = state.named(name)?;
            let bytes = state.manifests.get(&found.digest)?.1.clone();
            Some((found, bytes))
        })?;
        match found {
            Some((found, _)) if found.size > limit => Err(Error::Malformed {
                what: found.digest.to_string(),
                reason: format!("it has more than {limit} bytes"),
            }),
            found => Ok(found),
        }
    }

    fn find(&self, name: &Target) -> Result<Option<Descriptor>> {
        self.ask(|state, _| state.named(name))
    }

    fn write(&self, tag: &Tag, media_type: &str, bytes: &[u8]) -> Result<()> {
        let latency = self.inner.conditions.latency;
        loop {
            let (effect, answer, dies) = self.request()?;
            let mut state = self.lock();
            let digest = state.put(media_type, bytes);
            let is_lost = self.client.is_some() && state.below(1000) < self.inner.conditions.losses;
            if dies || is_lost {
                // It may come into force long after, or never.
                let late = effect + state.below(20 * latency + 1);
                if state.below(4) > 0 {
                    state.write_late(late, tag, &digest);
                }
                let gives_up = state.below(8) == 0;
                self.answered(&mut state, answer + latency);
                match (dies, gives_up) {
                    (false, false) => continue,
                    _ => return Err(io_error("no answer came")),
                }
            }
            drop(state);
            let mut state = self.turn(effect);
            state.point(tag.clone(), digest, effect, answer, self.client);
            self.answered(&mut state, answer);
            return Ok(());
        }
    }
}
