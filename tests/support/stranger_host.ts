// SPDX-License-Identifier: Apache-2.0

/**
 * A second implementation of the answering side, from docs/protocol.md and proto/ alone: it imports nothing of this
 * program's. It answers requests and notices over HTTP/2, opens and seals PSP packets in tunnel mode, and answers pings to
 * any address behind it. As a program: `stranger_host.ts <json of Task>`, with orders as lines of JSON on its
 * standard input, and what happens as lines of JSON on its standard output.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import * as dgram from "node:dgram";
import * as http2 from "node:http2";
import type { TLSSocket } from "node:tls";

/** What it is started with. `san`: what the certificate of the one who calls says. */
export interface Task {
  readonly pip: string;
  readonly mac: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
  readonly peer: { readonly url: string; readonly san: string };
}

/** What it is told to do. Those about requests are for the next request, or the next that is not a repeated one. */
export type Order =
  /** Every tunnel of it is refused. */
  | { readonly do: "refuse"; readonly code: string }
  /** It is refused whole. */
  | {
    readonly do: "fail";
    readonly status: number;
    readonly code: string;
    readonly message: string;
  }
  /** It is granted, and the answer never leaves. */
  | { readonly do: "swallow" }
  /** From now on it has one version alone: a number of the enumeration. */
  | { readonly do: "version"; readonly version: number }
  /** What was agreed is forgotten, as by a new start. */
  | { readonly do: "restart" }
  /** Tells the peer: SPIs that came and are not known, that all tunnels are closed, that it stops. */
  | {
    readonly do: "notify";
    readonly unknown?: readonly number[];
    readonly close?: boolean;
    readonly draining?: boolean;
  }
  /** From now on packets are opened and not answered, or answered. */
  | { readonly do: "listen" }
  | { readonly do: "echo" };

/** What it says. */
export type Said =
  | { readonly what: "ready" }
  | {
    readonly what: "request";
    readonly id: string;
    readonly versions: readonly number[];
    readonly tunnels: number;
    readonly fate: string;
    readonly spis: readonly number[];
  }
  | {
    readonly what: "notice";
    readonly unknown: readonly number[];
    readonly confirmed: readonly number[];
    readonly closed: number;
    readonly draining: boolean;
  }
  | { readonly what: "packet"; readonly spi: number; readonly version: number }
  | { readonly what: "unknown"; readonly spi: number }
  | { readonly what: "told"; readonly status: number }
  | { readonly what: "wrong"; readonly why: string };

// ---- protobuf: fields by number, each with all its values ------------------------------------------

type Field = bigint | Buffer;
type Fields = Map<number, Field[]>;

function decode(octets: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const octet = octets[at++] ?? 0;
      value |= BigInt(octet & 127) << shift;
      if (octet < 128) return value;
    }
  };
  while (at < octets.length) {
    const tag = Number(varint());
    let value: Field;
    switch (tag & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        value = octets.readBigUInt64LE(at);
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        value = octets.subarray(at, at += length);
        break;
      }
      case 5:
        value = BigInt(octets.readUInt32LE(at));
        at += 4;
        break;
      default:
        throw new Error(`Cannot read a field of type ${tag & 7}`);
    }
    const all = fields.get(tag >> 3) ?? [];
    fields.set(tag >> 3, [...all, value]);
  }
  return fields;
}

function numberOf(fields: Fields, field: number): bigint {
  const last = fields.get(field)?.at(-1) ?? 0n;
  return typeof last === "bigint" ? last : 0n;
}

function octetsOf(fields: Fields, field: number): Buffer {
  const last = fields.get(field)?.at(-1);
  return last instanceof Uint8Array ? last : Buffer.alloc(0);
}

function textOf(fields: Fields, field: number): string {
  return octetsOf(fields, field).toString("utf8");
}

/** Numbers of a repeated field, one by one or packed: of 4 octets each, or of as few as they need. */
function numbersOf(fields: Fields, field: number, size?: 4): number[] {
  return (fields.get(field) ?? []).flatMap((value) => {
    if (typeof value === "bigint") return [Number(value)];
    if (size === 4) {
      return Array.from({ length: value.length / 4 }, (_, i) => value.readUInt32LE(4 * i));
    }
    // Versions are below 128.
    return [...value];
  });
}

function varint(value: bigint): Buffer {
  const octets: number[] = [];
  for (; value >= 128n; value >>= 7n) octets.push(Number(value & 127n) | 128);
  return Buffer.from([...octets, Number(value)]);
}

function withTag(field: number, type: number, body: Buffer): Buffer {
  return Buffer.concat([varint(BigInt(field << 3 | type)), body]);
}

function number(field: number, value: number | bigint): Buffer {
  return withTag(field, 0, varint(BigInt(value)));
}

