// SPDX-License-Identifier: Apache-2.0

/**
 * Attacks on nghttp2 by way of JavaScript that runs within its callbacks; `reentry.ts <scene>` says "whole" when the
 * process has outlived them all.
 */
import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { KvError } from "../../src/model/kv.ts";
import { joined } from "../../src/model/octets.ts";
import { openEtcd } from "../../src/rpc/etcd_client.ts";
import { preventReentry } from "../../src/rpc/h2_session.ts";
import { connect, frame, framesOf, getBlock, HELLO } from "../support/h2_frames.ts";
import { CALL, clientOf, Lab, request, start } from "./lab.ts";
import { world } from "./status_lab.ts";

const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE] = [0, 1, 3, 4, 6, 7, 8];
const [END_STREAM, END_HEADERS] = [1, 4];
const PREFACE = HELLO.subarray(0, 24);
const INADEQUATE_SECURITY = 12;
const ROUNDS = 10;

/** SETTINGS in which no stream may send more than this. */
const window = (octets: number) => frame(SETTINGS, 0, 0, [0, 4, 0, 0, octets >> 8, octets & 255]);
const opens = (octets: number, stream: number) =>
  frame(WINDOW_UPDATE, 0, stream, [0, 0, octets >> 8, octets & 255]);
const reset = (stream: number) => frame(RST_STREAM, 0, stream, [0, 0, 0, 8]);
const goaway = (code: number, last = 0) => frame(GOAWAY, 0, 0, [0, 0, 0, last, 0, 0, 0, code]);
const streams = (n: number) => Array.from({ length: n }, (_, i) => 1 + 2 * i);

const ask = frame(PING, 0, 0, new Uint8Array(8));

/** Sends in segments, each once the one before has been read, and reads until the end. */
async function attack(socket: net.Socket, segments: readonly Uint8Array[]): Promise<Uint8Array> {
  const came: Uint8Array[] = [];
  let next = 0;
  const say = () => {
    const segment = segments[next++];
    if (segment !== undefined) socket.write(joined([segment, ask]));
    else socket.destroy();
  };
  const answers = () => [...framesOf(joined(came))].filter(({ type }) => type === PING).length;
  socket.on("error", () => {});
  socket.on("data", (chunk: Uint8Array) => {
    came.push(new Uint8Array(chunk));
    if (answers() >= next) say();
  });
  say();
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  return joined(came);
}

