//! `cargo xtask docs`: the tables of docs/faults.md, from the types that they describe, and the admin
//! API's document.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use squall_model::chance::Chance;
use squall_model::fault::{Effect, EffectDoc, Family, FieldDoc, catalogue, fields_of};
use squall_model::scope::Scope;

use crate::root;

/// The tests in proxy/tests/it that show what an effect does, by effect.
const TESTS: &[(&str, &[&str])] = &[
    (
        "refuse",
        &[
            "refuse_is_econnrefused_until_it_is_removed_and_open_connections_go_on",
            "refuse_with_a_chance_resets_the_connections_that_it_hits",
        ],
    ),
    (
        "blackhole",
        &[
            "blackhole_stands_still_and_goes_on_where_it_was",
            "blackhole_closes_in_time_or_with_its_fault",
        ],
    ),
    (
        "bandwidth",
        &[
            "bandwidth_takes_its_time_for_every_byte",
            "a_bandwidth_of_nothing_stalls_without_closing",
        ],
    ),
    ("slicer", &["slicer_sends_slices_with_pauses_between_them"]),
    ("limit-bytes", &["limit_bytes_ends_a_connection_behind_exactly_so_many"]),
    ("half-close", &["half_close_ends_what_comes_and_not_what_goes"]),
    ("slow-close", &["slow_close_holds_the_end_back_until_it_is_removed"]),
    (
        "latency",
        &[
            "latency_is_waited_out",
            "wire_latency_delays_what_goes_both_ways",
            "wire_latency_is_pipelined_and_keeps_every_byte_in_order",
            "a_delayed_event_is_not_overtaken_and_freed_when_the_fault_is_removed",
        ],
    ),
    (
        "timeout",
        &[
            "timeout_closes_after_a_while_and_the_server_sees_nothing",
            "timeout_on_the_way_back_lets_the_server_execute",
        ],
    ),
    (
        "drop",
        &[
            "drop_holds_the_client_until_the_fault_is_removed_and_then_closes",
            "drop_of_an_answer_lets_the_server_execute",
            "drop_takes_single_events_away",
        ],
    ),
    (
        "reset",
        &[
            "reset_before_forwarding_is_a_rst_on_a_connection_in_use_and_the_server_sees_nothing",
            "reset_after_execution_is_a_rst_and_the_server_has_executed",
            "reset_after_some_bytes_is_a_rst_behind_exactly_these_bytes",
            "reset_of_connections_reaches_those_that_are_open_already",
            "reset_at_an_event_is_a_rst_in_its_place",
        ],
    ),
    (
        "http-status",
        &[
            "http_status_answers_in_the_place_of_the_server",
            "http_status_on_the_way_back_replaces_the_answer_of_a_server_that_has_executed",
        ],
    ),
    ("redirect", &["redirect_sends_the_client_elsewhere"]),
    (
        "duplicate",
        &[
            "duplicate_delivers_the_request_twice_and_the_client_gets_one_answer",
            "duplicate_sends_an_event_twice",
        ],
    ),
    (
        "truncate",
        &["truncate_closes_in_the_middle_of_a_body", "truncate_can_look_like_a_whole_body"],
    ),
    ("corrupt", &["corrupt_damages_bytes_or_json", "corrupt_damages_what_the_client_sends"]),
    ("content-type", &["content_type_says_something_else"]),
    (
        "hold-back",
        &[
            "hold_back_lets_nothing_through_until_the_answer_is_complete",
            "what_is_held_back_goes_on_when_the_fault_is_removed",
        ],
    ),
    ("jsonrpc-error", &["jsonrpc_error_has_the_requests_own_id_and_leaves_notifications_alone"]),
    (
        "wrong-id",
        &[
            "wrong_id_answers_a_question_that_nobody_asked",
            "wrong_id_makes_the_client_answer_another_question_of_the_server",
        ],
    ),
    (
        "stray-response",
        &[
            "a_stray_response_comes_before_the_answer",
            "a_stray_response_comes_before_the_answer_in_its_stream",
        ],
    ),
    ("malformed", &["malformed_breaks_the_envelope"]),
    (
        "rewrite",
        &[
            "rewrite_sets_and_removes_fields",
            "rewrite_changes_what_the_client_says_and_corrects_its_length",
        ],
    ),
    ("tools-drift", &["tools_drift_takes_a_tool_away_and_changes_another"]),
    (
        "expire-session",
        &[
            "an_expired_session_gets_404_until_there_is_a_new_one_even_after_the_fault_has_gone",
            "expire_session_takes_a_share_of_the_sessions_and_the_same_ones_each_time",
            "expire_session_can_answer_as_servers_do_that_know_no_better",
            "a_client_that_starts_anew_keeps_its_new_session_unless_any_may_expire",
        ],
    ),
    ("gone-status", &["gone_status_replaces_the_404_of_the_server_and_no_other_answer"]),
    ("false-accept", &["false_accept_is_202_to_a_request_that_the_server_has_executed"]),
    (
        "session-id",
        &[
            "session_id_is_stripped_swapped_or_altered_on_the_way_to_the_server",
            "session_id_is_missing_in_the_answer_that_should_name_it",
        ],
    ),
    ("ignore-delete", &["ignore_delete_tells_the_client_and_not_the_server"]),
    (
        "reroute",
        &[
            "reroute_takes_a_request_to_the_other_replica_and_leaves_the_session_where_it_is",
            "reroute_goes_where_it_is_told_to",
        ],
    ),
    ("protocol-version", &["protocol_version_is_missing_or_another"]),
    ("refuse-initialize", &["refuse_initialize_closes_the_door_to_new_sessions_only"]),
    (
        "reorder",
        &[
            "reorder_lets_as_many_events_overtake_as_it_says",
            "an_event_that_waits_to_be_overtaken_comes_when_the_fault_is_removed",
        ],
    ),
    (
        "split",
        &[
            "split_cuts_within_a_character_and_the_second_piece_waits",
            "split_cuts_within_a_data_line",
        ],
    ),
    ("event-id", &["event_id_is_stripped_repeated_or_goes_backwards"]),
    ("retry", &["retry_tells_the_client_when_to_come_back"]),
    ("stall-heartbeats", &["stall_heartbeats_takes_comments_and_empty_events_away"]),
    (
        "cut",
        &[
            "cut_ends_the_stream_after_some_events",
            "cut_can_look_like_the_end_of_the_stream",
            "cut_ends_the_stream_just_before_the_answer",
        ],
    ),
    (
        "resume",
        &["resume_forgets_where_the_client_was", "resume_mixes_up_the_streams_of_a_session"],
    ),
    ("mirror-header", &["mirror_header_is_out_of_step_with_the_body"]),
    ("unsupported-version", &["unsupported_version_is_the_error_that_the_specification_asks_for"]),
    (
        "acknowledge",
        &[
            "an_acknowledgement_is_late_and_nothing_overtakes_it",
            "an_acknowledgement_never_comes_and_what_is_behind_it_does",
            "an_acknowledgement_names_another_subscription",
            "an_acknowledgement_agrees_to_nothing",
        ],
    ),
    (
        "request-state",
        &[
            "request_state_comes_back_altered",
            "request_state_is_replayed",
            "request_state_is_asked_for_ever",
        ],
    ),
    ("cache-hints", &["cache_hints_are_false_where_they_belong_and_nowhere_else"]),
    ("result-type", &["result_type_is_one_that_nobody_knows"]),
];

