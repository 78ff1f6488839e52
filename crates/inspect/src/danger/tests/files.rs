//! Files of the formats, built byte by byte.

use std::io::Write;

use flate2::{
    Compression, Crc,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

/// A member of an archive, and what is wrong with its headers.
#[derive(Clone, Default)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) deflated: bool,
    pub(super) local_name: Option<&'static str>,
    pub(super) crc: Option<u32>,
    pub(super) flags: u16,
    pub(super) attributes: u32,
    pub(super) size: Option<u32>,
}

pub(super) fn member(name: &'static str, bytes: &[u8]) -> Member {
    Member {
        name,
        bytes: bytes.to_vec(),
        ..Member::default()
    }
}

pub(super) fn archive(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let packed = if member.deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&member.bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            member.bytes.clone()
        };
        let mut sum = Crc::new();
        sum.update(&member.bytes);
        let offset = bytes.len() as u32;
        let header = |name: &str| {
            let method: u16 = if member.deflated { 8 } else { 0 };
            let mut header = Vec::new();
            for field in [20, member.flags, method, 0, 0] {
                header.extend_from_slice(&field.to_le_bytes());
            }
            header.extend_from_slice(&member.crc.unwrap_or(sum.sum()).to_le_bytes());
            header.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            header.extend_from_slice(&member.size.unwrap_or(member.bytes.len() as u32).to_le_bytes());
            header.extend_from_slice(&(name.len() as u32).to_le_bytes());
            header
        };
        let local = member.local_name.unwrap_or(member.name);
        bytes.extend_from_slice(b"PK\x03\x04");
        bytes.extend(header(local));
        bytes.extend_from_slice(local.as_bytes());
        bytes.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\x03");
        directory.extend(header(member.name));
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&member.attributes.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(member.name.as_bytes());
    }
    let (start, length, count) = (bytes.len() as u32, directory.len() as u32, members.len() as u16);
    bytes.extend(directory);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A `.npy` file with data after its header.
pub(super) fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

pub(super) fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A GGUF file with one text in its metadata.
pub(super) fn gguf(key: &str, value: &str) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(&8_u32.to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// An ONNX model with one initialiser that lies at `location`.
pub(super) fn onnx(location: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2, bytes.len() as u8];
        field.extend_from_slice(bytes);
        field
    };
    // The value before the key, as protobuf allows.
    let entry = [field(2, location.as_bytes()), field(1, b"location")].concat();
    let tensor = [field(8, b"weights"), field(13, &entry)].concat();
    let graph = field(5, &tensor);
    [vec![8, 8], field(7, &graph)].concat()
}

pub(super) fn hdf5(config: &str) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
    bytes.resize(2000, 0);
    bytes.extend_from_slice(config.as_bytes());
    bytes.resize(bytes.len() + 5000, 0);
    bytes
}

/// A pickle of a state dict with one tensor of four floats, as torch writes it.
pub(super) fn state_dict() -> Vec<u8> {
    b"\x80\x02}q\0X\x06\0\0\0weightq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03ctorch\nFloatStorage\nq\x04X\x01\0\0\x000q\x05X\x03\0\0\0cpuq\x06K\x04tq\x07QK\0K\x02K\x02\x86q\x08K\x02K\x01\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs.".to_vec()
}

pub(super) fn checkpoint() -> Vec<u8> {
    archive(&[
        member("m/data.pkl", &state_dict()),
        member("m/byteorder", b"little"),
        member("m/data/0", &[0; 16]),
        member("m/version", b"3\n"),
    ])
}

