//! `init`, `config` and `completions`.

use crate::harness::Home;

#[test]
fn init_writes_a_file_that_says_what_it_said() {
    let home = Home::new();
    home.ok(&["init", "--name", "team/digits"]);
    let config = home.json(&["config"]);
    let setting = |name: &str| {
        let settings = config["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|setting| setting["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(setting("repository.name")["value"], "team/digits");
    assert!(
        setting("repository.name")["origin"]
            .as_str()
            .unwrap()
            .ends_with("modelkeep.toml")
    );
    assert_eq!(setting("repository.image_tag_mutability")["value"], "IMMUTABLE");
    assert_eq!(setting("store")["origin"], "environment MODELKEEP_HOME");
    home.refused(&["init"], 1, "modelkeep.toml exists");
    home.refused(&["init", "--registry", "bad host/x"], 2, "bad host");
}

#[test]
fn a_file_is_found_from_below() {
    let home = Home::new();
    home.model("models/digits/out");
    home.write(
        "models/digits/modelkeep.toml",
        "[repository]\nname = \"team/digits\"\n",
    );
    let pushed = home.json(&["push", "models/digits/out", "1.0"]);
    assert_eq!(pushed["reference"], "team/digits:1.0");
}

#[test]
fn a_mistake_in_the_file_is_an_error_of_usage() {
    let home = Home::new();
    home.write("modelkeep.toml", "[repository]\nnmae = \"digits\"\n");
    home.refused(&["config"], 2, "modelkeep.toml");
}

#[test]
fn an_image_runs_what_the_settings_say() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    home.write(
        "digits/modelkeep.toml",
        "[image]\nexecutable = [\"config.*\"]\nentrypoint = [\"/models/config.json\"]\ncmd = [\"--help\"]\nuser = \"65532\"\nenv = { A = \"b\" }\n",
    );
    home.ok(&["push", "digits", "1.1"]);
    let [plain, program] = ["digits:1.0", "digits:1.1"].map(|version| home.json(&["show", version]));
    assert_eq!(plain["content_root"], program["content_root"]);
    assert_ne!(plain["layers"], program["layers"], "the mode is in the layer");
    let config = &program["config"]["config"];
    assert_eq!(config["Entrypoint"][0], "/models/config.json");
    assert_eq!(
        (&config["Cmd"][0], &config["Env"][0]),
        (&"--help".into(), &"A=b".into())
    );
    assert_eq!(config["User"], "65532");
    assert!(plain["config"]["config"]["Entrypoint"].is_null());
}

#[test]
fn the_store_flag_wins() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0", "--store", "other"]);
    assert!(home.path("other/format").exists());
    assert!(!home.store().exists());
}

#[test]
fn completions_are_printed_for_each_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(home.ok(&["completions", shell]).stdout.contains("modelkeep"));
    }
}
