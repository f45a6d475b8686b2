// Runs the public conformance suite against a server, and holds what came of it against
// docs/conformance.md.
//
// Usage: node client.mjs URL, where URL names the MCP endpoint of a `squall server --fixtures`.
// Prints a line for each scenario that is scored and `N passed, N failed` at the end; exit code 1 if
// one failed, or if the document tells something else. With SQUALL_BLESS=1 it is written anew.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const HERE = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const MODULES = path.join(HERE, "node_modules");
// The suite's packages are installed under `target/`, two folders below the checkout's root.
const DOCUMENT = path.join(HERE, "../../../docs/conformance.md");
const [BEGIN, END] = ["<!-- results -->", "<!-- end of results -->"];

// A run of each suite takes well under a minute.
const DEADLINE = 5 * 60_000;
const RUNS = [
  { suite: "conformance-stable", title: "all scenarios", args: ["--suite", "all"] },
  ...["2025-11-25", "2026-07-28"].map((version) => ({
    suite: "conformance-next",
    title: `required for ${version}`,
    args: ["--requirements", version],
  })),
];

// Why a scenario that is not scored may fail.
const EXPECTED = [
  [/^tasks-/, "tasks are an extension that this server does not have, and says so"],
];

/** A Node that the suite runs on: this one, or the one that was installed. */
function node() {
  if (parseInt(process.versions.node) >= 22) return process.execPath;
  const installed = path.join(MODULES, `node-linux-${process.arch}`, "bin/node");
  if (existsSync(installed)) return installed;
  throw new Error(`the suite needs Node 22 or newer: there is none for ${process.arch}`);
}

function version(suite) {
  return JSON.parse(readFileSync(path.join(MODULES, suite, "package.json"))).version;
}

/** What a run printed; its exit code counts only where no scenario tells more. */
function output({ suite, args }, url) {
  const home = mkdtempSync(path.join(tmpdir(), "squall-conformance-"));
  const script = path.join(MODULES, suite, "dist/index.js");
  const child = spawn(node(), [script, "server", "--url", url, ...args], {
    cwd: home,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: DEADLINE,
  });
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      rmSync(home, { recursive: true, force: true });
      resolve({ code, text: Buffer.concat(chunks).toString() });
    });
  });
}

/** The scenarios of a run: name, checks that passed and failed, and whether it is scored. */
function scenarios(text) {
  const [, summary = ""] = text.split("=== SUMMARY ===");
  const [scored, unscored = ""] = summary.split(/^Not scored for .*$/m);
  const others = new Set([...unscored.matchAll(/^ +[^\w\s] ([\w-]+) \(/gm)].map(([, name]) => name));
  const line = /^[^\w\s] ([\w-]+): (\d+) passed, (\d+) failed/gm;
  return [...scored.matchAll(line)].map(([, name, passed, failed]) => ({
    name,
    passed: Number(passed),
    failed: Number(failed),
    isScored: !others.has(name),
  }));
}

function reason({ name, passed, failed, isScored }) {
  if (failed > 0) {
    const [, why] = EXPECTED.find(([pattern]) => pattern.test(name)) ?? [null, "**unexpected**"];
    return isScored ? "**failed**" : why;
  }
  if (passed === 0) return "nothing to check: the suite skips it here";
  return isScored ? "" : "not scored";
}

function table(title, rows) {
  const lines = rows.map((row) => {
    const outcome = row.failed > 0 ? "failed" : "passed";
    return `| \`${row.name}\` | ${outcome} | ${row.passed} | ${row.failed} | ${reason(row)} |`;
  });
  const scored = rows.filter((row) => row.isScored);
  const well = scored.filter((row) => row.failed === 0);
  return [
    `### ${title}`,
    "",
    `${well.length} of the ${scored.length} scenarios that are scored pass.`,
    "",
    "| Scenario | Outcome | Checks passed | failed | |",
    "|---|---|--:|--:|---|",
    ...lines,
    "",
  ].join("\n");
}

/** Whether the document tells what was found; with SQUALL_BLESS=1 it does from now on. */
function isTold(tables) {
  const document = readFileSync(DOCUMENT, "utf8");
  const [before, rest = ""] = document.split(BEGIN);
  const [, after = ""] = rest.split(END);
  const wanted = `${before}${BEGIN}\n\n${tables.join("\n")}${END}${after}`;
  if (wanted === document) return true;
  if (process.env.SQUALL_BLESS !== "1") return false;
  writeFileSync(DOCUMENT, wanted);
  return true;
}

const [url, ...rest] = process.argv.slice(2);
if (!url || rest.length > 0) {
  console.error("usage: node client.mjs URL");
  process.exit(2);
}
let [passed, failed] = [0, 0];
function tell(name, isWell) {
  console.log(`${name} ... ${isWell ? "ok" : "FAILED"}`);
  if (isWell) passed += 1;
  else failed += 1;
}
const tables = [];
for (const run of RUNS) {
  const title = `${version(run.suite)}, ${run.title}`;
  const { code, text } = await output(run, url);
  const rows = scenarios(text);
  for (const row of rows.filter((row) => row.isScored)) {
    tell(`conformance ${title}: ${row.name}`, row.failed === 0);
  }
  const isExpected = ({ name }) => EXPECTED.some(([pattern]) => pattern.test(name));
  for (const row of rows.filter((row) => !row.isScored && row.failed > 0 && !isExpected(row))) {
    tell(`conformance ${title}: ${row.name} (not scored, and not expected to fail)`, false);
  }
  if (rows.length === 0 || (code !== 0 && rows.every((row) => row.failed === 0))) {
    console.error(text);
    tell(`conformance ${title}: the suite ended with ${code}`, false);
  }
  tables.push(table(title, rows));
}
tell("docs/conformance.md tells what was found (SQUALL_BLESS=1 writes it anew)", isTold(tables));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
