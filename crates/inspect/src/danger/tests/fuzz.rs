//! Mutations of the corpus: whatever becomes of the bytes, looking at them and reading them ends, and does not
//! panic.

use super::{corpus, files, look};
use crate::Limits;

/// A generator whose numbers are the same on each machine (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = numbers.below(256) as u8,
            2 => bytes.insert(at, numbers.below(256) as u8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 if !other.is_empty() => {
                let from = numbers.below(other.len());
                let to = from + numbers.below((other.len() - from).min(64));
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let length = bytes.len().min(at + 8);
                let value = [u64::MAX, 1 << 63, 1 << 32, 0][numbers.below(4)].to_le_bytes();
                bytes[at.min(length)..length].copy_from_slice(&value[..length - at.min(length)]);
            }
        }
    }
}

/// Runs as many rounds as `MODELKEEP_FUZZ_ROUNDS` says, from the seed `MODELKEEP_FUZZ_SEED`; a few without them.
#[test]
fn no_mutation_of_a_file_makes_a_reader_panic() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let rounds: u64 = number("MODELKEEP_FUZZ_ROUNDS", 20_000);
    let mut numbers = Numbers(number("MODELKEEP_FUZZ_SEED", 1));
    let mut seeds: Vec<(String, Vec<u8>)> = corpus::all()
        .into_iter()
        .map(|case| (case.path, case.bytes))
        .collect();
    seeds.extend(files::benign());
    seeds.retain(|(_, bytes)| bytes.len() < 4096);
    for _ in 0..rounds {
        let (path, bytes) = &seeds[numbers.below(seeds.len())];
        let (_, other) = &seeds[numbers.below(seeds.len())];
        let mut bytes = bytes.clone();
        mutate(&mut bytes, other, &mut numbers);
        look(path, &bytes);
        // What they say of it is tested elsewhere.
        let _ = crate::torch::read(&bytes, &Limits::default());
        let _ = crate::pickled::read(&bytes, &Limits::default());
    }
}
