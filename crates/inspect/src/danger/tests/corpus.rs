//! Malicious files, each by the technique that it shows. None of them is ever loaded; the commands that they would run
//! print a word.

use super::files::{Member, archive, checkpoint, gguf, gzip, hdf5, member, npy, onnx, safetensors, zlib};

pub(super) struct Case {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    /// One of the techniques that must be found.
    pub(super) technique: &'static str,
    /// Whether a loader runs it under any name.
    pub(super) runs_anywhere: bool,
}

/// What attackers import, and what for.
const GLOBALS: &[(&str, &str, &str)] = &[
    ("os", "system", "runs-commands"),
    ("posix", "system", "runs-commands"),
    ("nt", "system", "runs-commands"),
    ("os", "execvp", "runs-commands"),
    ("os", "putenv", "runs-commands"),
    ("subprocess", "Popen", "runs-commands"),
    ("subprocess", "check_output", "runs-commands"),
    ("_posixsubprocess", "fork_exec", "runs-commands"),
    ("commands", "getoutput", "runs-commands"),
    ("popen2", "popen3", "runs-commands"),
    ("pty", "spawn", "runs-commands"),
    ("webbrowser", "open", "runs-commands"),
    ("asyncio", "create_subprocess_shell", "runs-commands"),
    (
        "asyncio.unix_events",
        "_UnixSubprocessTransport._start",
        "runs-commands",
    ),
    ("multiprocessing.util", "spawnv_passfds", "runs-commands"),
    (
        "concurrent.futures.process",
        "ProcessPoolExecutor",
        "runs-commands",
    ),
    ("platform", "popen", "runs-commands"),
    ("_osx_support", "_read_output", "runs-commands"),
    ("_aix_support", "_read_cmd_output", "runs-commands"),
    ("_pyrepl.pager", "pipe_pager", "runs-commands"),
    ("uuid", "_get_command_stdout", "runs-commands"),
    ("builtins", "eval", "runs-code"),
    ("builtins", "exec", "runs-code"),
    ("builtins", "compile", "runs-code"),
    ("builtins", "breakpoint", "runs-code"),
    ("__builtin__", "execfile", "runs-code"),
    ("__builtin__", "apply", "runs-code"),
    ("builtins", "getattr", "reaches-attributes"),
    ("builtins", "setattr", "reaches-attributes"),
    ("builtins", "map", "reaches-attributes"),
    ("builtins", "type", "reaches-attributes"),
    ("builtins", "__import__", "imports-code"),
    ("builtins", "open", "touches-files"),
    ("runpy", "_run_code", "runs-code"),
    ("runpy", "run_path", "runs-code"),
    ("code", "InteractiveInterpreter.runcode", "runs-code"),
    ("codeop", "compile_command", "runs-code"),
    ("timeit", "timeit", "runs-code"),
    ("cProfile", "run", "runs-code"),
    ("profile", "Profile.run", "runs-code"),
    ("pdb", "run", "runs-code"),
    ("bdb", "Bdb.run", "runs-code"),
    ("trace", "Trace.run", "runs-code"),
    ("doctest", "debug_script", "runs-code"),
    ("idlelib.run", "Executive.runcode", "runs-code"),
    ("idlelib.pyshell", "ModifiedInterpreter.runcommand", "runs-code"),
    ("lib2to3.pgen2.grammar", "Grammar.loads", "runs-code"),
    ("test.support.script_helper", "assert_python_ok", "runs-code"),
    ("pydoc", "pipepager", "runs-code"),
    ("marshal", "loads", "runs-code"),
    ("numpy.testing._private.utils", "runstring", "runs-code"),
    ("numpy.f2py.crackfortran", "getlincoef", "runs-code"),
    ("sympy.core.sympify", "sympify", "runs-code"),
    ("torch.jit.unsupported_tensor_ops", "execWrapper", "runs-code"),
    ("torch._inductor.codecache", "compile_file", "runs-code"),
    ("torch._dynamo.guards", "GuardBuilder.get", "runs-code"),
    (
        "torch.fx.experimental.symbolic_shapes",
        "ShapeEnv.evaluate_guards_expression",
        "runs-code",
    ),
    ("torch.utils.collect_env", "run", "runs-code"),
    ("torch.utils.bottleneck.__main__", "run_cprofile", "runs-code"),
    (
        "torch.utils._config_module",
        "ConfigModule.load_config",
        "runs-code",
    ),
    (
        "torch.utils.data.datapipes.utils.decoder",
        "basichandlers",
        "runs-code",
    ),
    ("cloudpickle.cloudpickle", "_make_function", "runs-code"),
    ("cloudpickle.cloudpickle", "subimport", "runs-code"),
    ("dill._dill", "_create_function", "runs-code"),
    ("importlib", "import_module", "imports-code"),
    ("importlib.machinery", "SourceFileLoader", "imports-code"),
    ("imp", "load_source", "imports-code"),
    ("pkgutil", "resolve_name", "imports-code"),
    ("zipimport", "zipimporter", "imports-code"),
    ("ctypes", "CDLL", "imports-code"),
    ("site", "execsitecustomize", "imports-code"),
    ("torch.hub", "load", "imports-code"),
    ("torch.utils.cpp_extension", "load", "imports-code"),
    ("pip", "main", "installs-packages"),
    ("pip._internal.cli.main", "main", "installs-packages"),
    ("ensurepip", "_run_pip", "installs-packages"),
    ("venv", "create", "installs-packages"),
    ("distutils.file_util", "write_file", "installs-packages"),
    ("setuptools.sandbox", "run_setup", "installs-packages"),
    ("pickle", "loads", "unpickles"),
    ("_pickle", "Unpickler", "unpickles"),
    ("cPickle", "loads", "unpickles"),
    ("torch", "load", "unpickles"),
    ("torch.serialization", "load", "unpickles"),
    ("joblib", "load", "unpickles"),
    ("numpy", "load", "unpickles"),
    ("pandas.io.pickle", "read_pickle", "unpickles"),
    ("shelve", "open", "unpickles"),
    ("yaml", "unsafe_load", "unpickles"),
    ("socket", "create_connection", "uses-the-network"),
    ("ssl", "get_server_certificate", "uses-the-network"),
    ("urllib.request", "urlopen", "uses-the-network"),
    ("http.client", "HTTPSConnection", "uses-the-network"),
    ("httplib", "HTTPSConnection", "uses-the-network"),
    ("requests.api", "get", "uses-the-network"),
    ("aiohttp.client", "ClientSession", "uses-the-network"),
    ("imaplib", "IMAP4_stream", "uses-the-network"),
    ("smtplib", "SMTP", "uses-the-network"),
    ("shutil", "rmtree", "touches-files"),
    ("_io", "FileIO", "touches-files"),
    ("io", "open", "touches-files"),
    ("numpy", "fromfile", "touches-files"),
    ("tempfile", "NamedTemporaryFile", "touches-files"),
    ("operator", "attrgetter", "reaches-attributes"),
    ("_operator", "methodcaller", "reaches-attributes"),
    ("functools", "partial", "reaches-attributes"),
    ("types", "CodeType", "reaches-attributes"),
    ("types", "FunctionType", "reaches-attributes"),
    ("torch.serialization", "os.system", "reaches-attributes"),
    ("torch", "storage.__class__.__base__", "reaches-attributes"),
    ("logging", "FileHandler", "standard-library"),
    ("logging.config", "_resolve", "standard-library"),
    ("atexit", "register", "standard-library"),
    ("mailcap", "findmatch", "standard-library"),
    ("signal", "signal", "standard-library"),
    ("sys", "settrace", "standard-library"),
];

fn case(name: &str, path: &str, bytes: Vec<u8>, technique: &'static str, runs_anywhere: bool) -> Case {
    Case {
        name: name.to_owned(),
        path: path.to_owned(),
        bytes,
        technique,
        runs_anywhere,
    }
}

/// `os.system("echo")` in protocol 0.
const SYSTEM: &[u8] = b"cos\nsystem\n(S'echo'\ntR.";

fn unicode(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x8c, text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn spellings() -> Vec<Case> {
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

fn computed() -> Vec<Case> {
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

fn containers() -> Vec<Case> {
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
pub(super) fn lies() -> Vec<Case> {
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

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let globals = GLOBALS.iter().map(|(module, name, technique)| {
        let bytes = format!("c{module}\n{name}\n(S'echo'\ntR.").into_bytes();
        case(&format!("{module}.{name}"), "model.pkl", bytes, technique, true)
    });
    globals
        .chain(spellings())
        .chain(computed())
        .chain(containers())
        .collect()
}
