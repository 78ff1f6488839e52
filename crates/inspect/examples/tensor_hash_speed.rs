//! What hashing each tensor costs beside the digest of the file: `cargo run --release -p modelkeep-inspect --example
//! tensor_hash_speed`.

use std::{hint::black_box, time::Instant};

use modelkeep_core::{ByteRange, sha256::Sha256};
use modelkeep_inspect::{Plan, TensorHasher};

const FILE: usize = 96 << 20;
/// As `pack` reads.
const PIECE: usize = 256 << 10;
const ROUNDS: usize = 15;

fn main() {
    let file: Vec<u8> = (0..FILE)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    // Behind a header of an odd length, as in real files.
    let tensors = |bytes: u64| -> Plan {
        let count = (FILE as u64 - 10_001) / bytes;
        let place = |n| ByteRange {
            offset: 10_001 + n * bytes,
            length: bytes,
        };
        Plan::new((0..count).map(place).collect())
    };
    let plans = [
        (4 << 10, "4 KiB"),
        (64 << 10, "64 KiB"),
        (1 << 20, "1 MiB"),
        (32 << 20, "32 MiB"),
    ];
    let plans = plans.map(|(bytes, name)| (name, tensors(bytes)));
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); plans.len() + 1];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut hasher = Sha256::new();
        file.chunks(PIECE).for_each(|piece| hasher.update(piece));
        black_box(hasher.finish());
        times[0].push(begun.elapsed().as_secs_f64());
        for (n, (_, plan)) in plans.iter().enumerate() {
            let begun = Instant::now();
            let mut hasher = TensorHasher::new(plan);
            file.chunks(PIECE).for_each(|piece| hasher.update(piece));
            black_box(hasher.finish());
            times[n + 1].push(begun.elapsed().as_secs_f64());
        }
    }
    // Whatever else the machine does only adds to a time.
    let best = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let one = best(&times[0]);
    let speed = |time: f64| FILE as f64 / time / 1e9;
    println!("SHA-256 of the file           {:.2} GB/s  1.00 H", speed(one));
    for ((name, _), times) in plans.iter().zip(&times[1..]) {
        let time = best(times);
        println!(
            "BLAKE3 of tensors of {name:>7}  {:.2} GB/s  {:.2} H",
            speed(time),
            time / one
        );
    }
}
