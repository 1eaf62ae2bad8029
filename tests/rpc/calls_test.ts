// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as net from "node:net";
import * as tls from "node:tls";
import { createClient } from "@connectrpc/connect";
import { ExchangeError, type TunnelHandler } from "../../src/model/exchange.ts";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { TunnelService } from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { requestToProto } from "../../src/rpc/tunnel_codec.ts";
import type { ChainJudge } from "../../src/rpc/chain.ts";
import { peerAddresses } from "../support/peer_addresses.ts";
import { eventually } from "../support/wait.ts";
import { CALL, clientOf, ears, Lab, recorder, request, start } from "./lab.ts";

Deno.test("a peer's request reaches the handler with the identity of its certificate", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  await using server = await start({ tls: lab.store("h2"), handler });
  using client = clientOf(server, { tls: lab.store("h1") });

  const reply = await client.newTunnel("h2", request(2), CALL);

  assert.equal(handler.calls[0]?.peer, "h1");
  assert.deepEqual(handler.calls[0]?.request.tunnels[1]?.localVip, "10.1.0.1");
  assert.deepEqual(
    [...handler.calls[0]?.request.tunnels[0]?.reverse.key.reveal() ?? []],
    Array(32).fill(0x11),
  );
  assert.equal(reply.bootEpoch, 77n);
  assert.equal(reply.version, "aes-gcm-256");
  const [first, second] = reply.outcomes;
  assert.ok(first?.ok && second?.ok);
  assert.equal(second.params.spi, 0x8000_0002);
  assert.deepEqual([...first.params.key.reveal()], Array(32).fill(0x22));

  assert.deepEqual(
    await client.notify(
      "h2",
      { bootEpoch: 42n, unknownSpis: [7], draining: true, closed: [] },
      CALL,
    ),
    { bootEpoch: 77n },
  );
  assert.deepEqual(handler.notices[0]?.notice.unknownSpis, [7]);
  assert.equal(server.connections(), 1, "both calls on one connection");
});

/** A store whose judge looks at certificates ahead only when it is let: what it found, and what it was asked with. */
function slowStore(lab: Lab, id: string) {
  const store = lab.store(id);
  const { judge } = store;
  const made = {
    store,
    asked: Promise.withResolvers<void>(),
    gate: Promise.withResolvers<void>(),
    signed: [] as boolean[],
  };
  const slow: Pick<ChainJudge, "ahead" | "judge"> = {
    ahead: async (...args) => {
      made.asked.resolve();
      await made.gate.promise;
      return await judge.ahead(...args);
    },
    judge: (sent, options) => {
      made.signed.push(options.signed !== undefined);
      return judge.judge(sent, options);
    },
  };
  Object.defineProperty(store, "judge", { get: () => slow });
  return made;
}

Deno.test("a caller's certificate is looked at beside the thread, and its requests wait for that", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  const { store, asked, gate, signed } = slowStore(lab, "h2");
  await using server = await start({ tls: store, handler });
  using client = clientOf(server, { tls: lab.store("h1") });
  const reply = client.newTunnel("h2", request(1), CALL);
  await asked.promise;
  assert.deepEqual([handler.calls.length, server.connections()], [0, 0]);
  gate.resolve();
  assert.ok((await reply).outcomes[0]?.ok);
  assert.deepEqual([handler.calls[0]?.peer, signed], ["h1", [true]]);
});

Deno.test("who leaves while his certificate is looked at leaves nothing behind", async () => {
  using lab = await Lab.make();
  const { store, asked, gate } = slowStore(lab, "h2");
  await using server = await start({ tls: store });
  const { cert, key, ca } = lab.read("h1");
  for (const ALPNProtocols of [["h2"], ["http/1.1"]]) {
    const { port } = server.address;
    const socket = tls.connect({
      ...{ host: "127.0.0.1", port, cert, key, ca, ALPNProtocols },
      checkServerIdentity: () => undefined,
    });
    socket.on("error", () => {});
    await asked.promise;
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.destroy();
    await closed;
  }
  gate.resolve();
  using client = clientOf(server, { tls: lab.store("h1") });
  assert.ok((await client.newTunnel("h2", request(1), CALL)).outcomes[0]?.ok);
  await eventually(() => server.connections() === 1, { what: "the end of those who left" });
});

