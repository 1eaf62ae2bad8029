// SPDX-License-Identifier: Apache-2.0

/**
 * Bodies that nobody meant, in both encodings, into a core that works, and some over a real connection: each is
 * answered, quickly, and good requests still are afterwards. Short: 8,000, 2 s. Full: 1,000,000, 3 minutes.
 */
import { openSession } from "../support/h2_frames.ts";
import assert from "node:assert/strict";
import { fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { ExchangeError } from "../../src/model/exchange.ts";
import {
  NewTunnelRequestSchema,
  NotifyRequestSchema,
  TunnelService,
} from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { noticeFromProto, requestFromProto, requestToProto } from "../../src/rpc/tunnel_codec.ts";
import { STALE_MS } from "../../src/core/limits.ts";
import type { Random } from "../../src/model/random.ts";
import { seededRandom } from "../support/seeded_random.ts";
import { world } from "../support/core_world.ts";
import { limitMs, scaled } from "../support/scale.ts";
import { clientOf, Lab, recorder, request, start } from "./lab.ts";

const BODIES = scaled(8000, 1_000_000);
const SENT = scaled(300, 20_000);
const SLOW_MS = limitMs(1000);
const WORDS = [
  "0",
  "-1",
  "1e999",
  "null",
  "[]",
  "{}",
  '""',
  "4294967296",
  '"AAAA"',
  "true",
  '"::"',
];

type Encoding = "proto" | "json";

/** A good request, damaged in one to eight places; or no request at all. */
function damaged(random: Random, encoding: Encoding): Uint8Array<ArrayBuffer> {
  const pick = (n: number) => Math.floor(random.uniform() * n);
  if (pick(50) === 0) return Uint8Array.from({ length: pick(400) }, () => pick(256));
  const message = requestToProto(request(1 + pick(3)));
  if (encoding === "json") {
    let text = toJsonString(NewTunnelRequestSchema, message);
    for (let n = 1 + pick(3); n > 0; n--) {
      const at = pick(text.length);
      const insert = pick(2) === 0
        ? WORDS[pick(WORDS.length)] ?? ""
        : String.fromCharCode(pick(256));
      text = text.slice(0, at) + insert + text.slice(at + pick(12));
    }
    return new TextEncoder().encode(text);
  }
  const bytes = new Uint8Array(toBinary(NewTunnelRequestSchema, message));
  for (let n = 1 + pick(8); n > 0; n--) bytes[pick(bytes.length)] = pick(256);
  return pick(4) === 0 ? bytes.slice(0, pick(bytes.length)) : bytes;
}

Deno.test(`${BODIES} damaged bodies: each is a request or an error, and none takes long`, async () => {
  await using w = world({ files: false, changes: { rpc: { peerRate: 1e9, peerBurst: 1e9 } } });
  const h1 = w.host(1);
  const random = seededRandom(20_261_122);
  const decoder = new TextDecoder();
  const count = { undecodable: 0, refused: 0, answered: 0 };
  for (let i = 0; i < BODIES; i++) {
    const encoding = i % 2 === 0 ? "proto" : "json";
    const body = damaged(random, encoding);
    const startMs = performance.now();
    try {
      const message = encoding === "proto"
        ? fromBinary(NewTunnelRequestSchema, body)
        : fromJsonString(NewTunnelRequestSchema, decoder.decode(body));
      const asked = requestFromProto(message);
      await h1.core.handler.newTunnel("h2", asked);
      count.answered++;
    } catch (error) {
      if (error instanceof ConnectError || error instanceof ExchangeError) count.refused++;
      else {
        // What cannot be decoded is answered by connect; everything else is ours.
        const ours = /src\/(?!rpc\/gen)/.exec(error instanceof Error ? error.stack ?? "" : "");
        assert.equal(ours, null, `body ${i}: ${error instanceof Error ? error.stack : error}`);
        count.undecodable++;
      }
    }
    try {
      noticeFromProto(fromBinary(NotifyRequestSchema, body));
    } catch { /* the same */ }
    assert.ok(performance.now() - startMs < SLOW_MS, `body ${i} took long`);
    if (i % 1000 === 0) await w.clock.advance(130_000);
  }
  for (const [what, n] of Object.entries(count)) assert.ok(n > BODIES / 3000, `${n} ${what}`);
  // Some of it claimed that h2 was started anew in a far future: that is believed for a while.
  await w.clock.advance(STALE_MS);
  h1.send(w.host(2));
  await w.clock.advance(5000);
  assert.equal(w.host(2).got(h1), 1, "the core works no more");
});

Deno.test(`${SENT} damaged bodies over a connection: each gets an answer`, async () => {
  using lab = await Lab.make();
  const handler = recorder();
  await using server = await start({ tls: lab.store("h2"), handler, maxConnections: 8 });
  const session = openSession(`https://127.0.0.1:${server.address.port}`, {
    ...lab.read("h1"),
    checkServerIdentity: () => undefined,
  });
  const random = seededRandom(5);
  const send = async (body: Uint8Array, type: string) => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/${TunnelService.typeName}/NewTunnel`,
      "content-type": type,
    });
    const status = Promise.withResolvers<number>();
    let answer = "";
    let code = 0;
    stream.on("response", (headers) => code = Number(headers[":status"]));
    stream.on("data", (chunk: Uint8Array) => answer += new TextDecoder().decode(chunk));
    stream.on("error", status.reject);
    stream.on("close", () => {
      if (code === 0) return status.reject(new Error("closed without an answer"));
      // Connect's own word for octets that are no message; any other one would be an error of ours.
      if (code === 500) assert.match(answer, /"parse binary: /);
      status.resolve(code);
    });
    stream.end(body);
    return await status.promise;
  };
  const seen = new Map<number, number>();
  for (let i = 0; i < SENT; i++) {
    const encoding = i % 2 === 0 ? "proto" : "json";
    const status = await send(damaged(random, encoding), `application/${encoding}`);
    seen.set(status, (seen.get(status) ?? 0) + 1);
  }
  session.destroy();
  assert.deepEqual([...seen.keys()].filter((status) => ![200, 400, 500].includes(status)), []);
  assert.ok((seen.get(400) ?? 0) > SENT / 10, JSON.stringify([...seen]));
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), { timeoutMs: 5000 });
});
