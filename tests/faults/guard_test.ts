// SPDX-License-Identifier: Apache-2.0

/** The ingress guard stands whatever happens to the interfaces and to the rest of nftables. */
import assert from "node:assert/strict";
import { ip } from "../support/netns.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const ADDRESS = "198.51.100";

/** The host port with an address of the host, and the workload with one beside it. */
async function addAddresses({ world }: Stage): Promise<void> {
  await ip([`addr add ${ADDRESS}.1/24 dev host`], world.ns("h1"));
  await ip([`addr add ${ADDRESS}.2/24 dev eth0`], world.ns("v1"));
}

/** Makes the host port and the workload's interface anew, under the same names. */
async function makeHostPortAgain({ world }: Stage): Promise<void> {
  const { ns, hostMac } = world.host("h1");
  const { ns: workload, mac } = world.workload("h1");
  await ip(["link del host"], ns);
  await ip([
    `link add eth0 address ${mac} netns ${workload} type veth ` +
    `peer name host address ${hostMac} netns ${ns}`,
  ]);
  await ip(["link set host up"], ns);
  await ip(["link set eth0 up"], workload);
}

async function hostAnswers({ world }: Stage): Promise<boolean> {
  const argv = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", `${ADDRESS}.1`];
  return (await world.run("v1", argv)).code === 0;
}

story("an interface that is made again is guarded again", {}, async (stage) => {
  const { start } = stage;
  const h1 = await start("h1");
  await makeHostPortAgain(stage);
  await addAddresses(stage);
  const guard = async () => (await h1.status()).ports.find(({ name }) => name === "host")?.guard;
  await eventually(async () => await guard() === "stands", { what: "the guard to stand again" });
  assert.equal(await hostAnswers(stage), false);
  await h1.end("SIGKILL");
  assert.equal(await hostAnswers(stage), true, "the host would have answered");
});

story("who clears nftables clears no guard", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth();
  await addAddresses(stage);
  // Somebody else's rules, changed again and again while traffic passes.
  const churn = `for i in $(seq 50); do
    nft add table inet other
    nft add chain inet other in "{ type filter hook input priority 0; }"
    nft flush ruleset
  done`;
  const [pings] = await Promise.all([
    ping(world, { in: "v1", to: world.vip("h2") }, { count: 100, interval: 0.01 }),
    world.mustRun("h1", ["sh", "-ec", churn]),
  ]);
  assert.equal(pings.received, 100, pings.text);
  const refused = await world.run("h1", ["nft", "delete", "table", "netdev", "psp-agent-uplink"]);
  assert.notEqual(refused.code, 0);
  assert.equal(await hostAnswers(stage), false);
  assert.equal(await h1.counter("guard-restored"), 0);
  assert.equal(await h1.counter("guard-absent"), 0);
});
