// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** What happens, as it happens. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { spiText } from "../model/sa.ts";
import type { Event } from "../rpc/gen/psp/v1/status_pb.ts";
import { type Feed, useFeed } from "./feed.ts";
import { html } from "./html.ts";

const BAD: ReadonlySet<string> = new Set([
  "tunnel-failed",
  "tunnel-expired",
  "tunnel-lost",
  "peer-failing",
  "request-refused",
  "plane-fault",
]);

/** The last tab. */
export function Events({ feed }: { readonly feed: Feed }): VNode {
  const { events } = useFeed(feed);
  const [filter, setFilter] = useState("");
  const found = events.filter((event) => eventWords(event).includes(filter));
  return html`
    <label class="filter">Only with <input type="search" value=${filter} autocomplete="off"
      placeholder="a peer, an address, a word"
      onInput=${(e: InputEvent) =>
        setFilter((e.target as HTMLInputElement).value.trim())} /></label>
    <h2 id="events">Events of the last hour, the newest first</h2>
    <ol class="events" aria-labelledby="events">${found.slice(0, 300).map((event) =>
      html`<li key=${String(event.cursor)} class=${BAD.has(event.kind) ? "bad" : ""}>${
        eventWords(event)
      }</li>`
    )}</ol>
    ${found.length === 0 ? html`<p class="faint">None.</p>` : null}
  `;
}

/** An event as a line. */
export function eventWords(event: Event): string {
  const { time, text, localVip, remoteVip, peer, role, txSpi, rxSpi, reason, message } = event;
  const facts = [
    localVip === "" ? "" : `${localVip} to ${remoteVip}`,
    peer === "" ? "" : `peer ${peer}`,
    role === "" ? "" : `as ${role}`,
    txSpi === undefined ? "" : `tx ${spiText(txSpi)}`,
    rxSpi === undefined ? "" : `rx ${spiText(rxSpi)}`,
    event.durationMs === undefined ? "" : `after ${event.durationMs.toFixed(1)} ms`,
    reason,
    message === "" ? "" : `(${message})`,
    event.count > 1 ? `and ${event.count - 1} more like it` : "",
  ].filter((fact) => fact !== "");
  const when = time === undefined ? "" : timestampDate(time).toISOString().slice(11, 23);
  return `${when} ${text}${facts.length === 0 ? "" : `: ${facts.join(", ")}`}`;
}
