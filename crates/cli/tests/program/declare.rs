//! `preview`, `up`, `output`, `destroy`, `adopt` and `policy` on the embedded store, and what is refused before any
//! registry is asked.

use crate::harness::Home;

fn declared(block: &str) -> Home {
    let home = Home::new();
    home.model("model");
    declare(&home, block);
    home
}

fn declare(home: &Home, block: &str) {
    home.write(
        "modelkeep.toml",
        format!("[repository]\nname = \"ml-model-repo\"\n{block}\n"),
    );
}

#[test]
fn a_repository_is_declared_filled_and_destroyed() {
    let home = declared("aliases = [\"latest\"]");
    let preview = home.ok(&["preview"]);
    assert_eq!(
        preview.stdout,
        "\
+ create ml-model-repo in the store
    image_tag_mutability: IMMUTABLE_WITH_EXCLUSION (latest)
    resource_tags.dev.modelkeep.managed-by: modelkeep
enforced by: registry
"
    );
    assert!(
        !home.store().exists(),
        "a preview makes nothing, not even a store"
    );

    let up = home.ok(&["up", "--yes"]);
    assert_eq!(up.stdout, "ml-model-repo\n");
    assert!(up.stderr.starts_with(&preview.stdout), "{}", up.stderr);
    assert_eq!(
        home.ok(&["preview", "--expect-no-changes"]).stdout,
        "= same ml-model-repo in the store\nenforced by: registry\n"
    );
    assert_eq!(home.ok(&["output", "repository_uri"]).stdout, "ml-model-repo\n");

    let pushed = home.json(&["push", "model", "1.0"]);
    let digest = pushed["digest"].as_str().unwrap();
    home.write("model/config.json", "{}");
    home.refused(&["push", "model", "1.0"], 4, "exists with other content");
    home.ok(&["push", "model", "1.1"]);
    let output = home.json(&["output"]);
    assert_eq!(output["repository_uri"], "ml-model-repo");
    assert_eq!(output["enforcement"], "registry");
    assert_eq!(output["versions"].as_array().unwrap().len(), 2);
    assert_eq!(
        output["versions"][0]["reference"],
        format!("ml-model-repo@{digest}")
    );
    assert_eq!(
        home.ok(&["output", "1.0"]).stdout,
        format!("ml-model-repo@{digest}\n")
    );
    home.refused(&["output", "2.0"], 2, "there is no output");
    home.refused(&["output", "arn"], 1, "has no arn");

    home.refused(&["destroy", "--yes"], 7, "holds 2 images");
    assert_eq!(
        home.ok(&["destroy", "--yes", "--force"]).stdout,
        "deleted ml-model-repo\n"
    );
    home.refused(&["output"], 1, "is not in the store");
    assert_eq!(
        home.ok(&["destroy", "--yes"]).stdout,
        "= none ml-model-repo in the store\nenforced by: registry\n"
    );
    // What was immutable stays taken, for what it was.
    home.ok(&["up", "--yes"]);
    home.refused(&["push", "model", "1.0"], 4, "its name is kept");
    home.ok(&["push", "model", "1.2"]);
}

#[test]
fn drift_is_shown_and_repaired() {
    let home = declared("resource_tags = { team = \"vision\" }");
    home.ok(&["up", "--yes"]);
    declare(
        &home,
        "image_tag_mutability = \"MUTABLE\"\nresource_tags = { team = \"audio\" }",
    );
    let pending = home.run(&["preview", "--expect-no-changes"]);
    assert_eq!(pending.code, 6);
    assert_eq!(
        pending.stdout,
        "\
~ update image_tag_mutability: IMMUTABLE -> MUTABLE
~ update resource_tags.team: vision -> audio
enforced by: registry
"
    );
    let plan = home.json(&["preview"]);
    assert_eq!(plan["changes"][1]["from"], "vision");
    assert_eq!(home.run(&["preview", "--detailed-exitcode"]).code, 2);
    assert_eq!(home.json(&["up", "--yes"])["changes"], plan["changes"]);
    assert_eq!(home.run(&["preview", "--detailed-exitcode"]).code, 0);
    // A push does not change what was declared, and follows it.
    home.ok(&["push", "model", "1.0"]);
    home.write("model/config.json", "{}");
    home.ok(&["push", "model", "1.0"]);
}

