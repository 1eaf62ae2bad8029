// SPDX-License-Identifier: Apache-2.0

/** The exchange in domain terms: what initiator and responder see, and how it fails; src/rpc maps it to proto. */
import { spelled } from "./counters.ts";
import { messageOf } from "./errors.ts";
import type { PspParams, PspVersion, VipPair } from "./sa.ts";
import type { ExplainView } from "./status.ts";

/** As the initiator sees it: `localVip` is the initiator's. */
export interface TunnelOffer extends VipPair {
  readonly reverse: PspParams;
}

export interface NewTunnelRequest {
  readonly bootEpoch: bigint;
  /** 16 octets as lower-case hex; the same in every retry. */
  readonly requestId: string;
  readonly versionsAccepted: readonly PspVersion[];
  readonly tunnels: readonly TunnelOffer[];
  /** The IVs of who asks count: with each key they go up one by one. Absent: it does not say. */
  readonly ivCounts?: boolean;
}

export type TunnelOutcome =
  | { readonly ok: true; readonly params: PspParams }
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface NewTunnelReply {
  readonly bootEpoch: bigint;
  /** When it differs from the offered parameters' version, `outcomes` is empty: ask again with this one. */
  readonly version: PspVersion;
  readonly outcomes: readonly TunnelOutcome[];
  /** As in the request, of who answers. */
  readonly ivCounts?: boolean;
}

export interface Notice {
  readonly bootEpoch: bigint;
  readonly unknownSpis: readonly number[];
  readonly draining: boolean;
  /** As the sender sees them. */
  readonly closed: readonly VipPair[];
  /** SPIs of the receiver with which the sender sends from now on; absent: none to tell of. */
  readonly confirmedSpis?: readonly number[];
}

/** What becomes of a packet at the peer's end; `localVip` is that of who asks. */
export interface PacketQuestion extends VipPair {
  /** It comes from `localVip`; else it goes there. */
  readonly arrives: boolean;
  /** The SPI that it comes with, of that boot epoch of the peer; absent: there is no tunnel yet. */
  readonly sa?: { readonly spi: number; readonly epoch: bigint };
  /** Octets of IP; absent: few enough for any tunnel. */
  readonly length?: number;
  /** What would be asked for with `NewTunnel`. */
  readonly wish: Pick<PspParams, "mode" | "cryptOffset" | "vc"> & {
    readonly versions: readonly PspVersion[];
  };
}

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Called before the request leaves: a call that fails without it never reached the peer. */
  readonly onSent?: (() => void) | undefined;
}

/** To other agents. Rejects with `ExchangeError`. At most one connection per peer, opened on need. */
export interface TunnelClient {
  newTunnel(peer: string, request: NewTunnelRequest, options: CallOptions): Promise<NewTunnelReply>;
  notify(
    peer: string,
    notice: Notice,
    options: CallOptions,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** The same over a connection of its own to an address: whether the peer is there (still). */
  notifyAt(
    peer: string,
    address: string,
    notice: Notice,
    options: CallOptions,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** Asks what becomes of a packet there; absent: no peer can be asked. */
  explain?(peer: string, question: PacketQuestion, options: CallOptions): Promise<ExplainView>;
  /** How much of what is sent with these SPIs has come there; absent: no peer can be asked. */
  countPackets?(
    peer: string,
    question: CountQuestion,
    options: CallOptions,
  ): Promise<readonly PacketCount[]>;
  /** Whether a call would find a connection that stands; without one it costs a handshake first. */
  isConnected?(peer: string): boolean;
}

/**
 * From other agents; `peer` is the configured id that the caller's certificate proved, `from` the address of its
 * connection, where that is known. Throws `ExchangeError`.
 */
export interface TunnelHandler {
  newTunnel(peer: string, request: NewTunnelRequest, from?: string): Promise<NewTunnelReply>;
  notify(peer: string, notice: Notice, from?: string): Promise<{ readonly bootEpoch: bigint }>;
  /** Says what becomes of a packet here; absent: it says nothing. */
  explain?(peer: string, question: PacketQuestion): ExplainView;
  /** How much of what the peer sends with these SPIs has come; absent: it says nothing. */
  countPackets?(peer: string, question: CountQuestion): readonly PacketCount[];
}

/** What is asked of packets that were sent. */
export interface CountQuestion {
  /** With these; at most `MAX_COUNTED_SPIS`. */
  readonly spis: readonly number[];
  /** Nothing comes back to who asks: what is sent to it may be lost. */
  readonly unanswered: boolean;
}

/** SPIs in one question of what has come with them. */
export const MAX_COUNTED_SPIS = 64;

/** What has come with an SPI since it was given out; octets are of inner packets. */
export interface PacketCount {
  readonly spi: number;
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** How an exchange fails, in the words in which a tunnel's outcome is coded too. */
export const EXCHANGE_CODES = [
  /** This side gave it up. */
  "canceled",
  "invalid_argument",
  /** No answer in time. */
  "deadline_exceeded",
  /** This host knows no such peer. */
  "not_found",
  "permission_denied",
  /** Beyond the rate (see `RATE_REFUSAL`), or too large. */
  "resource_exhausted",
  /** Of another start of the peer, or without a version in common. */
  "failed_precondition",
  /** The answer came, and counts for nothing. */
  "aborted",
  "unimplemented",
  "internal",
  /** Nobody answered, or the peer is stopping. */
  "unavailable",
  /** Whoever answered is not the peer. */
  "unauthenticated",
] as const;

export type ExchangeCode = (typeof EXCHANGE_CODES)[number];

/** An exchange failed. `message` is for people: "[code] reason". */
export class ExchangeError extends Error {
  override readonly name = "ExchangeError";
  /**
   * This host has too little of something (descriptors, connections) to have asked at all: nothing was sent, it says
   * nothing of the peer, and the call may be made again soon.
   */
  readonly local: boolean;

  constructor(
    readonly code: ExchangeCode,
    readonly reason: string,
    { local = false, ...options }: ErrorOptions & { readonly local?: boolean } = {},
  ) {
    super(`[${code}] ${reason}`, options);
    this.local = local;
  }

  /** The code as events and status spell it. */
  get codeText(): string {
    return spelled(this.code);
  }

  /** What is no such error failed inside. */
  static from(cause: unknown): ExchangeError {
    if (cause instanceof ExchangeError) return cause;
    return new ExchangeError("internal", messageOf(cause), { cause });
  }
}

/** Zero-fills the keys of an answer. */
export function wipeKeys(reply: NewTunnelReply): void {
  for (const outcome of reply.outcomes) if (outcome.ok) outcome.params.key.wipe();
}

/** Most tunnels in one request. */
export const MAX_TUNNELS_PER_REQUEST = 256;

/** A request costs its responder as much as so many tunnels, however few are in it (bench/exchange.ts). */
export const LEAST_TUNNELS = 16;

/**
 * What a request costs its responder, as a share of a full one: the work is that of its tunnels, not that of the
 * message. So a peer is as free to ask for few tunnels often as for many at a time.
 */
export function requestWeight(tunnels: number): number {
  const counted = Math.min(Math.max(tunnels, LEAST_TUNNELS), MAX_TUNNELS_PER_REQUEST);
  return counted / MAX_TUNNELS_PER_REQUEST;
}

/** How a responder words a refusal for the rate: with `resource_exhausted`, and before it did anything. */
export const RATE_REFUSAL = "too many requests";
