//! Text for people.

use std::{fmt::Write as _, io::Write as _};

use crate::error::Failure;

/// Prints a failure on stderr: the error, what caused it, and what to do.
pub(crate) fn failure(failure: &Failure) {
    let mut text = String::new();
    let _ = write!(
        text,
        "\x1b[1;31merror:\x1b[0m {}",
        clean(&failure.error.to_string())
    );
    let mut source = failure.error.source();
    while let Some(error) = source {
        let _ = write!(
            text,
            "\n  caused by: {}",
            clean(error.to_string().trim_end()).replace('\n', "\n    ")
        );
        source = error.source();
    }
    for hint in &failure.hints {
        let _ = write!(text, "\n\x1b[1;36mhint:\x1b[0m {}", clean(hint));
    }
    line(&text);
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// Prints a line on stderr. Colour is taken out where the terminal has none, or `NO_COLOR` is set.
pub(crate) fn line(text: &str) {
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Foreign text without the characters that steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// A number of bytes, in decimal units as docker prints them.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// Columns, as wide as their widest cell; the last is as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The first line of a message, not longer than `most` characters.
pub(crate) fn first_line(message: &str, most: usize) -> String {
    let line = clean(message.lines().next().unwrap_or_default());
    if line.chars().count() <= most {
        return line;
    }
    let mut cut: String = line.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_in_decimal_units() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_960, "1.0 MB"),
            (1_074_800_000, "1.1 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
        assert_eq!(first_line("a long message\nsecond", 6), "a lon…");
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["A", "B"]), row(["long", "x"])]),
            "A     B\nlong  x\n"
        );
    }
}
