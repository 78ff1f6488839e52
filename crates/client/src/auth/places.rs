use std::time::Instant;

use super::Challenge;
use crate::{Credential, Error};

/// A credential, and until when it serves.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(crate) credential: Credential,
    /// For ever, unless this says otherwise.
    pub(crate) until: Option<Instant>,
}

impl Lent {
    pub(crate) fn serves(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl From<Credential> for Lent {
    fn from(credential: Credential) -> Self {
        Self {
            credential,
            until: None,
        }
    }
}

/// Who looks credentials up. Asked only when a registry wants some, and again when they have ended.
pub(crate) type Lookup = Box<dyn Fn() -> Result<Option<Lent>, Error> + Send + Sync>;

/// Where credentials come from.
pub(crate) enum Place {
    /// What docker and podman keep.
    Stored(Lookup),
    /// What AWS lends to who has AWS credentials.
    Aws(Lookup),
    /// Nowhere: what is public may be read without.
    Nobody,
}

/// The places, in the order in which they are tried: the next one when a registry does not take what the one before
/// gave.
pub(super) struct Places {
    all: Vec<Place>,
    at: usize,
    /// How many were tried, with success or without.
    tried: usize,
    found: Option<Option<Lent>>,
    /// Whether a registry did not take what a place gave.
    refused: bool,
    /// Why a place after the first had nothing.
    failure: Option<Error>,
}

impl Places {
    pub(super) fn new(all: Vec<Place>) -> Self {
        Self {
            all,
            at: 0,
            tried: 1,
            found: None,
            refused: false,
            failure: None,
        }
    }

    /// What the place that is on gives: from the first one that has anything.
    pub(super) fn credential(&mut self) -> Result<Option<Credential>, Error> {
        loop {
            if let Some(found) = &self.found
                && found.as_ref().is_none_or(Lent::serves)
            {
                return Ok(found.as_ref().map(|lent| lent.credential.clone()));
            }
            let found = match self.all.get(self.at) {
                Some(Place::Stored(lookup) | Place::Aws(lookup)) => lookup()?,
                Some(Place::Nobody) | None => {
                    self.found = Some(None);
                    continue;
                }
            };
            if found.is_none() && self.at + 1 < self.all.len() {
                self.at += 1;
                self.tried = self.at + 1;
                continue;
            }
            // What has ended already is asked for each time it is needed.
            if let Some(lent) = found.as_ref().filter(|lent| !lent.serves()) {
                return Ok(Some(lent.credential.clone()));
            }
            self.found = Some(found);
        }
    }

    /// Goes on to the next place that has something, after an answer with `status`. `false` when there is none.
    pub(super) fn step(&mut self, status: u16, challenge: Option<&Challenge>) -> bool {
        // Whoever is known and comes too often is asked to wait, and is not better off unknown.
        if status == 429 && !matches!(self.found, Some(None)) {
            return false;
        }
        while let Some(place) = self.all.get(self.tried) {
            let index = self.tried;
            self.tried += 1;
            let found = match place {
                // Whoever wants a password with each request gives nothing to nobody.
                Place::Nobody if !matches!(challenge, Some(Challenge::Bearer { .. })) => continue,
                Place::Nobody if matches!(self.found, Some(None)) => continue,
                Place::Nobody => None,
                Place::Stored(lookup) | Place::Aws(lookup) => match lookup() {
                    Ok(Some(lent)) => Some(lent),
                    Ok(None) => continue,
                    Err(error) => {
                        self.failure = Some(error);
                        continue;
                    }
                },
            };
            self.refused |= matches!(self.found, Some(Some(_)));
            self.at = index;
            self.found = Some(found);
            return true;
        }
        false
    }

    /// Whether the place that is on had any.
    pub(super) fn has_credentials(&self) -> bool {
        matches!(self.found, Some(Some(_)))
    }

    /// For messages: what was shown.
    pub(super) fn used(&self) -> String {
        let mut text = match (&self.found, self.all.get(self.at)) {
            (Some(Some(_)), Some(Place::Aws(_))) => "the AWS credentials do not suffice",
            (Some(Some(_)), _) => "the stored credentials do not suffice",
            (Some(None), _) if self.refused => {
                "the stored credentials were refused, and it does not answer without"
            }
            (Some(None), _) => "no credentials are stored for it",
            (None, _) => "it wants nothing that we could show",
        }
        .to_owned();
        if let Some(Error::Aws { source, .. }) = &self.failure {
            text.push_str(&format!("; {source}"));
        }
        text
    }
}
