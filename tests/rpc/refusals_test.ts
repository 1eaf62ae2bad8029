// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { ExchangeCode, ExchangeError } from "../../src/model/exchange.ts";
import { limitMs } from "../support/scale.ts";
import { eventually } from "../support/wait.ts";
import { openSession } from "../support/h2_frames.ts";
import { CALL, clientOf, ears, Lab, recorder, request, start, TRUST } from "./lab.ts";

function fails(call: Promise<unknown>, code: ExchangeCode, text: RegExp = /./): Promise<void> {
  return assert.rejects(call, (error: ExchangeError) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });
}

/** Resolves when the other side has closed; what it sent before that is thrown away. */
function closing(socket: net.Socket): Promise<void> {
  socket.on("error", () => {});
  socket.resume();
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

function connect(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}

Deno.test("a peer whose certificate is not good is told why, and its host is told who that was", async () => {
  using lab = await Lab.make(["h2"]);
  await lab.ca("other");
  await lab.issue("h1", { ca: "other" });
  // The stranger trusts the right CA, so only the server can refuse.
  Deno.copyFileSync(`${lab.dir}/ca/ca.crt`, `${lab.dir}/other/ca.crt`);
  const [handler, events] = [recorder(), ears()];
  await using server = await start({ tls: lab.store("h2"), handler, events });
  using client = clientOf(server, { tls: lab.store("h1", {}, "other") });
  await fails(client.newTunnel("h2", request(), CALL), "permission_denied");
  await assert.rejects(
    client.newTunnel("h2", request(), CALL),
    /The certificate is refused: no CA of the file in force/,
  );
  assert.equal(handler.calls.length, 0);
  assert.ok((events.counts.get("certificate-untrusted") ?? 0) >= 1);
  assert.equal(events.refusals[0], "h1 certificate-untrusted");
  await eventually(() => server.connections() === 0, { what: "the end of its connections" });
});

Deno.test("a certificate of another CA that names no peer gets no word", async () => {
  using lab = await Lab.make(["h2"]);
  await lab.ca("other");
  await lab.issue("h77", { ca: "other" });
  Deno.copyFileSync(`${lab.dir}/ca/ca.crt`, `${lab.dir}/other/ca.crt`);
  const [handler, events] = [recorder(), ears()];
  await using server = await start({ tls: lab.store("h2"), handler, events });
  using client = clientOf(server, { tls: lab.store("h77", {}, "other") });
  await fails(client.newTunnel("h2", request(), CALL), "unavailable");
  assert.equal(handler.calls.length, 0);
  assert.equal(server.connections(), 0);
  assert.ok((events.counts.get("certificate-untrusted") ?? 0) >= 1);
  assert.deepEqual(events.refusals, []);
});

Deno.test("without a certificate nothing is asked", async () => {
  using lab = await Lab.make(["h2"]);
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  const { success } = await new Deno.Command("curl", {
    args: ["-s", "-k", "-m", "5", `https://127.0.0.1:${server.address.port}/`],
    stdout: "null",
  }).output();
  assert.equal(success, false);
  assert.equal(server.connections(), 0);
  assert.equal(events.counts.get("certificate-missing"), 1);
});

Deno.test("TLS 1.2 is refused", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  await using server = await start({ tls: lab.store("h2") });
  const { cert, key } = lab.files("h1");
  const curl = async (...more: string[]) => {
    const base = ["-s", "-k", "-m", "5", "--cert", cert, "--key", key];
    const url = `https://127.0.0.1:${server.address.port}/`;
    return (await new Deno.Command("curl", { args: [...base, ...more, url], stdout: "null" })
      .output()).success;
  };
  assert.equal(await curl("--tls-max", "1.2"), false);
  assert.equal(await curl(), true);
});

Deno.test("a good certificate of somebody unknown gets permission_denied, and no more", async () => {
  using lab = await Lab.make(["h2", "h9"]);
  await lab.issue("h1", { dns: ["h3"] });
  const cases = [
    { id: "h9", text: /"h9" is not among the configured peers/, counter: "unknown-identity" },
    { id: "h1", text: /several identities/, counter: "contradictory-identity" },
  ];
  for (const { id, text, counter } of cases) {
    const [handler, events] = [recorder(), ears()];
    await using server = await start({ tls: lab.store("h2"), handler, events });
    using client = clientOf(server, { tls: lab.store(id) });
    await fails(client.newTunnel("h2", request(), CALL), "permission_denied", text);
    assert.equal(handler.calls.length, 0);
    assert.equal(events.counts.get(counter), 1);
    const named = counter === "unknown-identity" ? id : undefined;
    assert.deepEqual(events.refusals, [`${named} ${counter}`]);
  }
});

