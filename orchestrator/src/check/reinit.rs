//! Reinit: did every session find its way back, and only those that had to? (Session era.)
//!
//! An operation counts as after the damage if it ended at or after the fault's start, so that one
//! that was cut off by it counts. What the end of the run kept from being sent does not count.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::history::{Cause, Nanos, Operation};
use squall_model::operation::OperationId;

use super::percentile::{Percentiles, Times};
use super::words::{count, first_ten, percent, time};
use super::{Checker, Finding, Judgement};
use crate::evidence::{Evidence, Expectation, SessionAtFault};

/// So many sessions are named one by one; of more, only the first.
const FEW: usize = 10;
const FIRST: usize = 3;

/// What became of one session of the load generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// Nothing went wrong on it.
    Untouched,
    /// Something went wrong, and the same MCP session (or its first one) went on to a success.
    Survived,
    /// A new MCP session took its place and had a success.
    Reinitialised,
    /// After its first failure, or after it lost its MCP session, it had no success.
    NeverRecovered,
}

/// The hops of one session from its last success to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hops {
    /// From the last success (completed) to the first 404 (completed).
    pub(crate) last_success_to_404: Option<Duration>,
    /// From the first 404 (completed) to the next `initialize` (sent).
    pub(crate) status_404_to_initialize: Option<Duration>,
    /// From that `initialize` (sent) to the new session's `notifications/initialized` (completed);
    /// attempts that failed in between are part of it.
    pub(crate) initialize_to_ready: Option<Duration>,
    /// From there to the first success on the new session (completed).
    pub(crate) ready_to_first_success: Option<Duration>,
    /// From the last success to that first success (both completed).
    pub(crate) total: Option<Duration>,
}

/// One session of the load generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionStory {
    /// The load generator's number for it.
    pub(crate) client: u32,
    /// What became of it.
    pub(crate) fate: Fate,
    /// Its MCP session when the damage began.
    pub(crate) session: Option<Arc<str>>,
    /// Its replica when the damage began, where known.
    pub(crate) home: Option<String>,
    /// Whether that was broken.
    pub(crate) on_broken: bool,
    /// Whether its MCP session got a 404 that no fault of the proxy made.
    pub(crate) lost: bool,
    /// A session that had taken its place got such a 404, too.
    pub(crate) lost_again: bool,
    /// It started anew though its MCP session had got no 404 at all.
    pub(crate) without_need: bool,
    /// Its MCP session still had a success that was due when nothing was broken any more.
    pub(crate) kept: bool,
    /// Its way back, if it re-initialised after a 404.
    pub(crate) hops: Option<Hops>,
    /// The longest time from a failure (due) to the next success (completed).
    pub(crate) outage: Option<Duration>,
    /// Its last failure, in words.
    pub(crate) last_failure: Option<String>,
}

impl SessionStory {
    fn name(&self) -> String {
        match &self.home {
            Some(home) => format!("{} (on {home})", self.client),
            None => self.client.to_string(),
        }
    }
}

/// Every session, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reinit {
    /// One story each.
    pub(crate) stories: Vec<SessionStory>,
}

/// How many sessions there are of each kind. The four fates add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionCounts {
    /// All sessions of the load generator.
    pub(crate) total: u64,
    /// Nothing went wrong on them.
    pub(crate) untouched: u64,
    /// They had failures and went on with the MCP session that they had.
    pub(crate) survived: u64,
    /// They started a new MCP session and had a success on it.
    pub(crate) reinitialised: u64,
    /// They had no success any more.
    pub(crate) never_recovered: u64,
    /// They lived on what was broken.
    pub(crate) on_broken: u64,
    /// `on_broken` of `total`, 0 to 1.
    pub(crate) broken_share: f64,
    /// They started anew though they had got no 404.
    pub(crate) without_need: u64,
}