Deno.test("a peer is asked at an address, where it must prove who it is, and the handler learns from where", async () => {
  using lab = await Lab.make();
  const from: (string | undefined)[] = [];
  const handler: TunnelHandler = {
    newTunnel: () => Promise.reject(new Error("nobody asks for one")),
    notify(_peer, _notice, address) {
      from.push(address);
      return Promise.resolve({ bootEpoch: 78n });
    },
  };
  await using server = await start({ tls: lab.store("h2"), handler, listen: "0.0.0.0:0" });
  await using other = await start({ tls: lab.store("h3"), listen: "127.0.0.1:0" });
  const notice = { bootEpoch: 42n, unknownSpis: [], closed: [], draining: false };
  using client = clientOf(server, { tls: lab.store("h1") });
  assert.deepEqual(await client.notifyAt("h2", "127.0.0.2", notice, CALL), { bootEpoch: 78n });
  assert.deepEqual(from, ["127.0.0.1"]);
  assert.equal(client.isConnected?.("h2"), false, "it is no connection to the peer");
  const code = (call: Promise<unknown>) => call.then(() => "ok", ({ code }) => code);
  assert.equal(await code(client.notifyAt("h9", "127.0.0.1", notice, CALL)), "not_found");
  using strange = clientOf(other, { tls: lab.store("h1") });
  assert.equal(await code(strange.notifyAt("h2", "127.0.0.1", notice, CALL)), "unauthenticated");
  assert.equal(await code(strange.notifyAt("h2", "127.0.0.9", notice, CALL)), "unavailable");
});

Deno.test("a peer says what becomes of a packet, short and printable; one of before says nothing", async () => {
  using lab = await Lab.make();
  const asked: unknown[] = [];
  const explain: TunnelHandler["explain"] = (peer, question) => {
    asked.push(peer, question);
    const text = `\x1b[31m${"x".repeat(300)}`;
    return {
      verdict: "dropped",
      counter: "rx-no-sa",
      peer: "h7",
      steps: [{ at: "INGR_ACL", verdict: "drop", text, host: "h8" }],
    };
  };
  await using server = await start({ tls: lab.store("h2"), handler: { ...recorder(), explain } });
  using client = clientOf(server, { tls: lab.store("h1") });
  const wish = { versions: ["aes-gcm-256"], mode: "tunnel", cryptOffset: 5, vc: 7n } as const;
  const question = {
    localVip: "10.1.0.1@red",
    remoteVip: "10.2.0.1@red",
    arrives: true,
    sa: { spi: 0x8000_0001, epoch: 9n },
    length: 1500,
    wish,
  };
  const view = await client.explain?.("h2", question, CALL);
  assert.deepEqual(asked, ["h1", question]);
  assert.deepEqual(view, {
    verdict: "dropped",
    counter: "rx-no-sa",
    steps: [{ at: "INGR_ACL", verdict: "drop", text: ` [31m${"x".repeat(251)}` }],
  });
  const bare = { localVip: "10.1.0.1", remoteVip: "10.2.0.1", arrives: false, wish };
  await client.explain?.("h2", bare, CALL);
  assert.deepEqual(asked.at(-1), bare);

  await using before = await start({ tls: lab.store("h2") });
  using other = clientOf(before, { tls: lab.store("h1") });
  const code = await other.explain?.("h2", bare, CALL).catch(({ code }) => code);
  assert.equal(code, "unimplemented");
});

