//! Which manifests say something about another: an index that is derived from the manifests.

use std::{
    fs::{self, File},
    io::ErrorKind,
};

use modelkeep_core::{
    Descriptor, Digest,
    content::{Error, Result},
};
use modelkeep_disk::publish;

use crate::{Repository, keys, records};

impl Repository {
    /// The manifests of the repository whose subject is `subject`, in the order of their digests, each with its
    /// artifact type and its annotations (distribution-spec, "Listing Referrers"). The subject need not be here.
    ///
    /// # Errors
    /// [`Error::Io`], and whatever keeps one of them from being read.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let read = |manifest: Result<Descriptor>| {
            let manifest = manifest?;
            Ok(self.document(&manifest)?.referrer(manifest))
        };
        self.referrers_after(subject, None)?.map(read).collect()
    }

    /// As [`Repository::referrers`], of those after `last`, and without what only they themselves say: all of it may
    /// be more than fits into memory.
    ///
    /// # Errors
    /// As [`Repository::referrers`], also of each item.
    pub fn referrers_after(
        &self,
        subject: &Digest,
        last: Option<&Digest>,
    ) -> Result<impl Iterator<Item = Result<Descriptor>>> {
        let directory = self.keys.subject(subject);
        let mut digests = records::list(&directory)?
            .iter()
            .map(|name| keys::parse_digest(name).ok_or_else(|| records::foreign(directory.join(name))))
            .collect::<Result<Vec<_>>>()?;
        digests.sort_unstable();
        let from = last.map_or(0, |last| digests.partition_point(|digest| digest <= last));
        digests.drain(..from);
        // The record of a manifest goes before its note.
        Ok(digests
            .into_iter()
            .filter_map(|digest| self.manifest(&digest).transpose()))
    }

    /// Notes that a manifest says something about another, durably.
    pub(crate) fn note_referrer(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        let path = self.keys.referrer(subject, referrer);
        let directory = self.keys.subject(subject);
        let noted = publish::create_directories(&directory).and_then(|()| match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|_| publish::sync_parent(&path)),
        });
        noted.map_err(Error::io(format!("write {}", path.display())))
    }

    /// Forgets what [`Repository::note_referrer`] noted.
    pub(crate) fn forget_referrer(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        let path = self.keys.referrer(subject, referrer);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::io(format!("remove {}", path.display()))),
        }
    }
}
