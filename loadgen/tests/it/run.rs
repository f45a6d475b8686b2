//! How the tests run a load: to its end, within a generous deadline, with everything recorded.

use std::sync::Arc;
use std::time::Duration;

use squall_loadgen::{
    Arrivals, Clock, Extent, History, Load, NotReady, Plan, Ready, Summary, Target, is_setup,
};
use squall_model::chance::Seed;
use squall_model::history::Operation;

/// What came of a load.
pub(crate) struct Run {
    pub(crate) ready: Result<Ready, NotReady>,
    pub(crate) summary: Summary,
    pub(crate) operations: Vec<Operation>,
}

/// A fast open-model load of so many operations over so many sessions.
pub(crate) fn plan(target: &Target, sessions: u32, operations: u64) -> Plan {
    Plan {
        sessions: sessions.try_into().expect("a number of sessions"),
        arrivals: open(1000.0),
        extent: Extent::Operations(operations),
        grace: Duration::from_secs(30),
        ..Plan::new(target.clone(), Seed::new(7))
    }
}

pub(crate) fn open(rate: f64) -> Arrivals {
    Arrivals::Open { rate: rate.try_into().expect("a rate") }
}

/// Runs a load until it ends by itself.
pub(crate) async fn run(plan: Plan) -> Run {
    let history = Arc::new(History::default());
    let mut load = Load::start(plan, Clock::start(), Arc::clone(&history) as _);
    let ended = async {
        let ready = load.ready().await;
        load.finished().await;
        (ready, load.stop().await)
    };
    let (ready, summary) =
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the load ends");
    Run { ready, summary, operations: history.take() }
}

impl Run {
    /// The workload's operations, by session and number.
    pub(crate) fn workload(&self) -> Vec<&Operation> {
        let all = self.operations.iter();
        let mut workload: Vec<_> = all.filter(|operation| !is_setup(operation.id)).collect();
        workload.sort_by_key(|operation| operation.id);
        workload
    }

    /// Session and number of each workload operation.
    pub(crate) fn numbers(&self) -> Vec<(u32, u32)> {
        let workload = self.workload().into_iter();
        workload.map(|op| (op.id.session(), op.id.number())).collect()
    }

    /// How each workload operation ended, in words.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let workload = self.workload().into_iter();
        workload.map(|op| format!("{:?}", op.outcome)).collect()
    }

    /// The recorded handshakes' names and outcomes, in the order in which they ended.
    pub(crate) fn handshakes(&self) -> Vec<(&str, String)> {
        let all = self.operations.iter().filter(|op| op.is_handshake());
        all.map(|op| (&*op.name, format!("{:?}", op.outcome))).collect()
    }
}

/// Session and number of `each` operations of each session.
pub(crate) fn all_numbers(sessions: u32, each: u32) -> Vec<(u32, u32)> {
    let of = |session| (1..=each).map(move |number| (session, number));
    (1..=sessions).flat_map(of).collect()
}
