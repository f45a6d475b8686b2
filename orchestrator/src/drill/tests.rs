use std::io::Write as _;

use super::*;
use crate::step::Victims;

const DRILL: &str = "\
name: small
world:
  process:
    replicas: 3
phases:
  baseline: { lasts: 2s }
  impact:
    steps:
      - kill: { replicas: one }
      - wait: 1s
      - start: {}
  recovery: { lasts: 6s }
";

fn book(yaml: &str) -> String {
    format!("# When a *replica* dies\n\nCall somebody.\n\n```yaml drill\n{yaml}```\n\nThe end.\n")
}

fn read(text: &str, overrides: &[&str]) -> Result<Drill, DrillError> {
    let mut file = tempfile::NamedTempFile::with_suffix(".md").expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
    let overrides: Vec<Override> =
        overrides.iter().map(|text| text.parse().expect("an override")).collect();
    load(file.path(), &Ask { overrides, ..Ask::default() })
}

/// The error's words behind the file's name.
fn error(text: &str, overrides: &[&str]) -> String {
    let error = read(text, overrides).expect_err("it is wrong").to_string();
    error.split_once(".md:").map_or(error.clone(), |(_, words)| words.to_owned())
}

#[test]
fn a_drill_is_the_fenced_block_of_its_runbook_and_has_its_heading_as_title() {
    let drill = read(&book(DRILL), &[]).expect("a drill");
    assert_eq!((drill.name.as_str(), drill.title.as_str()), ("small", "When a replica dies"));
    assert_eq!(drill.phases.impact.steps.len(), 3);
    assert_eq!(drill.length(), Duration::from_secs(9));
}

#[test]
fn a_misspelt_key_is_named_with_its_place_in_the_file_and_the_name_that_was_meant() {
    for (right, wrong, says) in [
        ("baseline", "basline", "11:3: unknown key `basline`, did you mean `baseline`?"),
        ("replicas: one", "replcas: one", "14:17: unknown key `replcas`, did you mean `replicas`?"),
        ("- kill", "- kil", "14:9: unknown name `kil`, did you mean `kill`?"),
        (
            "lasts: 6s }\n",
            "lasts: 6s }\nsteady: { hodl: 2s }\n",
            "18:11: unknown key `hodl`, did you mean `hold`?",
        ),
        ("process:", "proces:", "8:3: unknown key `proces`, did you mean `process`?"),
        (
            "wait: 1s",
            "wait: soon",
            "15:9: invalid value: string \"soon\", expected a duration with a unit",
        ),
        ("wait: 1s", "wait: 8days", "15:15: 8days is too long: a week at most was expected"),
        (
            "wait: 1s",
            "pause-clients: { for: 2m }",
            "15:24: 2m is too long: a minute at most was expected",
        ),
        ("name: small", "name: a b", "6:7: `a b` cannot name a drill"),
        ("replicas: one", "signal: BOOM", "14:25: `BOOM` is not a signal"),
    ] {
        let found = error(&book(&DRILL.replace(right, wrong)), &[]);
        assert!(found.starts_with(says), "{found}");
    }
}

#[test]
fn a_misspelt_field_of_a_fault_is_named_too() {
    let step = "- inject: { id: x, effect: { latency: { dely: 1s } } }";
    let found = error(&book(&DRILL.replace("- wait: 1s", step)), &[]);
    assert!(found.starts_with("15:47: unknown key `dely`, did you mean `delay`?"), "{found}");
}

#[test]
fn a_runbook_holds_exactly_one_drill() {
    assert!(error("# Nothing\n\n```yaml\nname: x\n```\n", &[]).contains("there is no drill"));
    let two = book(DRILL) + &book(DRILL);
    assert!(error(&two, &[]).contains("one runbook holds one drill"));
    let missing = load(Path::new("/no/such.md"), &Ask::default()).expect_err("no file").to_string();
    assert!(missing.contains("/no/such.md"), "{missing}");
}

