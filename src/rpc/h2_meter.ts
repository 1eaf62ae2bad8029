// SPDX-License-Identifier: Apache-2.0

/**
 * What the other side of an HTTP/2 connection may send beside its requests. The meter reads the frames as they come,
 * before nghttp2 does, and says when they are a flood; the guard then ends the connection. It also counts the fields of header blocks: the runtime refuses a
 * block with too many, but keeps some 5 kB of each for ever (Deno 2.9), so none may get there.
 */
import type * as net from "node:net";

/** Names of counters: what there was too much of. */
export type Flood =
  | "h2-pings"
  | "h2-settings"
  | "h2-priorities"
  | "h2-window-updates"
  | "h2-resets"
  | "h2-continuations"
  | "h2-small-frames"
  | "h2-unknown-frames"
  | "h2-header-blocks";

/** A token bucket, and what use of the connection gives back. */
interface Allowance {
  readonly burst: number;
  readonly perS: number;
  /** Tokens for each request that comes. */
  readonly perRequest: number;
  /** Tokens for each DATA frame that goes: a reader acknowledges with WINDOW_UPDATE, and measures with PING. */
  readonly perDataSent: number;
}

/** Each is many times what browsers, curl, Prometheus, gRPC and our own client send. */
const ALLOWANCES: Readonly<Record<Exclude<Flood, "h2-header-blocks">, Allowance>> = {
  "h2-pings": { burst: 64, perS: 5, perRequest: 1, perDataSent: 1 },
  "h2-settings": { burst: 16, perS: 1, perRequest: 0, perDataSent: 0 },
  "h2-priorities": { burst: 64, perS: 5, perRequest: 2, perDataSent: 0 },
  "h2-window-updates": { burst: 256, perS: 20, perRequest: 4, perDataSent: 4 },
  // A caller whose deadlines pass resets every request that it has under way, and not much more.
  "h2-resets": { burst: 64, perS: 20, perRequest: 0, perDataSent: 0 },
  "h2-continuations": { burst: 32, perS: 5, perRequest: 0, perDataSent: 0 },
  "h2-small-frames": { burst: 64, perS: 20, perRequest: 2, perDataSent: 0 },
  "h2-unknown-frames": { burst: 64, perS: 5, perRequest: 0, perDataSent: 0 },
};

/** Fields of one header block, and its octets as they are on the wire. */
export const MAX_FIELDS = 64;
const MAX_BLOCK = 16_384;
/**
 * No block that passes can be larger when it is unpacked: literals grow by 8/5 at most (the shortest Huffman code
 * has 5 bits), and each field may name an entry of the table, which has 4,096 octets before SETTINGS say otherwise.
 */
export const MAX_UNPACKED = MAX_FIELDS * (4096 + 32) + Math.ceil(MAX_BLOCK * 8 / 5);

/** RFC 9113, 6. */
const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rst_stream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window_update: 8,
  continuation: 9,
} as const;
const FRAME_HEADER = 9;
const PREFACE = 24;
const END_STREAM = 0x1;
const PADDED = 0x8;
const PRIORITY = 0x20;
/** A DATA frame below this that does not end its stream costs more than it carries. */
const SMALL = 64;

/** What comes on one connection, from its first octet on. */
export class H2Meter {
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  readonly #header = new Uint8Array(FRAME_HEADER);
  #headerLength = 0;
  #prefaceLeft: number;
  /** Octets of the present frame's payload that have not come yet. */
  #payloadLeft = 0;
  /** Of these, what belongs to the header block; and what stands before it: pad length and priority. */
  #blockLeft = 0;
  #beforeBlock = 0;
  #padded = false;
  #block = new FieldCounter();

  /** `now`: monotonic milliseconds. `of`: who is looked at; only a client begins with a preface. */
  constructor(now: () => number, of: "client" | "server" = "client") {
    this.#now = now;
    this.#prefaceLeft = of === "client" ? PREFACE : 0;
  }

