// SPDX-License-Identifier: Apache-2.0

/** The control channel between cores in memory: it delays, loses, repeats, and copies keys as a wire does. */
import { Key } from "../../ffi/key.ts";
import {
  type CallOptions,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type TunnelClient,
  type TunnelHandler,
} from "../../src/model/exchange.ts";
import type { Random } from "../../src/model/random.ts";
import type { PspParams } from "../../src/model/sa.ts";
import type { Clock } from "../../src/model/clock.ts";

/** What may happen to a message. Probabilities between 0 and 1. */
export interface Weather {
  requestLoss: number;
  replyLoss: number;
  /** A message arrives a second time, later. */
  repeat: number;
  delayMs: readonly [number, number];
}

/** A request as it passed, keys included: only tests may. */
export interface Passed {
  readonly from: string;
  readonly to: string;
  readonly requestId: string;
  readonly content: string;
  readonly at: number;
}

/** All hosts of a test. */
export class FakeNetwork {
  readonly #handlers = new Map<string, TunnelHandler>();
  /** By "id address": who answers there, whomever calls to the id reach. */
  readonly #places = new Map<string, TunnelHandler>();
  readonly requests: Passed[] = [];
  readonly replies: { readonly requestId: string; readonly content: string }[] = [];
  readonly notices: { readonly from: string; readonly to: string; readonly notice: Notice }[] = [];
  readonly weather: Weather = { requestLoss: 0, replyLoss: 0, repeat: 0, delayMs: [1, 1] };
  /** Overrides fate for single messages: returns what to do with it, undefined for the weather's. */
  fate: (message: { kind: "request" | "reply"; from: string; to: string; n: number }) =>
    | "lose"
    | "pass"
    | number
    | undefined = () => undefined;
  #n = 0;
  readonly #inFlight = new Map<string, number>();
  /** The most requests that one host had under way to another at a time. */
  mostInFlight = 0;

  constructor(readonly clock: Clock, readonly random: Random) {}

  /** Joins or replaces a host; undefined: it is down, wherever it was. */
  attach(id: string, handler: TunnelHandler | undefined, address?: string): void {
    if (handler === undefined) {
      this.#handlers.delete(id);
      for (const place of this.#places.keys()) {
        if (place.startsWith(`${id} `)) this.#places.delete(place);
      }
    } else {
      this.#handlers.set(id, handler);
      if (address !== undefined) this.#places.set(`${id} ${address}`, handler);
    }
  }

  /** The client of a host. */
  client(from: string): TunnelClient & Required<Pick<TunnelClient, "explain">> {
    return {
      newTunnel: async (to, request, options) => {
        const way = `${from} ${to}`;
        const n = (this.#inFlight.get(way) ?? 0) + 1;
        this.#inFlight.set(way, n);
        this.mostInFlight = Math.max(this.mostInFlight, n);
        const over = () => this.#inFlight.set(way, (this.#inFlight.get(way) ?? 1) - 1);
        options.signal?.addEventListener("abort", over, { once: true });
        return await this.#newTunnel({ from, to, request, options });
      },
      notify: (to, notice, options) => this.#notify({ from, to, notice, options }),
      notifyAt: async (to, address, notice, options) => {
        const handler = this.#places.get(`${to} ${address}`);
        if (handler === undefined) {
          throw new ExchangeError("unavailable", `${to} is not at ${address}`);
        }
        await this.#travel({ kind: "request", from, to, n: this.#n++ }, options);
        return await handler.notify(from, notice);
      },
      explain: async (to, question, options) => {
        this.#up(to);
        await this.#travel({ kind: "request", from, to, n: this.#n++ }, options);
        const { explain } = this.#up(to);
        if (explain === undefined) throw new ExchangeError("unimplemented", "of before");
        return explain(from, question);
      },
    };
  }

  async #newTunnel(
    { from, to, request, options }: {
      from: string;
      to: string;
      request: NewTunnelRequest;
      options: CallOptions;
    },
  ): Promise<NewTunnelReply> {
    const copy = copyRequest(request);
    this.requests.push({
      from,
      to,
      requestId: request.requestId,
      content: print(copy),
      at: this.clock.now(),
    });
    const n = this.#n++;
    this.#up(to);
    options.onSent?.();
    await this.#travel({ kind: "request", from, to, n }, options);
    if (this.random.uniform() < this.weather.repeat) {
      const again = copyRequest(copy);
      const later = this.clock.sleep(this.random.uniform() * 3000)
        .then(async () => await this.#handlers.get(to)?.newTunnel(from, again));
      later.catch(() => {});
    }
    const reply = copyReply(await this.#up(to).newTunnel(from, copy));
    this.replies.push({ requestId: request.requestId, content: print(reply) });
    await this.#travel({ kind: "reply", from: to, to: from, n }, options);
    return reply;
  }

  async #notify(
    { from, to, notice, options }: {
      from: string;
      to: string;
      notice: Notice;
      options: CallOptions;
    },
  ): Promise<{ readonly bootEpoch: bigint }> {
    this.#up(to);
    await this.#travel({ kind: "request", from, to, n: this.#n++ }, options);
    this.notices.push({ from, to, notice });
    return await this.#up(to).notify(from, notice);
  }

  #up(to: string): TunnelHandler {
    const handler = this.#handlers.get(to);
    if (handler === undefined) throw new ExchangeError("unavailable", `${to} is down`);
    return handler;
  }

  async #travel(
    message: { kind: "request" | "reply"; from: string; to: string; n: number },
    { signal }: CallOptions,
  ): Promise<void> {
    const { requestLoss, replyLoss, delayMs: [least, most] } = this.weather;
    const loss = message.kind === "request" ? requestLoss : replyLoss;
    const fate = this.fate(message) ?? (this.random.uniform() < loss ? "lose" : "pass");
    const delayMs = typeof fate === "number"
      ? fate
      : least + this.random.uniform() * (most - least);
    // What is lost never ends by itself; a late answer still comes after its caller gave up.
    if (fate === "lose") {
      await new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    }
    await this.clock.sleep(delayMs);
  }
}

function copyParams(params: PspParams): PspParams {
  return { ...params, key: new Key(params.key.reveal().slice()) };
}

function copyRequest(request: NewTunnelRequest): NewTunnelRequest {
  const tunnels = request.tunnels.map((t) => ({ ...t, reverse: copyParams(t.reverse) }));
  return { ...request, tunnels };
}

function copyReply(reply: NewTunnelReply): NewTunnelReply {
  const outcomes = reply.outcomes.map((outcome) =>
    outcome.ok ? { ...outcome, params: copyParams(outcome.params) } : outcome
  );
  return { ...reply, outcomes };
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
