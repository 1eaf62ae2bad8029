// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { buildTopology } from "./topology.ts";
import type { Pipe, PipeName, Topology } from "./types.ts";
import { matchFields, validateTopology } from "./validate.ts";

const GOOD = buildTopology({
  sampling: true,
  sampleRateLog2: 8,
  mode: "tunnel",
  onDemand: true,
  exceptions: true,
});

/** The good topology with one pipe changed. */
function withPipe(name: PipeName, change: (pipe: Pipe) => Pipe): Topology {
  return { pipes: GOOD.pipes.map((pipe) => pipe.name === name ? change(pipe) : pipe) };
}

const CASES: readonly (readonly [string, Topology, string])[] = [
  [
    "a cycle",
    withPipe("SYND_STATS", (p) => ({ ...p, fwd_miss: { type: "pipe", pipe: "INGR_ACL" } })),
    "Pipes form a cycle: INGR_ACL -> SYND_STATS -> INGR_ACL",
  ],
  [
    "a dangling forward",
    { pipes: GOOD.pipes.filter(({ name }) => name !== "SYND_STATS") },
    'Pipe "INGR_ACL" forwards to "SYND_STATS", which is not there',
  ],
  [
    "a dangling forward of an entry",
    { pipes: GOOD.pipes.filter(({ name }) => name !== "PSP_DECRYPT") },
    'Pipe "ROOT" forwards to "PSP_DECRYPT", which is not there',
  ],
  [
    "a miss that is not stated",
    withPipe("EGR_ACL", ({ fwd_miss: _, ...rest }) => rest as Pipe),
    'Pipe "EGR_ACL" does not say where a miss goes',
  ],
  [
    "two pipes of a name",
    { pipes: [...GOOD.pipes, ...GOOD.pipes.slice(-1)] },
    'There are two pipes "SYND_STATS"',
  ],
  [
    "no root",
    withPipe("ROOT", (p) => ({ ...p, is_root: false })),
    "There must be exactly one root pipe, not 0",
  ],
  [
    "two roots",
    withPipe("EGR_ACL", (p) => ({ ...p, is_root: true })),
    "There must be exactly one root pipe, not 2",
  ],
  [
    "an entry that matches what the mask has not",
    withPipe("INGR_SAMP", (p) => ({ ...p, match_mask: { meta: { pkt_meta: true } } })),
    'Entry "sample" of pipe "INGR_SAMP" matches tun.psp.s_d_ver_v, which is not in the mask',
  ],
  [
    "an entry that matches bits beyond the mask",
    withPipe("EGR_SAMP", (p) => ({ ...p, match_mask: { parser_meta: { random: 2 } } })),
    'Entry "sample" of pipe "EGR_SAMP" matches bits of parser_meta.random that are not in the mask',
  ],
  [
    "an entry of a basic pipe with a mask of its own",
    withPipe(
      "PSP_DECRYPT",
      (p) => ({ ...p, entries: p.entries.map((e) => ({ ...e, match_mask: {} })) }),
    ),
    'Entry "decrypt" of pipe "PSP_DECRYPT" brings a mask, which only entries of control pipes may',
  ],
  [
    "two entries of a match",
    withPipe("SYND_STATS", (p) => ({
      ...p,
      entries: [...p.entries, ...p.entries.slice(0, 1).map((e) => ({ ...e, name: "again" }))],
    })),
    'Entry "again" of pipe "SYND_STATS" has the match of "ok"',
  ],
  [
    "an entry without a forward",
    withPipe("ROOT", (p) => ({
      ...p,
      entries: p.entries.map(({ fwd, ...e }) =>
        e.name === "arp" ? e : { ...e, ...(fwd ? { fwd } : {}) }
      ),
    })),
    'Entry "arp" of pipe "ROOT" does not say where to forward, nor does its pipe',
  ],
];

for (const [name, topology, problem] of CASES) {
  Deno.test(`${name} is a problem`, () => {
    assert.ok(validateTopology(topology).includes(problem), validateTopology(topology).join("\n"));
  });
}

Deno.test("all problems are told at once", () => {
  const topology = {
    pipes: GOOD.pipes.filter(({ name }) => name !== "SYND_STATS" && name !== "ROOT"),
  };
  assert.equal(validateTopology(topology).length, 2);
});

Deno.test("the fields of a match have dotted names", () => {
  assert.deepEqual(
    matchFields({ parser_meta: { psp_syndrome: "ok" }, tun: { psp: { spi: 7 } }, outer: {} }),
    [["parser_meta.psp_syndrome", "ok"], ["tun.psp.spi", 7]],
  );
});
