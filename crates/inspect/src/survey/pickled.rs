//! Files that are pickles, or hold one.

use super::{Looking, SurveyError, formats::list};
use crate::{Bytes, Limits, Reader, Result, pickled, torch, zip};

/// Looks at a file that has the name of a checkpoint or of a pickle.
pub(super) fn look(looking: &mut Looking<'_>, file: usize) -> std::result::Result<(), SurveyError> {
    let path = looking.list[file].0.as_str();
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "pt" | "pth" | "ckpt" | "bin" => checkpoint(looking, file),
        "pkl" | "pickle" => object(looking, file, "pickle"),
        "joblib" => object(looking, file, "joblib"),
        _ => Ok(()),
    }
}

fn checkpoint(looking: &mut Looking<'_>, file: usize) -> std::result::Result<(), SurveyError> {
    if looking.read(file, is_checkpoint)? != Some(true) {
        return Ok(());
    }
    looking.record.formats.push("pytorch".to_owned());
    if let Some(read) = looking.read(file, torch::read)? {
        if let Some(class) = read.class.as_deref().and_then(crate::text::kept) {
            looking.record.architecture.get_or_insert(class);
        }
        list(looking, file, read.tensors);
    }
    Ok(())
}

/// Whether a file begins as a checkpoint does: `.bin` and `.pt` are the names of other things too.
fn is_checkpoint(bytes: &dyn Bytes, limits: &Limits) -> Result<bool> {
    let mut reader = Reader::new(bytes, "checkpoint of PyTorch");
    if reader.left() < 14 {
        return Ok(false);
    }
    let head: [u8; 14] = reader.array()?;
    Ok(match head {
        [b'P', b'K', 3, 4, ..] => {
            let archive = zip::read(bytes, limits)?;
            archive
                .members
                .iter()
                .any(|member| member.name.ends_with("data.pkl"))
        }
        // PROTO, LONG1 of ten bytes, and the magic number.
        [0x80, _, 0x8a, 10, 0x6c, 0xfc, ..] => true,
        _ => false,
    })
}

fn object(looking: &mut Looking<'_>, file: usize, format: &str) -> std::result::Result<(), SurveyError> {
    looking.record.formats.push(format.to_owned());
    let Some(read) = looking.read(file, pickled::read)? else {
        return Ok(());
    };
    let Some(class) = read.class.as_deref().and_then(crate::text::kept) else {
        return Ok(());
    };
    let record = &mut looking.record;
    let library = class.split('.').next().unwrap_or(&class).to_owned();
    record.library.get_or_insert(library);
    let short = |class: &str| class.rsplit('.').next().unwrap_or(class).to_owned();
    let steps: Vec<String> = read
        .steps
        .iter()
        .filter_map(|step| crate::text::kept(&short(step)))
        .collect();
    let architecture = match steps.as_slice() {
        [] => class,
        steps => format!("{class}({})", steps.join(", ")),
    };
    record.architecture.get_or_insert(architecture);
    if let Some(version) = read.library_version.as_deref().and_then(crate::text::kept) {
        record
            .params
            .entry("sklearn_version".to_owned())
            .or_insert(version);
    }
    Ok(())
}
