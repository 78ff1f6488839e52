//! What a server asks of a store beside the ports.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, Write},
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

/// Bytes that wait on the disk, and not in memory, until all of them have come. Dropping it removes them; when the process
/// dies, whoever opens the store next does.
#[derive(Debug)]
pub struct Spool {
    staged: Staged,
}

impl Store {
    /// An empty spool.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn spool(&self) -> Result<Spool> {
        let staging = self.keys.staging();
        let staged =
            Staged::create(&staging).map_err(Error::io(format!("write to {}", staging.display())))?;
        Ok(Spool { staged })
    }
}

impl Spool {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.staged.path().display();
        let written = self.staged.file().write_all(bytes);
        written.map_err(Error::io(format!("write {path}")))
    }

    /// Puts all bytes into `bytes`, in the place of what is in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read_into(self, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        self.reader()?
            .read_to_end(bytes)
            .map(drop)
            .map_err(Error::io(format!("read {}", self.staged.path().display())))
    }

    /// All bytes, from the first one on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reader(&self) -> Result<&File> {
        let mut file = self.staged.file();
        file.rewind()
            .map_err(Error::io(format!("read {}", self.staged.path().display())))?;
        Ok(file)
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

    #[test]
    fn what_is_spooled_comes_back_once_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::create(home.path()).unwrap();
        let mut spool = store.spool().unwrap();
        spool.write(b"one ").unwrap();
        spool.write(b"two").unwrap();
        let mut bytes = b"before".to_vec();
        spool.read_into(&mut bytes).unwrap();
        assert_eq!(bytes, b"one two");
        drop(store.spool().unwrap());
        assert_eq!(std::fs::read_dir(store.keys.staging()).unwrap().count(), 0);
    }
}
