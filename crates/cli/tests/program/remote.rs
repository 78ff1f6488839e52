//! Versions in a registry on the network: here `modelkeep serve`, elsewhere any other.

use std::fs;

use crate::{harness::Home, serve::Serving};

#[test]
fn a_version_goes_to_a_server_and_comes_back() {
    let (there, here) = (Home::new(), Home::new());
    let server = Serving::start(&there, &[]);
    here.model("model");
    let name = format!("{}/team/digits", server.address);
    let pushed = here.json(&["push", "model", &format!("{name}:1.0"), "--message", "first"]);
    assert_eq!(pushed["outcome"], "published");
    assert_eq!(pushed["reference"], format!("{name}:1.0"));
    let again = here.json(&["push", "model", &format!("{name}:1.0")]);
    assert_eq!(
        (&again["outcome"], &again["digest"]),
        (&"unchanged".into(), &pushed["digest"])
    );
    here.write("model/config.json", "{\"changed\": true}");
    here.refused(
        &["push", "model", &format!("{name}:1.0")],
        4,
        "exists with other content",
    );
    let dry = here.json(&["push", "model", &format!("{name}:1.1"), "--dry-run"]);
    assert_eq!(dry["outcome"], "would publish");
    assert_eq!(
        here.json(&["push", "model", &format!("{name}:1.1")])["layers_reused"],
        1
    );

    let listed = here.json(&["versions", &name]);
    let versions = listed["versions"].as_array().unwrap();
    let versions: Vec<_> = versions.iter().map(|version| &version["version"]).collect();
    assert_eq!(versions, ["1.1", "1.0"]);
    assert_eq!(listed["versions"][1]["message"], "first");
    here.ok(&["pull", &format!("{name}:1.1"), "-o", "out"]);
    let file = |path| fs::read(here.path(path)).unwrap();
    assert_eq!(file("out/model.safetensors"), file("model/model.safetensors"));
    assert_eq!(file("out/config.json"), file("model/config.json"));
    here.ok(&["verify", &format!("{name}:1.0")]);
    assert_eq!(
        there.json(&["show", "team/digits:1.0"])["digest"],
        pushed["digest"]
    );
    there.ok(&["verify", "--all"]);
    // What was found out about files does not stand in the way of a store.
    here.ok(&["push", "model", "digits:1.0"]);
}

#[test]
fn a_registry_that_is_not_there_is_said_without_touching_anything() {
    let home = Home::new();
    home.model("digits");
    home.write(
        "digits/modelkeep.toml",
        "[repository]\nregistry = \"localhost:1/team\"\n",
    );
    home.refused(&["push", "digits", "1.0"], 1, "localhost:1");
    home.write(
        "digits/modelkeep.toml",
        "[repository]\nregistry = \"ecr-public\"\n",
    );
    home.refused(&["push", "digits", "1.0"], 3, "no credentials for ECR Public");
    assert!(!home.store().exists());
}
