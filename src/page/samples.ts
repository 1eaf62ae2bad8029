// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** Sampled packets as they come, with their headers decoded. Tenants' octets: the agent wants a token for them. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { addressOf, networkOf } from "../model/network.ts";
import { spiText } from "../model/sa.ts";
import type { Sample } from "../rpc/gen/psp/v1/status_pb.ts";
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, wantsToken, why } from "./api.ts";
import { decode, type Header, summary } from "./decode.ts";
import { type Feed, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { Token } from "./token.ts";

/** Samples that the page keeps, and how often it draws those that came. */
const KEPT = 200;
const DRAW_MS = 250;

interface Seen {
  readonly n: number;
  readonly sample: Sample;
  readonly headers: readonly Header[];
}

interface Watched {
  /** Newest first. */
  readonly seen: readonly Seen[];
  readonly lost: number;
  readonly problem: string;
  readonly locked: boolean;
}

const NONE: Watched = { seen: [], lost: 0, problem: "", locked: false };

/** The last tab but one. */
export function Samples({ feed }: { readonly feed: Feed }): VNode {
  const { pipes } = useFeed(feed);
  const [turn, setTurn] = useState(0);
  const [{ seen, lost, problem, locked }, setWatched] = useState(NONE);
  const [chosen, choose] = useState(-1);
  const [paused, pause] = useState(false);
  const isOff = pipes !== undefined && !pipes.pipes.some(({ name }) => /_SAMP$/.test(name));
  useEffect(() => isOff || paused ? undefined : watch(setWatched), [turn, isOff, paused]);
  if (isOff) {
    return html`
      <p class="health ticket"
        role="status">${"Sampling is off: set "}<code>psp.sample_rate_log2</code> in the agent's configuration, and start it again.</p>
    `;
  }
  if (locked) {
    const given = () => setTurn(turn + 1);
    return html`
      <${Token} why="Samples show what tenants send, so the agent wants to know who asks."
        given=${given} />
    `;
  }
  const shown = seen.find(({ n }) => n === chosen);
  return html`
    ${problem === "" ? null : html`<p class="health page" role="alert">${problem}.
      <button type="button" onClick=${() => setTurn(turn + 1)}>Try again</button></p>`}
    <p><button type="button" aria-pressed=${paused} onClick=${() => pause(!paused)}>Pause</button>
      <span class="faint">${lost === 0
        ? ""
        : `${lost} were too fast for this page. `}Choose one for all of its headers.</span></p>
    <div class="scroll" tabindex="0" role="region" aria-label="Samples">
      <table aria-label="Samples, the newest first">
        <thead>
          <tr>${["Time", "Way", "From", "To", "Network", "SPI", "Octets", "Headers"].map((name) =>
            html`<th scope="col" class=${name === "Octets" ? "n" : ""}>${name}</th>`
          )}</tr>
        </thead>
        <tbody>${seen.map((one) =>
          html`
            <${Row} key=${one.n} seen=${one} chosen=${one.n === chosen}
              choose=${() => choose(one.n === chosen ? -1 : one.n)} />
          `
        )}</tbody>
      </table>
    </div>
    ${seen.length === 0 ? html`<p class="faint">None came yet.</p>` : null}
    ${shown === undefined ? null : html`<${Detail} seen=${shown} />`}
  `;
}

/** Reads samples until the result is called. */
function watch(set: (next: (before: Watched) => Watched) => void): () => void {
  const over = new AbortController();
  let came: Seen[] = [];
  let [n, lost] = [Date.now(), 0];
  const draw = () => {
    if (came.length === 0) return;
    const [fresh, gone] = [came.reverse(), lost];
    [came, lost] = [[], 0];
    set((before) => ({
      ...before,
      seen: [...fresh, ...before.seen].slice(0, KEPT),
      lost: before.lost + gone,
    }));
  };
  const timer = setInterval(draw, DRAW_MS);
  const read = async () => {
    set((before) => ({ ...before, problem: "", locked: false }));
    try {
      for await (const sample of api.watchSamples({}, { signal: over.signal, timeoutMs: 0 })) {
        came = [...came.slice(1 - KEPT), { n: n++, sample, headers: decode(sample.data) }];
        lost += Number(sample.lost);
      }
      set((before) => ({ ...before, problem: "The agent has ended the stream" }));
    } catch (error) {
      if (over.signal.aborted) return;
      set((before) => ({ ...before, problem: why(error), locked: wantsToken(error) }));
    }
  };
  read();
  return () => {
    over.abort();
    clearInterval(timer);
  };
}

function Row({ seen: { sample, headers }, chosen, choose }: {
  readonly seen: Seen;
  readonly chosen: boolean;
  readonly choose: () => void;
}): VNode {
  const { time, direction, srcVip, dstVip, spi, length } = sample;
  const when = time === undefined ? "" : timestampDate(time).toISOString().slice(11, 23);
  return html`
    <tr class=${chosen ? "chosen" : ""}>
      <td class="mono"><button type="button" class="link" aria-expanded=${chosen}
        onClick=${choose}>${when}</button></td>
      <td>${direction}</td>
      <td>${addressOf(srcVip)}</td>
      <td>${addressOf(dstVip)}</td>
      <td>${networkOf(srcVip) || "default"}</td>
      <td class="mono">${spi === 0 ? "-" : spiText(spi)}</td>
      <td class="n">${length}</td>
      <td>${summary(headers) || "not IP"}</td>
    </tr>
  `;
}

function Detail({ seen: { sample, headers } }: { readonly seen: Seen }): VNode {
  return html`<section class="detail" aria-label="The chosen sample">
    ${
    headers.map(({ name, fields }) =>
      html`
        <h2 class="small">${name}</h2>
        <dl class="facts">${fields.map(([field, value]) =>
          html`
            <div>
              <dt>${field}</dt>
              <dd>${value}</dd>
            </div>
          `
        )}</dl>
      `
    )
  }
    <h2 class="small">Its first ${sample.data.length} octets of ${sample.length}</h2>
    <pre class="mono" tabindex="0" role="region" aria-label="Octets">${hex(sample.data)}</pre>
  </section>`;
}

/** 16 octets on a line, behind their offset. */
function hex(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const octets = [...data.subarray(at, at + 16)].map((b) => b.toString(16).padStart(2, "0"));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${octets.join(" ")}`);
  }
  return lines.join("\n");
}