pub(super) fn benign() -> Vec<(String, Vec<u8>)> {
    let chat = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + m['content'] | trim }}{% endfor %}";
    let keras = r#"{"module":"keras","class_name":"Sequential","config":{"layers":[{"module":"keras.layers","class_name":"Dense",
        "config":{"shape":{"module":"builtins","class_name":"tuple"}}}]}}"#;
    let config = format!(
        r#"{{"architectures":["Bert"],"chat_template":{}}}"#,
        serde_json::to_string(chat).unwrap()
    );
    let files: Vec<(&str, Vec<u8>)> = vec![
        (
            "plain.pkl",
            b"\x80\x04\x95\x0b\0\0\0\0\0\0\0]\x94(K\x01K\x02K\x03e.".to_vec(),
        ),
        ("old.pkl", b"(lp0\nI1\naF2.5\naS'x'\np1\na.".to_vec()),
        ("model.pt", checkpoint()),
        ("pytorch_model.bin", checkpoint()),
        ("arrays.npz", archive(&[member("a.npy", &npy("'<f4'", &[0; 4]))])),
        ("array.npy", npy("'<f4'", &[0; 4])),
        ("text.pkl.gz", gzip(b"\x80\x02]q\0.")),
        ("small.joblib", zlib(b"\x80\x03}q\0X\x01\0\0\0aq\x01K\x01s.")),
        (
            "model.safetensors",
            safetensors(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4),
        ),
        ("model.gguf", gguf("tokenizer.chat_template", chat)),
        ("model.onnx", onnx("weights.bin")),
        (
            "model.keras",
            archive(&[
                member("config.json", keras.as_bytes()),
                member("metadata.json", b"{}"),
            ]),
        ),
        ("model.h5", hdf5(keras)),
        ("config.json", config.into_bytes()),
        ("chat_template.jinja", chat.as_bytes().to_vec()),
        ("README.md", b"# A model\n`import os` and pickle.load\n".to_vec()),
        ("vocab.txt", b"cat\nos\nsystem\n(the\n.\n".to_vec()),
        ("requirements.txt", b"click\nnumpy\ntorch\n".to_vec()),
        ("raw.bin", (0..=255).cycle().take(10_000).collect()),
        ("zeros.bin", vec![0; 10_000]),
        ("x.bin", b"\x78\x9c\x01\x02\x03 not zlib at all".to_vec()),
        ("empty", Vec::new()),
    ];
    files
        .into_iter()
        .map(|(path, bytes)| (path.to_owned(), bytes))
        .collect()
}

pub(super) fn suspicious() -> Vec<(String, Vec<u8>, &'static str)> {
    let custom = br#"{"auto_map":{"AutoModel":"modeling.Model"}}"#.to_vec();
    let keras = br#"{"class_name":"Dense2","module":"my_layers","registered_name":"x"}"#.to_vec();
    let torchscript = archive(&[
        member("m/data.pkl", b"\x80\x02}q\0."),
        member("m/code/__torch__/m.py", b"def forward(self): pass"),
    ]);
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "custom.pkl",
            b"\x80\x02cmy_models\nNet\nq\0)\x81q\x01.".to_vec(),
            "unknown-global",
        ),
        ("config.json", custom, "custom-code"),
        (
            "model/config.json",
            br#"{"trust_remote_code":true}"#.to_vec(),
            "custom-code",
        ),
        ("layers.json", keras, "keras-import"),
        ("modeling.py", b"print(1)".to_vec(), "code"),
        ("saved_model.pb", b"\x08\x01".to_vec(), "code"),
        ("objects.npy", npy("'|O'", b"\x80\x03]q\0."), "object-array"),
        ("script.pt", torchscript, "code"),
        ("data.tar.xz", b"\xfd7zXZ\0\0\0".to_vec(), "opaque-archive"),
        ("data.7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "opaque-archive"),
        (
            "tail.pkl",
            b"\x80\x02]q\0.\xff\xff\xff".to_vec(),
            "trailing-bytes",
        ),
        ("lib", b"\x7fELF\x02\x01\x01\0".to_vec(), "native-code"),
        ("t.jinja", b"{% include 'other' %}".to_vec(), "template"),
    ];
    files
        .into_iter()
        .map(|(path, bytes, technique)| (path.to_owned(), bytes, technique))
        .collect()
}
