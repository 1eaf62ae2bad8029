// SPDX-License-Identifier: Apache-2.0

/** Logs of the core in a world are traces that the protocol allows, and those of a core with a mistake are not. */
import assert from "node:assert/strict";
import { heal } from "./checks.ts";
import { explore } from "./explore.ts";
import { type Mutant, MUTANTS } from "./mutants.ts";
import { Stage } from "./stage.ts";
import { judge, type TraceLine, type Verdict } from "./trace.ts";
import { worldConfig } from "../sim/config.ts";
import { vipOf } from "../sim/host.ts";
import { type CoreModules, loadCore, type Patch } from "../sim/load.ts";
import { World } from "../sim/world.ts";

const TICK_MS = 250;
/** Until whatever a log leaves open is over. */
const LATER_MS = 8000;
/** More than any planted mistake takes to be found. */
const STATES = 5000;

/** Two hosts that talk, rekey, rotate and start again, on a network that is whole but for some seconds. */
async function run(patches: readonly Patch[] = []): Promise<Verdict> {
  const modules = await loadCore(patches);
  const logs = new Map<string, TraceLine[]>([["h1", []], ["h2", []]]);
  const traces = [...logs].map(([host, lines]) => ({ host, lines }));
  const changes = { tunnel: { lifeMs: 20_000, graceMs: 1000 } };
  const world: World = new World({
    modules,
    configs: [0, 1].map((i) => worldConfig(i, { peers: [1 - i], changes })),
    onLog: ({ host, message, fields }) =>
      logs.get(host)?.push({ atMs: world.clock.now(), message, fields }),
  });
  world.begin();
  const pairs = [0, 1].map((i) => ({ localVip: vipOf(i), remoteVip: vipOf(1 - i) }));
  const carry = (t: number) => {
    for (const n of [...world.wire.messages.keys()]) {
      if (t >= 45_000 && t < 55_000 && n % 3 > 0) world.wire.lose(n);
      else world.deliver(n);
    }
  };
  for (let t = 0; t < 120_000; t += TICK_MS) {
    for (const [i, pair] of pairs.entries()) world.host(i).packet(pair);
    if (t === 30_000 || t === 30_500) world.host(0).core.rotate({ plan: false });
    if (t === 70_000) {
      const lines: TraceLine[] = [];
      world.host(1).kill();
      logs.set("h2", lines);
      traces.push({ host: "h2", lines });
      world.host(1).restart();
    }
    carry(t);
    world.advance(TICK_MS);
    carry(t);
  }
  return judge(traces);
}

Deno.test("what the core does is what the protocol allows", async () => {
  const { refusals, steps, sas } = await run();
  assert.deepEqual(refusals, []);
  assert.ok(steps > 20 && sas > 20, `${steps} steps, ${sas} SAs`);
});

const mistakes: readonly (Patch & { readonly said: RegExp })[] = [
  {
    file: "rotation.ts",
    find: "const isFree = holding(state, context).sas === 0;",
    replace: "const isFree = holding(state, context).sas >= 0;",
    said: /a second rotation kills/,
  },
  {
    file: "tunnel.ts",
    find: 'effects: [{ do: "add_rx", sa: rx.sa }],',
    replace: "effects: [],",
    said: /never received/,
  },
  {
    file: "rotation.ts",
    find: 'return stays ? [{ do: "move", tunnel, generation }] : [];',
    replace: "return stays ? [] : [];",
    said: /a rotation did not come to/,
  },
  {
    file: "rotation_driver.ts",
    find: "plane.rotateMasterKey();",
    replace: "plane.rotateMasterKey(); plane.rotateMasterKey();",
    said: /rotation 2 follows 0/,
  },
  {
    file: "initiator.ts",
    find: "return rest({ ...call, goesOnUntil, maybe, attempt: call.attempt + 1 }, [",
    replace: "return rest({ ...call, goesOnUntil, maybe, attempt: call.attempt + 2 }, [",
    said: /try 1 is followed by try 3/,
  },
  {
    file: "initiator.ts",
    find: "requestId: call.requestId,",
    replace: 'requestId: "f".repeat(32),',
    said: /has an answer to \w+, which h2 never gave/,
  },
  {
    file: "initiator_driver.ts",
    find: "requestId: random.hex(16)",
    replace: 'requestId: "f".repeat(32)',
    said: /a new request has the id f+ of another/,
  },
  {
    file: "responder.ts",
    find: 'return { state: OVER, effects: [{ do: "answer", reply, isKept: true }] };',
    replace: 'return { state, effects: [{ do: "answer", reply, isKept: true }] };',
    said: /no such step of answering: granting granted granting/,
  },
];

