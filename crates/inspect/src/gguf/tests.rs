use super::*;

/// Writes a file of version 3.
#[derive(Default)]
struct Writer {
    entries: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Writer {
    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries
            .push([&text(key), &kind.to_le_bytes()[..], value].concat());
        self
    }

    fn tensor(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let mut raw = [text(name), (shape.len() as u32).to_le_bytes().to_vec()].concat();
        raw.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
        raw.extend(kind.to_le_bytes());
        raw.extend(offset.to_le_bytes());
        self.tensors.push(raw);
        self
    }

    fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    fn finish(self) -> Vec<u8> {
        let mut file = [b"GGUF".to_vec(), 3_u32.to_le_bytes().to_vec()].concat();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        file.extend(self.entries.concat());
        file.extend(self.tensors.concat());
        file.resize(file.len().next_multiple_of(32) + self.data, 0);
        file
    }
}

fn read_file(file: &[u8]) -> Result<Gguf> {
    read(&file.to_vec(), &Limits::default())
}

fn is_malformed(file: &[u8]) -> bool {
    matches!(read_file(file), Err(Error::Malformed { .. }))
}

#[test]
fn metadata_and_tensors_are_read_in_the_order_of_numpy() {
    let list = [
        8_u32.to_le_bytes().to_vec(),
        2_u64.to_le_bytes().to_vec(),
        text("a"),
        text("b"),
    ]
    .concat();
    let file = Writer::default()
        .entry("general.architecture", 8, &text("llama"))
        .entry("general.file_type", 4, &15_u32.to_le_bytes())
        .entry("n", 5, &(-3_i32).to_le_bytes())
        .entry("f", 6, &1.5_f32.to_le_bytes())
        .entry("yes", 7, &[1])
        .entry("tokens", 9, &list)
        .tensor("w", &[256, 4], 12, 0)
        .tensor("b", &[4], 0, 576)
        .data(592)
        .finish();
    let read = read_file(&file).unwrap();
    assert_eq!(read.version, 3);
    assert_eq!(read.metadata["general.architecture"].text(), Some("llama"));
    assert_eq!(
        read.metadata["general.file_type"].unsigned().and_then(file_type),
        Some("Q4_K_M")
    );
    assert_eq!(read.metadata["n"], Value::Signed(-3));
    assert_eq!(read.metadata["f"], Value::Float(1.5));
    assert_eq!(read.metadata["yes"], Value::Bool(true));
    assert!(matches!(read.metadata["tokens"], Value::List { elements: 2, .. }));
    let w = &read.tensors[0];
    assert_eq!((w.dtype.as_str(), w.shape.as_slice()), ("Q4_K", &[4, 256][..]));
    assert_eq!(
        w.range.unwrap().end().unwrap(),
        read.tensors[1].range.unwrap().offset
    );
    assert_eq!(read.tensors[1].range.unwrap().end(), Some(file.len() as u64));
}

#[test]
fn files_of_the_other_order_of_bytes_are_read() {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_be_bytes());
    file.extend(0_u64.to_be_bytes());
    file.extend(1_u64.to_be_bytes());
    file.extend(1_u64.to_be_bytes());
    file.extend(b"k");
    file.extend(2_u32.to_be_bytes());
    file.extend(258_u16.to_be_bytes());
    assert_eq!(read_file(&file).unwrap().metadata["k"], Value::Unsigned(258));
}

#[test]
fn lengths_of_the_first_version_have_32_bits() {
    let mut file = b"GGUF".to_vec();
    for number in [1_u32, 0, 1, 1] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"k");
    file.extend(0_u32.to_le_bytes());
    file.push(7);
    assert_eq!(read_file(&file).unwrap().metadata["k"], Value::Unsigned(7));
}

#[test]
fn a_file_that_lies_is_refused() {
    let good = || Writer::default().data(64);
    let nested: Vec<u8> = [9_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()]
        .concat()
        .repeat(5_000);
    let long = [
        8_u32.to_le_bytes().to_vec(),
        2_u64.to_le_bytes().to_vec(),
        text("a"),
    ]
    .concat();
    for (what, file) in [
        ("another magic", b"GGML\x03\0\0\0".to_vec()),
        ("another version", b"GGUF\x09\0\0\0".to_vec()),
        ("no counts", b"GGUF\x03\0\0\0".to_vec()),
        (
            "a key twice",
            good().entry("k", 0, &[1]).entry("k", 0, &[1]).finish(),
        ),
        (
            "a tensor twice",
            good().tensor("t", &[1], 0, 0).tensor("t", &[1], 0, 32).finish(),
        ),
        ("an unknown value", good().entry("k", 13, &[1]).finish()),
        ("no bool", good().entry("k", 7, &[2]).finish()),
        ("deep lists", good().entry("k", 9, &nested).finish()),
        ("a list cut off", good().data(0).entry("k", 9, &long).finish()),
        ("an unknown type", good().tensor("t", &[1], 4, 0).finish()),
        ("half a block", good().tensor("t", &[100], 12, 0).finish()),
        (
            "an overflow",
            good().tensor("t", &[1 << 40, 1 << 40], 0, 0).finish(),
        ),
        (
            "five and more dimensions",
            good().tensor("t", &[1; 17], 0, 0).finish(),
        ),
        ("not aligned", good().tensor("t", &[1], 0, 8).finish()),
        ("past the end", good().tensor("t", &[17], 0, 0).finish()),
        (
            "far past the end",
            good().tensor("t", &[1], 0, u64::MAX - 31).finish(),
        ),
        (
            "an overlap",
            good().tensor("a", &[9], 0, 0).tensor("b", &[1], 0, 32).finish(),
        ),
        (
            "no alignment",
            good()
                .entry("general.alignment", 4, &[0; 4])
                .tensor("t", &[1], 0, 0)
                .finish(),
        ),
        (
            "a name that is no text",
            [
                &good().finish()[..16],
                &1_u64.to_le_bytes(),
                &2_u64.to_le_bytes(),
                &[0xff; 9],
            ]
            .concat(),
        ),
    ] {
        assert!(is_malformed(&file), "{what}: {:?}", read_file(&file));
    }
}

#[test]
fn counts_decide_no_memory() {
    let count = |tensors: u64, entries: u64| {
        [
            b"GGUF\x03\0\0\0".to_vec(),
            tensors.to_le_bytes().to_vec(),
            entries.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    for file in [count(u64::MAX, 0), count(0, u64::MAX), count(100_001, 0)] {
        assert!(matches!(read_file(&file), Err(Error::TooMuch { .. })));
    }
    assert!(is_malformed(&count(100_000, 200_000)));
    let list = [0_u32.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat();
    let file = Writer::default().entry("k", 9, &list).finish();
    assert!(matches!(read_file(&file), Err(Error::TooMuch { .. })));
    let file = Writer::default().entry("k", 8, &u64::MAX.to_le_bytes()).finish();
    assert!(is_malformed(&file));
}

#[test]
fn long_texts_are_passed_over() {
    let file = Writer::default()
        .entry("k", 8, &text(&"x".repeat(2 << 20)))
        .finish();
    assert_eq!(
        read_file(&file).unwrap().metadata["k"],
        Value::LongText { bytes: 2 << 20 }
    );
}
