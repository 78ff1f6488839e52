//! Prints how fast this processor hashes: one stream, two streams, and two that share their work.
//!
//! `cargo run --release -p modelkeep-core --example hash_speed`
//!
//! The rounds are interleaved, so that a busy machine slows every row alike; the medians and their
//! ratios are the figures to use.

use modelkeep_core::sha256::{Sha256, update_both};
use sha2::Digest;
use std::hint::black_box;
use std::time::Instant;

const BUFFER: usize = 1 << 20;
const BUFFERS_PER_ROUND: usize = 96;
const ROUNDS: usize = 15;

type Row = (&'static str, fn(&[u8]));

const ROWS: [Row; 5] = [
    ("sha2 crate, one stream", sha2_one),
    ("ours, one stream", ours_one),
    ("ours, two updates", ours_two),
    ("update_both, lengths apart", both_apart),
    ("update_both, twin", both_twin),
];

fn main() {
    let buffer: Vec<u8> = (0..BUFFER as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut seconds = ROWS.map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for ((_, hash), seconds) in ROWS.iter().zip(&mut seconds) {
            let start = Instant::now();
            hash(&buffer);
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let medians = seconds.map(|mut row| {
        row.sort_by(f64::total_cmp);
        row[ROUNDS / 2]
    });
    let bytes = (BUFFER * BUFFERS_PER_ROUND) as f64;
    println!("{ROUNDS} rounds of {BUFFERS_PER_ROUND} MiB, medians");
    for ((name, _), median) in ROWS.iter().zip(medians) {
        println!(
            "{name:28} {:6.3} GB/s   {:5.2} x one stream",
            bytes / median / 1e9,
            median / medians[1]
        );
    }
}

fn sha2_one(buffer: &[u8]) {
    let mut hasher = sha2::Sha256::new();
    for _ in 0..BUFFERS_PER_ROUND {
        hasher.update(black_box(buffer));
    }
    black_box(hasher.finalize());
}

fn ours_one(buffer: &[u8]) {
    let mut hasher = Sha256::new();
    for _ in 0..BUFFERS_PER_ROUND {
        hasher.update(black_box(buffer));
    }
    black_box(hasher.finish());
}

fn ours_two(buffer: &[u8]) {
    let [mut file, mut layer] = [Sha256::new(), after(512)];
    for _ in 0..BUFFERS_PER_ROUND {
        file.update(black_box(buffer));
        layer.update(black_box(buffer));
    }
    black_box((file.finish(), layer.finish()));
}

fn both_apart(buffer: &[u8]) {
    both(buffer, after(511));
}

fn both_twin(buffer: &[u8]) {
    both(buffer, after(512));
}

fn both(buffer: &[u8], mut layer: Sha256) {
    let mut file = Sha256::new();
    for _ in 0..BUFFERS_PER_ROUND {
        update_both(&mut file, &mut layer, black_box(buffer));
    }
    black_box((file.finish(), layer.finish()));
}

/// A hasher that has seen `length` bytes.
fn after(length: usize) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(&vec![0; length]);
    hasher
}
