// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/**
 * Peers and tunnels as tables. Of very many tunnels those in sight are drawn, and asked for again; the agent does the
 * filtering.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type {
  Event,
  ListTunnelsResponse,
  PeerStatus,
  Sa,
  Tunnel,
} from "../rpc/gen/psp/v1/status_pb.ts";
import { addressOf, networkOf } from "../model/network.ts";
import { spiText } from "../model/sa.ts";
import { api } from "./api.ts";
import { eventWords } from "./events.ts";
import { type Feed, PEERS, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { usePolled } from "./poll.ts";
import { amount, grouped, span } from "./rates.ts";
import { Sequence } from "./sequence.ts";
import { inSight, pagesOf } from "./virtual.ts";

const PAGE = 100;
/** A row of the tunnels, and what is seen of them, in pixels: page.css has the same. */
const ROW = 28;
const SEEN = 560;

/** The third tab. */
export function Tunnels({ feed }: { readonly feed: Feed }): VNode {
  const { status } = useFeed(feed);
  const [filter, setFilter] = useState("");
  // Of very many peers the page has some; the agent knows which of all of them match.
  const { answer, problem } = usePolled(
    filter === "" ? undefined : filter,
    () => api.listPeers({ contains: filter, pageSize: PEERS }),
  );
  const peers = (filter === "" ? status?.peers : answer?.peers) ?? [];
  const unseen = (status?.peersTotal ?? 0) - (status?.peers.length ?? 0);
  const rest = filter !== ""
    ? answer?.nextPageToken ? `These are the first ${peers.length} with it; there are more.` : ""
    : unseen > 0
    ? `These are the ${PEERS} that fail first; there are ${grouped(BigInt(unseen))} more.`
    : "";
  const isKnown = filter === "" ? status !== undefined : answer !== undefined;
  return html`
    <label class="filter">Only with <input type="search" value=${filter} autocomplete="off"
      placeholder="a peer or an address"
      onInput=${(e: InputEvent) =>
        setFilter((e.target as HTMLInputElement).value.trim())} /></label>
    <h2 id="peers">Peers</h2>
    ${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
    <div class="scroll peers" tabindex="0" role="region" aria-label="Peers, to be scrolled">
      <table aria-labelledby="peers">
        <thead>
          <tr>${[
            "Peer",
            "State",
            "Address",
            "Networks",
            "Addresses of its workloads",
            "Tunnels",
            "Key exchange",
            "Last error",
          ]
            .map((name) =>
              html`<th scope="col" class=${name === "Tunnels" ? "n" : ""}>${name}</th>`
            )}</tr>
        </thead>
        <tbody>${peers.map((peer) => html`<${Peer} key=${peer.id} peer=${peer} />`)}</tbody>
      </table>
    </div>
    ${peers.length > 0 || !isKnown ? null : html`<p class="faint">No peers.</p>`}
    ${rest === "" ? null : html`<p class="faint">${rest}</p>`}
    <${List} filter=${filter} id=${status?.id ?? ""} />
  `;
}

function Peer({ peer }: { readonly peer: PeerStatus }): VNode {
  const fails = peer.state === "failing";
  const state = !fails || peer.failingSince === undefined
    ? peer.state
    : `failing for ${span(Date.now() - timestampMs(peer.failingSince))}, ${
      peer.nextAttemptAt === undefined
        ? "trying"
        : nextTry(timestampMs(peer.nextAttemptAt) - Date.now())
    }`;
  const networks = [...new Set(peer.vips.map(networkOf))];
  const { refusal } = peer;
  const refused = refusal === undefined ? "-" : `${refusal.by} refused: ${refusal.message}`;
  return html`
    <tr class=${fails ? "bad" : ""}>
      <td>${peer.id}</td>
      <td>${state}</td>
      <td>${peer.svcAddress}</td>
      <td>${networks.map((name) => name || "default").join(", ")}</td>
      <td>${peer.vips.slice(0, 3).join(", ")}${peer.vips.length > 3
        ? ` and ${peer.vips.length - 3} more`
        : ""}</td>
      <td class="n">${peer.tunnels}</td>
      <td>${peer.keyExchange || "-"}</td>
      <td>${peer.lastError || refused}</td>
    </tr>
  `;
}

function nextTry(leftMs: number): string {
  return leftMs <= 0 ? "next try is due" : `next try in ${span(leftMs)}`;
}

/** What is known of a page. */
interface Page {
  readonly tunnels: readonly Tunnel[];
  /** Of the page after it; "": there is none. */
  readonly next: string;
}

/**
 * All tunnels that match, as far down as somebody has scrolled. The agent knows a page by the last row of the one before,
 * so the list grows downwards, and what is in sight is asked for again each second.
 */
function List({ filter, id }: { readonly filter: string; readonly id: string }): VNode {
  const [top, setTop] = useState(0);
  const [chosen, choose] = useState("");
  const known = useRef<{ filter: string; pages: readonly Page[] }>({ filter, pages: [] });
  const region = useRef<HTMLElement>(null);
  if (known.current.filter !== filter) known.current = { filter, pages: [] };
  useEffect(() => {
    setTop(0);
    if (region.current !== null) region.current.scrollTop = 0;
  }, [filter]);
  const { pages } = known.current;
  const rows = pages.flatMap(({ tunnels }) => tunnels);
  const more = pages.at(-1)?.next !== "";
  // One row beyond what is known: who comes there wants the next page.
  const sight = inSight({ top, height: SEEN, row: ROW, total: rows.length + (more ? 1 : 0) });
  const wanted = pagesOf(sight, PAGE).filter((n) => n === 0 || pages[n - 1]?.next);
  const ask = (n: number): Promise<ListTunnelsResponse> => {
    const pageToken = n === 0 ? "" : pages[n - 1]?.next ?? "";
    return api.listTunnels({ contains: filter, pageSize: PAGE, pageToken });
  };
  const { answer, problem } = usePolled(
    JSON.stringify([filter, wanted, wanted.map((n) => pages[n - 1]?.next)]),
    async () => {
      const found = await Promise.all(wanted.map(ask));
      if (known.current.filter !== filter) return;
      const next = [...known.current.pages];
      found.forEach(({ tunnels, nextPageToken }, i) => {
        const n = wanted[i] ?? 0;
        // A page that begins elsewhere now, or ends, makes those after it others.
        if (next[n]?.next !== nextPageToken) next.length = Math.min(next.length, n);
        next[n] = { tunnels, next: nextPageToken };
      });
      known.current = { filter, pages: next };
      return next;
    },
  );
  const shown = rows.slice(sight.first, sight.end);
  const tunnel = rows.find((one) => keyOf(one) === chosen);
  const space = (from: number, to: number) => ({ height: `${Math.max(0, to - from) * ROW}px` });
  const count = answer === undefined && rows.length === 0
    ? "Asking the agent ..."
    : rows.length === 0
    ? "No tunnels."
    : more
    ? `The first ${rows.length}; scroll for more.`
    : rows.length === 1
    ? "One tunnel."
    : `${rows.length} tunnels.`;
  return html`
    <h2 id="tunnels">Tunnels</h2>
    ${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
    <div class="scroll virtual" tabindex="0" role="region" aria-label="Tunnels, to be scrolled"
      ref=${region} onScroll=${(e: UIEvent) => setTop((e.target as HTMLElement).scrollTop)}>
      <table aria-labelledby="tunnels" aria-rowcount=${more ? -1 : rows.length + 1}>
        <thead>
          <tr aria-rowindex="1">${[
            "Peer",
            "Network",
            "Here",
            "There",
            "State",
            "Sent",
            "Received",
            "TX SPI",
            "RX SPI",
            "Key age",
            "Last error",
          ]
            .map((name) =>
              html`<th scope="col" class=${/^(Sent|Received)$/.test(name) ? "n" : ""}>${name}</th>`
            )}</tr>
        </thead>
        <tbody aria-hidden="true">
          <tr class="space" style=${space(0, sight.first)}></tr>
        </tbody>
        <tbody>${shown.map((one, i) =>
          html`
            <${Row} key=${keyOf(one)} index=${sight.first + i + 2} tunnel=${one}
              chosen=${keyOf(one) === chosen}
              choose=${() => choose(keyOf(one) === chosen ? "" : keyOf(one))} />
          `
        )}</tbody>
        <tbody aria-hidden="true">
          <tr class="space" style=${space(sight.end, rows.length)}></tr>
        </tbody>
      </table>
    </div>
    <p class="faint" role="status">${count}</p>
    ${tunnel === undefined ? null : html`<${Detail} tunnel=${tunnel} id=${id} />`}
  `;
}

function keyOf({ peer, localVip, remoteVip }: Tunnel): string {
  return `${peer} ${localVip} ${remoteVip}`;
}

function Row({ index, tunnel, chosen, choose }: {
  readonly index: number;
  readonly tunnel: Tunnel;
  readonly chosen: boolean;
  readonly choose: () => void;
}): VNode {
  const { tx, rx } = tunnel;
  const age = tx?.createdAt === undefined ? "-" : span(Date.now() - timestampMs(tx.createdAt));
  // An agent of before knows of the present SAs alone.
  const [sent, received] = [tunnel.sent ?? tx, tunnel.received ?? rx];
  const passed = (all: { readonly bytes: bigint } | undefined) =>
    all === undefined ? "-" : amount(Number(all.bytes), "B");
  const spi = (sa: Sa | undefined) => sa === undefined ? "-" : spiText(sa.spi);
  return html`
    <tr aria-rowindex=${index}
      class=${tunnel.state === "failed" ? "bad" : chosen ? "chosen" : ""}>
      <td>${tunnel.peer}</td>
      <td>${networkOf(tunnel.localVip) || "default"}</td>
      <td><button type="button" class="link" aria-expanded=${chosen} onClick=${choose}>${addressOf(
        tunnel.localVip,
      )}</button></td>
      <td>${addressOf(tunnel.remoteVip)}</td>
      <td>${tunnel.state}</td>
      <td class="n">${passed(sent)}</td>
      <td class="n">${passed(received)}</td>
      <td class="mono">${spi(tx)}</td>
      <td class="mono">${spi(rx)}</td>
      <td>${age}</td>
      <td>${tunnel.lastError || "-"}</td>
    </tr>
  `;
}

/** What happened to one tunnel in the last hour, and its last exchange as a sequence. */
function Detail({ tunnel, id }: { readonly tunnel: Tunnel; readonly id: string }): VNode {
  const [events, setEvents] = useState<readonly Event[]>([]);
  const { peer, localVip, remoteVip } = tunnel;
  useEffect(() => {
    api.listEvents({ filter: { peer } }).then(({ events }) =>
      setEvents(
        events.filter((event) => event.localVip === localVip && event.remoteVip === remoteVip)
          .toReversed(),
      ), () => setEvents([]));
  }, [peer, localVip, remoteVip, tunnel.tx?.spi]);
  const exchange = events.find(({ kind }) => kind === "tunnel-opened" || kind === "tunnel-rekeyed");
  const expires = tunnel.tx?.expiresAt;
  const rekey = tunnel.nextRekeyAt;
  return html`<section class="detail">
    <h2>${localVip} to ${remoteVip}</h2>
    <p>Sealed with ${tunnel.tx === undefined ? "nothing" : spiText(tunnel.tx.spi)}${
    expires === undefined ? "" : `, which ends in ${span(timestampMs(expires) - Date.now())}`
  }${rekey === undefined ? "" : ` and is replaced in ${span(timestampMs(rekey) - Date.now())}`}.</p>
    ${exchange === undefined ? null : html`<${Sequence} event=${exchange} id=${id} />`}
    <ul class="events">${events.map((event) => html`<li>${eventWords(event)}</li>`)}</ul>
  </section>`;
}
