use super::*;

mod corpus;
mod files;
mod fuzz;

fn look(path: &str, bytes: &[u8]) -> Vec<Finding> {
    scan(path, &bytes.to_vec(), &Limits::default()).unwrap()
}

fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

#[test]
fn every_payload_of_the_corpus_is_dangerous_under_its_own_name() {
    let corpus = corpus::all();
    assert!(corpus.len() >= 100, "{}", corpus.len());
    let mut names = std::collections::BTreeSet::new();
    for case in &corpus {
        assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        let found = look(&case.path, &case.bytes);
        assert_eq!(
            worst(&found),
            Some(Severity::Dangerous),
            "{}: {found:?}",
            case.name
        );
        assert!(
            found.iter().any(|finding| finding.technique == case.technique),
            "{} is not {}: {found:?}",
            case.name,
            case.technique
        );
    }
}

#[test]
fn a_payload_is_found_whatever_its_file_is_called() {
    for case in corpus::all().iter().filter(|case| case.runs_anywhere) {
        for path in [
            "weights.bin",
            "README.md",
            "data",
            "model.safetensors.bak",
            "x.npy.txt",
        ] {
            let found = look(path, &case.bytes);
            assert_eq!(
                worst(&found),
                Some(Severity::Dangerous),
                "{} as {path}",
                case.name
            );
        }
    }
}

#[test]
fn what_is_meant_well_is_silent() {
    for (path, bytes) in files::benign() {
        assert_eq!(look(&path, &bytes), [], "{path}");
    }
}

#[test]
fn what_may_be_meant_well_is_reported_and_not_dangerous() {
    for (path, bytes, technique) in files::suspicious() {
        let found = look(&path, &bytes);
        assert_eq!(worst(&found), Some(Severity::Suspicious), "{path}: {found:?}");
        assert!(
            found.iter().any(|finding| finding.technique == technique),
            "{path}: {found:?}"
        );
    }
}

#[test]
fn headers_that_lie_are_reported() {
    for case in corpus::lies() {
        let found = look(&case.path, &case.bytes);
        assert_eq!(worst(&found), Some(Severity::Info), "{}: {found:?}", case.name);
        assert_eq!(found[0].technique, case.technique, "{}", case.name);
    }
}

#[test]
fn a_finding_says_what_is_called_and_with_what() {
    let found = look("a/model.pkl", b"cos\nsystem\n(S'echo hi'\ntR.");
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(finding.file, "a/model.pkl");
    assert_eq!(finding.technique, "runs-commands");
    assert_eq!(finding.detail, "calls os.system with (\"echo hi\")");
    let json = serde_json::to_string(finding).unwrap();
    assert!(json.contains(r#""severity":"dangerous""#), "{json}");
    assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), *finding);
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_silence() {
    struct Broken;
    impl Bytes for Broken {
        fn size(&self) -> u64 {
            1000
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    assert!(matches!(
        scan("model.pkl", &Broken, &Limits::default()),
        Err(Error::Read { .. })
    ));
}
