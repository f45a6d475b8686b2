// A client of the official TypeScript SDK, version 2, that talks to `squall server`, directly or
// through the proxy, in both eras.
//
// Usage: node client.mjs URL, where URL names the MCP endpoint (http://127.0.0.1:PORT/mcp).
// Prints a line for each check and `N passed, N failed` at the end; exit code 1 if one failed.

import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

// Every wait ends: the longest call of the checks takes well under a second.
const DEADLINE = 60_000;
// What each era settles on; "legacy" begins a session, and "auto" asks the server first.
const VERSIONS = { legacy: "2025-11-25", auto: "2026-07-28" };
const TOOLS = [
  "fast-echo",
  "slow-computation",
  "fetch-data",
  "trigger-notification",
  "request-sampling",
  "request-input",
  "get-server-stats",
];
const URIS = ["app://static-data", "app://dynamic-data", "app://large-data"];
const LISTS = ["tools", "resources", "prompts"];
const ANSWERS_ALL = { sampling: {}, elicitation: { form: {}, url: {} } };

/** Connects, lets `use` have the client, and closes it whatever happened. */
async function connected({ url, mode }, use, { capabilities = {}, answers = {}, fetch } = {}) {
  const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
  const options = { capabilities, versionNegotiation: { mode } };
  const client = new Client({ name: "squall-peer", version: "2.0.0" }, options);
  for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);
  try {
    await client.connect(transport, { timeout: DEADLINE });
    return await use(client, transport);
  } finally {
    await client.close();
  }
}

function textOf(result) {
  assert.ok(!result.isError, JSON.stringify(result));
  assert.equal(result.content.length, 1);
  assert.equal(result.content[0].type, "text");
  return result.content[0].text;
}

async function call(client, name, args, options) {
  return textOf(await client.callTool({ name, arguments: args }, options));
}

/** The messages of a method that are yet to come, one after the other. */
function heard(client, method) {
  const waiting = [];
  const come = [];
  client.setNotificationHandler(method, (message) => {
    const next = waiting.shift();
    if (next) next(message);
    else come.push(message);
  });
  return () => come.shift() ?? new Promise((resolve) => waiting.push(resolve));
}

/** Sends a notification until a stream took it: a session's opens in the background. */
async function trigger(client, args) {
  while (JSON.parse(await call(client, "trigger-notification", args)).streams === 0);
}

