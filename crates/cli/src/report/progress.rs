//! What is shown while bytes move.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::human;

/// Without a terminal, how often a line says how far it is: short work needs none.
const EVERY: Duration = Duration::from_secs(5);

/// A bar on a terminal, a plain line now and then elsewhere.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    /// When the next plain line is due; `None` where there is a bar, or nothing is to be shown.
    due: Option<Mutex<Instant>>,
    quiet: bool,
}

impl Progress {
    /// Begins to show `total` bytes being `verb`: "packed", "written".
    pub(crate) fn begin(quiet: bool, total: u64, verb: &'static str) -> Self {
        // Hidden by itself where stderr is not a terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        let begun = Instant::now();
        let due = (!quiet && target.is_hidden()).then(|| Mutex::new(begun + EVERY));
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{msg} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(verb);
        Self {
            bar,
            begun,
            due,
            quiet,
        }
    }

    /// `bytes` more are done.
    pub(crate) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        let now = Instant::now();
        // Whoever does not get the lock leaves the line to who has it.
        if let Some(mut due) = self.due.as_ref().and_then(|due| due.try_lock().ok())
            && now >= *due
        {
            *due = now + EVERY;
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            human::line(&so_far(&self.bar.message(), done, total, now - self.begun));
        }
    }

    /// Ends the bar and prints `line`, which says what happened in numbers.
    pub(crate) fn end(self, line: &str) {
        self.bar.finish_and_clear();
        if !self.quiet {
            human::line(&format!("{line} in {}", duration(self.begun.elapsed())));
        }
    }
}

fn so_far(verb: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    format!(
        "{verb} {} of {}, {} a second, {left:.0} s left",
        human::bytes(done),
        human::bytes(total),
        human::bytes(rate as u64),
    )
}

fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{} min {:02} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_still() {
        let line = so_far("packed", 2_000_000_000, 8_000_000_000, Duration::from_secs(4));
        assert_eq!(line, "packed 2.0 GB of 8.0 GB, 500.0 MB a second, 12 s left");
        assert_eq!(
            so_far("read", 0, 0, Duration::ZERO),
            "read 0 B of 0 B, 0 B a second, 0 s left"
        );
    }
}
