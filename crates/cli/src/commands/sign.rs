//! `modelkeep sign` and `modelkeep verify-signature`

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use modelkeep_core::{Digest, ModelPath, content::Error};
use modelkeep_disk::publish;
use modelkeep_ledger::signing::{Bundle, ModelStatement};
use modelkeep_package::{
    pack::hash_file,
    scan::{self, ScanOptions},
};
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{
    args::{Sign, VerifySignature},
    error::{Exit, Failure},
    held::Held,
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
    signature::{is_ignored, signed_files},
    signing,
};

/// Files that differ and are named one by one.
const NAMED: usize = 10;

pub(super) fn sign(arguments: &Sign, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let key = signing::signer(arguments.key.as_deref())?;
    let quiet = quiet || arguments.json.json;
    let (name, files) = files(&arguments.model, &arguments.signature, settings, quiet)?;
    let statement = ModelStatement::new(name, files).map_err(Failure::failed)?;
    let bundle = Bundle::sign(statement.to_bytes(), &*key).map_err(Failure::failed)?;
    let place = arguments.signature.display().to_string();
    publish::replace(&arguments.signature, &bundle.to_bytes())
        .map_err(|error| Failure::failed(Error::io(format!("write {place}"))(error)))?;
    let report = json::Signature {
        model: arguments.model.clone(),
        signature: place,
        key: key.public().id().to_string(),
        model_digest: statement.root(),
        files: statement.files().count() as u64,
    };
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(format!(
        "{}: {} of {} signed by {}\n",
        report.signature,
        human::count(report.files, "file"),
        report.model,
        report.key
    )))
}

pub(super) fn verify(
    arguments: &VerifySignature,
    settings: &Settings,
    quiet: bool,
) -> Result<Answer, Failure> {
    let key = signing::public_key(&arguments.key)?;
    let mut report = json::SignatureCheck {
        model: arguments.model.clone(),
        signature: arguments.signature.display().to_string(),
        key: key.id().to_string(),
        verified: false,
        problems: Vec::new(),
    };
    let bytes = read(&arguments.signature)?;
    let read = Bundle::parse(&bytes).map_err(Failure::failed).and_then(|bundle| {
        let statement = bundle.verify(&key).map_err(Failure::failed)?;
        ModelStatement::parse(statement).map_err(Failure::failed)
    });
    match read {
        Ok(statement) => {
            let quiet = quiet || arguments.json.json;
            let (_, files) = files(&arguments.model, &arguments.signature, settings, quiet)?;
            report.problems = differences(&statement, &files);
        }
        Err(failure) => report.problems.push(human::chain(&*failure.error)),
    }
    report.verified = report.problems.is_empty();
    let exit = match report.verified {
        true => Exit::Done,
        false => Exit::Damage,
    };
    let answer = if arguments.json.json {
        json::answer(&report)
    } else if report.verified {
        Answer::done(format!("{} is what {} signed\n", report.model, report.key))
    } else {
        let mut text = format!("{} is not what {} signed\n", report.model, report.key);
        for problem in &report.problems {
            text.push_str(&format!("  {}\n", human::clean(problem)));
        }
        Answer::done(text)
    };
    Ok(Answer { exit, ..answer })
}

/// The name of a model, and its files: read in a directory, or as the contents list of a version says.
fn files(
    model: &str,
    signature: &Path,
    settings: &Settings,
    quiet: bool,
) -> Result<(String, BTreeMap<ModelPath, Digest>), Failure> {
    let directory = Path::new(model);
    if !directory.is_dir() {
        let held = Held::find(settings, model)?;
        let contents = held.model()?;
        return Ok((held.reference.name.to_string(), signed_files(&contents)));
    }
    let mut scan = scan::scan(directory, &ScanOptions::default()).map_err(Failure::failed)?;
    // The signature may lie in the directory that it is about.
    let own = fs::canonicalize(signature).ok();
    scan.files.retain(|file| {
        !is_ignored(&file.path) && (own.is_none() || fs::canonicalize(&file.location).ok() != own)
    });
    let total = scan.files.iter().map(|file| file.stamp.size).sum();
    let progress = Progress::begin(quiet, total, "hashed");
    let digests = in_parallel(&scan.files, workers(), |file| {
        hash_file(file, &mut |bytes| progress.add(bytes))
    })
    .map_err(Failure::failed)?;
    progress.end(&format!("hashed {}", human::count(digests.len() as u64, "file")));
    let name = directory
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let files = scan.files.into_iter().map(|file| file.path).zip(digests);
    Ok((name.unwrap_or_default(), files.collect()))
}

fn differences(statement: &ModelStatement, found: &BTreeMap<ModelPath, Digest>) -> Vec<String> {
    let mismatch = statement.compare(found);
    let mut problems = Vec::new();
    for (what, paths) in [
        ("is missing", &mismatch.missing),
        ("has other bytes", &mismatch.changed),
        ("was not signed", &mismatch.added),
    ] {
        problems.extend(paths.iter().take(NAMED).map(|path| format!("{path} {what}")));
        if let Some(more) = paths.len().checked_sub(NAMED).filter(|more| *more > 0) {
            problems.push(format!("and {more} more: each {what}"));
        }
    }
    problems
}

fn read(signature: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is taken, so that what is too long is seen to be.
    let most = Bundle::MOST_BYTES as u64 + 1;
    fs::File::open(signature)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| Failure::failed(Error::io(format!("read {}", signature.display()))(error)))?;
    Ok(bytes)
}