for (const { said, ...patch } of mistakes) {
  Deno.test(`a trace of a mistake is refused: ${patch.replace}`, async () => {
    const { refusals } = await run([patch]);
    assert.match(refusals.join("\n"), said);
  });
}

/** What all processes wrote on a way through an exploration, and as it healed, held against the protocol. */
function judgedAlong(
  modules: CoreModules,
  { bounds, choices }: Pick<Mutant, "bounds"> & { readonly choices: readonly string[] },
): readonly string[] {
  const logs = new Map<string, { readonly host: string; readonly lines: TraceLine[] }>();
  const stage = new Stage(modules, bounds, ({ host, start, ...line }) => {
    const id = `${host} ${start}`;
    const trace = logs.get(id) ?? { host, lines: [] };
    logs.set(id, trace);
    trace.lines.push(line);
  });
  for (const choice of choices) stage.take(choice);
  heal(stage, 0);
  stage.world.advance(LATER_MS);
  return judge([...logs.values()]).refusals;
}

/** Planted mistakes that one log, or two of them, cannot but show; what comes of others shows on the wire alone, or in time. */
const TOLD: ReadonlySet<string> = new Set([
  "release before transmit is programmed",
  "advertise before receive is programmed",
  "believe a message of a start that is over",
  "answer a repeated request anew",
  "rotate twice",
  "do not leave the key before",
  "take anybody's word for an address",
]);

for (const { name, patches, bounds } of MUTANTS) {
  const isTold = TOLD.has(name);
  const both = isTold
    ? "its trace is refused, that of the core is not"
    : "the trace of the core is not refused";
  Deno.test(`a way to "${name}": ${both}`, async () => {
    const planted = await loadCore(patches);
    const { violation } = explore(planted, bounds, { states: STATES });
    assert.ok(violation);
    const { choices } = violation;
    if (isTold) assert.notDeepEqual(judgedAlong(planted, { bounds, choices }), []);
    assert.deepEqual(judgedAlong(await loadCore(), { bounds, choices }), []);
  });
}

/** Two logs as they would be of a tunnel that h1 asked for. */
function told(): { readonly h1: TraceLine[]; readonly h2: TraceLine[] } {
  const line = (atMs: number, message: string, fields: TraceLine["fields"]) => ({
    atMs,
    message,
    fields,
  });
  const [a, b] = [
    { peer: "h2", localVip: "10.0.0.1", remoteVip: "10.0.1.1" },
    { peer: "h1", localVip: "10.0.1.1", remoteVip: "10.0.0.1" },
  ];
  const step = "A tunnel takes a step";
  return {
    h1: [
      line(0, step, { ...a, kind: "miss", state: "opening" }),
      line(1, step, { ...a, kind: "offered", state: "opening" }),
      line(1, "Receiving: the SA is in INGR_ACL", { ...a, spi: 1 }),
      line(9, step, { ...a, kind: "answered", state: "up" }),
      line(9, "Sending: the SA is in EGR_ACL", { ...a, spi: 2 }),
    ],
    h2: [
      line(5, step, { ...b, kind: "asked", state: "up" }),
      line(5, "Receiving: the SA is in INGR_ACL", { ...b, spi: 2 }),
      line(5, "Sending: the SA is in EGR_ACL", { ...b, spi: 1 }),
    ],
  };
}

