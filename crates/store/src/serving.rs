//! What a server asks of a store beside the ports.

use std::{
    fs::File,
    io::{ErrorKind, Write},
};

use modelkeep_core::{
    Digest,
    content::{Error, Result},
};
use modelkeep_disk::{Staged, free_bytes};

use crate::{Repository, Store, records};

impl Store {
    /// How many bytes can still be written to the disk of the store.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn free_bytes(&self) -> Result<u64> {
        let root = self.keys.root();
        free_bytes(root).map_err(Error::io(format!("look at the disk of {}", root.display())))
    }

    /// Reads what makes the directory a store, and writes a file that goes away again.
    ///
    /// # Errors
    /// Whatever keeps the store from being used.
    pub fn probe(&self) -> Result<()> {
        Self::open(self.keys.root())?;
        let staging = self.keys.staging();
        Staged::create(&staging)
            .and_then(|staged| staged.file().write_all(b"probe"))
            .map_err(Error::io(format!("write to {}", staging.display())))
    }
}

impl Repository {
    /// A blob that the repository may read, open, and its size in bytes. Whoever has it open reads it to its end,
    /// even when it is collected meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn blob_file(&self, digest: &Digest) -> Result<Option<(File, u64)>> {
        if records::size(&self.keys.link(digest))?.is_none() {
            return Ok(None);
        }
        let path = self.store.blob(digest);
        let io = || Error::io(format!("read {}", path.display()));
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => {
                let file = file.map_err(io())?;
                let size = file.metadata().map_err(io())?.len();
                Ok(Some((file, size)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use modelkeep_core::{Mutability, content::Target};

    use super::*;

    #[test]
    fn a_blob_is_opened_where_it_is_linked_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::create(&home.path().join("store")).unwrap();
        let make = |name: &str| {
            let name = name.parse().unwrap();
            store
                .create_repository(&name, &Mutability::Mutable, "2026-01-01T00:00:00Z")
                .unwrap()
                .0
        };
        let (one, two) = (make("one"), make("two"));
        let blob = one.put("text/plain", b"hello").unwrap();
        let (mut file, size) = one.blob_file(&blob.digest).unwrap().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), ("hello", 5));
        assert!(two.blob_file(&blob.digest).unwrap().is_none());
        assert!(store.free_bytes().unwrap() > 0);
        store.probe().unwrap();
    }
}
