// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { ExchangeError } from "../model/exchange.ts";
import type { TxSa } from "../model/sa.ts";
import { Tasks } from "../model/tasks.ts";
import { type Count, losesLong, PathLosses } from "./path_losses.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const PIP = "192.0.2.9";
const SA = { peer: "h2", spi: 7, localVip: "10.1.0.1", remoteVip: "10.2.0.1", pip: PIP } as TxSa;

function count(packets: number, bytes: number): Count {
  return { packets: BigInt(packets), bytes: BigInt(bytes) };
}

Deno.test("what is missing is what is long, or it is ordinary loss", () => {
  const table: [string, Count, Count, bigint, boolean][] = [
    ["nothing is missing", count(1000, 1_400_000), count(1000, 1_400_000), 1000n, false],
    ["all that is long", count(10, 14_000), count(0, 0), 3n, true],
    ["what is long, and not what is short", count(60, 17_000), count(50, 3_000), 53n, true],
    ["everything, and ever", count(10, 14_000), count(0, 0), 0n, false],
    ["some of many long ones", count(1000, 1_400_000), count(950, 1_330_000), 950n, false],
    ["short ones", count(100, 8_000), count(90, 7_200), 90n, false],
    ["two, which are chance", count(12, 3_400), count(10, 600), 10n, false],
    ["more came than was sent", count(10, 14_000), count(12, 16_800), 12n, false],
  ];
  for (const [what, sent, came, ever, expected] of table) {
    assert.equal(losesLong(sent, came, ever), expected, what);
  }
});

/** One tunnel; `way` says what of each packet arrives. */
function begin(options: { readonly way: (length: number) => boolean; readonly code?: string }) {
  const clock = new VirtualClock();
  const tasks = new Tasks(SILENT as never);
  const at = {
    sent: [0, 0],
    came: [0, 0],
    asks: 0,
    lost: [] as string[],
    mtu: undefined as number | undefined,
  };
  const losses = new PathLosses({
    flows: {
      carried: () => undefined,
      outerAddresses: () => new Map([[PIP, 0]]),
      sasTo: () => [SA],
      txStats: () => ({ ...count(at.sent[0] ?? 0, at.sent[1] ?? 0), lastUsedNs: 0n }),
    },
    calls: {
      countPackets: (_, [spi = 0]) => {
        at.asks++;
        if (options.code !== undefined) {
          return Promise.reject(new ExchangeError(options.code as never, "no"));
        }
        return Promise.resolve([{ spi, ...count(at.came[0] ?? 0, at.came[1] ?? 0) }]);
      },
    },
    scheduler: { enter: () => Promise.resolve({ [Symbol.dispose]: () => {} }) } as never,
    clock,
    tasks,
    mtuOf: () => at.mtu,
    lost: (pip) => void at.lost.push(pip),
  });
  const send = (n: number, length: number) => {
    for (let i = 0; i < n; i++) {
      at.sent = [(at.sent[0] ?? 0) + 1, (at.sent[1] ?? 0) + length];
      if (!options.way(length)) continue;
      at.came = [(at.came[0] ?? 0) + 1, (at.came[1] ?? 0) + length];
    }
  };
  /** So many seconds, in each of which so much is sent. */
  const seconds = async (n: number, each: () => void) => {
    for (let i = 0; i < n; i++) {
      each();
      losses.tick();
      await clock.advance(1000);
    }
  };
  return { at, send, seconds, [Symbol.asyncDispose]: () => tasks.stop() };
}

Deno.test("a path that loses what is long is found by what is sent, at once", async () => {
  await using lab = begin({ way: (length) => length < 1300 });
  lab.send(3, 60);
  await lab.seconds(1, () => lab.send(10, 1400));
  assert.deepEqual(lab.at.lost, [PIP]);
  // And again, where a step was not enough.
  await lab.seconds(1, () => lab.send(3, 1350));
  assert.deepEqual(lab.at.lost, [PIP, PIP]);
  await lab.seconds(60, () => lab.send(3, 1250));
  assert.equal(lab.at.lost.length, 2);
});

Deno.test("what sends less and less often, as TCP does, is found too", async () => {
  let carries = 1500;
  await using lab = begin({ way: (length) => length <= carries });
  await lab.seconds(40, () => lab.send(100, 1400));
  assert.deepEqual(lab.at.lost, []);
  carries = 1300;
  for (const pause of [1, 2, 4, 8, 16, 32]) {
    lab.send(1, 1400);
    await lab.seconds(pause, () => {});
  }
  assert.deepEqual(lab.at.lost, [PIP]);
});

Deno.test("what was too long for a router that said so is not lost without a word", async () => {
  let carries = 1300;
  await using lab = begin({ way: (length) => length <= carries });
  lab.send(3, 60);
  await lab.seconds(1, () => {
    lab.send(10, 1400);
    lab.at.mtu = 1300;
  });
  await lab.seconds(30, () => lab.send(10, 1250));
  assert.deepEqual(lab.at.lost, []);
  // The next router says nothing.
  carries = 1200;
  await lab.seconds(30, () => lab.send(10, 1250));
  assert.equal(lab.at.lost[0], PIP);
});

Deno.test("the end of a bulk of packets is no loss", async () => {
  await using lab = begin({ way: () => true });
  await lab.seconds(40, () => lab.send(1000, 1400));
  await lab.seconds(40, () => lab.send(2, 60));
  assert.deepEqual(lab.at.lost, []);
});

Deno.test("who sends nothing long is never asked about", async () => {
  await using lab = begin({ way: (length) => length < 1300 });
  await lab.seconds(30, () => lab.send(100, 80));
  assert.equal(lab.at.asks, 0);
});

Deno.test("a path that carries everything is looked at now and then", async () => {
  await using lab = begin({ way: () => true });
  await lab.seconds(60, () => lab.send(100, 1400));
  assert.ok(lab.at.asks <= 4, `${lab.at.asks}`);
  assert.deepEqual(lab.at.lost, []);
});

Deno.test("a peer that does not count is left alone", async () => {
  await using lab = begin({ way: (length) => length < 1300, code: "unimplemented" });
  await lab.seconds(300, () => lab.send(4, 1400));
  assert.deepEqual([lab.at.asks, lab.at.lost], [1, []]);
});
