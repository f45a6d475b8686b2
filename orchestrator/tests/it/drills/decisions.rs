//! The same seed gives the same decisions, by operation id, however requests interleave.

use std::collections::{BTreeMap, BTreeSet};

use squall_model::history::Nanos;
use squall_model::operation::OperationId;

use super::house::{Ended, FAULT, finding, house};
use super::rude::rude;

/// A session's number and the operation's number in it: comparable between seeds.
type Place = (u32, u32);

/// What a run decided for each call that was surely exposed to the fault from its first to its last
/// moment, and the call's name.
#[derive(Debug, Default)]
struct Decisions {
    ids: BTreeMap<OperationId, (String, bool)>,
}

impl Decisions {
    fn of(ended: &Ended) -> Self {
        let history = ended.history();
        let moment = |kind: &str, what: &str| {
            let found = history.events.iter().find(|e| e.kind == kind && e.what.contains(what));
            found.unwrap_or_else(|| panic!("no {kind} of {what}: {:?}", history.events))
        };
        let live = moment("step", "inject").until.expect("a step takes time");
        let over: Nanos = moment("undo", "remove fault").at;
        let hit: BTreeSet<_> = history.injections.iter().filter_map(|i| i.operation).collect();
        let exposed = history.operations.into_values().filter(|operation| {
            operation.name.starts_with("tools/call")
                && operation.sent.is_some_and(|sent| sent > live)
                && operation.completed < over
        });
        let ids = exposed.map(|o| (o.id, (o.name.to_string(), hit.contains(&o.id)))).collect();
        Self { ids }
    }

    fn hits(&self) -> BTreeSet<Place> {
        let hit = self.ids.iter().filter(|(_, (_, hit))| *hit);
        hit.map(|(id, _)| (id.session(), id.number())).collect()
    }

    fn places(&self) -> BTreeSet<Place> {
        self.ids.keys().map(|id| (id.session(), id.number())).collect()
    }
}

#[tokio::test]
async fn the_same_seed_decides_the_same_for_each_operation_and_another_seed_otherwise() {
    let house = house().await;
    let drill = FAULT
        .replace("sessions: 30, rate: 60", "sessions: 50, rate: 150")
        .replace("effect:", "chance: { probability: 0.1 }\n          effect:")
        .replace("wait: 1s", "wait: 3s");
    let mut decided = Vec::new();
    for seed in ["7", "7", "8"] {
        let ended = house.run(&drill, &["--seed", seed]).await.expect(0);
        assert!(finding(&ended.report(), "exercise")["verdict"] == "held");
        decided.push(Decisions::of(&ended));
    }
    let [first, second, other] = &decided[..] else { panic!("three runs") };
    let both: Vec<_> = first.ids.keys().filter(|id| second.ids.contains_key(id)).collect();
    assert!(both.len() > 100, "{} and {}", first.ids.len(), second.ids.len());
    for id in &both {
        assert_eq!(first.ids[id], second.ids[id], "{id}");
    }
    let hit = both.iter().filter(|id| first.ids[id].1).count();
    assert!(hit > 0 && hit < both.len(), "{hit} of {}", both.len());

    let shared: BTreeSet<_> = first.places().intersection(&other.places()).copied().collect();
    assert!(shared.len() > 100, "{}", shared.len());
    let ours: BTreeSet<_> = first.hits().intersection(&shared).copied().collect();
    let theirs: BTreeSet<_> = other.hits().intersection(&shared).copied().collect();
    assert_ne!(ours, theirs);
}

#[tokio::test]
async fn traceparent_and_meta_carry_the_operation_id_through_the_proxy_to_the_server() {
    let house = house().await;
    let journal = house.path("journal");
    let drill = rude(&["--journal", journal.to_str().expect("text")])
        .replace(
            "- kill: { replicas: one }",
            "- inject: { id: late, effect: { latency: { delay: 1ms } } }",
        )
        .replace("      - start: { within: 30s }\n", "")
        .replace("sessions: reinitialise", "sessions: none");
    let history = house.run(&drill, &["--seed", "7"]).await.expect(0).history();
    let text = std::fs::read_to_string(&journal).expect("a journal");
    let mut arrived = BTreeSet::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let header = line["traceparent"].as_str().and_then(OperationId::from_traceparent);
        let header = header.unwrap_or_else(|| panic!("no traceparent: {line}"));
        if line["method"] != "notifications/initialized" {
            assert_eq!(line["meta"], line["traceparent"], "{line}");
        }
        arrived.insert(header);
    }
    let answered = history.operations.values().filter(|operation| operation.outcome.is_ok());
    let answered: BTreeSet<_> = answered.map(|operation| operation.id).collect();
    assert!(answered.len() > 100, "{}", answered.len());
    assert!(answered.is_subset(&arrived), "{} of {}", arrived.len(), answered.len());
    assert!(history.injections.iter().any(|i| i.operation.is_some_and(|id| arrived.contains(&id))));
}
