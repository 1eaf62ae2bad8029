// SPDX-License-Identifier: Apache-2.0

/** Counters of the control plane. The data plane's have the kernel's names and come from the plane. */

/** Every counter of the agent, and what one count of it means. */
export const AGENT_COUNTERS = {
  "initiator-exchanges": "NewTunnel exchanges begun",
  "initiator-retries": "requests sent again with the same request id and keys",
  "slowed-by-peer": "requests that a peer refused for the rate, and that were sent again later",
  "responder-exchanges": "NewTunnel requests answered with SAs",
  "responder-repeats": "repeated requests answered from memory",
  "exchanges-failed": "exchanges given up: no answer within the attempts, or refused as a whole",
  "tunnels-opened": "tunnels that came up",
  "tunnels-closed": "tunnels closed: idle, by the peer, by the deny list",
  "tunnels-refused": "tunnels that the peer refused",
  "rekeys": "SAs replaced on a live tunnel",
  "rekeys-failed": "attempts at a rekey that failed",
  "log-lines-lost": "lines of the log that were not written: whoever reads it has stopped",
  "host-overloaded": "looks, four a second, that found the event loop 100 ms late or more",
  "deadlines-forgiven": "calls that ran out of time while this host lagged: no failure of the peer",
  "late-answers": "answers to an attempt that was given up; nothing is kept of them",
  "maybe-sas-kept":
    "receive SAs kept although their request was given up: the peer may send with them",
  "requests-repeated": "given-up requests asked again with the same id, SPIs and keys",
  "unconfirmed-asks":
    "exchanges wanted because the peer was not heard on a tunnel that it asked for",
  "confirmations-received": "tunnels that a message of the peer confirmed, not a packet",
  "version-fallbacks": "exchanges repeated with the version that the responder chose",
  "no-peer": "misses towards an address that no peer owns",
  "link-scope": "misses of multicast and link-local packets, which no tunnel carries",
  "foreign-source": "misses from an address that is not this host's",
  "back-off": "misses dropped while their peer or tunnel backs off",
  "no-resource": "tunnels not set up because the plane refused",
  "peer-share": "tunnels refused: their peer has as many as it may (tunnel.peer_share)",
  "network-share":
    "tunnels refused: their network has half of what their peer may have, where there are several",
  "source-share":
    "tunnels refused: the address that wants them has as many as it may (tunnel.source_share)",
  "peer-sas": "tunnels refused to a peer that has more SAs than its tunnels need",
  "tunnels-full": "tunnels refused: the table is full, and none in it is idle",
  "tunnels-evicted": "tunnels closed to make room: failed, idle, or nobody answered on them",
  "refused-identity": "requests from a peer that is unknown or on the deny list",
  "refused-vip":
    "tunnels refused: the caller does not own the source, or this host the destination",
  "refused-crypt-offset":
    "tunnels refused: the peer asks for more in clear text than psp.max_crypt_offset",
  "refused-network":
    "tunnels refused: of a network that is not known, that the peer is not in, or with another cookie",
  "refused-version": "requests without a version in common",
  "refused-epoch": "messages from an earlier start of the peer",
  "refused-clone": "messages refused: their sender's identity answers at another address too",
  "refused-pip": "messages refused: the outer address in them is another peer's",
  "refused-rate": "requests and notices beyond a rate limit",
  "refused-request": "requests or tunnels that are malformed",
  "peer-restarts": "new boot epochs seen",
  "tx-sas-expired": "transmit SAs that reached their hard limit: the pair fails closed",
  "rx-sas-retired": "receive SAs removed after their grace time",
  "notices-sent": "notices sent to peers",
  "notices-failed": "notices that did not arrive",
  "notices-received": "notices accepted from peers",
  "unknown-spis": "packets' SPIs reported to their sender as unknown",
  "untraced-spis": "packets with an unknown SPI from an address that no peer is known by",
  "rotations": "rotations of the master key by this agent",
  "rotations-postponed": "rotations not made because a live peer still uses an old SPI",
  "restored": "tunnels of the last run asked for again",
  "record-failed": "writes to the database that failed",
  "plane-errors": "removals and releases that the plane refused",
} as const;

/** Name of an agent counter. */
export type AgentCounter = keyof typeof AGENT_COUNTERS;

/** The values, all present from the start. */
export class Counters {
  readonly #values: Map<AgentCounter, bigint> = new Map(
    (Object.keys(AGENT_COUNTERS) as AgentCounter[]).map((name) => [name, 0n]),
  );

  /** Adds `by`. */
  add(name: AgentCounter, by = 1n): void {
    this.#values.set(name, this.get(name) + by);
  }

  get(name: AgentCounter): bigint {
    return this.#values.get(name) ?? 0n;
  }

  /** A copy of all of them. */
  snapshot(): Record<string, bigint> {
    return Object.fromEntries(this.#values);
  }
}

/** A name of the code or of a protocol, "no_peer", as counters, the log, events and lists spell it: "no-peer". */
export function spelled(name: string): string {
  return name.replaceAll("_", "-");
}
