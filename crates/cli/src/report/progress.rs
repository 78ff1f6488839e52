//! What is shown while bytes move.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::human;

/// A bar on a terminal, nothing elsewhere; the lines before and after it are plain.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
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
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{msg} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(verb);
        Self {
            bar,
            begun: Instant::now(),
            quiet,
        }
    }

    /// `bytes` more are done.
    pub(crate) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Ends the bar and prints `line`, which says what happened in numbers.
    pub(crate) fn end(self, line: &str) {
        self.bar.finish_and_clear();
        if !self.quiet {
            human::line(&format!("{line} in {}", duration(self.begun.elapsed())));
        }
    }
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
}
