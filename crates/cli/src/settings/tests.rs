use std::path::PathBuf;

use super::{file::parse_file, *};

fn global() -> Global {
    Global {
        store: Some("store".into()),
        ca: None,
        plain_http: false,
        endpoint_url: None,
        quiet: false,
    }
}

fn resolve(text: &str) -> Result<Settings, SettingsError> {
    let path = PathBuf::from("modelkeep.toml");
    Settings::resolve(
        &global(),
        "/nowhere/digits".into(),
        parse_file(text, &path)?,
        Some(path),
    )
}

#[test]
fn without_a_file_the_directory_names_the_repository() {
    let settings = resolve("").unwrap();
    assert_eq!(settings.repository_name().unwrap().as_str(), "digits");
    assert_eq!(settings.registry.value, Registry::Embedded);
    assert_eq!(settings.mutability.value, Mutability::Immutable);
}

#[test]
fn a_file_sets_what_it_names() {
    let settings = resolve(
        r#"
        [repository]
        name = "team/digits"
        registry = "public.ecr.aws/alias"
        image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"
        image_tag_mutability_exclusion_filters = ["dev-*"]
        aliases = ["production"]
        [image]
        path = "/opt/model"
        labels = { team = "vision" }
        "#,
    )
    .unwrap();
    assert_eq!(settings.registry.value.to_string(), "public.ecr.aws/alias");
    assert_eq!(settings.mutability.value.filters().len(), 2);
    assert_eq!(settings.reference("1.0").unwrap().to_string(), "team/digits:1.0");
    assert_eq!(settings.reference("other:2").unwrap().to_string(), "other:2");
}

#[test]
fn mistakes_in_a_file_name_the_key() {
    for (text, key) in [
        ("[repository]\nregistry = \"-\"", "repository.registry"),
        (
            "[repository]\nimage_tag_mutability = \"IMUTABLE\"",
            "repository.image_tag_mutability",
        ),
        (
            "[repository]\nimage_tag_mutability_exclusion_filters = [\"a\"]",
            "repository.image_tag_mutability",
        ),
        ("[repository]\naliases = [\"ledger\"]", "repository.aliases"),
        ("[image]\npath = \"/../x\"", "image.path"),
        ("[image]\nexecutable = [\"[\"]", "image.executable"),
        ("[image.env]\n\"A=B\" = \"c\"", "image.env"),
    ] {
        let error = resolve(text).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    for text in ["[repository]\nnmae = \"x\"", "[repository]\nname = \"X\"", "["] {
        assert!(matches!(resolve(text), Err(SettingsError::Toml { .. })), "{text}");
    }
}

#[test]
fn aliases_move_whatever_else_stays() {
    let settings = resolve("[repository]\naliases = [\"latest\", \"production\"]").unwrap();
    let names: Vec<String> = settings
        .mutability
        .value
        .filters()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(settings.mutability.value.as_str(), "IMMUTABLE_WITH_EXCLUSION");
    assert_eq!(names, ["latest", "production"]);
    let held = "[repository]\nimage_tag_mutability = \"MUTABLE_WITH_EXCLUSION\"\n\
                image_tag_mutability_exclusion_filters = [\"l*\"]\naliases = [\"latest\"]";
    assert!(
        resolve(held)
            .unwrap_err()
            .to_string()
            .contains("repository.aliases")
    );
}

#[test]
fn a_block_declares_all_of_a_repository() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    std::fs::write(home.path().join("logo.png"), b"picture").unwrap();
    std::fs::write(home.path().join("policy.json"), "{}").unwrap();
    let text = r#"
        [repository]
        name = "ml-model-repo"
        aliases = ["latest"]
        policy = "policy.json"
        protect = true
        force_delete = true
        require_enforcement = "registry"
        resource_tags = { team = "vision" }
        [repository.catalog]
        description = "reads digits"
        architectures = ["x86-64"]
        logo = "logo.png"
    "#;
    let settings = Settings::resolve(
        &global(),
        home.path().into(),
        parse_file(text, &path).unwrap(),
        Some(path),
    )
    .unwrap();
    let declared = settings.declared().unwrap();
    assert!(declared.protect && declared.force_delete == Force::Yes);
    let declaration = settings.declaration().unwrap();
    assert_eq!(declaration.mutability, Mutability::Immutable);
    assert_eq!(declaration.policy.as_deref(), Some("{}"));
    assert_eq!(declaration.resource_tags["team"], "vision");
    assert_eq!(declaration.require_enforcement, Some(Enforcement::Registry));
    let digest = declaration.catalog.logo.and_then(|logo| logo.digest());
    assert_eq!(digest, Some(modelkeep_core::Digest::of(b"picture")));
    std::fs::remove_file(home.path().join("logo.png")).unwrap();
    let error = settings.declaration().unwrap_err();
    assert!(error.to_string().contains("logo.png"), "{error}");
    assert!(matches!(
        resolve("[image]").unwrap().declared(),
        Err(SettingsError::NotDeclared { .. })
    ));
    let client = resolve("[repository]\nrequire_enforcement = \"client\"").unwrap_err();
    assert!(client.to_string().contains("require_enforcement"), "{client}");
}
