// SPDX-License-Identifier: Apache-2.0

/** A real browser at the status listener with TLS and a token: it resumes TLS sessions, and must go on reading. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { Lab } from "../rpc/lab.ts";
import { STATUS, world } from "../rpc/status_lab.ts";
import { Browser } from "../support/browser.ts";

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
