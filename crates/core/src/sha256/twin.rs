//! Two SHA-256 states fed by one message schedule, on x86-64 with the SHA instructions.
//!
//! Packing needs the digest of every file and the digest of the tar layer around it. One SHA-256
//! stream is bound by the latency of `sha256rnds2`: each waits for the one before it. The rounds of
//! a second state fit into the gaps; and because both states take the same 64-byte blocks, the
//! schedule is computed once. Measured on an AMD EPYC (Zen 4): both digests take 1.00 times the time
//! of one stream, where two streams take 2.0 times (`examples/hash_speed.rs`,
//! `docs/decisions/0002-twin-sha256.md`).
//!
//! This is the only module of the workspace that may hold `unsafe`, and it holds one call: into a
//! function compiled for instructions that [`Twin::detect`] has found on this processor. Blocks and
//! states are loaded and stored by value, so no raw pointer is involved.

#![allow(unsafe_code)]

/// Proof that this processor has the instructions the twin is compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Twin(());

#[cfg(target_arch = "x86_64")]
impl Twin {
    /// Asks the processor; the standard library remembers the answer.
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse2")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has_all.then_some(Self(()))
    }

    /// Compresses `blocks` into both states.
    pub(super) fn compress(self, a: &mut [u32; 8], b: &mut [u32; 8], blocks: &[[u8; 64]]) {
        // SAFETY: a `Twin` is only made by `detect`, after it found each of the features that
        // `compress_both` is compiled for. The function has no other precondition.
        unsafe { x86::compress_both(a, b, blocks) }
    }
}

/// No other architecture has a twin, so there is no value of this type.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy)]
pub(super) enum Twin {}

#[cfg(not(target_arch = "x86_64"))]
impl Twin {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn compress(self, _: &mut [u32; 8], _: &mut [u32; 8], _: &[[u8; 64]]) {
        match self {}
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    };

    /// The round constants (FIPS 180-4, section 4.2.2), four to a row: one row per step below.
    #[rustfmt::skip]
    const K: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// A state as `sha256rnds2` wants it: the eight working variables in two registers.
    #[derive(Clone, Copy)]
    struct State {
        abef: __m128i,
        cdgh: __m128i,
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn load_state(words: &[u32; 8]) -> State {
        let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
        State {
            abef: _mm_set_epi32(a, b, e, f),
            cdgh: _mm_set_epi32(c, d, g, h),
        }
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn store_state(State { abef, cdgh }: State) -> [u32; 8] {
        [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ]
        .map(i32::cast_unsigned)
    }

    /// The sixteen big-endian words of a block, four to a register.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn load_block(block: &[u8; 64]) -> [__m128i; 4] {
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (halves, _) = block.as_chunks::<8>();
        std::array::from_fn(|i| {
            let low = i64::from_le_bytes(halves[2 * i]);
            let high = i64::from_le_bytes(halves[2 * i + 1]);
            _mm_shuffle_epi8(_mm_set_epi64x(high, low), swap)
        })
    }

    /// The next four words of the schedule, from the sixteen before them.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
        let seven_back = _mm_alignr_epi8::<4>(w3, w2);
        _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), seven_back), w3)
    }

    /// Four rounds of both states with the same four words of schedule.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn rounds(a: &mut State, b: &mut State, words: __m128i, k: [u32; 4]) {
        let [k0, k1, k2, k3] = k.map(u32::cast_signed);
        let k = _mm_set_epi32(k3, k2, k1, k0);
        let low = _mm_add_epi32(words, k);
        a.cdgh = _mm_sha256rnds2_epu32(a.cdgh, a.abef, low);
        b.cdgh = _mm_sha256rnds2_epu32(b.cdgh, b.abef, low);
        let high = _mm_shuffle_epi32::<0x0e>(low);
        a.abef = _mm_sha256rnds2_epu32(a.abef, a.cdgh, high);
        b.abef = _mm_sha256rnds2_epu32(b.abef, b.cdgh, high);
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress_both(a: &mut [u32; 8], b: &mut [u32; 8], blocks: &[[u8; 64]]) {
        let (mut one, mut two) = (load_state(a), load_state(b));
        for block in blocks {
            let (one_before, two_before) = (one, two);
            let mut w = load_block(block);
            // Two nested loops of fixed, small size, because the compiler unrolls these whole. As one
            // loop over sixteen steps it kept the schedule in memory, and the twin cost 1.38 streams.
            for i in 0..4 {
                rounds(&mut one, &mut two, w[i], K[i]);
            }
            for row in 1..4 {
                for i in 0..4 {
                    w[i] = schedule(w[i], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
                    rounds(&mut one, &mut two, w[i], K[4 * row + i]);
                }
            }
            one.abef = _mm_add_epi32(one.abef, one_before.abef);
            one.cdgh = _mm_add_epi32(one.cdgh, one_before.cdgh);
            two.abef = _mm_add_epi32(two.abef, two_before.abef);
            two.cdgh = _mm_add_epi32(two.cdgh, two_before.cdgh);
        }
        *a = store_state(one);
        *b = store_state(two);
    }
}
