use modelkeep_core::Document;

use super::*;
use crate::{
    layout::{layout, layout_raw},
    testing::model_file,
};

fn files() -> Vec<ModelFile> {
    let mut files = vec![
        model_file("README.md", 1),
        model_file("empty.txt", 0),
        model_file("onnx/model.onnx", 9 << 20),
        model_file("run", 2),
    ];
    files[3].mode = FileMode::Executable;
    files
}

fn artifact(provenance: &Provenance, about: &About, limits: &Limits) -> Result<Image, ImageError> {
    let files = files();
    let plans = layout_raw(&files, limits).unwrap();
    // Two files with the same bytes.
    let digests = [b"1", b"2", b"3", b"1"].map(|bytes| Digest::of(bytes));
    let contents = image::contents(&files, &digests, &plans, &digests).unwrap();
    let layers = plans.iter().zip(&digests);
    let mut layers: Vec<Descriptor> = layers
        .map(|(plan, digest)| layer_descriptor(&files, plan, digest))
        .collect();
    layers.push(document_layer("tensors.json", b"{}"));
    build(
        contents,
        &layers,
        &ImageSettings::default(),
        provenance,
        about,
        limits,
    )
}

fn provenance() -> Provenance {
    Provenance {
        version: "1.0".to_owned(),
        licenses: Some("apache-2.0".to_owned()),
        metrics: BTreeMap::from([("f1".to_owned(), 0.5)]),
        record: Some("{\"schema\":\"x\"}".to_owned()),
        ..Provenance::default()
    }
}

fn manifest(image: &Image) -> Manifest {
    match Document::parse(media::OCI_MANIFEST, &image.manifests[0].bytes).unwrap() {
        Document::Image(manifest) => manifest,
        Document::Index(_) => panic!("an artifact was made"),
    }
}

#[test]
fn each_file_is_a_layer_with_its_path_and_metadata() {
    let image = artifact(&provenance(), &About::default(), &Limits::default()).unwrap();
    let manifest = manifest(&image);
    assert_eq!(manifest.artifact_type.as_deref(), Some(ARTIFACT_TYPE));
    assert_eq!(manifest.config.media_type, CONFIG);
    let types: Vec<&str> = manifest
        .layers
        .iter()
        .map(|layer| layer.media_type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "application/vnd.cncf.model.doc.v1.raw",
            "application/vnd.cncf.model.doc.v1.raw",
            "application/vnd.cncf.model.weight.v1.raw",
            "application/vnd.cncf.model.weight.config.v1.raw",
            "application/vnd.cncf.model.doc.v1.raw",
        ]
    );
    let onnx = &manifest.layers[2].annotations;
    assert_eq!(onnx[FILE_PATH], "onnx/model.onnx");
    assert_eq!(onnx[annotation::TITLE], "onnx/model.onnx");
    assert_eq!(onnx[UNTESTED], "false");
    assert_eq!(
        onnx[FILE_METADATA],
        r#"{"name":"model.onnx","mode":420,"uid":0,"gid":0,"size":9437184,"mtime":"1970-01-01T00:00:00Z","typeflag":0}"#
    );
    let run = &manifest.layers[3].annotations;
    assert_eq!(run[UNTESTED], "true");
    assert!(run[FILE_METADATA].contains("\"mode\":493"));
    assert_eq!(
        manifest.annotations[annotation::RECORD],
        provenance().record.unwrap()
    );
    assert_eq!(manifest.annotations[annotation::METRICS], "{\"f1\":0.5}");
}

#[test]
fn the_config_says_what_is_known_and_nothing_else() {
    let about = About {
        name: "digits".to_owned(),
        architecture: Some("BertModel".to_owned()),
        format: Some("safetensors".to_owned()),
        parameters: Some(22_713_216),
        dtypes: ["F32", "I64"].map(str::to_owned).to_vec(),
        ..About::default()
    };
    let image = artifact(&provenance(), &about, &Limits::default()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&image.configs[0].bytes).unwrap();
    assert_eq!(
        config["descriptor"],
        serde_json::json!({"name": "digits", "version": "1.0", "licenses": ["apache-2.0"]})
    );
    assert_eq!(
        config["config"],
        serde_json::json!({
            "architecture": "BertModel", "format": "safetensors", "paramSize": "22.7M", "precision": "float32"
        })
    );
    let layers = manifest(&image).layers;
    let digests: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(
        config["modelfs"],
        serde_json::json!({"type": "layers", "diffIds": digests})
    );
    let bare = artifact(&Provenance::default(), &About::default(), &Limits::default()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&bare.configs[0].bytes).unwrap();
    assert_eq!(config["descriptor"], serde_json::json!({"version": ""}));
    assert_eq!(config["config"], serde_json::json!({}));
}

