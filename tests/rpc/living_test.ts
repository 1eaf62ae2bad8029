// SPDX-License-Identifier: Apache-2.0

/** Connections that stand: their certificates are judged again. */
import assert from "node:assert/strict";
import type { ExchangeError } from "../../src/model/exchange.ts";
import { openSession } from "../support/h2_frames.ts";
import { CALL, clientOf, ears, type Heard, Lab, recorder, request, start, TRUST } from "./lab.ts";
import { world } from "./status_lab.ts";

/** Long enough to connect on a busy machine, in days. */
const SHORT = 5 / 86_400;

/** Each waits until a certificate is over: all of them at once. */
const EXPIRIES: Readonly<Record<string, () => Promise<void>>> = {
  async "a caller's"() {
    using lab = await Lab.make(["h2"]);
    await lab.issue("h1", { days: SHORT });
    const events = ears();
    await using server = await start({ tls: lab.store("h2"), events });
    using client = clientOf(server, { tls: lab.store("h1") });
    await client.newTunnel("h2", request(), CALL);
    assert.equal(server.connections(), 1);
    await until(() => server.connections() === 0);
    assert.equal(events.counts.get("certificate-expired"), 1);
    assert.match(
      closings(events),
      /its certificate .*"certificate-expired","reason":"it expired on /,
    );
  },

  async "that of the peer that was called"() {
    using lab = await Lab.make(["h1"]);
    await lab.issue("h2", { days: SHORT });
    const events = ears();
    await using server = await start({ tls: lab.store("h2") });
    using client = clientOf(server, { tls: lab.store("h1"), events });
    await client.newTunnel("h2", request(), CALL);
    await until(() => server.connections() === 0);
    assert.equal(events.counts.get("certificate-expired"), 1);
    assert.match(closings(events), /"peer":"h2".*"certificate-expired","reason":"it expired on /);
    await assert.rejects(client.newTunnel("h2", request(), CALL));
  },

  async "a browser's"() {
    using lab = await Lab.make(["h2"]);
    await lab.issue("h1", { days: SHORT });
    await using w = await world({ tls: lab.files("h2") });
    const session = openSession(w.url, {
      ...lab.read("h1"),
      checkServerIdentity: () => undefined,
    });
    session.on("error", () => {});
    const answer = await new Promise<number | undefined>((resolve) => {
      const get = session.request({ ":path": "/healthz" });
      get.on("response", (headers) => resolve(headers[":status"]));
      get.resume();
    });
    assert.equal(answer, 200);
    await new Promise<void>((resolve) => session.once("close", () => resolve()));
    assert.equal(w.events.counts.get("certificate-expired"), 1);
  },
};

Deno.test("a connection ends with the certificate that it was opened with", async () => {
  await Promise.all(
    Object.entries(EXPIRIES).map(([whose, play]) =>
      play().catch((cause) => {
        throw new Error(`${whose}: ${cause.message}`, { cause });
      })
    ),
  );
});

Deno.test("a CA goes: connections under it are closed on both sides, those under another stay", async () => {
  using lab = await Lab.make();
  await lab.ca("new");
  await lab.issue("h3", { ca: "new" });
  const bundle = (...names: string[]) =>
    names.map((name) => Deno.readTextFileSync(`${lab.dir}/${name}/ca.crt`)).join("");
  const oldCa = bundle("ca");
  const both = bundle("ca", "new");
  Deno.writeTextFileSync(`${lab.dir}/ca/ca.crt`, both);
  const [heard, told, handler] = [ears(), ears(), recorder()];
  const tls = lab.store("h2");
  await using server = await start({ tls, events: heard, handler });
  using h1 = clientOf(server, { tls: lab.store("h1") });
  Deno.writeTextFileSync(`${lab.dir}/new/ca.crt`, both);
  const h3Tls = lab.store("h3", {}, "new");
  using h3 = clientOf(server, { id: "h3", tls: h3Tls, events: told });
  for (const client of [h1, h3]) await client.newTunnel("h2", request(), CALL);
  assert.equal(server.connections(), 2);

  // h2 believes the new CA only: h1, whose certificate is of the old one, is cut off.
  Deno.writeTextFileSync(`${lab.dir}/ca/ca.crt`, both.replace(oldCa, ""));
  assert.ok(tls.reload());
  await until(() => server.connections() === 1);
  assert.equal(heard.counts.get("certificate-untrusted"), 1);
  assert.match(closings(heard), /"certificate-untrusted","reason":"no CA of the file in force/);
  const opened = server.connections();
  await h3.newTunnel("h2", request(), CALL);
  assert.equal(server.connections(), opened);
  await assert.rejects(h1.newTunnel("h2", request(), CALL));

  // h3 believes it too, and h2's own certificate is of the old one.
  Deno.writeTextFileSync(`${lab.dir}/new/ca.crt`, both.replace(oldCa, ""));
  assert.ok(h3Tls.reload());
  await until(() => server.connections() === 0);
  assert.equal(told.counts.get("certificate-untrusted"), 1);
  assert.match(closings(told), /"peer":"h2".*"certificate-untrusted"/);
  await assert.rejects(h3.newTunnel("h2", request(), CALL));
  assert.equal(handler.calls.length, 3);
});

Deno.test("who is denied is cut off on both sides, counted and logged", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const [heard, told] = [ears(), ears()];
  const [mine, theirs] = [lab.store("h1"), lab.store("h2")];
  await using server = await start({ tls: theirs, events: heard });
  using client = clientOf(server, { tls: mine, events: told });
  const call = () => client.newTunnel("h2", request(), CALL);

  await call();
  assert.equal(server.setTrust({ ...TRUST, deny: [`sha256:${mine.current.fingerprint}`] }), 1);
  await until(() => server.connections() === 0);
  assert.equal(heard.counts.get("denied-identity"), 1);
  assert.match(closings(heard), /"counter":"denied-identity"/);
  server.setTrust(TRUST);

  await call();
  client.setTrust({ ...TRUST, deny: ["sha256:00"] });
  await call();
  assert.equal(told.counts.get("denied-identity"), undefined);
  client.setTrust({ ...TRUST, deny: [`sha256:${theirs.current.fingerprint}`] });
  await until(() => server.connections() === 0);
  assert.equal(told.counts.get("denied-identity"), 1);
  assert.match(closings(told), /"peer":"h2".*"counter":"denied-identity"/);
  await assert.rejects(
    call(),
    (error: ExchangeError) => error.code === "unauthenticated" && /denied/.test(error.message),
  );
});

Deno.test("who is denied does not read the status either, nor goes on reading", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  await using w = await world({ tls: lab.files("h2") });
  const open = () => {
    const session = openSession(w.url, {
      ...lab.read("h1"),
      checkServerIdentity: () => undefined,
    });
    session.on("error", () => {});
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    return { session, closed };
  };
  const first = open();
  await new Promise<void>((resolve) => {
    const get = first.session.request({ ":path": "/healthz" });
    get.on("response", () => resolve());
    get.resume();
  });
  w.server.setTrust({ ...TRUST, deny: ["h1"] });
  await first.closed;
  assert.equal(w.events.counts.get("denied-identity"), 1);
  await open().closed;
  assert.equal(w.events.counts.get("denied-identity"), 2);
});

