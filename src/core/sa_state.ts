// SPDX-License-Identifier: Apache-2.0

/** The states of a tunnel, what may happen to it, and what is then to be done. Shapes only. */
import type { DropReason } from "../../ffi/plane.ts";
import type { AgentCounter } from "../model/counters.ts";
import type { RxSa, TxSa } from "../model/sa.ts";

/** An SA that this host accepts. Times are of `Clock.now`. */
export interface Rx {
  readonly sa: RxSa;
  /** Rotations of the master key when the SPI was derived: two later it is dead. */
  readonly generation: bigint;
  /** When the entry goes in any case; Infinity: never. */
  readonly expiresAt: number;
  /** The peer may have it: through a reply of ours, or a request whose answer never came. */
  readonly given: boolean;
  /** The peer has it: it answered our request, or packets came with it. */
  readonly confirmed: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Last time that its packets were seen to grow, or its birth. */
  readonly seenAt: number;
  /** Since when the peer has a newer one for sure; undefined: it is current. */
  readonly supersededAt: number | undefined;
  /**
   * The request that offered it was given up without an answer: it is kept until then, or longer while packets
   * come with it, because the peer may send with it. undefined: an answer came, or is still awaited.
   */
  readonly maybeUntil: number | undefined;
}

/** The SA that this host sends with. Times are of `Clock.now`. */
export interface Tx {
  readonly sa: TxSa;
  readonly bornAt: number;
  /** When, or after how many packets, it is replaced. */
  readonly softAt: number;
  readonly softPackets: bigint;
  /** When it fails closed; Infinity: never. */
  readonly expiresAt: number;
  readonly expired: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** The peer asked for it and was not heard since; undefined: it holds its side for sure. */
  readonly unconfirmed: Unconfirmed | undefined;
}

/** A transmit SA whose other end may be gone: the peer may have given up before the reply was there. */
export interface Unconfirmed {
  /** Serial of the receive SA in the reply: a packet with it, or with a newer one, confirms. */
  readonly serial: bigint;
  /** When this host asks by itself. */
  readonly askAt: number;
}

/** Nothing to send with. SAs in their grace time may still receive. */
export interface Closed {
  readonly kind: "closed";
  readonly rx: readonly Rx[];
}

/** An exchange is wanted or under way, and nothing to send with yet. `offered`: the SPI in the request. */
export interface Opening {
  readonly kind: "opening";
  readonly since: number;
  readonly flows: readonly number[];
  readonly offered: number | undefined;
  readonly rx: readonly Rx[];
}

/** Both directions are there. */
export interface Up {
  readonly kind: "up";
  readonly tx: Tx;
  readonly rx: readonly Rx[];
  readonly openedAt: number;
  readonly usedAt: number;
}

/** As `Up`, with an exchange wanted or under way. */
export interface Rekeying {
  readonly kind: "rekeying";
  readonly tx: Tx;
  readonly rx: readonly Rx[];
  readonly openedAt: number;
  readonly usedAt: number;
  readonly offered: number | undefined;
}

/** The last attempt failed; misses are dropped until `until`. */
export interface Failed {
  readonly kind: "failed";
  readonly until: number;
  readonly reason: DropReason;
  readonly rx: readonly Rx[];
}

export type State = Closed | Opening | Up | Rekeying | Failed;

/** What the packets said since the last look: totals of the entries. */
export interface Seen {
  readonly tx?: { readonly packets: bigint; readonly bytes: bigint } | undefined;
  readonly rx: ReadonlyMap<number, { readonly packets: bigint; readonly bytes: bigint }>;
}

/** What can happen to a tunnel. `K` is a transmit key, which the machine only passes on. */
export type Event<K> =
  /** A packet of the pair is held under `flow`. */
  | { readonly type: "miss"; readonly flow: number }
  /** The tunnel is to be there, without a packet: it is restored. */
  | { readonly type: "wanted" }
  /** The initiator derived an SPI for its request. */
  | { readonly type: "offered"; readonly rx: Rx }
  /** The peer answered the request that offered `spi`. */
  | { readonly type: "answered"; readonly spi: number; readonly tx: Tx; readonly key: K }
  /** A request that was given up is sent again as it was: the SA in it is on offer once more. */
  | { readonly type: "offered_again"; readonly spi: number }
  /** The offer is taken back, the wish stays. `maybe`: the peer may have got it all the same. */
  | { readonly type: "withdrawn"; readonly spi: number; readonly maybe: boolean }
  /** The peer refused the tunnel: it holds nothing of ours. */
  | { readonly type: "refused"; readonly reason: DropReason; readonly holdOffMs: number }
  /** No answer came; `maybe`: the peer may have got the request all the same. */
  | {
    readonly type: "unanswered";
    readonly reason: DropReason;
    readonly holdOffMs: number;
    readonly maybe: boolean;
  }
  /** The peer asks. `rx` is the SA for the reply; undefined: the reply repeats what is being offered. */
  | { readonly type: "asked"; readonly tx: Tx; readonly key: K; readonly rx: Rx | undefined }
  /** Time passed. */
  | { readonly type: "tick"; readonly seen: Seen }
  /** The peer said that it sends with `spi`. */
  | { readonly type: "confirmed"; readonly spi: number }
  /** An SA that the peer may have is given up: the peer has too many of them. */
  | { readonly type: "forgotten"; readonly spi: number }
  /** The peer does not know the SPI that this host sends with. */
  | { readonly type: "lost"; readonly spi: number }
  /** The SAs are to be replaced while they work. */
  | { readonly type: "rekey" }
  /** The master key was rotated: SPIs of two generations ago are dead. */
  | { readonly type: "rotated"; readonly generation: bigint }
  /** The peer was started anew: all that was agreed before is void. */
  | { readonly type: "peer_restarted" }
  /** The peer was unreachable and is there again: the failure is forgotten. */
  | { readonly type: "peer_back" }
  /** The peer closed its side, or is about to stop: hold packets from now on. */
  | { readonly type: "closed_by_peer" }
  /** This host ends it at once. */
  | { readonly type: "close"; readonly reason: DropReason };

/** What is to be done about it, in this order. Only `add_rx` and `set_tx` can fail. */
export type Effect<K> =
  | { readonly do: "add_rx"; readonly sa: RxSa }
  | { readonly do: "remove_rx"; readonly sa: RxSa }
  | { readonly do: "set_tx"; readonly sa: TxSa; readonly key: K }
  | { readonly do: "remove_tx" }
  | { readonly do: "expire_tx" }
  | { readonly do: "release"; readonly flow: number }
  | {
    readonly do: "drop";
    readonly flow: number;
    readonly reason: DropReason;
    readonly holdOffMs: number;
  }
  /** Put the pair into the next request to its peer. */
  | { readonly do: "ask" }
  /** Tell the peer that this side sends with its SPI: until a packet comes it cannot know. */
  | { readonly do: "tell_confirmed"; readonly spi: number }
  /** Tell the peer that this side closed. */
  | { readonly do: "tell_closed" }
  | { readonly do: "count"; readonly counter: AgentCounter };

/** What a step may know besides state and event. */
export interface Context {
  readonly now: number;
  /** How long a replaced receive SA goes on after its last packet. */
  readonly graceMs: number;
  /** How long a tunnel may carry nothing; 0: for ever. */
  readonly idleMs: number;
}

/** The outcome of a step. */
export interface Step<K> {
  readonly state: State;
  readonly effects: readonly Effect<K>[];
}
