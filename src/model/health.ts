// SPDX-License-Identifier: Apache-2.0

/** What is wrong with a running agent, by name, in a sentence, and what to do about it. Pure. */
import type { PortView, StatusView } from "./status.ts";

/** One thing that wants an operator. */
export interface Warning {
  readonly name: string;
  /** `page`: packets are lost, or may go in clear text. `ticket`: they will be. */
  readonly severity: "page" | "ticket";
  readonly text: string;
  readonly action: string;
}

/** Before a certificate ends. */
const CERTIFICATE_MS = 7 * 86_400_000;
/** Of the event loop, at p99; a start alone is no reason: these are a minute's looks. */
const LATE_MS = 100;
const LOOKS = 3000;

/** The worst first; none: all is well. `peers` of the view should have those that fail first. */
export function warningsOf(status: StatusView, nowMs: number): readonly Warning[] {
  const all = [
    nothingPasses(status),
    peersFail(status),
    waysAreLost(status),
    guards(status),
    later(status, nowMs),
  ];
  return all.flat().sort((a, b) => a.severity.localeCompare(b.severity));
}

function nothingPasses({ draining, faults, counters }: StatusView): Warning[] {
  const out: Warning[] = faults.map((text) => ({
    name: "plane-fault",
    severity: "page",
    text: `Nothing passes: ${text}`,
    action: "Bring the interface up (ip link set NAME up), or back",
  }));
  if (draining) {
    const action = "Wait for its end, or for its next start";
    out.push({ name: "draining", severity: "page", text: "The agent is ending", action });
  }
  if ((counters["kernel-forwards"] ?? 0n) > 0n) {
    out.push({
      name: "kernel-forwards",
      severity: "page",
      text: "The kernel was found forwarding packets of workloads in clear text",
      action: "Set net.ipv4.conf.NAME.forwarding=0 on the host port, and the same for ipv6",
    });
  }
  return out;
}

function peersFail({ peers }: StatusView): Warning[] {
  const failing = peers.filter(({ state }) => state === "failing");
  const [first, ...others] = failing;
  if (first === undefined) return [];
  const more = others.length > 0 ? ` and ${others.length} more` : "";
  return [{
    name: "peer-failing",
    severity: "page",
    text: `Exchanges with ${first.id}${more} fail: ${first.lastError || "no answer"}`,
    action:
      "Look at the same peer's own status and events; psp-agent doctor --config tries the way there",
  }];
}

function waysAreLost({ peers }: StatusView): Warning[] {
  const [first, ...others] = peers.filter(({ unreachedSinceMs }) => unreachedSinceMs !== undefined);
  if (first === undefined) return [];
  const more = others.length > 0 ? ` and ${others.length} more` : "";
  return [{
    name: "path-lost",
    severity: "page",
    text: `No packet that is sent to ${first.id}${more} arrives, though its agent answers`,
    action: "Let UDP port 1000 pass between the outer addresses (pip), in both directions",
  }];
}

function guards({ plane }: StatusView): Warning[] {
  const absent = plane.ports.filter(({ guard }) => guard.state === "absent");
  if (absent.length === 0) return [];
  return [{
    name: "guard-absent",
    severity: "ticket",
    text: `The kernel of this host sees its copies of packets on ${names(absent)}`,
    action: "Give the agent CAP_NET_ADMIN on Linux 5.12 or later; until then switch forwarding off",
  }];
}

function names(ports: readonly PortView[]): string {
  return ports.map((port) => port.interface).join(", ");
}

function later({ certificateExpiresAtMs, eventLoop }: StatusView, nowMs: number): Warning[] {
  const out: Warning[] = [];
  if (certificateExpiresAtMs !== undefined && certificateExpiresAtMs - nowMs < CERTIFICATE_MS) {
    const days = Math.floor((certificateExpiresAtMs - nowMs) / 86_400_000);
    out.push({
      name: "certificate-ends",
      severity: days < 1 ? "page" : "ticket",
      text: days < 0 ? "A certificate has ended" : `A certificate ends in ${days} days`,
      action: "Put new files where rpc.tls names them; the agent reads them by itself",
    });
  }
  if (eventLoop.p99Ms > LATE_MS && (eventLoop.buckets.at(-1)?.looks ?? 0) >= LOOKS) {
    out.push({
      name: "event-loop-late",
      severity: "ticket",
      text: `The agent comes ${Math.round(eventLoop.p99Ms)} ms late to what is due (p99)`,
      action: "Give it more of a core, or fewer new tunnels at a time",
    });
  }
  return out;
}
