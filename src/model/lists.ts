// SPDX-License-Identifier: Apache-2.0

/** Lists that may be long, as the status listener asks for them: filters, and one page after the other. */
import type { VipPair } from "./sa.ts";
import type { PeerState, PeerView, SaView } from "./status.ts";

/** Which peers, and how many of them. */
export interface PeerQuery {
  /** In the peer's id, control address or prefixes. */
  readonly contains?: string | undefined;
  /** Only those in one of these states; empty: all. */
  readonly states?: readonly PeerState[] | undefined;
  /** Id of the last one before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** A page of peers. */
export interface PeerPage {
  /** In the order of their ids. */
  readonly peers: readonly PeerView[];
  /** The agent's, whatever was asked for. */
  readonly total: number;
}

/**
 * What an SA is good for. "current": packets use it. "offered": it is in a request that is under way. "superseded": the
 * peer has a newer one, and packets under way may still come. "maybe": the peer may have it, and said nothing. "expired":
 * it has reached its hard limit, and nothing is sent with it.
 */
export type SaState = "current" | "offered" | "superseded" | "maybe" | "expired";

/** An SA with whose it is. */
export interface SaEntry extends VipPair {
  readonly peer: string;
  readonly direction: "tx" | "rx";
  readonly state: SaState;
  readonly sa: SaView;
}

/** Which SAs, and how many of them. */
export interface SaQuery {
  readonly peer?: string | undefined;
  readonly direction?: "tx" | "rx" | undefined;
  readonly spi?: number | undefined;
  /** In the peer's id or in an address. */
  readonly contains?: string | undefined;
  /** "peer localVip remoteVip" of the last tunnel before. */
  readonly after?: string | undefined;
  /** A page has all SAs of a tunnel: it may be longer by what its last tunnel has. */
  readonly limit: number;
}

/** A page of SAs. */
export interface SaPage {
  /** By (peer, localVip, remoteVip). */
  readonly sas: readonly SaEntry[];
  /** For `SaQuery.after`; undefined: it was the last one. */
  readonly next: string | undefined;
}

/** A network of tenants. */
export interface NetworkView {
  /** "": the default one. */
  readonly name: string;
  /** The cookie of its packets on the wire. */
  readonly vc?: bigint;
  /** Host ports, and addresses that were found behind them. */
  readonly ports: number;
  readonly workloads: number;
  /** Tunnels that are not closed. */
  readonly tunnels: number;
}

/** The packets that were dropped for one reason, from one address to another. */
export interface DropView {
  /** As in the counts of dropped packets, such as "no-peer". */
  readonly reason: string;
  /** Why in more detail, where that is known. */
  readonly detail: string;
  readonly peer: string;
  /** Inner addresses, or, for packets that could not be opened, the outer ones. */
  readonly src: string;
  readonly dst: string;
  readonly outer: boolean;
  readonly spi?: number;
  /** The start of the last packet, from its IP header on; empty: it is not known. */
  readonly header: Uint8Array<ArrayBuffer>;
  readonly packets: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** Which drops: all conditions hold. */
export interface DropQuery {
  readonly reason?: string | undefined;
  readonly peer?: string | undefined;
  /** As source or destination. */
  readonly vip?: string | undefined;
  /** `DropPage.next` of the page before. */
  readonly after?: number | undefined;
  readonly limit: number;
}

/** A page of drops. */
export interface DropPage {
  /** The latest first. */
  readonly drops: readonly DropView[];
  /** For `DropQuery.after`; undefined: it was the last one. */
  readonly next: number | undefined;
}
