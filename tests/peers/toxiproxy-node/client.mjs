// The Node client of Toxiproxy, against the admin API of `squall proxy`.
//
// Usage: node client.mjs URL, where URL names the admin API (http://127.0.0.1:PORT).
// Prints a line for each check and `N passed, N failed` at the end; exit code 1 if one failed.

import assert from "node:assert/strict";
import net from "node:net";
import { Toxiproxy } from "toxiproxy-node-client";

const DEADLINE = 30_000;

const echo = net.createServer((socket) => socket.on("error", () => {}).pipe(socket));
await new Promise((resolve) => echo.listen(0, "127.0.0.1", resolve));
const upstream = `127.0.0.1:${echo.address().port}`;

/** Sends a text through a proxy, and gives what comes back first; null if the connection ends. */
function saysBack(proxy, text) {
  const [host, port] = [proxy.listen.replace(/:\d+$/, ""), Number(proxy.listen.match(/\d+$/)[0])];
  return new Promise((resolve) => {
    const socket = net.connect(port, host, () => socket.write(text));
    socket.once("data", (data) => resolve(data.toString()) || socket.destroy());
    socket.once("error", () => resolve(null));
    socket.once("close", () => resolve(null));
  });
}

const body = (name, more = {}) => ({ name, listen: "127.0.0.1:0", upstream, ...more });

const CHECKS = {
  async it_has_a_version(server) {
    assert.match(JSON.stringify(await server.getVersion()), /version/);
  },

  async a_proxy_is_created_read_updated_and_removed(server) {
    const proxy = await server.createProxy(body("a"));
    assert.ok(proxy.enabled && !proxy.listen.endsWith(":0"), proxy.listen);
    assert.equal(await saysBack(proxy, "hello"), "hello");
    assert.deepEqual((await server.get("a")).toJson(), proxy.toJson());
    const off = await proxy.update({ ...proxy.toJson(), enabled: false });
    assert.deepEqual([off.enabled, off.listen], [false, proxy.listen]);
    assert.equal(await saysBack(proxy, "x"), null);
    const on = await proxy.update({ ...proxy.toJson(), enabled: true });
    assert.equal(on.enabled, true);
    assert.equal(await saysBack(proxy, "y"), "y");
    await proxy.remove();
    assert.deepEqual(Object.keys(await server.getAll()), []);
    await assert.rejects(server.get("a"));
  },

  async all_proxies_are_read_at_once(server) {
    const made = await server.populate([body("a"), body("b", { enabled: false })]);
    assert.deepEqual(Object.keys(made).sort(), ["a", "b"]);
    const all = await server.getAll();
    assert.deepEqual([all.a.enabled, all.b.enabled], [true, false]);
  },

  async every_type_of_toxic_is_added_read_updated_and_removed(server) {
    const proxy = await server.createProxy(body("a"));
    const types = {
      latency: { latency: 1, jitter: 0 },
      bandwidth: { rate: 100000 },
      slow_close: { delay: 1 },
      timeout: { timeout: 0 },
      reset_peer: { timeout: 100000 },
      slicer: { average_size: 10, size_variation: 0, delay: 0 },
      limit_data: { bytes: 1000000 },
      noop: {},
    };
    for (const [type, attributes] of Object.entries(types)) {
      const toxic = await proxy.addToxic({
        name: `my-${type}`, type, stream: "upstream", toxicity: 1, attributes,
      });
      assert.deepEqual(toxic.toJson(), {
        name: `my-${type}`, type, stream: "upstream", toxicity: 1, attributes,
      });
      const read = await proxy.getToxic(`my-${type}`);
      assert.deepEqual(read.toJson(), toxic.toJson());
      const updated = await toxic.update({ ...toxic.toJson(), toxicity: 0.5 });
      assert.equal(updated.toxicity, 0.5);
      await toxic.remove();
      await assert.rejects(proxy.getToxic(`my-${type}`));
    }
    assert.equal(await saysBack(proxy, "well again"), "well again");
  },

  async attributes_that_are_not_given_stay(server) {
    const proxy = await server.createProxy(body("a"));
    const attributes = { latency: 5, jitter: 3 };
    const toxic = await proxy.addToxic({ name: "t", type: "latency", attributes });
    const updated = await toxic.update({ attributes: { latency: 9 } });
    assert.deepEqual(updated.attributes, { latency: 9, jitter: 3 });
  },

  async a_limit_cuts_off_what_comes_behind_it(server) {
    const proxy = await server.createProxy(body("a"));
    await proxy.addToxic({ name: "t", type: "limit_data", attributes: { bytes: 3 } });
    assert.equal(await saysBack(proxy, "12345"), "123");
  },

  async reset_enables_all_and_removes_toxics(server) {
    const proxy = await server.createProxy(body("a"));
    await proxy.addToxic({ name: "t", type: "reset_peer", attributes: { timeout: 0 } });
    assert.equal(await saysBack(proxy, "x"), null);
    await server.reset();
    assert.equal(await saysBack(proxy, "x"), "x");
    await assert.rejects(proxy.getToxic("t"));
  },

  async what_is_wrong_is_refused(server) {
    await server.createProxy(body("a"));
    await assert.rejects(server.createProxy(body("a")));
    await assert.rejects(server.createProxy({ name: "b" }));
    const proxy = await server.get("a");
    await assert.rejects(proxy.addToxic({ name: "t", type: "nonsense", attributes: {} }));
  },
};

async function within(time, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${time} ms`)), time);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function clear(server) {
  for (const proxy of Object.values(await server.getAll())) await proxy.remove();
}

const [url, ...rest] = process.argv.slice(2);
if (!url || rest.length > 0) {
  console.error("usage: node client.mjs URL");
  process.exit(2);
}
const server = new Toxiproxy(url);
let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  try {
    await within(DEADLINE, check(server));
    console.log(`toxiproxy node ${name} ... ok`);
  } catch (error) {
    failed += 1;
    console.log(`toxiproxy node ${name} ... FAILED`);
    console.error(error);
  }
  await clear(server);
}
console.log(`${Object.keys(CHECKS).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
