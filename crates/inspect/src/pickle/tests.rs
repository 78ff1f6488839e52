use super::*;
use crate::Error;

fn follow(bytes: &[u8]) -> (Result<Structure>, Trace) {
    let bytes = bytes.to_vec();
    let mut trace = Trace::default();
    let read = read(&mut Reader::new(&bytes, FORMAT), &mut trace);
    (read, trace)
}

fn names(trace: &Trace) -> Vec<String> {
    let globals = trace.globals.iter();
    globals
        .map(|global| format!("{}.{}", global.module, global.name))
        .collect()
}

#[test]
fn values_are_what_they_stand_for() {
    let (structure, trace) = follow(
        b"\x80\x04}(X\x01\0\0\0aK\x05X\x01\0\0\0b]\x94(NG?\xf8\0\0\0\0\0\0\x88\x8a\x02\x00\xffeh\x00\x85u.",
    );
    let structure = structure.unwrap();
    assert_eq!(structure.get(structure.root(), "a"), Some(&Value::Int(5)));
    assert!(names(&trace).is_empty());
    let (structure, _) = follow(b"\x80\x04]\x94(NG?\xf8\0\0\0\0\0\0\x88\x8a\x02\x00\xffK\x01e.");
    let structure = structure.unwrap();
    let items = &structure.node(structure.root()).unwrap().items;
    let expected = [
        Value::None,
        Value::Float(1.5),
        Value::Bool(true),
        Value::Int(-256),
        Value::Int(1),
    ];
    assert_eq!(items.as_slice(), expected);
}

#[test]
fn what_was_seen_before_an_error_is_kept() {
    let (read, trace) = follow(b"\x80\x02cos\nsystem\nU\x04echo\x85R\xff");
    assert!(
        matches!(read, Err(Error::Malformed { offset: 22, .. })),
        "{read:?}"
    );
    assert_eq!(names(&trace), ["os.system"]);
    assert!(trace.globals[0].called);
    assert_eq!(trace.globals[0].arguments, "(\"echo\")");
}

#[test]
fn a_memo_that_is_full_forgets_and_does_not_lie() {
    let mut bytes = b"\x80\x02".to_vec();
    for at in 0..200_001_u32 {
        bytes.extend_from_slice(b"Nr");
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.push(b'0');
    }
    bytes.extend_from_slice(b"U\x02os0j");
    bytes.extend_from_slice(&200_000_u32.to_le_bytes());
    bytes.extend_from_slice(b"U\x06system\x93.");
    let (read, trace) = follow(&bytes);
    read.unwrap();
    assert_eq!(trace.computed_names, 1);
}

#[test]
fn nothing_is_allocated_for_strings_that_are_not_there() {
    for bytes in [
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x04X\xff\xff\xff\xff",
        b"\x80\x02T\xff\xff\xff\xff",
        b"\x80\x02\x8b\xff\xff\xff\x7f",
    ] {
        let (read, _) = follow(bytes);
        assert!(matches!(read, Err(Error::Malformed { .. })), "{bytes:?}");
    }
}

#[test]
fn a_nesting_of_any_depth_is_no_recursion() {
    let mut bytes = b"\x80\x02N".to_vec();
    bytes.extend(std::iter::repeat_n(0x85, 2_000_000));
    bytes.push(b'.');
    let (read, trace) = follow(&bytes);
    read.unwrap();
    assert_eq!(trace.opcodes, 2_000_003);
}

#[test]
fn an_array_of_joblib_lies_between_the_opcodes() {
    let bytes = b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(U\x05shapeK\x03\x85U\x05dtypecnumpy\ndtype\nU\x02f8K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbU\x1bnumpy_array_alignment_bytesK\x10ub\x02\xff\xff012345670123456701234567.";
    let (read, trace) = follow(bytes);
    read.unwrap();
    assert_eq!(trace.raw_arrays, 1);
    assert_eq!(
        names(&trace),
        ["joblib.numpy_pickle.NumpyArrayWrapper", "numpy.dtype"]
    );
}
