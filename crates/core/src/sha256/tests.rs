use super::*;
use sha2::Digest;

/// Bytes that look random and are the same in every run (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn after(bytes: &[u8]) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher
}

fn reference(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn published_vectors_come_out() {
    let vectors: [(&[u8], &str); 4] = [
        (
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            &[b'a'; 1_000_000],
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    for (message, expected) in vectors {
        assert_eq!(hex(after(message).finish()), expected, "{} bytes", message.len());
    }
}

#[test]
fn a_message_of_any_length_has_the_digest_the_sha2_crate_gives() {
    let bytes = Noise(1).bytes(400);
    for length in 0..=bytes.len() {
        let hasher = after(&bytes[..length]);
        assert_eq!(hasher.length(), length as u64);
        assert_eq!(hasher.finish(), reference(&bytes[..length]), "{length} bytes");
    }
}

#[test]
fn the_digest_does_not_depend_on_how_the_message_is_cut() {
    let mut noise = Noise(2);
    for round in 0..300 {
        let length = noise.below(5000);
        let bytes = noise.bytes(length);
        let largest = 1 + noise.below(400);
        let mut hasher = Sha256::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(noise.below(largest + 1).min(rest.len()));
            hasher.update(piece);
            rest = after;
        }
        assert_eq!(
            hasher.finish(),
            reference(&bytes),
            "round {round}: {length} bytes"
        );
    }
}

#[test]
fn an_exported_state_goes_on_from_every_offset() {
    let bytes = Noise(3).bytes(300);
    for offset in 0..=200 {
        let saved = after(&bytes[..offset]).export();
        let mut resumed = Sha256::import(&saved).unwrap();
        assert_eq!(resumed.length(), offset as u64);
        assert_eq!(resumed.export(), saved);
        resumed.update(&bytes[offset..]);
        assert_eq!(resumed.finish(), reference(&bytes), "offset {offset}");
    }
}

#[test]
fn the_exported_layout_is_the_documented_one() {
    let saved = after(b"abc").export();
    let mut expected = b"sha256\0\x01".to_vec();
    for word in INITIAL {
        expected.extend(word.to_be_bytes());
    }
    expected.extend(3_u64.to_be_bytes());
    expected.extend(b"abc");
    expected.resize(112, 0);
    assert_eq!(saved[..], expected);
}

#[test]
fn a_state_of_the_wrong_size_is_refused() {
    let saved = after(b"abc").export();
    let mut longer = saved.to_vec();
    longer.push(0);
    for bytes in [&[], &saved[..111], &longer] {
        assert_eq!(
            Sha256::import(bytes).err(),
            Some(BadState::Size { found: bytes.len() })
        );
    }
}

#[test]
fn a_state_of_another_layout_is_refused() {
    for position in 0..8 {
        let mut saved = after(b"abc").export();
        saved[position] ^= 1;
        assert_eq!(
            Sha256::import(&saved).err(),
            Some(BadState::Tag),
            "byte {position}"
        );
    }
}

#[test]
fn a_state_longer_than_sha256_allows_is_refused() {
    let mut saved = after(&[7; 64]).export();
    saved[40..48].copy_from_slice(&(1_u64 << 61).to_be_bytes());
    assert_eq!(
        Sha256::import(&saved).err(),
        Some(BadState::Length { length: 1 << 61 })
    );
}

#[test]
fn a_state_whose_tail_outgrows_its_length_is_refused() {
    for length in [0, 1, 63, 64, 100, 127] {
        for position in length % 64..64 {
            let mut saved = after(&vec![7; length]).export();
            saved[48 + position] = 1;
            let refused = Some(BadState::Contradiction {
                length: length as u64,
            });
            assert_eq!(
                Sha256::import(&saved).err(),
                refused,
                "{length} bytes, tail {position}"
            );
        }
    }
}

#[test]
fn a_hash_value_that_moved_before_the_first_block_is_refused() {
    let mut saved = after(&[7; 63]).export();
    saved[8] ^= 1;
    assert_eq!(
        Sha256::import(&saved).err(),
        Some(BadState::Contradiction { length: 63 })
    );
}

#[test]
fn the_longest_state_is_taken_and_finishes() {
    let mut saved = after(&[7; 63]).export();
    saved[40..48].copy_from_slice(&((1_u64 << 61) - 1).to_be_bytes());
    saved[48 + 63] = 0;
    let hasher = Sha256::import(&saved).unwrap();
    assert_eq!(hasher.length(), (1 << 61) - 1);
    assert_ne!(hasher.finish(), after(&[7; 63]).finish());
}

/// `update_both` with the twin, where the processor has one, and without: each against the `sha2`
/// crate, for hashers that have seen `before` already.
fn assert_both(before: [&[u8]; 2], bytes: &[u8]) {
    for twin in [None, Twin::detect()] {
        let [mut a, mut b] = before.map(after);
        update_both_by(twin, &mut a, &mut b, bytes);
        for (hasher, before) in [a, b].into_iter().zip(before) {
            let whole = [before, bytes].concat();
            assert_eq!(hasher.length(), whole.len() as u64);
            assert_eq!(
                hasher.finish(),
                reference(&whole),
                "{} bytes after {}, twin: {}",
                bytes.len(),
                before.len(),
                twin.is_some()
            );
        }
    }
}

#[test]
fn feeding_two_hashers_equals_feeding_each_at_every_alignment() {
    let mut noise = Noise(4);
    let [first, second, bytes] = [200, 200, 600].map(|length| noise.bytes(length));
    for offset in 0..64 {
        for apart in [0, 1, 31, 63, 64, 65, 128] {
            for length in [0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 191, 192, 193, 600] {
                assert_both([&first[..offset], &second[..offset + apart]], &bytes[..length]);
            }
        }
    }
}

#[test]
fn feeding_two_hashers_equals_feeding_each_for_long_messages() {
    let mut noise = Noise(5);
    let [first, second] = [100, 4200].map(|length| noise.bytes(length));
    let bytes = noise.bytes(3 * PIECE + 100);
    for length in [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, bytes.len()] {
        for before in [[0, 4096], [0, 512], [0, 1], [65, 4097], [40, 4200]] {
            assert_both([&first[..before[0]], &second[..before[1]]], &bytes[..length]);
        }
    }
}

#[test]
fn two_hashers_fed_together_go_on_together() {
    let mut noise = Noise(6);
    let bytes = noise.bytes(20_000);
    let header = noise.bytes(4096);
    let (mut file, mut layer) = (Sha256::new(), after(&header));
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(noise.below(700).min(rest.len()));
        update_both(&mut file, &mut layer, piece);
        rest = after;
    }
    assert_eq!(file.finish(), reference(&bytes));
    assert_eq!(layer.finish(), reference(&[header, bytes].concat()));
}
