// SPDX-License-Identifier: Apache-2.0

/**
 * A peer with a good certificate that turns: what it can send to the listener, from odd messages to floods. Whatever it is,
 * it gets the protocol's own answer or none, is counted, and the peer beside it is answered as before.
 */
import assert from "node:assert/strict";
import * as tls from "node:tls";
import { toBinary } from "@bufbuild/protobuf";
import { NewTunnelRequestSchema } from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { joined } from "../../src/model/octets.ts";
import { MAX_PIPELINED } from "../../src/rpc/h1_meter.ts";
import type { RpcServer } from "../../src/rpc/server.ts";
import { requestToProto } from "../../src/rpc/tunnel_codec.ts";
import { frame, framesOf, HELLO, openSession } from "../support/h2_frames.ts";
import { eventually } from "../support/wait.ts";
import { CALL, clientOf, ears, type Heard, Lab, request, start } from "./lab.ts";
import { peersApart } from "./status_lab.ts";

const PATH = "/psp.v1.TunnelService/NewTunnel";
const HEAD = `POST ${PATH} HTTP/1.1\r\nhost: h2\r\ncontent-type: application/json\r\n`;
const GOOD = toBinary(NewTunnelRequestSchema, requestToProto(request()));
const [DATA, HEADERS, GOAWAY] = [0, 1, 7];
const END_STREAM = 1;
const END_HEADERS = 4;

const octets = (text: string) => new TextEncoder().encode(text);
const text = (octets: Uint8Array) => new TextDecoder().decode(octets);

/** The octet `value`, `n` times. */
const many = (n: number, ...values: number[]) =>
  Uint8Array.from({ length: n * values.length }, (_, i) => values[i % values.length] ?? 0);

/** A string of HPACK, RFC 7541, 5.2, as it is. */
function string(value: string): number[] {
  if (value.length < 127) return [value.length, ...octets(value)];
  const rest = value.length - 127;
  return [127, rest & 127 | 128, rest >> 7, ...octets(value)];
}

const field = (name: string, value: string) => [0, ...string(name), ...string(value)];

/** The header block of a call. */
function post(fields: Readonly<Record<string, string>> = {}): number[] {
  const all = { "content-type": "application/proto", ...fields };
  return [
    ...[0x83, 0x87, 4, ...string(PATH), 1, ...string("h2")],
    ...Object.entries(all).flatMap(([name, value]) => field(name, value)),
  ];
}

/** A message of gRPC: flags and length before it. */
function framed(flags: number, message: Uint8Array, length = message.length): Uint8Array {
  const head = new Uint8Array(5);
  head[0] = flags;
  new DataView(head.buffer).setUint32(1, length);
  return joined([head, message]);
}

/** A lab with a server, one good peer on it, and connections of one that is not. */
async function scene(lab: Lab, options: Parameters<typeof start>[0] = {}) {
  const events = ears();
  const server = await start({ tls: lab.store("h2"), events, ...options });
  const good = clientOf(server, { id: "h3", tls: lab.store("h3") });
  await good.newTunnel("h2", request(), CALL);
  return {
    server,
    events,
    goodGoesOn: () => good.newTunnel("h2", request(), CALL),
    dial: (protocol: "h2" | "http/1.1") => dial(lab, server.address.port, protocol),
    async [Symbol.asyncDispose]() {
      good.close();
      await server.close(0);
    },
  };
}

