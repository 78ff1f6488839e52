use serde_json::json;

use super::*;
use crate::testing::Foreign;

const MODEL_PACK: &str = "application/vnd.cncf.model.config.v1+json";
const FILE_PATH: &str = "org.cncf.model.filepath";

/// The parts of a version: what they hold, and whether what they expand to is stated.
fn parts(described: &Described) -> Vec<(String, bool)> {
    let shown = |part: &Part| match &part.holds {
        Holds::File(path) => path.to_string(),
        Holds::Archive(coding) => format!("{coding:?}"),
    };
    described
        .parts
        .iter()
        .map(|part| (shown(part), part.diff_id.is_some()))
        .collect()
}

fn names(described: &Described) -> Vec<String> {
    parts(described).into_iter().map(|(name, _)| name).collect()
}

fn about<'a>(described: &'a Described, name: &str) -> Option<&'a str> {
    let mut about = described.about.iter();
    about
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn a_model_pack_is_read_under_its_names_of_now_and_before() {
    for (owner, annotation) in [("cncf", FILE_PATH), ("cnai", "org.cnai.model.filepath")] {
        let diff_ids = [
            Digest::of(b"raw"),
            Digest::of(b"1"),
            Digest::of(b"2"),
            Digest::of(b"3"),
        ];
        let config = json!({
            "descriptor": {"name": "m", "family": "bert", "licenses": ["Apache-2.0", "MIT"]},
            "config": {"format": "safetensors", "paramSize": "22.7M"},
            "modelfs": {"type": "layers", "diffIds": diff_ids},
        });
        let mut pack = Foreign::new(&format!("application/vnd.{owner}.model.config.v1+json"), &config);
        let kind = |kind: &str| format!("application/vnd.{owner}.model.{kind}");
        pack.layer(
            &kind("weight.v1.raw"),
            b"raw".to_vec(),
            &[(annotation, "./a/model.safetensors")],
        );
        pack.layer(
            &kind("weight.config.v1.tar"),
            b"1".to_vec(),
            &[(annotation, "config.json")],
        );
        pack.layer(&kind("doc.v1.tar+gzip"), b"2".to_vec(), &[]);
        pack.layer(&kind("code.v1.tar+zstd"), b"3".to_vec(), &[]);
        let described = pack.described();
        assert_eq!(described.kind, Kind::ModelPack);
        let expected = ["a/model.safetensors", "Plain", "Gzip", "Zstd"];
        assert_eq!(parts(&described), expected.map(|name| (name.to_owned(), true)));
        assert_eq!(about(&described, "family"), Some("bert"));
        assert_eq!(about(&described, "parameters"), Some("22.7M"));
        assert_eq!(about(&described, "licenses"), Some("Apache-2.0, MIT"));
        assert_eq!(described.contents().unwrap(), None);
    }
}

#[test]
fn a_model_pack_of_files_needs_nothing_read() {
    let mut pack = Foreign::new(MODEL_PACK, &json!({}));
    for (path, bytes) in [("b", b"same"), ("a/c", b"same")] {
        let kind = "application/vnd.cncf.model.weight.v1.raw";
        pack.layer(kind, bytes.to_vec(), &[(FILE_PATH, path)]);
    }
    let contents = pack.described().contents().unwrap().unwrap();
    let expected = format!("{0}  a/c\n{0}  b\n", Digest::of(b"same").hex());
    assert_eq!(contents.root(), Digest::of(expected.as_bytes()));
    pack.manifest.artifact_type = Some("application/vnd.cncf.model.manifest.v1+json".to_owned());
    pack.manifest.config.media_type = "application/vnd.oci.empty.v1+json".to_owned();
    assert_eq!(pack.described().kind, Kind::ModelPack);
}

#[test]
fn what_is_wrong_with_a_model_pack_is_said() {
    let layer = |kind: &str, annotations: &[(&str, &str)], config: &Value| {
        let mut pack = Foreign::new(MODEL_PACK, config);
        pack.layer(kind, b"x".to_vec(), annotations);
        pack.describe().unwrap_err()
    };
    let raw = "application/vnd.cncf.model.weight.v1.raw";
    assert!(matches!(layer(raw, &[], &json!({})), DescribeError::Unnamed(_)));
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "C:\\x",
        "",
        "a\u{202e}b",
        ".git/config",
        "NUL",
    ] {
        let error = layer(raw, &[(FILE_PATH, path)], &json!({}));
        assert!(matches!(error, DescribeError::Path { .. }), "{path:?}");
    }
    for kind in ["application/vnd.cncf.model.weight.v1.zip", "text/plain"] {
        assert!(matches!(
            layer(kind, &[], &json!({})),
            DescribeError::Layer { .. }
        ));
    }
    let config = json!({"modelfs": {"diffIds": [Digest::of(b"another")]}});
    let error = layer(raw, &[(FILE_PATH, "a")], &config);
    assert!(matches!(error, DescribeError::DiffId(..)), "{error:?}");
}

