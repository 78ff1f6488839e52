//! Models that lie where other tools keep them.

use std::{fs, os::unix::fs::symlink};

use crate::harness::{Home, noise};

const REVISION: &str = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf";

/// What `mlflow` 3.17 writes beside a model of scikit-learn.
const MLMODEL: &str = "\
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.skops
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
mlflow_version: 3.17.2
model_id: null
model_uuid: 1fcbb8ae7fa04be8b0d0f995914d6694
prompts: null
run_id: 0123456789abcdef0123456789abcdef
utc_time_created: '2026-11-23 20:58:06.733570'
";

fn snapshot(home: &Home) -> String {
    let model = "hub/models--org--tiny";
    let snapshot = format!("{model}/snapshots/{REVISION}");
    home.write(&format!("{model}/blobs/aa"), noise(9 << 20, 3));
    home.write(&format!("{model}/blobs/bb"), "{\"hidden_size\": 8}");
    home.write(&format!("{model}/refs/main"), REVISION);
    fs::create_dir_all(home.path(&snapshot)).unwrap();
    for (file, blob) in [("weights.bin", "aa"), ("config.json", "bb")] {
        symlink(format!("../../blobs/{blob}"), home.path(&snapshot).join(file)).unwrap();
    }
    snapshot
}

#[test]
fn a_snapshot_of_the_hub_is_pushed_and_its_origin_kept() {
    let home = Home::new();
    // The cache may lie in somebody's git repository, which says nothing of the model.
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        let done = command.arg("-C").arg(home.path(".")).args(arguments).output();
        assert!(done.unwrap().status.success());
    };
    git(&["init", "-q"]);
    git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "c",
    ]);
    let snapshot = snapshot(&home);
    let pushed = home.json(&["push", &snapshot, "tiny:1.0"]);
    assert_eq!(pushed["files"], 2);
    let shown = home.json(&["show", "tiny:1.0"]);
    let origin = &shown["origin"];
    assert_eq!(origin["model"], format!("hf://org/tiny@{REVISION}"));
    assert_eq!(origin["source"], "https://huggingface.co/org/tiny");
    assert_eq!(origin["revision"], REVISION);
    let text = home.ok(&["show", "tiny:1.0"]).stdout;
    assert!(text.contains(&format!("hf://org/tiny@{REVISION}")), "{text}");
    home.ok(&["pull", "tiny:1.0", "-o", "out"]);
    assert_eq!(fs::read(home.path("out/weights.bin")).unwrap(), noise(9 << 20, 3));
    assert!(!home.path("out/config.json").is_symlink());
    // As an artifact, the config says where it comes from.
    home.ok(&["push", &snapshot, "tiny:1.1", "--format", "modelpack"]);
    home.ok(&["export", "tiny:1.1", "--oci", "layout"]);
    let diff = home.json(&["diff", &snapshot, "tiny:1.1"]);
    assert_eq!(diff["files"]["unchanged"], 2);
    // A copy is the same model, and came from a directory.
    let copied = home.json(&["push", "out", "copy:1.0"]);
    assert_eq!(copied["content_root"], pushed["content_root"]);
    assert_eq!(
        home.json(&["show", "copy:1.0"])["origin"]["model"],
        serde_json::Value::Null
    );
}

#[test]
fn a_link_out_of_a_snapshot_is_refused() {
    let home = Home::new();
    let snapshot = snapshot(&home);
    home.write("secret", "");
    symlink("../../../../secret", home.path(&snapshot).join("link")).unwrap();
    home.refused(&["push", &snapshot, "tiny:1.0"], 1, "lies outside the model");
}

#[test]
fn the_model_of_an_mlflow_run_names_its_run() {
    let home = Home::new();
    let model = "mlruns/0/0123456789abcdef0123456789abcdef/artifacts/model";
    home.write(&format!("{model}/MLmodel"), MLMODEL);
    home.write(&format!("{model}/model.skops"), noise(1000, 1));
    home.write(&format!("{model}/conda.yaml"), "channels:\n- conda-forge\n");
    home.write(&format!("{model}/python_env.yaml"), "python: 3.11.2\n");
    home.write(&format!("{model}/requirements.txt"), "scikit-learn==1.9.1\n");
    home.ok(&["push", model, "sk:1.0"]);
    let lineage = &home.json(&["show", "sk:1.0"])["record"]["lineage"];
    assert_eq!(lineage["run"], "0123456789abcdef0123456789abcdef");
    assert_eq!(lineage["model"], "1fcbb8ae7fa04be8b0d0f995914d6694");
    let text = home.ok(&["show", "sk:1.0"]).stdout;
    for said in [
        "run          0123456789abcdef0123456789abcdef",
        "model        1fcbb8ae7fa04be8b0d0f995914d6694",
        "library      sklearn",
    ] {
        assert!(text.contains(said), "{text}");
    }
}
