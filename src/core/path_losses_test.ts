// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { ExchangeError } from "../model/exchange.ts";
import type { TxSa } from "../model/sa.ts";
import { Tasks } from "../model/tasks.ts";
import { PeerLines } from "./peer.ts";
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
function begin(options: {
  readonly way: (length: number) => boolean;
  readonly code?: string;
  /** Whether the other end answers each packet that arrives, or only listens. */
  readonly answers?: boolean;
}) {
  const clock = new VirtualClock();
  const tasks = new Tasks(SILENT as never);
  const at = {
    sent: [0, 0],
    came: [0, 0],
    asks: 0,
    lost: [] as string[],
    mtu: undefined as number | undefined,
    dead: [] as string[],
    silent: 0,
    told: [] as string[],
    inUse: true,
    unanswered: 0,
    usedNs: 0n,
    heardNs: 0n,
  };
  const lines = new PeerLines({
    config: { tunnel: { backOffMs: 1000, backOffMaxMs: 1000 } } as never,
    clock,
    random: {} as never,
    tasks,
  });
  const losses = new PathLosses({
    flows: {
      carried: () => undefined,
      outerAddresses: () => new Map(at.inUse ? [[PIP, 0]] : []),
      sasTo: () => [SA],
      txStats: () => ({ ...count(at.sent[0] ?? 0, at.sent[1] ?? 0), lastUsedNs: at.usedNs }),
      heardNs: () => at.heardNs,
    },
    lines,
    events: { add: (kind, facts) => void at.told.push(`${kind} ${facts?.peer}`) },
    log: SILENT as never,
    calls: {
      countPackets: (_, { spis: [spi = 0], unanswered }) => {
        at.asks++;
        if (unanswered) at.unanswered++;
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
    dead: (pip) => void at.dead.push(pip),
    silent: () => void at.silent++,
  });
  const send = (n: number, length: number) => {
    for (let i = 0; i < n; i++) {
      at.sent = [(at.sent[0] ?? 0) + 1, (at.sent[1] ?? 0) + length];
      at.usedNs = BigInt(clock.now() + 1) * 1_000_000n;
      if (!options.way(length)) continue;
      at.came = [(at.came[0] ?? 0) + 1, (at.came[1] ?? 0) + length];
      if (options.answers ?? true) at.heardNs = at.usedNs;
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
  return { at, lines, send, seconds, [Symbol.asyncDispose]: () => tasks.stop() };
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

Deno.test("a way on which nothing arrives is found, and told once, until something does", async () => {
  let open = true;
  await using lab = begin({ way: () => open });
  await lab.seconds(10, () => lab.send(1, 84));
  assert.deepEqual([lab.at.asks, lab.at.told], [0, []]);
  open = false;
  await lab.seconds(12, () => lab.send(1, 84));
  assert.deepEqual(lab.at.told, ["path-lost h2"]);
  assert.ok(lab.lines.of("h2").unreachedSince !== undefined);
  assert.deepEqual([...lab.lines.unreached()], ["h2"]);
  assert.deepEqual([...new Set(lab.at.dead)], [PIP]);
  assert.deepEqual(lab.at.lost, [], "their length is not why");
  assert.ok(lab.at.unanswered > 0);
  open = true;
  await lab.seconds(12, () => lab.send(1, 84));
  assert.deepEqual(lab.at.told, ["path-lost h2", "path-back h2"]);
  assert.equal(lab.lines.of("h2").unreachedSince, undefined);
});

Deno.test("nothing coming back is told while its sender goes on, and when a peer was asked just before", async () => {
  let open = true;
  await using lab = begin({ way: () => open });
  await lab.seconds(10, () => lab.send(1, 1400));
  assert.deepEqual([lab.at.asks, lab.at.silent], [1, 0]);
  open = false;
  await lab.seconds(5, () => lab.send(1, 1400));
  assert.deepEqual([lab.at.asks, lab.at.silent], [1, 3]);
  await lab.seconds(1, () => {});
  const told = lab.at.silent;
  await lab.seconds(5, () => {});
  assert.equal(lab.at.silent, told, "nobody sends");
});

Deno.test("some of what is sent being lost is no dead way", async () => {
  let n = 0;
  await using lab = begin({ way: () => n++ % 4 === 0, answers: false });
  await lab.seconds(60, () => lab.send(5, 84));
  assert.deepEqual(lab.at.told, []);
});

Deno.test("who sends to somebody that only listens is asked about now and then, and all is well", async () => {
  await using lab = begin({ way: () => true, answers: false });
  await lab.seconds(60, () => lab.send(10, 84));
  assert.ok(lab.at.asks >= 1 && lab.at.asks <= 5, `${lab.at.asks}`);
  assert.deepEqual(lab.at.told, []);
});

Deno.test("answers that are lost are found by their sender, once who waits for them has asked", async () => {
  await using lab = begin({ way: () => false });
  // It hears what it answers.
  const answer = () => {
    lab.send(1, 84);
    lab.at.heardNs = lab.at.usedNs;
  };
  await lab.seconds(20, answer);
  assert.equal(lab.at.asks, 0);
  lab.lines.of("h2").doubt();
  await lab.seconds(12, answer);
  assert.deepEqual(lab.at.told, ["path-lost h2"]);
  assert.equal(lab.at.unanswered, 0, "the peer has no reason to doubt in turn");
});

Deno.test("an address that nobody sends to any more leaves no peer behind as not reached", async () => {
  await using lab = begin({ way: () => false });
  await lab.seconds(12, () => lab.send(1, 84));
  assert.deepEqual([...lab.lines.unreached()], ["h2"]);
  lab.at.inUse = false;
  await lab.seconds(1, () => {});
  assert.deepEqual([...lab.lines.unreached()], []);
});
