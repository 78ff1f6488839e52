//! What the scanner found, as a person wants to read it.

use modelkeep_inspect::danger::{Finding, Severity};

use super::{human, json};

/// One finding in one line.
pub(crate) fn line(finding: &Finding) -> String {
    let Finding {
        file,
        severity,
        technique,
        detail,
    } = finding;
    human::clean(&format!("{severity}: {file}: {detail} ({technique})")).replace('\n', " ")
}

/// The findings, the worst first, and a line that counts.
pub(crate) fn text(report: &json::Scan) -> String {
    let lines = report.findings.iter().map(|finding| line(finding) + "\n");
    let mut text: String = lines.collect();
    text.push_str(&format!(
        "scanned {}, {}: {} dangerous, {} suspicious\n",
        human::count(report.files, "file"),
        human::bytes(report.bytes),
        report.dangerous,
        report.suspicious
    ));
    text
}

/// Says on stderr what is dangerous or suspicious; what is only worth knowing, `scan` and `show` say.
pub(crate) fn warn<'a>(findings: impl Iterator<Item = &'a Finding>) {
    const MOST: usize = 10;
    let mut findings = findings.filter(|finding| finding.severity > Severity::Info);
    for finding in findings.by_ref().take(MOST) {
        human::line(&format!("warning: {}", line(finding)));
    }
    match findings.count() {
        0 => {}
        more => human::line(&format!("warning: and {more} more")),
    }
}
