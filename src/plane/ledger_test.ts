// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Ledger } from "./ledger.ts";

const SENT = { peer: "h2", network: "", direction: "sent" } as const;

Deno.test("what SAs have carried adds up, and never falls when one goes and another comes", () => {
  const ledger = new Ledger();
  const [first, second] = [ledger.open(SENT), ledger.open(SENT)];
  first.book({ packets: 3n, bytes: 300n });
  first.book({ packets: 5n, bytes: 500n });
  second.book({ packets: 1n, bytes: 10n });
  first.book({ packets: 0n, bytes: 0n });
  first.close();
  first.close();
  ledger.open({ ...SENT, direction: "received" }).book({ packets: 2n, bytes: 20n });
  assert.deepEqual(ledger.views(), [{
    peer: "h2",
    network: "",
    sent: { packets: 6n, bytes: 510n },
    received: { packets: 2n, bytes: 20n },
  }]);
});

Deno.test("each network of a peer has its own sums", () => {
  const ledger = new Ledger();
  ledger.open({ ...SENT, network: "red" }).book({ packets: 1n, bytes: 1n });
  ledger.open({ ...SENT, network: "blue" }).book({ packets: 2n, bytes: 2n });
  const sums = ledger.views().map(({ network, sent }) => [network, sent.packets]);
  assert.deepEqual(sums, [["red", 1n], ["blue", 2n]]);
});

Deno.test("peers that come and go leave no more than a bounded number of sums", () => {
  const ledger = new Ledger();
  const kept = ledger.open({ ...SENT, peer: "kept" });
  for (let i = 0; i < 10_000; i++) ledger.open({ ...SENT, peer: `p${i}` }).close();
  const peers = ledger.views().map(({ peer }) => peer);
  assert.equal(peers.length, 4097);
  assert.deepEqual([peers[0], peers.at(-1)], ["kept", "p9999"]);
  kept.close();
});
