// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** Two addresses in; the way of a packet between them on the picture, with the verdict at each step. */
import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";
import { verdictText } from "../model/status.ts";
import type { ExplainResponse } from "../rpc/gen/psp/v1/status_pb.ts";
import { api } from "./api.ts";
import { newestOf } from "./concerns.ts";
import { type Feed, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { Picture } from "./pipes.ts";
import { useAsked } from "./poll.ts";

/** What is typed; `length` is empty where any will do. */
const NOBODY = { src: "", dst: "", length: "" };

/**
 * The fourth tab. The answer costs the peer a call, so it is asked for when the button is pressed, and again when
 * something happened that may change it.
 */
export function Explain({ feed }: { readonly feed: Feed }): VNode {
  const [typed, setTyped] = useState(NOBODY);
  const [asked, setAsked] = useState(NOBODY);
  const isAsked = asked.src !== "" && asked.dst !== "";
  const [presses, press] = useState(0);
  const { events } = useFeed(feed);
  /** Whom the last answer named, the newest event that was looked at, and how many of those concerned it. */
  const heard = useRef({ peer: "", cursor: 0n, count: 0 }).current;
  if (newestOf(events, { ...asked, peer: heard.peer }) > heard.cursor) heard.count++;
  heard.cursor = events[0]?.cursor ?? 0n;
  const { answer, problem, at } = useAsked(isAsked ? JSON.stringify(asked) : undefined, {
    turn: `${presses} ${heard.count}`,
    ask: () => api.explain({ ...asked, length: Number(asked.length) || 0 }),
  });
  heard.peer = answer?.peer ?? "";
  const field = (name: keyof typeof NOBODY, label: string, rest: Record<string, unknown>) =>
    html`<label>${label} <input name=${name} value=${typed[name]} autocomplete="off" ...${rest}
      onInput=${(e: InputEvent) =>
      setTyped({ ...typed, [name]: (e.target as HTMLInputElement).value.trim() })} /></label>`;
  const address = { type: "text", required: true, placeholder: "an address" };
  const octets = { type: "number", min: 1, max: 65_535, placeholder: "any" };
  const send = (event: Event) => {
    event.preventDefault();
    setAsked(typed);
    press(presses + 1);
  };
  return html`
    <form class="explain" onSubmit=${send}>${field("src", "From", address)}
      ${field("dst", "to", address)} ${field("length", "with octets", octets)}
      <button type="submit">Explain</button></form>
    ${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
    ${answer === undefined || at === undefined
      ? null
      : html`<${Answer} answer=${answer} at=${at} />`}
    <${Picture} feed=${feed} marks=${marksOf(answer)} />
  `;
}

function Answer(
  { answer, at }: { readonly answer: ExplainResponse; readonly at: Date },
): VNode {
  const { verdict, steps } = answer;
  const kind = verdict === "passes" ? "ok" : verdict === "held" ? "ticket" : "page";
  return html`
    <p class="health ${kind}" role="status"><b>${verdictText(answer)}</b></p>
    <ol class="steps">${steps.map((step) =>
      html`<li class=${step.verdict}><b>${
        [step.host, step.at].join(" ").trim()
      }</b>${` ${step.text}`}</li>`
    )}</ol>
    <p class="faint">As of ${at.toISOString().slice(11, 19)}: asked anew when an event
      concerns it, or by the button.</p>
  `;
}

/** How the nodes on the way are drawn: those of this host. What the peer took has left by the uplink. */
function marksOf(answer: ExplainResponse | undefined): ReadonlyMap<string, string> {
  const marks = new Map<string, string>();
  const steps = answer?.steps ?? [];
  for (const { at, verdict, host } of steps) {
    if (host !== "") continue;
    marks.set(at, verdict === "drop" ? "stopped" : verdict === "wait" ? "waits" : "passed");
  }
  const leaves = marks.get("EGR_ACL") === "passed" && ![...marks.values()].includes("stopped");
  const isSealed = steps.some(({ at, host }) => at === "PSP_ENCRYPT" && host === "");
  if (leaves && isSealed && !marks.has("p0")) marks.set("p0", "passed");
  return marks;
}
