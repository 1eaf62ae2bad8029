// SPDX-License-Identifier: Apache-2.0

/**
 * What becomes of the messages of a wire by itself: they take their time, are lost and repeated, by chance or as a story
 * says. What passed is kept, keys included: only tests may.
 */
import { Key } from "../../ffi/key.ts";
import type {
  NewTunnelReply,
  NewTunnelRequest,
  Notice,
  TunnelClient,
  TunnelHandler,
} from "../../src/model/exchange.ts";
import type { Random } from "../../src/model/random.ts";
import { FOREVER, type Life, type WorldClock } from "./clock.ts";
import { ASKS, type Body, type Message, Wire } from "./wire.ts";

/** What may happen to a message. Probabilities between 0 and 1. */
export interface Chances {
  requestLoss: number;
  replyLoss: number;
  /** A message arrives a second time, later. */
  repeat: number;
  delayMs: readonly [number, number];
}

/** A request as it passed. */
export interface Passed {
  readonly from: string;
  readonly to: string;
  readonly requestId: string;
  readonly content: string;
  readonly at: number;
}

/** A message whose fate is to be said: `n` numbers what hosts ask, from 0, and a reply has the number of its request. */
export interface Leaving {
  readonly kind: "request" | "reply";
  readonly from: string;
  readonly to: string;
  readonly n: number;
}

/** A copy comes within so much time. */
const REPEAT_MS = 3000;

/** The control channels of a story. */
export class Weather {
  readonly wire: Wire;
  readonly requests: Passed[] = [];
  readonly replies: { readonly requestId: string; readonly content: string }[] = [];
  readonly notices: { readonly from: string; readonly to: string; readonly notice: Notice }[] = [];
  readonly weather: Chances = { requestLoss: 0, replyLoss: 0, repeat: 0, delayMs: [1, 1] };
  /** Overrides fate for single messages: returns what to do with it, undefined for the weather's. */
  fate: (message: Leaving) => "lose" | "pass" | number | undefined = () => undefined;
  /** The most requests that one host had under way to another at a time. */
  mostInFlight = 0;
  readonly #clock: WorldClock;
  readonly #random: Random;
  readonly #inFlight = new Map<string, number>();
  /** Of each call, by what hosts have asked before it. */
  readonly #numbers = new WeakMap<object, number>();
  #n = 0;

  constructor(clock: WorldClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.wire = new Wire({
      promise: Promise,
      now: () => clock.now(),
      onSent: (message) => this.#sent(message),
      onArrival: (message) => this.#arrives(message),
      onAnswer: (_, body) => this.#answered(body),
    });
  }

  /** Joins or replaces a host; undefined: it is down, wherever it was. */
  attach(id: string, handler: TunnelHandler | undefined, address?: string): void {
    this.wire.attach(id, handler && { life: FOREVER, handler }, address);
  }

  /** The client of a process. */
  client(from: string, life: Life): TunnelClient {
    const client = this.wire.client(from, life);
    return {
      ...client,
      newTunnel: (to, request, options) => {
        const { requestId } = request;
        const content = print(request);
        this.requests.push({ from, to, requestId, content, at: this.#clock.now() });
        const way = `${from} ${to}`;
        const n = (this.#inFlight.get(way) ?? 0) + 1;
        this.#inFlight.set(way, n);
        this.mostInFlight = Math.max(this.mostInFlight, n);
        const over = () => this.#inFlight.set(way, (this.#inFlight.get(way) ?? 1) - 1);
        options.signal?.addEventListener("abort", over, { once: true });
        return client.newTunnel(to, request, options);
      },
    };
  }

  #sent({ n, from, to, body: { kind }, call }: Message): void {
    // A copy has its own time.
    if (call === undefined) return;
    const asks = ASKS.has(kind);
    if (asks) this.#numbers.set(call, this.#n++);
    // What answers anything but a request takes no time.
    if (!asks && kind !== "reply") return this.#deliver(n);
    const { requestLoss, replyLoss, delayMs: [least, most] } = this.weather;
    const leaving: Leaving = {
      kind: asks ? "request" : "reply",
      from,
      to,
      n: this.#numbers.get(call) ?? 0,
    };
    const loss = asks ? requestLoss : replyLoss;
    const fate = this.fate(leaving) ?? (this.#random.uniform() < loss ? "lose" : "pass");
    const delayMs = typeof fate === "number"
      ? fate
      : least + this.#random.uniform() * (most - least);
    this.#clock.at(this.#clock.now() + delayMs, FOREVER, () => {
      if (fate === "lose") this.#lose(n);
      else this.#deliver(n);
    });
  }

  #deliver(n: number): void {
    if (this.wire.messages.has(n)) this.wire.deliver(n);
  }

  /** Its caller finds out by the deadline. */
  #lose(n: number): void {
    if (this.wire.messages.has(n)) this.wire.lose(n);
  }

  #arrives({ from, to, body, call, n }: Message): void {
    if (body.kind === "notice") this.notices.push({ from, to, notice: body.notice });
    if (body.kind !== "request" || call === undefined) return;
    if (this.#random.uniform() >= this.weather.repeat) return;
    const copy = this.wire.duplicate(n);
    const inMs = this.#random.uniform() * REPEAT_MS;
    this.#clock.at(this.#clock.now() + inMs, FOREVER, () => this.#deliver(copy));
  }

  #answered(body: Body): void {
    if (body.kind !== "reply") return;
    this.replies.push({ requestId: body.requestId, content: print(body.reply) });
  }
}

function print(message: NewTunnelRequest | NewTunnelReply): string {
  return JSON.stringify(
    message,
    function (this: Record<string, unknown>, name, value) {
      const raw = this[name];
      if (raw instanceof Key) return raw.reveal().toHex();
      return typeof value === "bigint" ? String(value) : value;
    },
  );
}
