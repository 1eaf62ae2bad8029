// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { PlaneEvent } from "../../ffi/plane.ts";
import { SampleHub } from "./sample_hub.ts";

function sample(n: number, direction: "egress" | "ingress" = "egress") {
  const event: Extract<PlaneEvent, { type: "sample" }> = {
    type: "sample",
    direction,
    spi: n,
    srcVip: "10.1.0.5",
    dstVip: "10.2.0.7",
    length: 1440,
    data: new Uint8Array(4),
    timeNs: 1n,
  };
  return event;
}

Deno.test("a slow reader loses samples and is told how many; the others lose none", async () => {
  const hub = new SampleHub();
  const stop = new AbortController();
  const slow = hub.watch(stop.signal);
  const first = slow.next(); // begins to watch
  hub.add(sample(0));
  assert.deepEqual([(await first).value?.spi, (await first).value?.lost], [0, 0]);
  const quick: number[] = [];
  const reading = (async () => {
    for await (const { spi, lost } of hub.watch(stop.signal)) {
      assert.equal(lost, 0);
      quick.push(spi);
    }
  })();
  await Promise.resolve();
  for (let i = 1; i <= 300; i++) {
    hub.add(sample(i));
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
  // 256 wait for the slow one; the 44 after them are lost, and the next that fits says so.
  for (let i = 1; i <= 256; i++) {
    const { value } = await slow.next();
    assert.deepEqual([value?.spi, value?.lost], [i, 0]);
  }
  hub.add(sample(301, "ingress"));
  const { value } = await slow.next();
  assert.deepEqual([value?.spi, value?.lost], [301, 44]);
  stop.abort();
  await reading;
  assert.deepEqual(quick, Array.from({ length: 301 }, (_, i) => i + 1));
  assert.deepEqual(hub.counters(), {
    "samples-egress": 301n,
    "samples-ingress": 1n,
    "samples-lost-by-readers": 44n,
  });
});

Deno.test("without readers samples are counted and kept nowhere", async () => {
  const hub = new SampleHub();
  for (let i = 0; i < 1000; i++) hub.add(sample(i));
  assert.equal(hub.counters()["samples-egress"], 1000n);
  assert.equal(hub.counters()["samples-lost-by-readers"], 0n);
  const stop = new AbortController();
  const reader = hub.watch(stop.signal);
  const next = reader.next();
  stop.abort();
  assert.equal((await next).done, true);
});
