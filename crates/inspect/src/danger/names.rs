//! What the globals of a pickle are known for.

/// What is known of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It holds data, or makes an object of it, and can do nothing else.
    Harmless,
    /// What an attacker reaches for; the technique.
    Dangerous(&'static str),
    /// Neither list has it.
    Unknown,
}

/// Exact pairs, as `module name name ...`. Never a whole module: all large libraries have a way to run code somewhere.
const HARMLESS: &str = include_str!("harmless.txt");

/// Modules, with all that is below them.
const MODULES: &[(&str, &[&str])] = &[
    (
        "runs-commands",
        &[
            "_aix_support",
            "_bootsubprocess",
            "_osx_support",
            "_posixsubprocess",
            "_pyrepl",
            "_winapi",
            "asyncio",
            "commands",
            "concurrent",
            "multiprocessing",
            "nt",
            "os",
            "pexpect",
            "pipes",
            "platform",
            "popen2",
            "posix",
            "pty",
            "sh",
            "subprocess",
            "uuid",
            "webbrowser",
        ],
    ),
    (
        "runs-code",
        &[
            "IPython",
            "_testcapi",
            "ast",
            "bdb",
            "cProfile",
            "code",
            "codeop",
            "compileall",
            "doctest",
            "execnet",
            "idlelib",
            "lib2to3",
            "marshal",
            "nose",
            "numexpr",
            "numpy.distutils",
            "numpy.f2py",
            "numpy.testing",
            "pandas.core.computation",
            "pdb",
            "profile",
            "py_compile",
            "pydoc",
            "pytest",
            "rlcompleter",
            "runpy",
            "sympy",
            "test",
            "timeit",
            "torch._dynamo",
            "torch._inductor",
            "torch.distributed.rpc",
            "torch.fx",
            "torch.jit",
            "torch.package",
            "trace",
            "unittest",
        ],
    ),
    (
        "imports-code",
        &[
            "_frozen_importlib",
            "_frozen_importlib_external",
            "_imp",
            "ctypes",
            "_ctypes",
            "cffi",
            "imp",
            "importlib",
            "importlib_metadata",
            "modulefinder",
            "numpy.ctypeslib",
            "pkg_resources",
            "pkgutil",
            "site",
            "torch.hub",
            "torch.utils.cpp_extension",
            "torch.ops",
            "zipimport",
        ],
    ),
    (
        "installs-packages",
        &[
            "_distutils_hack",
            "conda",
            "distutils",
            "easy_install",
            "ensurepip",
            "pip",
            "setuptools",
            "uv",
            "venv",
            "virtualenv",
        ],
    ),
    (
        "unpickles",
        &[
            "_pickle",
            "cPickle",
            "jsonpickle",
            "pickle",
            "pickle5",
            "shelve",
            "yaml",
        ],
    ),
    (
        "uses-the-network",
        &[
            "_socket",
            "_ssl",
            "aiohttp",
            "boto3",
            "botocore",
            "ftplib",
            "http",
            "httplib",
            "httplib2",
            "httpx",
            "imaplib",
            "nntplib",
            "paramiko",
            "poplib",
            "requests",
            "smtplib",
            "socket",
            "socketserver",
            "ssl",
            "telnetlib",
            "urllib",
            "urllib2",
            "urllib3",
            "websocket",
            "websockets",
            "xmlrpc",
            "xmlrpclib",
        ],
    ),
    (
        "touches-files",
        &[
            "_io",
            "_pyio",
            "fileinput",
            "fsspec",
            "glob",
            "io",
            "linecache",
            "mmap",
            "shutil",
            "smart_open",
            "sqlite3",
            "tarfile",
            "tempfile",
            "zipfile",
        ],
    ),
];

/// Single names, of modules that hold harmless ones too.
const NAMES: &[(&str, &[&str])] = &[
    (
        "runs-code",
        &[
            "cloudpickle.cloudpickle _builtin_type _function_setstate _make_cell _make_empty_cell _make_function \
             _make_skeleton_class _make_skeleton_enum _make_dict_keys subimport",
            "cloudpickle.cloudpickle_fast _function_setstate _class_setstate",
            "dill._dill _create_code _create_function _create_type _eval_repr _import_module _load_type _get_attr",
            "lib2to3.pgen2.grammar Grammar.loads",
            "pandas eval",
            "torch.utils._config_module ConfigModule.load_config load_config",
            "torch.utils.bottleneck.__main__ run_autograd_prof run_cprofile",
            "torch.utils.collect_env run",
            "torch.utils.data.datapipes.utils.decoder basichandlers",
        ],
    ),
    (
        "unpickles",
        &[
            "cloudpickle load loads",
            "cloudpickle.cloudpickle load loads",
            "dill load loads load_session load_module",
            "dill._dill load loads",
            "joblib load",
            "joblib.numpy_pickle load",
            "joblib.numpy_pickle_compat load_compatibility",
            "numpy load",
            "numpy.lib.npyio load",
            "numpy.lib._npyio_impl load",
            "pandas read_pickle",
            "pandas.io.pickle read_pickle",
            "torch load",
            "torch.serialization load _legacy_load _load",
        ],
    ),
    (
        "touches-files",
        &[
            "numpy fromfile memmap save savetxt loadtxt genfromtxt",
            "numpy.lib.npyio loadtxt genfromtxt save savetxt DataSource",
            "numpy.lib._npyio_impl loadtxt genfromtxt save savetxt",
            "numpy.lib._datasource open DataSource",
            "pandas read_csv read_table read_json read_html read_sql",
            "torch save from_file",
            "torch.serialization save",
        ],
    ),
];

