//! What becomes of sessions. The fault begins at 10 s, the run ends at 30 s.

use proptest::prelude::*;
use squall_model::history::Outcome;

use super::*;
use crate::check::sample::Sample;

const OK: Outcome = Outcome::Ok;

fn failed(cause: Cause) -> Outcome {
    Outcome::Failed(cause)
}

fn gone() -> Outcome {
    failed(Cause::Http(404))
}

/// Client 1 on what is broken, with one success before the fault.
fn client() -> Sample {
    Sample::new().lives(1, "s1", true).handshake(1, "s1", 0).call(1, 9_000, 100, OK)
}

fn story(sample: Sample) -> SessionStory {
    measure(&sample.build()).stories.remove(0)
}

fn judge(sample: Sample) -> Finding {
    let evidence = sample.build();
    check(&evidence, &measure(&evidence))
}

/// 404 at 12 s, a handshake from 12.1 s, a success.
fn comes_back(sample: Sample) -> Sample {
    let sample = sample.call(1, 12_000, 50, gone());
    sample.handshake(1, "n1", 12_100).call_on(1, "n1", 12_200, 30, OK)
}

#[test]
fn a_session_is_untouched_survived_reinitialised_or_never_recovered() {
    let unknown = Outcome::Unknown(Cause::Timeout);
    for (sample, expected) in [
        (client(), Fate::Untouched),
        (client().call(1, 11_000, 5, OK), Fate::Untouched),
        (client().call(1, 8_000, 5, gone()), Fate::Untouched),
        (client().call(1, 29_990, 5, failed(Cause::NotSent)), Fate::Untouched),
        (client().call(1, 11_000, 5, unknown.clone()).call(1, 11_100, 5, OK), Fate::Survived),
        (client().call(1, 9_990, 50, unknown.clone()).call(1, 11_100, 5, OK), Fate::Survived),
        (comes_back(client()), Fate::Reinitialised),
        (comes_back(client().call(1, 11_000, 5, unknown.clone())), Fate::Reinitialised),
        (comes_back(client()).call_on(1, "n1", 20_000, 5, unknown.clone()), Fate::Reinitialised),
        (client().handshake(1, "n1", 12_000).call_on(1, "n1", 12_100, 5, OK), Fate::Reinitialised),
        (client().call(1, 11_000, 5, unknown), Fate::NeverRecovered),
        (client().call(1, 11_000, 5, gone()), Fate::NeverRecovered),
        (client().call(1, 11_000, 5, gone()).handshake(1, "n1", 11_100), Fate::NeverRecovered),
        (comes_back(client()).call_on(1, "n1", 20_000, 5, gone()), Fate::NeverRecovered),
        (comes_back(client()).call(1, 20_000, 5, failed(Cause::NoSession)), Fate::NeverRecovered),
    ] {
        let operations = sample.clone().build().operations;
        assert_eq!(story(sample).fate, expected, "{operations:#?}");
    }
}

#[test]
fn a_client_that_never_had_a_session_does_not_reinitialise_its_first() {
    let late =
        Sample::new().handshake_step(1, "initialize", None, 10_500, 5, failed(Cause::Refused));
    let late = late.handshake(1, "s1", 11_000).call(1, 11_100, 5, OK);
    assert_eq!(story(late).fate, Fate::Survived);
    let never =
        Sample::new().handshake_step(1, "initialize", None, 10_500, 5, failed(Cause::Refused));
    assert_eq!(story(never).fate, Fate::NeverRecovered);
}

#[test]
fn every_hop_is_measured_from_end_to_end() {
    let hops = story(comes_back(client())).hops.expect("hops");
    let ms = |ms| Some(Duration::from_millis(ms));
    let expected = Hops {
        last_success_to_404: ms(12_050 - 9_100),
        status_404_to_initialize: ms(50),
        initialize_to_ready: ms(20),
        ready_to_first_success: ms(12_230 - 12_120),
        total: ms(12_230 - 9_100),
    };
    assert_eq!(hops, expected);
}

#[test]
fn an_attempt_that_failed_is_part_of_the_way_to_ready() {
    let refused = failed(Cause::Refused);
    let tries = client().call(1, 12_000, 50, gone());
    let tries = tries.handshake_step(1, "initialize", None, 12_060, 5, refused);
    let hops = story(tries.handshake(1, "n1", 13_000).call_on(1, "n1", 13_100, 5, OK)).hops;
    let hops = hops.expect("hops");
    assert_eq!(hops.status_404_to_initialize, Some(Duration::from_millis(10)));
    assert_eq!(hops.initialize_to_ready, Some(Duration::from_millis(960)));
}

