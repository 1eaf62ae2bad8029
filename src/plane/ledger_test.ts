// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { type Carried, NOTHING_CARRIED } from "../model/status.ts";
import { Ledger, type Line } from "./ledger.ts";

const SENT = { peer: "h2", network: "", direction: "sent" } as const;

function open(ledger: Ledger, who: Parameters<Ledger["open"]>[0]) {
  const line: Line = { sum: ledger.open(who), booked: NOTHING_CARRIED };
  return {
    book: (carried: Carried) => ledger.book(line, carried),
    close: () => ledger.close(line),
  };
}

Deno.test("what SAs have carried adds up, and never falls when one goes and another comes", () => {
  const ledger = new Ledger();
  const [first, second] = [open(ledger, SENT), open(ledger, SENT)];
  first.book({ packets: 3n, bytes: 300n });
  first.book({ packets: 5n, bytes: 500n });
  second.book({ packets: 1n, bytes: 10n });
  first.book({ packets: 0n, bytes: 0n });
  first.close();
  first.close();
  open(ledger, { ...SENT, direction: "received" }).book({ packets: 2n, bytes: 20n });
  assert.deepEqual(ledger.views(), [{
    peer: "h2",
    network: "",
    sent: { packets: 6n, bytes: 510n },
    received: { packets: 2n, bytes: 20n },
  }]);
});

Deno.test("each network of a peer has its own sums", () => {
  const ledger = new Ledger();
  open(ledger, { ...SENT, network: "red" }).book({ packets: 1n, bytes: 1n });
  open(ledger, { ...SENT, network: "blue" }).book({ packets: 2n, bytes: 2n });
  const sums = ledger.views().map(({ network, sent }) => [network, sent.packets]);
  assert.deepEqual(sums, [["red", 1n], ["blue", 2n]]);
});

Deno.test("peers that come and go leave no more than a bounded number of sums", () => {
  const ledger = new Ledger();
  const kept = open(ledger, { ...SENT, peer: "kept" });
  for (let i = 0; i < 10_000; i++) open(ledger, { ...SENT, peer: `p${i}` }).close();
  const peers = ledger.views().map(({ peer }) => peer);
  assert.equal(peers.length, 4097);
  assert.deepEqual([peers[0], peers.at(-1)], ["kept", "p9999"]);
  kept.close();
});