function fixed64(field: number, value: bigint): Buffer {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(value);
  return withTag(field, 1, body);
}

function fixed32(field: number, value: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(value);
  return withTag(field, 5, body);
}

function octets(field: number, body: Buffer): Buffer {
  return withTag(field, 2, Buffer.concat([varint(BigInt(body.length)), body]));
}

function text(field: number, value: string): Buffer {
  return octets(field, Buffer.from(value));
}

// ---- packets ---------------------------------------------------------------------------------------

/** One direction of a tunnel. `version`: a number of the enumeration, one more than the header's. */
interface Sa {
  readonly spi: number;
  readonly version: number;
  readonly key: Buffer;
  readonly cryptOffset: number;
}

const PSP_PORT = 1000;
const ICV = 16;

function gcmOf(
  { version, key }: Sa,
): { readonly name: "aes-128-gcm" | "aes-256-gcm"; readonly key: Buffer } {
  return { name: version === 1 ? "aes-128-gcm" : "aes-256-gcm", key };
}

/** The inner packet; undefined: it is not authentic. */
function opened(packet: Buffer, sa: Sa): Buffer | undefined {
  const header = (packet[1] ?? 0) * 8 + 8;
  const clear = 16 + 4 * ((packet[2] ?? 0) & 63);
  const { name, key } = gcmOf(sa);
  const cipher = createDecipheriv(name, key, packet.subarray(4, 16));
  cipher.setAAD(packet.subarray(0, clear));
  cipher.setAuthTag(packet.subarray(-ICV));
  try {
    const rest = Buffer.concat([cipher.update(packet.subarray(clear, -ICV)), cipher.final()]);
    return Buffer.concat([packet.subarray(header, clear), rest]);
  } catch {
    return undefined;
  }
}

function sealed(inner: Buffer, sa: Sa, iv: bigint): Buffer {
  const header = Buffer.alloc(16);
  header[0] = 4;
  header[1] = 1;
  header[2] = sa.cryptOffset;
  header[3] = sa.version - 1 << 2 | 1;
  header.writeUInt32BE(sa.spi, 4);
  header.writeBigUInt64BE(iv, 8);
  const clear = Buffer.concat([header, inner.subarray(0, 4 * sa.cryptOffset)]);
  const { name, key } = gcmOf(sa);
  const cipher = createCipheriv(name, key, header.subarray(4, 16));
  cipher.setAAD(clear);
  const rest = Buffer.concat([cipher.update(inner.subarray(4 * sa.cryptOffset)), cipher.final()]);
  return Buffer.concat([clear, rest, cipher.getAuthTag()]);
}

