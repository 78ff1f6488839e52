//! Ways to spell a payload, and to hide one.

use super::{
    super::files::{archive, member},
    Case, SYSTEM, case,
};

fn unicode(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x8c, text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(super) fn spellings() -> Vec<Case> {
    let short = |text: &str| unicode(text);
    let two = [short("os"), short("system")].concat();
    let call = |names: &[u8]| {
        [
            b"\x80\x04".as_slice(),
            names,
            b"\x93",
            &unicode("echo"),
            b"\x85R.",
        ]
        .concat()
    };
    let long = |text: &str| {
        [
            b"\x8d".as_slice(),
            &(text.len() as u64).to_le_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    let medium = |text: &str| {
        [
            b"X".as_slice(),
            &(text.len() as u32).to_le_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    // Names that are put into the memo far from where they are used, under numbers out of order.
    let far: Vec<u8> = [
        &short("system"),
        b"r\xff\xff\xff\x7f0".as_slice(),
        &short("os"),
        b"q\x070h\x07j\xff\xff\xff\x7f",
    ]
    .concat();
    let overwritten = [
        &short("os"),
        b"q\x000".as_slice(),
        &short("harmless"),
        b"q\x010h\x00q\x010",
        &short("system"),
        b"q\x000h\x01h\x00",
    ]
    .concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("text opcodes of protocol 0", SYSTEM.to_vec()),
        (
            "GLOBAL in protocol 2",
            b"\x80\x02cos\nsystem\nq\0X\x04\0\0\0echoq\x01\x85q\x02Rq\x03.".to_vec(),
        ),
        ("INST", b"(S'echo'\nios\nsystem\n.".to_vec()),
        ("OBJ", b"(cos\nsystem\nS'echo'\no.".to_vec()),
        ("NEWOBJ", b"\x80\x02cos\nsystem\nU\x04echo\x85\x81.".to_vec()),
        ("NEWOBJ_EX", b"\x80\x04cos\nsystem\nU\x04echo\x85}\x92.".to_vec()),
        ("STACK_GLOBAL of short texts", call(&two)),
        (
            "STACK_GLOBAL of BINUNICODE8",
            call(&[long("os"), long("system")].concat()),
        ),
        (
            "STACK_GLOBAL of BINUNICODE",
            call(&[medium("os"), medium("system")].concat()),
        ),
        (
            "STACK_GLOBAL of UNICODE with escapes",
            call(b"V\\u006fs\nVsy\\u0073tem\n"),
        ),
        (
            "STACK_GLOBAL of UNICODE with long escapes",
            call(b"V\\U0000006fs\nV\\u0073\\u0079stem\n"),
        ),
        (
            "STACK_GLOBAL of STRING with hex escapes",
            call(b"S'\\x6fs'\nS'syst\\x65m'\n"),
        ),
        (
            "STACK_GLOBAL of STRING with octal escapes",
            call(b"S\"\\157s\"\nS\"\\163ystem\"\n"),
        ),
        ("STACK_GLOBAL of SHORT_BINSTRING", call(b"U\x02osU\x06system")),
        (
            "STACK_GLOBAL of BINSTRING",
            call(b"T\x02\0\0\0osT\x06\0\0\0system"),
        ),
        ("names over the memo, out of order", call(&far)),
        ("names over a memo that is written twice", call(&overwritten)),
        (
            "names over GET with blanks and underscores",
            call(
                &[
                    &short("os"),
                    b"p 1_0\n0".as_slice(),
                    &short("system"),
                    b"p+11\n0g10\ng 11 \n",
                ]
                .concat(),
            ),
        ),
        (
            "names by MEMOIZE and BINGET",
            call(
                &[
                    &short("os"),
                    b"\x94".as_slice(),
                    &short("system"),
                    b"\x9400h\x00h\x01",
                ]
                .concat(),
            ),
        ),
        (
            "names by DUP and POP",
            call(&[&short("os"), b"2020".as_slice(), &short("system"), b"20"].concat()),
        ),
        (
            "names behind POP_MARK",
            call(&[b"(NNN1".as_slice(), &two].concat()),
        ),
        (
            "a POP that takes a MARK away",
            call(&[b"(0".as_slice(), &two].concat()),
        ),
        (
            "lies about the protocol",
            [b"\x80\x00\x80\x05".as_slice(), SYSTEM].concat(),
        ),
        (
            "frames of wrong lengths",
            [b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f".as_slice(), SYSTEM].concat(),
        ),
        (
            "a payload before a broken end",
            [&SYSTEM[..SYSTEM.len() - 1], b"\xff\xff\xff"].concat(),
        ),
        (
            "a payload before the file is cut off",
            b"\x80\x04cos\nsystem\nX\x04\0\0\0echo\x85RX\xff\xff".to_vec(),
        ),
        (
            "a payload whose result is popped",
            [b"\x80\x02cos\nsystem\nU\x04echo\x85R0]q\0.".as_slice()].concat(),
        ),
        (
            "a second pickle behind STOP",
            [b"\x80\x04]\x94.".as_slice(), SYSTEM].concat(),
        ),
        (
            "a third pickle behind two",
            [b"\x80\x04N.\x80\x02N.".as_slice(), SYSTEM].concat(),
        ),
        (
            "a call in the key of a dict",
            b"\x80\x02}cos\nsystem\nU\x04echo\x85RK\x01s.".to_vec(),
        ),
        (
            "a call in the state of an object",
            b"\x80\x02ccollections\nOrderedDict\n)Rcos\nsystem\nU\x04echo\x85Rb.".to_vec(),
        ),
        (
            "a call in the arguments of a call",
            b"\x80\x02ccollections\nOrderedDict\ncos\nsystem\nU\x04echo\x85R\x85R.".to_vec(),
        ),
        (
            "a global that is an attribute of a state",
            b"\x80\x02cmy_models\nNet\n)\x81}U\x0c__setstate__cos\nsystem\nsb.".to_vec(),
        ),
        (
            "a default factory that runs",
            b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R.".to_vec(),
        ),
        (
            "nested in brackets a thousand deep",
            [
                vec![b']'; 1000],
                SYSTEM[..SYSTEM.len() - 1].to_vec(),
                vec![b'a'; 1000],
                vec![b'.'],
            ]
            .concat(),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, bytes)| case(name, "model.pkl", bytes, "runs-commands", true))
        .collect()
}

pub(super) fn computed() -> Vec<Case> {
    let pickles: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "extension registry, one byte",
            b"\x80\x02\x82\x01U\x04echo\x85R.".to_vec(),
            "extension-registry",
        ),
        (
            "extension registry, two bytes",
            b"\x80\x02\x83\x01\x01U\x04echo\x85R.".to_vec(),
            "extension-registry",
        ),
        (
            "extension registry, four bytes",
            b"\x80\x02\x84\x01\0\0\0U\x04echo\x85R.".to_vec(),
            "extension-registry",
        ),
        (
            "a name that a call gives",
            b"\x80\x04U\x02oscmy_names\nname\n)R\x93U\x04echo\x85R.".to_vec(),
            "computed-name",
        ),
        (
            "a name that is a number",
            b"\x80\x04U\x02osK\x01\x93.".to_vec(),
            "computed-name",
        ),
        (
            "a name of a million letters",
            [
                b"\x80\x04U\x02osX\x40\x42\x0f\0".as_slice(),
                &[b'a'; 1_000_000],
                b"\x93.",
            ]
            .concat(),
            "computed-name",
        ),
        (
            "a call of what a call gave",
            b"\x80\x02cmy_names\nname\n)RU\x04echo\x85R.".to_vec(),
            "computed-call",
        ),
        (
            "attributes of a class",
            b"\x80\x02cmy_models\nNet\n}U\x01aK\x01sb.".to_vec(),
            "changes-globals",
        ),
        (
            "getattr over a harmless module",
            b"\x80\x04U\x08builtinsU\x07getattr\x93ctorch\nFloatStorage\nU\x09__class__\x86R.".to_vec(),
            "reaches-attributes",
        ),
        (
            "a pickle in bytes",
            [
                b"\x80\x04C\x1a\x80\x04".as_slice(),
                &SYSTEM[..SYSTEM.len() - 1],
                b".",
                b"\x94.",
            ]
            .concat(),
            "runs-commands",
        ),
        (
            "a pickle in a text of Latin-1",
            text_with_pickle(),
            "runs-commands",
        ),
        ("an archive in bytes", bytes_with_archive(), "runs-commands"),
        (
            "a stack that never ends",
            [b"\x80\x02".to_vec(), vec![b'N'; 300_000], SYSTEM.to_vec()].concat(),
            "malformed",
        ),
        ("an unknown protocol", b"\x80\x06N.".to_vec(), "malformed"),
        ("a memo that has nothing", b"\x80\x02h\x09.".to_vec(), "malformed"),
        ("no opcode", b"\x80\x02\xff.".to_vec(), "malformed"),
    ];
    pickles
        .into_iter()
        .map(|(name, bytes, technique)| case(name, "model.pkl", bytes, technique, false))
        .collect()
}

fn text_with_pickle() -> Vec<u8> {
    let inner: String = [b"\x80\x02".as_slice(), SYSTEM]
        .concat()
        .into_iter()
        .map(char::from)
        .collect();
    let text = inner.as_bytes();
    [
        b"\x80\x02c_codecs\nencode\nX".as_slice(),
        &(text.len() as u32).to_le_bytes(),
        text,
        b"U\x06latin1\x86R.",
    ]
    .concat()
}

fn bytes_with_archive() -> Vec<u8> {
    let inner = archive(&[member("m/data.pkl", SYSTEM)]);
    [
        b"\x80\x03ctorch.storage\n_load_from_bytes\nB".as_slice(),
        &(inner.len() as u32).to_le_bytes(),
        &inner,
        b"\x85R.",
    ]
    .concat()
}