Deno.test("a call under way on a connection that is leaving ends, too, when its peer is denied", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const arrived = Promise.withResolvers<void>();
  const handler = recorder(() => {
    arrived.resolve();
    return new Promise(() => {});
  });
  await using server = await start({ tls: lab.store("h2"), handler });
  const tls = lab.store("h1");
  using client = clientOf(server, { tls });
  const call = client.newTunnel("h2", request(), { timeoutMs: 600_000 });
  await arrived.promise;
  await lab.issue("h1");
  assert.ok(tls.reload());
  client.setTrust({ ...TRUST, deny: ["h2"] });
  await assert.rejects(call);
});

Deno.test("of very many connections only those are judged again that a change concerns", async () => {
  using lab = await Lab.make();
  const [h1, h3] = [lab.store("h1"), lab.store("h3")];
  await using server = await start({ tls: lab.store("h2") });
  using first = clientOf(server, { tls: h1 });
  using third = clientOf(server, { tls: h3 });
  await first.newTunnel("h2", request(), CALL);
  await third.newTunnel("h2", request(), CALL);
  const without = (id: string) => ({
    ...TRUST,
    peers: { has: (other: string) => other !== id, named: () => [] },
  });
  assert.equal(server.setTrust(without("h3"), ["h9"]), 0, "h3 was not said to be concerned");
  assert.equal(server.setTrust(without("h3"), ["h3"]), 1);
  await until(() => server.connections() === 1);
  assert.deepEqual([...server.presented().keys()], ["h1"]);
  assert.equal(server.setTrust(without("h1")), 1, "all are");
});

function closings({ lines }: Heard): string {
  return lines.filter((line) => /is closed: its certificate is not good any more/.test(line))
    .join("\n");
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
