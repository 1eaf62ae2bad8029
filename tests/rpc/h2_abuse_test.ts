// SPDX-License-Identifier: Apache-2.0

/** Who floods an HTTP/2 connection loses it, and the agent nothing. */
import assert from "node:assert/strict";
import * as net from "node:net";
import * as tls from "node:tls";
import type { ExchangeError } from "../../src/model/exchange.ts";
import {
  attack,
  ATTACKS,
  connect,
  frame,
  framesOf,
  getBlock,
  HELLO,
  openSession,
  say,
} from "../support/h2_frames.ts";
import { joined } from "../../src/model/octets.ts";
import { CALL, clientOf, ears, Lab, request, start } from "./lab.ts";
import { apart, curl, world } from "./status_lab.ts";

const GOAWAY = 7;
const ENHANCE_YOUR_CALM = 11;

for (const name of Object.keys(ATTACKS)) {
  Deno.test(`a status connection that sends too much ends, counted as ${name}; others are served`, async () => {
    await using w = await world();
    const { port } = w.server.address;
    const said = await say(await connect(port), attack(name, 2000));
    assert.equal(w.events.counts.get(name), 1);
    const last = [...framesOf(said)].at(-1);
    assert.equal(last?.type, GOAWAY);
    assert.equal(last.payload[7], ENHANCE_YOUR_CALM);
    assert.match(w.events.lines.join("\n"), new RegExp(`it was flooded .*"counter":"${name}"`));
    assert.equal((await curl(`${w.url}/healthz`)).status, 200);
  });
}

Deno.test("a peer with a good certificate is held to the same, and may come again", async () => {
  using lab = await Lab.make(["h1", "h2", "h3"]);
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  using good = clientOf(server, { id: "h3", tls: lab.store("h3") });
  await good.newTunnel("h2", request(), CALL);
  for (const name of Object.keys(ATTACKS)) {
    const socket = tls.connect({
      port: server.address.port,
      host: "127.0.0.1",
      ALPNProtocols: ["h2"],
      ...lab.read("h1"),
      checkServerIdentity: () => undefined,
    });
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    await say(socket, attack(name, 2000));
    assert.equal(events.counts.get(name), 1, name);
  }
  assert.equal(server.connections(), 1, "the good one keeps its connection");
  await good.newTunnel("h2", request(), CALL);
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
});

Deno.test("header blocks with too many fields leave no memory behind", async () => {
  await using listener = await apart();
  const rounds = async (octets: Uint8Array, n: number) => {
    for (let i = 0; i < n; i++) {
      const socket = await connect(listener.port);
      const closed = say(socket, octets);
      await Promise.race([closed, answered(socket)]);
      socket.destroy();
    }
  };
  await rounds(joined([HELLO, frame(1, 5, 1, getBlock("/healthz"))]), 50);
  const { rss: before = 0 } = await listener.ask();
  await rounds(attack("h2-header-blocks", 500), 40);
  const { rss: after = 0, "h2-header-blocks": ended } = await listener.ask();
  assert.equal(ended, 40);
  // 20,000 blocks of 5 kB would be 100 MB.
  assert.ok(after - before < 50e6, `${after - before} octets more`);
});

Deno.test("as many fields as may be are served, by a session that goes on", async () => {
  await using w = await world();
  const session = openSession(w.url);
  const get = (fields: number) =>
    new Promise<number | undefined>((resolve, reject) => {
      const extra = Object.fromEntries(Array.from({ length: fields }, (_, i) => [`x-${i}`, "y"]));
      const stream = session.request({ ":path": "/healthz", ...extra });
      stream.on("response", (headers) => resolve(headers[":status"]));
      stream.on("error", reject);
      stream.resume();
    });
  session.on("error", () => {});
  assert.equal(await get(60), 200);
  assert.equal(await get(60), 200);
  await assert.rejects(get(61));
  assert.equal(w.events.counts.get("h2-header-blocks"), 1);
  session.destroy();
});

Deno.test("fields that unpack to a hundred times their size are read, and cost no stream", async () => {
  await using w = await world();
  const socket = await connect(w.server.address.port);
  // A value of 4,000 octets goes into the table, then each request names it 59 times: 236 kB out of 80 octets.
  const big = new Array(4000).fill(0x61);
  const length = [0x7f, (4000 - 127) % 128 + 128, (4000 - 127) >> 7];
  const bomb = [...getBlock("/healthz"), 0x40, 1, 0x78, ...length, ...big];
  const again = [...getBlock("/healthz"), ...new Array(59).fill(0xbe)];
  const requests = Array.from({ length: 40 }, (_, i) => frame(1, 5, 3 + 2 * i, again));
  const closed = say(
    socket,
    joined([HELLO, frame(1, 5, 1, bomb), ...requests, frame(7, 0, 0, new Uint8Array(8))]),
  );
  const resets = [...framesOf(await closed)].filter(({ type }) => type === 3);
  assert.deepEqual(resets, [], "the runtime refuses no block, as it would never free it");
});

Deno.test("requests, answers and their window updates are no flood", async () => {
  await using w = await world();
  const session = openSession(w.url, { settings: { initialWindowSize: 1000 } });
  for (let i = 0; i < 300; i++) {
    const size = await new Promise<number>((resolve, reject) => {
      const stream = session.request({ ":path": "/metrics" });
      let octets = 0;
      stream.on("data", (chunk: Uint8Array) => octets += chunk.length);
      stream.on("end", () => resolve(octets));
      stream.on("error", reject);
    });
    assert.ok(size > 1000);
  }
  const floods = [...w.events.counts.keys()].filter((name) => name.startsWith("h2-"));
  assert.deepEqual(floods, []);
  await new Promise<void>((resolve) => session.close(() => resolve()));
});

/** When something came that is no SETTINGS and no WINDOW_UPDATE. */
function answered(socket: net.Socket): Promise<void> {
  return new Promise((resolve) =>
    socket.on("data", (chunk: Uint8Array) => {
      for (const { type } of framesOf(chunk)) if (type === 1) resolve();
    })
  );
}

/** A peer that answers whatever comes with these octets. */
async function evilPeer(octets: Uint8Array) {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.write(octets));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as net.AddressInfo;
  return {
    address: { hostname: "127.0.0.1", port },
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

for (const name of ["h2-pings", "h2-settings", "h2-window-updates", "h2-header-blocks"]) {
  Deno.test(`a peer that answers a call with too much loses the connection too, counted as ${name}`, async () => {
    const flood = Array.from({ length: 2000 }, (_, i) =>
      name === "h2-header-blocks"
        // :status 200 and 80 fields more.
        ? frame(1, 4, 1, [0x88, ...new Array(80).fill(0x90)])
        : ATTACKS[name]?.(1 + 2 * i) ?? HELLO);
    await using peer = await evilPeer(joined([frame(4, 0, 0), ...flood]));
    const events = ears();
    using client = clientOf(peer as never, { insecure: true, events });
    await assert.rejects(
      client.newTunnel("h2", request(), CALL),
      (error: ExchangeError) =>
        error.code === "unavailable" &&
        error.message.includes(`floods the connection (${name})`),
    );
    assert.equal(events.counts.get(name), 1);
  });
}
