use super::*;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

fn run(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn message(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    run(field, &parts.concat())
}

fn port(field: u64, name: &str, kind: u64, sides: &[Vec<u8>]) -> Vec<u8> {
    let sides: Vec<Vec<u8>> = sides.iter().map(|side| run(1, side)).collect();
    let tensor = message(1, &[number(1, kind), message(2, &sides)]);
    message(field, &[run(1, name.as_bytes()), run(2, &tensor)])
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    message(13, &[run(1, key.as_bytes()), run(2, value.as_bytes())])
}

fn tensor(name: &str, shape: &[u64], kind: u64, data: Vec<u8>) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|&side| varint(side)).collect();
    message(
        5,
        &[run(1, &shape), number(2, kind), run(8, name.as_bytes()), data],
    )
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [
        number(1, 8),
        run(2, b"tests"),
        message(7, graph),
        message(8, &[run(1, b""), number(2, 17)]),
    ]
    .concat()
}

fn read_file(file: &[u8]) -> Result<Onnx> {
    read(&file.to_vec(), &Limits::default())
}

#[test]
fn graph_ports_and_tensors_are_read() {
    let raw = run(9, &[7; 24]);
    let file = model(&[
        message(1, &[run(4, b"Gemm")]),
        tensor("w", &[2, 3], 1, raw),
        tensor("packed", &[2], 1, run(4, &[0; 8])),
        tensor("one", &[1], 7, number(7, 5)),
        tensor(
            "out",
            &[4],
            10,
            [number(14, 1), entry("location", "w.bin"), entry("offset", "64")].concat(),
        ),
        port(11, "x", 1, &[run(2, b"batch"), number(1, 3), Vec::new()]),
        port(11, "w", 1, &[]),
        port(12, "y", 7, &[number(1, 1)]),
    ]);
    let read = read_file(&file).unwrap();
    assert_eq!(
        (read.ir_version, read.nodes, read.producer.as_deref()),
        (8, 1, Some("tests"))
    );
    assert_eq!(read.opsets, BTreeMap::from([(String::new(), 17)]));
    assert_eq!(read.inputs.len(), 1);
    assert_eq!(read.inputs[0].shape, ["batch", "3", "?"]);
    assert_eq!(read.outputs[0].dtype, "I64");
    let [w, packed, one, out] = read.initializers.as_slice() else {
        panic!("{:?}", read.initializers);
    };
    let Data::Here(range) = w.data else {
        panic!("{w:?}")
    };
    assert_eq!(file[range.offset as usize..][..24], [7; 24]);
    assert_eq!((w.dtype.as_str(), w.shape.as_slice()), ("F32", &[2, 3][..]));
    assert!(matches!(packed.data, Data::Here(range) if range.length == 8));
    assert_eq!(one.data, Data::Scattered);
    assert_eq!(
        out.data,
        Data::External {
            location: "w.bin".into(),
            offset: 64,
            length: Some(8)
        }
    );
}

#[test]
fn a_file_that_lies_is_refused() {
    let raw = || run(9, &[0; 4]);
    for (what, file) in [
        ("nothing", Vec::new()),
        ("a text", b"this is not a model".to_vec()),
        ("no graph", number(1, 8)),
        ("no version", message(7, &[])),
        ("two graphs", [model(&[]), message(7, &[])].concat()),
        ("a field cut off", run(7, b"abc")[..3].to_vec()),
        (
            "a length past the end",
            [varint(7 << 3 | 2), varint(u64::MAX)].concat(),
        ),
        (
            "a number without an end",
            [0x08].into_iter().chain([0xff; 20]).collect(),
        ),
        ("a group", vec![0x0b]),
        ("field 0", vec![0x00, 0x00]),
        ("a number for a graph", [number(1, 8), number(7, 1)].concat()),
        ("a number for a name", model(&[message(5, &[number(8, 1)])])),
        ("no UTF-8", model(&[tensor("a", &[1], 1, run(8, &[0xff]))])),
        (
            "a tensor twice",
            model(&[tensor("a", &[1], 1, raw()), tensor("a", &[1], 1, raw())]),
        ),
        ("another length", model(&[tensor("a", &[2], 1, raw())])),
        (
            "an inner field past its message",
            model(&[run(5, &varint(8 << 3 | 2)), run(8, &[1; 9])]),
        ),
        (
            "a negative side",
            model(&[tensor("a", &[u64::MAX], 1, Vec::new())]),
        ),
        ("many dimensions", model(&[tensor("a", &[1; 99], 1, Vec::new())])),
        (
            "dimensions without end",
            model(&[port(11, "x", 1, &vec![number(1, 1); 99])]),
        ),
    ] {
        assert!(
            matches!(read_file(&file), Err(Error::Malformed { .. })),
            "{what}: {:?}",
            read_file(&file)
        );
    }
}

#[test]
fn counts_decide_no_memory() {
    let nodes = number(3, 1).repeat(2_100_000);
    let file = [number(1, 8), run(7, &nodes)].concat();
    assert!(matches!(read_file(&file), Err(Error::TooMuch { .. })));
    let long = model(&[run(5, &run(8, &vec![b'x'; 1 << 20]))]);
    assert!(matches!(read_file(&long), Err(Error::TooMuch { .. })));
    let limits = Limits {
        tensors: 2,
        ..Limits::default()
    };
    let many = model(&[
        tensor("a", &[], 1, Vec::new()),
        tensor("b", &[], 1, Vec::new()),
        tensor("c", &[], 1, Vec::new()),
    ]);
    assert!(matches!(
        read(&many, &limits),
        Err(Error::TooMuch { found: 3, .. })
    ));
}
