use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File(PathBuf),
    Directory,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Directory => f.write_str("name of the directory"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// What was found, else the default.
pub(super) fn setting<T>(
    found: Option<T>,
    origin: impl Fn() -> Origin,
    default: impl Fn() -> T,
) -> Setting<T> {
    match found {
        Some(value) => Setting {
            value,
            origin: origin(),
        },
        None => Setting {
            value: default(),
            origin: Origin::Default,
        },
    }
}