const IN_BOTH_ERAS = {
  async "settles on a version"(peer) {
    await connected(peer, (client) => {
      assert.equal(client.getServerVersion().name, "squall-server");
      assert.equal(client.getNegotiatedProtocolVersion(), VERSIONS[peer.mode]);
      for (const list of LISTS) {
        assert.equal(client.getServerCapabilities()[list].listChanged, true, list);
      }
    });
  },

  async "lists the tools with their schemas"(peer) {
    await connected(peer, async (client) => {
      const { tools } = await client.listTools();
      assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
      assert.ok(tools.every((tool) => tool.inputSchema.type === "object"));
      const writers = tools.filter((tool) => !tool.annotations.readOnlyHint);
      assert.deepEqual(writers.map((tool) => tool.name), ["trigger-notification"]);
    });
  },

  async "reads every resource"(peer) {
    await connected(peer, async (client) => {
      const { resources } = await client.listResources();
      assert.deepEqual(resources.map((resource) => resource.uri), URIS);
      for (const uri of [...URIS, "app://items/7"]) {
        const { contents } = await client.readResource({ uri });
        assert.deepEqual(contents.map((one) => one.uri), [uri]);
      }
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.deepEqual(resourceTemplates.map((one) => one.uriTemplate), ["app://items/{id}"]);
      // The SDK gives the codes of both eras as this one.
      await assert.rejects(client.readResource({ uri: "app://nothing" }), { code: -32602 });
    });
  },

  async "gets every prompt"(peer) {
    await connected(peer, async (client) => {
      const { prompts } = await client.listPrompts();
      assert.deepEqual(prompts.map((prompt) => prompt.name), ["greeting", "code-review"]);
      for (const [language, begin] of [["en", "Hello"], ["es", "\u00a1Hola"], ["fr", "Bonjour"]]) {
        const filled = await client.getPrompt({ name: "greeting", arguments: { name: "Ada", language } });
        assert.ok(filled.messages[0].content.text.startsWith(`${begin}, Ada`), language);
      }
      const review = { name: "code-review", arguments: { code: "let x;" } };
      assert.match((await client.getPrompt(review)).messages[0].content.text, /let x;/);
    });
  },

  async "completes arguments"(peer) {
    await connected(peer, async (client) => {
      const ref = { type: "ref/prompt", name: "code-review" };
      const argument = { name: "language", value: "ja" };
      const { completion } = await client.complete({ ref, argument });
      assert.deepEqual(completion.values, ["java", "javascript"]);
    });
  },

  async "calls every tool that asks nothing"(peer) {
    await connected(peer, async (client) => {
      for (const message of ["hello", "", "line\nfeed \u00e9 \u{1f980}", "x".repeat(100_000)]) {
        assert.equal(await call(client, "fast-echo", { message }), message);
      }
      const computed = await call(client, "slow-computation", { iterations: 1000 });
      assert.match(computed, /after 1000 iterations$/);
      const fetched = await call(client, "fetch-data", { delay_ms: 5, url: "label" });
      assert.equal(JSON.parse(fetched).url, "label");
      const stats = JSON.parse(await call(client, "get-server-stats"));
      assert.ok(stats.tool_calls["fast-echo"] >= 4, JSON.stringify(stats));
    });
  },

  async "lets its model answer"(peer) {
    const content = { type: "text", text: "4" };
    const answers = {
      "sampling/createMessage": () => ({ role: "assistant", content, model: "peer" }),
    };
    await connected(
      peer,
      async (client) => {
        const said = await call(client, "request-sampling", { prompt: "2 + 2?" });
        assert.equal(said, "peer said: 4");
      },
      { capabilities: ANSWERS_ALL, answers },
    );
  },

  async "lets its user answer"(peer) {
    const content = { name: "Ada" };
    const answers = {
      "elicitation/create": ({ params }) =>
        params.mode === "url" ? { action: "accept" } : { action: "accept", content },
    };
    await connected(
      peer,
      async (client) => {
        assert.equal(await call(client, "request-input", {}), "The user gave the name Ada.");
        const page = await call(client, "request-input", { mode: "url" });
        assert.equal(page, "The user agreed to open the page.");
      },
      { capabilities: ANSWERS_ALL, answers },
    );
  },

  async "is told what it cannot do"(peer) {
    await connected(peer, async (client) => {
      const sampled = await call(client, "request-sampling", { prompt: "x" });
      assert.match(sampled, /does not support sampling/);
      assert.match(await call(client, "request-input"), /elicitation/);
    });
  },

  async "hears of progress, in order"(peer) {
    const steps = [];
    const onprogress = ({ progress, total }) => steps.push([progress, total]);
    await connected(peer, async (client) => {
      const options = { onprogress, timeout: DEADLINE };
      await call(client, "fetch-data", { delay_ms: 50 }, options);
    });
    assert.deepEqual(steps, [1, 2, 3, 4, 5].map((step) => [step, 5]));
  },

  async "cancels a call, which the server then stops"(peer) {
    await connected(peer, async (client) => {
      const stop = new AbortController();
      const onprogress = () => stop.abort();
      const options = { onprogress, signal: stop.signal, timeout: DEADLINE };
      const computing = call(client, "slow-computation", { iterations: 100_000_000 }, options);
      await assert.rejects(computing);
      assert.equal(await call(client, "fast-echo", { message: "still there" }), "still there");
    });
  },

  async "is told which argument is wrong"(peer) {
    await connected(peer, async (client) => {
      for (const [name, args, word] of [
        ["fast-echo", {}, "at `message`"],
        ["fetch-data", { delay_ms: 10_001 }, "at `delay_ms`"],
        ["nonsense", {}, "fast-echo"],
      ]) {
        await assert.rejects(call(client, name, args), (error) => {
          assert.equal(error.code, -32602, error);
          assert.ok(error.message.includes(word), error.message);
          return true;
        });
      }
    });
  },

  async "makes many calls at once"(peer) {
    await connected(peer, async (client) => {
      const messages = Array.from({ length: 50 }, (_, number) => `${number}`);
      const echo = (message) => call(client, "fast-echo", { message });
      assert.deepEqual(await Promise.all(messages.map(echo)), messages);
    });
  },
};

