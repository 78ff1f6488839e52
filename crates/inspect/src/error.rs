use std::{borrow::Cow, io};

/// What a reader of model files answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file was not read. Which file it is, says whoever asked for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its bytes cannot be had.
    #[error("cannot read the bytes from {offset} on")]
    Read {
        /// Where the first of them is.
        offset: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not what its name or its first bytes say.
    #[error("no valid {format}: {problem} (at byte {offset})")]
    Malformed {
        /// The format that it should have, as people call it.
        format: &'static str,
        /// Where in the file what is wrong was found.
        offset: u64,
        /// What is wrong.
        problem: Cow<'static, str>,
    },
    /// It may be right, and is too much to be read.
    #[error("{format} with {found} {what}: {most} are the most that is read")]
    TooMuch {
        /// The format of the file.
        format: &'static str,
        /// Of what there is too much, in the plural.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// The most that is read.
        most: u64,
    },
}

impl Error {
    /// Something wrong with a file.
    pub fn malformed(format: &'static str, offset: u64, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed {
            format,
            offset,
            problem: problem.into(),
        }
    }

    /// Makes sure that there is not too much of something.
    ///
    /// # Errors
    /// [`Error::TooMuch`].
    pub fn bound(format: &'static str, what: &'static str, found: u64, most: u64) -> Result<()> {
        if found > most {
            return Err(Self::TooMuch {
                format,
                what,
                found,
                most,
            });
        }
        Ok(())
    }
}

impl From<Error> for io::Error {
    /// The error of the operating system, where it is one.
    fn from(error: Error) -> Self {
        match error {
            Error::Read { source, .. } => source,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