/// What stands around what is written here.
const BEGIN: &str = "<!-- from the types: cargo xtask docs -->";
const END: &str = "<!-- end -->";

/// Writes the tables into docs/faults.md, and leaves what stands around them.
pub(crate) fn write() -> Result<()> {
    let path = path();
    let page =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let page = renewed(&page)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    let document = openapi()?;
    let path = root().join("docs/openapi.json");
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))
}

/// What `squall schema admin` prints, of this tree.
fn openapi() -> Result<Vec<u8>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", "squall", "--", "schema", "admin"]);
    let ran = cargo.current_dir(root()).stderr(Stdio::inherit()).output()?;
    ensure!(ran.status.success(), "`squall schema admin` has failed");
    Ok(ran.stdout)
}

fn path() -> PathBuf {
    root().join("docs/faults.md")
}

/// The page with tables as the types are now.
fn renewed(page: &str) -> Result<String> {
    let (start, rest) = page.split_once(BEGIN).context("docs/faults.md has lost its first mark")?;
    let (_, end) = rest.split_once(END).context("docs/faults.md has lost its last mark")?;
    Ok(format!("{start}{BEGIN}\n\n{}{END}{end}", tables()))
}

fn tables() -> String {
    let effects = catalogue();
    let mut out = String::new();
    for (family, names) in Effect::FAMILIES {
        let of_family = || effects.iter().filter(|effect| names.contains(&effect.name));
        let _ = writeln!(out, "### {}\n", title(*family)); // a String takes everything
        out.push_str("| effect | what happens | shown by |\n|---|---|---|\n");
        of_family().for_each(|effect| out.push_str(&row(effect)));
        out.push('\n');
        of_family().for_each(|effect| out.push_str(&section(effect)));
    }
    out.push_str("## What can be matched\n\n");
    out.push_str("`match` takes these fields; all that are given have to fit.\n\n");
    out.push_str(&table(&fields_of::<Scope>()));
    out.push_str("## Which of the matches fire\n\n");
    out.push_str("`chance` takes these fields; all that are given have to agree.\n\n");
    out.push_str(&table(&fields_of::<Chance>()));
    out
}

