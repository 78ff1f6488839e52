//! Payloads in files of other formats.

use super::{
    super::files::{Member, archive, checkpoint, gguf, gzip, hdf5, member, npy, onnx, safetensors, zlib},
    Case, SYSTEM, case,
};

/// An array of joblib, with `raw` where its elements lie.
fn joblib(dtype: &str, count: u8, raw: &[u8]) -> Vec<u8> {
    let text = |text: &str| {
        [
            b"X".as_slice(),
            &(text.len() as u32).to_le_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    [
        b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(".to_vec(),
        text("shape"),
        [b"K".as_slice(), &[count], b"\x85"].concat(),
        text("dtype"),
        b"cnumpy\ndtype\n".to_vec(),
        text(dtype),
        b"K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb".to_vec(),
        b"ub".to_vec(),
        raw.to_vec(),
        b".".to_vec(),
    ]
    .concat()
}

pub(super) fn containers() -> Vec<Case> {
    let evil = |name| member(name, SYSTEM);
    let mut polyglot = SYSTEM.to_vec();
    polyglot.extend(archive(&[member("m/data.pkl", b"N.")]));
    let mut prefixed = b"junk".to_vec();
    prefixed.extend(archive(&[evil("m/data.pkl")]));
    let deep = (0..5).fold(archive(&[evil("data.pkl")]), |inner, _| {
        archive(&[member("inner.zip", &inner)])
    });
    let bomb = Member {
        deflated: true,
        size: Some(u32::MAX - 1),
        ..member("m/data.pkl", &[0; 100_000])
    };
    let lambda = r#"{"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}"#;
    let mut lzma_alone = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    lzma_alone.extend([0; 20]);
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let broken_checkpoint = {
        let mut bytes = checkpoint();
        bytes.truncate(60);
        bytes
    };
    let hidden = [b"cos\nsystem\nU\x04echo\x85R.".to_vec(), vec![0; 8]].concat();
    let legacy = [
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".as_slice(),
        SYSTEM,
        b"\x80\x02].",
    ]
    .concat();
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        (
            "a checkpoint with a payload",
            "model.pt",
            archive(&[evil("m/data.pkl")]),
            "runs-commands",
        ),
        (
            "a compressed checkpoint",
            "model.pt",
            archive(&[Member {
                deflated: true,
                ..evil("m/data.pkl")
            }]),
            "runs-commands",
        ),
        (
            "a pickle under another name in an archive",
            "model.pt",
            archive(&[member("m/data.pkl", b"N."), evil("m/data.txt")]),
            "runs-commands",
        ),
        (
            "a checkpoint under another name",
            "weights.dat",
            archive(&[evil("m/data.pkl")]),
            "runs-commands",
        ),
        (
            "two members of one name",
            "model.pt",
            archive(&[member("m/data.pkl", b"N."), evil("m/data.pkl")]),
            "archive-tricks",
        ),
        (
            "another name in the local header",
            "model.pt",
            archive(&[Member {
                local_name: Some("m/data.pkx"),
                ..evil("m/data.pkl")
            }]),
            "archive-tricks",
        ),
        (
            "a wrong CRC",
            "model.pt",
            archive(&[Member {
                crc: Some(1),
                ..evil("m/data.pkl")
            }]),
            "archive-tricks",
        ),
        (
            "a flag that says encrypted",
            "model.pt",
            archive(&[Member {
                flags: 1,
                ..evil("m/data.pkl")
            }]),
            "archive-tricks",
        ),
        (
            "a size that is a lie",
            "model.pt",
            archive(&[Member {
                size: Some(3),
                ..evil("m/data.pkl")
            }]),
            "archive-tricks",
        ),
        ("bytes before an archive", "model.pt", prefixed, "archive-tricks"),
        (
            "a pickle that ends as an archive",
            "model.pt",
            polyglot,
            "two-formats",
        ),
        (
            "a directory that is cut off",
            "model.pt",
            broken_checkpoint,
            "malformed",
        ),
        ("archives five deep", "model.pt", deep, "too-deep"),
        (
            "an archive in a checkpoint",
            "model.pt",
            archive(&[member("m/extra.zip", &archive(&[evil("x.pkl")]))]),
            "runs-commands",
        ),
        ("a bomb", "model.npz", archive(&[bomb]), "archive-bomb"),
        (
            "many small bombs",
            "model.npz",
            archive(&["a", "b", "c", "d", "e"].map(|name| Member {
                deflated: true,
                size: Some(255 << 20),
                ..member(name, &[0; 1000])
            })),
            "archive-bomb",
        ),
        (
            "a name that goes up",
            "model.keras",
            archive(&[member("../../.bashrc", b"x")]),
            "leads-out",
        ),
        (
            "an absolute name",
            "model.keras",
            archive(&[member("/etc/cron.d/x", b"x")]),
            "leads-out",
        ),
        (
            "a symlink in an archive",
            "model.keras",
            archive(&[Member {
                attributes: 0o120_777 << 16,
                ..member("x", b"/etc/passwd")
            }]),
            "leads-out",
        ),
        (
            "a joblib file of zlib",
            "model.joblib",
            zlib(SYSTEM),
            "runs-commands",
        ),
        (
            "a joblib file of gzip",
            "model.joblib",
            gzip(SYSTEM),
            "runs-commands",
        ),
        (
            "gzip in gzip",
            "model.pkl.gz",
            gzip(&gzip(SYSTEM)),
            "runs-commands",
        ),
        (
            "a joblib file of xz",
            "model.joblib",
            b"\xfd7zXZ\0\0\x04xxxx".to_vec(),
            "opaque-archive",
        ),
        (
            "a joblib file of bzip2",
            "model.joblib",
            b"BZh91AY&SYxxxx".to_vec(),
            "opaque-archive",
        ),
        (
            "a joblib file of LZMA",
            "model.joblib",
            lzma_alone,
            "opaque-archive",
        ),
        (
            "a joblib file of LZ4",
            "model.joblib",
            b"\x04\x22\x4d\x18xxxx".to_vec(),
            "opaque-archive",
        ),
        (
            "a checkpoint of 7z",
            "model.pt",
            b"7z\xbc\xaf\x27\x1c\0\x04xxxx".to_vec(),
            "opaque-archive",
        ),
        ("a checkpoint of tar", "model.pt", tar, "opaque-archive"),
        (
            "7z in a checkpoint",
            "model.pt",
            archive(&[member("m/x", b"7z\xbc\xaf\x27\x1c\0\x04")]),
            "opaque-archive",
        ),
        (
            "damaged gzip",
            "model.joblib",
            gzip(SYSTEM)[..15].to_vec(),
            "damaged",
        ),
        (
            "an array of objects",
            "x.npy",
            npy("'|O'", SYSTEM),
            "runs-commands",
        ),
        (
            "an array of records with objects",
            "x.npy",
            npy("[('a', '<f4'), ('b', '|O')]", SYSTEM),
            "runs-commands",
        ),
        (
            "an array of objects in an archive",
            "x.npz",
            archive(&[member("a.npy", &npy("'|O'", SYSTEM))]),
            "runs-commands",
        ),
        (
            "a header of an array that never ends",
            "x.npy",
            b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(),
            "header-bomb",
        ),
        (
            "objects in an array of joblib",
            "model.joblib",
            joblib("O8", 1, SYSTEM),
            "runs-commands",
        ),
        (
            "opcodes in an array of joblib",
            "model.joblib",
            joblib("b1", hidden.len() as u8, &hidden),
            "runs-commands",
        ),
        (
            "an array of joblib that does not say its type",
            "model.joblib",
            joblib("X9", 1, b"x"),
            "malformed",
        ),
        (
            "an older checkpoint with a payload",
            "model.pt",
            legacy,
            "runs-commands",
        ),
        (
            "a header of megabytes",
            "m.safetensors",
            [(17_u64 << 20).to_le_bytes().as_slice(), &vec![b' '; 18 << 20]].concat(),
            "header-bomb",
        ),
        (
            "a Lambda layer in .keras",
            "model.keras",
            archive(&[member("config.json", lambda.as_bytes())]),
            "keras-lambda",
        ),
        (
            "a Lambda layer in HDF5",
            "model.h5",
            hdf5(&format!("{{\"layers\": [{lambda}]}}")),
            "keras-lambda",
        ),
        (
            "a Lambda layer in JSON",
            "model.json",
            lambda.as_bytes().to_vec(),
            "keras-lambda",
        ),
        (
            "a Lambda layer with escapes",
            "model.json",
            br#"{"class_n\u0061me": "Lambd\u0061"}"#.to_vec(),
            "keras-lambda",
        ),
        (
            "a TFSMLayer",
            "config.json",
            br#"{"class_name":"TFSMLayer","module":"keras.layers"}"#.to_vec(),
            "keras-lambda",
        ),
        (
            "a config that imports os",
            "config.json",
            br#"{"class_name":"function","module":"os","config":"system","registered_name":"function"}"#
                .to_vec(),
            "keras-import",
        ),
        (
            "a config that imports subprocess in HDF5",
            "m.h5",
            hdf5(r#"{"module": "subprocess", "class_name": "Popen"}"#),
            "keras-import",
        ),
        (
            "a template in GGUF that reaches out",
            "m.gguf",
            gguf(
                "tokenizer.chat_template",
                "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            ),
            "template",
        ),
        (
            "another template in GGUF",
            "m.gguf",
            gguf(
                "tokenizer.chat_template.tool_use",
                "{{ cycler.__init__.__globals__.os.popen('echo') }}",
            ),
            "template",
        ),
        (
            "a template in the config of a tokenizer",
            "tokenizer_config.json",
            br#"{"chat_template":[{"name":"x","template":"{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}"}]}"#
                .to_vec(),
            "template",
        ),
        (
            "a template of its own file",
            "chat_template.jinja",
            b"{{ lipsum.__globals__ }}".to_vec(),
            "template",
        ),
        (
            "ONNX data above the directory",
            "m.onnx",
            onnx("../../../etc/passwd"),
            "leads-out",
        ),
        (
            "ONNX data at an absolute path",
            "m.onnx",
            onnx("/etc/passwd"),
            "leads-out",
        ),
        ("ONNX data on a drive", "m.onnx", onnx("C:\\secret"), "leads-out"),
        (
            "ONNX data at an address",
            "m.onnx",
            onnx("http://example.com/x"),
            "leads-out",
        ),
    ];
    cases
        .into_iter()
        .map(|(name, path, bytes, technique)| case(name, path, bytes, technique, false))
        .collect()
}

/// Headers that lie. Loaders refuse them; a broken download looks the same.
pub(in super::super) fn lies() -> Vec<Case> {
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        (
            "a GGUF file of endless strings",
            "m.gguf",
            b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "malformed",
        ),
        (
            "a header of four exabytes",
            "m.safetensors",
            u64::MAX.to_le_bytes().to_vec(),
            "malformed",
        ),
        (
            "a header longer than the file",
            "m.safetensors",
            [(1_u64 << 40).to_le_bytes().as_slice(), b"{}"].concat(),
            "malformed",
        ),
        (
            "tensors over one another",
            "m.safetensors",
            safetensors(
                r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
                4,
            ),
            "malformed",
        ),
        (
            "a shape that overflows",
            "m.safetensors",
            safetensors(
                r#"{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#,
                4,
            ),
            "malformed",
        ),
        (
            "a pickle that is called safetensors",
            "m.safetensors",
            SYSTEM.to_vec(),
            "malformed",
        ),
    ];
    cases
        .into_iter()
        .map(|(name, path, bytes, technique)| case(name, path, bytes, technique, false))
        .collect()
}
