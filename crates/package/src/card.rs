//! Title and license from the model card.
//!
//! A model card is a `README.md` that begins with YAML between two lines of `---`. Of that, only the top-level keys
//! `license`, `license_name` and `model_name` with a plain or quoted text on the same line are read; whatever else
//! YAML can say about them (lists, blocks, aliases) counts as not said. A card without `model_name` has its first
//! heading of the first level as title.

use crate::{
    pack::{Opened, PackError},
    scan::ModelFile,
};

/// The path of the model card.
pub const PATH: &str = "README.md";
/// Bytes that are read of it.
const MOST: usize = 64 << 10;
/// Characters of a title or license that are kept.
const LONGEST: usize = 200;

/// What a model card says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Title of the model.
    pub title: Option<String>,
    /// License, as the card writes it.
    pub license: Option<String>,
}

/// Reads the model card among `files`; a model without one says nothing.
///
/// # Errors
/// [`PackError::Changed`], [`PackError::Read`].
pub fn read(files: &[ModelFile]) -> Result<Card, PackError> {
    let Ok(at) = files.binary_search_by(|file| file.path.as_str().cmp(PATH)) else {
        return Ok(Card::default());
    };
    let mut file = Opened::open(&files[at])?;
    let mut bytes = vec![0; usize::try_from(files[at].stamp.size).unwrap_or(MOST).min(MOST)];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += file.read(&mut bytes[filled..])?;
    }
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Reads the text of a model card.
#[must_use]
pub fn parse(text: &str) -> Card {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines();
    let mut card = Card::default();
    let mut license_name = None;
    if lines.clone().next().is_some_and(|line| line.trim_end() == "---") {
        lines.next();
        for line in lines.by_ref() {
            if matches!(line.trim_end(), "---" | "...") {
                break;
            }
            match line.split_once(':') {
                Some(("license", value)) => card.license = scalar(value),
                Some(("license_name", value)) => license_name = scalar(value),
                Some(("model_name", value)) => card.title = scalar(value),
                _ => {}
            }
        }
    }
    // "other" stands for a license that has its name beside it.
    if card.license.as_deref() == Some("other") && license_name.is_some() {
        card.license = license_name;
    }
    if card.title.is_none() {
        card.title = heading(lines);
    }
    card
}

/// The first heading of the first level that is not in a block of code.
fn heading<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut code = false;
    for line in lines {
        if line.starts_with("```") || line.starts_with("~~~") {
            code = !code;
        }
        if let (false, Some(title)) = (code, line.strip_prefix("# ")) {
            return kept(title.trim().trim_end_matches('#'));
        }
    }
    None
}

/// A YAML scalar on one line: plain, or between quotes.
fn scalar(value: &str) -> Option<String> {
    // YAML wants a space after the colon of a key.
    if !value.starts_with([' ', '\t']) {
        return None;
    }
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let (text, after) = rest.split_once(quote)?;
            let comment = after.trim_start();
            let whole = comment.is_empty() || (comment.starts_with('#') && comment != after);
            // What is escaped would have to be understood.
            return (whole && !text.contains('\\')).then(|| kept(text)).flatten();
        }
    }
    if value.starts_with(['[', '{', '|', '>', '&', '*', '!', '#', '%', '@', '`', '-', '?']) {
        return None;
    }
    let plain = value.split(" #").next().unwrap_or(value);
    if matches!(plain.trim(), "null" | "~") {
        return None;
    }
    kept(plain)
}

fn kept(text: &str) -> Option<String> {
    let text = text.trim();
    let right = !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    right.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(title: Option<&str>, license: Option<&str>) -> Card {
        Card {
            title: title.map(str::to_owned),
            license: license.map(str::to_owned),
        }
    }

    #[test]
    fn cards_of_real_models_are_read() {
        for (text, title, license) in [
            (
                "---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\nmodel-index: []\n---\n\n# all-MiniLM-L6-v2\nText",
                Some("all-MiniLM-L6-v2"),
                Some("apache-2.0"),
            ),
            (
                "---\r\nlicense: \"mit\" # as is\r\nmodel_name: 'Digits: small'\r\n---\r\n# Other",
                Some("Digits: small"),
                Some("mit"),
            ),
            (
                "---\nlicense: other\nlicense_name: llama3\n---\n",
                None,
                Some("llama3"),
            ),
            ("\u{feff}---\nlicense: mit\n---\n# T #\n", Some("T"), Some("mit")),
            ("```\n# not a title\n```\n# Title", Some("Title"), None),
            ("Text only", None, None),
            ("", None, None),
        ] {
            assert_eq!(parse(text), card(title, license), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_plain_text_counts_as_not_said() {
        let long = "x".repeat(LONGEST + 1);
        for value in [
            "",
            " ",
            " [mit, x]",
            " |",
            " >-",
            " &a mit",
            " *a",
            " \"a\\u0062\"",
            " \"open",
            " \"a\"b",
            " null",
            "mit",
            " # comment",
            " a\u{1b}[2J",
            &format!(" {long}"),
        ] {
            let text = format!("---\nlicense:{value}\n---\n");
            assert_eq!(parse(&text), Card::default(), "{value:?}");
        }
        assert_eq!(parse("---\nbase:\n  license: mit\n"), Card::default());
    }

    #[test]
    fn a_card_is_read_from_the_directory_and_not_far() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("# Title\n{}", "x\n".repeat(MOST));
        std::fs::write(directory.path().join(PATH), text).unwrap();
        let files = crate::testing::scan(directory.path());
        assert_eq!(read(&files).unwrap(), card(Some("Title"), None));
        assert_eq!(read(&[]).unwrap(), Card::default());
    }
}
