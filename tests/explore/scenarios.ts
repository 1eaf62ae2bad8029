// SPDX-License-Identifier: Apache-2.0

/** What befalls a fleet, and when it is over. */
import type { Fleet } from "./fleet.ts";
import type { WorldHost } from "../sim/host.ts";
import { inMemory } from "../sim/record.ts";

/** What came of it besides the fleet's own figures. */
export interface Told {
  /** From the end of what befell them to the last flow that is served again, in seconds; undefined: never. */
  readonly convergedS: number | undefined;
  /** What else is worth a word. */
  readonly note: string;
}

/** A scenario. The fleet is at rest before, but for the first. */
export interface Scenario {
  readonly name: string;
  readonly play: (fleet: Fleet, scale: number) => Told;
}

/** How long anything may take to be over. */
const LIMIT_MS = 300_000;
/** What is up for so long is on record: a tick writes it. */
const RECORDED_MS = 500;
/** Moves of workloads begin within so long, and each is heard of within so long, where somebody hears. */
const [MOVES_MS, LAG_MS] = [10_000, 2000];
/** Hosts in a rack. */
const RACK = 40;

export const SCENARIOS: readonly Scenario[] = [
  { name: "cold start of all", play: coldStart },
  { name: "rotation of all", play: rotation },
  { name: "a rack cut off", play: rack },
  { name: "rolling upgrade", play: upgrade },
  { name: "1 % flapping", play: flapping },
  { name: "vips move", play: moves },
  { name: "directory split", play: split },
];

/** All hosts at rest, as every scenario but the first begins. False: they do not come to rest. */
export function atRest(fleet: Fleet): boolean {
  fleet.start(fleet.world.hosts, 5000);
  return fleet.run(LIMIT_MS, () => fleet.isServed()) !== undefined;
}

function coldStart(fleet: Fleet): Told {
  fleet.start(fleet.world.hosts, 1000);
  const served: string[] = [];
  const marks = [0.5, 0.99];
  const at = fleet.run(LIMIT_MS, () => {
    const { flows, served: n } = fleet.sample();
    while (marks[0] !== undefined && n >= marks[0] * flows) {
      served.push(`${100 * (marks.shift() ?? 0)} % in ${fleet.now / 1000} s`);
    }
    return n === flows;
  });
  return { convergedS: seconds(at, 0), note: served.join(", ") };
}

/** Each host rotates once within an hour (times `scale`), at a moment of its own, and is asked to again soon after. */
function rotation(fleet: Fleet, scale: number): Told {
  const spanMs = 3_600_000 * scale;
  const start = fleet.now;
  let [rotated, refused, again] = [0, 0, 0];
  for (const host of fleet.world.hosts) {
    const at = start + fleet.random.uniform() * spanMs;
    fleet.at(at, () => void (host.core.rotate({ plan: false }).started ? rotated++ : refused++));
    fleet.at(at + 1000, () => void (host.core.rotate({ plan: false }).started ? again++ : 0));
  }
  fleet.run(spanMs);
  const end = fleet.now;
  const isDone = () => fleet.world.hosts.every((host) => !hasOld(host)) && fleet.isServed();
  const at = fleet.run(LIMIT_MS, isDone);
  return {
    convergedS: seconds(at, end),
    note: `${rotated} rotated, ${refused} refused, ${again} of those asked again a second later`,
  };
}

/** A rack reaches nobody for ten minutes (times `scale`), and nobody reaches it. */
function rack(fleet: Fleet, scale: number): Told {
  const { world } = fleet;
  const size = Math.min(RACK, Math.floor(world.hosts.length / 4));
  const isCut = ({ index }: WorldHost) => index < size;
  const before = world.reaches;
  world.reaches = (from, to) => isCut(from) === isCut(to);
  fleet.run(600_000 * scale);
  const { served, flows } = fleet.sample();
  world.reaches = before;
  const end = fleet.now;
  const at = fleet.run(LIMIT_MS, () => fleet.isServed());
  return {
    convergedS: seconds(at, end),
    note: `${size} hosts; inside ${served} of ${flows} flows`,
  };
}

