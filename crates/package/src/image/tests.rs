use modelkeep_core::{Document, ImageConfig};

use super::*;
use crate::{layout::layout, testing::model_file};

fn provenance() -> Provenance {
    Provenance {
        version: "1.0".to_owned(),
        title: Some("Digits".to_owned()),
        metrics: BTreeMap::from([("accuracy".to_owned(), 0.975), ("epochs".to_owned(), 3.0)]),
        ..Provenance::default()
    }
}

fn parts() -> (Contents, Vec<Descriptor>) {
    let files = [
        model_file("a/b", 1),
        model_file("large", 9 << 20),
        model_file("z", 1),
    ];
    let plans = layout(&files, &ImagePath::default(), &Limits::default()).unwrap();
    let digests = [Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"5")];
    let layers = [Digest::of(b"3"), Digest::of(b"4")];
    let contents = contents(&files, &digests, &plans, &layers).unwrap();
    let descriptors = plans.iter().zip(&layers);
    let descriptors = descriptors
        .map(|(plan, digest)| layer_descriptor(&files, plan, digest))
        .collect();
    (contents, descriptors)
}

fn image(
    settings: &ImageSettings,
    provenance: &Provenance,
    platforms: Platforms,
    limits: &Limits,
) -> Result<Image, ImageError> {
    let (contents, layers) = parts();
    build(contents, &layers, settings, provenance, platforms, limits)
}

#[test]
fn an_image_says_what_its_files_are() {
    let settings = ImageSettings::default();
    let image = image(&settings, &provenance(), Platforms::Single, &Limits::default()).unwrap();
    let Document::Image(manifest) = Document::parse(media::OCI_MANIFEST, &image.manifests[0].bytes).unwrap()
    else {
        panic!("an image was made");
    };
    assert_eq!(image.top(), &image.manifests[0].descriptor);
    assert_eq!(manifest.config, image.configs[0].descriptor);
    assert_eq!(manifest.layers[0].annotations.len(), 0);
    assert_eq!(manifest.layers[1].annotations[annotation::TITLE], "large");
    assert_eq!(
        manifest.annotations[annotation::METRICS],
        r#"{"accuracy":0.975,"epochs":3.0}"#
    );
    assert!(!manifest.annotations.contains_key(annotation::CREATED));
    let config: ImageConfig = serde_json::from_slice(&image.configs[0].bytes).unwrap();
    let labels = config.config.labels.unwrap();
    assert_eq!(Contents::parse(&labels[Contents::LABEL]).unwrap(), image.contents);
    assert!(
        manifest
            .annotations
            .iter()
            .all(|(name, value)| labels[name] == *value)
    );
    assert_eq!(config.rootfs.diff_ids, image.contents.layers());
}

#[test]
fn an_index_lists_two_platforms_over_the_same_layers() {
    let settings = ImageSettings::default();
    let image = image(&settings, &provenance(), Platforms::Index, &Limits::default()).unwrap();
    let index = image.index.as_ref().unwrap();
    let Document::Index(parsed) = Document::parse(media::OCI_INDEX, &index.bytes).unwrap() else {
        panic!("an index was made");
    };
    assert_eq!(image.top(), &index.descriptor);
    let architectures: Vec<&str> = parsed
        .manifests
        .iter()
        .map(|manifest| manifest.platform.as_ref().unwrap().architecture.as_str())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    assert_ne!(image.configs[0].descriptor, image.configs[1].descriptor);
}

#[test]
fn labels_of_the_user_stand_beside_ours_and_never_in_their_place() {
    let with = |label: &str| {
        let settings = ImageSettings {
            labels: BTreeMap::from([(label.to_owned(), "mine".to_owned())]),
            ..ImageSettings::default()
        };
        image(&settings, &provenance(), Platforms::Single, &Limits::default())
    };
    let text = String::from_utf8(with(annotation::TITLE).unwrap().manifests.remove(0).bytes).unwrap();
    assert!(text.contains("\"mine\"") && !text.contains("Digits"));
    for label in [Contents::LABEL, annotation::VERSION, "dev.modelkeep.other"] {
        assert!(matches!(with(label), Err(ImageError::ReservedLabel(name)) if name == label));
    }
}

#[test]
fn only_an_image_that_is_to_be_run_says_how() {
    let config = |settings: &ImageSettings| {
        let image = image(settings, &provenance(), Platforms::Single, &Limits::default()).unwrap();
        String::from_utf8(image.configs[0].bytes.clone()).unwrap()
    };
    let model = config(&ImageSettings::default());
    for field in ["User", "Env", "Entrypoint", "Cmd"] {
        assert!(!model.contains(&format!("\"{field}\"")), "{model}");
    }
    let program = config(&ImageSettings {
        run: RunSettings {
            entrypoint: vec!["/app/bin/serve".to_owned()],
            cmd: vec!["--quiet".to_owned()],
            env: BTreeMap::from([("HOME".to_owned(), "/data".to_owned())]),
            user: Some("65532".to_owned()),
        },
        ..ImageSettings::default()
    });
    let said =
        r#""User":"65532","Env":["HOME=/data"],"Entrypoint":["/app/bin/serve"],"Cmd":["--quiet"],"Labels""#;
    assert!(program.contains(said), "{program}");
}

#[test]
fn what_would_not_be_read_everywhere_is_refused() {
    let settings = ImageSettings::default();
    let with = |provenance: &Provenance, limits: &Limits| {
        image(&settings, provenance, Platforms::Single, limits).unwrap_err()
    };
    let tight = Limits {
        config_bytes: 100,
        ..Limits::default()
    };
    assert!(matches!(
        with(&provenance(), &tight),
        ImageError::ConfigTooLarge {
            files: 3,
            most: 100,
            ..
        }
    ));
    let tight = Limits {
        manifest_bytes: 100,
        ..Limits::default()
    };
    assert!(matches!(
        with(&provenance(), &tight),
        ImageError::ManifestTooLarge { most: 100, .. }
    ));
    let mut endless = provenance();
    endless.metrics.insert("loss".to_owned(), f64::NAN);
    assert!(matches!(
        with(&endless, &Limits::default()),
        ImageError::Metric { name, .. } if name == "loss"
    ));
}

#[test]
fn a_place_in_the_image_is_absolute_and_plain() {
    let path: ImagePath = "/opt/models".parse().unwrap();
    assert_eq!(path.to_string(), "/opt/models");
    assert_eq!(path.member("a"), "opt/models/a");
    assert_eq!(path.directories().collect::<Vec<_>>(), ["opt", "opt/models"]);
    for text in ["", "/", "models", "/models/", "/a/../b", "//a"] {
        assert!(text.parse::<ImagePath>().is_err(), "{text}");
    }
}
