// SPDX-License-Identifier: Apache-2.0

/** Stage C of `doctor --hardware`: each pipe of each topology by itself, and what a refusal leaves out. */
import type { Plane } from "../../ffi/plane.ts";
import { createEntry, createPipe, downstreamFirst, staticEntries } from "../pipes/install.ts";
import { buildTopology } from "../pipes/topology.ts";
import type { Pipe, PipeName, TopologyOptions } from "../pipes/types.ts";
import { targets } from "../pipes/validate.ts";
import { type Inquiry, No, NotAsked } from "./probe.ts";

/** What an agent may install, by a word. */
export const FORMS = [
  ["tunnel", form({})],
  ["sampling", form({ sampling: true, sampleRateLog2: 1 })],
  ["transport", form({ mode: "transport" })],
  ["cookie", form({ vc: true })],
] as const;

/** What an agent with several representors installs. */
export const SEVERAL: TopologyOptions = form({ local: true, ports: true, vc: true });

function form(change: Partial<TopologyOptions>): TopologyOptions {
  return {
    sampling: false,
    sampleRateLog2: 0,
    mode: "tunnel",
    onDemand: true,
    exceptions: true,
    ...change,
  };
}

/** Creates and takes away; leaves nothing. */
export async function askPipes(
  inquiry: Inquiry,
  plane: Plane,
  hosts: readonly number[],
): Promise<void> {
  for (const [i, [word, options]] of [...FORMS, ["several ports", SEVERAL] as const].entries()) {
    const pipes = new Map<PipeName, number>();
    const numbers = { pipes, ports: plane.ports, hosts: options.ports ? hosts : "one" } as const;
    if (options.ports && hosts.length < 2) {
      await inquiry.ask({
        id: `C${i + 1}`,
        asks: "Does the device take the pipes of several host ports?",
        yes: "",
        no: "",
      }, () => {
        throw new NotAsked("one representor is configured: name two");
      });
      continue;
    }
    for (const [k, pipe] of downstreamFirst(buildTopology(options)).entries()) {
      const id = `C${i + 1}.${k + 1}`;
      await inquiry.ask({
        id,
        asks: `Does the device take the pipe ${pipe.name} (${word}, ${pipe.domain})?`,
        yes: "type, domain, match, actions and jumps of this pipe are possible as they are",
        no: "the call that was refused says which of them is not: without this pipe there is no " +
          `${word === "tunnel" ? "plane" : `plane with ${word}`}`,
      }, () => {
        const missing = [...targets(pipe)].filter((name) => !pipes.has(name as PipeName));
        if (missing.length > 0) throw new NotAsked(`it forwards to ${missing.join(", ")}`);
        pipes.set(pipe.name, createPipe(plane, pipe, numbers));
        return describe(pipe);
      });
      const entries = staticEntries(pipe, numbers.hosts);
      if (entries.length === 0) continue;
      await inquiry.ask({
        id: `${id}e`,
        asks: `Does it take the entries of ${pipe.name} (${word}) that are there from the start?`,
        yes: "their matches, priorities and forwards are possible",
        no: "those that are named as refused are not",
      }, () => {
        if (!pipes.has(pipe.name)) throw new NotAsked("the pipe is not there");
        const refused: string[] = [];
        for (const entry of entries) {
          try {
            createEntry(plane, entry, { pipe, numbers });
          } catch (error) {
            refused.push(`${entry.name}: ${error instanceof Error ? error.message : error}`);
          }
        }
        if (refused.length > 0) throw new No(refused.join("; "));
        return entries.map(({ name }) => name).join(", ");
      });
    }
    await inquiry.ask({
      id: `C${i + 1}.z`,
      asks: `Do the pipes of ${word} go again?`,
      yes: "another topology can take their place",
      no: "the plane would have to be opened anew",
    }, () => {
      for (const [name, pipe] of [...pipes].reverse()) {
        plane.destroyPipe(pipe);
        pipes.delete(name);
      }
      return "all of them";
    });
  }
}

function describe({ type, nr_entries, fwd_miss }: Pipe): string {
  return `${type}, for ${nr_entries} entries, a miss goes to ${
    fwd_miss.type === "pipe" ? fwd_miss.pipe : fwd_miss.type
  }`;
}