function judged({ h1, h2 }: ReturnType<typeof told>): string {
  return judge([{ host: "h1", lines: h1 }, { host: "h2", lines: h2 }]).refusals.join("\n");
}

Deno.test("a log is judged with that of the other end", () => {
  const pair = { peer: "h1", localVip: "10.0.1.1", remoteVip: "10.0.0.1" };
  assert.equal(judged(told()), "");
  const twice = told();
  twice.h2.push({ ...twice.h2[2] as TraceLine, atMs: 50 });
  assert.match(judged(twice), /key of 1 is used a second time/);
  const retired = told();
  retired.h2.push(
    { atMs: 100, message: "The receive SA is retired", fields: { ...pair, spi: 2 } },
  );
  retired.h1.push({ atMs: 5000, message: "Ready", fields: {} });
  assert.match(judged(retired), /retires 2, with which h1 sends on/);
  const restarted = told();
  restarted.h1.push(
    {
      atMs: 100,
      message: "A peer was started anew: its SAs are void",
      fields: { peer: "h2", localVip: undefined, remoteVip: undefined },
    },
    { atMs: 9000, message: "Ready", fields: {} },
  );
  assert.match(judged(restarted), /sends with 2 of a start of h2 that is over/);
  const unknown = told();
  unknown.h2.splice(1, 1);
  assert.match(judged(unknown), /sends with 2, which h2 never received/);
  const skipped = told();
  skipped.h1.splice(0, 2);
  assert.match(judged(skipped), /no such step: closed answered up/);
});

/** The same with the steps of asking and answering. */
function toldOfAll(): ReturnType<typeof told> {
  const { h1, h2 } = told();
  const requestId = "a".repeat(32);
  const asking = (atMs: number, kind: string, state: string, call = {}) => ({
    atMs,
    message: "Asking a peer takes a step",
    fields: { peer: "h2", kind, state, ...call },
  });
  const answering = (kind: string, state: string) => ({
    atMs: 5,
    message: "Answering a peer takes a step",
    fields: { peer: "h1", kind, state, requestId },
  });
  const call = { requestId, attempt: 1 };
  return {
    h1: [
      ...h1.slice(0, 1),
      asking(0, "asked", "gathering"),
      asking(0, "gathered", "pacing"),
      asking(0, "paced", "queueing"),
      asking(1, "admitted", "offering"),
      ...h1.slice(1, 3),
      asking(1, "offered", "calling", call),
      asking(9, "replied", "doubting", call),
      asking(9, "trusted", "hearing", call),
      asking(9, "heard", "ending"),
      ...h1.slice(3),
      asking(9, "look", "idle"),
    ],
    h2: [
      answering("asked", "asked"),
      answering("recalled", "deriving"),
      answering("derived", "granting"),
      ...h2,
      answering("granted", "over"),
    ],
  };
}

Deno.test("what happens to a tunnel has its place in an exchange, and an answer comes from who was asked", () => {
  assert.equal(judged(toldOfAll()), "");
  const without = (side: "h1" | "h2", kind: string) => {
    const all = toldOfAll();
    return judged({ ...all, [side]: all[side].filter(({ fields }) => fields.kind !== kind) });
  };
  assert.match(without("h1", "heard"), /"answered" has no place in any exchange with h2/);
  assert.match(without("h1", "gathered"), /no such step of asking: gathering paced queueing/);
  assert.match(without("h2", "derived"), /"asked" has no place in any exchange with h1/);
  assert.match(without("h2", "granted"), /h1 has an answer to a+, which h2 never gave/);
  const twice = toldOfAll();
  const anew = twice.h2.filter(({ message }) => message.startsWith("Answering"));
  assert.match(judged({ ...twice, h2: [...twice.h2, ...anew] }), /request a+ is granted twice/);
});
