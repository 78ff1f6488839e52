//! The hashes of tensors: kept by the digest of their file, so that a file that is known need not be read again.

use std::{io::Read as _, path::PathBuf};

use modelkeep_core::{Digest, sha256::Sha256};
use modelkeep_disk::publish;
use modelkeep_inspect::{Plan, TensorHasher};
use modelkeep_package::{
    pack::{self, PackError},
    scan::ModelFile,
};

use crate::settings::Settings;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Which hashes the tensors of files had.
pub(crate) struct HashCache {
    directory: PathBuf,
    is_kept: bool,
}

impl HashCache {
    /// The cache in the directory of the store. Nothing is added to it unless `is_kept`.
    pub(crate) fn new(settings: &Settings, is_kept: bool) -> Self {
        Self {
            directory: settings.store.value.join("cache").join("tensors"),
            is_kept,
        }
    }

    /// The hashes of the tensors of the file with this digest.
    pub(crate) fn find(&self, file: &Digest, plan: &Plan) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.path(file, plan)).ok()?;
        // The last line is the digest of those above it.
        let (hashes, sum) = text.trim_end().rsplit_once('\n')?;
        let is_whole = Digest::of(hashes.as_bytes()).hex() == sum;
        let hashes: Vec<String> = hashes.lines().map(str::to_owned).collect();
        (is_whole && hashes.len() == plan.ranges().len()).then_some(hashes)
    }

    /// Keeps them. What cannot be kept is found out again.
    pub(crate) fn add(&self, file: &Digest, plan: &Plan, hashes: &[String]) {
        if !self.is_kept || std::fs::create_dir_all(&self.directory).is_err() {
            return;
        }
        let text = hashes.join("\n");
        let sum = Digest::of(text.as_bytes());
        let _ = publish::replace(
            &self.path(file, plan),
            format!("{text}\n{}\n", sum.hex()).as_bytes(),
        );
    }

    fn path(&self, file: &Digest, plan: &Plan) -> PathBuf {
        self.directory
            .join(format!("{}-{}", file.hex(), &plan.fingerprint()[..16]))
    }
}

/// Reads a file for the hashes of its tensors, and for its digest.
pub(crate) fn read(scanned: &ModelFile, plan: &Plan) -> Result<(Digest, Vec<String>), PackError> {
    let mut opened = pack::open(scanned)?;
    let (mut tensors, mut whole) = (TensorHasher::new(plan), Sha256::new());
    let mut piece = vec![0; PIECE];
    loop {
        let came = match opened.read(&mut piece) {
            Ok(0) => break,
            Ok(came) => came,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let path = scanned.location.clone();
                return Err(PackError::Read { path, source });
            }
        };
        tensors.update(&piece[..came]);
        whole.update(&piece[..came]);
    }
    let hashes = tensors
        .finish()
        .ok_or_else(|| PackError::Changed(scanned.path.clone()))?;
    Ok((Digest::from_sha256(whole.finish()), hashes))
}
