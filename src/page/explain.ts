// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** Two addresses in; the way of a packet between them on the picture, with the verdict at each step. */
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ExplainResponse } from "../rpc/gen/psp/v1/status_pb.ts";
import { api, why } from "./api.ts";
import type { Feed } from "./feed.ts";
import { html } from "./html.ts";
import { Picture } from "./pipes.ts";

const EACH_MS = 1000;

/** The fourth tab. */
export function Explain({ feed }: { readonly feed: Feed }): VNode {
  const [typed, setTyped] = useState({ src: "", dst: "" });
  const [asked, setAsked] = useState({ src: "", dst: "" });
  const [answer, setAnswer] = useState<ExplainResponse | undefined>(undefined);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (asked.src === "" || asked.dst === "") return;
    let over = false;
    const ask = () =>
      api.explain(asked).then((found) => {
        if (over) return;
        setAnswer(found);
        setProblem("");
      }, (error) => {
        if (over) return;
        setAnswer(undefined);
        setProblem(why(error));
      });
    ask();
    const timer = setInterval(ask, EACH_MS);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [asked]);
  const field = (name: "src" | "dst", label: string) =>
    html`<label>${label} <input type="text" name=${name} value=${typed[name]} autocomplete="off"
      required onInput=${(e: InputEvent) =>
      setTyped({ ...typed, [name]: (e.target as HTMLInputElement).value.trim() })} /></label>`;
  const send = (event: Event) => {
    event.preventDefault();
    setAsked(typed);
  };
  return html`
    <form class="explain" onSubmit=${send}>${field("src", "From")} ${field("dst", "to")}
      <button type="submit">Explain</button></form>
    ${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
    ${answer === undefined ? null : html`<${Answer} answer=${answer} />`}
    <${Picture} feed=${feed} marks=${marksOf(answer)} />
  `;
}

function Answer({ answer }: { readonly answer: ExplainResponse }): VNode {
  const { verdict, counter, steps } = answer;
  const words = verdict === "passes"
    ? "The packet passes."
    : verdict === "held"
    ? "The packet waits for a tunnel."
    : `The packet is dropped${counter === "" ? "" : `, and counted as ${counter}`}.`;
  const kind = verdict === "passes" ? "ok" : verdict === "held" ? "ticket" : "page";
  return html`
    <p class="health ${kind}" role="status"><b>${words}</b></p>
    <ol class="steps">${steps.map((step) =>
      html`<li class=${step.verdict}><b>${step.at}</b> ${step.text}</li>`
    )}</ol>
  `;
}

/** How the nodes on the way are drawn. */
function marksOf(answer: ExplainResponse | undefined): ReadonlyMap<string, string> {
  const marks = new Map<string, string>();
  for (const { at, verdict } of answer?.steps ?? []) {
    marks.set(at, verdict === "drop" ? "stopped" : verdict === "wait" ? "waits" : "passed");
  }
  return marks;
}
