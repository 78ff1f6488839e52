use std::collections::BTreeMap;

use modelkeep_core::{Digest, InvalidPath, ModelPath, manifest, sha256::Sha256};
use serde::{Deserialize, Serialize};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// Which files a model has, as OpenSSF Model Signing (version 1.0) states it: independent of how they are packed, so
/// that any tool can check a directory against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatement {
    name: String,
    files: BTreeMap<ModelPath, Digest>,
}

/// Bytes that are no such statement.
#[derive(Debug, thiserror::Error)]
pub enum MalformedStatement {
    /// Not JSON of the shape.
    #[error("it is not a statement of the form that is read here")]
    Json(#[from] serde_json::Error),
    /// A field that must have another value.
    #[error("its {0} is not what OpenSSF Model Signing 1.0 over whole files with SHA-256 says")]
    Field(&'static str),
    /// A path that must not touch a disk.
    #[error("it names a file that is refused")]
    Path(#[from] InvalidPath),
    /// A digest that is none.
    #[error("the digest of {0} is none")]
    Digest(String),
    /// The same file twice.
    #[error("it names {0} twice")]
    Twice(ModelPath),
    /// More files than are read.
    #[error("it names {0} files, and {most} are the most that is read", most = ModelStatement::MOST_FILES)]
    Files(usize),
    /// The digest of the whole is not that of the parts.
    #[error("its digest is not that of the files it lists")]
    Root,
}

/// Files that are not those of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Files of the statement that are not there.
    pub missing: Vec<ModelPath>,
    /// Files with other bytes.
    pub changed: Vec<ModelPath>,
    /// Files that the statement does not have.
    pub added: Vec<ModelPath>,
}

impl Mismatch {
    /// Whether the files are exactly those of the statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "_type")]
    statement: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256Digest {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    // Read and not honoured: a signer must not decide what goes unchecked.
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

impl ModelStatement {
    /// The type of the predicate.
    pub const PREDICATE: &'static str = "https://model_signing/signature/v1.0";

    /// The most files of a statement that is read.
    pub const MOST_FILES: usize = 100_000;

    /// What the reference tools leave out of a directory that is signed or checked: what belongs to git.
    pub const IGNORED: [&'static str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

    /// The statement that a model has these files, with the SHA-256 digests of their bytes. `name` informs and is
    /// not checked by anyone.
    ///
    /// # Errors
    /// [`MalformedStatement::Twice`], [`MalformedStatement::Digest`] for another algorithm, [`MalformedStatement::Files`].
    pub fn new(
        name: impl Into<String>,
        files: impl IntoIterator<Item = (ModelPath, Digest)>,
    ) -> Result<Self, MalformedStatement> {
        let mut all = BTreeMap::new();
        for (path, digest) in files {
            if digest.algorithm() != modelkeep_core::Algorithm::Sha256 {
                return Err(MalformedStatement::Digest(path.to_string()));
            }
            if all.insert(path.clone(), digest).is_some() {
                return Err(MalformedStatement::Twice(path));
            }
        }
        if all.len() > Self::MOST_FILES {
            return Err(MalformedStatement::Files(all.len()));
        }
        Ok(Self {
            name: name.into(),
            files: all,
        })
    }

    /// Reads a statement. It says what somebody stated, and only a signature says who.
    ///
    /// # Errors
    /// Whatever makes it none: an unknown field, another method or hash, a path twice or one that is refused, a
    /// digest of the whole that the files do not make.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStatement> {
        let document: Document = serde_json::from_slice(bytes)?;
        let Predicate {
            serialization,
            resources,
        } = document.predicate;
        let checks = [
            ("_type", document.statement == STATEMENT),
            ("predicateType", document.predicate_type == Self::PREDICATE),
            ("method", serialization.method == "files"),
            ("hash_type", serialization.hash_type == "sha256"),
            ("allow_symlinks", !serialization.allow_symlinks),
            (
                "algorithm",
                resources.iter().all(|resource| resource.algorithm == "sha256"),
            ),
            ("subject", document.subject.len() == 1),
        ];
        if let Some((field, _)) = checks.into_iter().find(|(_, right)| !right) {
            return Err(MalformedStatement::Field(field));
        }
        if resources.len() > Self::MOST_FILES {
            return Err(MalformedStatement::Files(resources.len()));
        }
        let files = resources
            .into_iter()
            .map(|resource| {
                let digest = format!("sha256:{}", resource.digest);
                let digest = digest
                    .parse()
                    .map_err(|_| MalformedStatement::Digest(resource.name.chars().take(200).collect()))?;
                Ok((resource.name.parse()?, digest))
            })
            .collect::<Result<Vec<_>, MalformedStatement>>()?;
        let subject = &document.subject[0];
        // The digest of the whole is over the order that the signer wrote.
        if root(files.iter().map(|(_, digest)| digest)).hex() != subject.digest.sha256 {
            return Err(MalformedStatement::Root);
        }
        Self::new(subject.name.clone(), files)
    }

    /// The bytes of the statement.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let resource = |(path, digest): (&ModelPath, &Digest)| Resource {
            name: path.to_string(),
            algorithm: "sha256".to_owned(),
            digest: digest.hex().to_owned(),
        };
        manifest::to_json(&Document {
            statement: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: self.name.clone(),
                digest: Sha256Digest {
                    sha256: self.root().hex().to_owned(),
                },
            }],
            predicate_type: Self::PREDICATE.to_owned(),
            predicate: Predicate {
                serialization: Serialization {
                    method: "files".to_owned(),
                    hash_type: "sha256".to_owned(),
                    allow_symlinks: false,
                    ignore_paths: Self::IGNORED.map(str::to_owned).to_vec(),
                },
                resources: self.ordered().into_iter().map(resource).collect(),
            },
        })
    }

