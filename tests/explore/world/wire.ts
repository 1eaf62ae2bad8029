// SPDX-License-Identifier: Apache-2.0

/**
 * The control channel between hosts in memory. Every message lies on the wire until somebody says what becomes of it: an
 * explorer by choice, a simulation by its seed.
 */
import { Key } from "../../../ffi/key.ts";
import {
  type CallOptions,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type TunnelClient,
  type TunnelHandler,
} from "../../../src/model/exchange.ts";
import type { PspParams } from "../../../src/model/sa.ts";
import type { Life } from "./clock.ts";
import { Promised } from "./promise.ts";

/**
 * What a message says. A reply is what a handler returned, or how it failed. It never changes: the keys in it are copies, and
 * whoever gets it gets copies of these.
 */
export type Body =
  | { readonly kind: "request"; readonly request: NewTunnelRequest }
  | { readonly kind: "reply"; readonly requestId: string; readonly reply: NewTunnelReply }
  | { readonly kind: "refusal"; readonly error: ExchangeError }
  | { readonly kind: "notice"; readonly notice: Notice }
  | { readonly kind: "answer"; readonly bootEpoch: bigint };

/** A message under way. */
export interface Message {
  /** In the order in which they were sent, from 1. */
  readonly n: number;
  readonly from: string;
  readonly to: string;
  readonly body: Body;
  readonly sentAt: number;
  /** The process that sent it. */
  readonly life: Life;
  /** The call that it belongs to; a copy that the wire made belongs to none. */
  readonly call: Call | undefined;
}

/** A call that waits for its answer. */
interface Call {
  readonly life: Life;
  /** Its caller waits no longer: the stream was cancelled, and an answer is for nobody. */
  over: boolean;
  readonly resolve: (answer: Body) => void;
  readonly reject: (reason: unknown) => void;
}

/** Somebody on the wire. */
export interface Station {
  readonly life: Life;
  readonly handler: TunnelHandler;
}

/** What the wire asks of its world. */
export interface WirePowers {
  readonly now: () => number;
  /** A message was sent: it is in `messages` already. */
  readonly onSent: (message: Message) => void;
  /** A message arrives, before anybody acts upon it. */
  readonly onArrival?: (message: Message) => void;
  /** A host answered, whether anybody waits for it or not. */
  readonly onAnswer?: (message: Message, answer: Body) => void;
}

/** All control channels of a world. */
export class Wire {
  private readonly _stations = new Map<string, Station>();
  /** Whose answer somebody waits for. */
  private readonly _calls = new Set<Call>();
  /** Under way, by number. */
  readonly messages = new Map<number, Message>();
  private readonly _powers: WirePowers;
  private _n = 0;

  constructor(powers: WirePowers) {
    this._powers = powers;
  }

  /** Joins or replaces a host; undefined: it is down, and what is under way to it is lost with its connections. */
  attach(id: string, station: Station | undefined): void {
    if (station === undefined) this._stations.delete(id);
    else this._stations.set(id, station);
  }

  /** The connections of a host break: calls to it fail, and its own messages that have not left are gone. */
  reset(id: string): void {
    for (const message of [...this.messages.values()]) {
      if (message.to === id) this.lose(message.n, "the connection was reset");
    }
  }

