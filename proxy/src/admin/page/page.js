// The page: what it hears, and what it shows of it.

import { Refused, call, hear, remember } from "./api.js";
import { draw, fill, read, resolved } from "./form.js";

const at = (id) => document.getElementById(id);
const SECONDS = 120;
const LINES = 300;

/** An element with a text, never with markup: names of tools and sessions are what peers like. */
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const time = (ms) => (ms === undefined ? "–" : ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms`
  : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`);
const short = (id) => (id && id.length > 9 ? `${id.slice(0, 8)}…` : id ?? "–");

// ---- figures and chart

let seconds = [];

function showFigures() {
  const last = seconds.at(-1);
  if (!last) return;
  at("rate").textContent = `${last.exchanges}/s`;
  at("errors").textContent = `${last.errors}/s`;
  at("errors").classList.toggle("bad", last.errors > 0);
  at("injections").textContent = `${last.injections}/s`;
  at("p95").textContent = last.exchanges > 0 ? time(last.p95_ms) : "–";
  at("streams").textContent = last.open_streams;
  at("connections").textContent = last.open_connections;
  const most = Math.max(1, ...seconds.map((second) => second.exchanges));
  const slowest = Math.max(1, ...seconds.map((second) => second.p95_ms));
  const x = (n) => (600 * (SECONDS - seconds.length + n + 1)) / SECONDS;
  const y = (value, top) => 118 - (112 * value) / top;
  const points = (of) => seconds.map((second, n) => `${x(n).toFixed(1)},${of(second).toFixed(1)}`).join(" ");
  const shape = (kind, points) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", kind === "p95" ? "polyline" : "polygon");
    line.setAttribute("points", points);
    line.setAttribute("class", kind);
    return line;
  };
  const area = (of) => `${x(0)},120 ${points(of)} ${x(seconds.length - 1)},120`;
  at("chart").replaceChildren(
    shape("rate", area((second) => y(second.exchanges, most))),
    shape("error", area((second) => y(second.errors, most))),
    shape("p95", points((second) => y(second.p95_ms, slowest))),
  );
  at("scale").textContent = `up to ${most}/s, ${time(slowest)}`;
}

// ---- faults

let faults = new Map();

