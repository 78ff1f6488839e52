//! What files and layers came to when they were last read.
//!
//! The scan cache is a file of lines. Each begins with a digest over the rest of it, and is written in one go, so that
//! any number of processes may add to it, and a line that a dying one tore is known. A cache that is lost, torn or
//! made up by someone costs time; it is never an error.
//!
//! A file is known by its place and its whole [`Stamp`]. As the clock of a file system has steps, a change that comes
//! within the same step as the reading could go unseen; so what had changed only just before it was read is not kept.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use modelkeep_core::Digest;
use modelkeep_disk::publish;

use crate::scan::{ModelFile, Stamp};

const HEADER: &str = "modelkeep scan cache 1\n";
/// A cache that has grown past this is begun anew.
const MOST_BYTES: u64 = 64 << 20;
/// Below this, dead lines are no reason to write the file again.
const SMALL: usize = 64 << 10;
/// The file system tells times within a second apart: its steps are a few milliseconds.
const FINE: Duration = Duration::from_millis(50);
/// It may count in seconds, or in twos as FAT does.
const COARSE: Duration = Duration::from_secs(2);

/// The scan cache. Threads share it.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, (Stamp, Digest)>,
    layers: HashMap<Digest, (Digest, u64)>,
    file: Option<File>,
}

impl Cache {
    /// Opens the cache at `path`, which need not exist yet.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let mut state = State::default();
        let length = state.load(&path);
        if length > SMALL && length > 2 * state.live_bytes() {
            // Lines that others add at this moment are lost; they will be found out again.
            let _ = publish::replace(&path, state.print().as_bytes());
        }
        Self {
            path,
            state: Mutex::new(state),
        }
    }

    /// The digest of `file`, if it has been read as it is now.
    #[must_use]
    pub fn file(&self, file: &ModelFile) -> Option<Digest> {
        let state = self.state();
        let (stamp, digest) = state.files.get(file.location.to_str()?)?;
        (*stamp == file.stamp).then(|| digest.clone())
    }

    /// Keeps the digest of `file`; `read_at` is a moment before the first byte of it was read. Nothing is kept when
    /// the file had just changed.
    pub fn add_file(&self, file: &ModelFile, digest: &Digest, read_at: SystemTime) {
        let Some(place) = file.location.to_str().filter(|place| !place.contains('\n')) else {
            return;
        };
        if !is_settled(&file.stamp, read_at) {
            return;
        }
        let mut state = self.state();
        state.append(&self.path, &file_line(place, &file.stamp, digest));
        state.files.insert(place.to_owned(), (file.stamp, digest.clone()));
    }

    /// Digest and size of the layer that `recipe` makes; see [`crate::layout::LayerPlan::recipe`].
    #[must_use]
    pub fn layer(&self, recipe: &Digest) -> Option<(Digest, u64)> {
        self.state().layers.get(recipe).cloned()
    }

    /// Keeps what `recipe` made.
    pub fn add_layer(&self, recipe: &Digest, digest: &Digest, size: u64) {
        let mut state = self.state();
        state.append(&self.path, &layer_line(recipe, digest, size));
        state.layers.insert(recipe.clone(), (digest.clone(), size));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever a thread that panicked was adding, the maps hold whole entries.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_settled(stamp: &Stamp, read_at: SystemTime) -> bool {
    let Ok(now) = read_at.duration_since(SystemTime::UNIX_EPOCH) else {
        return false;
    };
    let margin = if stamp.ctime_ns % 1_000_000_000 == 0 {
        COARSE
    } else {
        FINE
    };
    let latest = now.as_nanos().cast_signed() - margin.as_nanos().cast_signed();
    stamp.ctime_ns.max(stamp.mtime_ns) < latest
}

impl State {
    /// Reads the file, and says how long it is.
    fn load(&mut self, path: &Path) -> usize {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > MOST_BYTES => {
                let _ = publish::replace(path, HEADER.as_bytes());
                return 0;
            }
            Ok(metadata) if metadata.is_file() => {}
            _ => return 0,
        }
        let Ok(bytes) = fs::read(path) else {
            return 0;
        };
        for line in bytes.split(|&byte| byte == b'\n') {
            // Lines of other formats and torn ones have no right digest.
            let _ = std::str::from_utf8(line).ok().and_then(|line| self.take(line));
        }
        bytes.len()
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (sum, rest) = line.split_once(' ')?;
        if sum != checksum(rest) {
            return None;
        }
        let (kind, rest) = rest.split_once(' ')?;
        match kind {
            "file" => {
                let mut words = rest.splitn(7, ' ');
                let digest = digest(words.next()?)?;
                let stamp = Stamp {
                    size: words.next()?.parse().ok()?,
                    mtime_ns: words.next()?.parse().ok()?,
                    ctime_ns: words.next()?.parse().ok()?,
                    dev: words.next()?.parse().ok()?,
                    ino: words.next()?.parse().ok()?,
                };
                self.files.insert(words.next()?.to_owned(), (stamp, digest));
            }
            "layer" => {
                let mut words = rest.split(' ');
                let (recipe, layer) = (digest(words.next()?)?, digest(words.next()?)?);
                self.layers.insert(recipe, (layer, words.next()?.parse().ok()?));
            }
            _ => return None,
        }
        Some(())
    }

    /// Adds a line to the file, in one write. What cannot be written is found out again next time.
    fn append(&mut self, path: &Path, line: &str) {
        if self.file.is_none() {
            if let Some(parent) = path.parent() {
                let _ = fs::create_dir_all(parent);
            }
            self.file = OpenOptions::new().create(true).append(true).open(path).ok();
            if let Some(file) = &mut self.file
                && file.metadata().is_ok_and(|metadata| metadata.len() == 0)
            {
                let _ = file.write_all(HEADER.as_bytes());
            }
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn live_bytes(&self) -> usize {
        let files: usize = self.files.keys().map(|place| place.len() + 170).sum();
        files + self.layers.len() * 170
    }

    fn print(&self) -> String {
        let mut text = HEADER.to_owned();
        for (place, (stamp, digest)) in &self.files {
            text.push_str(&file_line(place, stamp, digest));
        }
        for (recipe, (digest, size)) in &self.layers {
            text.push_str(&layer_line(recipe, digest, *size));
        }
        text
    }
}

fn digest(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

fn checksum(rest: &str) -> String {
    Digest::of(rest.as_bytes()).hex()[..16].to_owned()
}

fn line(rest: &str) -> String {
    format!("{} {rest}\n", checksum(rest))
}

fn file_line(place: &str, stamp: &Stamp, digest: &Digest) -> String {
    let mut rest = format!("file {}", digest.hex());
    let numbers = [
        i128::from(stamp.size),
        stamp.mtime_ns,
        stamp.ctime_ns,
        i128::from(stamp.dev),
        i128::from(stamp.ino),
    ];
    for number in numbers {
        let _ = write!(rest, " {number}");
    }
    line(&format!("{rest} {place}"))
}

fn layer_line(recipe: &Digest, digest: &Digest, size: u64) -> String {
    line(&format!("layer {} {} {size}", recipe.hex(), digest.hex()))
}

#[cfg(test)]
mod tests;