  /** The client of a process. */
  client(from: string, life: Life): TunnelClient {
    const call = <T>(
      to: string,
      body: Body,
      { options, read }: { options: CallOptions; read: (answer: Body) => T },
    ): Promise<T> =>
      new Promised((resolve, reject) => {
        if (!this._stations.has(to)) {
          return reject(new ExchangeError("unavailable", `${to} is down`));
        }
        options.onSent?.();
        const end = () => {
          made.over = true;
          this._calls.delete(made);
        };
        const made: Call = {
          life,
          over: false,
          resolve: (answer) => {
            end();
            if (answer.kind === "refusal") reject(answer.error);
            else resolve(read(answer));
          },
          reject: (reason) => {
            end();
            reject(reason);
          },
        };
        this._calls.add(made);
        options.signal?.addEventListener("abort", () => {
          if (!made.over) this.#cancel(made, options.signal?.reason);
        }, { once: true });
        this.#send({ from, to, body, life }, made);
      });
    const notify: TunnelClient["notify"] = (to, notice, options) =>
      call(to, { kind: "notice", notice }, {
        options,
        read: (answer) => {
          if (answer.kind !== "answer") throw new ExchangeError("internal", "no answer");
          return { bootEpoch: answer.bootEpoch };
        },
      });
    return {
      newTunnel: (to, request, options) =>
        call(to, { kind: "request", request: copyRequest(request) }, {
          options,
          read: (answer) => {
            if (answer.kind !== "reply") throw new ExchangeError("internal", "no reply");
            return copyReply(answer.reply);
          },
        }),
      notify,
      // No host is ever anywhere else.
      notifyAt: (to, _address, notice, options) => notify(to, notice, options),
    };
  }

  /** A message arrives. */
  deliver(n: number): void {
    const message = this.#take(n);
    const { from, to, body, call } = message;
    this._powers.onArrival?.(message);
    switch (body.kind) {
      case "request":
      case "notice": {
        const station = this._stations.get(to);
        if (station === undefined) {
          this.#fail(call, `${to} is down`);
          return;
        }
        const { life, handler } = station;
        const answer = (answer: Body) => {
          if (life.alive) this._powers.onAnswer?.(message, answer);
          if (!life.alive || call === undefined || call.over) return;
          this.#send({ from: to, to: from, body: answer, life }, call);
        };
        this.#act(handler, message).then(
          answer,
          (cause) => answer({ kind: "refusal", error: ExchangeError.from(cause) }),
        );
        return;
      }
      case "reply":
      case "answer":
      case "refusal":
        if (call?.life.alive && !call.over) call.resolve(body);
        return;
      default:
        return body satisfies never;
    }
  }

  /** A message is lost. With `why` its caller learns it at once, else by its deadline. */
  lose(n: number, why?: string): void {
    const { call } = this.#take(n);
    if (why !== undefined) this.#fail(call, why);
  }

  /** A message that asks arrives twice: its copy, whose answer nobody waits for, stays under way. */
  duplicate(n: number): void {
    const { from, to, body, life } = this.#message(n);
    this.#send({ from, to, body, life }, undefined);
  }

  #act(handler: TunnelHandler, { from, body }: Message): Promise<Body> {
    switch (body.kind) {
      case "request": {
        const { requestId } = body.request;
        return handler.newTunnel(from, copyRequest(body.request))
          .then((reply) => ({ kind: "reply", requestId, reply: copyReply(reply) }));
      }
      case "notice":
        return handler.notify(from, body.notice)
          .then(({ bootEpoch }) => ({ kind: "answer", bootEpoch }));
      case "reply":
      case "refusal":
      case "answer":
        throw new RangeError(`Cannot act upon a ${body.kind}`);
      default:
        return body satisfies never;
    }
  }

  #send(
    message: Pick<Message, "from" | "to" | "body" | "life">,
    call: Call | undefined,
  ): void {
    const sent: Message = { ...message, n: ++this._n, sentAt: this._powers.now(), call };
    this.messages.set(sent.n, sent);
    this._powers.onSent(sent);
  }

  #fail(call: Call | undefined, why: string): void {
    if (call?.life.alive && !call.over) call.reject(new ExchangeError("unavailable", why));
  }

  /** Nobody waits for the answer any more; the request goes on its way. */
  #cancel(call: Call, reason: unknown): void {
    call.reject(reason);
    for (const { n, call: of, body: { kind } } of this.messages.values()) {
      if (of === call && kind !== "request" && kind !== "notice") this.messages.delete(n);
    }
  }

  #message(n: number): Message {
    const message = this.messages.get(n);
    if (message === undefined) throw new RangeError(`There is no message ${n} under way`);
    return message;
  }

  #take(n: number): Message {
    const message = this.#message(n);
    this.messages.delete(n);
    return message;
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
