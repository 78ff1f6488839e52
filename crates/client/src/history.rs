use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{self, Journal, Names, Result, Transaction},
    name::Target,
};
use serde::Deserialize;

use crate::{
    Error, Registry,
    http::{Response, Url},
    problem::describe,
};

/// What a registry answers that keeps the history of its repositories.
const MEDIA_TYPE: &str = "application/vnd.modelkeep.history.v1+json";
const ENTRY_TYPE: &str = "application/vnd.modelkeep.history.entry.v1+json";
/// Most bytes of a page of entries.
const PAGE_BYTES: u64 = 16 << 20;
/// Most bytes of a history that is read.
const HISTORY_BYTES: usize = 512 << 20;
/// Most entries of a history.
const ENTRIES: u64 = 1_000_000;
/// The code by which the registry says that an entry is not the next one.
const OVERTAKEN: &str = "HISTORY_OVERTAKEN";
/// Answers by which a registry says that it knows nothing of histories.
const UNKNOWN: [u16; 12] = [400, 401, 402, 403, 404, 405, 406, 410, 414, 421, 426, 501];

/// The history of a repository of a registry that keeps histories itself: `modelkeep serve`.
///
/// An entry is added by compare-and-set, so that nobody is locked out and nobody is overwritten; the registry judges
/// it, and makes the tags follow. What was read is kept, and read again only when somebody else was faster.
pub struct History {
    registry: Registry,
    state: Mutex<State>,
}

struct State {
    entries: Vec<Vec<u8>>,
    /// Those of them, from the first, that were known before.
    known: usize,
    told: Told,
    is_stale: bool,
}

/// What a registry tells with the entries.
#[derive(Clone, Debug, Default)]
struct Told {
    mutability: Option<Mutability>,
    author: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    height: u64,
    #[serde(flatten)]
    mutability: Option<Mutability>,
    #[serde(default)]
    author: Option<String>,
    entries: Vec<String>,
}

impl History {
    /// The history that the registry keeps for the repository; `None` where it keeps none. `known` are entries that were
    /// read and verified before, from the first on: they are not sent again if the registry still has the last of them.
    ///
    /// # Errors
    /// What keeps the registry from answering.
    pub fn open(registry: &Registry, known: Vec<Vec<u8>>) -> Result<Option<Self>> {
        let mut state = State {
            known: known.len(),
            entries: known,
            told: Told::default(),
            is_stale: true,
        };
        Ok(refresh(registry, &mut state)?.then(|| Self {
            registry: registry.clone(),
            state: Mutex::new(state),
        }))
    }

    /// Which tags of the repository may move; `None` when it is not there, and the registry makes none.
    #[must_use]
    pub fn mutability(&self) -> Option<Mutability> {
        self.state().told.mutability.clone()
    }

    /// Whom the registry wants entries to name that are not signed, if it knows who we are.
    #[must_use]
    pub fn author(&self) -> Option<String> {
        self.state().told.author.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, entry: &[u8]) -> std::result::Result<(), Refusal> {
        let url = url(&self.registry);
        let mut request = self.registry.request("POST", &url);
        request.headers.push(("Content-Type", ENTRY_TYPE.to_owned()));
        request.body = entry;
        let response = self.registry.call(&request, &[409])?;
        if response.head.status != 409 {
            response.discard();
            return Ok(());
        }
        let (host, request) = (response.host(), response.name.clone());
        let body = response.small_body(64 << 10)?;
        if has_code(&body, OVERTAKEN) {
            return Err(Refusal::Overtaken);
        }
        let problem = match describe(&String::from_utf8_lossy(&body)) {
            text if text.is_empty() => text,
            text => format!(": {text}"),
        };
        Err(Refusal::Other(Error::Status {
            host,
            request,
            status: 409,
            problem,
            retry_after: None,
        }))
    }
}

enum Refusal {
    Overtaken,
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn has_code(body: &[u8], code: &str) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        code: String,
    }
    serde_json::from_slice::<Answer>(body)
        .is_ok_and(|answer| answer.errors.iter().any(|error| error.code == code))
}

fn url(registry: &Registry) -> Url {
    registry.url("_modelkeep/history")
}

/// Reads what is new. `false` when the registry keeps no histories.
fn refresh(registry: &Registry, state: &mut State) -> Result<bool> {
    let found = read_new(registry, state);
    found.map_err(|error| error.while_doing(format!("read the history of {}", registry.repository())))
}

fn read_new(registry: &Registry, state: &mut State) -> std::result::Result<bool, Error> {
    // The last one that is known is read again, to see that it is still there.
    let from = state.entries.len().max(1);
    let Some((entries, told)) = read(registry, from)? else {
        return Ok(false);
    };
    let known = state.entries.len();
    state.told = told;
    state.is_stale = false;
    if known == 0 || entries.first() == state.entries.last() {
        state.entries.truncate(from - 1);
        state.entries.extend(entries);
        return Ok(true);
    }
    // Another history, or less of it: whoever asks is told all of what is there.
    state.known = 0;
    state.entries = match from {
        1 => entries,
        _ => read(registry, 1)?.map(|(entries, _)| entries).unwrap_or_default(),
    };
    Ok(true)
}

