//! An entry as a manifest: all that a registry knows how to keep.

use std::collections::BTreeMap;

use modelkeep_core::{Descriptor, Index, annotation, manifest, media};

use crate::{EntryId, MalformedEntry, Operation, Written};

/// Largest entry on such a registry, in bytes.
pub(super) const MOST_ENTRY: u64 = 256 << 10;
/// Largest manifest that carries one: its text is quoted in JSON, and each quotation mark takes two bytes.
pub(super) const MOST_MANIFEST: u64 = 2 * MOST_ENTRY + (16 << 10);

/// Why a manifest is not that of an entry.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is something else.
    #[error("it is no index that carries an entry")]
    NoEntry,
    /// What it carries is none.
    #[error(transparent)]
    Entry(#[from] MalformedEntry),
    /// It says more or less than what follows from the entry.
    #[error("it is not the index of the entry that it carries")]
    Dressed,
    /// It is another entry than the tag says.
    #[error("it is the entry {0}")]
    Other(EntryId),
}

/// The index that carries an entry: a pure function of its bytes. It lists the manifest that the entry names, which no
/// collection takes away then.
///
/// # Errors
/// When the bytes are no entry.
pub fn to_manifest(entry: &[u8]) -> Result<Vec<u8>, MalformedEntry> {
    Ok(index(&Written::parse(entry)?, entry))
}

fn index(written: &Written, entry: &[u8]) -> Vec<u8> {
    let named = match written.entry.operation() {
        Operation::Delete(_) => None,
        other => other.manifest(),
    };
    let plain = |it: &Descriptor| Descriptor::plain(&it.media_type, it.digest.clone(), it.size);
    manifest::to_json(&Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: Some(media::HISTORY_ENTRY.to_owned()),
        manifests: named.map(plain).into_iter().collect(),
        subject: None,
        annotations: BTreeMap::from([(
            annotation::ENTRY.to_owned(),
            String::from_utf8_lossy(entry).into_owned(),
        )]),
    })
}

/// The entry that an index carries. That it follows a history, and who made it, is not looked at.
///
/// # Errors
/// When it is not what [`to_manifest`] makes.
pub fn from_manifest(bytes: &[u8]) -> Result<(Written, Vec<u8>), Unfit> {
    let index: Index = serde_json::from_slice(bytes).map_err(|_| Unfit::NoEntry)?;
    let mut annotations = index.annotations;
    let entry = annotations
        .remove(annotation::ENTRY)
        .ok_or(Unfit::NoEntry)?
        .into_bytes();
    let written = Written::parse(&entry)?;
    match self::index(&written, &entry) == bytes {
        true => Ok((written, entry)),
        false => Err(Unfit::Dressed),
    }
}

#[cfg(test)]
mod tests {
    use modelkeep_core::Digest;

    use super::*;
    use crate::{Draft, History, Publish, Who};

    fn entry() -> Vec<u8> {
        let memory = modelkeep_testkit::Memory::default();
        let manifest = {
            use modelkeep_core::content::Target;
            let config = memory.put(media::OCI_CONFIG, b"{}").unwrap();
            let image = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
            memory
                .put(media::OCI_MANIFEST, &manifest::to_json(&image))
                .unwrap()
        };
        let draft = Draft {
            version: "1.0".parse().unwrap(),
            who: Who {
                time: "2026-11-01T00:00:00Z".to_owned(),
                author: "\"a\" \u{1f600}".to_owned(),
                seal: None,
            },
            children: Vec::new(),
            publish: Publish::of(manifest),
        };
        crate::publish(&memory, draft).unwrap();
        modelkeep_core::content::Journal::entries(&memory, 1)
            .unwrap()
            .remove(0)
    }

    #[test]
    fn an_entry_comes_back_from_its_index_which_pins_what_it_names() {
        let entry = entry();
        let bytes = to_manifest(&entry).unwrap();
        let (written, back) = from_manifest(&bytes).unwrap();
        assert_eq!(back, entry);
        let index: Index = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(Some(&index.manifests[0]), written.entry.operation().manifest());
        assert!(History::verify(&[back]).is_ok());
    }

    #[test]
    fn every_other_manifest_is_refused() {
        let bytes = to_manifest(&entry()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            if let Ok((written, _)) = from_manifest(&changed) {
                let (before, _) = from_manifest(&bytes).unwrap();
                assert_ne!(written.id, before.id, "byte {at}");
            }
        }
        for other in [&b""[..], b"{}", br#"{"schemaVersion":2,"manifests":[]}"#] {
            assert!(matches!(from_manifest(other), Err(Unfit::NoEntry)));
        }
        let mut index: Index = serde_json::from_slice(&bytes).unwrap();
        index.manifests.push(Descriptor::plain("a/b", Digest::of(b""), 0));
        assert!(matches!(
            from_manifest(&manifest::to_json(&index)),
            Err(Unfit::Dressed)
        ));
    }
}