#[test]
fn a_modelkit_is_read_with_what_its_kitfile_states() {
    let digest = Digest::of(b"packed");
    let kitfile = json!({
        "manifestVersion": "1.0.0",
        "package": {"name": "digits", "version": "1.0", "authors": ["Ada"], "license": "MIT"},
        "model": {"name": "net", "path": "model", "framework": "sklearn",
            "parts": [{"path": "a.bin", "digest": Digest::of(b"raw")}]},
        "docs": [{"path": "README.md", "digest": digest, "diffId": Digest::of(b"docs")}],
    });
    let mut kit = Foreign::new("application/vnd.kitops.modelkit.config.v1+json", &kitfile);
    let kind = |kind: &str| format!("application/vnd.kitops.modelkit.{kind}");
    kit.layer(&kind("model.v1.tar"), b"tar".to_vec(), &[]);
    kit.layer(&kind("docs.v1.tar+gzip"), b"packed".to_vec(), &[]);
    kit.layer(&kind("modelpart.v1.raw"), b"raw".to_vec(), &[]);
    let described = kit.described();
    assert_eq!(described.kind, Kind::ModelKit);
    let expected = [("Plain", false), ("Gzip", true), ("a.bin", false)];
    assert_eq!(
        parts(&described),
        expected.map(|(name, stated)| (name.to_owned(), stated))
    );
    assert_eq!(about(&described, "framework"), Some("sklearn"));
    assert_eq!(about(&described, "authors"), Some("Ada"));
    kit.layer(&kind("modelpart.v1.raw"), b"unnamed".to_vec(), &[]);
    assert!(matches!(kit.describe(), Err(DescribeError::Unnamed(_))));
}

#[test]
fn a_model_of_docker_model_runner_has_the_names_that_the_runner_gives() {
    let docker = |layers: &[(&str, &[(&str, &str)])]| {
        let config = json!({"config": {"format": "gguf", "parameters": "8B", "quantization": "Q4_K_M"}});
        let mut model = Foreign::new("application/vnd.docker.ai.model.config.v0.1+json", &config);
        for (n, (kind, annotations)) in layers.iter().enumerate() {
            model.layer(
                &format!("application/vnd.docker.ai.{kind}"),
                vec![n as u8],
                annotations,
            );
        }
        model.describe()
    };
    let one = docker(&[
        ("gguf.v3", &[]),
        ("license", &[]),
        ("mmproj", &[]),
        ("chat.template.jinja", &[]),
    ]);
    let one = one.unwrap().unwrap();
    assert_eq!(one.kind, Kind::DockerModel);
    assert_eq!(
        names(&one),
        ["model.gguf", "LICENSE", "model.mmproj", "template.jinja"]
    );
    assert_eq!(about(&one, "quantised"), Some("Q4_K_M"));
    let shards = docker(&[
        ("safetensors", &[]),
        ("safetensors", &[]),
        ("vllm.config.tar", &[]),
        ("dir.tar", &[]),
    ]);
    let shards = names(&shards.unwrap().unwrap());
    assert_eq!(
        shards[..2],
        [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors"
        ]
    );
    assert_eq!(shards[2..], ["Plain", "Plain"]);
    let named = docker(&[
        ("gguf.v3", &[(FILE_PATH, "q4.gguf")]),
        ("model.file", &[(FILE_PATH, "config.json")]),
    ]);
    assert_eq!(names(&named.unwrap().unwrap()), ["q4.gguf", "config.json"]);
    assert!(matches!(
        docker(&[("model.file", &[])]),
        Err(DescribeError::Unnamed(_))
    ));
    assert!(matches!(
        docker(&[("unheard.of", &[])]),
        Err(DescribeError::Layer { .. })
    ));
}

#[test]
fn a_model_of_ollama_has_names_by_what_its_layers_are() {
    let config =
        json!({"model_format": "gguf", "model_family": "llama", "model_type": "8.0B", "file_type": "Q4_0"});
    let mut model = Foreign::new(media::DOCKER_CONFIG, &config);
    for kind in [
        "model",
        "template",
        "license",
        "license",
        "params",
        "system",
        "projector",
        "tensor",
    ] {
        let bytes = format!("{kind}{}", model.manifest.layers.len()).into_bytes();
        model.layer(&format!("application/vnd.ollama.image.{kind}"), bytes, &[]);
    }
    let describe = |names: &[Option<String>]| {
        let config = model.config.as_bytes();
        super::describe(&model.manifest, config, names, &ImagePath::default())
    };
    assert!(matches!(describe(&[]), Err(DescribeError::Unnamed(_))));
    let mut named = vec![None; 7];
    named.push(Some("text/w.weight".to_owned()));
    let described = describe(&named).unwrap().unwrap();
    assert_eq!(described.kind, Kind::Ollama);
    let expected = [
        "model.gguf",
        "template",
        "license",
        "license-2",
        "params.json",
        "system",
        "projector.gguf",
    ];
    assert_eq!(names(&described)[..7], expected);
    assert_eq!(names(&described)[7], "text/w.weight");
    assert_eq!(about(&described, "family"), Some("llama"));
    named[7] = Some("../../.ssh/authorized_keys".to_owned());
    assert!(matches!(describe(&named), Err(DescribeError::Path { .. })));
}

#[test]
fn what_holds_no_model_is_told_apart() {
    let artifact = Foreign::new("application/vnd.cncf.helm.config.v1+json", &json!({}));
    assert_eq!(artifact.describe().unwrap(), None);
    let mut image = Foreign::image(&[b"a".to_vec()]);
    image.layer(media::OCI_LAYER, b"more".to_vec(), &[]);
    assert!(matches!(
        image.describe(),
        Err(DescribeError::DiffIds {
            diff_ids: 1,
            layers: 2
        })
    ));
    let mut odd = Foreign::image(&[b"a".to_vec()]);
    odd.manifest.layers[0].media_type = "application/vnd.oci.image.layer.v1.tar+xz".to_owned();
    assert!(matches!(odd.describe(), Err(DescribeError::Layer { .. })));
    let broken = Foreign {
        config: "{".to_owned(),
        ..Foreign::new(MODEL_PACK, &json!({}))
    };
    assert!(matches!(broken.describe(), Err(DescribeError::Config(_))));
}
