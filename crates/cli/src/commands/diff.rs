//! `modelkeep diff`

use modelkeep_inspect::{Diff, Limits, diff::Subject as Side};

use crate::{
    args::{Diff as Arguments, DiffFormat},
    error::Failure,
    report::{Answer, diff, json, progress::Progress},
    settings::Settings,
    subject::{Need, Subject},
};

pub(super) fn run(arguments: &Arguments, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let find = |text| Subject::find(settings, text, Need::Digests, quiet || arguments.json.json);
    let (from, to) = (find(&arguments.from)?, find(&arguments.to)?);
    let total = from.bytes_to_hash() + to.bytes_to_hash();
    let progress = Progress::begin(quiet || arguments.json.json || total == 0, total, "read");
    let (from_files, to_files) = (from.files(), to.files());
    let side = |subject: &Subject, files| {
        let (digests, record) = subject.digests(settings, &progress)?;
        Ok::<_, Failure>(Side {
            files,
            digests,
            record,
            metrics: subject.metrics(),
            params: subject.params(),
        })
    };
    let mut sides = (side(&from, &*from_files)?, side(&to, &*to_files)?);
    // What is declared on the command line has no place in a directory: there it is not missing.
    if from.digest().is_none() || to.digest().is_none() {
        for side in [&mut sides.0, &mut sides.1] {
            side.metrics.clear();
            side.params.clear();
        }
    }
    let mut found = Diff::new(&sides.0, &sides.1, &Limits::default()).map_err(Failure::failed)?;
    if arguments.values {
        let measured = found
            .tensors
            .measure(&*from_files, &*to_files, &Limits::default());
        measured.map_err(Failure::failed)?;
    }
    if total > 0 {
        progress.end("compared");
    }
    if arguments.json.json {
        let side = |subject: &Subject| json::Side {
            name: subject.name(),
            digest: subject.digest().cloned(),
        };
        return Ok(json::answer(&json::Diff {
            from: side(&from),
            to: side(&to),
            diff: found,
        }));
    }
    let names = (from.name(), to.name());
    let detail = match (arguments.stat, arguments.tensors) {
        (true, _) => diff::Detail::Counts,
        (_, true) => diff::Detail::Tensors,
        _ => diff::Detail::Usual,
    };
    Ok(Answer::done(match arguments.format {
        DiffFormat::Text => diff::text((&names.0, &names.1), &found, detail),
        DiffFormat::Markdown => diff::markdown((&names.0, &names.1), &found, detail),
    }))
}
