// SPDX-License-Identifier: Apache-2.0

/** How the RPC side tells the agent what happened: counters, log messages, and who was refused. */
import type { LogFields } from "../model/log.ts";
import type { Refused } from "./identity.ts";

/** Every counter of the RPC side, and what one count of it means. */
export const RPC_COUNTERS = {
  "handshakes-failed": "connections that never became TLS sessions: garbage, silence",
  "handshakes-evicted": "unfinished handshakes that made room for newer ones",
  "handshakes-limited": "handshakes refused because their address began too many",
  "connections-exceeded":
    "connections refused because all that may be open are, none with less right to it",
  "connections-evicted":
    "connections closed because their peer or address opened too many newer ones",
  "connections-crowded":
    "connections closed because a full listener took a newer one: the idle first, of whoever has most",
  "connections-idle": "connections closed because they asked for nothing for too long",
  "connections-no-descriptor":
    "connections refused because the process may open few more files (LimitNOFILE)",
  "outward-idle": "connections to peers closed because nobody needed them for a minute",
  "outward-evicted":
    "connections to peers closed because a newer one needed their place (rpc.max_connections)",
  "outward-full": "calls put off because every connection to peers that may be open was busy",
  "requests-late": "requests ended because their body or their reader took too long",
  "listeners-reopened": "times a listener that accepted no connections was opened again",
  "h1-octets": "HTTP/1.1 connections ended: too many octets that are no message",
  "h1-pipelined": "HTTP/1.1 connections ended: too many requests before an answer",
  "h1-small-chunks": "HTTP/1.1 connections ended: too many chunks that carry nothing",
  "h2-pings": "HTTP/2 connections ended: too many PING frames",
  "h2-settings": "HTTP/2 connections ended: too many SETTINGS frames",
  "h2-priorities": "HTTP/2 connections ended: too many PRIORITY frames",
  "h2-window-updates": "HTTP/2 connections ended: too many WINDOW_UPDATE frames",
  "h2-resets": "HTTP/2 connections ended: too many requests that were reset",
  "h2-continuations": "HTTP/2 connections ended: too many CONTINUATION frames",
  "h2-small-frames": "HTTP/2 connections ended: too many DATA frames that carry nothing",
  "h2-unknown-frames": "HTTP/2 connections ended: too many frames of unknown types",
  "h2-header-blocks": "HTTP/2 connections ended: a header block with too many fields or octets",
  "sessions-resumed":
    "TLS sessions that were resumed: refused where a certificate is needed, else as without one",
  "key-exchange-refused":
    "TLS connections refused because their key exchange would not be post-quantum (rpc.require_pq)",
  "certificate-missing": "connections without a certificate where one is needed",
  "certificate-unreadable": "certificates that cannot be read",
  "certificate-early": "certificates, or those of their CA, that are not valid yet",
  "certificate-expired":
    "certificates, or those of their CA, that have ended, open connections too",
  "certificate-unfit":
    "certificates whose usage, constraints or critical extensions forbid their use",
  "certificate-untrusted":
    "certificates without a chain to a CA of the file in force, open connections too",
  "certificate-refused":
    "TLS connections that the other side ended with an alert about this host's certificate",
  "no-identity": "certificates without a SAN that could be a peer's",
  "foreign-domain": "certificates of another trust domain",
  "contradictory-identity": "certificates that name several identities",
  "unknown-identity":
    "certificates of somebody who is not a configured peer, or not the one called",
  "denied-identity": "certificates on the deny list",
  "invalid-request": "requests with a field that cannot be right",
  "unreadable-request":
    "requests of peers that call nothing: their path, encoding or message is none",
  "protocol-errors": "connections ended: what came on them is not HTTP",
  "internal-error": "requests that failed inside",
  "peer-unavailable": "calls that got no answer from the peer",
  "tls-reloads": "times new TLS files came into force",
  "tls-reload-failed": "new TLS files that could not be used",
  "status-foreign-host": "status requests under a name that is not this listener's",
  "status-foreign-origin": "preflights of a page whose origin status.origins does not name",
  "status-unauthorized": "status requests without token or certificate",
} as const;

/** Name of a counter of the RPC side. */
export type RpcCounter = keyof typeof RPC_COUNTERS;

/** Given by the agent; the default does nothing. */
export interface RpcEvents {
  /** Adds one to the counter. */
  count(name: RpcCounter): void;
  /** The message is a constant sentence; the facts are fields. */
  log(
    level: "info" | "warning" | "error",
    message: string,
    fields?: LogFields,
  ): void;
  /** A caller proved who it is, and is nobody who may ask. */
  refused(caller: Refused): void;
  /** A peer, which has proved who it is, refuses to ask this host, in its words; "": it says no more. */
  refusedBy(peer: string, why: string): void;
}

/** Hears nothing. */
export const SILENT: RpcEvents = { count() {}, log() {}, refused() {}, refusedBy() {} };
