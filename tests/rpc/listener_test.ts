// SPDX-License-Identifier: Apache-2.0

/** Listeners that cannot be had. */
import assert from "node:assert/strict";
import { listenReason } from "../../src/rpc/door.ts";
import { clientOf, start } from "./lab.ts";

Deno.test("neither TLS nor insecure: refused at start, on both sides", async () => {
  await assert.rejects(start(), /Cannot listen for peers without TLS/);
  assert.throws(
    () => clientOf({ address: { port: 1 } } as never),
    /Cannot call peers without TLS/,
  );
});

Deno.test("a port in use is one sentence", async () => {
  await using server = await start({ insecure: true });
  const listen = `127.0.0.1:${server.address.port}`;
  await assert.rejects(
    start({ insecure: true, listen }),
    {
      name: "ConfigError",
      message: `Cannot listen on "${listen}" (rpc.listen): another program listens there`,
    },
  );
});

Deno.test("why a listener cannot be had is the end of a sentence", () => {
  const why = (code: string) => listenReason(Object.assign(new Error(`listen ${code}`), { code }));
  // Deno's name of EADDRNOTAVAIL.
  for (const code of ["EINVAL", "EADDRNOTAVAIL"]) {
    assert.match(why(code), /^this host has no such address/);
  }
  assert.equal(why("ENOTFOUND"), "no address is known for that name");
  assert.equal(why("EODD"), "listen EODD");
});
