//! The body of a call: hashed as it comes, because the signature covers it, and looked at when somebody is known to
//! have signed it. What is not small waits on the disk, so that strangers take no memory.

use std::{
    io::{BufReader, Read},
    sync::atomic::Ordering::Relaxed,
};

use modelkeep_core::Digest;
use modelkeep_store::Spool;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::{
    gate::Turn,
    pushed::{PATIENCE, turn},
    registry::{Exchange, Registry},
    reply::Fault,
};

/// A longer body goes to the disk.
const SMALL_BYTES: u64 = 64 << 10;
const BUFFER_BYTES: usize = 64 << 10;

/// The body of a call, whole.
pub(super) struct Payload<'r> {
    kept: Kept,
    pub(super) digest: Digest,
    /// As long as it is on the disk.
    _place: Option<Turn<'r, ()>>,
}

enum Kept {
    Memory(Vec<u8>),
    Disk(Spool),
}

impl<'r> Payload<'r> {
    /// Takes the body, of at most `most` bytes.
    pub(super) fn receive(exchange: &mut Exchange<'r, '_>, most: u64) -> Result<Self, ApiError> {
        let registry = exchange.registry;
        let announced = exchange.request.body.remaining();
        exchange.request.body.limit(most);
        let fault = |error| ApiError::from(Fault::body("BODY_INVALID", &error));
        if announced.is_some_and(|length| length <= SMALL_BYTES) {
            let bytes = exchange.request.body.read_all(most).map_err(fault)?;
            registry
                .metrics
                .received_bytes
                .fetch_add(bytes.len() as u64, Relaxed);
            return Ok(Self {
                digest: Digest::of(&bytes),
                kept: Kept::Memory(bytes),
                _place: None,
            });
        }
        // Not among the uploads: who holds a place here may be a stranger who knows the id of a key.
        let place = registry.call_bodies.enter(PATIENCE);
        let place = place.ok_or_else(|| Fault::busy("too many large calls at once, try later"))?;
        registry.check_room(announced.unwrap_or(most).min(most))?;
        let mut spool = registry.store.spool()?;
        let mut hasher = modelkeep_core::Hasher::new(modelkeep_core::Algorithm::Sha256);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = exchange.request.body.read(&mut buffer).map_err(fault)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            spool.write(&buffer[..read])?;
            registry.metrics.received_bytes.fetch_add(read as u64, Relaxed);
        }
        Ok(Self {
            digest: hasher.finish().digest().clone(),
            kept: Kept::Disk(spool),
            _place: Some(place),
        })
    }

    /// What it says, in the shape of an operation's input.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        registry: &'r Registry,
    ) -> Result<Parsed<'r, T>, ApiError> {
        let (input, turn) = match &self.kept {
            Kept::Memory(bytes) => (serde_json::from_slice(bytes), None),
            Kept::Disk(_) => {
                let turn = turn(&registry.large_call)?;
                (serde_json::from_reader(self.reader()?), Some(turn))
            }
        };
        let input = input.map_err(|error| malformed(&error))?;
        Ok(Parsed { input, _turn: turn })
    }

    /// Its bytes from the first one on.
    pub(super) fn reader(&self) -> Result<Box<dyn Read + '_>, ApiError> {
        Ok(match &self.kept {
            Kept::Memory(bytes) => Box::new(bytes.as_slice()),
            Kept::Disk(spool) => Box::new(BufReader::with_capacity(BUFFER_BYTES, spool.reader()?)),
        })
    }
}

/// An operation's input, and its turn among those that are large.
pub(super) struct Parsed<'r, T> {
    pub(super) input: T,
    _turn: Option<Turn<'r, ()>>,
}

/// A body that is not JSON of the operation's shape.
pub(super) fn malformed(error: &serde_json::Error) -> ApiError {
    let reason: String = error.to_string().chars().take(200).collect();
    ApiError::new("SerializationException", reason)
}
