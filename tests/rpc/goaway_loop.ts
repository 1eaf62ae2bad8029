// SPDX-License-Identifier: Apache-2.0

/** Connections that either side ends, over and over; says "whole" when the process has outlived them all. */
import { CALL, clientOf, Lab, request, start, TRUST } from "./lab.ts";

const [rounds = "60"] = Deno.args;
using lab = await Lab.make();
await using server = await start({ tls: lab.store("h2") });
for (let i = 0; i < Number(rounds); i++) {
  using client = clientOf(server, { tls: lab.store("h1") });
  await client.newTunnel("h2", request(), CALL);
  if (i % 2 === 0) {
    // The server ends it, with and without calls under way.
    server.setTrust({ ...TRUST, deny: ["h1"] });
    const calls = Array.from({ length: i % 3 }, () => client.newTunnel("h2", request(), CALL));
    await Promise.allSettled(calls);
    server.setTrust(TRUST);
  } else {
    client.close();
  }
  while (server.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}
console.log("whole");
