// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** Peers and tunnels as tables, a page at a time; the agent does the filtering. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type {
  Event,
  ListTunnelsResponse,
  PeerStatus,
  Sa,
  Tunnel,
} from "../rpc/gen/psp/v1/status_pb.ts";
import { spiText } from "../model/sa.ts";
import { api, why } from "./api.ts";
import { eventWords } from "./events.ts";
import { type Feed, PEERS, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { amount, span } from "./rates.ts";
import { Sequence } from "./sequence.ts";

const PAGE = 100;
const EACH_MS = 1000;

/** The third tab. */
export function Tunnels({ feed }: { readonly feed: Feed }): VNode {
  const { status } = useFeed(feed);
  const [filter, setFilter] = useState("");
  const peers = (status?.peers ?? []).filter((peer) =>
    [peer.id, peer.svcAddress, ...peer.vips].some((text) => text.includes(filter))
  );
  const unseen = (status?.peersTotal ?? 0) - (status?.peers.length ?? 0);
  return html`
    <label class="filter">Only with <input type="search" value=${filter} autocomplete="off"
      placeholder="a peer or an address"
      onInput=${(e: InputEvent) =>
        setFilter((e.target as HTMLInputElement).value.trim())} /></label>
    <h2 id="peers">Peers</h2>
    <div class="scroll">
      <table aria-labelledby="peers">
        <thead>
          <tr>${[
            "Peer",
            "State",
            "Address",
            "Addresses of its workloads",
            "Tunnels",
            "Key exchange",
            "Last error",
          ]
            .map((name) => html`<th scope="col">${name}</th>`)}</tr>
        </thead>
        <tbody>${peers.map((peer) => html`<${Peer} key=${peer.id} peer=${peer} />`)}</tbody>
      </table>
    </div>
    ${unseen > 0
      ? html`<p class="faint">These are the ${PEERS} that fail first; there are ${unseen} more.</p>`
      : null}
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
        : `next try in ${span(timestampMs(peer.nextAttemptAt) - Date.now())}`
    }`;
  const { refusal } = peer;
  const refused = refusal === undefined ? "-" : `${refusal.by} refused: ${refusal.message}`;
  return html`
    <tr class=${fails ? "bad" : ""}>
      <td>${peer.id}</td>
      <td>${state}</td>
      <td>${peer.svcAddress}</td>
      <td>${peer.vips.slice(0, 3).join(", ")}${peer.vips.length > 3
        ? ` and ${peer.vips.length - 3} more`
        : ""}</td>
      <td class="n">${peer.tunnels}</td>
      <td>${peer.keyExchange || "-"}</td>
      <td>${peer.lastError || refused}</td>
    </tr>
  `;
}

/** One page of tunnels, asked for again each second. */
function List({ filter, id }: { readonly filter: string; readonly id: string }): VNode {
  const [page, setPage] = useState<ListTunnelsResponse | undefined>(undefined);
  const [tokens, setTokens] = useState<readonly string[]>([""]);
  const [problem, setProblem] = useState("");
  const [chosen, choose] = useState("");
  useEffect(() => setTokens([""]), [filter]);
  const pageToken = tokens.at(-1) ?? "";
  useEffect(() => {
    let over = false;
    const ask = async () => {
      try {
        const found = await api.listTunnels({ contains: filter, pageSize: PAGE, pageToken });
        if (!over) setPage(found);
        setProblem("");
      } catch (error) {
        setProblem(why(error));
      }
    };
    ask();
    const timer = setInterval(ask, EACH_MS);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [filter, pageToken]);
  const found = page?.tunnels ?? [];
  const next = page?.nextPageToken ?? "";
  const first = (tokens.length - 1) * PAGE;
  const tunnel = found.find((one) => keyOf(one) === chosen);
  return html`
    <h2 id="tunnels">Tunnels</h2>
    ${problem === "" ? null : html`<p class="health page">${problem}</p>`}
    <div class="scroll">
      <table aria-labelledby="tunnels">
        <thead>
          <tr>${[
            "Peer",
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
        <tbody>${found.map((one) =>
          html`
            <${Row} key=${keyOf(one)} tunnel=${one} chosen=${keyOf(one) === chosen}
              choose=${() => choose(keyOf(one) === chosen ? "" : keyOf(one))} />
          `
        )}</tbody>
      </table>
    </div>
    <p class="pages">
      <button type="button" disabled=${tokens.length < 2}
        onClick=${() => setTokens(tokens.slice(0, -1))}>Back</button>
      ${found.length === 0 ? "No tunnels." : `${first + 1} to ${first + found.length}`}
      <button type="button" disabled=${next === ""}
        onClick=${() => setTokens([...tokens, next])}>More</button>
    </p>
    ${tunnel === undefined ? null : html`<${Detail} tunnel=${tunnel} id=${id} />`}
  `;
}

function keyOf({ peer, localVip, remoteVip }: Tunnel): string {
  return `${peer} ${localVip} ${remoteVip}`;
}

function Row({ tunnel, chosen, choose }: {
  readonly tunnel: Tunnel;
  readonly chosen: boolean;
  readonly choose: () => void;
}): VNode {
  const { tx, rx } = tunnel;
  const age = tx?.createdAt === undefined ? "-" : span(Date.now() - timestampMs(tx.createdAt));
  const passed = (sa: Sa | undefined) => sa === undefined ? "-" : amount(Number(sa.bytes), "B");
  const spi = (sa: Sa | undefined) => sa === undefined ? "-" : spiText(sa.spi);
  return html`
    <tr class=${tunnel.state === "failed" ? "bad" : chosen ? "chosen" : ""}>
      <td>${tunnel.peer}</td>
      <td><button type="button" class="link" aria-expanded=${chosen} onClick=${choose}>${tunnel
        .localVip}</button></td>
      <td>${tunnel.remoteVip}</td>
      <td>${tunnel.state}</td>
      <td class="n">${passed(tx)}</td>
      <td class="n">${passed(rx)}</td>
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
