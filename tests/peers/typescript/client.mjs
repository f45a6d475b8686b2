// A client of the official TypeScript SDK that talks to `squall server`, directly or through the
// proxy.
//
// Usage: node client.mjs URL, where URL names the MCP endpoint (http://127.0.0.1:PORT/mcp).
// Prints a line for each check and `N passed, N failed` at the end; exit code 1 if one failed.

import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

// Every wait ends: the longest call of the checks takes well under a second.
const DEADLINE = 60_000;
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

/** Connects, lets `use` have the client, and closes it whatever happened. */
async function connected(url, use, { capabilities = {}, answers = [], ...options } = {}) {
  const transport = new StreamableHTTPClientTransport(new URL(url), options);
  const client = new Client({ name: "squall-peer", version: "1.0.0" }, { capabilities });
  for (const [schema, answer] of answers) client.setRequestHandler(schema, answer);
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

async function echo(client, message) {
  return textOf(await client.callTool({ name: "fast-echo", arguments: { message } }));
}

/** A `fetch` that tells what went over the wire: a line such as `POST 200 application/json`. */
function listening(heard) {
  return async (url, init) => {
    const response = await fetch(url, init);
    const media = response.headers.get("content-type") ?? "-";
    heard.push(`${init?.method ?? "GET"} ${response.status} ${media}`);
    return response;
  };
}

const CHECKS = {
  async "initializes a session"(url) {
    await connected(url, async (client, transport) => {
      assert.equal(client.getServerVersion().name, "squall-server");
      assert.equal(transport.protocolVersion, "2025-11-25");
      for (const list of ["tools", "resources", "prompts"]) {
        assert.equal(client.getServerCapabilities()[list].listChanged, true, list);
      }
      assert.match(transport.sessionId, /^[\x21-\x7e]+$/);
    });
  },

  async "opens the stream of messages from the server"(url) {
    const heard = [];
    const wire = listening(heard);
    let opened;
    const stream = new Promise((resolve) => (opened = resolve));
    const fetch = async (target, init) => {
      const response = await wire(target, init);
      if (init?.method === "GET") opened();
      return response;
    };
    await connected(url, () => stream, { fetch });
    assert.ok(heard.includes("GET 200 text/event-stream"), heard.join("\n"));
  },

  async "lists the tools with their schemas"(url) {
    await connected(url, async (client) => {
      const { tools } = await client.listTools();
      assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
      assert.ok(tools.every((tool) => tool.inputSchema.type === "object"));
      const writers = tools.filter((tool) => !tool.annotations.readOnlyHint);
      assert.deepEqual(writers.map((tool) => tool.name), ["trigger-notification"]);
    });
  },

  async "reads every resource"(url) {
    await connected(url, async (client) => {
      const { resources } = await client.listResources();
      assert.deepEqual(resources.map((resource) => resource.uri), URIS);
      for (const uri of [...URIS, "app://items/7"]) {
        const { contents } = await client.readResource({ uri });
        assert.deepEqual(contents.map((one) => one.uri), [uri]);
      }
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.deepEqual(resourceTemplates.map((one) => one.uriTemplate), ["app://items/{id}"]);
      await assert.rejects(client.readResource({ uri: "app://nothing" }), { code: -32002 });
    });
  },

  async "gets every prompt"(url) {
    await connected(url, async (client) => {
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

  async "completes arguments"(url) {
    await connected(url, async (client) => {
      const ref = { type: "ref/prompt", name: "code-review" };
      const argument = { name: "language", value: "ja" };
      const { completion } = await client.complete({ ref, argument });
      assert.deepEqual(completion.values, ["java", "javascript"]);
    });
  },

  async "lets its model and its user answer"(url) {
    const content = { type: "text", text: "4" };
    const sampled = { role: "assistant", content, model: "peer" };
    const elicited = ({ params }) =>
      params.mode === "url"
        ? { action: "accept" }
        : { action: "accept", content: { name: "Ada" } };
    await connected(
      url,
      async (client) => {
        const sampling = { name: "request-sampling", arguments: { prompt: "2 + 2?" } };
        assert.equal(textOf(await client.callTool(sampling)), "peer said: 4");
        const form = { name: "request-input", arguments: {} };
        assert.equal(textOf(await client.callTool(form)), "The user gave the name Ada.");
        const page = { name: "request-input", arguments: { mode: "url" } };
        assert.equal(textOf(await client.callTool(page)), "The user agreed to open the page.");
      },
      {
        capabilities: { sampling: {}, elicitation: { form: {}, url: {} } },
        answers: [
          [CreateMessageRequestSchema, () => sampled],
          [ElicitRequestSchema, elicited],
        ],
      },
    );
  },

  async "is told what it cannot do"(url) {
    await connected(url, async (client) => {
      const sampling = { name: "request-sampling", arguments: { prompt: "x" } };
      assert.match(textOf(await client.callTool(sampling)), /does not support sampling/);
      assert.match(textOf(await client.callTool({ name: "request-input" })), /elicitation/);
    });
  },

  async "hears of a resource that it subscribed to"(url) {
    await connected(url, async (client) => {
      const schema = ResourceUpdatedNotificationSchema;
      const heard = new Promise((resolve) => client.setNotificationHandler(schema, resolve));
      const uri = "app://dynamic-data";
      await client.subscribeResource({ uri });
      const call = { name: "trigger-notification", arguments: { kind: "updated", uri } };
      while (JSON.parse(textOf(await client.callTool(call))).streams === 0);
      assert.equal((await heard).params.uri, uri);
      await client.unsubscribeResource({ uri });
      assert.equal(JSON.parse(textOf(await client.callTool(call))).streams, 0);
    });
  },

  async "hears logs as grave as it wants them"(url) {
    await connected(url, async (client) => {
      const heard = [];
      const schema = LoggingMessageNotificationSchema;
      client.setNotificationHandler(schema, ({ params }) => heard.push(params.level));
      const call = { name: "fetch-data", arguments: { delay_ms: 0 } };
      for (const [level, expected] of [["debug", ["debug", "info"]], ["error", []]]) {
        await client.setLoggingLevel(level);
        heard.length = 0;
        await client.callTool(call, undefined, { onprogress: () => {} });
        assert.deepEqual(heard, expected, level);
      }
    });
  },

  async "cancels a call, which the server then stops"(url) {
    await connected(url, async (client) => {
      const call = { name: "slow-computation", arguments: { iterations: 100_000_000 } };
      const stop = new AbortController();
      const onprogress = () => stop.abort();
      const options = { onprogress, signal: stop.signal, timeout: DEADLINE };
      await assert.rejects(client.callTool(call, undefined, options));
      assert.equal(await echo(client, "still there"), "still there");
    });
  },

  async "calls fast-echo"(url) {
    await connected(url, async (client) => {
      for (const message of ["hello", "", "line\nfeed \u00e9 \u{1f980}", "x".repeat(100_000)]) {
        assert.equal(await echo(client, message), message);
      }
    });
  },

  async "calls slow-computation"(url) {
    await connected(url, async (client) => {
      const call = { name: "slow-computation", arguments: { iterations: 1000 } };
      assert.match(textOf(await client.callTool(call)), /after 1000 iterations$/);
    });
  },

  async "calls fetch-data"(url) {
    await connected(url, async (client) => {
      const call = { name: "fetch-data", arguments: { delay_ms: 5, url: "label" } };
      assert.equal(JSON.parse(textOf(await client.callTool(call))).url, "label");
    });
  },

  async "hears what trigger-notification sends"(url) {
    await connected(url, async (client) => {
      const kinds = [
        ["tools", ToolListChangedNotificationSchema],
        ["resources", ResourceListChangedNotificationSchema],
        ["prompts", PromptListChangedNotificationSchema],
      ];
      for (const [kind, schema] of kinds) {
        const heard = new Promise((resolve) => client.setNotificationHandler(schema, resolve));
        const call = { name: "trigger-notification", arguments: { kind, to: "session" } };
        // The client opens its stream in the background.
        while (JSON.parse(textOf(await client.callTool(call))).streams === 0);
        assert.equal((await heard).method, `notifications/${kind}/list_changed`);
      }
    });
  },

  async "calls get-server-stats"(url) {
    await connected(url, async (client) => {
      await echo(client, "counted");
      const stats = JSON.parse(textOf(await client.callTool({ name: "get-server-stats" })));
      assert.ok(stats.sessions.active >= 1, JSON.stringify(stats));
      assert.ok(stats.tool_calls["fast-echo"] >= 1, JSON.stringify(stats));
    });
  },

  async "hears of progress, in order, on the stream of an answer"(url) {
    const heard = [];
    const wire = [];
    const onprogress = ({ progress, total }) => heard.push([progress, total]);
    await connected(
      url,
      async (client) => {
        const call = { name: "fetch-data", arguments: { delay_ms: 50 } };
        const result = await client.callTool(call, undefined, { onprogress, timeout: DEADLINE });
        assert.equal(JSON.parse(textOf(result)).delay_ms, 50);
      },
      { fetch: listening(wire) },
    );
    assert.deepEqual(heard, [1, 2, 3, 4, 5].map((step) => [step, 5]));
    assert.ok(wire.includes("POST 200 text/event-stream"), wire.join("\n"));
  },

  async "is told which argument is wrong"(url) {
    await connected(url, async (client) => {
      for (const [name, args, word] of [
        ["fast-echo", {}, "message"],
        ["fetch-data", { delay_ms: 10_001 }, "10000"],
        ["nonsense", {}, "fast-echo"],
      ]) {
        await assert.rejects(client.callTool({ name, arguments: args }), (error) => {
          assert.equal(error.code, -32602);
          assert.ok(error.message.includes(word), error.message);
          return true;
        });
      }
    });
  },

  async "makes many calls at once"(url) {
    await connected(url, async (client) => {
      const messages = Array.from({ length: 50 }, (_, number) => `${number}`);
      const answers = await Promise.all(messages.map((message) => echo(client, message)));
      assert.deepEqual(answers, messages);
    });
  },

  async "pings"(url) {
    await connected(url, async (client) => assert.deepEqual(await client.ping(), {}));
  },

  async "ends its session, after which the server does not know it"(url) {
    const heard = [];
    await connected(
      url,
      async (client, transport) => {
        const ended = transport.sessionId;
        await transport.terminateSession();
        assert.equal(transport.sessionId, undefined);
        assert.ok(heard.some((line) => line.startsWith("DELETE 2")), heard.join("\n"));
        assert.equal((await forget(url, ended)).status, 404);
      },
      { fetch: listening(heard) },
    );
  },

  // The SDK 1.x does not start a new session by itself: it hands the 404 to the application.
  async "hands a 404 to the application, which starts again"(url) {
    const lost = await connected(url, async (client, transport) => {
      assert.ok((await forget(url, transport.sessionId)).ok);
      await assert.rejects(client.ping(), (error) => {
        assert.ok(error instanceof StreamableHTTPError, error);
        assert.equal(error.code, 404);
        assert.ok(error.message.includes("initialize"), error.message);
        return true;
      });
      return transport.sessionId;
    });
    await connected(url, async (client, transport) => {
      assert.notEqual(transport.sessionId, lost);
      assert.equal(await echo(client, "again"), "again");
    });
  },
};

/** Ends a session behind the back of its client, as a restart of the server would. */
function forget(url, session) {
  return fetch(url, { method: "DELETE", headers: { "Mcp-Session-Id": session } });
}

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

async function passes(name, check, url) {
  try {
    await within(DEADLINE, check(url));
  } catch (error) {
    console.log(`typescript client ${name} ... FAILED`);
    console.error(error);
    return false;
  }
  console.log(`typescript client ${name} ... ok`);
  return true;
}

const [url, ...rest] = process.argv.slice(2);
if (!url || rest.length > 0) {
  console.error("usage: node client.mjs URL");
  process.exit(2);
}
let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  if (!(await passes(name, check, url))) failed += 1;
}
console.log(`${Object.keys(CHECKS).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0); // whatever a check that failed left open
