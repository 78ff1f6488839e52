//! The data sets: every kind of document that a registry has to keep.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::digest::{Algorithm, Digest};
use crate::manifest::{
    CONFIG, EMPTY, EMPTY_BLOB, IMAGE, LAYER, Manifest, artifact, descriptor, image, index,
};
use crate::scene::Scene;

const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const LAYER_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const DATA: &str = "application/vnd.example.data";

/// A manifest of a set, with the tags it gets and the subject it names.
pub(super) struct Piece {
    pub(super) manifest: Manifest,
    pub(super) tags: Vec<&'static str>,
    pub(super) subject: Option<Digest>,
}

/// What is pushed together: blobs first, then the manifests in order.
#[derive(Default)]
pub(super) struct DataSet {
    pub(super) blobs: Vec<Vec<u8>>,
    pub(super) pieces: Vec<Piece>,
    /// Subjects with the descriptors that the referrers API must list for them.
    pub(super) referrers: Vec<(Digest, Value)>,
}

/// A kind of data set.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) algorithm: Algorithm,
    pub(super) has_blobs: bool,
    pub(super) has_tags: bool,
    pub(super) has_referrers: bool,
    pub(super) build: fn(&mut DataSet, &Scene<'_>),
}

const fn shape(name: &'static str, build: fn(&mut DataSet, &Scene<'_>)) -> Shape {
    Shape {
        name,
        algorithm: Algorithm::Sha256,
        has_blobs: true,
        has_tags: true,
        has_referrers: false,
        build,
    }
}

pub(super) const SHAPES: &[Shape] = &[
    shape("image", |set, scene| {
        let document = set.plain_image(scene, LAYER_GZIP);
        set.add(scene, &document, &["image", "image-again"]);
    }),
    shape("image_uncompressed", |set, scene| {
        let document = set.plain_image(scene, LAYER);
        set.add(scene, &document, &["image"]);
    }),
    shape("large_manifest", |set, scene| {
        let mut document = set.plain_image(scene, LAYER_GZIP);
        for place in 0..39 {
            document["annotations"][format!("large.{place}")] = json!("x".repeat(100_000));
        }
        set.add(scene, &document, &["large"]);
    }),
    shape("index", |set, scene| {
        let entries = set.platforms(scene);
        set.add(scene, &index(entries), &["index"]);
    }),
    shape("nested_index", |set, scene| {
        let entries = set.platforms(scene);
        let inner = set.add(scene, &index(entries), &[]);
        let more = set.platforms(scene);
        let other = set.add(scene, &index(more), &[]);
        set.add(scene, &index(vec![inner, other]), &["nested", "index"]);
    }),
    Shape {
        has_blobs: false,
        ..shape("empty_index", |set, scene| {
            let mut document = index(Vec::new());
            document["annotations"] = json!({ "unique": scene.unique() });
            set.add(scene, &document, &["index"]);
        })
    },
    shape("artifact", |set, scene| {
        let document = set.data_artifact(scene, "application/vnd.example.artifact");
        set.add(scene, &document, &["artifact"]);
    }),
    shape("artifact_index", |set, scene| {
        let first = set.data_artifact(scene, "application/vnd.example.first");
        let second = set.data_artifact(scene, "application/vnd.example.second");
        let entries = vec![set.add(scene, &first, &[]), set.add(scene, &second, &[])];
        let mut document = index(entries);
        document["artifactType"] = json!("application/vnd.example.both");
        set.add(scene, &document, &["artifact-index"]);
    }),
    shape("artifact_without_layers", |set, scene| {
        set.blobs.push(EMPTY_BLOB.to_vec());
        let mut document = artifact("application/vnd.example.word", scene.algorithm);
        document["annotations"] = json!({ "unique": scene.unique() });
        set.add(scene, &document, &["artifact"]);
    }),
    Shape {
        has_referrers: true,
        ..shape("artifacts_with_subject", |set, scene| {
            let document = set.plain_image(scene, LAYER_GZIP);
            let subject = set.add(scene, &document, &["image"]);
            set.refer(scene, &subject, "application/vnd.example.sbom", &[]);
            set.refer(
                scene,
                &subject,
                "application/vnd.example.sig",
                &["tagged-artifact"],
            );
            // Without artifactType the type of the config stands for it.
            let mut document = set.plain_image(scene, LAYER_GZIP);
            document["config"]["mediaType"] = json!("application/vnd.example.config+json");
            set.attach(scene, document, &subject, &["tagged-image"]);
        })
    },
    Shape {
        has_referrers: true,
        ..shape("index_with_subject", |set, scene| {
            let document = set.plain_image(scene, LAYER_GZIP);
            let subject = set.add(scene, &document, &["image"]);
            let entries = set.platforms(scene);
            let mut document = index(entries);
            document["artifactType"] = json!("application/vnd.example.attestations");
            set.attach(scene, document, &subject, &["index"]);
        })
    },
    Shape {
        has_referrers: true,
        ..shape("missing_subject", |set, scene| {
            let subject = descriptor(IMAGE, scene.algorithm, &scene.bytes(700));
            set.refer(scene, &subject, "application/vnd.example.sig", &["early"]);
        })
    },
    shape("data_field", |set, scene| {
        let mut document = set.plain_image(scene, LAYER_GZIP);
        for (place, pointer) in ["/config", "/layers/0", "/layers/1"].iter().enumerate() {
            let data = STANDARD.encode(&set.blobs[place]);
            if let Some(entry) = document.pointer_mut(pointer) {
                entry["data"] = json!(data);
            }
        }
        set.add(scene, &document, &["data"]);
    }),
    shape("non_distributable_layers", |set, scene| {
        let mut document = set.plain_image(scene, LAYER_GZIP);
        let mut foreign = descriptor(LAYER_FOREIGN, scene.algorithm, &scene.bytes(300));
        foreign["urls"] = json!(["https://layers.example.com/elsewhere.tar.gz"]);
        if let Some(layers) = document["layers"].as_array_mut() {
            layers.push(foreign);
        }
        set.add(scene, &document, &["foreign"]);
    }),
    shape("custom_fields", |set, scene| {
        let mut document = set.plain_image(scene, LAYER_GZIP);
        document["com.example.field"] = json!({ "b": [1, 2.5, null], "a": "\u{e9} \u{1f980}" });
        document["layers"][0]["com.example.hint"] = json!(true);
        set.add(scene, &document, &["custom"]);
    }),
    shape("no_layers", |set, scene| {
        let config = set.blob(scene, CONFIG);
        set.add(scene, &image(config, Vec::new()), &["no-layers"]);
    }),
    Shape {
        algorithm: Algorithm::Sha512,
        has_tags: false,
        has_referrers: true,
        ..shape("sha512", |set, scene| {
            let entries = set.platforms(scene);
            let subject = set.add(scene, &index(entries), &[]);
            set.refer(scene, &subject, "application/vnd.example.sig", &[]);
        })
    },
];