const IN_SESSIONS = {
  async "hears what trigger-notification sends"(peer) {
    await connected(peer, async (client) => {
      for (const kind of LISTS) {
        const next = heard(client, `notifications/${kind}/list_changed`);
        await trigger(client, { kind, to: "session" });
        await next();
      }
    });
  },

  async "hears of a resource that it subscribed to"(peer) {
    await connected(peer, async (client) => {
      const next = heard(client, "notifications/resources/updated");
      const uri = "app://dynamic-data";
      await client.subscribeResource({ uri });
      await trigger(client, { kind: "updated", uri });
      assert.equal((await next()).params.uri, uri);
      await client.unsubscribeResource({ uri });
      const sent = await call(client, "trigger-notification", { kind: "updated", uri });
      assert.equal(JSON.parse(sent).streams, 0);
    });
  },

  async "hears logs as grave as it wants them"(peer) {
    await connected(peer, async (client) => {
      const levels = [];
      const take = ({ params }) => levels.push(params.level);
      client.setNotificationHandler("notifications/message", take);
      for (const [level, expected] of [["debug", ["debug", "info"]], ["error", []]]) {
        await client.setLoggingLevel(level);
        levels.length = 0;
        await call(client, "fetch-data", { delay_ms: 0 }, { onprogress: () => {} });
        assert.deepEqual(levels, expected, level);
      }
    });
  },

  async "hands a 404 to the application, which starts again"(peer) {
    const lost = await connected(peer, async (client, transport) => {
      const headers = { "Mcp-Session-Id": transport.sessionId };
      assert.ok((await fetch(peer.url, { method: "DELETE", headers })).ok);
      await assert.rejects(client.ping(), /404|initialize/);
      return transport.sessionId;
    });
    await connected(peer, async (client, transport) => {
      assert.notEqual(transport.sessionId, lost);
      assert.equal(await call(client, "fast-echo", { message: "again" }), "again");
    });
  },
};

const WITHOUT_SESSIONS = {
  async "has no session"(peer) {
    await connected(peer, (client, transport) => {
      assert.equal(client.getProtocolEra(), "modern");
      assert.equal(transport.sessionId, undefined);
    });
  },

  async "hears what it listens for, and nothing else"(peer) {
    await connected(peer, async (client) => {
      const uri = "app://dynamic-data";
      const tools = [];
      client.setNotificationHandler("notifications/tools/list_changed", (tool) => tools.push(tool));
      const nextPrompts = heard(client, "notifications/prompts/list_changed");
      const nextUpdated = heard(client, "notifications/resources/updated");
      const filter = { promptsListChanged: true, resourceSubscriptions: [uri] };
      const subscription = await client.listen(filter);
      assert.deepEqual(subscription.honoredFilter, filter);
      await call(client, "trigger-notification", { kind: "tools" });
      await call(client, "trigger-notification", { kind: "prompts" });
      await nextPrompts();
      await call(client, "trigger-notification", { kind: "updated", uri });
      assert.equal((await nextUpdated()).params.uri, uri);
      assert.deepEqual(tools, []);
      await subscription.close();
      assert.equal(await subscription.closed, "local");
    });
  },
};

const CHECKS = {
  legacy: { ...IN_BOTH_ERAS, ...IN_SESSIONS },
  auto: { ...IN_BOTH_ERAS, ...WITHOUT_SESSIONS },
};

async function within(deadline, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${deadline} ms`)), deadline);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function passes(name, check, peer) {
  const line = `typescript client 2 ${name} (${VERSIONS[peer.mode]})`;
  try {
    await within(DEADLINE, check(peer));
  } catch (error) {
    console.log(`${line} ... FAILED`);
    console.error(error);
    return false;
  }
  console.log(`${line} ... ok`);
  return true;
}

const [url, ...rest] = process.argv.slice(2);
if (!url || rest.length > 0) {
  console.error("usage: node client.mjs URL");
  process.exit(2);
}
const outcomes = [];
for (const [mode, checks] of Object.entries(CHECKS)) {
  for (const [name, check] of Object.entries(checks)) {
    outcomes.push(await passes(name, check, { url, mode }));
  }
}
const failed = outcomes.filter((passed) => !passed).length;
console.log(`${outcomes.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0); // whatever a check that failed left open