Deno.test("a full batch of IPv6 tunnels fits into one message", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2") });
  using client = clientOf(server, { tls: lab.store("h1") });
  const batch = request(256);
  const reply = await client.newTunnel("h2", {
    ...batch,
    tunnels: batch.tunnels.map((t, i) => ({
      ...t,
      localVip: `2001:db8:1111:2222:3333:4444:5555:${(i + 0x1000).toString(16)}`,
      remoteVip: "2001:db8:1111:2222:3333:4444:5555:6666",
      reverse: { ...t.reverse, pip: "2001:db8:1111:2222:3333:4444:5555:7777", vc: 2n ** 63n },
    })),
  }, CALL);
  assert.equal(reply.outcomes.length, 256);
});

Deno.test("Connect, gRPC and gRPC-Web are served on one port", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2") });
  const baseUrl = `https://127.0.0.1:${server.address.port}`;
  const nodeOptions = { ...lab.read("h1"), checkServerIdentity: () => undefined };
  const h2 = { baseUrl, httpVersion: "2" as const, nodeOptions };
  const transports = {
    connect: createConnectTransport(h2),
    "connect json": createConnectTransport({ ...h2, useBinaryFormat: false }),
    grpc: createGrpcTransport(h2),
    "grpc-web": createGrpcWebTransport(h2),
    "connect on HTTP/1.1": createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const reply = await createClient(TunnelService, transport).newTunnel(requestToProto(request()));
    const outcome = reply.tunnels[0]?.outcome;
    assert.ok(outcome?.case === "params", name);
    assert.deepEqual([...outcome.value.key], Array(32).fill(0x22), name);
  }
});

Deno.test("curl can call with JSON over HTTP/1.1", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2") });
  const files = lab.files("h1");
  const body = {
    bootEpoch: "42",
    requestId: btoa("0123456789abcdef"),
    versionsAccepted: ["PSP_VERSION_AES_GCM_128"],
    tunnels: [{
      localVip: "10.1.0.1",
      remoteVip: "10.2.0.1",
      reverseParams: {
        spi: 5,
        version: "PSP_VERSION_AES_GCM_128",
        key: btoa("k".repeat(16)),
        pip: "192.0.2.1",
        mac: btoa("\x02\0\0\0\0\x01"),
        mode: "PSP_MODE_TUNNEL",
      },
    }],
  };
  // deno-fmt-ignore
  const { code, stdout } = await new Deno.Command("curl", {
    args: [
      "-s", "--http1.1", "-m", "5", "-k", "--cert", files.cert, "--key", files.key,
      "-H", "content-type: application/json", "-d", JSON.stringify(body),
      `https://127.0.0.1:${server.address.port}/psp.v1.TunnelService/NewTunnel`,
    ],
  }).output();
  assert.equal(code, 0);
  const reply = JSON.parse(new TextDecoder().decode(stdout));
  assert.equal(reply.version, "PSP_VERSION_AES_GCM_256");
  assert.equal(reply.tunnels[0].params.spi, 0x8000_0001);
});

Deno.test("a retry is sent with identical bytes, and the caller's keys stay whole", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  await using server = await start({ tls: lab.store("h2"), handler });
  using client = clientOf(server, { tls: lab.store("h1") });
  const same = request(3);
  const replies = [
    await client.newTunnel("h2", same, CALL),
    await client.newTunnel("h2", same, CALL),
  ];
  const seen = handler.calls.map(({ request }) =>
    request.tunnels.map(({ reverse }) => [reverse.spi, reverse.key.reveal().toHex()])
  );
  assert.deepEqual(seen[0], seen[1]);
  const got = replies.map(({ outcomes }) =>
    outcomes.map((o) => o.ok && o.params.key.reveal().toHex())
  );
  assert.deepEqual(got[0], got[1]);
  assert.equal(handler.calls[0]?.request.requestId, same.requestId);
});

