// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { ExchangeError } from "../../src/model/exchange.ts";
import { runtimeRefusal } from "../../src/rpc/tls.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";
import { CALL, clientOf, DOMAIN, ears, Lab, request, start } from "./lab.ts";

Deno.test("TLS needs Deno 2.8.1", () => {
  for (const good of ["2.8.1", "2.9.0", "2.10.0", "3.0.0", "2.8.1+abc"]) {
    assert.equal(runtimeRefusal(good), undefined, good);
  }
  for (const bad of ["2.8.0", "2.7.14", "1.46.3", "", "two"]) {
    assert.match(runtimeRefusal(bad) ?? "", /Cannot use TLS on Deno/, bad);
  }
});

Deno.test("files that do not fit together are refused, each problem named", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const files = lab.files("h1");
  const owner = { id: "h1", domain: DOMAIN };
  const make = (changed: Partial<typeof files>, who = owner, nowMs = Date.now()) => () =>
    new TlsStore({ ...files, ...changed }, { owner: who, pollMs: 0, wallMs: () => nowMs });
  assert.doesNotThrow(make({}));
  assert.throws(make({ key: lab.files("h2").key }), /does not match certificate/);
  assert.throws(make({ cert: "/no/where" }), /certificate "\/no\/where" cannot be read/);
  assert.throws(make({ ca: files.key }), /holds a private key, not a certificate/);
  assert.throws(make({ key: files.cert }), /cannot be read as a PEM private key/);
  assert.throws(
    make({}, { id: "h2", domain: DOMAIN }),
    /is not that of this host, "spiffe:.*\/h2": it names "spiffe:.*\/h1"/,
  );
  assert.throws(make({}, owner, Date.now() + 91 * 86_400_000), /expired on/);
  assert.throws(make({}, owner, Date.now() - 86_400_000), /is not valid before/);
});

Deno.test("an expiry within 14 days is warned about, once a day", async () => {
  using lab = await Lab.make([]);
  await lab.issue("h1", { days: 20 });
  const events = ears();
  let now = Date.now();
  using store = lab.store("h1", { events, wallMs: () => now });
  assert.equal(events.lines.length, 0);
  now += 7 * 86_400_000;
  store.reload();
  store.reload();
  assert.deepEqual(events.lines.map((l) => /expires soon .*certificate .* in 12 days/.test(l)), [
    true,
  ]);
  now += 86_400_000;
  store.reload();
  assert.equal(events.lines.length, 2);
  assert.ok(Math.abs(store.expiresAtMs - now - 12 * 86_400_000) < 10_000);
});

Deno.test("a new certificate of the same CA is used for new connections", async () => {
  using lab = await Lab.make();
  const [serverTls, clientTls] = [lab.store("h2"), lab.store("h1")];
  await using server = await start({ tls: serverTls });
  using client = clientOf(server, { tls: clientTls });
  await client.newTunnel("h2", request(), CALL);
  const before = serverTls.current.fingerprint;
  await lab.issue("h2");
  await lab.issue("h1");
  assert.ok(serverTls.reload());
  assert.ok(clientTls.reload());
  assert.equal(serverTls.reload(), false, "nothing new");
  assert.notEqual(serverTls.current.fingerprint, before);
  await client.newTunnel("h2", request(), CALL);
});

Deno.test("a bad new set changes nothing and is logged once", async () => {
  using lab = await Lab.make();
  const events = ears();
  const tls = lab.store("h2", { events });
  await using server = await start({ tls });
  const files = lab.files("h2");
  const before = tls.current;
  Deno.copyFileSync(lab.files("h1").key, files.key);
  assert.equal(tls.reload(), false);
  assert.equal(tls.reload(), false);
  assert.equal(tls.current, before);
  assert.deepEqual(events.lines.map((l) => /old ones stay in force .*does not match/.test(l)), [
    true,
  ]);
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
});

