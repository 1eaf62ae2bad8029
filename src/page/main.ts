// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** The page of the status listener: tabs over one feed. */
import { render, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Events } from "./events.ts";
import { Explain } from "./explain.ts";
import { Feed, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { Now } from "./now.ts";
import { Pipes } from "./pipes.ts";
import { Samples } from "./samples.ts";
import { Token } from "./token.ts";
import { Tunnels } from "./tunnels.ts";

const TABS = [
  ["now", "Now", Now],
  ["pipes", "Pipes", Pipes],
  ["tunnels", "Peers and tunnels", Tunnels],
  ["explain", "Explain", Explain],
  ["samples", "Samples", Samples],
  ["events", "Events", Events],
] as const;

function tabOf(hash: string): string {
  return TABS.find(([id]) => `#${id}` === hash)?.[0] ?? "now";
}

function App({ feed }: { readonly feed: Feed }): VNode {
  const { status, problem, locked } = useFeed(feed);
  const [tab, setTab] = useState(tabOf(location.hash));
  useEffect(() => {
    const changed = () => setTab(tabOf(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const id = status?.id.slice(status.id.lastIndexOf("/") + 1) ?? "";
  useEffect(() => {
    document.title = id === "" ? "psp-agent" : `${id}: psp-agent`;
  }, [id]);
  const [, , View] = TABS.find(([name]) => name === tab) ?? TABS[0];
  return html`
    <header>
      <h1>psp-agent <span>${id}</span></h1>
      <nav aria-label="Views">${TABS.map(([name, text]) =>
        html`<a href="#${name}" aria-current=${name === tab ? "page" : null}>${text}</a>`
      )}</nav>
    </header>
    <main>${locked
      ? html`<${Token} why="This agent wants to know who asks." given=${() => feed.unlock()} />`
      : html`${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
        <${View} feed=${feed} />`}</main>
  `;
}

const root = document.getElementById("app");
if (root !== null) render(html`<${App} feed=${new Feed()} />`, root);