/** A connection of "h1", whose certificate is good, with all that came on it. */
async function dial(lab: Lab, port: number, protocol: "h2" | "http/1.1"): Promise<Evil> {
  const socket = tls.connect({
    port,
    host: "127.0.0.1",
    ALPNProtocols: [protocol],
    ...lab.read("h1"),
    checkServerIdentity: () => undefined,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
  return new Evil(socket);
}

class Evil implements Disposable {
  readonly #came: Uint8Array[] = [];
  readonly over: Promise<void>;

  constructor(readonly socket: tls.TLSSocket) {
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => this.#came.push(new Uint8Array(chunk)));
    this.over = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  get came(): Uint8Array {
    return joined(this.#came);
  }

  get frames(): readonly {
    readonly type: number;
    readonly flags: number;
    readonly payload: Uint8Array;
  }[] {
    return [...framesOf(this.came)];
  }

  say(what: Uint8Array | string): void {
    this.socket.write(typeof what === "string" ? octets(what) : what);
  }

  /** Sends as fast as it is taken, until it was sent or the connection is closed. */
  async pour(chunk: (i: number) => Uint8Array, n: number): Promise<void> {
    for (let i = 0; i < n && !this.socket.destroyed; i++) {
      if (this.socket.write(chunk(i))) continue;
      const drained = new Promise<void>((resolve) => this.socket.once("drain", resolve));
      await Promise.race([drained, this.over]);
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

// ---- messages -----------------------------------------------------------------------------------

/** A group in a group in a group, or a message in a message: of a field that nobody knows. */
function nested(depth: number): Uint8Array {
  let inner = new Uint8Array();
  for (let i = 0; i < depth; i++) inner = Uint8Array.of(0x7a, inner.length, ...inner);
  return inner;
}

type Answer = "answered" | { readonly code: string; readonly like: RegExp };
const refused = (code: string, like: RegExp): Answer => ({ code, like });
const unread = (like: RegExp) => refused("internal", like);
const badField = refused("invalid_argument", /^Field "request_id": 0 octets, 16 are needed/);

const MESSAGES: Readonly<
  Record<string, readonly [Uint8Array, Answer, Readonly<Record<string, string>>?]>
> = {
  "as it should be": [GOOD, "answered"],
  "the same fields twice": [joined([GOOD, GOOD]), "answered"],
  "groups that never end": [many(30_000, 0x0b), unread(/parse binary/)],
  "groups that nobody knows, one in the other": [many(30_000, 0x7b), unread(/recursion depth/)],
  "a group that ends and never began": [many(2, 0x0c), unread(/parse binary/)],
  "messages that nobody knows, one in the other": [nested(60), badField],
  "32,000 empty tunnels": [many(32_000, 0x22, 0), badField],
  "32,000 versions": [many(32_000, 0x18, 1), badField],
  "a varint without an end": [many(60_000, 0xff), unread(/parse binary/)],
  "a varint longer than it must be": [
    joined([Uint8Array.of(0x18, 0x81, 0x80, 0), GOOD]),
    "answered",
  ],
  "a length beyond the end": [
    Uint8Array.of(0x12, 0xff, 0xff, 0xff, 0xff, 7, 1),
    unread(/premature/),
  ],
  "field 0": [Uint8Array.of(0, 0), unread(/illegal tag/)],
  "a wire type that is none": [Uint8Array.of(0x0e), unread(/illegal tag/)],
  "text that is no UTF-8": [Uint8Array.of(0x22, 4, 0x0a, 2, 0xff, 0xfe), unread(/not valid/)],
  "JSON 60,000 deep": [
    octets("[".repeat(60_000)),
    refused("invalid_argument", /cannot decode message/),
    { "content-type": "application/json" },
  ],
  "JSON with names of the language": [
    octets('{"__proto__":{"requestId":"AAAA"},"constructor":1}'),
    badField,
    { "content-type": "application/json" },
  ],
  "JSON with a number that is none": [
    octets('{"tunnels":[{"reverseParams":{"spi":1e400}}]}'),
    refused("invalid_argument", /spi/),
    { "content-type": "application/json" },
  ],
  "compressed": [GOOD, refused("unimplemented", /unknown compression "gzip"/), {
    "content-encoding": "gzip",
  }],
  "in an encoding that is none": [GOOD, refused("unimplemented", /unknown compression "x"/), {
    "content-encoding": "x",
  }],
  "with a deadline that is none": [GOOD, refused("invalid_argument", /timeout/), {
    "connect-timeout-ms": "-1",
  }],
  "with a deadline in a month": [GOOD, refused("invalid_argument", /timeout 2147483647ms/), {
    "connect-timeout-ms": "9999999999",
  }],
};

Deno.test("messages that nobody meant: each gets an answer, and is counted", async (t) => {
  using lab = await Lab.make();
  await using s = await scene(lab);
  for (const [what, [body, answer, fields = {}]] of Object.entries(MESSAGES)) {
    await t.step(what, async () => {
      const before = misread(s.events);
      using evil = await s.dial("h2");
      evil.say(joined([HELLO, frame(HEADERS, END_HEADERS, 1, post(fields)), ...inFrames(body)]));
      const said = await answered(evil);
      if (answer === "answered") assert.doesNotMatch(said, /"code"/);
      else {
        const { code, message } = JSON.parse(said);
        assert.equal(code, answer.code);
        assert.match(message, answer.like);
        await eventually(() => misread(s.events) === before + 1, { what: "it to be counted" });
      }
      await s.goodGoesOn();
    });
  }
});

const STREAMED: Readonly<Record<string, readonly [Uint8Array, RegExp]>> = {
  "a compressed message where nothing compresses": [framed(1, GOOD), /grpc-status.13|compressed/],
  "flags that are none": [framed(0xff, GOOD), /grpc-status/],
  "a length beyond the end, and beyond all bounds": [framed(0, GOOD, 0xffff_ffff), /grpc-status/],
  "two messages where one belongs": [joined([framed(0, GOOD), framed(0, GOOD)]), /grpc-status/],
  "none": [new Uint8Array(), /grpc-status/],
  "trailers alone": [framed(0x80, octets("grpc-status: 0\r\n")), /grpc-status/],
};

Deno.test("streams of messages that nobody meant: each gets a status, and is counted", async (t) => {
  using lab = await Lab.make();
  await using s = await scene(lab);
  for (const [what, [body, like]] of Object.entries(STREAMED)) {
    await t.step(what, async () => {
      const before = misread(s.events);
      const session = openSession(`https://127.0.0.1:${s.server.address.port}`, {
        ...lab.read("h1"),
        checkServerIdentity: () => undefined,
      });
      const stream = session.request({
        ":method": "POST",
        ":path": PATH,
        "content-type": "application/grpc",
      });
      let trailers = {};
      stream.on("trailers", (fields) => trailers = fields);
      stream.on("response", (fields) => trailers = { ...fields, ...trailers });
      stream.resume();
      stream.end(body);
      await new Promise((resolve) => stream.once("close", resolve));
      session.destroy();
      assert.match(JSON.stringify(trailers), like);
      assert.notEqual((trailers as Record<string, unknown>)["grpc-status"], "0");
      await eventually(() => misread(s.events) === before + 1, { what: "it to be counted" });
      await s.goodGoesOn();
    });
  }
});

/** Requests that were refused for what they are. */
function misread({ counts }: Heard): number {
  return (counts.get("unreadable-request") ?? 0) + (counts.get("invalid-request") ?? 0);
}

/** A body in DATA frames of stream 1. */
function* inFrames(body: Uint8Array): Generator<Uint8Array> {
  const most = 16_384;
  for (let at = 0; at === 0 || at < body.length; at += most) {
    const last = at + most >= body.length;
    yield frame(DATA, last ? END_STREAM : 0, 1, body.subarray(at, at + most));
  }
}

/** The body of what stream 1 is answered. */
async function answered(evil: Evil): Promise<string> {
  await eventually(
    () => evil.frames.some(({ type, flags }) => type <= HEADERS && flags & END_STREAM),
    {
      what: "an answer",
      everyMs: 5,
    },
  );
  return text(
    joined(evil.frames.filter(({ type }) => type === DATA).map(({ payload }) => payload)),
  );
}

// ---- HTTP -------------------------------------------------------------------------------------------

const FORMS: Readonly<Record<string, string>> = {
  "a length and chunks":
    `${HEAD}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  "two lengths": `${HEAD}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`,
  "a list of lengths": `${HEAD}content-length: 2, 2\r\n\r\n{}`,
  "a length with a sign": `${HEAD}content-length: +2\r\n\r\n{}`,
  "a length beyond all bounds": `${HEAD}content-length: 99999999999999999999999\r\n\r\n{}`,
  "chunks, and then not": `${HEAD}transfer-encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  "chunks by another name": `${HEAD}transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  "a space before the colon": `${HEAD}transfer-encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  "a chunk with a sign": `${HEAD}transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n`,
  "a chunk beyond all bounds": `${HEAD}transfer-encoding: chunked\r\n\r\n${"f".repeat(18)}\r\n{}`,
  "a chunk in C's form": `${HEAD}transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
  "bare LF": `${HEAD}content-length: 2\r\n\r\n{}`.replaceAll("\r", ""),
  "bare LF behind a chunk": `${HEAD}transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n`,
  "bare CR": `${HEAD}x: a\rb\r\ncontent-length: 2\r\n\r\n{}`,
  "a folded field": `${HEAD}x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}`,
  "NUL in a field": `${HEAD}x: a\0b\r\ncontent-length: 2\r\n\r\n{}`,
  "a version that is none": HEAD.replace("1.1", "9.9") + "\r\n",
  "the preface of HTTP/2": text(HELLO),
  "fields of a megabyte": `${HEAD}x: ${"a".repeat(1_000_000)}\r\n\r\n`,
  "20,000 fields": HEAD + Array.from({ length: 20_000 }, (_, i) => `x${i}: a\r\n`).join(""),
};

Deno.test("forms of HTTP/1.1 that two readers could take for different requests: none is a request", async (t) => {
  using lab = await Lab.make();
  await using s = await scene(lab);
  for (const [what, form] of Object.entries(FORMS)) {
    await t.step(what, async () => {
      const [called, broken] = [counted(s, "invalid-request"), counted(s, "protocol-errors")];
      using evil = await s.dial("http/1.1");
      // What is smuggled would be answered, too.
      evil.say(`${form}${HEAD}content-length: 2\r\n\r\n{}`);
      await evil.over;
      const answer = text(evil.came);
      assert.match(answer, /^HTTP\/1\.1 4(?:00|31) [^]*\r\n\r\nThis is no request: .*\n$/);
      assert.equal(counted(s, "invalid-request"), called, "nothing of it was a call");
      assert.equal(counted(s, "protocol-errors"), broken + 1);
      await s.goodGoesOn();
    });
  }
  assert.match(
    s.events.lines.join("\n"),
    /breaks the rules of HTTP .*"fingerprint":"[0-9a-f]{64}"/,
  );
});

const VIOLATIONS: Readonly<Record<string, readonly Uint8Array[]>> = {
  "a body longer than its length": [
    frame(HEADERS, END_HEADERS, 1, post({ "content-length": "5" })),
    frame(DATA, END_STREAM, 1, GOOD),
  ],
  "a length below zero": [frame(HEADERS, END_HEADERS, 1, post({ "content-length": "-5" }))],
  "no path": [frame(HEADERS, 5, 1, [0x83, 0x87])],
  "two methods": [frame(HEADERS, 5, 1, [0x83, ...post()])],
  "a field in capitals": [frame(HEADERS, 5, 1, [...post(), ...field("X-Y", "1")])],
  "a field of the connection": [frame(HEADERS, 5, 1, [...post(), ...field("connection", "close")])],
  "chunks": [frame(HEADERS, 5, 1, [...post(), ...field("transfer-encoding", "chunked")])],
  "trailers that are a request": [
    frame(HEADERS, END_HEADERS, 1, post()),
    frame(HEADERS, 5, 1, [0x83]),
  ],
  "trailers that do not end": [
    frame(HEADERS, END_HEADERS, 1, post()),
    frame(HEADERS, END_HEADERS, 1, field("x", "y")),
  ],
  "a body behind the end": [frame(HEADERS, 5, 1, post()), frame(DATA, 0, 1, many(100, 0))],
  "a request behind the end": [frame(HEADERS, 5, 1, post()), frame(HEADERS, 5, 1, post())],
  "a body without a request": [frame(DATA, END_STREAM, 5, GOOD)],
  "more padding than there is": [
    frame(HEADERS, END_HEADERS, 1, post()),
    frame(DATA, 8, 1, [255, 0, 0]),
  ],
  "a window that grows by nothing": [
    frame(HEADERS, END_HEADERS, 1, post()),
    frame(8, 0, 1, [0, 0, 0, 0]),
  ],
  "a window beyond all bounds": [frame(8, 0, 0, [0x7f, 0xff, 0xff, 0xff])],
  "a push": [frame(5, END_HEADERS, 1, [0, 0, 0, 2, ...post()])],
  "a table beyond what was agreed": [
    frame(HEADERS, 5, 1, [0x3f, 0xe1, 0xff, 0xff, 0x7f, ...post()]),
  ],
  "a frame longer than agreed": [frame(DATA, 0, 1, many(20_000, 0))],
};

Deno.test("HTTP/2 against its rules ends the connection with a GOAWAY, and is counted", async (t) => {
  using lab = await Lab.make();
  await using s = await scene(lab);
  for (const [what, frames] of Object.entries(VIOLATIONS)) {
    await t.step(what, async () => {
      const before = counted(s, "protocol-errors");
      using evil = await s.dial("h2");
      evil.say(joined([HELLO, ...frames]));
      await evil.over;
      const last = evil.frames.at(-1);
      assert.equal(last?.type, GOAWAY);
      assert.notEqual(last.payload[7], 0, "it names an error");
      assert.equal(counted(s, "protocol-errors"), before + 1);
      await s.goodGoesOn();
    });
  }
});

function counted({ events }: { readonly events: Heard }, name: string): number {
  return events.counts.get(name) ?? 0;
}

// ---- time ---------------------------------------------------------------------------------------

const PREFACES: Readonly<Record<"h2" | "http/1.1", Uint8Array>> = {
  h2: joined([
    HELLO,
    frame(HEADERS, END_HEADERS, 1, post()),
    frame(DATA, 0, 1, GOOD),
    frame(HEADERS, 5, 1, field("x", "y")),
  ]),
  "http/1.1": octets(`${HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y\r\n\r\n`),
};
const POINTS = 40;

for (const protocol of ["h2", "http/1.1"] as const) {
  Deno.test(`a connection over ${protocol} that is cut, or half closed, at any point leaves nothing behind`, async () => {
    using lab = await Lab.make();
    await using s = await scene(lab, { firstRequestMs: 300, requestTimeoutMs: 300, idleMs: 300 });
    const whole = PREFACES[protocol];
    await Promise.all(Array.from({ length: POINTS }, async (_, i) => {
      const part = whole.subarray(0, Math.floor(whole.length * (i + 1) / POINTS));
      const evil = await s.dial(protocol);
      await new Promise((resolve) => evil.socket.write(part, resolve));
      // Half closed it waits for its end; who is gone is not there to be told.
      if (i % 2 === 0) evil.socket.end();
      else evil.socket.destroy();
      await evil.over;
    }));
    await s.goodGoesOn();
    await eventually(() => s.server.connections() <= 1, { what: "only the good one to be left" });
  });

  Deno.test(`over ${protocol} who sends octet by octet is ended when its time is over, in headers and in a body`, async () => {
    using lab = await Lab.make();
    await using s = await scene(lab, { firstRequestMs: 400, requestTimeoutMs: 400 });
    const whole = PREFACES[protocol];
    const inBody = protocol === "h2" ? HELLO.length + 9 + post().length + 12 : whole.length - 14;
    for (const begin of [0, inBody]) {
      using evil = await s.dial(protocol);
      evil.say(whole.subarray(0, begin));
      let at = begin;
      const drip = setInterval(() => {
        // Its end would be an answer.
        if (at < whole.length - 8) evil.say(whole.subarray(at, ++at));
      }, 50);
      if (protocol === "h2" && begin > 0) {
        await eventually(() => counted(s, "requests-late") > 0, { what: "the request to be late" });
      } else await evil.over;
      clearInterval(drip);
      await s.goodGoesOn();
    }
    assert.ok(counted(s, "requests-late") >= 1);
    assert.ok(counted(s, "connections-idle") >= 1);
  });
}

Deno.test("who opens all streams and sends no more, or gives no room for answers, holds none for ever", async () => {
  using lab = await Lab.make();
  await using s = await scene(lab, { requestTimeoutMs: 400 });
  const streams = Array.from({ length: 64 }, (_, i) => 1 + 2 * i);
  using silent = await s.dial("h2");
  silent.say(joined([HELLO, ...streams.map((id) => frame(HEADERS, END_HEADERS, id, post()))]));
  using closed = await s.dial("h2");
  const noWindow = frame(4, 0, 0, [0, 4, 0, 0, 0, 0]);
  closed.say(joined([
    HELLO,
    noWindow,
    ...streams.flatMap((id) => [
      frame(HEADERS, END_HEADERS, id, post()),
      frame(DATA, END_STREAM, id, GOOD),
    ]),
  ]));
  await s.goodGoesOn();
  await eventually(() => counted(s, "requests-late") === 2 * streams.length, {
    what: "all of them to be late",
  });
  await s.goodGoesOn();
});

// ---- floods -------------------------------------------------------------------------------------

/** Octets that one attack may leave in the process, in whatever state its heap is: it has grown by 70 MB for a quarter of one. */
const MEMORY = 120e6;
/** So many more floods of the same kind may leave so many octets that somebody holds. */
const [MORE, STAYS] = [3, 2e6];

interface Flood {
  readonly protocol: "h2" | "http/1.1";
  readonly first?: Uint8Array;
  readonly chunk: (i: number) => Uint8Array;
  readonly chunks: number;
  /** It reads no answer. */
  readonly deaf?: boolean;
  /** What counts it. */
  readonly counter?: string;
}

const repeated = (part: string, n: number) => octets(part.repeat(n));
const CALLS = repeated(`${HEAD}content-length: 2\r\n\r\n{}`, 100);
const chunked = octets(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
/** `each` of streams 100 i to 100 i + 99. */
const hundred = (i: number, each: (stream: number) => Uint8Array) =>
  joined(Array.from({ length: 100 }, (_, k) => each(1 + 2 * (100 * i + k))));

const FLOODS: Readonly<Record<string, Flood>> = {
  "requests before an answer": {
    protocol: "http/1.1",
    chunk: () => CALLS,
    chunks: 500,
    counter: "h1-pipelined",
  },
  "the same, whose answers nobody reads": {
    protocol: "http/1.1",
    chunk: () => CALLS,
    chunks: 500,
    deaf: true,
    counter: "h1-pipelined",
  },
  "a chunk extension without an end": {
    protocol: "http/1.1",
    first: joined([chunked, octets("2;")]),
    chunk: () => repeated("a", 65_536),
    chunks: 4000,
    counter: "h1-octets",
  },
  "a body without an end": {
    protocol: "http/1.1",
    first: octets(`${HEAD}content-length: 100000000\r\n\r\n`),
    chunk: () => many(65_536, 0),
    chunks: 4000,
    counter: "h1-octets",
  },
  "a body of chunks of one octet": {
    protocol: "http/1.1",
    first: chunked,
    chunk: () => repeated("1\r\n \r\n", 10_000),
    chunks: 300,
    counter: "h1-small-chunks",
  },
  "trailers without an end": {
    protocol: "http/1.1",
    first: joined([chunked, octets("2\r\n{}\r\n0\r\n")]),
    chunk: (i) => repeated(`x${i}: y\r\n`, 5000),
    chunks: 300,
    counter: "protocol-errors",
  },
  "streams beyond those that may be": {
    protocol: "h2",
    first: HELLO,
    chunk: (i) => hundred(i, (id) => frame(HEADERS, END_HEADERS, id, post())),
    chunks: 500,
    deaf: true,
  },
  "calls whose answers nobody reads": {
    protocol: "h2",
    first: HELLO,
    chunk: (i) =>
      hundred(
        i,
        (id) =>
          joined([frame(HEADERS, END_HEADERS, id, post()), frame(DATA, END_STREAM, id, GOOD)]),
      ),
    chunks: 300,
    deaf: true,
  },
};

Deno.test("floods of a peer: the other one is answered meanwhile, and the memory is bounded", async (t) => {
  using lab = await Lab.make();
  for (const [what, flood] of Object.entries(FLOODS)) {
    await t.step(what, async () => {
      await using victim = await peersApart(lab);
      const server = { address: { port: victim.port } } as RpcServer;
      using good = clientOf(server, { id: "h3", tls: lab.store("h3") });
      await good.newTunnel("h2", request(), CALL);
      const { rss: before = 0 } = await victim.ask();
      let [calls, most] = [0, 0];
      const round = async () => {
        using evil = await dial(lab, victim.port, flood.protocol);
        if (flood.deaf) evil.socket.pause();
        if (flood.first !== undefined) evil.say(flood.first);
        let done = false;
        const pouring = evil.pour(flood.chunk, flood.chunks).finally(() => done = true);
        const until = calls + 3;
        while (!done || calls < until) {
          await good.newTunnel("h2", request(), CALL);
          calls++;
          most = Math.max(most, (await victim.ask()).rss ?? 0);
        }
        await pouring;
      };
      await round();
      const after = await victim.ask();
      if (flood.counter !== undefined) assert.equal(after[flood.counter], 1);
      if (flood.counter === "h1-pipelined") {
        assert.ok((after["invalid-request"] ?? 0) <= 2 * MAX_PIPELINED, "the rest is not begun");
      }
      assert.ok(most - before < MEMORY, `${((most - before) / 1e6).toFixed(0)} MB more`);
      // What the first one leaves is also code; and one flood's last octets may be held until the next one's, so that the
      // least of several is looked at.
      const least = async () => {
        let held = Infinity;
        for (let i = 0; i < MORE; i++) {
          await round();
          held = Math.min(held, (await victim.ask("gc")).held ?? Infinity);
        }
        return held;
      };
      const once = await least();
      const stays = await least() - once;
      assert.ok(stays < STAYS, `${(stays / 1e6).toFixed(1)} MB of ${MORE} floods stay`);
    });
  }
});
