// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { Lab, recorder, start, TRUST } from "../../tests/rpc/lab.ts";
import { peerIds } from "../rpc/identity.ts";
import { parseConfig } from "../config/load.ts";
import { openStateDir } from "../store/state_dir.ts";
import { livingFindings } from "./living.ts";

/** What is found where h1 has these peers, and nothing of it runs. */
async function found(
  lab: Lab,
  peers: Readonly<Record<string, number>>,
  listen = "127.77.0.1:59999",
): Promise<string[]> {
  const { config } = parseConfig(
    JSON.stringify({
      id: "h1",
      domain: TRUST.domain,
      pip: "192.0.2.1",
      vips: ["10.1.0.0/24"],
      plane: { uplink: "p0", host: "vf0" },
      state_dir: `${lab.dir}/state`,
      rpc: { listen, tls: lab.files("h1") },
      status: { socket: `${lab.dir}/agent.sock`, listen: "127.77.0.1:59998" },
      peers: Object.entries(peers).map(([id, port], i) => ({
        id,
        svc_address: `127.0.0.1:${port}`,
        vips: [`10.2.${i}.0/24`],
      })),
    }),
    `${lab.dir}/peers.json`,
  );
  const findings = await livingFindings(config);
  return findings.map(({ what, verdict, found }) =>
    `${verdict} ${what}: ${found.replace(/after \d+ ms/, "after some ms")}`
  );
}

Deno.test("peers are called as the agent would: one answers, one refuses, one is not there", async () => {
  using lab = await Lab.make(["h1", "h2", "h3"]);
  await using h2 = await start({ tls: lab.store("h2"), handler: recorder() });
  await using h3 = await start({
    tls: lab.store("h3"),
    handler: recorder(),
    trust: { ...TRUST, peers: peerIds(["h9"]) },
  });
  const { port } = h2.address;
  const said = await found(lab, { h2: port, h3: h3.address.port, h4: 1 });
  assert.deepEqual(said.slice(0, 4), [
    "ok agent: none answers at its socket",
    "ok rpc.listen 127.77.0.1:59999: free",
    "ok status.listen 127.77.0.1:59998: free",
    `ok peer h2: answers at 127.0.0.1:${port} after some ms`,
  ]);
  assert.match(said[4] ?? "", /^problem peer h3: refuses this host: .*not among the configured/);
  assert.match(said[5] ?? "", /^warning peer h4: Cannot reach peer "h4" at 127\.0\.0\.1:1: /);
});

Deno.test("a port that another program has, and a state directory whose agent does not answer, are problems", async () => {
  using lab = await Lab.make(["h1"]);
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using _state = openStateDir(`${lab.dir}/state`);
  const listen = `127.0.0.1:${other.addr.port}`;
  assert.deepEqual(await found(lab, {}, listen), [
    "ok agent: none answers at its socket",
    `problem rpc.listen ${listen}: another program listens there`,
    "ok status.listen 127.77.0.1:59998: free",
    `problem state directory: an agent holds the lock of ${lab.dir}/state`,
  ]);
});
