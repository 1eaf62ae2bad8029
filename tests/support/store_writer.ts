// SPDX-License-Identifier: Apache-2.0

/** A process that writes a database until it is killed, and says what it was promised. Argument: its path. */
import { openSaStore } from "../../src/store/sa_store.ts";

const [path = ""] = Deno.args;
const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
const log = { debug() {}, info: say, warn: say, error: say };
const store = openSaStore({ path, log, wallMs: () => 1000 });
// The wall clock stands still: only the record keeps the epochs apart.
say(`epoch ${store.reserveEpoch(1000)} from ${store.spiHighWater} rows ${store.load().length}`);
const sa = {
  spi: 1,
  version: "aes-gcm-128",
  epoch: 1n,
  serial: 1n,
  createdAtMs: 0,
  expiresAtMs: 0,
  packets: 0n,
  bytes: 0n,
} as const;
for (let i = 0;; i++) {
  store.reserveSpis(20_000);
  say(`spis ${store.spiHighWater}`);
  for (let j = 0; j < 50; j++) {
    const localVip = `10.0.0.${(i * 50 + j) % 250}`;
    const common = { localVip, remoteVip: "10.1.0.1" };
    if (j % 7 === 3) store.remove(common);
    else store.put({ ...common, peer: "h2", openedAtMs: i, tx: sa, rx: sa });
  }
  store.flush();
}