/** A server that says something at once, and something else when so many requests have come. */
async function evilServer(
  { hello, requests, then }: {
    readonly hello: Uint8Array;
    readonly requests: number;
    readonly then: Uint8Array;
  },
) {
  const server = net.createServer((socket) => {
    const came: Uint8Array[] = [];
    let said = false;
    socket.on("error", () => {});
    socket.write(hello);
    socket.on("data", (chunk: Uint8Array) => {
      came.push(new Uint8Array(chunk));
      const frames = [...framesOf(joined(came).subarray(PREFACE.length))];
      if (said || frames.filter(({ type }) => type === HEADERS).length < requests) return;
      said = true;
      socket.write(then);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as net.AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())),
  };
}

const SCENES: Readonly<Record<string, () => Promise<void>>> = {
  /** What the runtime itself does of it, with nothing of ours but the guard. */
  async bare() {
    const server = http2.createServer();
    server.on("session", (session) => {
      preventReentry(session);
      session.on("error", () => {});
    });
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      stream.write("hello");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const { port } = server.address() as net.AddressInfo;
    for (let i = 0; i < ROUNDS; i++) {
      const came = await attack(await connect(port), [
        joined([PREFACE, window(5), frame(HEADERS, 5, 1, getBlock("/"))]),
        joined([opens(100, 1), reset(1)]),
        goaway(INADEQUATE_SECURITY),
      ]);
      const sent = [...framesOf(came)].filter(({ stream }) => stream === 1);
      const types = sent.map(({ type }) => type).join();
      if (types !== `${HEADERS},${DATA}`) throw new Error(`a reset stream goes on: ${types}`);
    }
    server.close();
  },

  async "an attacker's client"() {
    using lab = await Lab.make();
    await using peers = await start({ tls: lab.store("h2"), maxConnections: 500 });
    await using status = await world();
    const many = streams(40);
    const open = many.map((id) => frame(HEADERS, END_HEADERS, id, getBlock("/healthz")));
    const ends: readonly Uint8Array[][] = [
      // It goes with all that it has opened.
      [joined([...many.map(reset), goaway(0), goaway(INADEQUATE_SECURITY, 1)])],
      [joined([goaway(2), ...many.map((id) => opens(100, id)), ...many.map(reset)])],
      // It is refused, and says that it goes.
      [joined([...streams(300).map(() => ask), goaway(1)])],
      [joined([frame(9, 0, 99), goaway(0), goaway(1)])],
      [joined(many.map((id) => joined([frame(DATA, END_STREAM, id), reset(id)]))), goaway(0)],
    ];
    for (let i = 0; i < ROUNDS; i++) {
      const end = ends[i % ends.length] ?? [];
      const hello = joined([PREFACE, window(i % 2 === 0 ? 5 : 65_535), ...open]);
      await attack(await connect(status.server.address.port), [hello, ...end]);
      const socket = tls.connect({
        port: peers.address.port,
        host: "127.0.0.1",
        ALPNProtocols: ["h2"],
        ...lab.read("h1"),
        checkServerIdentity: () => undefined,
      });
      await new Promise<void>((resolve, reject) => {
        socket.once("secureConnect", () => resolve());
        socket.once("error", reject);
      });
      await attack(socket, [hello, ...end]);
    }
    using good = clientOf(peers, { tls: lab.store("h1") });
    await good.newTunnel("h2", request(), CALL);
  },

  async "an attacker's server"() {
    const many = streams(8);
    const answered = (id: number, octets: number) => [
      frame(HEADERS, END_HEADERS, id, [0x88]),
      frame(DATA, END_STREAM, id, new Uint8Array(octets)),
    ];
    const ends: readonly Uint8Array[] = [
      joined([...many.map((id) => opens(5000, id)), goaway(0)]),
      joined([
        ...many.flatMap((id) => answered(id, 5)),
        ...many.map((id) => opens(5000, id)),
        goaway(1),
      ]),
      joined([goaway(INADEQUATE_SECURITY), ...many.map(reset), goaway(0)]),
      joined([...many.map((id) => joined(answered(id, 9000))), goaway(0)]),
      joined([goaway(0, 5), goaway(0, 3), goaway(0, 1), ...many.map(reset)]),
    ];
    for (let i = 0; i < ROUNDS; i++) {
      const scene = {
        hello: window(i % 2 === 0 ? 0 : 65_535),
        requests: many.length,
        then: ends[i % ends.length] ?? HELLO,
      };
      await using evil = await evilServer(scene);
      const at = { address: { hostname: "127.0.0.1", port: evil.port } };
      using client = clientOf(at as never, { insecure: true, maxMessageBytes: 8192 });
      const calls = many.map(() => client.newTunnel("h2", request(), { timeoutMs: 2000 }));
      await Promise.allSettled(calls);
      await using more = await evilServer(scene);
      using etcd = openEtcd({ endpoints: [`http://127.0.0.1:${more.port}`], timeoutMs: 2000 });
      const asked = many.map(() => etcd.range({ prefix: "/", limit: 1 }));
      for (const outcome of await Promise.allSettled(asked)) {
        if (outcome.status === "rejected" && !(outcome.reason instanceof KvError)) {
          throw outcome.reason;
        }
      }
    }
  },
};

const [name = ""] = Deno.args;
await SCENES[name]?.();
console.log("whole");
Deno.exit(0);