/// The re-initialise path in percentiles, over the sessions that took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HopPercentiles {
    /// From the last success (completed) to the first 404 (completed).
    pub(crate) last_success_to_404: Percentiles,
    /// From the first 404 (completed) to the next `initialize` (sent).
    pub(crate) status_404_to_initialize: Percentiles,
    /// From that `initialize` to the new session's `notifications/initialized` (completed).
    pub(crate) initialize_to_ready: Percentiles,
    /// From there to the first success on the new session (completed).
    pub(crate) ready_to_first_success: Percentiles,
    /// From the last success to the next (both completed).
    pub(crate) total: Percentiles,
    /// Of every session that had a failure and came back, re-initialised or not: the longest time from
    /// a failure (due) to the next success (completed).
    #[serde(default)]
    pub(crate) outage: Percentiles,
}

impl Reinit {
    /// Counts the sessions.
    pub(crate) fn counts(&self) -> SessionCounts {
        let number = |wanted: &dyn Fn(&SessionStory) -> bool| {
            self.stories.iter().filter(|story| wanted(story)).count() as u64
        };
        let (total, on_broken) = (self.stories.len() as u64, number(&|s| s.on_broken));
        SessionCounts {
            total,
            untouched: number(&|s| s.fate == Fate::Untouched),
            survived: number(&|s| s.fate == Fate::Survived),
            reinitialised: number(&|s| s.fate == Fate::Reinitialised),
            never_recovered: number(&|s| s.fate == Fate::NeverRecovered),
            on_broken,
            broken_share: on_broken as f64 / total.max(1) as f64,
            without_need: number(&|s| s.without_need),
        }
    }

    /// The percentiles of every hop.
    pub(crate) fn percentiles(&self) -> HopPercentiles {
        let hops: Vec<_> = self.stories.iter().filter_map(|story| story.hops).collect();
        let over = |hop: fn(&Hops) -> Option<Duration>| {
            Percentiles::from(&hops.iter().filter_map(hop).collect::<Times>())
        };
        let outages = self.stories.iter().filter_map(|story| story.outage);
        HopPercentiles {
            outage: Percentiles::from(&outages.collect::<Times>()),
            last_success_to_404: over(|hops| hops.last_success_to_404),
            status_404_to_initialize: over(|hops| hops.status_404_to_initialize),
            initialize_to_ready: over(|hops| hops.initialize_to_ready),
            ready_to_first_success: over(|hops| hops.ready_to_first_success),
            total: over(|hops| hops.total),
        }
    }

    fn such(&self, wanted: impl Fn(&SessionStory) -> bool) -> Vec<&SessionStory> {
        self.stories.iter().filter(|story| wanted(story)).collect()
    }
}

/// Who it was, with their homes; of many the first few, and how many there are on each home.
fn say_who(stories: &[&SessionStory]) -> String {
    let names: Vec<_> = stories.iter().map(|story| story.name()).collect();
    if stories.len() <= FEW {
        return first_ten(&names);
    }
    let mut homes: BTreeMap<&str, u64> = BTreeMap::new();
    for home in stories.iter().filter_map(|story| story.home.as_deref()) {
        *homes.entry(home).or_default() += 1;
    }
    let homes: Vec<_> = homes.iter().map(|(home, number)| format!("{number} on {home}")).collect();
    let homes = if homes.is_empty() { String::new() } else { format!(" ({})", first_ten(&homes)) };
    let named = names[..FIRST].join(", ");
    format!("{named} and {} more{homes}", names.len() - FIRST)
}

/// Tells the story of every session.
pub(crate) fn measure(evidence: &Evidence) -> Reinit {
    let injected = evidence.injected();
    let mut clients: BTreeMap<u32, (Option<&SessionAtFault>, Vec<&Operation>)> = BTreeMap::new();
    for at in &evidence.sessions_at_fault {
        clients.entry(at.client).or_default().0 = Some(at);
    }
    for operation in &evidence.operations {
        let client = clients.entry(operation.id.session()).or_default();
        client.1.push(operation);
    }
    let stories = clients.into_iter().map(|(client, (at, mut operations))| {
        operations.sort_by_key(|operation| (operation.completed, operation.id));
        let course = Course::new(evidence, at, &operations, &injected);
        course.story(client, at)
    });
    Reinit { stories: stories.collect() }
}

