use modelkeep_core::{Descriptor, media};

use super::*;
use crate::{
    foreign::Holds,
    testing::{Foreign, Memory, Numbers, Raw, gzip, pax, raw_tar, regular, zstd},
};

fn part(coding: Coding, bytes: &[u8], diff_id: Option<Digest>) -> Part {
    Part {
        layer: Descriptor::of("application/octet-stream", bytes),
        diff_id,
        holds: Holds::Archive(coding),
    }
}

/// What a layer expands to, and whether that was believed.
fn expand(coding: Coding, bytes: &[u8], diff_id: Option<Digest>) -> Result<(Vec<u8>, Digest), LayerError> {
    let mut memory = Memory::default();
    memory.add(bytes.to_vec());
    let part = part(coding, bytes, diff_id);
    let mut expanded = Expanded::open(&memory, &part, &|_| {})?;
    let mut out = Vec::new();
    expanded.read_to_end(&mut out)?;
    Ok((out, expanded.finish()?))
}

#[test]
fn a_layer_expands_to_what_was_packed_in_whatever_frames() {
    let text: Vec<u8> = (0..400_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let digest = Digest::of(&text);
    let (first, second) = text.split_at(123_456);
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], &b"abc"[..]].concat();
    for (coding, packed) in [
        (Coding::Plain, text.clone()),
        (Coding::Gzip, gzip(&text)),
        (Coding::Gzip, [gzip(first), gzip(second)].concat()),
        (Coding::Zstd, zstd(&text)),
        (
            Coding::Zstd,
            [zstd(first), skipped.clone(), zstd(b""), zstd(second), skipped].concat(),
        ),
    ] {
        for diff_id in [None, Some(digest.clone())] {
            let (out, found) = expand(coding, &packed, diff_id).unwrap();
            assert!(out == text, "{coding:?}");
            assert_eq!(found, digest);
        }
    }
}

#[test]
fn what_is_not_whole_or_not_what_it_should_be_is_refused() {
    let text = b"weights ".repeat(10_000);
    let (gz, zst) = (gzip(&text), zstd(&text));
    for (coding, packed) in [(Coding::Gzip, &gz), (Coding::Zstd, &zst)] {
        // The digest is that of what there is: only what it holds is wrong.
        for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
            let error = expand(coding, &packed[..cut], None).unwrap_err();
            assert!(
                matches!(error, LayerError::Read(_)),
                "{coding:?} {cut}: {error:?}"
            );
        }
        let trailing = [packed.as_slice(), b"trailing"].concat();
        assert!(
            matches!(expand(coding, &trailing, None), Err(LayerError::Read(_))),
            "{coding:?}"
        );
        assert!(matches!(
            expand(coding, b"<html>not found", None),
            Err(LayerError::Read(_))
        ));
        let other = Digest::of(b"other");
        let error = expand(coding, packed, Some(other.clone())).unwrap_err();
        assert!(matches!(error, LayerError::DiffId { expected, .. } if expected == other));
    }
    let mut memory = Memory::default();
    let part = part(Coding::Gzip, &gz, Some(Digest::of(&text)));
    memory
        .blobs
        .insert(part.layer.digest.clone(), gzip(&[&text[..], b"!"].concat()));
    let error = Expanded::open(&memory, &part, &|_| {})
        .unwrap()
        .finish()
        .unwrap_err();
    assert!(matches!(
        error,
        LayerError::Length { .. } | LayerError::Read(_) | LayerError::Damaged { .. }
    ));
    // As long as it should be, and another one.
    let mut changed = gz.clone();
    changed[4] ^= 1; // a time, which nobody reads
    memory.blobs.insert(part.layer.digest.clone(), changed);
    let error = Expanded::open(&memory, &part, &|_| {})
        .unwrap()
        .finish()
        .unwrap_err();
    assert!(matches!(error, LayerError::Damaged { .. }), "{error:?}");
    memory.blobs.insert(part.layer.digest.clone(), text.clone());
    let mut plain = part.clone();
    plain.holds = Holds::Archive(Coding::Plain);
    plain.layer.size = text.len() as u64 + 1;
    let error = Expanded::open(&memory, &plain, &|_| {})
        .unwrap()
        .finish()
        .unwrap_err();
    assert!(matches!(error, LayerError::Length { .. }), "{error:?}");
}

#[test]
fn what_expands_to_too_much_is_refused_before_it_does() {
    for (coding, packed) in [
        (Coding::Gzip, gzip(&[0; 1 << 20])),
        (Coding::Zstd, zstd(&[0; 1 << 20])),
    ] {
        let mut memory = Memory::default();
        memory.add(packed.clone());
        let part = part(coding, &packed, None);
        let mut expanded = Expanded::open(&memory, &part, &|_| {}).unwrap();
        assert_eq!(expanded.most, UNSUSPECTED);
        expanded.most = 500_000;
        let mut out = Vec::new();
        let error = expanded.read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("fill a disk"), "{error}");
        assert!(out.len() <= 500_000);
    }
    // A frame that wants a window of 64 MiB, and one that wants the most there may be.
    let window = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0];
    let error = expand(Coding::Zstd, &window(26), None).unwrap_err();
    let LayerError::Read(error) = error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().to_lowercase().contains("window"), "{error}");
    assert_eq!(expand(Coding::Zstd, &window(25), None).unwrap().0, b"");
}