  /** Octets that came, in order. The result says what they are too many of; the connection must end then. */
  received(chunk: Uint8Array): Flood | undefined {
    let at = Math.min(this.#prefaceLeft, chunk.length);
    this.#prefaceLeft -= at;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const take = Math.min(this.#payloadLeft, chunk.length - at);
        if (!this.#payload(chunk.subarray(at, at + take))) return "h2-header-blocks";
        this.#payloadLeft -= take;
        at += take;
        continue;
      }
      this.#header[this.#headerLength++] = chunk[at++] ?? 0;
      if (this.#headerLength < FRAME_HEADER) continue;
      this.#headerLength = 0;
      const flood = this.#frame();
      if (flood !== undefined) return flood;
    }
    return undefined;
  }

  /** Octets that go, one frame or the payload of one at a time. The result is the error of a GOAWAY that names one. */
  sent(chunk: Uint8Array): number | undefined {
    if (chunk.length < FRAME_HEADER) return undefined;
    // A payload that looks like the header of a DATA frame gives a token too many, at one for a write of ours.
    if (chunk[3] === FRAME.data) this.#earn("perDataSent");
    return goawayError(chunk);
  }

  #frame(): Flood | undefined {
    const [a = 0, b = 0, c = 0, type = 0, flags = 0] = this.#header;
    const length = (a << 16) | (b << 8) | c;
    this.#payloadLeft = length;
    this.#blockLeft = 0;
    this.#beforeBlock = 0;
    this.#padded = false;
    switch (type) {
      case FRAME.data:
        return length >= SMALL || flags & END_STREAM ? undefined : this.#spend("h2-small-frames");
      case FRAME.headers:
        this.#earn("perRequest");
        this.#block = new FieldCounter();
        this.#padded = (flags & PADDED) !== 0;
        this.#beforeBlock = (flags & PADDED ? 1 : 0) + (flags & PRIORITY ? 5 : 0);
        this.#blockLeft = Math.max(0, length - this.#beforeBlock);
        return undefined;
      case FRAME.continuation:
        this.#blockLeft = length;
        return this.#spend("h2-continuations");
      case FRAME.priority:
        return this.#spend("h2-priorities");
      case FRAME.rst_stream:
        return this.#spend("h2-resets");
      case FRAME.settings:
        return this.#spend("h2-settings");
      case FRAME.ping:
        return this.#spend("h2-pings");
      case FRAME.window_update:
        return this.#spend("h2-window-updates");
      case FRAME.goaway:
        return undefined;
      default:
        return this.#spend("h2-unknown-frames");
    }
  }

  /** False: the header block is too large. */
  #payload(part: Uint8Array): boolean {
    if (this.#blockLeft === 0) return true;
    let from = 0;
    while (this.#beforeBlock > 0 && from < part.length) {
      if (this.#padded) {
        this.#padded = false;
        this.#blockLeft = Math.max(0, this.#blockLeft - (part[from] ?? 0));
      }
      this.#beforeBlock -= 1;
      from += 1;
    }
    const block = part.subarray(from, from + this.#blockLeft);
    this.#blockLeft -= block.length;
    this.#block.add(block);
    return this.#block.fields <= MAX_FIELDS && this.#block.octets <= MAX_BLOCK;
  }

  #bucket(kind: keyof typeof ALLOWANCES): { tokens: number; atMs: number } {
    const { burst, perS } = ALLOWANCES[kind];
    const now = this.#now();
    const bucket = this.#buckets.get(kind) ?? { tokens: burst, atMs: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1000) * perS);
    bucket.atMs = now;
    this.#buckets.set(kind, bucket);
    return bucket;
  }

  #spend(kind: keyof typeof ALLOWANCES): Flood | undefined {
    const bucket = this.#bucket(kind);
    if (bucket.tokens < 1) return kind;
    bucket.tokens -= 1;
    return undefined;
  }

  #earn(by: "perRequest" | "perDataSent"): void {
    for (const kind of this.#buckets.keys() as Iterable<keyof typeof ALLOWANCES>) {
      const { burst, [by]: tokens } = ALLOWANCES[kind];
      const bucket = this.#buckets.get(kind);
      if (bucket !== undefined) bucket.tokens = Math.min(burst, bucket.tokens + tokens);
    }
  }
}