#[test]
fn a_success_between_the_fault_and_the_404_is_the_last_success() {
    let hops = story(comes_back(client().call(1, 11_900, 10, OK))).hops.expect("hops");
    assert_eq!(hops.last_success_to_404, Some(Duration::from_millis(140)));
}

#[test]
fn a_new_session_without_a_404_was_without_need() {
    let eager = client().handshake(1, "n1", 12_000).call_on(1, "n1", 12_100, 5, OK);
    let eager = story(eager);
    assert!(eager.without_need && eager.hops.is_none());
    assert!(!story(comes_back(client())).without_need);
}

#[test]
fn sessions_that_never_recovered_are_broken_and_named() {
    let lost = |s: Sample, n: u32| {
        s.lives(n, &format!("s{n}"), true).call(n, 9_000, 5, OK).call(n, 12_000, 5, gone())
    };
    let finding = judge((1..=12).fold(Sample::new(), lost));
    assert_eq!(finding.verdict, Judgement::Broken);
    let summary = finding.summary;
    assert!(summary.starts_with("12 sessions never recovered: 1 (on r1), 2"), "{summary}");
    assert!(summary.contains("3 (on r1) and 9 more (12 on r1)"), "{summary}");
}

#[test]
fn a_session_elsewhere_that_loses_its_own_is_broken() {
    let elsewhere = |s: Sample| s.with(|e| e.sessions_at_fault[0].broken = false);
    let other = |s: Sample| comes_back(s).lives(2, "s2", true);
    let finding = judge(elsewhere(other(client())));
    assert_eq!(finding.verdict, Judgement::Broken);
    assert!(finding.summary.contains("without need"), "{}", finding.summary);
    assert_eq!(judge(other(client())).verdict, Judgement::Held);
}

#[test]
fn a_404_that_a_fault_made_is_nobodys_loss() {
    let injected = |s: Sample| s.call(1, 12_000, 50, gone()).marked("expire");
    let back = |s: Sample| s.handshake(1, "n1", 12_100).call_on(1, "n1", 12_200, 30, OK);
    let elsewhere = |s: Sample| s.with(|e| e.sessions_at_fault[0].broken = false);
    let finding = judge(elsewhere(back(injected(client()))).lives(2, "s2", true));
    assert_eq!(finding.verdict, Judgement::Held, "{}", finding.summary);
}

#[test]
fn where_sessions_are_to_survive_any_404_is_broken() {
    let survive = |s: Sample| s.with(|e| e.expectation = Expectation::Survive);
    assert_eq!(judge(survive(comes_back(client()))).verdict, Judgement::Broken);
    let kept = client().call(1, 11_000, 5, failed(Cause::Reset)).call(1, 12_000, 5, OK);
    assert_eq!(judge(survive(kept)).verdict, Judgement::Held);
}

#[test]
fn where_nothing_is_asserted_a_404_will_do_and_a_lost_session_will_not() {
    let nothing = |s: Sample| s.with(|e| e.expectation = Expectation::None);
    let elsewhere = |s: Sample| s.with(|e| e.sessions_at_fault[0].broken = false);
    assert_eq!(judge(nothing(elsewhere(comes_back(client())))).verdict, Judgement::Held);
    assert_eq!(judge(nothing(client().call(1, 12_000, 5, gone()))).verdict, Judgement::Broken);
}

#[test]
fn with_less_than_30_per_cent_on_what_is_broken_it_cannot_be_told() {
    for (broken, expected) in
        [(0, Judgement::Unknown), (2, Judgement::Unknown), (3, Judgement::Held)]
    {
        let lives = |s: Sample, n: u32| s.lives(n, &format!("s{n}"), n <= broken);
        let finding = judge((1..=10).fold(Sample::new(), lives));
        assert_eq!(finding.verdict, expected, "{broken}: {}", finding.summary);
    }
    assert_eq!(judge(Sample::new()).verdict, Judgement::Unknown);
}

#[test]
fn sessions_that_were_to_be_lost_and_went_on_are_broken() {
    let kept = client().call(1, 11_000, 5, failed(Cause::Reset)).call(1, 21_000, 5, OK);
    for sample in [kept.clone(), client().call(1, 21_000, 5, OK)] {
        let finding = judge(sample);
        assert_eq!(finding.verdict, Judgement::Broken);
        assert!(finding.summary.contains("went on as before"), "{}", finding.summary);
    }
    let survives = kept.with(|evidence| evidence.expectation = Expectation::Survive);
    assert_eq!(judge(survives).verdict, Judgement::Held);
}

