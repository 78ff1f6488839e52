//! What two models differ in, for people: in a terminal, and as a comment on a pull request.

use modelkeep_inspect::{
    Diff,
    diff::{KeyChange, MetricChange, TensorChange},
};

use super::human;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Only how many of each.
    Counts,
    /// Everything but tensors one by one.
    Usual,
    /// Everything.
    Tensors,
}

/// Lines of a section that are shown; `--json` has them all.
const MOST: usize = 50;

/// A part of the answer: what it is about, a line that sums it up, and rows.
struct Section {
    title: &'static str,
    sum: String,
    rows: Vec<Vec<String>>,
    /// How many rows there would be more.
    left: usize,
}

impl Section {
    fn new(title: &'static str, sum: String, mut rows: Vec<Vec<String>>) -> Self {
        let left = rows.len().saturating_sub(MOST);
        rows.truncate(MOST);
        Self {
            title,
            sum,
            rows,
            left,
        }
    }
}

/// For a terminal.
pub(crate) fn text((from, to): (&str, &str), diff: &Diff, detail: Detail) -> String {
    let mut text = format!("{from} -> {to}\n");
    for reason in &diff.incompatible {
        text.push_str(&format!("incompatible: {}\n", line(reason)));
    }
    for section in sections(diff, detail) {
        text.push_str(&format!("\n{}: {}\n", section.title, section.sum));
        for row in human::table(&section.rows).lines() {
            text.push_str(&format!("  {row}\n"));
        }
        if section.left > 0 {
            text.push_str(&format!("  and {} more, with --json\n", section.left));
        }
    }
    text
}

