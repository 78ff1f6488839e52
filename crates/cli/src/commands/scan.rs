//! `modelkeep scan`

use std::{fs::File, io, path::Path};

use modelkeep_core::{Digest, SemVer};
use modelkeep_inspect::{
    Bytes, Disk, Files, Limits,
    danger::{self, Finding, Severity},
};
use modelkeep_package::scan::{self, ScanOptions};

use crate::{
    args::Scan,
    error::{Exit, Failure},
    held::Held,
    holding::Holding,
    model::Local,
    report::{Answer, findings, json},
    settings::Settings,
    whole::Whole,
};

pub(super) fn run(arguments: &Scan, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let text = arguments.subject.as_str();
    let is_version = text.parse().is_ok_and(|tag| SemVer::parse(&tag).is_some());
    let path = Path::new(text);
    let report = if path.is_dir() && !is_version {
        let scanned = scan::scan(path, &ScanOptions::default()).map_err(Failure::failed)?;
        look(text.to_owned(), None, &Local(&scanned.files))?
    } else if path.is_file() && !is_version {
        look(text.to_owned(), None, &Single(path))?
    } else {
        let held = Held::find(settings, text)?;
        let holding = Holding::of(&held, settings)?;
        let (name, digest) = (held.reference.to_string(), Some(held.root.digest.clone()));
        match holding.files(&held)?.filter(|_| holding.is_ranged()) {
            Some(files) => look(name, digest, &holding.layered(&held, &files))?,
            None => {
                let whole = Whole::read(&held, &holding, quiet || arguments.json.json)?;
                look(name, digest, &Local(&whole.files))?
            }
        }
    };
    let exit = match report.dangerous {
        0 => Exit::Done,
        _ => Exit::Policy,
    };
    let answer = if arguments.json.json {
        json::answer(&report)
    } else {
        Answer::done(findings::text(&report))
    };
    Ok(Answer { exit, ..answer })
}

fn look(name: String, digest: Option<Digest>, files: &dyn Files) -> Result<json::Scan, Failure> {
    let findings = danger::scan_files(files, &Limits::default()).map_err(Failure::failed)?;
    let list = files.list();
    let count = |severity| {
        let of_it = findings
            .iter()
            .filter(|finding: &&Finding| finding.severity == severity);
        of_it.count() as u64
    };
    Ok(json::Scan {
        name,
        digest,
        files: list.len() as u64,
        bytes: list.iter().fold(0, |sum, (_, size)| sum.saturating_add(*size)),
        dangerous: count(Severity::Dangerous),
        suspicious: count(Severity::Suspicious),
        findings,
    })
}

/// One file, wherever it lies.
struct Single<'a>(&'a Path);

impl Files for Single<'_> {
    fn list(&self) -> Vec<(String, u64)> {
        let size = self.0.metadata().map_or(0, |metadata| metadata.len());
        vec![(self.0.display().to_string(), size)]
    }

    fn open(&self, _: usize) -> io::Result<Box<dyn Bytes + '_>> {
        Ok(Box::new(Disk::new(File::open(self.0)?)?))
    }
}
