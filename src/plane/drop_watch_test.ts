// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { DropLog } from "../model/drop_log.ts";
import { DropWatch } from "./drop_watch.ts";

function setUp() {
  const log = new DropLog(() => 0);
  const watch = new DropWatch({
    drops: log,
    peers: {
      byVip: (vip) => vip.startsWith("10.2.") ? { id: "h2" } : undefined,
      byPip: (pip) => pip === "192.0.2.2" ? ["h2"] : [],
    },
  });
  const held = watch.held({ releaseHeld: () => 1, dropHeld: () => 3 });
  const lines = () =>
    log.list({ limit: 10 }).drops.map(({ reason, peer, src, dst, packets }) =>
      [reason, peer, src, dst, packets].join(" ")
    );
  return { log, watch, held, lines };
}

Deno.test("a held flow that is dropped is told with its addresses; one that goes on is not", () => {
  const { watch, held, lines } = setUp();
  watch.miss({ flow: 1, srcVip: "10.1.0.1@blue", dstVip: "10.2.0.1@blue" });
  watch.miss({ flow: 2, srcVip: "10.1.0.1", dstVip: "10.9.0.1" });
  held.releaseHeld(2);
  assert.equal(held.dropHeld(1, "peer_unreachable", 0), 3);
  held.dropHeld(2, "no_peer", 0);
  assert.deepEqual(lines(), ["peer-unreachable h2 10.1.0.1@blue 10.2.0.1@blue 3"]);
});

Deno.test("what cannot be opened is told with its outer addresses", () => {
  const { watch, lines } = setUp();
  const pips = { srcPip: "192.0.2.2", dstPip: "192.0.2.1" };
  watch.syndrome({ type: "syndrome", spi: 5, syndrome: "icv_failed", ...pips });
  watch.syndrome({ type: "syndrome", spi: 5, syndrome: "ok", ...pips });
  assert.deepEqual(lines(), [
    "rx-no-sa h2 192.0.2.2 192.0.2.1 1",
    "rx-auth-fail h2 192.0.2.2 192.0.2.1 1",
  ]);
});

Deno.test("a packet that is too big is told with its header, and half a one is not", () => {
  const { watch, log, lines } = setUp();
  const data = new Uint8Array(28);
  data.set([0x45, 0, 5, 220], 0);
  data.set([10, 1, 0, 1, 10, 2, 0, 1], 12);
  const event = { type: "too_big", port: 2, mtu: 1440, ethSrc: "02:00:00:00:00:01" } as const;
  watch.tooBig({ ...event, data }, "");
  const six = new Uint8Array(40);
  six[0] = 0x60;
  six[23] = 1;
  six[39] = 2;
  watch.tooBig({ ...event, data: six }, "blue");
  watch.tooBig({ ...event, data: data.slice(0, 18) }, "");
  assert.deepEqual(lines(), ["too-big  ::1@blue ::2@blue 1", "too-big h2 10.1.0.1 10.2.0.1 1"]);
  assert.equal(log.list({ limit: 1, vip: "10.2.0.1" }).drops[0]?.header[3], 220);
});
