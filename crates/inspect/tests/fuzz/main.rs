//! A fuzzer that needs no tool: input N is made from N alone, so that what fails can be run again.
//!
//! Valid files are broken in places and given to their readers. `MODELKEEP_FUZZ_INPUTS` says how many (default 2,000 of
//! each format), `MODELKEEP_FUZZ_FIRST` with which number to begin. No input may panic, or take more than 64 MiB of
//! memory.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

mod seeds;

use std::{
    env,
    time::{Duration, Instant},
};

use modelkeep_inspect::{Bytes, Limits, Vocabulary, gguf, keras, numpy, onnx, safetensors};

/// Most memory that a reader may take for a file, in bytes.
const MOST_MEMORY: usize = 64 << 20;
/// Longest that a reader may take, built without optimisation and beside other work.
const LONGEST: Duration = Duration::from_secs(10);

/// The most memory that this process has had, in bytes.
fn highest() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Numbers that follow from a first one (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Breaks a file in one to eight places.
fn broken(seed: &[u8], words: &[&[u8]], numbers: &mut Numbers) -> Vec<u8> {
    let mut file = seed.to_vec();
    for _ in 0..=numbers.below(8) {
        let at = numbers.below(file.len());
        let end = (at + 1 + numbers.below(16)).min(file.len());
        match numbers.below(9) {
            0 if !file.is_empty() => file[at] = numbers.next() as u8,
            1 if !file.is_empty() => file[at] ^= 1 << numbers.below(8),
            2 => drop(file.drain(at..end)),
            3 => {
                let piece = file[at..end].to_vec();
                let to = numbers.below(file.len());
                file.splice(to..to, piece);
            }
            4 => file.truncate(at),
            5 => {
                // Numbers at the edges, where lengths are.
                let edges = [
                    0,
                    1,
                    0x7f,
                    0xff,
                    0x7fff_ffff,
                    0xffff_ffff,
                    u64::MAX >> 1,
                    u64::MAX,
                    1 << 32,
                    1 << 62,
                ];
                let edge = edges[numbers.below(edges.len())].to_le_bytes();
                let width = [1, 2, 4, 8][numbers.below(4)].min(file.len() - at);
                file[at..at + width].copy_from_slice(&edge[..width]);
            }
            6 => {
                let word = words[numbers.below(words.len())];
                file.splice(at..end.min(at + numbers.below(4)), word.iter().copied());
            }
            7 => {
                // Deep, and long.
                let word = words[numbers.below(words.len())];
                let many = word.repeat(1 + numbers.below(400));
                file.splice(at..at, many);
            }
            _ => {
                let byte = numbers.next() as u8;
                file[at..end].fill(byte);
            }
        }
    }
    file
}

/// Gives broken files to a reader.
fn fuzz(format: &str, seeds: &[Vec<u8>], words: &[&[u8]], read: &dyn Fn(&dyn Bytes)) {
    let variable = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = variable("MODELKEEP_FUZZ_FIRST").unwrap_or(0);
    let inputs = variable("MODELKEEP_FUZZ_INPUTS").unwrap_or(2_000);
    let (before, begun_all) = (highest(), Instant::now());
    for number in first..first + inputs {
        let mut numbers = Numbers::new(number);
        let seed = &seeds[numbers.below(seeds.len())];
        let file = broken(seed, words, &mut numbers);
        let begun = Instant::now();
        read(&file);
        assert!(
            begun.elapsed() < LONGEST,
            "{format} input {number} takes {:?}",
            begun.elapsed()
        );
    }
    let taken = highest().saturating_sub(before);
    assert!(
        taken < MOST_MEMORY,
        "{format}: up to input {} {taken} bytes are taken",
        first + inputs
    );
    let took = begun_all.elapsed().as_secs();
    println!(
        "{format}: {inputs} inputs from {first} on, {took} s, {} KiB",
        taken >> 10
    );
}

/// One test, because memory is that of the whole process.
#[test]
fn no_broken_file_panics_or_takes_much_memory() {
    let limits = Limits::default();
    let json: &[&[u8]] = &[
        b"{",
        b"[",
        b"}",
        b"]",
        b"\"",
        b"\\",
        b",",
        b":",
        b"\"a\":",
        b"-1",
        b"1e999",
        b"18446744073709551615",
        b"null",
        b"true",
        b"\"F32\"",
        b"\"BF16\"",
        b"\"shape\":",
        b"\"dtype\":",
        b"\"data_offsets\":[0,4]",
        b"[[",
        b"{\"a\":",
    ];
    fuzz("safetensors", &seeds::safetensors(), json, &|file| {
        let _ = safetensors::read(file, &limits);
    });
    let gguf_words: &[&[u8]] = &[
        b"\x09\0\0\0",
        b"\x08\0\0\0",
        b"GGUF",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\0\0\0\0\0\0\0",
        b"\0",
    ];
    fuzz("gguf", &seeds::gguf(), gguf_words, &|file| {
        let _ = gguf::read(file, &limits);
    });
    let onnx_words: &[&[u8]] = &[
        b"\x3a",
        b"\x2a",
        b"\x0a",
        b"\xff\xff\xff\xff\x0f",
        b"\x4a\x04",
        b"\x08\x01",
        b"\x12",
        b"\0",
    ];
    fuzz("onnx", &seeds::onnx(), onnx_words, &|file| {
        let _ = onnx::read(file, &limits);
    });
    let numpy_words: &[&[u8]] = &[
        b"'descr': ",
        b"'shape': (",
        b"[",
        b"(",
        b")",
        b",",
        b"'",
        b"False",
        b"'<f4'",
        b"3L",
    ];
    fuzz("numpy", &seeds::numpy(), numpy_words, &|file| {
        let _ = numpy::read(file, &limits);
    });
    let zip_words: &[&[u8]] = &[
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"\xff\xff\xff\xff",
        b"\0\0",
    ];
    fuzz("npz and keras", &seeds::archives(), zip_words, &|file| {
        let _ = numpy::read_archive(file, &limits);
        let _ = keras::read(file, &limits);
    });
    fuzz("tokenizer", &seeds::tokenizers(), json, &|file| {
        for path in ["tokenizer.json", "vocab.json", "vocab.txt"] {
            let _ = Vocabulary::read(path, file);
        }
    });
    let yaml: &[&[u8]] = &[
        b"- ",
        b": ",
        b"\n",
        b"  ",
        b"&a ",
        b"*a",
        b"[",
        b"{",
        b"]",
        b"}",
        b"? ",
        b"| ",
        b"> ",
        b"---\n",
        b"...\n",
        b"%YAML 1.2\n",
        b"!!str ",
        b"'",
        b"\"",
        b"<<: *a\n",
        b"# ",
        b"\t",
        b"\xef\xbb\xbf",
        b"&a [*a]",
        b"[[",
        b"- - ",
    ];
    seeds::with_survey(&limits, |read| fuzz("texts", &seeds::texts(), yaml, read));
}
