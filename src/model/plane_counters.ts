// SPDX-License-Identifier: Apache-2.0

/** Counters of the data plane in words. The names are those of `c-shim/common/counters.h`; a test compares. */

/** What one count of each means. "(drop)" and "(hold)" mark packets that were lost, as they do there. */
export const PLANE_COUNTERS = {
  "key-rotations": "master keys that were replaced by another",
  "stale-events": "SPIs in use whose master key was rotated away",
  "rx-packets": "PSP packets opened and authentic",
  "rx-bytes": "octets of the packets opened: after the IV, without ICV",
  "rx-auth-fail": "(drop) PSP packets whose ICV is wrong",
  "rx-error": "(drop) PSP packets with wrong lengths, framing or UDP checksum",
  "rx-bad": "(drop) PSP packets with a version or an SPI that is never valid",
  "tx-packets": "packets sealed and sent",
  "tx-bytes": "octets of the packets sealed",
  "tx-error": "(drop) packets not sealed, or refused by the device",
  "tx-key-expired": "(drop) packets without a key in the slot, or without an IV left",
  "rx-no-sa": "(drop) authentic packets that no entry lets in",
  "rx-policy": "(drop) authentic packets that are not to be forwarded",
  "rx-crypt-offset": "(drop) authentic packets with another crypt offset than was asked for",
  "rx-replay": "(drop) authentic packets whose IV has come before, or is too far behind",
  "rx-bad-inner":
    "(drop) authentic packets whose inner packet is not sound, or is neighbour discovery, which is of one link",
  "held-packets": "packets without an entry that came to the hold",
  "held-released": "held packets that left the hold to run on",
  "drop-no-peer": "(hold) packets towards an address that no peer owns",
  "drop-peer-unreachable": "(hold) packets whose peer did not answer",
  "drop-refused": "(hold) packets that the peer, or this host, refused to carry",
  "drop-no-resource": "(hold) packets for which the plane had no room",
  "drop-shutdown": "(hold) packets that waited while the agent ended",
  "drop-back-off": "(hold) packets whose peer or tunnel backs off after a failure",
  "drop-hold-flow-full": "(hold) packets of a flow that has as many waiting as one may",
  "drop-hold-bytes": "(hold) packets for which the hold had no octets left",
  "drop-hold-flows": "(hold) packets of flows for which the hold had no place left",
  "misses-limited":
    "(hold) packets of one flow more than their port, or their source MAC, may have waiting",
  "drop-pipe": "(drop) packets that a pipe said to drop",
  "drop-loop": "(drop) packets that passed too many pipes in a row",
  "host-rx-packets": "packets that came in from workloads",
  "host-tx-packets": "packets that went out to workloads",
  "local-packets":
    "packets from one workload of this host to another: part of host-tx-packets, never sealed",
  "host-tx-busy": "(drop) packets to a workload that the host port did not take in time",
  "host-tx-error": "(drop) packets to a workload that the host port refused",
  "host-refused": "(drop) packets bound for the host port, but never opened",
  "host-unmatched":
    "(drop) packets of workloads that no pipe takes, or that are to one address and were sent to everybody on the link",
  "host-malformed": "(drop) packets of workloads that cannot be read",
  "uplink-rx-packets": "packets that came in from the uplink",
  "uplink-kernel": "packets from the uplink left to the kernel of this host",
  "uplink-malformed": "(drop) packets from the uplink that cannot be read",
  "uplink-tx-busy": "(drop) packets that the uplink did not take in time",
  "too-big":
    "(drop) packets larger than the tunnel, or their workload's port, carries; answered with ICMP",
  "too-big-told":
    "ICMP errors that the plane made for peers' packets larger than the port of their workload carries",
  "fragments": "pieces of packets that were cut for their way, less one for each of those packets",
  "mss-clamped": "TCP handshakes whose maximum segment size was lowered",
  "exceptions": "ARP, ND and DHCP packets handed to the agent",
  "samples": "sampled packets handed to the agent",
  "samples-lost": "of the samples, those that found their ring full",
  "exceptions-lost": "exceptions and too-big packets whose report found its ring full",
  "syndromes-lost": "reports of bad packets that found their ring full",
  "ports-lost": "reports of changes of a port that found their ring full",
  "exceptions-limited": "(drop) exceptions more than their port, or their source MAC, may have",
  "host-rx-full":
    "frames of workloads that found the queue of their port full: lost before anything counted them",
  "uplink-rx-full":
    "frames from the uplink that found its queue full: lost before anything counted them",
  "port-errors": "times that receiving failed: the interface is down or gone",
} as const;

/** The reason that a counter of lost packets stands for; undefined: what it counts was not lost. */
export function dropReason(name: string): string | undefined {
  return /^\((?:drop|hold)\) /.test(meaning(name)) ? name.replace(/^drop-/, "") : undefined;
}

/** Lost packets by the reason for it, from all counters. */
export function dropsByReason(
  counters: Readonly<Record<string, bigint>>,
): readonly (readonly [reason: string, packets: bigint])[] {
  return Object.entries(counters).flatMap(([name, packets]): [string, bigint][] => {
    const reason = dropReason(name);
    return reason === undefined ? [] : [[reason, packets]];
  });
}

/** Whether a counter is of packets that were lost while they waited for a tunnel. */
export function isLostInHold(name: string): boolean {
  return meaning(name).startsWith("(hold) ");
}

function meaning(name: string): string {
  return (PLANE_COUNTERS as Readonly<Record<string, string>>)[name] ?? "";
}
