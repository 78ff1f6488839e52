use super::*;

/// A pickle of `{"a": {"weight": 2x2 floats, "tied": the same, "turned": the same with its dimensions swapped}}`.
fn state_dict() -> Vec<u8> {
    let storage = "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0kX\x03\0\0\0cpuK\x04tQ";
    let tensor = |offset: char, size: &str, stride: &str| {
        format!(
            "ctorch._utils\n_rebuild_tensor_v2\n{storage}K{offset}{size}{stride}Nccollections\nOrderedDict\n)RtR"
        )
    };
    let square = tensor('\0', "K\x02K\x02\u{1}", "K\x02K\x01\u{1}");
    let turned = tensor('\0', "K\x02K\x02\u{1}", "K\x01K\x02\u{1}");
    let tail = tensor('\x02', "K\x02\u{2}", "K\x01\u{2}");
    let body = format!(
        "}}X\x01\0\0\0a}}(X\x06\0\0\0weight{square}X\x04\0\0\0tied{square}X\x06\0\0\0turned{turned}X\x04\0\0\0tail{tail}us."
    );
    // TUPLE2 and TUPLE1 are no characters.
    let mut bytes = vec![0x80, 2];
    for c in body.chars() {
        bytes.push(match c {
            '\u{1}' if bytes.ends_with(&[b'K', 2]) || bytes.ends_with(&[b'K', 1]) => 0x86,
            '\u{2}' if bytes.ends_with(&[b'K', 2]) || bytes.ends_with(&[b'K', 1]) => 0x85,
            c => c as u8,
        });
    }
    bytes
}

fn legacy(storages: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".as_slice(),
        &state_dict(),
        b"\x80\x02]X\x01\0\0\0ka.",
        storages,
    ]
    .concat()
}

#[test]
fn tensors_of_an_older_checkpoint_are_found_where_they_lie() {
    let storages = [4_u64.to_le_bytes().as_slice(), &[7; 16]].concat();
    let bytes = legacy(&storages);
    let start = bytes.len() as u64 - 16;
    let checkpoint = read(&bytes, &Limits::default()).unwrap();
    assert_eq!(checkpoint.class, None);
    let range = |offset, length| Some(ByteRange { offset, length });
    let found: Vec<_> = checkpoint
        .tensors
        .iter()
        .map(|t| (t.name.as_str(), t.dtype.as_str(), t.shape.as_slice(), t.range))
        .collect();
    assert_eq!(
        found,
        [
            ("a.weight", "F32", [2, 2].as_slice(), range(start, 16)),
            ("a.tied", "F32", &[2, 2], range(start, 16)),
            // Its elements do not lie one after the other.
            ("a.turned", "F32", &[2, 2], None),
            ("a.tail", "F32", &[2], range(start + 8, 8)),
        ]
    );
}

#[test]
fn a_checkpoint_whose_storages_are_not_what_it_says_is_refused() {
    for storages in [
        vec![],
        vec![0xff; 8],
        4_u64.to_le_bytes().to_vec(),
        (u64::MAX / 2).to_le_bytes().to_vec(),
    ] {
        assert!(
            read(&legacy(&storages), &Limits::default()).is_err(),
            "{storages:?}"
        );
    }
    for bytes in [b"\x80\x02N.".to_vec(), b"PK\x03\x04".to_vec(), Vec::new()] {
        assert!(read(&bytes, &Limits::default()).is_err());
    }
}

#[test]
fn a_structure_that_holds_itself_ends() {
    // d = {}; d["a"] = d; d["b"] = d
    let bytes = [
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02N.\x80\x02N.".as_slice(),
        b"\x80\x02}q\0(U\x01ah\0U\x01bh\0u.\x80\x02].",
    ]
    .concat();
    assert!(matches!(
        read(&bytes, &Limits::default()),
        Err(Error::TooMuch { .. })
    ));
}