    /// The digest of the whole: SHA-256 over the digests of the files, in order of the names between the slashes.
    #[must_use]
    pub fn root(&self) -> Digest {
        root(self.ordered().into_iter().map(|(_, digest)| digest))
    }

    /// The files and their digests, in byte order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&ModelPath, &Digest)> {
        self.files.iter()
    }

    /// What sets `found`, files that are there, apart from the statement.
    #[must_use]
    pub fn compare(&self, found: &BTreeMap<ModelPath, Digest>) -> Mismatch {
        let mut mismatch = Mismatch::default();
        for (path, digest) in &self.files {
            match found.get(path) {
                None => mismatch.missing.push(path.clone()),
                Some(other) if other != digest => mismatch.changed.push(path.clone()),
                Some(_) => {}
            }
        }
        mismatch.added = found
            .keys()
            .filter(|path| !self.files.contains_key(path))
            .cloned()
            .collect();
        mismatch
    }

    /// As the format orders them: `a/b` before `a-c`, which byte order has the other way round.
    fn ordered(&self) -> Vec<(&ModelPath, &Digest)> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by(|(a, _), (b, _)| a.components().cmp(b.components()));
        files
    }
}

fn root<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut hasher = Sha256::new();
    for digest in digests {
        hasher.update(&digest.bytes());
    }
    Digest::from_sha256(hasher.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn statement() -> ModelStatement {
        let files = ["sub-x.txt", "sub/a.txt", "sub/deep/b.bin", "config.json"];
        ModelStatement::new(
            "model",
            files.map(|path| (path.parse().unwrap(), Digest::of(path.as_bytes()))),
        )
        .unwrap()
    }

    fn json_of(statement: &ModelStatement) -> Value {
        serde_json::from_slice(&statement.to_bytes()).unwrap()
    }

    #[test]
    fn files_are_ordered_by_the_names_between_the_slashes() {
        let json = json_of(&statement());
        let names: Vec<_> = json["predicate"]["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|resource| resource["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["config.json", "sub/a.txt", "sub/deep/b.bin", "sub-x.txt"]);
    }

    #[test]
    fn the_digest_of_the_whole_is_over_the_digests_of_the_files() {
        let mut bytes = Vec::new();
        for path in ["config.json", "sub/a.txt", "sub/deep/b.bin", "sub-x.txt"] {
            bytes.extend(Digest::of(path.as_bytes()).bytes());
        }
        assert_eq!(statement().root(), Digest::of(&bytes));
    }

    #[test]
    fn a_statement_reads_what_it_wrote() {
        assert_eq!(
            ModelStatement::parse(&statement().to_bytes()).unwrap(),
            statement()
        );
    }

    #[test]
    fn a_statement_in_another_order_is_read() {
        let mut json = json_of(&statement());
        json["predicate"]["resources"].as_array_mut().unwrap().reverse();
        let mut bytes = Vec::new();
        for path in ["sub-x.txt", "sub/deep/b.bin", "sub/a.txt", "config.json"] {
            bytes.extend(Digest::of(path.as_bytes()).bytes());
        }
        json["subject"][0]["digest"]["sha256"] = json!(Digest::of(&bytes).hex());
        assert_eq!(
            ModelStatement::parse(json.to_string().as_bytes()).unwrap(),
            statement()
        );
    }

    #[test]
    fn what_is_not_exactly_a_statement_over_files_is_refused() {
        let good = json_of(&statement());
        let changes: &[(&str, Value)] = &[
            ("/_type", json!("https://in-toto.io/Statement/v0.1")),
            ("/predicateType", json!("https://model_signing/Digests/v0.1")),
            ("/extra", json!(1)),
            ("/subject/0/digest/sha256", json!("0".repeat(64))),
            ("/subject", json!([good["subject"][0], good["subject"][0]])),
            ("/subject", json!([])),
            ("/predicate/serialization/method", json!("shards")),
            ("/predicate/serialization/hash_type", json!("blake3")),
            ("/predicate/serialization/allow_symlinks", json!(true)),
            ("/predicate/extra", json!(1)),
            ("/predicate/resources/0/algorithm", json!("blake3")),
            ("/predicate/resources/0/name", json!("../config.json")),
            ("/predicate/resources/0/name", json!(".")),
            ("/predicate/resources/0/name", json!("sub/a.txt")),
            ("/predicate/resources/0/digest", json!("ABCD")),
            ("/predicate/resources/0/digest", json!(Digest::of(b"other").hex())),
        ];
        for (pointer, value) in changes {
            let mut json = good.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            json.pointer_mut(parent).unwrap()[field] = value.clone();
            assert_ne!(json, good);
            assert!(
                ModelStatement::parse(json.to_string().as_bytes()).is_err(),
                "{pointer} {value}"
            );
        }
        let mut upper = good;
        let digest = upper["predicate"]["resources"][0]["digest"]
            .as_str()
            .unwrap()
            .to_uppercase();
        upper["predicate"]["resources"][0]["digest"] = json!(digest);
        assert!(ModelStatement::parse(upper.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_comparison_names_what_differs() {
        let statement = statement();
        let mut found: BTreeMap<_, _> = statement
            .files()
            .map(|(path, digest)| (path.clone(), digest.clone()))
            .collect();
        assert!(statement.compare(&found).is_empty());
        let path = |text: &str| text.parse::<ModelPath>().unwrap();
        found.remove(&path("sub/a.txt"));
        found.insert(path("config.json"), Digest::of(b"other"));
        found.insert(path("new"), Digest::of(b"new"));
        assert_eq!(
            statement.compare(&found),
            Mismatch {
                missing: vec![path("sub/a.txt")],
                changed: vec![path("config.json")],
                added: vec![path("new")],
            }
        );
    }
}
