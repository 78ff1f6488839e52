//! Streaming SHA-256 (FIPS 180-4) whose state is plain data.
//!
//! The `sha2` crate compresses the blocks. This module adds what Modelkeep needs around it:
//! a state that can be written down, so that an upload goes on after a restart without reading its
//! beginning again ([`Sha256::export`], [`Sha256::import`]), and a way to feed the same bytes to two
//! hashers for little more than the price of one ([`update_both`]).
//!
//! ```
//! use modelkeep_core::sha256::Sha256;
//!
//! let mut first = Sha256::new();
//! first.update(b"a model, ");
//! let saved = first.export();
//!
//! let mut second = Sha256::import(&saved)?;
//! second.update(b"interrupted");
//!
//! first.update(b"interrupted");
//! assert_eq!(second.finish(), first.finish());
//! # Ok::<(), modelkeep_core::sha256::BadState>(())
//! ```

#[cfg(test)]
mod tests;
mod twin;

use sha2::block_api::compress256;
use std::fmt;
use thiserror::Error;
use twin::Twin;

const BLOCK: usize = 64;

/// First bytes of an exported state: name and version of the layout.
const TAG: [u8; 8] = *b"sha256\0\x01";

/// The initial hash value (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// How much [`update_both`] gives to each hasher in turn when it cannot share their work: small
/// enough to stay in the first-level cache, so that memory is still read once.
const PIECE: usize = 16 * 1024;

/// A message longer than this has no SHA-256: its length in bits must fit in 64 bits.
const MAX_LENGTH: u64 = u64::MAX / 8;

/// A SHA-256 computation under way.
///
/// Its state is plain data: cloning it forks the computation, exporting it lets another process go
/// on. Correct for messages of less than 2^61 bytes, the limit of SHA-256 itself.
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    length: u64,
    /// The bytes since the last whole block; zero beyond `length % 64`.
    tail: [u8; BLOCK],
}

impl Sha256 {
    /// Size of an exported state, in bytes.
    pub const EXPORT_LEN: usize = TAG.len() + 32 + 8 + BLOCK;

