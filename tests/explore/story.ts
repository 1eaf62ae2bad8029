// SPDX-License-Identifier: Apache-2.0

/** A way through the exploration as people read it: a sequence diagram, and a test for tests/core. */
import assert from "node:assert/strict";
import { broken, heal } from "./checks.ts";
import { reach, type Violation } from "./explore.ts";
import { type Bounds, type Budgets, NOTHING, Stage } from "./stage.ts";
import { type CoreModules, loadCore } from "../sim/load.ts";
import type { Body, Message } from "../sim/wire.ts";

/** Replays choices on the core: nothing is broken on the way, and whichever side sends first, all heals. */
export async function told(
  budgets: Partial<Budgets>,
  path: readonly string[],
  { hosts = 2, pairs = 1 } = {},
): Promise<void> {
  const modules = await loadCore();
  const bounds: Bounds = { budgets: { ...NOTHING, ...budgets }, depth: path.length, hosts, pairs };
  for (let first = 0; first < hosts; first++) {
    const stage = new Stage(modules, bounds);
    for (const choice of path) {
      stage.take(choice);
      assert.deepEqual(broken(stage), [], `after "${choice}"`);
    }
    assert.deepEqual(heal(stage, first).wrong, []);
  }
}

/** The test that fails as long as a violation is not mended. */
export function storyOf({ choices, wrong }: Violation, { budgets, hosts, pairs }: Bounds): string {
  const spent = Object.entries(budgets).filter(([, n]) => n > 0).map(([name, n]) =>
    `${name}: ${n}`
  );
  return [
    `Deno.test(${JSON.stringify(wrong[0] ?? "a state that was explored")}, async () => {`,
    `  await told({ ${spent.join(", ")} }, [`,
    ...choices.map((choice) => `    ${JSON.stringify(choice)},`),
    `  ], { hosts: ${hosts ?? 2}, pairs: ${pairs} });`,
    "});",
  ].join("\n");
}

/** What the hosts say and do on the way, as a Mermaid sequence diagram. */
export function diagramOf(modules: CoreModules, bounds: Bounds, path: readonly string[]): string {
  const stage = new Stage(modules, bounds);
  const { world } = stage;
  const lines = ["sequenceDiagram", ...world.hosts.map(({ id }) => `    participant ${id}`)];
  const put = (line: string) => lines.push(`    ${line}`);
  const over = `note over h1,h${world.hosts.length}`;
  for (const choice of path) {
    const [what = "", n = ""] = choice.split(" ");
    const message = world.wire.messages.get(Number(n));
    if (message !== undefined && what === "deliver") put(arrow("->>", message));
    else if (message !== undefined && what === "lose") put(arrow("--x", message));
    else put(`${over}: ${choice}`);
    const before = world.hosts.map(sas);
    stage.take(choice);
    for (const [i, host] of world.hosts.entries()) {
      const after = sas(host);
      if (after !== before[i]) put(`note over ${host.id}: ${after}`);
    }
  }
  for (const wrong of broken(stage)) put(`${over}: WRONG: ${wrong}`);
  for (const wrong of heal(reach(modules, bounds, path), 0).wrong) {
    put(`${over}: THEN: ${wrong}`);
  }
  return lines.join("\n");
}

function arrow(sign: string, { n, from, to, body }: Message): string {
  return `${from}${sign}${to}: ${n}. ${saying(body)}`;
}

function saying(body: Body): string {
  switch (body.kind) {
    case "request": {
      const { requestId, tunnels } = body.request;
      const spis = tunnels.map(({ reverse: { spi, serial } }) => `SPI ${spi} (serial ${serial})`);
      return `NewTunnel ${requestId.slice(-4)}: ${spis.join(", ")}`;
    }
    case "reply": {
      const spis = body.reply.outcomes.map((outcome) =>
        outcome.ok ? `SPI ${outcome.params.spi} (serial ${outcome.params.serial})` : outcome.code
      );
      return `reply ${body.requestId.slice(-4)}: ${spis.join(", ")}`;
    }
    case "refusal":
      return body.error.message;
    case "notice": {
      const { unknownSpis, closed, draining, confirmedSpis = [] } = body.notice;
      return `notice: unknown [${unknownSpis}], confirmed [${confirmedSpis}], ` +
        `closed ${closed.length}${draining ? ", draining" : ""}`;
    }
    case "answer":
      return "answer";
    case "question":
      return "what becomes of a packet?";
    case "explanation":
      return body.view.verdict;
    default:
      return body satisfies never;
  }
}

/** A host's SAs. */
function sas({ table, plane }: Stage["world"]["hosts"][number]): string {
  const states = [...table.all()].map(({ state }) => state.kind).join(" ");
  const sends = [...plane.tx.values()].map(({ sa }) => sa.spi).join(" ");
  return `${states || "closed"}, sends ${sends || "-"}, receives ${
    [...plane.rx.keys()].join(" ") || "-"
  }`;
}