/// One session's operations in the order in which they ended, and what they are held against.
struct Course<'a> {
    operations: &'a [&'a Operation],
    /// Those that ended after the damage began.
    after: Vec<&'a Operation>,
    /// The MCP session when the damage began.
    old: Option<&'a Arc<str>>,
    /// When nothing was broken any more.
    over: Nanos,
    injected: &'a HashSet<OperationId>,
}

impl<'a> Course<'a> {
    fn new(
        evidence: &Evidence,
        at: Option<&'a SessionAtFault>,
        operations: &'a [&'a Operation],
        injected: &'a HashSet<OperationId>,
    ) -> Self {
        let damage = evidence.damage_from();
        let was_sent = |o: &&&Operation| o.outcome.cause() != Some(&Cause::NotSent);
        let after = operations.iter().filter(|o| o.completed >= damage).filter(was_sent);
        let known = at.and_then(|at| at.session.as_ref());
        Self {
            operations,
            after: after.copied().collect(),
            old: known.or_else(|| session_before(damage, operations)),
            over: evidence.fault.map_or(evidence.phases.recovery.from, |fault| fault.to),
            injected,
        }
    }

    fn story(&self, client: u32, at: Option<&SessionAtFault>) -> SessionStory {
        let fate = self.fate();
        let need = self.first_404();
        let reinitialised = fate == Fate::Reinitialised;
        let last_failure = self.after.iter().rev().find_map(|o| o.outcome.cause());
        SessionStory {
            client,
            fate,
            session: self.old.cloned(),
            home: at.and_then(|at| at.home.clone()),
            on_broken: at.is_some_and(|at| at.broken),
            lost: self.all_404s().any(|o| !self.injected.contains(&o.id)),
            lost_again: self.later_404s().any(|o| !self.injected.contains(&o.id)),
            without_need: reinitialised && need.is_none(),
            kept: self.is_kept(),
            outage: self.outage(),
            hops: need.filter(|_| reinitialised).and_then(|status| self.hops(status)),
            last_failure: last_failure.map(ToString::to_string),
        }
    }

    fn fate(&self) -> Fate {
        let success = self.after.iter().rposition(|o| is_success(o));
        let failure = self.after.iter().position(|o| !o.outcome.is_ok());
        let lost = self.after.iter().rposition(|o| is_loss(o));
        let comes_too_early = |bad: Option<usize>| bad.is_some_and(|bad| success < Some(bad));
        if comes_too_early(failure) || comes_too_early(lost) {
            Fate::NeverRecovered
        } else if self.first_new_success().is_some() {
            Fate::Reinitialised
        } else if failure.is_some() {
            Fate::Survived
        } else {
            Fate::Untouched
        }
    }

    fn is_kept(&self) -> bool {
        let on_old = |o: &&Operation| self.old.is_some() && o.session.as_ref() == self.old;
        self.after.iter().copied().filter(on_old).any(|o| is_success(o) && o.due >= self.over)
    }

    fn outage(&self) -> Option<Duration> {
        let (mut since, mut longest) = (None, None);
        for operation in &self.after {
            if !operation.outcome.is_ok() {
                since = since.or(Some(operation.due));
            } else if is_success(operation)
                && let Some(since) = since.take()
            {
                longest = longest.max(Some(operation.completed.since(since)));
            }
        }
        longest
    }

    /// The 404s that the old session got.
    fn all_404s(&self) -> impl Iterator<Item = &'a Operation> {
        let is_404 = |o: &&Operation| o.outcome.cause() == Some(&Cause::Http(404));
        let on_old = |o: &&Operation| self.old.is_some() && o.session.as_ref() == self.old;
        self.after.iter().copied().filter(is_404).filter(on_old)
    }

    /// The 404s that sessions got which came after it.
    fn later_404s(&self) -> impl Iterator<Item = &'a Operation> {
        let is_404 = |o: &&Operation| o.outcome.cause() == Some(&Cause::Http(404));
        let on_later = |o: &&Operation| {
            self.old.is_some() && o.session.is_some() && o.session.as_ref() != self.old
        };
        self.after.iter().copied().filter(is_404).filter(on_later)
    }

    /// The first of the old session's, if it came before the new session: what came later was no reason for it.
    fn first_404(&self) -> Option<&'a Operation> {
        let first = self.all_404s().next()?;
        let new = self.first_new_success();
        new.is_none_or(|new| first.completed <= new.completed).then_some(first)
    }

    /// The first success on a session that is not the old one; the first session of a client that
    /// had none is no new one.
    fn first_new_success(&self) -> Option<&'a Operation> {
        let old = self.old?;
        let is_new = |o: &&Operation| o.session.as_ref().is_some_and(|session| session != old);
        self.after.iter().copied().filter(|o| is_success(o)).find(is_new)
    }

    fn hops(&self, status_404: &Operation) -> Option<Hops> {
        let first_success = self.first_new_success()?;
        let lost_at = status_404.completed;
        let before = |o: &&&Operation| is_success(o) && o.completed <= lost_at;
        let last_success = self.operations.iter().rev().find(before).map(|o| o.completed);
        let initialize = self
            .after
            .iter()
            .filter(|o| &*o.name == "initialize")
            .filter_map(|o| o.sent)
            .filter(|sent| *sent >= lost_at)
            .min();
        let ready = self.ready(first_success);
        let between = |from: Option<Nanos>, to: Option<Nanos>| Some(to?.since(from?));
        Some(Hops {
            last_success_to_404: between(last_success, Some(lost_at)),
            status_404_to_initialize: between(Some(lost_at), initialize),
            initialize_to_ready: between(initialize, ready),
            ready_to_first_success: between(ready, Some(first_success.completed)),
            total: between(last_success, Some(first_success.completed)),
        })
    }

    /// When the handshake of the session that had `success` was over.
    fn ready(&self, success: &Operation) -> Option<Nanos> {
        let handshake = |name: &str| {
            let done = |o: &&&Operation| {
                &*o.name == name && o.outcome.is_ok() && o.session == success.session
            };
            self.after.iter().find(done).map(|o| o.completed)
        };
        handshake("notifications/initialized").or_else(|| handshake("initialize"))
    }
}

