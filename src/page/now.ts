// SPDX-License-Identifier: Apache-2.0

/** Health in one sentence, with what to do; then what happens, as plots. */
import type { VNode } from "preact";
import type { GetStatusResponse, Warning } from "../rpc/gen/psp/v1/status_pb.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Feed, useFeed } from "./feed.ts";
import { type Child, html } from "./html.ts";
import { type Line, Plot } from "./plot.ts";
import { amount, grouped, span } from "./rates.ts";

const TRAFFIC: readonly Line[] = [
  { name: "tx", label: "sent", color: "--tx" },
  { name: "rx", label: "received", color: "--rx" },
];
const EXCHANGES: readonly Line[] = [{ name: "exchanges", label: "exchanges", color: "--tx" }];
const FIRST: readonly Line[] = [
  { name: "p50", label: "half below", color: "--tx" },
  { name: "p99", label: "99 of 100 below", color: "--warn" },
];
/** Reasons that have lines of their own at one time. */
const REASONS = 5;
const COLORS = ["--bad", "--warn", "--rx", "--tx", "--faint"];

/** The first tab. */
export function Now({ feed }: { readonly feed: Feed }): VNode {
  const { status, history } = useFeed(feed);
  if (status === undefined) return html`<p class="faint">Asking the agent ...</p>`;
  const drops = Object.entries(status.drops).filter(([, n]) => n > 0n)
    .sort(([, a], [, b]) => a < b ? 1 : -1);
  const lines = drops.slice(0, REASONS).map(([reason], i): Line => ({
    name: `drop ${reason}`,
    label: reason,
    color: COLORS[i] ?? "--faint",
  }));
  return html`
    <${Health} status=${status} />
    <dl class="facts">${facts(status)}</dl>
    <div class="plots">
      <${Plot} title="Throughput" unit="bit/s" lines=${TRAFFIC} history=${history} />
      <${Plot} title="Drops" unit="/s" lines=${lines} history=${history} />
      <${Plot} title="Exchanges with peers" unit="/s" lines=${EXCHANGES} history=${history} />
      <${Plot} title="First packets: how long held" unit="ms" lines=${FIRST}
        history=${history} />
    </div>
    <h2>Dropped since the start</h2>
    ${drops.length === 0 ? html`<p class="faint">Nothing.</p>` : html`
      <table class="narrow">
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col" class="n">Packets</th>
          </tr>
        </thead>
        <tbody>${drops.map(([reason, n]) =>
          html`
            <tr>
              <td>${reason}</td>
              <td class="n">${grouped(n)}</td>
            </tr>
          `
        )}</tbody>
      </table>
    `}
  `;
}

function Health({ status }: { readonly status: GetStatusResponse }): VNode {
  const { warnings, tunnels, peersTotal } = status;
  const open = (tunnels?.up ?? 0) + (tunnels?.rekeying ?? 0);
  if (warnings.length === 0) {
    return html`<p class="health ok" role="status">
      All is well. Tunnels that are up: ${open}. Peers: ${peersTotal}.</p>`;
  }
  return html`<div class="health ${warnings[0]?.severity}" role="status">${
    warnings.map((warning: Warning) => html`<p><b>${warning.text}.</b> ${warning.action}.</p>`)
  }</div>`;
}

function facts(status: GetStatusResponse): Child[] {
  const { plane, mtu, rotation, tunnels, startedAt, certificateExpiresAt, nextRekeyAt } = status;
  const now = Date.now();
  const ahead = (at: typeof startedAt) =>
    at === undefined ? "not planned" : `in ${span(timestampMs(at) - now)}`;
  const due = (at: NonNullable<typeof startedAt>) => timestampMs(at) <= now ? "due" : ahead(at);
  const rows: [string, string][] = [
    ["Agent", `${status.id}, version ${status.version}`],
    ["Up for", startedAt === undefined ? "?" : span(now - timestampMs(startedAt))],
    ["Plane", `${plane?.kind} (${plane?.backend}), ${plane?.uplink} and ${plane?.host}`],
    ["Tunnels", tunnelsText(tunnels)],
    ["Largest inner packet", `${mtu?.largestInnerPacket} of ${mtu?.uplink}`],
    ["Next rekey", nextRekeyAt === undefined ? "none is due" : due(nextRekeyAt)],
    ["Next rotation", ahead(rotation?.nextAt)],
    ["SAs on the old key", `${rotation?.sasOnOldKey}`],
    [
      "Certificate ends",
      certificateExpiresAt === undefined
        ? "none is in use"
        : timestampMs(certificateExpiresAt) < now
        ? "it has ended"
        : ahead(certificateExpiresAt),
    ],
    ["Packets sealed, opened", `${packets(status, "tx")}, ${packets(status, "rx")}`],
  ];
  return rows.map(([name, value]) =>
    html`
      <div>
        <dt>${name}</dt>
        <dd>${value}</dd>
      </div>
    `
  );
}

/** "3 up, 1 failed": those in no state are left out. */
function tunnelsText(tunnels: GetStatusResponse["tunnels"]): string {
  const { up = 0, rekeying = 0, opening = 0, unconfirmed = 0, failed = 0 } = tunnels ?? {};
  const others = Object.entries({ rekeying, opening, unconfirmed, failed });
  return [["up", up] as const, ...others.filter(([, n]) => n > 0)]
    .map(([state, n]) => `${grouped(n)} ${state}`).join(", ");
}

function packets({ counters }: GetStatusResponse, direction: "tx" | "rx"): string {
  return amount(Number(counters[`${direction}-packets`] ?? 0n), "");
}