fn row(effect: &EffectDoc) -> String {
    let name = effect.name;
    let tests = TESTS.iter().find(|(shown, _)| *shown == name).map_or(&[][..], |(_, tests)| tests);
    let tests: Vec<_> = tests.iter().map(|test| test.replace('_', " ")).collect();
    format!("| [`{name}`](#{name}) | {} | {} |\n", effect.sentence, tests.join("; "))
}

fn title(family: Family) -> &'static str {
    match family {
        Family::Connection => "Connections",
        Family::Exchange => "Requests and answers",
        Family::Jsonrpc => "JSON-RPC messages",
        Family::Session => "Sessions (2025-03-26 to 2025-11-25)",
        Family::Stream => "Event streams",
        Family::Stateless => "The stateless era (2026-07-28)",
    }
}

fn section(effect: &EffectDoc) -> String {
    let mut out = format!("#### `{}`\n\n{}\n\n", effect.name, effect.description);
    if !effect.fields.is_empty() {
        out.push_str(&table(&effect.fields));
    }
    out
}

fn table(fields: &[FieldDoc]) -> String {
    let mut out = "| field | takes | default | |\n|---|---|---|---|\n".to_owned();
    for field in fields {
        let default = match (&field.default, field.is_required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "has to be given".to_owned(),
            (None, false) => String::new(),
        };
        let description = field.description.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} | {default} | {description} |", field.name, field.takes);
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_is_as_the_types_are() {
        let page = fs::read_to_string(path()).expect("docs/faults.md");
        assert!(renewed(&page).expect("its marks") == page, "run `cargo xtask docs`");
    }

    #[test]
    fn every_effect_is_shown_by_tests_that_exist() {
        let sources = sources(&root().join("proxy/tests/it"));
        for effect in catalogue() {
            let tests = TESTS.iter().find(|(name, _)| *name == effect.name);
            let (_, tests) = tests.unwrap_or_else(|| panic!("no test shows `{}`", effect.name));
            for test in *tests {
                let is_there = sources.contains(&format!("async fn {test}()"));
                assert!(is_there, "`{test}` is not in proxy/tests/it");
            }
        }
    }

    fn sources(folder: &Path) -> String {
        let entries = fs::read_dir(folder).expect("a folder");
        let text = |path: PathBuf| {
            if path.is_dir() {
                return sources(&path);
            }
            fs::read_to_string(&path).expect("a source")
        };
        entries.map(|entry| text(entry.expect("an entry").path())).collect()
    }
}
