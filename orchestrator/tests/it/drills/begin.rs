//! What cannot begin says why in one line, with the documented exit code, and leaves nothing running.

use super::house::{Ended, RESTART, house};
use super::restart::with_command;
use super::rude::rude;

#[tokio::test]
async fn a_misspelt_key_is_named_with_file_line_column_and_the_name_that_was_meant() {
    let house = house().await;
    for (right, wrong, says) in [
        ("replicas: 3", "replcias: 3", "8:5: unknown key `replcias`, did you mean `replicas`?"),
        ("baseline:", "basline:", "11:3: unknown key `basline`, did you mean `baseline`?"),
        ("- kill:", "- kil:", "14:9: unknown name `kil`, did you mean `kill`?"),
        ("p95_slack:", "p95_slak:", "19:52: unknown key `p95_slak`, did you mean `p95_slack`?"),
    ] {
        let runbook = house.runbook(&RESTART.replace(right, wrong));
        let runbook = runbook.to_str().expect("text");
        for command in ["run", "plan", "check"] {
            let called = house.call(&["drill", command, runbook]).await;
            assert_eq!(called.code(), 2, "{}", called.stderr);
            let expected = format!("squall: {runbook}:{says}");
            assert!(called.complaint().starts_with(&expected), "{}", called.stderr);
        }
    }
}

#[tokio::test]
async fn a_missing_runbook_is_named_once() {
    let house = house().await;
    let missing = house.path("missing.md");
    for command in ["run", "plan", "check"] {
        let called = house.call(&["drill", command, missing.to_str().expect("text")]).await;
        assert_eq!(called.code(), 2, "{}", called.stderr);
        let complaint = called.complaint();
        assert!(complaint.contains("missing.md"), "{complaint}");
        assert_eq!(complaint.matches("No such file").count(), 1, "{complaint}");
    }
}

#[tokio::test]
async fn a_victim_that_does_not_exist_is_unusable() {
    let house = house().await;
    let victim = ["--set", "phases.impact.steps.0.kill.replicas=replica-9"];
    let ended = house.run(RESTART, &victim).await.expect(2);
    let complaint = ended.complaint();
    assert!(complaint.contains("replica-9") && complaint.contains("replica-3"), "{complaint}");
}

#[tokio::test]
async fn an_out_folder_that_is_a_file_is_named_and_nothing_begins() {
    let house = house().await;
    let file = house.path("file");
    std::fs::write(&file, "").expect("a file");
    for out in [file.clone(), file.join("below")] {
        let runbook = house.runbook(RESTART);
        let runbook = runbook.to_str().expect("text");
        let out = out.to_str().expect("text");
        let called = house.call(&["drill", "run", runbook, "--out", out]).await;
        assert_eq!(called.code(), 3, "{}", called.stderr);
        let complaint = called.complaint();
        assert!(complaint.contains(out) && complaint.contains("--out"), "{complaint}");
        assert_eq!(complaint.matches("os error").count(), 1, "{complaint}");
    }
}

/// A drill whose replicas are this command does not start.
async fn not_started(command: &[&str]) -> Ended {
    let house = house().await;
    let ended = house.run(&with_command(command), &[]).await.expect(3);
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
    ended
}

#[tokio::test]
async fn a_replica_that_ends_at_once_is_named_with_its_last_words() {
    let ended = not_started(&["sh", "-c", "echo no licence >&2; exit 7", "{port}"]).await;
    let complaint = ended.complaint();
    for says in ["replica-", "exit code 7", "no licence", ".log"] {
        assert!(complaint.contains(says), "{says}: {complaint}");
    }
}

#[tokio::test]
async fn a_replica_that_is_no_program_is_named() {
    let ended = not_started(&["no-such-program", "{port}"]).await;
    assert!(ended.complaint().contains("no-such-program"), "{}", ended.stderr);
}

#[tokio::test]
async fn replicas_that_open_no_session_are_an_upstream_that_is_down() {
    let house = house().await;
    let marker = house.path("marker");
    std::fs::write(&marker, "").expect("a marker");
    let drill = rude(&["--dead-if", marker.to_str().expect("text")]);
    let ended = house.run(&drill, &[]).await.expect(3);
    let complaint = ended.complaint();
    assert!(complaint.contains("0 of 30 sessions"), "{complaint}");
    assert_eq!(complaint.matches("HTTP 404").count(), 1, "{complaint}");
}

#[tokio::test]
async fn several_runbooks_run_one_after_the_other_and_the_worst_exit_code_counts() {
    let house = house().await;
    let gone = |name: &str| {
        let drill = with_command(&["sh", "-c", "exit 7", "{port}"]);
        house.runbook(&drill.replace("name: small", &format!("name: {name}")))
    };
    let (first, second) = (gone("first"), gone("second"));
    let [first, second] = [&first, &second].map(|path| path.to_str().expect("text"));
    let out = house.path("reports");
    let out = out.to_str().expect("text");
    let called = house.call(&["drill", "run", first, second, "--seed", "7", "--out", out]).await;
    assert_eq!(called.code(), 3, "{}", called.stderr);
    let complaints = called.stderr.lines().filter(|line| line.starts_with("squall: "));
    assert_eq!(complaints.count(), 2, "{}", called.stderr);
    for folder in ["first-7-1", "second-7-1"] {
        assert!(house.path("reports").join(folder).is_dir(), "{folder}");
    }

    let wrong = house.runbook(&RESTART.replace("replicas: 3", "replcias: 3"));
    let wrong = wrong.to_str().expect("text");
    let called = house.call(&["drill", "run", first, wrong]).await;
    assert_eq!(called.code(), 2, "nothing begins when one of them cannot be read");
    assert!(called.complaint().contains("replcias"), "{}", called.stderr);
}

#[tokio::test]
async fn with_json_a_run_that_cannot_begin_says_so_on_stdout_too() {
    let house = house().await;
    let drill = with_command(&["sh", "-c", "exit 7", "{port}"]);
    let ended = house.run(&drill, &["--json", "--seed", "7"]).await.expect(3);
    let said: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&said["verdict"], &said["exit_code"]), (&"not_started".into(), &3.into()));
    assert_eq!((&said["drill"], &said["seed"]), (&"small".into(), &7.into()));
    let reason = said["reason"].as_str().expect("a reason");
    assert!(reason.contains("exit code 7"), "{reason}");
}

#[tokio::test]
async fn with_json_a_plan_that_makes_no_sense_says_so_on_stdout_too() {
    let house = house().await;
    let adopt = "docker: { adopt: { label: squall.test=nobody-has-it } }";
    let (head, rest) = RESTART.split_once("  process:").expect("a world");
    let (_, tail) = rest.split_once("load:").expect("a load");
    let runbook = house.runbook(&format!("{head}  {adopt}\nload:{tail}"));
    let mut command = house.squall(["drill", "run", "--json", runbook.to_str().expect("text")]);
    let output = command.env("DOCKER_HOST", "unix:///nowhere").output().await.expect("an end");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["verdict"], &said["exit_code"]), (&"not_started".into(), &3.into()));
}