Deno.test("a certificate of another trust domain is permission_denied", async () => {
  using lab = await Lab.make(["h2"]);
  await lab.issue("h1", { domain: "example.com" });
  await using server = await start({ tls: lab.store("h2") });
  using client = clientOf(server, { tls: lab.store("h1") });
  await fails(client.newTunnel("h2", request(), CALL), "permission_denied", /belongs to/);
});

Deno.test("a server that is not the peer we meant gets no request", async () => {
  using lab = await Lab.make();
  const [handler, events, heard] = [recorder(), ears(), ears()];
  await using server = await start({ tls: lab.store("h3"), handler, events: heard });
  using client = clientOf(server, { tls: lab.store("h1"), events });
  await fails(
    client.newTunnel("h2", request(), CALL),
    "unauthenticated",
    /Cannot trust peer "h2": the certificate is that of "h3"/,
  );
  assert.equal(handler.calls.length, 0);
  assert.equal(events.counts.get("unknown-identity"), 1);
  await eventually(() => heard.refusals.length > 0, { what: "the server to be told" });
  assert.deepEqual(heard.refusals, ['by h1: the certificate is that of "h3"']);
});

Deno.test("a server that is refused is told by whom and why, as long as it knows who that is", async () => {
  using lab = await Lab.make();
  await lab.ca("other");
  for (const id of ["h1", "h2"]) await lab.issue(id, { ca: "other" });
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  const deny = { ...TRUST, deny: [`sha256:${lab.store("h2").current.fingerprint}`] };
  const told = async (count: number) => {
    await eventually(() => events.refusals.length >= count, { what: "the server to be told" });
    return events.refusals.slice(count - 1);
  };
  using first = clientOf(server, { tls: lab.store("h1"), trust: deny });
  await assert.rejects(first.newTunnel("h2", request(), CALL), /Cannot trust peer "h2"/);
  assert.deepEqual(await told(1), ['by h1: "h2" is denied by the configuration']);
  // One that was good when the connection was made.
  using open = clientOf(server, { id: "h3", tls: lab.store("h3") });
  await open.newTunnel("h2", request(), CALL);
  open.setTrust(deny);
  assert.deepEqual(await told(2), [
    'by h3: its certificate is not good any more: "h2" is denied by the configuration',
  ]);
  // One that believes another CA ends the handshake before it has said who it is: that proves nothing.
  using stranger = clientOf(server, { tls: lab.store("h1", {}, "other") });
  await assert.rejects(stranger.newTunnel("h2", request(), CALL), /self-signed|issuer/);
  using last = clientOf(server, { tls: lab.store("h1"), trust: deny });
  await assert.rejects(last.newTunnel("h2", request(), CALL));
  assert.deepEqual((await told(3)).filter((line) => line.startsWith("by ")), [
    'by h1: "h2" is denied by the configuration',
  ]);
});

Deno.test("what a caller says with its refusal is a short line of plain text", async () => {
  using lab = await Lab.make();
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  const { port } = server.address;
  const { cert, key, ca } = lab.read("h1");
  const session = openSession(`https://127.0.0.1:${port}`, {
    cert,
    key,
    ca,
    checkServerIdentity: () => undefined,
  });
  session.on("error", () => {});
  await new Promise((resolve) => session.once("connect", resolve));
  const text = `\u001b[31mno\n${"x".repeat(5000)}`;
  session.goaway(http2.constants.NGHTTP2_INADEQUATE_SECURITY, 0, new TextEncoder().encode(text));
  await eventually(() => events.refusals.length > 0, { what: "the words" });
  session.destroy();
  assert.equal(events.refusals.length, 1);
  assert.match(events.refusals[0] ?? "", /^by h1: \[31mnox{300,400}$/);
});

Deno.test("denying a peer closes its connections within a second, and keeps it out", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), handler, events });
  using h1 = clientOf(server, { tls: lab.store("h1") });
  using h3 = clientOf(server, { id: "h3", tls: lab.store("h3") });
  await h1.newTunnel("h2", request(), CALL);
  await h3.newTunnel("h2", request(), CALL);
  assert.equal(server.connections(), 2);

  const startedAt = performance.now();
  assert.equal(server.setTrust({ ...TRUST, deny: ["spiffe://example.org/psp/h1"] }), 1);
  while (server.connections() > 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(performance.now() - startedAt < limitMs(1000));

  await fails(h1.newTunnel("h2", request(), CALL), "permission_denied", /"h1" is denied/);
  await h3.newTunnel("h2", request(), CALL);
  assert.deepEqual(handler.calls.map(({ peer }) => peer), ["h1", "h3", "h3"]);
  assert.deepEqual(events.refusals, ["h1 denied-identity"]);
  while (server.connections() > 1) await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("a denied fingerprint is denied on both sides", async () => {
  using lab = await Lab.make();
  const deny = (id: string) => ({
    ...TRUST,
    deny: [`sha256:${lab.store(id).current.fingerprint}`],
  });
  await using server = await start({ tls: lab.store("h2"), trust: deny("h1") });
  using h1 = clientOf(server, { tls: lab.store("h1") });
  await fails(h1.newTunnel("h2", request(), CALL), "permission_denied", /is denied/);
  using h3 = clientOf(server, { tls: lab.store("h3") });
  await h3.newTunnel("h2", request(), CALL);
  h3.setTrust(deny("h2"));
  await fails(h3.newTunnel("h2", request(), CALL), "unauthenticated", /denied/);
});

Deno.test("a message over the limit is refused before it reaches the handler", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  await using server = await start({ tls: lab.store("h2"), handler });
  using client = clientOf(server, { tls: lab.store("h1"), maxMessageBytes: 10_000_000 });
  const notice = { bootEpoch: 1n, draining: false, closed: [] };
  const spis = Array.from({ length: 20_000 }, (_, i) => i + 1);
  await fails(
    client.notify("h2", { ...notice, unknownSpis: spis }, CALL),
    "resource_exhausted",
  );
  assert.equal(handler.notices.length, 0);
  await client.notify("h2", { ...notice, unknownSpis: spis.slice(0, 4096) }, CALL);
});