/** An object in a few words, without what goes without saying: `tool=fast-*, direction=response`. */
function words(object, own) {
  const said = Object.entries(object ?? {}).filter(([key, value]) =>
    (key !== "probability" || value !== 1) && value !== own?.properties?.[key]?.default);
  return said.map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

/** A switch that tells the proxy when it is moved. */
function toggle(label, moved) {
  const made = element("input", undefined, "switch");
  made.type = "checkbox";
  made.setAttribute("role", "switch");
  made.setAttribute("aria-label", label);
  made.addEventListener("change", () => act(() => moved(made.checked)));
  return made;
}

function button(text, label, pressed) {
  const made = element("button", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", pressed);
  return made;
}

function faultRow({ id }) {
  const row = element("li");
  row.dataset.id = id;
  const says = element("div");
  says.append(element("div", "", "says"), element("div", "", "more"));
  const buttons = element("span", undefined, "buttons");
  buttons.append(
    button("Change", `change fault ${id}`, () => change(faults.get(id).fault)),
    button("Remove", `remove fault ${id}`, () => act(() => call("DELETE", `/faults/${id}`))),
  );
  const on = toggle(`fault ${id}`, (enabled) => call("PATCH", `/faults/${id}`, { enabled }));
  row.append(on, says, element("span", "", "hits"), buttons);
  return row;
}

function showFaults(list) {
  const before = faults;
  faults = new Map();
  for (const fault of list) {
    const row = before.get(fault.id)?.row ?? faultRow(fault);
    const [effect, fields] = Object.entries(fault.effect)[0];
    const enabled = fault.enabled !== false;
    row.classList.toggle("off", !enabled);
    row.querySelector(".switch").checked = enabled;
    row.querySelector(".says").textContent = `${fault.id}: ${effect} ${words(fields, effects().find(({ name }) => name === effect)?.own)}`;
    const more = [words(fault.match) || "all traffic", words(fault.chance), fault.time_left && `${fault.time_left.replace(/ \d+ms$/, "")} left`];
    row.querySelector(".more").textContent = more.filter(Boolean).join(" · ");
    row.querySelector(".hits").textContent = `${fault.hits} of ${fault.matches}`;
    if (before.has(fault.id) && before.get(fault.id).fault.hits < fault.hits) {
      row.classList.add("fired");
      setTimeout(() => row.classList.remove("fired"), 600);
    }
    faults.set(fault.id, { row, fault });
  }
  const rows = [...faults.values()].map(({ row }) => row);
  const none = element("li", "No faults: traffic arrives as it was sent.", "empty");
  const wanted = rows.length > 0 ? rows : [none];
  const shown = [...at("fault-list").children];
  if (wanted.length !== shown.length || wanted.some((row, n) => row !== shown[n])) {
    at("fault-list").replaceChildren(...wanted);
  }
}

const showAllFaults = async () => showFaults(await call("GET", "/faults"));

async function act(doing) {
  try {
    await doing();
    at("add-error").textContent = "";
  } catch (error) {
    at("add-error").textContent = error.message;
  }
  await Promise.all([showAllFaults(), showUpstreams()]).catch(lost);
}

// ---- upstreams

async function showUpstreams() {
  const list = await call("GET", "/upstreams");
  at("upstreams").hidden = list.length === 0;
  const rows = [...at("upstream-list").children];
  while (rows.length < list.length) rows.push(upstreamRow(list[rows.length]));
  at("upstream-list").replaceChildren(...rows);
  for (const [n, upstream] of list.entries()) {
    const [state, className] = upstream.passed_over ? ["cannot be reached, so that it is passed over", "gone"]
      : upstream.draining ? ["drains: its own sessions go on, and it gets nothing new", "injection"]
        : ["takes new sessions", "open"];
    rows[n].querySelector(".switch").checked = !upstream.draining;
    rows[n].querySelector(".says").textContent = upstream.address.replace("http://", "");
    rows[n].querySelector(".more").textContent = state;
    rows[n].querySelector(".more").className = `more ${className}`;
  }
}

function upstreamRow({ number, address }) {
  const row = element("li");
  row.dataset.number = number;
  const says = element("div");
  says.append(element("div", "", "says"), element("div", "", "more"));
  row.append(toggle(`${address} takes new sessions`,
    (takes) => call("PATCH", `/upstreams/${number}`, { draining: !takes })), says);
  return row;
}

// ---- the form

/** The fault that the form changes; without one it adds one. */
let changed;

let schema;

function effects() {
  return schema.$defs.Effect.oneOf.map((variant) => {
    const [name, field] = Object.entries(variant.properties)[0];
    return { name, sentence: variant.description, own: resolved(schema, field) };
  });
}

function showEffect() {
  const effect = effects().find(({ name }) => name === at("effect").value);
  at("effect-says").textContent = effect.own.description ?? effect.sentence;
  draw(schema, effect.own, at("effect-fields"));
}

/** Lets the form change a fault, or add one if there is none to change. */
function change(fault) {
  changed = fault;
  at("adder-title").textContent = fault ? `Change ${fault.id}` : "Add a fault";
  at("submit").textContent = fault ? "Save" : "Add";
  at("leave").hidden = !fault;
  at("add-error").textContent = "";
  at("add").reset();
  at("fault-id").disabled = Boolean(fault);
  at("fault-id").value = fault?.id ?? "";
  at("fault-lease").value = fault?.lease ?? "";
  const [name, fields] = Object.entries(fault?.effect ?? {})[0] ?? [];
  if (name) at("effect").value = name;
  showEffect();
  if (fault) fill(at("effect-fields"), fields);
  for (const part of ["match", "chance"]) {
    if (fault) fill(at(`${part}-fields`), fault[part]);
    at(`${part}-fields`).parentElement.open = Boolean(fault && words(fault[part]));
  }
  at("adder").open = Boolean(fault);
  if (fault) at("effect-fields").querySelector("[name]")?.focus();
}

async function prepareForm() {
  schema ??= await call("GET", "/schema/fault");
  if (at("effect").length > 0) return;
  for (const { name, sentence } of effects()) {
    const option = new Option(`${name}: ${sentence}`, name);
    at("effect").add(option);
  }
  draw(schema, resolved(schema, schema.properties.match), at("match-fields"));
  draw(schema, resolved(schema, schema.properties.chance), at("chance-fields"));
  showEffect();
}

at("effect").addEventListener("change", showEffect);
at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  act(async () => {
    const fault = {
      match: read(at("match-fields")),
      chance: read(at("chance-fields")),
      effect: { [at("effect").value]: read(at("effect-fields")) },
    };
    for (const name of ["id", "lease"]) {
      if (at(`fault-${name}`).value) fault[name] = at(`fault-${name}`).value;
    }
    if (!changed) {
      await call("POST", "/faults", fault);
      return;
    }
    const { enabled } = faults.get(changed.id)?.fault ?? changed;
    await call("PUT", `/faults/${changed.id}`, { ...fault, enabled });
    change();
  });
});
at("leave").addEventListener("click", () => change());
at("clear").addEventListener("click", () => act(() => call("DELETE", "/faults")));

