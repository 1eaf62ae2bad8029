// SPDX-License-Identifier: Apache-2.0

/**
 * The listener for peers in a process of its own: `control_process.ts <directory of the lab> [options of the server as JSON]`.
 * Prints its port, then each log line, and its counters, connections and memory for each line of standard input, until that is "end".
 */
import { ears, params, start } from "./lab.ts";
import { collect } from "./status_lab.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";

const [dir = "", options = "{}"] = Deno.args;
const events = ears();
const files = { cert: `${dir}/ca/h2.crt`, key: `${dir}/ca/h2.key`, ca: `${dir}/ca/ca.crt` };
let asked = 0;
await using server = await start({
  tls: new TlsStore(files, { pollMs: 0 }),
  events,
  handler: {
    newTunnel: (_peer, request) => {
      asked += request.tunnels.length;
      const outcomes = request.tunnels.map((_, i) => ({
        ok: true as const,
        params: params(0x8000_0001 + i, 0x22),
      }));
      return Promise.resolve({ bootEpoch: 77n, version: "aes-gcm-256" as const, outcomes });
    },
    notify: () => Promise.resolve({ bootEpoch: 77n }),
  },
  ...JSON.parse(options),
});
console.log(`port ${server.address.port}`);
let said = 0;
const speak = setInterval(() => {
  for (const line of events.lines.slice(said)) console.log(line);
  said = events.lines.length;
}, 20);
for await (const chunk of Deno.stdin.readable) {
  const text = new TextDecoder().decode(chunk);
  if (text.includes("end")) break;
  if (text.includes("gc")) await collect();
  const counts = Object.fromEntries(events.counts);
  const open = server.connections();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  console.log(JSON.stringify({ ...counts, asked, open, rss, held: heapUsed + external }));
}
clearInterval(speak);