#[test]
fn what_somebody_else_made_is_taken_over_when_that_is_said() {
    let home = declared("");
    home.ok(&["push", "model", "1.0"]);
    let refused = home.refused(&["up", "--yes"], 1, "does not manage");
    assert!(refused.stderr.contains("modelkeep adopt"), "{}", refused.stderr);
    home.refused(&["destroy", "--yes", "--force"], 1, "does not manage");
    home.ok(&["adopt", "--yes"]);
    home.ok(&["adopt"]);
    home.ok(&["preview", "--expect-no-changes"]);
    home.refused(&["adopt", "other", "--yes"], 1, "is not in the store");
}

#[test]
fn nothing_is_done_that_nobody_agreed_to() {
    let home = declared("");
    let refused = home.refused_after_text(&["up"], 2, "nobody is at the terminal");
    assert!(
        refused.stderr.contains("+ create ml-model-repo"),
        "{}",
        refused.stderr
    );
    home.refused(&["output"], 1, "is not in the store");
    home.ok(&["up", "--yes"]);
    home.refused_after_text(&["destroy"], 2, "nobody is at the terminal");
    declare(&home, "protect = true\nforce_delete = true");
    home.refused(&["destroy", "--yes", "--force"], 7, "is protected");
    declare(&home, "force_delete = true");
    home.ok(&["push", "model", "1.0"]);
    home.ok(&["destroy", "--yes"]);
}

#[test]
fn removing_the_block_destroys_nothing() {
    let home = declared("");
    home.ok(&["up", "--yes"]);
    home.write("modelkeep.toml", "[image]\n");
    for command in [&["up", "--yes"][..], &["preview"], &["destroy", "--yes"]] {
        home.refused(command, 2, "declares a repository");
    }
    declare(&home, "");
    home.ok(&["preview", "--expect-no-changes"]);
}

#[test]
fn limits_are_checked_before_anybody_is_asked() {
    let home = declared("");
    // No credentials, and nothing that listens: asking would fail otherwise.
    for (registry, block, field) in [
        (
            "ecr",
            "aliases = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]",
            "aliases need 6 exclusion filters",
        ),
        (
            "ecr",
            "catalog = { about = \"x\" }",
            "catalog cannot be kept here (ECR)",
        ),
        (
            "ecr-public",
            &format!("catalog = {{ description = \"{}\" }}", "x".repeat(1025)),
            "catalog.description has 1025 characters, and 1024 are the most (ECR Public)",
        ),
        (
            "ecr-public",
            "catalog = { architectures = [\"\"] }",
            "catalog.architectures",
        ),
        (
            "ecr-public",
            "resource_tags = { \"aws:x\" = \"1\" }",
            "resource_tags",
        ),
        (
            "ecr-public",
            "policy = \"model/README.md\"",
            "policy is no JSON object",
        ),
        (
            "ecr-public",
            "catalog = { logo = \"model/model.safetensors\" }",
            "catalog.logo has",
        ),
        ("ecr-public", "policy = \"none.json\"", "none.json"),
    ] {
        declare(&home, &format!("registry = \"{registry}\"\n{block}"));
        home.refused(&["preview", "--endpoint-url", "http://127.0.0.1:1"], 2, field);
    }
    declare(
        &home,
        "registry = \"ecr-public\"\nrequire_enforcement = \"registry\"",
    );
    let refused = home.refused(&["preview"], 7, "lets every client move every tag");
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    declare(&home, "registry = \"registry.example:5000\"");
    home.refused(&["preview"], 2, "cannot be declared in registry.example:5000");
}

#[test]
fn the_least_policy_is_for_the_repository_that_is_declared() {
    let home = declared("registry = \"ecr-public\"");
    let policy: serde_json::Value = serde_json::from_str(&home.ok(&["policy"]).stdout).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(
        statements[1]["Resource"],
        "arn:aws:ecr-public::*:repository/ml-model-repo"
    );
    declare(&home, "");
    home.refused(&["policy"], 2, "embedded");
}

#[test]
fn without_an_answer_each_error_says_what_to_do() {
    let home = declared("registry = \"ecr-public\"");
    let preview = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = home.command(&[&["preview"], arguments].concat());
        command.envs(variables.iter().copied());
        let run: crate::harness::Run = command.output().unwrap().into();
        assert!(run.stdout.is_empty(), "{}", run.stdout);
        (run.code, run.stderr)
    };
    let (code, stderr) = preview(&[], &[]);
    assert!(
        code == 3 && stderr.contains("no credentials for ECR Public"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: set AWS_ACCESS_KEY_ID"), "{stderr}");

    let key = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let (code, stderr) = preview(&key, &["--endpoint-url", "http://127.0.0.1:1"]);
    assert!(code == 1 && stderr.contains("cannot be reached"), "{stderr}");
    assert!(stderr.contains("--endpoint-url"), "{stderr}");
}