/// For a comment: a table a section.
pub(crate) fn markdown((from, to): (&str, &str), diff: &Diff, detail: Detail) -> String {
    let mut text = format!("### {} → {}\n", cell(from), cell(to));
    for reason in &diff.incompatible {
        text.push_str(&format!("\n> **Incompatible:** {}\n", cell(reason)));
    }
    for section in sections(diff, detail) {
        text.push_str(&format!("\n**{}**: {}\n", section.title, cell(&section.sum)));
        let columns = section.rows.iter().map(Vec::len).max().unwrap_or(0);
        for (n, row) in section.rows.iter().enumerate() {
            if n == 0 {
                // Tables of GitHub have a head, if only an empty one.
                text.push_str(&format!(
                    "\n|{}\n|{}\n",
                    "  |".repeat(columns),
                    " --- |".repeat(columns)
                ));
            }
            let mut cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
            cells.resize(columns, String::new());
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        if section.left > 0 {
            text.push_str(&format!("\nand {} more\n", section.left));
        }
    }
    text
}

/// Foreign text that stays in its cell, and is no markup.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for c in line(text).chars() {
        if "\\`*_{}[]<#|!~&@".contains(c) {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

/// Foreign text on one line, not longer than a line.
fn line(text: &str) -> String {
    let text: String = human::clean(text).replace('\n', " ");
    human::first_line(&text, 200)
}

fn sections(diff: &Diff, detail: Detail) -> Vec<Section> {
    let mut sections = vec![files(diff)];
    let tensors = &diff.tensors;
    let total = tensors.unchanged + tensors.list.len() as u64;
    if total > 0 {
        let counts = [
            (tensors.added, "added"),
            (tensors.removed, "removed"),
            (tensors.changed, "changed"),
            (tensors.unknown, "not compared"),
            (tensors.unchanged, "same"),
        ];
        // A few are named without being asked for.
        let is_listed = detail == Detail::Tensors || tensors.list.len() <= 10;
        let rows = if is_listed {
            tensors.list.iter().map(tensor).collect()
        } else {
            Vec::new()
        };
        let mut section = Section::new("tensors", counted(&counts), rows);
        if detail == Detail::Tensors {
            section.rows = tensors.list.iter().map(tensor).collect();
            section.left = 0;
        }
        sections.push(section);
    }
    let mut keyed = |title, changes: &[KeyChange]| {
        if !changes.is_empty() {
            let rows = changes.iter().map(key).collect();
            sections.push(Section::new(
                title,
                human::count(changes.len() as u64, "change"),
                rows,
            ));
        }
    };
    keyed("model", &diff.record);
    if !diff.metrics.is_empty() {
        let rows = diff.metrics.iter().map(metric).collect();
        let sum = human::count(diff.metrics.len() as u64, "change");
        sections.push(Section::new("metrics", sum, rows));
    }
    let mut keyed = |title, changes: &[KeyChange]| {
        if !changes.is_empty() {
            let rows = changes.iter().map(key).collect();
            sections.push(Section::new(
                title,
                human::count(changes.len() as u64, "change"),
                rows,
            ));
        }
    };
    keyed("params", &diff.params);
    let config: Vec<KeyChange> = diff
        .texts
        .config
        .iter()
        .flat_map(|(path, changes)| {
            changes.iter().map(move |change| KeyChange {
                key: format!("{path}: {}", change.key),
                ..change.clone()
            })
        })
        .collect();
    keyed("config", &config);
    keyed("card", &diff.texts.card);
    let tokens = &diff.vocabulary;
    if !tokens.is_empty() {
        let counts = [
            (tokens.added, "added"),
            (tokens.removed, "removed"),
            (tokens.renumbered, "renumbered"),
        ];
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let rows = tokens.list.iter();
        let rows = rows.map(|token| {
            vec![
                line(&token.token),
                number(token.from),
                "->".to_owned(),
                number(token.to),
            ]
        });
        sections.push(Section::new("vocabulary", counted(&counts), rows.collect()));
    }
    if detail == Detail::Counts {
        for section in &mut sections {
            section.rows.clear();
            section.left = 0;
        }
    }
    sections
}

fn counted(counts: &[(u64, &str)]) -> String {
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    parts.join(", ")
}

fn files(diff: &Diff) -> Section {
    let files = &diff.files;
    let counts = [
        (files.added.len() as u64, "added"),
        (files.removed.len() as u64, "removed"),
        (files.modified.len() as u64, "modified"),
        (files.renamed.len() as u64, "renamed"),
        (files.unchanged, "same"),
    ];
    let mut rows = Vec::new();
    for file in &files.modified {
        rows.push(vec!["M".to_owned(), line(&file.path), sizes(file.from, file.to)]);
    }
    for file in &files.added {
        rows.push(vec!["A".to_owned(), line(&file.path), human::bytes(file.size)]);
    }
    for file in &files.removed {
        rows.push(vec!["D".to_owned(), line(&file.path), human::bytes(file.size)]);
    }
    for file in &files.renamed {
        let paths = format!("{} -> {}", file.from, file.to);
        rows.push(vec!["R".to_owned(), line(&paths), human::bytes(file.size)]);
    }
    let sum = format!(
        "{}; {} to fetch",
        counted(&counts),
        human::bytes(files.bytes_to_fetch)
    );
    Section::new("files", sum, rows)
}

fn sizes(from: u64, to: u64) -> String {
    let (from, to) = (human::bytes(from), human::bytes(to));
    if from == to { to } else { format!("{from} -> {to}") }
}

fn tensor(change: &TensorChange) -> Vec<String> {
    let form = |form: &modelkeep_inspect::diff::Form| {
        let sides: Vec<String> = form.shape.iter().map(u64::to_string).collect();
        format!("{}[{}]", form.dtype, sides.join(", "))
    };
    let what = match (&change.from, &change.to) {
        (Some(from), Some(to)) if from != to => format!("{} -> {}", form(from), form(to)),
        (Some(same), Some(_)) if change.change == "changed" => format!("{}, other values", form(same)),
        (_, Some(only)) | (Some(only), None) => form(only),
        (None, None) => String::new(),
    };
    let mut row = vec![change.change.to_owned(), line(&change.name), line(&what)];
    if let Some(distance) = &change.distance {
        let number =
            |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.6}"));
        row.push(format!("L2 {}", number(distance.relative_l2)));
        row.push(format!("cosine {}", number(distance.cosine)));
    }
    row
}

fn key(change: &KeyChange) -> Vec<String> {
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), line);
    vec![
        line(&change.key),
        value(&change.from),
        "->".to_owned(),
        value(&change.to),
    ]
}

fn metric(change: &MetricChange) -> Vec<String> {
    let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let delta = change
        .delta
        .map_or_else(String::new, |delta| format!("{:+}", rounded(delta)));
    vec![
        line(&change.name),
        value(change.from),
        "->".to_owned(),
        value(change.to),
        delta,
    ]
}

/// A difference without the digits that only binary fractions have.
fn rounded(delta: f64) -> f64 {
    format!("{delta:.9e}").parse().unwrap_or(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_cell() {
        assert_eq!(cell("a|b\n<img>"), "a\\|b \\<img>");
    }

    #[test]
    fn differences_have_the_digits_that_people_wrote() {
        assert_eq!(rounded(0.911 - 0.894), 0.017);
        assert_eq!(rounded(-1e-12), -1e-12);
    }
}