impl DataSet {
    /// Adds a random blob and describes it.
    fn blob(&mut self, scene: &Scene<'_>, media_type: &str) -> Value {
        let bytes = scene.bytes(512);
        let entry = descriptor(media_type, scene.algorithm, &bytes);
        self.blobs.push(bytes);
        entry
    }

    /// An image of a config and two layers, its blobs added.
    fn plain_image(&mut self, scene: &Scene<'_>, layer_type: &str) -> Value {
        let config = self.blob(scene, CONFIG);
        let layers = vec![self.blob(scene, layer_type), self.blob(scene, layer_type)];
        image(config, layers)
    }

    /// An artifact with one blob of data.
    fn data_artifact(&mut self, scene: &Scene<'_>, artifact_type: &str) -> Value {
        self.blobs.push(EMPTY_BLOB.to_vec());
        let config = descriptor(EMPTY, scene.algorithm, EMPTY_BLOB);
        let mut document = image(config, vec![self.blob(scene, DATA)]);
        document["artifactType"] = json!(artifact_type);
        document
    }

    /// Two images added, described as an index lists them.
    fn platforms(&mut self, scene: &Scene<'_>) -> Vec<Value> {
        let mut entries = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let document = self.plain_image(scene, LAYER_GZIP);
            let mut entry = self.add(scene, &document, &[]);
            entry["platform"] = json!({ "os": "linux", "architecture": architecture });
            entries.push(entry);
        }
        entries
    }

    /// Adds a manifest and describes it.
    fn add(&mut self, scene: &Scene<'_>, document: &Value, tags: &[&'static str]) -> Value {
        let manifest = Manifest::of(document);
        let entry = manifest.descriptor(scene.algorithm);
        self.pieces.push(Piece {
            manifest,
            tags: tags.to_vec(),
            subject: None,
        });
        entry
    }

    /// Adds an artifact that refers to `subject`.
    fn refer(&mut self, scene: &Scene<'_>, subject: &Value, artifact_type: &str, tags: &[&'static str]) {
        let document = self.data_artifact(scene, artifact_type);
        self.attach(scene, document, subject, tags);
    }

    /// Adds a document as a referrer of `subject`, with annotations to be listed.
    fn attach(&mut self, scene: &Scene<'_>, mut document: Value, subject: &Value, tags: &[&'static str]) {
        document["subject"] = subject.clone();
        document["annotations"] = json!({
            "org.example.unique": scene.unique(),
            "org.example.text": "two words",
        });
        let mut entry = self.add(scene, &document, tags);
        entry["annotations"] = document["annotations"].clone();
        entry["artifactType"] = match &document["artifactType"] {
            Value::Null => document["config"]["mediaType"].clone(),
            named => named.clone(),
        };
        let subject = Digest::named_by(subject);
        if let Some(piece) = self.pieces.last_mut() {
            piece.subject = Some(subject.clone());
        }
        self.referrers.push((subject, entry));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::client::Client;
    use crate::digest::Random;

    #[test]
    fn every_shape_has_what_it_says() {
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        for shape in SHAPES {
            let scene = Scene {
                client: &client,
                repo: "one".to_owned(),
                other: "two".to_owned(),
                algorithm: shape.algorithm,
                random: RefCell::new(Random(7)),
            };
            let mut set = DataSet::default();
            (shape.build)(&mut set, &scene);
            let tagged = set.pieces.iter().any(|piece| !piece.tags.is_empty());
            let referring = set.pieces.iter().any(|piece| piece.subject.is_some());
            assert_eq!(shape.has_blobs, !set.blobs.is_empty(), "{}", shape.name);
            assert_eq!(shape.has_tags, tagged, "{}", shape.name);
            assert_eq!(shape.has_referrers, referring, "{}", shape.name);
            assert_eq!(shape.has_referrers, !set.referrers.is_empty());
            for piece in &set.pieces {
                assert!(piece.manifest.bytes.len() <= 4 * 1024 * 1024);
            }
            if shape.name == "large_manifest" {
                assert!(set.pieces[0].manifest.bytes.len() >= 3_900_000);
            }
        }
    }
}
