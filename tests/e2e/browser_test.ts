// SPDX-License-Identifier: Apache-2.0

/** A real browser at the status listener with TLS and a token: it resumes TLS sessions, and must go on reading. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { Lab } from "../rpc/lab.ts";
import type { TunnelQuery, TunnelView } from "../../src/model/status.ts";
import { tunnelToken } from "../../src/rpc/status_service.ts";
import { source, STATUS, TUNNELS, world } from "../rpc/status_lab.ts";
import { Browser } from "../support/browser.ts";
import { buildPage } from "../support/page.ts";
import { eventually } from "../support/wait.ts";

const TOKEN = "0123456789abcdef";

Deno.test("a browser that resumes its TLS session reads the status with the token, and only with it", async () => {
  using lab = await Lab.make(["h1"]);
  const [tls, tokenFile] = [lab.files("h1"), `${lab.dir}/token`];
  Deno.writeTextFileSync(tokenFile, TOKEN);
  const { publicKey } = new X509Certificate(Deno.readTextFileSync(tls.cert));
  const spki = publicKey.export({ type: "spki", format: "der" });
  await using browser = await Browser.start(createHash("sha256").update(spki).digest("base64"));

  const first = await world({ tls, tokenFile });
  await browser.load(`${first.url}/healthz`);
  assert.deepEqual(await getStatus(browser, TOKEN), { status: 200, id: STATUS.id });
  assert.equal(first.events.counts.get("sessions-resumed"), undefined);
  await first[Symbol.asyncDispose]();

  // The same name and port: the browser knows a session, and the runtime knows it too.
  await using second = await world({ listen: first.address, tls, tokenFile });
  assert.deepEqual(await getStatus(browser, TOKEN), { status: 200, id: STATUS.id });
  assert.ok((second.events.counts.get("sessions-resumed") ?? 0) >= 1);
  assert.deepEqual(await getStatus(browser, "fedcba9876543210"), { status: 401, id: "" });
  await browser.load(`${first.url}/metrics`);
  assert.match(String(await browser.evaluate("document.body.innerText")), /token .* is needed/);
});

Deno.test("the page over TLS asks for the token, keeps it in memory only, and then shows the host", async () => {
  await buildPage();
  using lab = await Lab.make(["h1"]);
  const [tls, tokenFile] = [lab.files("h1"), `${lab.dir}/token`];
  Deno.writeTextFileSync(tokenFile, TOKEN);
  const { publicKey } = new X509Certificate(Deno.readTextFileSync(tls.cert));
  const spki = publicKey.export({ type: "spki", format: "der" });
  await using browser = await Browser.start(createHash("sha256").update(spki).digest("base64"));
  await using w = await world({ tls, tokenFile });
  const type = async (token: string) => {
    await eventually(
      () => browser.evaluate("document.querySelector('input[type=password]') !== null"),
      {
        what: "the field for the token",
        describe: async () =>
          String(await browser.evaluate("document.body.innerHTML.slice(0, 2000)")),
      },
    );
    await browser.evaluate(`{
      const input = document.querySelector("input[type=password]");
      input.value = ${JSON.stringify(token)};
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
      setTimeout(() => document.querySelector("form button").click(), 50);
    }`);
  };
  await browser.load(`${w.url}/#now`);
  await type("fedcba9876543210");
  await type(TOKEN);
  await eventually(
    async () => String(await browser.evaluate("document.body.innerText")).includes(STATUS.id),
    {
      what: "the host on the page",
    },
  );
  const kept = "[localStorage.length, sessionStorage.length, document.cookie]";
  assert.deepEqual(await browser.evaluate(kept), [0, 0, ""]);
});

Deno.test("a hundred thousand tunnels: those in sight are drawn, in as far as somebody scrolls", async () => {
  await buildPage();
  const [one] = TUNNELS;
  assert.ok(one !== undefined);
  const all = Array.from({ length: 100_000 }, (_, i): TunnelView => ({
    ...one,
    remoteVip: `10.${2 + (i >> 16)}.${i >> 8 & 255}.${i & 255}`,
  }));
  const tokens = new Map(all.map((tunnel, i) => [tunnelToken(tunnel), i]));
  const asked: TunnelQuery[] = [];
  await using w = await world(
    {},
    source({
      tunnels: (query) => {
        asked.push(query);
        const found = query.contains === undefined
          ? all
          : all.filter(({ remoteVip }) => remoteVip.includes(query.contains ?? ""));
        const from = query.after === undefined ? 0 : (tokens.get(query.after) ?? 0) + 1;
        return found.slice(from, from + query.limit);
      },
    }),
  );
  await using browser = await Browser.start();
  await browser.load(`${w.url}/#tunnels`);
  const drawn = () =>
    browser.evaluate("document.querySelectorAll('.virtual td button').length") as Promise<number>;
  const shows = (text: RegExp) =>
    eventually(async () => text.test(String(await browser.evaluate("document.body.innerText"))), {
      what: `${text} on the page`,
    });
  await shows(/The first 100; scroll for more/);
  assert.ok(await drawn() < 60);
  for (const rows of [200, 300, 400]) {
    await browser.evaluate("document.querySelector('.virtual').scrollTop = 1e7");
    await shows(new RegExp(`The first ${rows}; scroll for more`));
  }
  assert.ok(await drawn() < 60);
  asked.length = 0;
  await eventually(() => asked.length >= 2, { what: "the page to ask again" });
  assert.ok(
    asked.every(({ after, limit }) => after !== undefined && limit === 101),
    "its own page",
  );
  await browser.evaluate(`{
    const input = document.querySelector("input[type=search]");
    input.value = "10.3.134.15";
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }`);
  await shows(/10\.3\.134\.159/);
  await shows(/\b11 tunnels\./);
  assert.equal(await drawn(), 11, "10.3.134.15 and 150 to 159");
  // The page was told of h2 alone; the agent looks through all of its peers.
  await browser.evaluate(`{
    const input = document.querySelector("input[type=search]");
    input.value = "h4";
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }`);
  await shows(/^h4\s+up/m);
});

/** What a page of the listener's own gets. */
function getStatus(browser: Browser, token: string): Promise<unknown> {
  return browser.evaluate(`(async () => {
    const answer = await fetch("/psp.v1.StatusService/GetStatus", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer ${token}" },
      body: "{}",
    });
    return { status: answer.status, id: answer.ok ? (await answer.json()).id : "" };
  })()`);
}