fn session_before<'a>(damage: Nanos, operations: &[&'a Operation]) -> Option<&'a Arc<str>> {
    let is_before = |o: &&&Operation| o.completed < damage && o.outcome.is_ok();
    let mut before = operations.iter().rev().filter(is_before);
    before.find_map(|o| o.session.as_ref())
}

/// A good answer to the workload; one to the handshake is not the service itself yet.
fn is_success(operation: &Operation) -> bool {
    operation.outcome.is_ok() && !operation.is_handshake()
}

/// The session is gone, or a new one did not come about.
fn is_loss(operation: &Operation) -> bool {
    match operation.outcome.cause() {
        None => false,
        Some(Cause::Http(404) | Cause::NoSession) => true,
        Some(_) => operation.is_handshake(),
    }
}

/// Broken where a session was lost for good, or lost without need; unknown where too few sessions
/// lived on what was broken.
pub(crate) fn check(evidence: &Evidence, reinit: &Reinit) -> Finding {
    let counts = reinit.counts();
    let complaints = complaints(evidence.expectation, reinit);
    let (verdict, summary) = if !complaints.is_empty() {
        (Judgement::Broken, complaints.join(" "))
    } else if evidence.fault.is_some() && is_too_few(evidence, &counts) {
        (Judgement::Unknown, say_too_few(evidence, reinit))
    } else {
        (Judgement::Held, say_held(reinit, &counts))
    };
    Finding::new(Checker::Reinit, verdict, summary).with_details(remarks(evidence, reinit))
}

