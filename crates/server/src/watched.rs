//! A value made from files, made anew when they change.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

type Load<T, E> = Box<dyn Fn(&[PathBuf]) -> Result<T, E> + Send + Sync>;
/// When a file changed, its length and its inode; `None` where there is none.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

/// The value and when its files were last looked at.
pub(crate) struct Watched<T, E> {
    paths: Vec<PathBuf>,
    load: Load<T, E>,
    every: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamp: Stamp,
    checked: Instant,
}

impl<T, E> Watched<T, E> {
    /// Loads the value; later its files are looked at again at most once in `every`.
    pub(crate) fn open(
        paths: Vec<PathBuf>,
        every: Duration,
        load: impl Fn(&[PathBuf]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Stamped before it is read: a change in between is seen at the next look.
        let stamp = stamp(&paths);
        let value = Arc::new(load(&paths)?);
        let state = Mutex::new(State {
            value,
            stamp,
            checked: Instant::now(),
        });
        Ok(Self {
            paths,
            load: Box::new(load),
            every,
            state,
        })
    }

    /// The present value, and once after a change that could not be loaded, why not.
    pub(crate) fn get(&self) -> (Arc<T>, Option<E>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failure = None;
        if state.checked.elapsed() >= self.every {
            let stamp = stamp(&self.paths);
            if stamp != state.stamp {
                match (self.load)(&self.paths) {
                    Ok(value) => state.value = Arc::new(value),
                    Err(error) => failure = Some(error),
                }
                state.stamp = stamp;
            }
            state.checked = Instant::now();
        }
        (Arc::clone(&state.value), failure)
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    paths
        .iter()
        .map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_loaded_and_one_that_cannot_be_loaded_changes_nothing() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let watched = Watched::open(vec![path.clone()], Duration::ZERO, |paths| {
            let text = std::fs::read_to_string(&paths[0]).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        })
        .unwrap();
        assert_eq!(watched.get(), (Arc::new(1), None));
        std::fs::write(&path, "22").unwrap();
        assert_eq!(watched.get(), (Arc::new(22), None));
        std::fs::write(&path, "none").unwrap();
        let (value, failure) = watched.get();
        assert!(*value == 22 && failure.is_some());
        assert_eq!(watched.get(), (Arc::new(22), None), "the failure is told once");
        std::fs::remove_file(&path).unwrap();
        assert!(watched.get().1.is_some());
        std::fs::write(&path, "333").unwrap();
        assert_eq!(watched.get(), (Arc::new(333), None));
    }
}
