// SPDX-License-Identifier: Apache-2.0

/** Workloads get their addresses from the agent: a DHCP client, and the kernel's own autoconfiguration. */
import assert from "node:assert/strict";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

/** What the client was told goes to a file; addresses and routes to the interface. */
const SCRIPT = `#!/bin/sh
env | sort >"$RESULT.$reason"
[ "$reason" = BOUND ] || exit 0
ip link set dev "$interface" mtu "$new_interface_mtu"
ip addr add "$new_ip_address/$new_subnet_mask" dev "$interface"
ip route replace "$new_routers" dev "$interface"
ip route replace default via "$new_routers" dev "$interface"
`;
const CLIENT = `
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, routers, domain-name-servers, interface-mtu, rfc3442-classless-static-routes;
also request dhcp6.name-servers;
`;

/** Runs ISC's client in a workload until it is told something; what it was told, by name. */
async function dhclient(
  world: World,
  { args, reason, of = "v1" }: {
    readonly args: readonly string[];
    readonly reason: string;
    readonly of?: string;
  },
): Promise<ReadonlyMap<string, string>> {
  const [script, config, result] = ["script", "conf", "told"].map((name) =>
    world.path(`${of}-${name}`)
  );
  assert.ok(script && config && result);
  await Deno.writeTextFile(script, SCRIPT, { mode: 0o755 });
  await Deno.writeTextFile(config, CLIENT);
  const pid = world.path(`${of}-dhclient.pid`);
  const files = ["-sf", script, "-cf", config, "-lf", world.path(`${of}-leases`), "-pf", pid];
  // The script has only what -e gives it.
  const client = ["dhclient", ...args, ...files, "-e", `RESULT=${result}`];
  const output = await world.run(of, [...client, "-1", "-v", "eth0"]);
  assert.equal(output.code, 0, output.stderr);
  const text = await Deno.readTextFile(`${result}.${reason}`);
  await world.run(of, [...client, "-x", "eth0"]);
  return new Map(
    text.trim().split("\n").map((line): [string, string] => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

async function pingsAcross({ world }: Stage, to: string, from?: string): Promise<void> {
  const options = { count: 3, interval: 0.1, ...(from === undefined ? {} : { from }) };
  const { received, text } = await ping(world, { in: "v1", to }, options);
  assert.equal(received, 3, text);
}

story("a DHCP client gets address, gateway, DNS and the reduced MTU", {
  staticNeighbours: false,
  workloadMtu: 1500,
}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth({
    change: ({ vips }) => {
      for (const vip of vips) {
        vip.gateway = "169.254.7.1";
        vip.dns = ["10.9.9.9"];
      }
    },
  });
  // v2 keeps its static default route: its gateway is another than v1's, and both are the agent's.
  for (const what of ["addr flush dev eth0", "route flush dev eth0"]) {
    await world.mustRun("v1", ["ip", ...what.split(" ")]);
  }
  await world.mustRun("v2", ["ip", "route", "replace", "169.254.7.1", "dev", "eth0"]);
  await world.mustRun("v2", ["ip", "route", "replace", "default", "via", "169.254.7.1"]);
  const told = await dhclient(world, { args: ["-4"], reason: "BOUND" });
  assert.equal(told.get("new_ip_address"), world.vip("h1"));
  assert.equal(told.get("new_subnet_mask"), "255.255.255.255");
  assert.equal(told.get("new_routers"), "169.254.7.1");
  assert.equal(told.get("new_domain_name_servers"), "10.9.9.9");
  assert.equal(told.get("new_interface_mtu"), "1440");
  await pingsAcross(stage, world.vip("h2"));
});

story("each of two networks with the same range has leases of its own, and they carry", {
  tenants: true,
  workloads: 2,
  staticNeighbours: false,
  workloadMtu: 1500,
}, async (stage) => {
  const { world, startBoth } = stage;
  const gateways: Readonly<Record<string, string>> = { red: "169.254.7.1", blue: "169.254.8.1" };
  const { prefixes } = world.workload("h1", 0);
  await startBoth({
    change: (config) => {
      config.vips = config.vips.filter(() => config.id === "h2");
      for (const network of config.networks ?? []) {
        network.gateway = gateways[network.name] ?? "";
        if (config.id === "h1") network.vips = [{ vip: prefixes.ipv4 }];
      }
    },
  });
  const leases: string[] = [];
  for (const j of [0, 1]) {
    const { name, network } = world.workload("h1", j);
    const far = world.workload("h2", j);
    const gateway = gateways[network] ?? "";
    for (const what of ["addr flush dev eth0", "route flush dev eth0"]) {
      await world.mustRun(name, ["ip", ...what.split(" ")]);
    }
    await world.mustRun(far.name, ["ip", "route", "replace", gateway, "dev", "eth0"]);
    await world.mustRun(far.name, ["ip", "route", "replace", "default", "via", gateway]);
    const told = await dhclient(world, { of: name, args: ["-4"], reason: "BOUND" });
    assert.equal(told.get("new_routers"), gateway);
    leases.push(told.get("new_ip_address") ?? "");
  }
  assert.equal(leases[0], leases[1], "both are the first of their range");
  for (const j of [0, 1]) {
    const far = world.workload("h2", j);
    const route = { in: world.workload("h1", j).name, to: far.vips.ipv4[0] ?? "" };
    const { received, text } = await ping(world, route, { count: 3, interval: 0.1 });
    assert.equal(received, 3, text);
  }
});

story("the kernel configures itself from a router advertisement", {
  staticNeighbours: false,
  inner: ["ipv6"],
  workloadMtu: 1500,
}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth({
    change: (config) => {
      const side = config.id === "h1" ? 1 : 2;
      config.vips = [{ vip: `fd00:${side}:0::/64`, dns: ["fd09::9"] }];
    },
  });
  const quiet = "addr flush dev eth0 scope global|route flush dev eth0".split("|");
  for (const name of ["v1", "v2"]) {
    for (const what of quiet) await world.mustRun(name, ["ip", "-6", ...what.split(" ")]);
    const set = [["accept_ra", 2], ["router_solicitations", 3], ["router_solicitation_delay", 0]]
      .map(([key, value]) => `echo ${value} > /proc/sys/net/ipv6/conf/eth0/${key}`).join("; ");
    await world.mustRun(name, [
      "sh",
      "-c",
      `${set}; ip link set eth0 down; ip link set eth0 up`,
    ]);
  }
  const address = async (name: string) => {
    const text = await world.mustRun(name, ["ip", "-6", "addr", "show", "dev", "eth0"]);
    return /inet6 (fd00:\S+)\/64 scope global/.exec(text)?.[1];
  };
  const [a, b] = await Promise.all(["v1", "v2"].map((name) =>
    eventually(() => address(name), {
      what: `an autoconfigured address in ${name}`,
      describe: () => world.mustRun(name, ["ip", "-6", "addr"]),
    })
  ));
  assert.ok(a !== undefined && b !== undefined);
  assert.ok(a.startsWith("fd00:1:") && b.startsWith("fd00:2:"), `${a} ${b}`);
  const route = await world.mustRun("v1", ["ip", "-6", "route", "show", "default"]);
  assert.match(route, /via fe80::50:53ff:fe50:1 dev eth0 proto ra/);
  const mtu = await world.mustRun("v1", ["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"]);
  assert.equal(mtu.trim(), "1440");
  await pingsAcross(stage, b, a);

  const told = await dhclient(world, { args: ["-6", "-S"], reason: "RENEW6" });
  assert.equal(told.get("new_dhcp6_name_servers"), "fd09::9");
});

story("nobody answers for an address that nobody owns", {
  staticNeighbours: false,
  inner: ["ipv4", "ipv6"],
}, async ({ world, startBoth }) => {
  await startBoth();
  for (const target of ["10.99.0.1", "fd99::1"]) {
    await world.mustRun("v1", ["ip", "route", "add", target, "dev", "eth0"]);
    const { received } = await ping(world, { in: "v1", to: target }, { count: 2, wait: 1 });
    assert.equal(received, 0);
    const neighbours = await world.mustRun("v1", ["ip", "neigh", "show", target]);
    assert.match(neighbours, /FAILED|INCOMPLETE/, neighbours);
  }
});