/// A drill that takes no replica down asks for no share.
fn is_too_few(evidence: &Evidence, counts: &SessionCounts) -> bool {
    let asserts = evidence.expectation != Expectation::None && evidence.min_broken_share > 0.0;
    asserts && (counts.on_broken == 0 || counts.broken_share < evidence.min_broken_share)
}

fn say_too_few(evidence: &Evidence, reinit: &Reinit) -> String {
    let counts = reinit.counts();
    let has_ids = reinit.stories.iter().any(|story| story.session.is_some());
    if counts.total > 0 && !has_ids {
        return "The server gives no session ids, so that no session lives on one replica and none \
                can be lost: for such a server, set expect.broken_share to 0."
            .to_owned();
    }
    format!(
        "Only {} of {} lived on what was broken ({}), at least {} are needed to tell.",
        counts.on_broken,
        count(counts.total, "session"),
        percent(counts.broken_share),
        percent(evidence.min_broken_share),
    )
}

/// What is wrong, a sentence each.
fn complaints(expectation: Expectation, reinit: &Reinit) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |stories: Vec<&SessionStory>, what: &str| {
        if !stories.is_empty() {
            let sessions = count(stories.len() as u64, "session");
            complaints.push(format!("{sessions} {what}: {}.", say_who(&stories)));
        }
    };
    complain(reinit.such(|s| s.fate == Fate::NeverRecovered), "never recovered");
    match expectation {
        Expectation::Reinitialise => {
            complain(
                reinit.such(|s| !s.on_broken && (s.lost || s.without_need)),
                "elsewhere lost theirs without need",
            );
            complain(
                reinit.such(|s| s.on_broken && s.kept && s.fate != Fate::Reinitialised),
                "went on as before, though what they live in was to be lost (where it is kept elsewhere: --set expect.sessions=survive)",
            );
        }
        Expectation::Survive => {
            complain(reinit.such(|s| s.lost), "got 404 though sessions were to survive");
        }
        Expectation::None => {}
    }
    complaints
}

fn say_held(reinit: &Reinit, counts: &SessionCounts) -> String {
    let hurt = counts.survived + counts.reinitialised;
    if hurt == 0 {
        return format!("{} went on untouched.", count(counts.total, "session"));
    }
    let percentiles = reinit.percentiles();
    let (way, outage) = (say_times(&percentiles.total), say_times(&percentiles.outage));
    let way = way.map(|times| format!(", in {times}")).unwrap_or_default();
    // Where some re-initialised, their way says more.
    let outage = outage.filter(|_| counts.reinitialised == 0);
    let outage = outage.map(|times| format!(", after {times} without an answer"));
    format!(
        "Every session came back: {} re-initialised{way}, {} survived{}, {} untouched.",
        counts.reinitialised,
        counts.survived,
        outage.unwrap_or_default(),
        counts.untouched,
    )
}

/// `2 s at the median and 3 s at most`; nothing where nothing was measured.
fn say_times(times: &Percentiles) -> Option<String> {
    let (median, longest) = (times.p50?, times.max?);
    Some(format!("{} at the median and {} at most", time(median), time(longest)))
}

/// What is worth knowing and breaks nothing.
fn remarks(evidence: &Evidence, reinit: &Reinit) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut remark = |stories: Vec<&SessionStory>, what: &str| {
        if !stories.is_empty() {
            let sessions = count(stories.len() as u64, "session");
            remarks.push(format!("{sessions} {what}: {}", say_who(&stories)));
        }
    };
    if evidence.expectation == Expectation::Reinitialise {
        let idle = |s: &SessionStory| s.on_broken && !s.kept && s.fate == Fate::Untouched;
        remark(reinit.such(idle), "on what was broken did nothing after it, and tell nothing");
    }
    remark(reinit.such(|s| s.lost_again), "lost the session that they had started anew, too");
    remark(reinit.such(|s| s.without_need), "started anew without a 404");
    remarks
}

#[cfg(test)]
mod tests;