#[test]
fn a_session_that_did_nothing_after_the_fault_tells_nothing() {
    let finding = judge(client());
    assert_eq!(finding.verdict, Judgement::Held);
    assert!(finding.details[0].contains("tell nothing"), "{finding:?}");
}

#[test]
fn an_outage_is_the_longest_time_from_a_failure_to_the_next_success() {
    let flaps = client()
        .call(1, 11_000, 5, failed(Cause::Http(503)))
        .call(1, 12_000, 5, failed(Cause::Http(503)))
        .call(1, 14_000, 20, OK)
        .call(1, 15_000, 5, failed(Cause::Reset))
        .call(1, 15_500, 10, OK);
    assert_eq!(story(flaps).outage, Some(Duration::from_millis(3_020)));
    assert_eq!(story(client().call(1, 11_000, 5, OK)).outage, None);
    assert_eq!(story(client().call(1, 11_000, 5, failed(Cause::Reset))).outage, None);
    assert_eq!(story(comes_back(client())).outage, Some(Duration::from_millis(230)));
}

/// One operation of anybody, at any time, that ends in any way.
fn any_operation() -> impl Strategy<Value = (u32, usize, usize, u64, u64, Outcome)> {
    let outcome = prop::sample::select(vec![
        OK,
        OK,
        gone(),
        failed(Cause::Refused),
        failed(Cause::NoSession),
        failed(Cause::NotSent),
        Outcome::Unknown(Cause::Timeout),
    ]);
    (1u32..6, 0usize..3, 0usize..4, 0u64..30_000, 0u64..3_000, outcome)
}

proptest! {
    #[test]
    fn sessions_always_add_up(
        operations in prop::collection::vec(any_operation(), 0..120),
        broken in prop::collection::vec(any::<bool>(), 0..8),
    ) {
        let names = ["initialize", "notifications/initialized", "tools/call fast-echo"];
        let sessions = [None, Some("a"), Some("b"), Some("c")];
        let sample = operations.into_iter().fold(Sample::new(), |s, (client, name, session, due, took, outcome)| {
            s.operation(client, names[name], sessions[session], due, took, outcome)
        });
        let lives = |s: Sample, (n, broken): (usize, &bool)| s.lives(n as u32 + 1, "a", *broken);
        let evidence = broken.iter().enumerate().fold(sample, lives).build();
        let reinit = measure(&evidence);
        let counts = reinit.counts();
        let fates = counts.untouched + counts.survived + counts.reinitialised + counts.never_recovered;
        prop_assert_eq!(fates, counts.total);
        prop_assert_eq!(counts.total, reinit.stories.len() as u64);
        prop_assert!(counts.without_need <= counts.reinitialised);
        prop_assert!(counts.on_broken <= counts.total);
        for hop in reinit.stories.iter().filter_map(|story| story.hops) {
            prop_assert!(hop.total >= hop.last_success_to_404);
        }
        check(&evidence, &reinit);
    }
}

#[test]
fn a_drill_that_takes_no_replica_down_asks_for_no_share() {
    let verdict = |share: f64| {
        let sample = Sample::new().with(|evidence| {
            evidence.expectation = Expectation::Survive;
            evidence.min_broken_share = share;
        });
        let evidence = sample.build();
        check(&evidence, &measure(&evidence)).verdict
    };
    assert_eq!((verdict(0.0), verdict(0.3)), (Judgement::Held, Judgement::Unknown));
}

#[test]
fn who_loses_the_new_session_too_is_remarked_upon_and_measured_by_the_first_loss() {
    let once = comes_back(client());
    let twice = once.clone().call_on(1, "n1", 13_000, 5, gone()).handshake(1, "n2", 13_010);
    let twice = twice.call_on(1, "n2", 13_100, 5, OK);
    assert_eq!(story(twice.clone()).hops, story(once.clone()).hops);
    let says = |sample| judge(sample).details.iter().any(|line| line.contains("anew, too"));
    assert!(says(twice) && !says(once));
}

#[test]
fn a_server_without_session_ids_is_told_what_to_set() {
    let say = |session: Option<&str>| {
        let call = |sample: Sample, due| {
            sample.operation(1, "tools/call fast-echo", session, due, 5, Outcome::Ok)
        };
        let evidence = call(call(Sample::new(), 9_000), 20_000).build();
        let finding = check(&evidence, &measure(&evidence));
        assert_eq!(finding.verdict, Judgement::Unknown);
        finding.summary
    };
    assert!(say(None).contains("expect.broken_share to 0"), "{}", say(None));
    assert!(say(Some("s1")).starts_with("Only 0 of 1 session"), "{}", say(Some("s1")));
}
