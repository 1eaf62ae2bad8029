// SPDX-License-Identifier: Apache-2.0

/** rpc.require_pq as another TLS implementation meets it, Go's. */
import assert from "node:assert/strict";
import { HYBRID } from "../../src/rpc/key_exchange.ts";
import { ears, Lab, start } from "../rpc/lab.ts";

const CLIENT = new URL("../../build/world/bin/tlsclient", import.meta.url).pathname;

/** What each offer comes to: without rpc.require_pq, and with it. */
const TABLE: readonly (readonly [offer: string[], group: string, accepted: boolean])[] = [
  [["X25519"], "X25519", false],
  [["P-256"], "CurveP256", false],
  [[HYBRID], HYBRID, true],
  [[HYBRID, "X25519", "P-256"], HYBRID, true],
];

for (const [offer, group, accepted] of TABLE) {
  Deno.test(`a client that offers ${offer.join(", ")} gets ${group}, with require_pq ${accepted ? "too" : "nothing"}`, async () => {
    using lab = await Lab.make(["h1", "h2"]);
    const { cert, key } = lab.files("h1");
    for (const requirePq of [false, true]) {
      const events = ears();
      await using server = await start({ tls: lab.store("h2"), requirePq, events });
      const address = `127.0.0.1:${server.address.port}`;
      const { stdout } = await new Deno.Command(CLIENT, { args: [address, cert, key, ...offer] })
        .output();
      const said = new TextDecoder().decode(stdout).trim();
      if (accepted || !requirePq) assert.equal(said, `${group} HTTP/1.1`);
      else assert.equal(said, "refused: remote error: tls: insufficient security level");
      assert.equal(events.counts.get("key-exchange-refused") ?? 0, accepted || !requirePq ? 0 : 1);
    }
  });
}
