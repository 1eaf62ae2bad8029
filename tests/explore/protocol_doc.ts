// SPDX-License-Identifier: Apache-2.0

/** What docs/protocol.md draws: the machine, and ways through the exploration as the core goes them. */
import { ANSWERING } from "./machines/answering.ts";
import { ASKING } from "./machines/asking.ts";
import { diagramOf as machineDiagramOf, type Machine, transitionsOf } from "./machines/machine.ts";
import { ROTATION } from "./machines/rotation.ts";
import { TUNNEL } from "./machines/tunnel.ts";
import { type Bounds, type Budgets, NOTHING, Stage } from "./stage.ts";
import { diagramOf } from "./story.ts";
import { type CoreModules, loadCore } from "../sim/load.ts";

/** A drawing by the name between whose marks it stands. */
export interface Drawing {
  readonly name: string;
  readonly mermaid: string;
}

const WAYS: readonly {
  readonly name: string;
  readonly budgets: Partial<Budgets>;
  /** "next" is the oldest message under way: it arrives. */
  readonly choices: readonly string[];
}[] = [
  {
    name: "first-packet",
    budgets: { packets: 1 },
    choices: ["packet h1 1", "next", "next", "time", "time"],
  },
  {
    name: "crossing",
    budgets: { packets: 2 },
    choices: ["packet h1 1", "packet h2 1", "next", "next", "next", "next"],
  },
  {
    name: "lost-reply",
    budgets: { packets: 1, lose: 2 },
    choices: [
      "packet h1 1",
      "next",
      "lose next",
      "time",
      "time",
      "time",
      "next",
      "next",
    ],
  },
  {
    name: "asked-again",
    budgets: { packets: 1, lose: 2 },
    choices: [
      "packet h1 1",
      "next",
      "lose next",
      "time",
      "time",
      "time",
      "next",
      "lose next",
      ...Array.from({ length: 5 }, () => "time"),
      "next",
      "next",
      "next",
      "next",
      "time",
      "next",
      "next",
    ],
  },
  {
    name: "restart",
    budgets: { packets: 2, wipe: 1 },
    choices: [
      "packet h1 1",
      "next",
      "next",
      "wipe h1",
      "packet h2 1",
      "time",
      "next",
      "next",
    ],
  },
  {
    name: "rotation",
    budgets: { packets: 1, rotate: 1 },
    choices: [
      "packet h1 1",
      "next",
      "next",
      "time",
      "rotate h1",
      "time",
      "next",
      "next",
      "time",
      "next",
      "next",
      "time",
      "time",
      "time",
    ],
  },
];

/** All of them, drawn from the core as it is. */
export async function drawings(): Promise<readonly Drawing[]> {
  const modules = await loadCore();
  const ways = WAYS.map(({ name, budgets, choices }) => ({
    name,
    mermaid: draw(modules, { budgets, choices }),
  }));
  return [
    { name: "machine", mermaid: drawn(TUNNEL) },
    { name: "asking", mermaid: drawn(ASKING, ENDS) },
    { name: "answering", mermaid: drawn(ANSWERING) },
    { name: "keeper", mermaid: drawn(ROTATION) },
    ...ways,
  ];
}

/** What ends asking in every state alike. */
const ENDS: ReadonlySet<string> = new Set(["broken", "stopped"]);

function drawn<P>(machine: Machine<P>, without: ReadonlySet<string> = new Set()): string {
  const all = transitionsOf(machine).filter(({ event }) => !without.has(event));
  return machineDiagramOf(machine.kindOf(machine.first), all);
}

function draw(
  modules: CoreModules,
  { budgets, choices }: {
    readonly budgets: Partial<Budgets>;
    readonly choices: readonly string[];
  },
): string {
  const bounds: Bounds = {
    budgets: { ...NOTHING, ...budgets },
    depth: choices.length,
    pairs: 1,
  };
  const stage = new Stage(modules, bounds);
  const path = choices.flatMap((choice) => {
    const [next] = stage.world.wire.messages.keys();
    if (choice.endsWith("next") && next === undefined) return [];
    const chosen = choice === "next" ? `deliver ${next}` : choice.replace("next", `${next}`);
    stage.take(chosen);
    return [chosen];
  });
  return diagramOf(modules, bounds, path);
}

/** The document with every drawing as it is now. */
export function withDrawings(text: string, all: readonly Drawing[]): string {
  return all.reduce((so, { name, mermaid }) => {
    const marks = new RegExp(`(<!-- ${name}:begin -->\n)[^]*?(<!-- ${name}:end -->)`);
    if (!marks.test(so)) throw new Error(`docs/protocol.md has no place for "${name}"`);
    return so.replace(marks, `$1\n\`\`\`mermaid\n${mermaid}\n\`\`\`\n\n$2`);
  }, text);
}

/** Draws them into the document anew. */
if (import.meta.main) {
  const path = new URL("../../docs/protocol.md", import.meta.url);
  Deno.writeTextFileSync(path, withDrawings(Deno.readTextFileSync(path), await drawings()));
}