#[test]
fn files_of_plain_archives_are_listed_without_their_bytes() {
    let weights = vec![7; 3 << 20];
    let first = raw_tar(&[
        regular("models/a", b"a"),
        regular("models/weights", &weights),
        regular("etc/x", b"x"),
    ]);
    let second = raw_tar(&[regular("models/a", b"later"), regular("models/sub/b", b"b")]);
    let mut image = Foreign::image(&[first.clone(), second.clone()]);
    image.manifest.layers.clear();
    for layer in [first, second] {
        image.layer(media::OCI_LAYER, layer, &[]);
    }
    struct Counting<'a>(&'a Memory, std::sync::atomic::AtomicU64);
    impl Source for Counting<'_> {
        fn open<'a>(
            &'a self,
            blob: &Descriptor,
            range: ByteRange,
        ) -> content::Result<Box<dyn Read + Send + 'a>> {
            self.1
                .fetch_add(range.length, std::sync::atomic::Ordering::Relaxed);
            self.0.open(blob, range)
        }
    }
    let source = Counting(&image.memory, Default::default());
    let described = image.described();
    let files = list(&source, &described, None).unwrap().unwrap();
    let found: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.size, file.part))
        .collect();
    assert_eq!(found, [("a", 5, 1), ("sub/b", 1, 1), ("weights", 3 << 20, 0)]);
    assert!(source.1.into_inner() < 500 << 10);
    for (file, expected) in files.iter().zip([&b"later"[..], b"b", &weights]) {
        let mut out = Vec::new();
        copy_out(&image.memory, &described.parts[file.part], file, &mut out).unwrap();
        assert!(out == expected);
        let wrong = Placed {
            digest: Some(Digest::of(b"wrong")),
            ..file.clone()
        };
        let error = copy_out(
            &image.memory,
            &described.parts[file.part],
            &wrong,
            &mut Vec::new(),
        );
        assert!(matches!(error, Err(LayerError::Damaged { .. })));
    }
    // A layer that ends within a member, as its headers have it.
    let mut cut = image.described();
    cut.parts[0].layer.size = 1 << 20;
    assert!(list(&image.memory, &cut, None).is_err());
    assert_eq!(
        list(&image.memory, &Foreign::image(&[raw_tar(&[])]).described(), None).unwrap(),
        None
    );
}

/// Whatever is done to layers, they give files, or an error in bounded time and memory. More than CI runs, by hand:
/// `MODELKEEP_FUZZ_INPUTS=10000000 cargo test --release -p modelkeep-package --lib no_layer`.
#[test]
fn no_layer_makes_the_reader_panic_or_hang() {
    let archive = raw_tar(&[
        regular("models/a", b"abc"),
        Raw(b"PaxHeader", b'x', "", &pax("path", "models/é".as_bytes())),
        regular("x", &[7; 700]),
        Raw(b"models/.wh.b", b'0', "", b""),
        Raw(b"models/sub/", b'5', "", b""),
    ]);
    let packed = [
        (Coding::Plain, archive.clone()),
        (Coding::Gzip, gzip(&archive)),
        (Coding::Zstd, zstd(&archive)),
    ];
    let place = crate::image::ImagePath::default();
    let inputs = std::env::var("MODELKEEP_FUZZ_INPUTS").map_or(3_000, |count| count.parse().unwrap());
    let mut numbers = Numbers(11);
    for round in 0..inputs {
        let (coding, bytes) = &packed[round % packed.len()];
        let mut bytes = bytes.clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len() as u64) as usize;
            match numbers.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = numbers.below(256) as u8,
                2 => bytes[at] ^= 1 << numbers.below(8),
                _ => drop(bytes.splice(at..at, numbers.bytes(3))),
            }
        }
        let mut memory = Memory::default();
        memory.add(bytes.clone());
        let part = part(*coding, &bytes, None);
        for rule in [Rule::All, Rule::Below(&place)] {
            let mut expanded = Expanded::open(&memory, &part, &|_| {}).unwrap();
            expanded.most = 1 << 20;
            let mut members = crate::tar::read::Members::unbounded(crate::tar::read::Stream(&mut expanded));
            let found = read(&mut members, rule, &mut |_, size, reader| {
                Ok(io::copy(&mut reader.take(size), &mut io::sink())?)
            });
            if let Ok(change) = found
                && expanded.finish().is_ok()
            {
                let files = overlay(vec![(0, change)], rule);
                assert!(files.is_ok_and(|files| files.iter().all(|(_, file)| file.taken == file.size)));
            }
        }
    }
}
