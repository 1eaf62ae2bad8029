// SPDX-License-Identifier: Apache-2.0

/** Who occupies a listener, how long, and who comes in all the same. */
import assert from "node:assert/strict";
import * as net from "node:net";
import * as tls from "node:tls";
import { connect, frame, getBlock, HELLO, openSession } from "../support/h2_frames.ts";
import { joined } from "../../src/model/octets.ts";
import { CALL, clientOf, ears, Lab, request, start } from "./lab.ts";
import { apart, curl, source, world } from "./status_lab.ts";

/** Each with the first octets of a request, and no more. */
async function crowd(port: number, n: number, first: string): Promise<net.Socket[]> {
  return await Promise.all(Array.from({ length: n }, async () => {
    const socket = await connect(port);
    socket.on("error", () => {});
    socket.resume();
    socket.write(first);
    return socket;
  }));
}

function gone(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.once("close", () => resolve());
  });
}

/** What HTTP/2 says first: a session without a request. */
const H2 = new TextDecoder().decode(HELLO);

for (const first of ["GET /healthz HT", H2, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]) {
  const what = JSON.stringify(first.slice(0, 20));
  Deno.test(`200 connections that said ${what} and fell silent do not close the status listener`, async () => {
    await using w = await world();
    const sockets = await crowd(w.server.address.port, 200, first);
    for (let i = 0; i < 3; i++) assert.equal((await curl(`${w.url}/healthz`)).status, 200);
    // Those whose first octets came late made room before that.
    const evicted = ["connections-evicted", "handshakes-evicted"]
      .reduce((sum, name) => sum + (w.events.counts.get(name) ?? 0), 0);
    assert.ok(evicted >= 200 - 32, `${evicted}`);
    assert.equal(w.events.counts.get("connections-exceeded"), undefined);
    for (const socket of sockets) socket.destroy();
  });
}

Deno.test("200 TLS connections of strangers do not keep out who has the token, nor a certificate", async () => {
  using lab = await Lab.make(["h1"]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef\n");
  const files = lab.files("h1");
  await using w = await world({ listen: "0.0.0.0:0", tls: files, tokenFile });
  const sockets: tls.TLSSocket[] = [];
  for (let i = 0; i < 200; i++) {
    const socket = tls.connect({
      port: w.server.address.port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
    });
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    sockets.push(socket);
  }
  const asked = [
    ["-H", "Authorization: Bearer 0123456789abcdef"],
    ["--cert", files.cert, "--key", files.key],
  ];
  for (const how of asked) {
    assert.equal((await curl("-k", ...how, `${w.url}/healthz`)).status, 200);
  }
  assert.ok((w.events.counts.get("connections-evicted") ?? 0) >= 200 - 32);
  for (const socket of sockets) socket.destroy();
});

Deno.test("who is at work without end makes room too, when all are of one address", async () => {
  await using w = await world();
  // A body that never ends, so that each is at work.
  const half = "POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf";
  const sockets = await crowd(w.server.address.port, 200, half);
  assert.equal((await curl(`${w.url}/healthz`)).status, 200);
  for (const socket of sockets) socket.destroy();
});

Deno.test("a connection that asks for nothing is closed, counted", async () => {
  await using w = await world({}, source(), {
    limits: { firstRequestMs: 100 },
  });
  const { port } = w.server.address;
  const silent = [
    ...await crowd(port, 1, "GET /healthz HT"),
    ...await crowd(port, 1, H2),
    // ... although it shows signs of life.
    ...await crowd(port, 1, H2),
  ];
  const alive = setInterval(() => silent[2]?.write(frame(6, 0, 0, new Uint8Array(8))), 40);
  await Promise.all(silent.map(gone));
  clearInterval(alive);
  assert.equal(w.events.counts.get("connections-idle"), 3);
});

Deno.test("a request without an end is ended, counted", async () => {
  await using w = await world({}, source(), { limits: { requestTimeoutMs: 100 } });
  const { port } = w.server.address;
  // A body that does not come, and an answer that nobody takes: the window is 0.
  const noWindow = joined([
    HELLO,
    frame(4, 0, 0, [0, 4, 0, 0, 0, 0]),
    frame(1, 5, 1, getBlock("/healthz")),
  ]);
  const slow = [
    ...await crowd(
      port,
      1,
      "POST /psp.v1.StatusService/GetStatus HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
        "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ),
    ...await crowd(port, 1, ""),
  ];
  slow[1]?.write(noWindow);
  while ((w.events.counts.get("requests-late") ?? 0) < 2) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const socket of slow) socket.destroy();
});

Deno.test("a stream of samples is no request that is late", async () => {
  await using w = await world({}, source(), {
    limits: { requestTimeoutMs: 1000 },
  });
  const session = openSession(w.url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/psp.v1.StatusService/WatchEvents",
    "content-type": "application/connect+json",
    "connect-protocol-version": "1",
  });
  stream.end(new Uint8Array([0, 0, 0, 0, 2, 0x7b, 0x7d]));
  await new Promise((resolve) => stream.once("data", resolve));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(stream.closed, false);
  assert.equal(w.events.counts.get("requests-late"), undefined);
  session.destroy();
});