    /// Begins a computation.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: INITIAL,
            length: 0,
            tail: [0; BLOCK],
        }
    }

    /// How many bytes have been hashed so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(self.to_boundary().min(bytes.len()));
        self.fill_tail(head);
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        compress256(&mut self.state, blocks);
        self.length += blocks.as_flattened().len() as u64;
        self.fill_tail(rest);
    }

    /// Ends the computation: the digest of all bytes so far.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        let bits = self.length << 3;
        let used = self.tail_len();
        self.tail[used] = 0x80;
        if used >= BLOCK - 8 {
            compress256(&mut self.state, &[self.tail]);
            self.tail = [0; BLOCK];
        }
        self.tail[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &[self.tail]);
        big_endian(&self.state)
    }

    /// Writes the state down, for [`Sha256::import`] to go on from, on any machine.
    ///
    /// Layout, version 1, integers big-endian:
    ///
    /// | bytes | what |
    /// |---|---|
    /// | 0..8 | `sha256`, a zero byte, the version |
    /// | 8..40 | the eight words of the hash value |
    /// | 40..48 | the number of bytes hashed so far |
    /// | 48..112 | the bytes since the last whole block of 64, then zeros |
    #[must_use]
    pub fn export(&self) -> [u8; Self::EXPORT_LEN] {
        let mut out = [0; Self::EXPORT_LEN];
        out[..8].copy_from_slice(&TAG);
        out[8..40].copy_from_slice(&big_endian(&self.state));
        out[40..48].copy_from_slice(&self.length.to_be_bytes());
        out[48..].copy_from_slice(&self.tail);
        out
    }

    /// Goes on from a state that [`Sha256::export`] wrote.
    ///
    /// A damaged hash value cannot be told from a good one: it shows as a wrong digest at the end.
    ///
    /// # Errors
    ///
    /// [`BadState`] when the bytes are not such a state.
    pub fn import(bytes: &[u8]) -> Result<Self, BadState> {
        let bytes: &[u8; Self::EXPORT_LEN] = bytes
            .try_into()
            .map_err(|_| BadState::Size { found: bytes.len() })?;
        let (words, _) = bytes.as_chunks::<4>();
        if bytes[..8] != TAG {
            return Err(BadState::Tag);
        }
        let mut imported = Self::new();
        for (word, stored) in imported.state.iter_mut().zip(&words[2..10]) {
            *word = u32::from_be_bytes(*stored);
        }
        let [high, low] = [words[10], words[11]].map(u32::from_be_bytes).map(u64::from);
        imported.length = high << 32 | low;
        imported.tail.copy_from_slice(&bytes[48..]);

        let length = imported.length;
        if length > MAX_LENGTH {
            return Err(BadState::Length { length });
        }
        let unused_is_zero = imported.tail[imported.tail_len()..].iter().all(|byte| *byte == 0);
        let began_right = length >= BLOCK as u64 || imported.state == INITIAL;
        if !(unused_is_zero && began_right) {
            return Err(BadState::Contradiction { length });
        }
        Ok(imported)
    }

    fn tail_len(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Bytes that are missing to the end of the block begun; none at a boundary.
    fn to_boundary(&self) -> usize {
        (BLOCK - self.tail_len()) % BLOCK
    }

    /// Adds bytes that do not go beyond the block begun, and compresses it when it is whole.
    fn fill_tail(&mut self, bytes: &[u8]) {
        let used = self.tail_len();
        self.tail[used..used + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u64;
        if used + bytes.len() == BLOCK {
            compress256(&mut self.state, &[self.tail]);
            self.tail = [0; BLOCK];
        }
    }
}

/// Shows the length only: the tail holds bytes of somebody's model.
impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha256")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// Feeds the same bytes to two hashers: what `a.update(bytes); b.update(bytes)` does, faster.
///
/// When the two lengths agree modulo 64 and the processor has the x86 SHA instructions, both share
/// the work of preparing each block. Otherwise each takes the bytes in turn, piece by piece, so that
/// memory is read once.
pub fn update_both(a: &mut Sha256, b: &mut Sha256, bytes: &[u8]) {
    update_both_by(Twin::detect(), a, b, bytes);
}

fn update_both_by(twin: Option<Twin>, a: &mut Sha256, b: &mut Sha256, bytes: &[u8]) {
    match twin {
        Some(twin) if a.tail_len() == b.tail_len() => {
            // The blocks begun differ by what came before; only those after them coincide.
            let (head, rest) = bytes.split_at(a.to_boundary().min(bytes.len()));
            let (blocks, rest) = rest.as_chunks::<BLOCK>();
            a.fill_tail(head);
            b.fill_tail(head);
            twin.compress(&mut a.state, &mut b.state, blocks);
            a.length += blocks.as_flattened().len() as u64;
            b.length += blocks.as_flattened().len() as u64;
            a.fill_tail(rest);
            b.fill_tail(rest);
        }
        _ => {
            for piece in bytes.chunks(PIECE) {
                a.update(piece);
                b.update(piece);
            }
        }
    }
}

fn big_endian(words: &[u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    out
}

/// Bytes that are not a state [`Sha256::export`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadState {
    /// Not as long as a state is.
    #[error("saved SHA-256 state has {found} bytes instead of {}", Sha256::EXPORT_LEN)]
    Size {
        /// How many bytes were given.
        found: usize,
    },
    /// Another layout, or something else altogether.
    #[error("saved SHA-256 state does not begin with the tag of layout version 1")]
    Tag,
    /// More bytes than SHA-256 is defined for.
    #[error("saved SHA-256 state claims {length} bytes hashed, more than SHA-256 allows")]
    Length {
        /// The length the state claims, in bytes.
        length: u64,
    },
    /// Hash value or tail cannot belong to that length.
    #[error("saved SHA-256 state contradicts its length of {length} bytes")]
    Contradiction {
        /// The length the state claims, in bytes.
        length: u64,
    },
}