/** RFC 9113, 6.8: of stream 0, the last stream and the error, maybe words. undefined: it is none, or none with an error. */
function goawayError(frame: Uint8Array): number | undefined {
  if (frame[3] !== FRAME.goaway || frame.length < FRAME_HEADER + 8) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const isWhole = view.getUint32(0) >>> 8 === frame.length - FRAME_HEADER;
  return isWhole && view.getUint32(5) === 0
    ? view.getUint32(FRAME_HEADER + 4) || undefined
    : undefined;
}

/** RFC 7541, 6: where fields begin and end needs no table. One header block, in any number of parts. */
class FieldCounter {
  fields = 0;
  octets = 0;
  /** What the next octet is. */
  #at: "field" | "length" | "integer" = "field";
  /** What the integer that is being read will be: what follows a name's index, or how long a string is. */
  #integer: "nothing" | "value" | "string" = "nothing";
  #value = 0;
  #shift = 0;
  /** Octets of a string that have not come yet. */
  #skip = 0;
  /** Strings of this field that have not begun yet. */
  #strings = 0;

  add(block: Uint8Array): void {
    this.octets += block.length;
    // Beyond any limit what comes is not looked at.
    for (let i = 0; i < block.length && this.fields <= MAX_FIELDS;) {
      if (this.#skip > 0) {
        const take = Math.min(this.#skip, block.length - i);
        this.#skip -= take;
        i += take;
        continue;
      }
      this.#octet(block[i++] ?? 0);
    }
  }

  #octet(octet: number): void {
    switch (this.#at) {
      case "field":
        return this.#field(octet);
      case "length":
        return this.#begin(octet & 0x7f, 0x7f, "string");
      case "integer":
        // Longer than any string that may come is long enough.
        this.#value = Math.min(2 ** 31, this.#value + (octet & 0x7f) * 2 ** this.#shift);
        this.#shift = Math.min(28, this.#shift + 7);
        return octet & 0x80 ? undefined : this.#end();
      default:
        return this.#at satisfies never;
    }
  }

  #field(octet: number): void {
    if (octet >= 0x80) {
      this.fields += 1;
      return this.#begin(octet & 0x7f, 0x7f, "nothing");
    }
    // A new size of the table: no field.
    if ((octet & 0xe0) === 0x20) return this.#begin(octet & 0x1f, 0x1f, "nothing");
    this.fields += 1;
    const mask = octet >= 0x40 ? 0x3f : 0x0f;
    const index = octet & mask;
    this.#strings = index === 0 ? 2 : 1;
    this.#begin(index, mask, "value");
  }

  #begin(value: number, mask: number, what: "nothing" | "value" | "string"): void {
    this.#integer = what;
    this.#value = value;
    this.#shift = 0;
    if (value === mask) this.#at = "integer";
    else this.#end();
  }

  #end(): void {
    if (this.#integer === "string") {
      this.#skip = this.#value;
      this.#strings -= 1;
    }
    this.#at = this.#strings > 0 ? "length" : "field";
  }
}

/**
 * To be called before the session is made, or it would read first. The session takes what comes by "data" events of
 * the socket, and writes one frame at a time. `flooded` is called once, and must end it; `broken` when this end gives it up for
 * what the other one sent, with the error of RFC 9113, 7.
 */
export function guardSession(
  socket: net.Socket,
  options: {
    readonly of: "client" | "server";
    readonly flooded: (flood: Flood) => void;
    readonly broken?: (error: number) => void;
  },
): void {
  const meter = new H2Meter(() => performance.now(), options.of);
  const onData = (chunk: Uint8Array) => {
    const flood = meter.received(chunk);
    if (flood === undefined) return;
    socket.off("data", onData);
    options.flooded(flood);
  };
  socket.prependListener("data", onData);
  const write = socket.write as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]) => {
    const error = args[0] instanceof Uint8Array ? meter.sent(args[0]) : undefined;
    if (error !== undefined) options.broken?.(error);
    return write.apply(socket, args);
  };
}
