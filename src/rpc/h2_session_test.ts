// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as http2 from "node:http2";
import type * as net from "node:net";
import { preventReentry } from "./h2_session.ts";

Deno.test("this runtime's sessions have what keeps nghttp2 from being entered twice", async () => {
  const server = http2.createServer();
  const held = new Promise<boolean>((resolve) =>
    server.on("session", (session) => resolve(preventReentry(session)))
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as net.AddressInfo;
  const client = http2.connect(`http://127.0.0.1:${port}`);
  assert.equal(preventReentry(client), true);
  assert.equal(await held, true);
  const gone = new Promise((resolve) => client.once("close", resolve));
  client.close();
  await gone;
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("a session without it is told from the others", () => {
  const session = { close() {}, destroy() {} } as unknown as http2.Http2Session;
  assert.equal(preventReentry(session), false);
});
