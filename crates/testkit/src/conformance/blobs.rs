//! Clauses of [`Source`], [`Target`](modelkeep_core::content::Target) and
//! [`Sink`](modelkeep_core::content::Sink).

use std::io::Read;

use modelkeep_core::{
    Algorithm, ByteRange, Descriptor, Hashed, Hasher,
    content::{Error, Expect, Need, Result, Source},
};

use super::BlobEnd;

const TYPE: &str = "application/octet-stream";

fn hashed(algorithm: Algorithm, bytes: &[u8]) -> Hashed {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn sha256(bytes: &[u8]) -> Hashed {
    hashed(Algorithm::Sha256, bytes)
}

fn describe(bytes: &[u8]) -> Descriptor {
    Descriptor::of(TYPE, bytes)
}

/// Bytes that differ wherever they are misplaced.
fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 ^ (n >> 12) as u8).collect()
}

fn write(end: &dyn BlobEnd, expect: Expect<'_>, pieces: &[(u64, &[u8])], hashed: &Hashed) -> Result<()> {
    let mut sink = end.begin(expect)?;
    for (offset, bytes) in pieces {
        sink.write(*offset, bytes)?;
    }
    sink.commit(hashed)
}

fn read(end: &(impl Source + ?Sized), blob: &Descriptor, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    end.open(blob, ByteRange { offset, length })?
        .read_to_end(&mut bytes)
        .map_err(Error::io("read"))?;
    Ok(bytes)
}

fn assert_absent(end: &dyn BlobEnd, blob: &Descriptor) {
    assert_eq!(end.need(blob).unwrap(), Need::From(0));
    assert!(matches!(
        read(end, blob, 0, blob.size),
        Err(Error::NotFound { .. })
    ));
}

/// What was committed is there.
pub fn what_is_committed_is_read_back(end: &dyn BlobEnd) {
    let bytes = sample(100_000);
    let blob = describe(&bytes);
    let (first, second) = bytes.split_at(70_001);
    let pieces = [(0, first), (70_001, second)];
    write(end, Expect::Known(&blob), &pieces, &sha256(&bytes)).unwrap();
    assert!(read(end, &blob, 0, blob.size).unwrap() == bytes);
}

/// A range is those bytes and no other.
pub fn any_range_is_read(end: &dyn BlobEnd) {
    let bytes = sample(10_000);
    let blob = end.put(TYPE, &bytes).unwrap();
    for (start, length) in [(0, 1), (9_999, 1), (4_095, 4_098), (3, 0), (10_000, 0)] {
        let found = read(end, &blob, start as u64, length as u64).unwrap();
        assert_eq!(found, bytes[start..start + length]);
    }
}

/// A reader gives what was asked for or fails; it does not give less.
pub fn a_range_past_the_end_is_refused(end: &dyn BlobEnd) {
    let blob = end.put(TYPE, b"0123456789").unwrap();
    for (offset, length) in [(0, 11), (10, 1), (11, 0), (u64::MAX, 2)] {
        assert!(read(end, &blob, offset, length).is_err(), "{offset} {length}");
    }
}

/// What is not there is [`Error::NotFound`].
pub fn what_was_never_written_is_not_found(end: &dyn BlobEnd) {
    assert_absent(end, &describe(b"nobody wrote this"));
}

/// The end remembers what it has.
pub fn a_committed_blob_is_needed_no_more(end: &dyn BlobEnd) {
    let blob = describe(b"abc");
    assert_eq!(end.need(&blob).unwrap(), Need::From(0));
    write(end, Expect::Known(&blob), &[(0, b"abc")], &sha256(b"abc")).unwrap();
    assert_eq!(end.need(&blob).unwrap(), Need::Nothing);
}

/// A descriptor that lies about the size is not taken for the blob.
pub fn a_blob_of_another_size_is_needed(end: &dyn BlobEnd) {
    let mut blob = end.put(TYPE, b"abc").unwrap();
    blob.size = 4;
    assert_eq!(end.need(&blob).unwrap(), Need::From(0));
}

/// Only the place of a write matters.
pub fn writes_may_come_in_any_order(end: &dyn BlobEnd) {
    let bytes = sample(9_000);
    let blob = describe(&bytes);
    let pieces = [(6_000, &bytes[6_000..]), (0, &bytes[..1]), (1, &bytes[1..6_000])];
    write(end, Expect::Known(&blob), &pieces, &sha256(&bytes)).unwrap();
    assert!(read(end, &blob, 0, blob.size).unwrap() == bytes);
}

/// No bytes are a blob too.
pub fn an_empty_blob_is_a_blob(end: &dyn BlobEnd) {
    let blob = describe(b"");
    write(end, Expect::Known(&blob), &[], &sha256(b"")).unwrap();
    assert_eq!(end.need(&blob).unwrap(), Need::Nothing);
    assert_eq!(read(end, &blob, 0, 0).unwrap(), b"");
}

/// The digest of a new blob comes with its commit.
pub fn a_blob_of_unknown_digest_is_found_by_what_was_hashed(end: &dyn BlobEnd) {
    write(end, Expect::Unknown { size: 3 }, &[(0, b"abc")], &sha256(b"abc")).unwrap();
    let blob = describe(b"abc");
    assert_eq!(end.need(&blob).unwrap(), Need::Nothing);
    assert_eq!(read(end, &blob, 0, 3).unwrap(), b"abc");
}