#[test]
fn the_manifest_gives_the_contents_list_back() {
    let image = artifact(&provenance(), &About::default(), &Limits::default()).unwrap();
    let config = image_config(&manifest(&image)).unwrap();
    let labels = config.config.labels.unwrap();
    assert_eq!(Contents::parse(&labels[Contents::LABEL]).unwrap(), image.contents);
    assert_eq!(labels[annotation::ROOT], image.contents.root().to_string());
}

#[test]
fn layers_of_others_make_no_list_or_a_refusal() {
    let image = artifact(&provenance(), &About::default(), &Limits::default()).unwrap();
    let changed = |change: &dyn Fn(&mut Descriptor)| {
        let mut manifest = manifest(&image);
        change(&mut manifest.layers[2]);
        image_config(&manifest)
    };
    let tar = changed(&|layer| layer.media_type = layer.media_type.replace(".raw", ".tar")).unwrap();
    assert!(!tar.config.labels.unwrap().contains_key(Contents::LABEL));
    let nameless = changed(&|layer| layer.annotations.clear()).unwrap();
    assert!(!nameless.config.labels.unwrap().contains_key(Contents::LABEL));
    for path in ["../x", "/x", "README.md", "README.md/x"] {
        let named = changed(&|layer| {
            layer.annotations.insert(FILE_PATH.to_owned(), path.to_owned());
        });
        assert!(named.is_err(), "{path}");
    }
}

#[test]
fn an_artifact_whose_layers_are_not_its_root_is_refused() {
    let image = artifact(&provenance(), &About::default(), &Limits::default()).unwrap();
    let mut manifest = manifest(&image);
    assert!(is_own(&manifest));
    manifest.layers[0].digest = Digest::of(b"another");
    assert!(matches!(
        image_config(&manifest),
        Err(modelkeep_core::MalformedContents::Root { .. })
    ));
    manifest.annotations.remove(annotation::ROOT);
    assert!(!is_own(&manifest));
}

#[test]
fn an_artifact_that_no_registry_takes_is_not_made() {
    let limits = Limits {
        manifest_bytes: 1000,
        ..Limits::default()
    };
    assert!(matches!(
        artifact(&provenance(), &About::default(), &limits),
        Err(ImageError::ManifestTooLarge { .. })
    ));
}

#[test]
fn archives_keep_their_paths_in_the_image() {
    let files = files();
    let plans = layout(&files, &ImagePath::default(), &Limits::default()).unwrap();
    let digest = Digest::of(b"x");
    let [small, large] = [0, 1].map(|n| layer_descriptor(&files, &plans[n], &digest));
    assert_eq!(
        small.media_type,
        "application/vnd.cncf.model.weight.config.v1.tar"
    );
    assert_eq!(small.annotations[FILE_PATH], "models");
    assert_eq!(large.media_type, "application/vnd.cncf.model.weight.v1.tar");
    assert_eq!(large.annotations[FILE_PATH], "models/onnx/model.onnx");
    assert_eq!(large.size, plans[1].size());
}

#[test]
fn numbers_and_their_types_are_said_in_the_words_of_the_specification() {
    for (count, size) in [
        (0, None),
        (49, None),
        (650, Some("0.7K")),
        (999_949, Some("999.9K")),
        (999_950, Some("1M")),
        (22_713_216, Some("22.7M")),
        (8_030_261_248, Some("8B")),
        (u64::MAX, Some("18446.7Q")),
    ] {
        assert_eq!(param_size(count).as_deref(), size, "{count}");
    }
    for (dtypes, said) in [
        (&["F32", "I64"][..], Some("float32")),
        (&["I8", "U8"], Some("int8,uint8")),
        (&["BF16", "F32", "F8_E4M3"], Some("bfloat16,float32,float8_e4m3")),
        (&["Q4_K"], None),
        (&["", "é"], None),
    ] {
        let dtypes: Vec<String> = dtypes.iter().map(|&dtype| dtype.to_owned()).collect();
        assert_eq!(precision(&dtypes).as_deref(), said, "{dtypes:?}");
    }
}
