// SPDX-License-Identifier: Apache-2.0

/** The short form of bench/fleet_sim.ts: as many hosts as there is time for, and everything that befalls a fleet. */
import assert from "node:assert/strict";
import { type Figures, Fleet } from "./fleet.ts";
import { atRest, type Scenario, SCENARIOS, type Told } from "./scenarios.ts";
import { loadCore, type Patch } from "../sim/load.ts";

const HOSTS = 100;
/** More than an octet tells apart. */
const HOSTS_AT_START = 300;
const PEERS = 16;
/** Of the hour, the ten minutes and the five that scenarios last. */
const SCALE = 0.02;

interface Run extends Figures, Told {
  readonly violations: readonly string[];
}

async function play(
  scenario: Scenario,
  { seed, hosts = HOSTS, patches = [] }: {
    readonly seed: number;
    readonly hosts?: number;
    readonly patches?: readonly Patch[];
  },
): Promise<Run> {
  const modules = await loadCore(patches);
  Error.stackTraceLimit = 0;
  const fleet = new Fleet({
    modules,
    seed,
    hosts,
    peers: PEERS,
    loss: 0.01,
    delayMs: [0.5, 20],
    packetEveryMs: 5000,
  });
  if (scenario !== SCENARIOS[0]) assert.ok(atRest(fleet));
  const told = scenario.play(fleet, SCALE);
  return { ...told, ...fleet.figures(), violations: fleet.violations };
}

const [coldStart] = SCENARIOS;

for (const scenario of SCENARIOS) {
  Deno.test(`a fleet: ${scenario.name}`, async () => {
    const hosts = scenario === coldStart ? HOSTS_AT_START : HOSTS;
    const run = await play(scenario, { seed: 1, hosts });
    const { violations, convergedS = Infinity, peakPerHost } = run;
    assert.deepEqual(violations, []);
    assert.ok(convergedS <= 30, `${convergedS} s`);
    // Each peer may ask once more where both ask at once, or an answer is lost.
    assert.ok(peakPerHost <= 3 * PEERS, `${peakPerHost} requests at one host in a second`);
  });
}

Deno.test("a seed is one run, message by message, and another seed another", async () => {
  assert.ok(coldStart);
  const hosts = 30;
  const [a, b, c] = [
    await play(coldStart, { seed: 7, hosts }),
    await play(coldStart, { seed: 7, hosts }),
    await play(coldStart, { seed: 8, hosts }),
  ];
  assert.deepEqual(a, b);
  assert.notEqual(a.digest, c.digest);
});

Deno.test("a fleet whose hosts rotate twice is found out", async () => {
  const rotation = SCENARIOS.find(({ name }) => name === "rotation of all");
  assert.ok(rotation);
  const patch = {
    file: "rotation.ts",
    find: "const isFree = holding(state, context).sas === 0;",
    replace: "const isFree = holding(state, context).sas >= 0;",
  };
  const { violations } = await play(rotation, { seed: 1, hosts: 20, patches: [patch] });
  assert.match(violations.join("\n"), /a rotation kills SPI/);
});