/** Every host stops in good order and starts two seconds later, one in a hundred at a time; more where it is short. */
function upgrade(fleet: Fleet, scale: number): Told {
  const { world } = fleet;
  const batches = Math.min(100, Math.max(20, 1000 * scale));
  const atOnce = Math.max(1, Math.floor(world.hosts.length / batches));
  for (const [i, host] of world.hosts.entries()) {
    fleet.at(fleet.now + 1 + Math.floor(i / atOnce) * 3000, () => {
      host.core.stop().then(() => {
        host.kill();
        fleet.at(fleet.now + 2000, () => host.restart());
      });
    });
  }
  fleet.run(Math.ceil(world.hosts.length / atOnce) * 3000 + 3000);
  const end = fleet.now;
  const at = fleet.run(LIMIT_MS, () => world.hosts.every((h) => h.alive) && fleet.isServed());
  return { convergedS: seconds(at, end), note: `${atOnce} at a time` };
}

/** One host in a hundred is killed and started again every ten seconds, for five minutes (times `scale`). */
function flapping(fleet: Fleet, scale: number): Told {
  const { world, random } = fleet;
  const sick = world.hosts.filter((_, i) => i % 100 === 7);
  const end = fleet.now + 300_000 * scale;
  let kills = 0;
  const flap = (host: WorldHost, at: number) => {
    if (at >= end) return;
    fleet.at(at, () => {
      kills++;
      const up = upSince(host, fleet.now - RECORDED_MS);
      host.kill();
      const recorded = new Set(inMemory(host.record).summary().written);
      for (const key of up) {
        if (!recorded.has(key)) fleet.wrong(`${host.id}: the tunnel ${key} is not on record`);
      }
      fleet.at(fleet.now + 500 + random.uniform() * 1500, () => host.restart());
      flap(host, fleet.now + 5000 + random.uniform() * 10_000);
    });
  };
  for (const host of sick) flap(host, fleet.now + random.uniform() * 10_000);
  fleet.run(end - fleet.now + 2000);
  const at = fleet.run(LIMIT_MS, () => fleet.isServed());
  return { convergedS: seconds(at, end + 2000), note: `${sick.length} hosts, ${kills} kills` };
}

/** The workloads of one host in fifty move to the next one; each host hears of it within two seconds, when it happens to. */
function moves(fleet: Fleet): Told {
  const n = moveSome(fleet, () => fleet.random.uniform() * LAG_MS);
  fleet.run(MOVES_MS + LAG_MS + 1000);
  const end = fleet.now;
  const at = fleet.run(LIMIT_MS, () => fleet.isServed());
  return { convergedS: seconds(at, end), note: `${n} prefixes` };
}

/**
 * The same, while two of any four neighbours hear nothing of the directory for ten minutes (times `scale`): some of those that
 * lose a workload, some that get one, and half of all who send to them. Then these hear of it within two seconds.
 */
function split(fleet: Fleet, scale: number): Told {
  const spanMs = MOVES_MS + LAG_MS + 600_000 * scale;
  const end = fleet.now + spanMs;
  const isDeaf = (host: number) => Math.floor(host / 2) % 2 === 1;
  const n = moveSome(
    fleet,
    (host) => fleet.random.uniform() * LAG_MS + (isDeaf(host) ? end - fleet.now : 0),
  );
  fleet.run(spanMs);
  const { served, flows } = fleet.sample();
  fleet.run(LAG_MS + 1000);
  const over = fleet.now;
  const at = fleet.run(LIMIT_MS, () => fleet.isServed());
  return {
    convergedS: seconds(at, over),
    note: `${n} prefixes; inside ${served} of ${flows} flows`,
  };
}

/** The workloads of one host in fifty move to the next one, within ten seconds. Returns how many. */
function moveSome(fleet: Fleet, heardMs: (host: number) => number): number {
  let n = 0;
  for (let i = 3; i + 1 < fleet.world.hosts.length; i += 50) {
    const from = i;
    fleet.at(fleet.now + 1 + fleet.random.uniform() * MOVES_MS, () => {
      fleet.move(from, { to: from + 1, heardMs });
    });
    n++;
  }
  return n;
}

/** Tunnels that have been up for a while. */
function upSince({ table }: WorldHost, at: number): string[] {
  return [...table.all()].filter(({ state }) => state.kind === "up" && state.openedAt < at)
    .map(({ key }) => key);
}

function hasOld({ plane }: WorldHost): boolean {
  for (const spi of plane.rx.keys()) if (plane.ageOf(spi) !== 0n) return true;
  return false;
}

function seconds(at: number | undefined, since: number): number | undefined {
  return at === undefined ? undefined : (at - since) / 1000;
}