type Read = (Vec<Vec<u8>>, Told);

/// All entries from the height `from` on; `None` when the registry keeps no histories.
fn read(registry: &Registry, from: usize) -> std::result::Result<Option<Read>, Error> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut length = 0;
    loop {
        let next = (from + entries.len()) as u64;
        let mut url = url(registry);
        url.target.push_str(&format!("?from={next}"));
        let mut request = registry.request("GET", &url);
        request.headers.push(("Accept", MEDIA_TYPE.to_owned()));
        let response = registry.call(&request, &UNKNOWN)?;
        if response.head.status != 200 || !is_history(&response) {
            response.discard();
            return Ok(None);
        }
        let protocol = |reason: String| Error::Protocol {
            host: registry.host(),
            request: format!("GET {}", url.path()),
            reason,
        };
        let body = response.small_body(PAGE_BYTES)?;
        let page: Page = serde_json::from_slice(&body)
            .map_err(|error| protocol(format!("it is no page of a history: {error}")))?;
        if page.height > ENTRIES || page.entries.iter().any(String::is_empty) {
            return Err(protocol("that is no history".to_owned()));
        }
        let is_empty = page.entries.is_empty();
        length += page.entries.iter().map(String::len).sum::<usize>();
        entries.extend(page.entries.into_iter().map(String::into_bytes));
        if length > HISTORY_BYTES {
            return Err(protocol(format!("it has more than {HISTORY_BYTES} bytes")));
        }
        if (from + entries.len()) as u64 > page.height {
            let told = Told {
                mutability: page.mutability,
                author: page.author,
            };
            return Ok(Some((entries, told)));
        }
        if is_empty {
            return Err(protocol("it leaves entries out that it says it has".to_owned()));
        }
    }
}

fn is_history(response: &Response) -> bool {
    let media_type = response.head.get("content-type").unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim() == MEDIA_TYPE
}

impl Journal for History {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let mut state = self.state();
        if state.is_stale && !refresh(&self.registry, &mut state)? {
            return Err(self.gone());
        }
        let from = usize::try_from(from.max(1)).unwrap_or(usize::MAX);
        Ok(state.entries.get(from - 1..).unwrap_or_default().to_vec())
    }

    fn verified(&self) -> u64 {
        self.state().known as u64
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let mutability = self.mutability().unwrap_or(Mutability::Immutable);
        Ok(Box::new(Change {
            history: self,
            mutability,
        }))
    }
}

impl History {
    fn gone(&self) -> content::Error {
        content::Error::NotFound {
            what: "the history".to_owned(),
            place: self.registry.repository(),
        }
    }
}

/// What happens between reading a history and adding to it. Nobody is kept out meanwhile.
struct Change<'a> {
    history: &'a History,
    mutability: Mutability,
}

/// The registry does it, when it takes the entry.
const DONE: Result<()> = Ok(());

impl Transaction for Change<'_> {
    fn mutability(&self) -> &Mutability {
        &self.mutability
    }

    fn keeps_tags(&self) -> bool {
        true
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        self.history.registry.look_up(&Target::Digest(digest.clone()))
    }

    fn admit(&mut self, _: &Descriptor) -> Result<()> {
        DONE
    }

    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()> {
        let mut state = self.history.state();
        let doing = || format!("add to the history of {}", self.history.registry.repository());
        if height != state.entries.len() as u64 + 1 {
            return Err(content::Error::io(doing())(io::ErrorKind::InvalidInput.into()));
        }
        match self.history.post(entry) {
            Ok(()) => {
                state.entries.push(entry.to_vec());
                Ok(())
            }
            Err(refusal) => {
                state.is_stale = true;
                Err(match refusal {
                    Refusal::Overtaken => content::Error::Overtaken {
                        what: format!("the history of {}", self.history.registry.repository()),
                    },
                    Refusal::Other(error) => error.while_doing(doing()),
                })
            }
        }
    }

    fn set_tag(&mut self, _: &Tag, _: &Descriptor) -> Result<()> {
        DONE
    }

    fn remove_tag(&mut self, _: &Tag) -> Result<()> {
        DONE
    }

    fn manifests(&self) -> Result<Vec<Descriptor>> {
        Err(unsupported("list the manifests of a repository"))
    }

    fn listed_by(&self, _: &Digest) -> Result<Option<Digest>> {
        Err(unsupported("find the indexes that list a manifest"))
    }

    fn withdraw(&mut self, _: &Digest) -> Result<()> {
        Err(unsupported("withdraw a manifest"))
    }
}

/// What no registry does for its clients.
fn unsupported(doing: &str) -> content::Error {
    content::Error::io(doing)(io::ErrorKind::Unsupported.into())
}

impl Names for Change<'_> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.history.registry.resolve(tag)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.history.registry.tags()
    }
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.history.entries(from)
    }

    fn verified(&self) -> u64 {
        self.history.verified()
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let nested = io::Error::from(io::ErrorKind::Deadlock);
        Err(content::Error::io(
            "begin a change of a repository within another",
        )(nested))
    }
}
