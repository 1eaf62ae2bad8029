// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** Asks for the token; it is kept in the memory of this page alone. */
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { setToken } from "./api.ts";
import { html } from "./html.ts";

/** `why`: what it is needed for, as a sentence. Calls `given` when it was typed. */
export function Token({ why, given }: {
  readonly why: string;
  readonly given: () => void;
}): VNode {
  const [text, setText] = useState("");
  const send = (event: Event) => {
    event.preventDefault();
    setToken(text);
    given();
  };
  return html`<form onSubmit=${send} class="token">
    <p>${why} Its token stands in the file that <code>status.token_file</code> names.</p>
    <label>Token <input type="password" value=${text} autocomplete="off"
      onInput=${(e: InputEvent) => setText((e.target as HTMLInputElement).value)} /></label>
    <button type="submit">Read</button></form>`;
}