Deno.test("what the handler throws arrives with its code, and an inner error without its text", async () => {
  using lab = await Lab.make();
  const events = ears();
  const thrown: unknown[] = [
    new ExchangeError("permission_denied", "vip of somebody else"),
    new ExchangeError("resource_exhausted", "too many"),
    new Error("secret inside"),
  ];
  const handler = recorder(() => Promise.reject(thrown.shift()));
  await using server = await start({ tls: lab.store("h2"), handler, events });
  using client = clientOf(server, { tls: lab.store("h1") });
  const codes: string[] = [];
  for (const expected of [/vip of somebody else/, /too many/, /internal error/]) {
    await assert.rejects(client.newTunnel("h2", request(), CALL), (e: ExchangeError) => {
      codes.push(e.code);
      return expected.test(e.message) && !e.message.includes("secret");
    });
  }
  assert.deepEqual(codes, ["permission_denied", "resource_exhausted", "internal"]);
  assert.equal(events.counts.get("internal-error"), 1);
});

Deno.test("deadline and abort end a call whose answer never comes", async () => {
  using lab = await Lab.make();
  await using server = await start({
    tls: lab.store("h2"),
    handler: recorder(() => new Promise(() => {})),
  });
  using client = clientOf(server, { tls: lab.store("h1") });
  await assert.rejects(
    client.newTunnel("h2", request(), { timeoutMs: 100 }),
    (e: ExchangeError) => e.code === "deadline_exceeded",
  );
  const abort = new AbortController();
  const call = client.newTunnel("h2", request(), { timeoutMs: 5000, signal: abort.signal });
  abort.abort();
  await assert.rejects(call, (e: ExchangeError) => e.code === "canceled");
});

Deno.test("a peer that is away is unavailable, and is reached again when it is back", async () => {
  using lab = await Lab.make();
  const server = await start({ tls: lab.store("h2") });
  const { port } = server.address;
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  await server.close(50);
  await assert.rejects(
    client.newTunnel("h2", request(), CALL),
    (e: ExchangeError) =>
      e.code === "unavailable" && /Cannot reach peer "h2" at 127/.test(e.message),
  );
  await using _back = await start({ tls: lab.store("h2"), listen: `127.0.0.1:${port}` });
  await client.newTunnel("h2", request(), CALL);
});

Deno.test("a call under way when the peer dies is unavailable at once", async () => {
  using lab = await Lab.make();
  const arrived = Promise.withResolvers<void>();
  const server = await start({
    tls: lab.store("h2"),
    handler: recorder(() => (arrived.resolve(), new Promise(() => {}))),
  });
  using client = clientOf(server, { tls: lab.store("h1") });
  const call = client.newTunnel("h2", request(), { timeoutMs: 20_000 });
  const rejected = assert.rejects(call, (e: ExchangeError) => e.code === "unavailable");
  await arrived.promise;
  await server.close(0);
  await rejected;
});

Deno.test("a peer that falls silent is noticed, and the next call opens a new connection", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2") });
  // Between the two, so that it can stop carrying anything without closing.
  const carried: net.Socket[] = [];
  let mute = false;
  const proxy = net.createServer((near) => {
    const far = net.connect(server.address.port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]] as const) {
      carried.push(from);
      from.on("error", () => {});
      from.on("data", (bytes: Uint8Array) => mute || to.write(bytes));
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as net.AddressInfo;
  using client = clientOf(server, {
    tls: lab.store("h1"),
    peers: peerAddresses({ id: "h2", svcAddress: `127.0.0.1:${port}` }),
    pingIntervalMs: 100,
    pingTimeoutMs: 500,
  });
  await client.newTunnel("h2", request(), CALL);
  mute = true;
  await assert.rejects(
    client.newTunnel("h2", request(), { timeoutMs: 2000 }),
    (e: ExchangeError) => ["deadline_exceeded", "unavailable"].includes(e.code),
  );
  mute = false;
  await client.newTunnel("h2", request(), CALL);
  client.close();
  for (const socket of carried) socket.destroy();
  await new Promise<void>((resolve) => proxy.close(() => resolve()));
});