/// The standard library of Python 2 and 3 by its first names. Ways to run code were found in so many of its modules that
/// what is not known to be harmless counts as dangerous.
const STANDARD: &str = include_str!("standard.txt");

/// Modules and functions that a name with dots must not lead over.
const STEPS: &[&str] = &[
    "builtins",
    "commands",
    "ctypes",
    "eval",
    "exec",
    "exec_module",
    "execv",
    "getattr",
    "import_module",
    "importlib",
    "load_module",
    "loads",
    "marshal",
    "nt",
    "os",
    "pickle",
    "popen",
    "posix",
    "runpy",
    "shutil",
    "socket",
    "spawn",
    "subprocess",
    "sys",
    "system",
];

/// What is known of the global `name` of `module`.
pub(super) fn known(module: &str, name: &str) -> Known {
    // `__torch__` is where types of TorchScript are; Python has no such module.
    if has(HARMLESS.lines(), module, name) || is_below(module, "__torch__") {
        return Known::Harmless;
    }
    // Text that is taken for a pickle names what cannot be imported.
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.<>".contains(c));
    if !is_name(module) || !is_name(name) {
        return Known::Unknown;
    }
    for (technique, names) in NAMES {
        if has(names.iter().copied(), module, name) {
            return Known::Dangerous(technique);
        }
    }
    let first = module.split('.').next().unwrap_or(module);
    if matches!(first, "builtins" | "__builtin__" | "__builtins__") {
        return Known::Dangerous(builtin(name));
    }
    if matches!(
        first,
        "operator" | "_operator" | "functools" | "_functools" | "inspect" | "types" | "weakref" | "gc"
    ) {
        return Known::Dangerous("reaches-attributes");
    }
    for (technique, modules) in MODULES {
        if modules.iter().any(|above| is_below(module, above)) {
            return Known::Dangerous(technique);
        }
    }
    if STANDARD
        .split_ascii_whitespace()
        .any(|standard| standard == first)
    {
        return Known::Dangerous("standard-library");
    }
    let is_dunder = |part: &str| part.len() > 4 && part.starts_with("__") && part.ends_with("__");
    let steps = name.split('.');
    if steps.clone().any(|step| is_dunder(step) || STEPS.contains(&step))
        || module
            .split('.')
            .skip(1)
            .any(|part| is_dunder(part) || STEPS.contains(&part))
    {
        return Known::Dangerous("reaches-attributes");
    }
    Known::Unknown
}

fn builtin(name: &str) -> &'static str {
    match name.split('.').next().unwrap_or(name) {
        "eval" | "exec" | "execfile" | "compile" | "apply" | "breakpoint" => "runs-code",
        "__import__" | "reload" => "imports-code",
        "open" | "file" => "touches-files",
        _ => "reaches-attributes",
    }
}

fn has<'a>(mut lines: impl Iterator<Item = &'a str>, module: &str, name: &str) -> bool {
    lines.any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(module) && words.any(|word| word == name)
    })
}

fn is_below(module: &str, above: &str) -> bool {
    module
        .strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_known_by_whole_names() {
        for (module, name, technique) in [
            ("os", "system", "runs-commands"),
            ("posix", "system", "runs-commands"),
            ("os.path", "join", "runs-commands"),
            ("builtins", "eval", "runs-code"),
            ("__builtin__", "getattr", "reaches-attributes"),
            ("numpy.testing._private.utils", "runstring", "runs-code"),
            ("torch.serialization", "os.system", "reaches-attributes"),
            ("torch", "storage.__class__", "reaches-attributes"),
            ("collections", "abc.sys", "standard-library"),
            ("logging", "FileHandler", "standard-library"),
            ("transformers.utils.subprocess", "run", "reaches-attributes"),
            ("uuid", "_get_command_stdout", "runs-commands"),
        ] {
            assert_eq!(
                known(module, name),
                Known::Dangerous(technique),
                "{module} {name}"
            );
        }
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("numpy", "dtype"),
            ("uuid", "UUID"),
        ] {
            assert_eq!(known(module, name), Known::Harmless, "{module} {name}");
        }
        for (module, name) in [("osmnx", "Graph"), ("numpy", "array2"), ("my_models", "Net")] {
            assert_eq!(known(module, name), Known::Unknown, "{module} {name}");
        }
    }

    #[test]
    fn no_list_contradicts_another() {
        for line in HARMLESS.lines() {
            let module = line.split_ascii_whitespace().next().unwrap();
            for (_, names) in NAMES {
                for other in *names {
                    let mut words = other.split_ascii_whitespace();
                    if words.next() == Some(module) {
                        let twice = words
                            .find(|word| line.split_ascii_whitespace().skip(1).any(|name| name == *word));
                        assert_eq!(twice, None, "{module}");
                    }
                }
            }
        }
    }
}
