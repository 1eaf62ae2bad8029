// SPDX-License-Identifier: Apache-2.0

/**
 * The control channel between hosts in memory. Every message lies on the wire until somebody says what becomes of it: an
 * explorer by choice, a simulation by its seed.
 */
import { Key } from "../../ffi/key.ts";
import {
  type CallOptions,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type PacketQuestion,
  type TunnelClient,
  type TunnelHandler,
} from "../../src/model/exchange.ts";
import type { PspParams } from "../../src/model/sa.ts";
import type { ExplainView } from "../../src/model/status.ts";
import type { Life, PromiseMaker } from "./clock.ts";
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
  | { readonly kind: "answer"; readonly bootEpoch: bigint }
  | { readonly kind: "question"; readonly question: PacketQuestion }
  | { readonly kind: "explanation"; readonly view: ExplainView };

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
  /** Where the receiver is called; undefined: wherever it is. */
  readonly address: string | undefined;
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
  /** Absent: it lies open. */
  readonly promise?: PromiseMaker | undefined;
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
  /** By "id address": who answers there, whomever calls to the id reach. */
  private readonly _places = new Map<string, Station>();
  /** Whose answer somebody waits for. */
  private readonly _calls = new Set<Call>();
  /** Under way, by number. */
  readonly messages = new Map<number, Message>();
  private readonly _powers: WirePowers;
  private _n = 0;

  constructor(powers: WirePowers) {
    this._powers = powers;
  }

  /**
   * Joins or replaces a host, with the address at which it is there from now on, besides those before; undefined: it is
   * down, wherever it was.
   */
  attach(id: string, station: Station | undefined, address?: string): void {
    if (station === undefined) {
      this._stations.delete(id);
      for (const place of this._places.keys()) {
        if (place.startsWith(`${id} `)) this._places.delete(place);
      }
      return;
    }
    this._stations.set(id, station);
    if (address !== undefined) this._places.set(`${id} ${address}`, station);
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
      { options, read, address }: {
        options: CallOptions;
        read: (answer: Body) => T;
        address?: string;
      },
    ): Promise<T> =>
      new (this._powers.promise ?? Promised)((resolve, reject) => {
        if (this.#at(to, address) === undefined) {
          return reject(new ExchangeError("unavailable", downAt(to, address)));
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
        this.#send({ from, to, body, life, address }, made);
      });
    const notify = (to: string, notice: Notice, options: CallOptions, address?: string) =>
      call(to, { kind: "notice", notice }, {
        options,
        ...address === undefined ? {} : { address },
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
      notify: (to, notice, options) => notify(to, notice, options),
      notifyAt: (to, address, notice, options) => notify(to, notice, options, address),
      explain: (to, question, options) =>
        call(to, { kind: "question", question }, {
          options,
          read: (answer) => {
            if (answer.kind !== "explanation") throw new ExchangeError("internal", "no answer");
            return answer.view;
          },
        }),
    };
  }

  /** A message arrives. */
  deliver(n: number): void {
    const message = this.#message(n);
    const { from, to, body, call, address } = message;
    this._powers.onArrival?.(message);
    this.messages.delete(n);
    switch (body.kind) {
      case "request":
      case "question":
      case "notice": {
        const station = this.#at(to, address);
        if (station === undefined) {
          this.#fail(call, downAt(to, address));
          return;
        }
        const { life, handler } = station;
        const answer = (answer: Body) => {
          if (life.alive) this._powers.onAnswer?.(message, answer);
          if (!life.alive || call === undefined || call.over) return;
          this.#send({ from: to, to: from, body: answer, life, address: undefined }, call);
        };
        this.#act(handler, message).then(
          answer,
          (cause) => answer({ kind: "refusal", error: ExchangeError.from(cause) }),
        );
        return;
      }
      case "reply":
      case "answer":
      case "explanation":
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

  /** A message that asks arrives twice: its copy, whose answer nobody waits for, stays under way. Returns its number. */
  duplicate(n: number): number {
    const { from, to, body, life, address } = this.#message(n);
    return this.#send({ from, to, body, life, address }, undefined);
  }

  /** Who is there; where nobody has an address nobody is ever anywhere else. */
  #at(id: string, address: string | undefined): Station | undefined {
    return address === undefined || this._places.size === 0
      ? this._stations.get(id)
      : this._places.get(`${id} ${address}`);
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
      case "question": {
        const Made = this._powers.promise ?? Promised;
        return new Made((resolve, reject) => {
          const view = handler.explain?.(from, body.question);
          if (view === undefined) reject(new ExchangeError("unimplemented", "of before"));
          else resolve({ kind: "explanation", view });
        });
      }
      case "reply":
      case "refusal":
      case "answer":
      case "explanation":
        throw new RangeError(`Cannot act upon a ${body.kind}`);
      default:
        return body satisfies never;
    }
  }

  #send(
    message: Pick<Message, "from" | "to" | "body" | "life" | "address">,
    call: Call | undefined,
  ): number {
    const sent: Message = { ...message, n: ++this._n, sentAt: this._powers.now(), call };
    this.messages.set(sent.n, sent);
    this._powers.onSent(sent);
    return sent.n;
  }

  #fail(call: Call | undefined, why: string): void {
    if (call?.life.alive && !call.over) call.reject(new ExchangeError("unavailable", why));
  }

  /** Nobody waits for the answer any more; the request goes on its way. */
  #cancel(call: Call, reason: unknown): void {
    call.reject(reason);
    for (const { n, call: of, body: { kind } } of this.messages.values()) {
      if (of === call && !ASKS.has(kind)) this.messages.delete(n);
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

/** Messages that ask: they go on their way though nobody waits for their answer any more. */
export const ASKS: ReadonlySet<Body["kind"]> = new Set(["request", "notice", "question"]);

function downAt(id: string, address: string | undefined): string {
  return address === undefined ? `${id} is down` : `${id} is not at ${address}`;
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
