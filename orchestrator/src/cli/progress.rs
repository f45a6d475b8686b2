//! What a person sees while a drill or a load runs: a line that moves on a terminal, a line for each
//! piece of news elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use squall_loadgen::Progress;

use super::tell;
use crate::drill::Drill;
use crate::runner::{News, Watch};

/// Tells a run's news on stderr.
#[derive(Debug)]
pub(super) struct Terminal {
    bar: ProgressBar,
    moves: bool,
    phase: Mutex<Option<(&'static str, Duration, tokio::time::Instant)>>,
}

impl Terminal {
    pub(super) fn new(drill: &Drill, quiet: bool) -> Self {
        let moves = std::io::stderr().is_terminal() && !quiet;
        let terminal = Self { bar: bar(moves), moves, phase: Mutex::default() };
        let about = humantime::format_duration(Duration::from_secs(drill.length().as_secs()));
        terminal.say(&format!("{}: {} (about {about})", drill.name.as_str(), drill.title));
        terminal
    }

    fn say(&self, line: &str) {
        if self.moves {
            self.bar.println(line);
        } else {
            tell(line);
        }
    }

    fn progress(&self, progress: Progress) {
        if !self.moves {
            return;
        }
        let phase = self.phase.lock().map_or_else(String::new, |(name, lasts, begun)| {
            format!("{name} {}/{} s  ", begun.elapsed().as_secs(), lasts.as_secs())
        });
        self.bar.set_message(format!("{phase}{}", in_words(progress)));
    }
}

impl Watch for Terminal {
    fn news(&self, news: News<'_>) {
        match news {
            News::Begun { run, out } => {
                self.say(&format!("run {run}, files in {}", out.display()));
            }
            News::Setting(what) if self.moves => self.bar.set_message(what.to_owned()),
            News::Setting(_) => {}
            News::Loaded { sessions, mix } => {
                self.say(&format!(
                    "{sessions} sessions are open; they do {}",
                    mix.replace(',', ", ")
                ));
            }
            News::Phase { name, lasts } => {
                *self.phase.lock() = Some((name, lasts, tokio::time::Instant::now()));
                self.say(&format!("{name} ({})", humantime::format_duration(lasts)));
            }
            News::Step(what) => self.say(&format!("  {what}")),
            News::Progress(progress) => self.progress(progress),
            News::Striking => {
                *self.phase.lock() = None;
                if self.moves {
                    self.bar.set_message("taking everything down");
                }
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner with a message, or nothing at all.
pub(super) fn bar(moves: bool) -> ProgressBar {
    let target = if moves { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `210 sessions, 1200 ok, 3 failed, 0 unknown`
pub(super) fn in_words(progress: Progress) -> String {
    let Progress { sessions, ready, ok, failed, unknown, .. } = progress;
    format!("{ready}/{sessions} sessions  {ok} ok  {failed} failed  {unknown} unknown")
}
