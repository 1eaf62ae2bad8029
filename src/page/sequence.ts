// SPDX-License-Identifier: Apache-2.0

/** The exchange that gave a tunnel its SAs, as a sequence diagram. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { VNode } from "preact";
import { spiText } from "../model/sa.ts";
import type { Event } from "../rpc/gen/psp/v1/status_pb.ts";
import { html } from "./html.ts";

const WIDTH = 800;
const STEP = 34;

/** `event` is one of "tunnel-opened" and "tunnel-rekeyed"; `id` is this agent's own identity. */
export function Sequence({ event, id }: { readonly event: Event; readonly id: string }): VNode {
  const here = id.slice(id.lastIndexOf("/") + 1);
  const asked = event.role !== "responder";
  const own = event.rxSpi === undefined ? "" : ` ${spiText(event.rxSpi)}`;
  const theirs = event.txSpi === undefined ? "" : ` ${spiText(event.txSpi)}`;
  const opened = event.kind === "tunnel-opened";
  // From, to, what: 0 and 3 are the workloads, 1 and 2 the hosts; the one that asks stands left.
  const steps: [number, number, string][] = [
    ...opened ? [[0, 1, "first packet, held"] as [number, number, string]] : [],
    [1, 2, `NewTunnel, its own SPI${asked ? own : theirs}`],
    [2, 1, `the answer, with SPI${asked ? theirs : own}`],
    ...opened ? [[1, 3, "the packet, sealed"] as [number, number, string]] : [],
  ];
  const names = asked
    ? [event.localVip, here, event.peer, event.remoteVip]
    : [event.remoteVip, event.peer, here, event.localVip];
  const x = (column: number) => 70 + column * (WIDTH - 140) / 3;
  const height = 40 + steps.length * STEP;
  const when = event.time === undefined ? "" : timestampDate(event.time).toISOString();
  const took = event.durationMs === undefined
    ? ""
    : `, ${event.durationMs.toFixed(1)} ms after the packet came`;
  return html`
    <figure>
      <svg class="sequence" width=${WIDTH} height=${height} role="img"
        aria-label="The last exchange">
          ${names.map((name, i) =>
            html`
              <g>
                <text x=${x(i)} y="16" class="name">${name}</text>
                <path d="M${x(i)} 24V${height - 6}" class="life" />
              </g>
            `
          )}
          ${steps.map(([from, to, what], i) => {
            const y = 50 + i * STEP;
            const end = x(to) + (to > from ? -3 : 3);
            return html`
              <g>
                <path d="M${x(from)} ${y}H${end}" marker-end="url(#seq)" />
                <text x=${(x(from) + x(to)) / 2} y=${y - 6}>${what}</text>
              </g>
            `;
          })}
          <defs><marker id="seq" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
            markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" /></marker></defs>
        </svg>
      <figcaption class="faint">${event.text} at ${when}${took}; ${asked
        ? "this host"
        : event.peer} asked.</figcaption>
    </figure>
  `;
}
