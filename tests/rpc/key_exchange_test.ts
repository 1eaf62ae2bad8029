// SPDX-License-Identifier: Apache-2.0

/** What two sides agree on, read off their first messages; and rpc.require_pq. */
import assert from "node:assert/strict";
import * as net from "node:net";
import type { ExchangeError } from "../../src/model/exchange.ts";
import {
  HYBRID,
  ownKeyExchange,
  preferredGroup,
  selectedGroup,
} from "../../src/rpc/key_exchange.ts";
import { CALL, clientOf, ears, Lab, recorder, request, start } from "./lab.ts";

/** A ClientHello that lists these groups, in a record. */
function clientHello(groups: readonly number[], shares: readonly number[] = []): Uint8Array {
  const list = groups.flatMap((group) => [group >> 8, group & 255]);
  const keys = shares.flatMap((group) => [group >> 8, group & 255, 0, 1, 9]);
  const extensions = [
    ...[0, 43, 0, 3, 2, 3, 4],
    ...[0, 10, 0, list.length + 2, 0, list.length, ...list],
    ...[0, 51, 0, keys.length + 2, 0, keys.length, ...keys],
  ];
  const body = [
    ...[3, 3, ...new Array(32).fill(7)],
    ...[2, 1, 2],
    ...[0, 2, 0x13, 1],
    ...[1, 0],
    ...[0, extensions.length, ...extensions],
  ];
  return new Uint8Array([22, 3, 1, 0, body.length + 4, 1, 0, 0, body.length, ...body]);
}

Deno.test("the first group of a client that is known is the one", () => {
  const table: [number[], string | undefined][] = [
    [[0x11ec, 0x1d], HYBRID],
    [[0x1d, 0x11ec], "X25519"],
    // GREASE (RFC 8701), and X448.
    [[0x2a2a, 0x1e, 0x11ec], HYBRID],
    [[0x18, 0x17], "P-384"],
    [[0x1e], undefined],
    [[], undefined],
  ];
  for (const [groups, expected] of table) {
    assert.equal(preferredGroup(clientHello(groups, [0x1d])), expected, groups.join());
  }
});

Deno.test("half a message is waited for; what is none is not", () => {
  const whole = clientHello([0x11ec]);
  for (let i = 0; i < whole.length; i++) {
    assert.equal(preferredGroup(whole.subarray(0, i)), false, `${i}`);
  }
  assert.equal(preferredGroup(new TextEncoder().encode("GET / HTTP/1.1\r\n")), undefined);
  assert.equal(selectedGroup(whole), undefined);
  // Whatever octets are wrong, it ends and does not throw.
  for (let i = 0; i < whole.length; i++) {
    for (const value of [0, 0x7f, 0xff]) {
      const broken = whole.slice();
      broken[i] = value;
      preferredGroup(broken);
    }
  }
});

Deno.test("what this runtime negotiates with itself is what its server selects, and what its client is told", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  await using server = await start({ tls: lab.store("h2") });
  using client = clientOf(server, { tls: lab.store("h1") });
  assert.equal(client.keyExchanges().get("h2"), undefined);
  await client.newTunnel("h2", request(), CALL);
  const own = await ownKeyExchange();
  assert.ok(own === HYBRID || own === "X25519", own);
  assert.equal(client.keyExchanges().get("h2"), own);
});

Deno.test("with require_pq a caller that prefers something else is refused with an alert, and counted", async () => {
  using lab = await Lab.make(["h2"]);
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), requirePq: true, events });
  const answer = (hello: Uint8Array, pieces: number) =>
    new Promise<number[]>((resolve, reject) => {
      const socket = net.connect(server.address.port, "127.0.0.1", async () => {
        const size = Math.ceil(hello.length / pieces);
        for (let at = 0; at < hello.length; at += size) {
          socket.write(hello.subarray(at, at + size));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      });
      const came: number[] = [];
      socket.on("data", (chunk: Uint8Array) => came.push(...chunk));
      socket.on("close", () => resolve(came));
      socket.on("error", reject);
    });
  const insufficientSecurity = [21, 3, 3, 0, 2, 2, 71];
  assert.deepEqual(await answer(clientHello([0x1d], [0x1d]), 1), insufficientSecurity);
  assert.deepEqual(await answer(clientHello([0x1d, 0x11ec], [0x1d]), 4), insufficientSecurity);
  assert.equal(events.counts.get("key-exchange-refused"), 2);
  assert.match(events.lines[0] ?? "", /would not be post-quantum .*"reason":"it would be X25519"/);
  // Nothing is wrong with its groups: TLS itself answers, as the rest is nonsense.
  const other = await answer(clientHello([0x11ec, 0x1d], [0x1d]), 4);
  assert.notDeepEqual(other, insufficientSecurity);
  assert.equal(events.counts.get("key-exchange-refused"), 2);
});

Deno.test("with require_pq a peer that selects something else gets no request", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const [handler, events] = [recorder(), ears()];
  await using server = await start({ tls: lab.store("h2"), handler });
  using client = clientOf(server, { tls: lab.store("h1"), requirePq: true, events });
  const call = client.newTunnel("h2", request(), CALL);
  if (await ownKeyExchange() === HYBRID) return await call.then(() => {});
  await assert.rejects(call, (error: ExchangeError) => {
    assert.equal(error.code, "unauthenticated");
    assert.match(
      error.message,
      /its key exchange is X25519, and rpc\.require_pq wants X25519MLKEM768/,
    );
    return true;
  });
  assert.equal(handler.calls.length, 0);
  assert.equal(events.counts.get("key-exchange-refused"), 1);
});