/** The answer to an ICMP echo request in IPv4; undefined: it is none. */
function echoOf(inner: Buffer): Buffer | undefined {
  const at = 4 * ((inner[0] ?? 0) & 15);
  if (inner[0] === undefined || inner[0] >> 4 !== 4 || inner[9] !== 1 || inner[at] !== 8) {
    return undefined;
  }
  const answer = Buffer.from(inner);
  inner.copy(answer, 12, 16, 20);
  inner.copy(answer, 16, 12, 16);
  answer[at] = 0;
  answer.writeUInt16BE(0, at + 2);
  let sum = 0;
  for (let i = at; i < answer.length; i += 2) sum += (answer[i] ?? 0) << 8 | (answer[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  answer.writeUInt16BE(~sum & 0xffff, at + 2);
  return answer;
}

// ---- the host --------------------------------------------------------------------------------------

/** A tunnel, by "own remote" address. */
interface Tunnel {
  readonly localVip: string;
  readonly remoteVip: string;
  readonly rx: readonly number[];
  /** The newest of the peer's, and where it is. */
  readonly tx: Sa & { readonly pip: string; readonly epoch: bigint; readonly serial: bigint };
}

/** How a call is answered. */
interface Answer {
  readonly status: number;
  readonly type: "application/proto" | "application/json";
  readonly body: Buffer;
}

class Host {
  #epoch = BigInt(Date.now());
  #peerEpoch = 0n;
  #serial = 0n;
  #spi = 0x200;
  #iv = 0n;
  readonly #rx = new Map<number, Sa>();
  readonly #tunnels = new Map<string, Tunnel>();
  /** Answers that were given, by epoch and request id. */
  readonly #given = new Map<string, Buffer>();
  /** Those that it has. */
  #versions: readonly number[] = [1, 2];
  /** For the next request. */
  #next: Order | undefined;
  #echoes = true;
  readonly #socket = dgram.createSocket("udp4");

  constructor(readonly task: Task) {
    this.#socket.on("message", (packet) => this.#packet(packet));
    this.#socket.bind(PSP_PORT, task.pip);
  }

  order(order: Order): void {
    switch (order.do) {
      case "notify":
        return void this.#notify(order).catch((error) => say({ what: "wrong", why: `${error}` }));
      case "restart":
        this.#epoch++;
        this.#serial = 0n;
        for (const all of [this.#rx, this.#tunnels, this.#given]) all.clear();
        return;
      case "version":
        this.#versions = [order.version];
        return;
      case "listen":
      case "echo":
        this.#echoes = order.do === "echo";
        return;
      default:
        this.#next = order;
    }
  }

  /** undefined: it is never answered. */
  answer(path: string, body: Buffer): Answer | undefined {
    const message = decode(body);
    if (path === "/psp.v1.TunnelService/NewTunnel") return this.#newTunnel(message);
    if (path === "/psp.v1.TunnelService/Notify") return this.#noticed(message);
    return failure(501, "unimplemented", "no such call");
  }

  /** A greater epoch ends what was agreed with a smaller one. False: it is a smaller one. */
  #hear(epoch: bigint): boolean {
    if (epoch < this.#peerEpoch) return false;
    if (epoch > this.#peerEpoch && this.#peerEpoch > 0n) {
      this.#rx.clear();
      this.#tunnels.clear();
    }
    this.#peerEpoch = epoch;
    return true;
  }

  #newTunnel(message: Fields): Answer | undefined {
    const epoch = numberOf(message, 1);
    const id = octetsOf(message, 2).toString("hex");
    const versions = numbersOf(message, 3);
    const tunnels = (message.get(4) ?? []).map((tunnel) => decode(tunnel as Buffer));
    const told = (fate: string, spis: readonly number[] = []) =>
      say({ what: "request", id, versions, tunnels: tunnels.length, fate, spis });
    if (!this.#hear(epoch)) return failure(400, "failed_precondition", "an epoch that is over");
    const before = this.#given.get(`${epoch} ${id}`);
    if (before !== undefined) {
      told("again");
      return success(before);
    }
    const next = this.#next;
    this.#next = undefined;
    if (next?.do === "fail") {
      told(next.code);
      return failure(next.status, next.code, next.message);
    }
    const version = versions.find((version) => this.#versions.includes(version));
    if (version === undefined) {
      told("failed_precondition");
      return failure(400, "failed_precondition", "no version in common");
    }
    const offered = decode(octetsOf(tunnels[0] ?? new Map(), 3));
    if (Number(numberOf(offered, 2)) !== version) {
      told("version");
      return success(Buffer.concat([fixed64(1, this.#epoch), number(2, version)]));
    }
    const spis: number[] = [];
    const results = tunnels.map((tunnel) => {
      if (next?.do !== "refuse") return this.#grant(tunnel, { epoch, version, spis });
      return octets(3, octets(2, Buffer.concat([text(1, next.code), text(2, "as it was told")])));
    });
    const answer = Buffer.concat([fixed64(1, this.#epoch), number(2, version), ...results]);
    this.#given.set(`${epoch} ${id}`, answer);
    told(next?.do ?? "granted", spis);
    return next?.do === "swallow" ? undefined : success(answer);
  }

  /** Receive, then transmit: a result of the answer. */
  #grant(
    tunnel: Fields,
    { epoch, version, spis }: {
      readonly epoch: bigint;
      readonly version: number;
      readonly spis: number[];
    },
  ): Buffer {
    // As the one who asks sees them.
    const [localVip, remoteVip] = [textOf(tunnel, 2), textOf(tunnel, 1)];
    const theirs = decode(octetsOf(tunnel, 3));
    const spi = ++this.#spi;
    const key = randomBytes(version === 1 ? 16 : 32);
    this.#rx.set(spi, { spi, version, key, cryptOffset: 0 });
    spis.push(spi);
    const name = `${localVip} ${remoteVip}`;
    const before = this.#tunnels.get(name);
    const tx = {
      spi: Number(numberOf(theirs, 1)),
      version,
      key: Buffer.from(octetsOf(theirs, 3)),
      pip: textOf(theirs, 4),
      cryptOffset: Number(numberOf(theirs, 7)),
      epoch,
      serial: numberOf(theirs, 9),
    };
    const isNewer = before === undefined || tx.epoch > before.tx.epoch ||
      (tx.epoch === before.tx.epoch && tx.serial > before.tx.serial);
    this.#tunnels.set(name, {
      localVip,
      remoteVip,
      rx: [...before?.rx ?? [], spi],
      tx: isNewer ? tx : before.tx,
    });
    const params = [
      fixed32(1, spi),
      number(2, version),
      octets(3, key),
      text(4, this.task.pip),
      octets(5, Buffer.from(this.task.mac.replaceAll(":", ""), "hex")),
      number(8, numberOf(theirs, 8)),
      number(9, ++this.#serial),
    ];
    return octets(3, octets(1, Buffer.concat(params)));
  }

  #noticed(message: Fields): Answer {
    if (!this.#hear(numberOf(message, 1))) {
      return failure(400, "failed_precondition", "an epoch that is over");
    }
    const closed = (message.get(4) ?? []).map((pair) => decode(pair as Buffer));
    for (const pair of closed) this.#tunnels.delete(`${textOf(pair, 2)} ${textOf(pair, 1)}`);
    say({
      what: "notice",
      unknown: numbersOf(message, 2, 4),
      draining: numberOf(message, 3) === 1n,
      closed: closed.length,
      confirmed: numbersOf(message, 5, 4),
    });
    return success(fixed64(1, this.#epoch));
  }

  #packet(packet: Buffer): void {
    const spi = packet.readUInt32BE(4);
    const sa = this.#rx.get(spi);
    const inner = sa === undefined ? undefined : opened(packet, sa);
    if (sa === undefined) return say({ what: "unknown", spi });
    if (inner === undefined) {
      return say({ what: "wrong", why: `a packet with SPI ${spi} is not authentic` });
    }
    say({ what: "packet", spi, version: ((packet[3] ?? 0) >> 2 & 15) + 1 });
    const answer = this.#echoes ? echoOf(inner) : undefined;
    const tunnel = [...this.#tunnels.values()].find(({ rx }) => rx.includes(spi));
    if (answer === undefined || tunnel === undefined) return;
    this.#socket.send(sealed(answer, tunnel.tx, ++this.#iv), PSP_PORT, tunnel.tx.pip);
  }

  async #notify(order: Extract<Order, { do: "notify" }>): Promise<void> {
    const closed = order.close ? [...this.#tunnels.values()] : [];
    const body = Buffer.concat([
      fixed64(1, this.#epoch),
      ...(order.unknown ?? []).map((spi) => fixed32(2, spi)),
      ...order.draining ? [number(3, 1)] : [],
      ...closed.map(({ localVip, remoteVip }) =>
        octets(4, Buffer.concat([text(1, localVip), text(2, remoteVip)]))
      ),
    ]);
    if (order.close) this.#tunnels.clear();
    const { url } = this.task.peer;
    const session = http2.connect(url, {
      ...materialOf(this.task),
      checkServerIdentity: () => undefined,
    });
    const failed = new Promise<never>((_, reject) => session.on("error", reject));
    const request = session.request({
      ":method": "POST",
      ":path": "/psp.v1.TunnelService/Notify",
      "content-type": "application/proto",
      "connect-protocol-version": "1",
    });
    const status = new Promise<number>((resolve) =>
      request.on("response", (headers) => resolve(Number(headers[":status"])))
    );
    request.end(body);
    say({ what: "told", status: await Promise.race([status, failed]) });
    request.resume();
    request.on("close", () => session.close());
  }
}

function success(body: Buffer): Answer {
  return { status: 200, type: "application/proto", body };
}

function failure(status: number, code: string, message: string): Answer {
  return { status, type: "application/json", body: Buffer.from(JSON.stringify({ code, message })) };
}

function materialOf(
  { tls }: Task,
): { cert: string; key: string; ca: string; minVersion: "TLSv1.3" } {
  const read = (path: string) => Deno.readTextFileSync(path);
  return { cert: read(tls.cert), key: read(tls.key), ca: read(tls.ca), minVersion: "TLSv1.3" };
}

function say(said: Said): void {
  console.log(JSON.stringify(said));
}

function serve(task: Task): void {
  const host = new Host(task);
  const server = http2.createSecureServer({
    ...materialOf(task),
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.on("stream", (stream, headers) => {
    const { subjectaltname = "" } = (stream.session?.socket as TLSSocket).getPeerCertificate();
    const chunks: Buffer[] = [];
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const answer = subjectaltname !== `URI:${task.peer.san}`
        ? failure(403, "permission_denied", `not ${task.peer.san}`)
        : host.answer(`${headers[":path"]}`, Buffer.concat(chunks));
      if (answer === undefined) return;
      stream.respond({ ":status": answer.status, "content-type": answer.type });
      stream.end(answer.body);
    });
  });
  server.on("sessionError", () => {});
  server.listen(task.port, task.pip, () => say({ what: "ready" }));
  void obey(host);
}

async function obey(host: Host): Promise<void> {
  let rest = "";
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) host.order(JSON.parse(line) as Order);
  }
  Deno.exit(0);
}

if (import.meta.main) serve(JSON.parse(Deno.args[0] ?? "") as Task);
