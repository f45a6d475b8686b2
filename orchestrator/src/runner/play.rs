//! Goes through the phases of a drill: baseline, impact, recovery.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_model::history::{Anchor, Nanos};
use squall_proxy::client::SessionView;
use tokio::sync::broadcast;

use super::act;
use super::interrupt::Interrupt;
use super::news::{News, Watch};
use super::plan::Plan;
use super::recording::Recording;
use super::stage::Stage;
use super::stop;
use crate::causes::in_words;
use crate::evidence::{Failure, Phases, Span};
use crate::step::Step;
use crate::world::{Front, WorldEvent};

/// How often the watcher hears where the load stands.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What playing a drill came to.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// When each phase began; those that were not reached are missing.
    pub(super) begun: Vec<Nanos>,
    /// When the last phase ended.
    pub(super) ended: Nanos,
    /// From the start of the first step that breaks something to the end of the impact phase.
    pub(super) fault: Option<Span>,
    /// Where sessions lived just before.
    pub(super) sessions: Vec<SessionView>,
    /// The replica behind each upstream of the proxy, by its URL.
    pub(super) homes: Vec<(String, String)>,
    /// From when to when each step was taken, by its place.
    pub(super) taken: BTreeMap<usize, Span>,
    /// The steps that were carried out, by their place.
    pub(super) done: Vec<usize>,
    /// Why it ended before its time.
    pub(super) stopped: Option<String>,
    /// What of the drill's own failed so that it could not go on.
    pub(super) cut_short: Option<String>,
    /// What the drill could not do.
    pub(super) failures: Vec<Failure>,
}

impl Played {
    /// The three phases. One that was not reached is empty and lies at the end.
    pub(super) fn phases(&self) -> Phases {
        let begin = |place: usize| self.begun.get(place).copied().unwrap_or(self.ended);
        let span = |place| Span { from: begin(place), to: begin(place + 1) };
        Phases { baseline: span(0), impact: span(1), recovery: span(2) }
    }
}

/// Plays the drill. Whatever ends it early is part of what comes back, never an error.
pub(super) async fn play(
    plan: &Plan<'_>,
    stage: &Stage,
    recording: &Recording,
    interrupt: &Interrupt,
    watch: &dyn Watch,
) -> Played {
    let mut played = Played::default();
    let player = Player { plan, stage, recording, watch };
    let stopped = tokio::select! {
        outcome = player.phases(&mut played) => outcome.err().map(Stop::Failed),
        reason = interrupt.wait() => Some(Stop::Early(reason)),
        reason = stop_conditions(plan, recording) => Some(Stop::Early(reason)),
        () = stage.proxy().ended() => Some(Stop::Failed("the drill's proxy has ended".to_owned())),
        () = player.tell() => None,
    };
    played.ended = recording.clock().now();
    if let Some(span) = &mut played.fault {
        span.to = span.to.min(played.ended);
    }
    match stopped {
        Some(Stop::Early(reason)) => {
            recording.event("stop", &reason, played.ended, None);
            played.stopped = Some(reason);
        }
        Some(Stop::Failed(what)) => {
            recording.event("failure", &what, played.ended, None);
            played.cut_short = Some(what.clone());
            played.failures.push(Failure { what, tells: false });
        }
        None => {}
    }
    played
}

enum Stop {
    Early(String),
    Failed(String),
}

async fn stop_conditions(plan: &Plan<'_>, recording: &Recording) -> String {
    if plan.drill.stop.is_empty() {
        std::future::pending().await
    } else {
        stop::wait(&plan.drill.stop, recording).await
    }
}

struct Player<'a> {
    plan: &'a Plan<'a>,
    stage: &'a Stage,
    recording: &'a Recording,
    watch: &'a dyn Watch,
}

impl Player<'_> {
    async fn phases(&self, played: &mut Played) -> Result<(), String> {
        let phases = &self.plan.drill.phases;
        self.begin("baseline", phases.baseline.lasts, played);
        tokio::time::sleep(phases.baseline.lasts).await;

        played.sessions =
            self.stage.proxy().admin.sessions().await.map_err(|error| in_words(&error))?.sessions;
        let Front { upstreams, replicas, .. } = self.stage.world().front();
        played.homes = upstreams.into_iter().zip(replicas).collect();
        let length = phases.impact.steps.iter().map(Step::length).sum();
        self.begin("impact", length, played);
        self.impact(played).await?;

        self.begin("recovery", phases.recovery.lasts, played);
        tokio::time::sleep(phases.recovery.lasts).await;
        Ok(())
    }

    /// The steps, and then the end of every fault that they left on the proxy.
    async fn impact(&self, played: &mut Played) -> Result<(), String> {
        for (place, planned) in self.plan.steps.iter().enumerate() {
            let at = self.now();
            if !planned.step.is_quiet() && played.fault.is_none() {
                played.fault = Some(Span { from: at, to: Nanos(u64::MAX) });
            }
            let what = planned.describe();
            self.watch.news(News::Step(&what));
            let taken = act::take(planned, self.stage.world(), self.stage.leases()).await;
            played.taken.insert(place, Span { from: at, to: self.now() });
            match taken {
                Ok(()) => {
                    played.done.push(place);
                    self.recording.event("step", &what, at, Some(self.now()));
                }
                Err(error) => {
                    let what = format!("step {} ({what}) failed: {error}", place + 1);
                    self.recording.event("failure", &what, at, Some(self.now()));
                    // What does not come back is what the drill is there to find out.
                    let tells = planned.step.puts_back();
                    played.failures.push(Failure { what, tells });
                }
            }
        }
        let at = self.now();
        for (id, removed) in self.stage.leases().remove_all().await {
            let what = format!("remove fault `{id}`");
            let Err(error) = removed else {
                self.recording.event("undo", &what, at, Some(self.now()));
                continue;
            };
            let what = format!("{what} failed: {}", in_words(&error));
            self.recording.event("failure", &what, at, Some(self.now()));
            played.failures.push(Failure { what, tells: false });
        }
        if let Some(span) = &mut played.fault {
            span.to = self.now();
        }
        Ok(())
    }

    fn begin(&self, name: &'static str, lasts: Duration, played: &mut Played) {
        let at = self.now();
        played.begun.push(at);
        self.recording.event("phase", name, at, None);
        self.watch.news(News::Phase { name, lasts });
    }

    /// Tells where the load stands, and what ended that should not, for as long as it is polled.
    async fn tell(&self) {
        let mut exits = self.stage.children().exits();
        let mut events = self.stage.world().events();
        loop {
            tokio::select! {
                Ok(event) = next(&mut events) => {
                    let here = self.recording.clock().anchor();
                    let at = Nanos(0).rebased(Anchor { wall: event.wall }, here);
                    self.recording.event("engine", &event.what, at, None);
                },
                exit = exits.recv() => if let Ok(exit) = exit {
                    let at = self.recording.clock().at(exit.at);
                    self.recording.event("process", &exit.to_string(), at, None);
                },
                () = tokio::time::sleep(TELL_EVERY) => {
                    if let Some(load) = self.stage.load() {
                        self.watch.news(News::Progress(load.progress()));
                    }
                }
            }
        }
    }

    fn now(&self) -> Nanos {
        self.recording.clock().now()
    }
}

/// The next event of a world that tells any; of another, none ever. One who was too slow goes on
/// with what is left.
async fn next(
    events: &mut Option<broadcast::Receiver<WorldEvent>>,
) -> Result<WorldEvent, broadcast::error::RecvError> {
    match events {
        Some(events) => loop {
            match events.recv().await {
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                event => return event,
            }
        },
        None => std::future::pending().await,
    }
}