Deno.test("a CA is replaced without a gap: bundle of both, new certificates, bundle of the new", async () => {
  using lab = await Lab.make();
  await lab.ca("new");
  const stores = { h1: lab.store("h1"), h2: lab.store("h2") };
  await using server = await start({ tls: stores.h2 });
  using client = clientOf(server, { tls: stores.h1 });
  const oldCa = Deno.readTextFileSync(`${lab.dir}/ca/ca.crt`);
  const newCa = Deno.readTextFileSync(`${lab.dir}/new/ca.crt`);
  const call = () => client.newTunnel("h2", request(), CALL);
  const move = (id: string) => {
    Deno.copyFileSync(lab.files(id, "new").cert, lab.files(id).cert);
    Deno.copyFileSync(lab.files(id, "new").key, lab.files(id).key);
  };
  await call();

  Deno.writeTextFileSync(`${lab.dir}/ca/ca.crt`, oldCa + newCa);
  assert.ok(stores.h2.reload());
  await call();
  assert.ok(stores.h1.reload());
  await call();

  for (const id of ["h1", "h2"] as const) {
    await lab.issue(id, { ca: "new" });
    move(id);
    assert.ok(stores[id].reload());
    await call();
  }

  Deno.writeTextFileSync(`${lab.dir}/ca/ca.crt`, newCa);
  assert.ok(stores.h2.reload());
  await call();
  assert.ok(stores.h1.reload());
  await call();

  // Whoever still has a certificate of the old CA is out now.
  Deno.writeTextFileSync(`${lab.dir}/ca/ca.crt`, oldCa + newCa);
  using late = clientOf(server, { tls: lab.store("h3") });
  await assert.rejects(
    late.newTunnel("h2", request(), CALL),
    (error: ExchangeError) => error.code === "permission_denied",
  );
});

Deno.test("connections made under a CA that is gone are closed", async () => {
  using lab = await Lab.make();
  await lab.ca("new");
  const tls = lab.store("h2");
  await using server = await start({ tls });
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  await lab.issue("h2", { ca: "new" });
  for (const [from, to] of [["h2.crt", "h2.crt"], ["h2.key", "h2.key"], ["ca.crt", "ca.crt"]]) {
    Deno.copyFileSync(`${lab.dir}/new/${from}`, `${lab.dir}/ca/${to}`);
  }
  assert.ok(tls.reload());
  while (server.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await assert.rejects(client.newTunnel("h2", request(), CALL));
});

Deno.test("changed files are noticed by themselves", async () => {
  using lab = await Lab.make(["h1"]);
  for (const pollMs of [20, 60_000]) {
    using store = lab.store("h1", { pollMs, debounceMs: 20 });
    const changed = Promise.withResolvers<void>();
    store.onChange(() => changed.resolve());
    await lab.issue("h1");
    await changed.promise;
  }
});

Deno.test("other files take the place of these, or these stay where those cannot be used", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const tls = lab.store("h1", { pollMs: 20, debounceMs: 20 });
  const before = tls.current;
  assert.throws(() => tls.follow({ ...lab.files("h1"), cert: "/no/where" }), /cannot be read/);
  assert.throws(
    () => tls.follow({ ...lab.files("h1"), key: lab.files("h2").key }),
    /does not match certificate/,
  );
  assert.equal(tls.current, before);
  const changes: string[] = [];
  tls.onChange((now) => changes.push(now.fingerprint));
  // As when a directory of certificates is exchanged for another one.
  const moved = { ...lab.files("h1"), cert: `${lab.dir}/moved.crt`, key: `${lab.dir}/moved.key` };
  await lab.issue("h1");
  Deno.copyFileSync(lab.files("h1").cert, moved.cert);
  Deno.copyFileSync(lab.files("h1").key, moved.key);
  const take = tls.follow(moved);
  take();
  assert.deepEqual(changes, [tls.current.fingerprint]);
  assert.notEqual(tls.current.fingerprint, before.fingerprint);
  // What is followed from here on is the new place.
  const changed = Promise.withResolvers<void>();
  tls.onChange(() => changed.resolve());
  await lab.issue("h1");
  Deno.copyFileSync(lab.files("h1").key, moved.key);
  Deno.copyFileSync(lab.files("h1").cert, moved.cert);
  await changed.promise;
  tls[Symbol.dispose]();
});
