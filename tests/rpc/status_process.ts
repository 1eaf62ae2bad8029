// SPDX-License-Identifier: Apache-2.0

/**
 * A status listener in a process of few descriptors, told how many or not: prints its port, then each log line, and its
 * counters and memory for each line of standard input, until that is "end".
 */
import { Descriptors } from "../../src/rpc/descriptors.ts";
import { collect, source, world } from "./status_lab.ts";

const [budget] = Deno.args;
await using w = await world({}, source(), {
  limits: { lookMs: 200, firstRequestMs: 60_000 },
  ...(budget === undefined ? {} : { descriptors: new Descriptors(Number(budget)) }),
});
console.log(`port ${w.server.address.port}`);
// As the agent does: Deno's first use of signals takes descriptors, and panics when there is none.
Deno.addSignalListener("SIGHUP", () => {});
let said = 0;
const speak = setInterval(() => {
  for (const line of w.events.lines.slice(said)) console.log(line);
  said = w.events.lines.length;
}, 20);
for await (const chunk of Deno.stdin.readable) {
  const text = new TextDecoder().decode(chunk);
  if (text.includes("end")) break;
  if (text.includes("gc")) await collect();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  console.log(
    JSON.stringify({ ...Object.fromEntries(w.events.counts), rss, held: heapUsed + external }),
  );
}
clearInterval(speak);