/// SHA-512 is a digest like SHA-256, and the blobs are two.
pub fn either_algorithm_will_do(end: &dyn BlobEnd) {
    let hashed = hashed(Algorithm::Sha512, b"abc");
    let blob = Descriptor::new(TYPE, &hashed);
    write(end, Expect::Known(&blob), &[(0, b"abc")], &hashed).unwrap();
    assert_eq!(end.fetch(&blob, 3).unwrap(), b"abc");
    assert_absent(end, &describe(b"abc"));
}

/// Half a blob is nobody's to see.
pub fn nothing_is_there_before_the_commit(end: &dyn BlobEnd) {
    let blob = describe(b"abc");
    let mut sink = end.begin(Expect::Known(&blob)).unwrap();
    sink.write(0, b"abc").unwrap();
    assert_absent(end, &blob);
    sink.commit(&sha256(b"abc")).unwrap();
    assert_eq!(end.fetch(&blob, 3).unwrap(), b"abc");
}

/// Whoever gives up need not clean up.
pub fn a_dropped_sink_leaves_nothing(end: &dyn BlobEnd) {
    let blob = describe(b"abc");
    let mut sink = end.begin(Expect::Known(&blob)).unwrap();
    sink.write(0, b"abc").unwrap();
    drop(sink);
    assert_absent(end, &blob);
}

/// Other bytes are [`Error::Damaged`], and kept under neither digest.
pub fn a_blob_that_is_not_what_was_expected_leaves_nothing(end: &dyn BlobEnd) {
    let blob = describe(b"abc");
    let error = write(end, Expect::Known(&blob), &[(0, b"abd")], &sha256(b"abd")).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_absent(end, &blob);
    assert_absent(end, &describe(b"abd"));
}

/// A missing byte is [`Error::Damaged`], whatever was hashed.
pub fn a_blob_that_is_not_whole_leaves_nothing(end: &dyn BlobEnd) {
    let blob = describe(b"abcdef");
    for pieces in [&[][..], &[(0, &b"abcde"[..])], &[(0, b"ab"), (2, b"cde")]] {
        let error = write(end, Expect::Known(&blob), pieces, &sha256(b"abcdef")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_absent(end, &blob);
    }
}

/// So is one at the beginning, or in between.
pub fn a_blob_with_a_gap_leaves_nothing(end: &dyn BlobEnd) {
    let blob = describe(b"abcdef");
    for pieces in [&[(1, &b"bcdef"[..])][..], &[(0, b"ab"), (3, b"def")]] {
        let error = write(end, Expect::Known(&blob), pieces, &sha256(b"abcdef")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_absent(end, &blob);
    }
}

/// An end that takes bytes in order says so at the first one that is not, before anything is lost.
pub fn bytes_out_of_order_are_refused_and_leave_nothing(end: &dyn BlobEnd) {
    let blob = describe(b"abcdef");
    for (first, offset) in [(&b""[..], 1), (b"ab", 3), (b"abc", 5)] {
        let mut sink = end.begin(Expect::Known(&blob)).unwrap();
        sink.write(0, first).unwrap();
        assert!(sink.write(offset, b"f").is_err(), "{offset}");
        drop(sink);
        assert_absent(end, &blob);
    }
}

/// A byte that comes twice, or past the end, is [`Error::Damaged`].
pub fn a_byte_is_not_written_twice(end: &dyn BlobEnd) {
    let blob = describe(b"abcdef");
    for pieces in [
        &[(0, &b"abcdef"[..]), (5, b"f")][..],
        &[(0, b"abcd"), (3, b"def")],
        &[(0, b"abcdefg")],
        &[(0, b"abcdef"), (6, b"g")],
        &[(u64::MAX, b"g")],
    ] {
        let error = write(end, Expect::Known(&blob), pieces, &sha256(b"abcdef")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_absent(end, &blob);
    }
}

/// A digest of other bytes than the blob has is no digest of the blob.
pub fn what_was_hashed_must_be_as_long_as_the_blob(end: &dyn BlobEnd) {
    let error = write(end, Expect::Unknown { size: 3 }, &[(0, b"abc")], &sha256(b"ab")).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_absent(end, &describe(b"ab"));
    assert_absent(end, &describe(b"abc"));
}

/// Nobody gets in the way of another who writes the same.
pub fn one_blob_may_arrive_many_times_at_once(end: &dyn BlobEnd) {
    let bytes = sample(50_000);
    let blob = describe(&bytes);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for expect in [Expect::Known(&blob), Expect::Unknown { size: 50_000 }] {
                    write(end, expect, &[(0, &bytes)], &sha256(&bytes)).unwrap();
                    assert!(read(end, &blob, 0, blob.size).unwrap() == bytes);
                }
            });
        }
    });
}

/// The short ways for small blobs.
pub fn a_small_blob_is_put_and_fetched(end: &dyn BlobEnd) {
    let blob = end.put(TYPE, b"{}").unwrap();
    assert_eq!(blob, describe(b"{}"));
    assert_eq!(end.put(TYPE, b"{}").unwrap(), blob);
    assert_eq!(end.fetch(&blob, 2).unwrap(), b"{}");
}

/// A descriptor does not make its reader take gigabytes into memory.
pub fn a_fetch_reads_no_more_than_its_limit(end: &dyn BlobEnd) {
    let blob = end.put(TYPE, b"abc").unwrap();
    assert!(matches!(end.fetch(&blob, 2), Err(Error::Malformed { .. })));
}
