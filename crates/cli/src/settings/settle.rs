use std::time::Duration;

use super::{Origin, Setting};

/// As long as registries that are known take to list what was written, and then some.
const DEFAULT: Duration = Duration::from_secs(2);
/// Nobody waits longer for a push.
const LONGEST: Duration = Duration::from_secs(600);
const VARIABLE: &str = "MODELKEEP_SETTLE";

/// How long a registry takes until it lists what was written; `file` is what a file says, and where that is.
pub(super) fn settle(file: Option<(String, Origin)>) -> Result<Setting<Duration>, (Origin, String)> {
    let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let said = variable
        .map(|text| (text, Origin::Environment(VARIABLE)))
        .or(file);
    let Some((text, origin)) = said else {
        return Ok(Setting {
            value: DEFAULT,
            origin: Origin::Default,
        });
    };
    match parse(&text) {
        Some(value) => Ok(Setting { value, origin }),
        None => Err((
            origin,
            format!("{text:?} is no time such as \"2s\" or \"50ms\", ten minutes at most"),
        )),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let time = match text.strip_suffix("ms") {
        Some(number) => Duration::from_millis(number.trim_end().parse().ok()?),
        None => Duration::try_from_secs_f64(text.strip_suffix('s')?.trim_end().parse().ok()?).ok()?,
    };
    (time <= LONGEST).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        for (text, time) in [
            ("2s", Duration::from_secs(2)),
            ("50ms", Duration::from_millis(50)),
            ("0.5 s", Duration::from_millis(500)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        for text in ["", "2", "s", "ms", "-1s", "1e9s", "601s", "NaNs", "2m"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
