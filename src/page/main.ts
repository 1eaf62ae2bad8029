// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** The page of the status listener: tabs over one feed. */
import { render, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { setToken } from "./api.ts";
import { Events } from "./events.ts";
import { Explain } from "./explain.ts";
import { Feed, useFeed } from "./feed.ts";
import { html } from "./html.ts";
import { Now } from "./now.ts";
import { Pipes } from "./pipes.ts";
import { Tunnels } from "./tunnels.ts";

const TABS = [
  ["now", "Now", Now],
  ["pipes", "Pipes", Pipes],
  ["tunnels", "Peers and tunnels", Tunnels],
  ["explain", "Explain", Explain],
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
      ? html`<${Token} feed=${feed} />`
      : html`${problem === "" ? null : html`<p class="health page" role="alert">${problem}.</p>`}
        <${View} feed=${feed} />`}</main>
  `;
}

/** Asks for the token; it is kept in the memory of this page alone. */
function Token({ feed }: { readonly feed: Feed }): VNode {
  const [text, setText] = useState("");
  const send = (event: Event) => {
    event.preventDefault();
    setToken(text);
    feed.unlock();
  };
  return html`<form onSubmit=${send} class="token">
    <p>This agent wants to know who asks. Its token stands in the file that <code>status.token_file</code> names.</p>
    <label>Token <input type="password" value=${text} autocomplete="off"
      onInput=${(e: InputEvent) => setText((e.target as HTMLInputElement).value)} /></label>
    <button type="submit">Read</button></form>`;
}

const root = document.getElementById("app");
if (root !== null) render(html`<${App} feed=${new Feed()} />`, root);
