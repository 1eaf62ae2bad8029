// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { newestOf } from "./concerns.ts";

const event = (cursor: number, kind: string, rest: Record<string, string> = {}) => ({
  cursor: BigInt(cursor),
  kind,
  localVip: "",
  remoteVip: "",
  peer: "",
  ...rest,
});
const PAIR = { localVip: "fd00::1@red", remoteVip: "fd00::2@red", peer: "h2" };

Deno.test("an answer is asked for anew after events of its flow, of its peer and of the host", () => {
  const flow = { src: "FD00:0::1@red", dst: "fd00::2@red", peer: "h2" };
  const table: readonly (readonly [string, ReturnType<typeof event>, boolean])[] = [
    ["its tunnel", event(1, "tunnel-opened", PAIR), true],
    [
      "the way back",
      event(1, "tunnel-lost", { ...PAIR, localVip: PAIR.remoteVip, remoteVip: PAIR.localVip }),
      true,
    ],
    [
      "another tunnel of that peer",
      event(1, "tunnel-opened", { ...PAIR, remoteVip: "::9" }),
      false,
    ],
    [
      "the same addresses elsewhere",
      event(1, "tunnel-opened", { ...PAIR, localVip: "fd00::1" }),
      false,
    ],
    ["its peer", event(1, "peer-failing", { peer: "h2" }), true],
    ["another peer", event(1, "peer-failing", { peer: "h3" }), false],
    ["the host", event(1, "plane-fault"), true],
    ["the master key", event(1, "rotated"), false],
  ];
  for (const [name, one, concerns] of table) {
    assert.equal(newestOf([one], flow), concerns ? 1n : 0n, name);
  }
  const several = [
    event(9, "rotated"),
    event(8, "peer-back", { peer: "h2" }),
    event(7, "plane-well"),
  ];
  assert.equal(newestOf(several, flow), 8n, "the newest");
  assert.equal(
    newestOf([event(1, "request-refused")], { ...flow, peer: "" }),
    0n,
    "nobody is not everybody",
  );
  const v4 = { src: "10.1.0.1", dst: "10.2.0.1", peer: "" };
  const opened = event(3, "tunnel-opened", { localVip: "10.1.0.1", remoteVip: "10.2.0.1" });
  assert.equal(newestOf([opened], v4), 3n);
});