#[test]
fn parts_that_do_not_fit_together_are_refused_with_advice() {
    let short = DRILL.replace("lasts: 6s", "lasts: 3s");
    assert!(error(&book(&short), &[]).contains("make `phases.recovery.lasts` longer"));
    let huge = DRILL.replace("lasts: 6s", "lasts: 2days");
    let huge = error(&book(&format!("{huge}load: {{ rate: 1000 }}\n")), &[]);
    assert!(huge.contains("lower `load.rate` to 57"), "{huge}");
    let quiet = DRILL.replace("- kill: { replicas: one }", "- wait: 1s");
    assert!(error(&book(&quiet), &[]).contains("breaks anything"));
    for (step, says) in [
        ("- remove: gone", "step 2 removes fault `gone`, which is not there then"),
        (
            "- inject: { id: slow, effect: { drop: {} } }\n      - remove: slaw",
            "did you mean `slow`?",
        ),
        ("- inject: { id: x, lease: 50ms, effect: { drop: {} } }", "at least 1s"),
        ("- kill: { replicas: replica-9 }", "there is no replica `replica-9`"),
        ("- kill: { replicas: 3 }", "3 of the replicas must be up by then, but 2 will be"),
        (
            "- start: {}\n      - start: { replicas: one }",
            "1 of the replicas must be down by then, but 0 will be",
        ),
    ] {
        let found = error(&book(&DRILL.replace("- wait: 1s", step)), &[]);
        assert!(found.contains(says), "{step}: {found}");
    }
    let stop = DRILL.replace("replicas: one }", "replicas: one, signal: STOP }");
    assert!(error(&book(&stop), &[]).contains("KILL, TERM, INT, HUP or QUIT was expected"));
    let phase = format!("{DRILL}thresholds:\n  operation_failed{{phase:recover}}: [rate<0.1]\n");
    assert!(error(&book(&phase), &[]).contains("did you mean `recovery`?"));
    let hasty = format!("{DRILL}load: {{ timeout: 0s }}\n");
    assert!(error(&book(&hasty), &[]).contains("`load.timeout` is 0s"));
    let twice = "- inject: { id: x, effect: { drop: {} } }\n      - inject: { id: x, effect: { drop: {} } }";
    let twice = DRILL.replace("- wait: 1s", twice);
    assert!(error(&book(&twice), &[]).contains("two faults are named `x`"));
}

#[test]
fn single_values_are_replaced_for_one_run() {
    let set = ["load.sessions=500", "phases.impact.steps.0.kill.replicas=all", "load.rate=12.5"];
    let drill = read(&book(DRILL), &set).expect("a drill");
    assert_eq!(drill.load.sessions.get(), 500);
    let Step::Kill(kill) = &drill.phases.impact.steps[0] else { panic!("the first step kills") };
    assert_eq!(kill.replicas, Victims::All);
}

#[test]
fn an_override_that_means_nothing_is_refused() {
    for (set, says) in [
        ("load.sesions=5", "sesions"),
        ("phases.impact.steps.9.wait=1s", "0 to 2"),
        ("name.first=x", "single value"),
        ("load.sessions=0", "1 to 100000"),
    ] {
        let found = error(&book(DRILL), &[set]);
        assert!(found.starts_with(&format!("--set {}: ", set.split('=').next().expect("a key"))));
        assert!(found.contains(says), "{found}");
    }
    assert!("load".parse::<Override>().is_err() && "=5".parse::<Override>().is_err());
}

#[test]
fn thresholds_and_stop_conditions_are_in_k6s_notation() {
    let more = "thresholds:\n  operation_duration{phase:recovery}: [\"p(95)<500\"]\nstop:\n  - { when: \"operation_failed: rate>0.9\", for: 5s }\n";
    let drill = read(&book(&format!("{DRILL}{more}")), &[]).expect("a drill");
    assert_eq!(drill.thresholds[0].to_string(), "operation_duration{phase:recovery}: p(95)<500");
    assert_eq!(drill.stop[0].lasting, Duration::from_secs(5));
    let wrong = more.replace("operation_duration", "operation_durations");
    let found = error(&book(&format!("{DRILL}{wrong}")), &[]);
    assert!(found.contains("operation_duration"), "{found}");
}