Deno.test("garbage instead of a handshake, of HTTP/2 and of a message does not stop the server", async () => {
  using lab = await Lab.make();
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  for (let i = 0; i < 20; i++) {
    const socket = await connect(server.address.port);
    const closed = closing(socket);
    socket.write(crypto.getRandomValues(new Uint8Array(500)));
    await closed;
  }
  const { cert, key } = lab.files("h1");
  const curl = async (...args: string[]) => {
    const base = ["-s", "-k", "-m", "5", "--cert", cert, "--key", key, "-o", "/dev/null"];
    const url = `https://127.0.0.1:${server.address.port}/psp.v1.TunnelService/NewTunnel`;
    const out = await new Deno.Command("curl", {
      args: [...base, "-w", "%{http_code}", ...args, url],
    })
      .output();
    return new TextDecoder().decode(out.stdout);
  };
  // connect says "internal" for bytes that are no message; what matters is that it says something.
  assert.equal(await curl("-H", "content-type: application/proto", "-d", "\xff\xff\xff"), "500");
  assert.equal(await curl("-H", "content-type: application/json", "-d", "{"), "400");
  assert.equal(await curl("-H", "content-type: text/plain", "-d", "{}"), "415");
  assert.equal(await curl(), "405");
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  assert.ok((events.counts.get("handshakes-failed") ?? 0) >= 20);
});

Deno.test("silent connections are bounded, end by themselves, and keep nobody out", async () => {
  using lab = await Lab.make();
  const events = ears();
  await using server = await start({
    tls: lab.store("h2"),
    events,
    handshakeTimeoutMs: 300,
    admission: { pending: 16, pendingPerAddress: 8, ratePerS: 1000, burst: 1000 },
  });
  const closed = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const socket = await connect(server.address.port);
      return { over: closing(socket) };
    }),
  );
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  await Promise.all(closed.map(({ over }) => over));
  assert.equal(events.counts.get("handshakes-evicted"), 93, "92 of the silent, one for the client");
  assert.equal(server.connections(), 1);
});

Deno.test("an address whose handshakes come to nothing is limited by rate", async () => {
  using lab = await Lab.make();
  const events = ears();
  await using server = await start({
    tls: lab.store("h2"),
    events,
    admission: { pending: 16, pendingPerAddress: 8, ratePerS: 0.001, burst: 5 },
  });
  for (let i = 0; i < 8; i++) {
    const socket = await connect(server.address.port);
    const closed = closing(socket);
    socket.write("\x16garbage");
    await closed;
  }
  assert.equal(events.counts.get("handshakes-limited"), 3);
});

Deno.test("connections of one identity are bounded, the oldest makes room", async () => {
  using lab = await Lab.make();
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  const clients = Array.from({ length: 12 }, () => clientOf(server, { tls: lab.store("h1") }));
  try {
    for (const client of clients) await client.newTunnel("h2", request(), CALL);
    assert.equal(events.counts.get("connections-evicted"), 4);
    assert.ok(server.connections() <= 8);
  } finally {
    for (const client of clients) client.close();
  }
});

Deno.test("half a request does not hold a stream for ever", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2"), requestTimeoutMs: 100 });
  const session = openSession(`https://127.0.0.1:${server.address.port}`, {
    ...lab.read("h1"),
    checkServerIdentity: () => undefined,
  });
  const stream = session.request({
    ":method": "POST",
    ":path": "/psp.v1.TunnelService/NewTunnel",
    "content-type": "application/proto",
  });
  stream.on("error", () => {});
  stream.write("x");
  await new Promise((resolve) => stream.once("close", resolve));
  session.destroy();
});

Deno.test("an idle connection is closed, and the next call opens another", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2"), idleMs: 100 });
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  while (server.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await client.newTunnel("h2", request(), CALL);
});