Deno.test("an HTTP/1.1 connection carries many requests, with TLS and without", async () => {
  using lab = await Lab.make(["h1"]);
  const files = lab.files("h1");
  for (const config of [{}, { tls: files }]) {
    await using w = await world(config);
    const urls = ["/healthz", "/metrics", "/nothing", "/healthz"].map((path) => `${w.url}${path}`);
    const { stderr } = await new Deno.Command("curl", {
      args: ["-svk", "--http1.1", "-m", "9", "--cert", files.cert, "--key", files.key, ...urls],
      stdout: "null",
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.equal(said.match(/^< HTTP\/1.1 /gm)?.length, 4, said);
    assert.equal(said.match(/^\* Connected to /gm)?.length, 1, said);
    assert.equal(said.match(/^\* Re-using existing connection/gm)?.length, 3, said);
  }
});

Deno.test("strangers with a certificate of the CA leave the control listener to peers", async () => {
  using lab = await Lab.make(["h1", "h2", "h9"]);
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events, maxConnections: 16 });
  const sockets: tls.TLSSocket[] = [];
  for (let i = 0; i < 20; i++) {
    const socket = tls.connect({
      port: server.address.port,
      host: "127.0.0.1",
      ALPNProtocols: ["h2"],
      ...lab.read("h9"),
      checkServerIdentity: () => undefined,
    });
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    socket.write(HELLO);
    sockets.push(socket);
  }
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  assert.ok(server.connections() <= 12 + 1);
  assert.equal(events.counts.get("connections-exceeded"), undefined);
  for (const socket of sockets) socket.destroy();
});

Deno.test("healthz fails while the control listener accepts nothing", async () => {
  let accepts = true;
  await using w = await world({}, source(), { controlAccepts: () => accepts });
  assert.equal((await curl(`${w.url}/healthz`)).status, 200);
  accepts = false;
  const said = await curl(`${w.url}/healthz`);
  assert.deepEqual(said, { status: 503, body: "rpc.listen accepts no connections\n" });
});

Deno.test("a listener that met EMFILE is opened again by itself, and says so", async () => {
  await using listener = await apart({ descriptors: 64 });
  const sockets = await Promise.all(
    Array.from({ length: 80 }, () => connect(listener.port).catch(() => undefined)),
  );
  await listener.line(/error A listener accepts no connections; it is opened again/);
  for (const socket of sockets) socket?.destroy();
  await listener.line(/info A listener accepts connections again/);
  assert.equal((await curl(`http://127.0.0.1:${listener.port}/healthz`)).status, 200);
  assert.ok(((await listener.ask())["listeners-reopened"] ?? 0) > 0);
});

Deno.test("who knows how many descriptors there are never meets EMFILE", async () => {
  // Some 50 are the runtime's own; without a budget 100 connections more would be too many.
  await using listener = await apart({ descriptors: 128, budget: 8 });
  const sockets: net.Socket[] = [];
  let counts: Record<string, number> = {};
  for (let round = 0; round < 50 && (counts["connections-no-descriptor"] ?? 0) < 20; round++) {
    for (let i = 0; i < 100; i++) {
      sockets.push(net.connect(listener.port, "127.0.0.1").on("error", () => {}));
    }
    counts = await listener.ask();
  }
  for (const socket of sockets) socket.destroy();
  assert.ok((counts["connections-no-descriptor"] ?? 0) >= 20, JSON.stringify(counts));
  assert.equal(counts["listeners-reopened"], undefined);
  assert.equal(
    (await curl("--retry", "3", `http://127.0.0.1:${listener.port}/healthz`)).status,
    200,
  );
});