// ---- sessions

async function showSessions() {
  const ledger = await call("GET", "/sessions?limit=100");
  at("ledger-sum").textContent = `${ledger.known} known, ${ledger.evicted} made room`;
  at("sessions").replaceChildren(...ledger.sessions.map((session) => {
    const row = element("tr");
    const id = element("td", short(session.id), "mono");
    id.title = session.id;
    row.append(
      id, element("td", session.state, session.state),
      element("td", [session.client, session.client_version].filter(Boolean).join(" ") || "–"),
      element("td", session.upstream?.replace("http://", "") ?? "–"),
      element("td", time(session.idle_ms)),
      element("td", session.requests, "n"), element("td", session.errors, "n"),
      element("td", session.streams.cut ? `${session.streams.open} (${session.streams.cut} cut)` : session.streams.open, "n"),
      element("td", short(session.successor), "mono"),
      element("td", time(session.way_back?.total_ms), "n"),
    );
    return row;
  }));
}

// ---- the tail

let lines = [];
let paused = false;
let isDue = false;

function line(name, data) {
  const row = element("tr");
  const when = new Date(data.at).toISOString().slice(11, 23);
  const what = name === "injection" ? `${data.effect} on ${data.method ?? "a connection"}`
    : [data.method ?? `${data.http_method} ${data.path}`, data.name].filter(Boolean).join(" ");
  const status = name === "injection" ? "injected" : data.status ?? data.error;
  const kind = name === "injection" ? "injection" : data.status ? `s${Math.floor(data.status / 100)}` : "aborted";
  row.append(
    element("td", when, "mono"), element("td", what), element("td", status, kind),
    element("td", data.duration_ms?.toFixed(1) ?? "", "n"), element("td", short(data.session), "mono"),
    element("td", data.upstream ?? "–"), element("td", (data.faults ?? [data.fault]).join(", ")),
  );
  return row;
}

function showLines() {
  isDue = false;
  const wanted = at("filter").value.toLowerCase();
  const fitting = lines.filter(({ text }) => text.includes(wanted)).slice(-100).reverse();
  at("lines").replaceChildren(...fitting.map(({ name, data }) => line(name, data)));
}

function tell(name, data) {
  if (paused) return;
  lines.push({ name, data, text: JSON.stringify(data).toLowerCase() });
  if (lines.length > 2 * LINES) lines = lines.slice(-LINES);
  if (!isDue) {
    isDue = true;
    setTimeout(showLines, 250);
  }
}

at("filter").addEventListener("input", showLines);
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", paused);
  at("pause").textContent = paused ? "Go on" : "Pause";
});

// ---- the connection to the proxy

function lost(error) {
  at("link").className = "down";
  at("link").textContent = error?.message ? `no connection: ${error.message}` : "no connection";
}

function heard(name, data) {
  if (name === "exchange" || name === "injection") {
    tell(name, data);
  } else if (name === "board") {
    showAllFaults().catch(lost);
  } else if (name === "second") {
    seconds = [...seconds, data].slice(-SECONDS);
    showFigures();
    showAllFaults().catch(lost);
    showSessions().catch(lost);
    showUpstreams().catch(lost);
  }
}

async function watch() {
  await prepareForm();
  seconds = (await call("GET", "/stats")).seconds;
  showFigures();
  await Promise.all([showAllFaults(), showSessions(), showUpstreams()]);
  at("token").hidden = true;
  at("link").className = "up";
  at("link").textContent = location.host;
  await hear("/events", heard);
}

async function keepWatching() {
  for (;;) {
    try {
      await watch();
      lost();
    } catch (error) {
      lost(error);
      if (error instanceof Refused && error.status === 401) {
        at("token").hidden = false;
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(new FormData(at("token")).get("token"));
  keepWatching();
});
keepWatching();