Deno.test("insecure mode takes the peer's word, and says so loudly", async () => {
  const events = ears();
  const handler = recorder();
  await using server = await start({ insecure: true, handler, events });
  using client = clientOf(server, { insecure: true });
  await client.newTunnel("h2", request(), CALL);
  assert.equal(handler.calls[0]?.peer, "h1");
  assert.match(events.lines.join(), /INSECURE/);

  const url = `http://127.0.0.1:${server.address.port}/psp.v1.TunnelService/Notify`;
  const post = async (headers: Record<string, string>) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: '{"bootEpoch":"1"}',
    });
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await post({ "psp-peer": "h3" }), 200);
  assert.equal(await post({ "psp-peer": "h9" }), 403);
  assert.equal(await post({}), 403);
});

Deno.test("a call says that it leaves, never when nobody could be reached", async () => {
  using lab = await Lab.make();
  await using server = await start({ tls: lab.store("h2") });
  using client = clientOf(server, { tls: lab.store("h1") });
  let sent = 0;
  const call = () => client.newTunnel("h2", request(), { ...CALL, onSent: () => sent++ });
  await call();
  assert.equal(sent, 1);
  await server.close();
  const before = sent;
  await assert.rejects(call(), (error: ExchangeError) => error.code === "unavailable");
  await assert.rejects(call(), (error: ExchangeError) => error.code === "unavailable");
  assert.ok(sent - before <= 1, "at most on the connection that was closing");
  const sockets: net.Socket[] = [];
  const silent = net.createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as net.AddressInfo;
  using other = clientOf(server, {
    tls: lab.store("h1"),
    peers: peerAddresses({ id: "h2", svcAddress: `127.0.0.1:${port}` }),
  });
  const asked = other.newTunnel("h2", request(), { timeoutMs: 300, onSent: () => sent = NaN });
  await assert.rejects(asked, (error: ExchangeError) => error.code === "deadline_exceeded");
  assert.ok(!Number.isNaN(sent), "a handshake that never ends carries no request");
  for (const socket of sockets) socket.destroy();
  silent.close();
});

Deno.test("both ends learn the address of a connection on which the other proved who it is", async () => {
  using lab = await Lab.make();
  const seen: string[] = [];
  await using server = await start({
    tls: lab.store("h2"),
    onPeer: (peer, address) => seen.push(`from ${peer} ${address}`),
  });
  using client = clientOf(server, {
    tls: lab.store("h1"),
    onConnected: (peer, address) => seen.push(`to ${peer} ${address}`),
  });
  await client.newTunnel("h2", request(), CALL);
  assert.deepEqual(seen.sort(), ["from h1 127.0.0.1", "to h2 127.0.0.1"]);
  // Somebody else's certificate proves nothing.
  using liar = clientOf(server, {
    tls: lab.store("h1"),
    peers: peerAddresses({ id: "h3", svcAddress: `127.0.0.1:${server.address.port}` }),
    onConnected: (peer) => seen.push(`to ${peer}`),
  });
  await assert.rejects(liar.newTunnel("h3", request(), CALL));
  assert.ok(!seen.includes("to h3"));
});

Deno.test("confirmed SPIs travel with a notice", async () => {
  using lab = await Lab.make();
  const handler = recorder();
  await using server = await start({ tls: lab.store("h2"), handler });
  using client = clientOf(server, { tls: lab.store("h1") });
  const notice = { bootEpoch: 42n, unknownSpis: [], draining: false, closed: [] };
  await client.notify("h2", { ...notice, confirmedSpis: [7, 0x8000_0009] }, CALL);
  await client.notify("h2", notice, CALL);
  const heard = handler.notices.map((n) => n.notice.confirmedSpis);
  assert.deepEqual(heard, [[7, 0x8000_0009], []]);
  for (const confirmedSpis of [[0], Array<number>(5000).fill(7)]) {
    await assert.rejects(
      client.notify("h2", { ...notice, confirmedSpis }, CALL),
      (error: ExchangeError) =>
        error.code === "invalid_argument" && /confirmed_spis/.test(error.message),
    );
  }
});
