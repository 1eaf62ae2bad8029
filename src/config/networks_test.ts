// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { parseConfig } from "./load.ts";
import { toFile } from "./config.ts";
import { networkOfPort } from "../model/network.ts";
import { problems, SMALLEST } from "../../tests/support/config_text.ts";

const BLUE = { name: "blue", vc: 7, ports: ["blue*"] };
const RED = { name: "red", vc: 8, ports: ["red0"] };

function wrongWith(change: Record<string, unknown>): string[] {
  return problems(JSON.stringify({ ...SMALLEST, ...change })).map((p) => p.replace(/^\S+ /, ""));
}

Deno.test("networks have their vips, ports, gateways and DNS servers where everybody looks for them", () => {
  const text = JSON.stringify({
    ...SMALLEST,
    vips: ["10.1.0.0/24", "10.9.0.0/24@blue"],
    networks: [
      {
        ...BLUE,
        vips: ["10.1.0.0/24", { vip: "fd01::/64", gateway: "fd01::1" }],
        gateway: "10.1.0.1",
        dns: ["10.1.0.53"],
      },
      { ...RED, vips: ["10.1.0.0/24@red"] },
    ],
    peers: [{ ...SMALLEST.peers[0], vips: ["10.2.0.0/24", "10.2.0.0/24@blue"] }],
  });
  const { config } = parseConfig(text, "peers.json");
  const told = { gateway: "10.1.0.1", dns: ["10.1.0.53"] };
  assert.deepEqual(config.vips, [
    { vip: "10.1.0.0/24", dns: [] },
    { vip: "10.9.0.0/24@blue", ...told },
    { vip: "10.1.0.0/24@blue", ...told },
    { vip: "fd01::/64@blue", gateway: "fd01::1", dns: ["10.1.0.53"] },
    { vip: "10.1.0.0/24@red", dns: [] },
  ]);
  assert.deepEqual(config.peers[0]?.vips, ["10.2.0.0/24", "10.2.0.0/24@blue"]);
  assert.ok(config.plane.kind === "soft");
  assert.deepEqual(config.plane.host, ["pf0vf0", "blue*", "red0"]);
  assert.deepEqual(config.networks?.map(({ name, vc }) => [name, vc]), [["blue", 7n], ["red", 8n]]);
  const again = parseConfig(JSON.stringify(toFile(config)), "peers.json");
  assert.deepEqual(again.config, config, "what is printed loads as the same");
});

Deno.test("a port is in the network that names it, or else in the first with a pattern for it", () => {
  const networks = [
    { name: "blue", ports: ["tap*"] },
    { name: "red", ports: ["tap7"] },
  ];
  assert.deepEqual(["tap7", "tap8", "eth0"].map((name) => networkOfPort(networks, name)), [
    "red",
    "blue",
    "",
  ]);
  assert.equal(networkOfPort(undefined, "tap7"), "");
});

Deno.test("networks are told apart, and named wherever they are spoken of", () => {
  const peers = (vips: string[]) => [{ ...SMALLEST.peers[0], vips }];
  const table: [string, Record<string, unknown>, string[]][] = [
    ["equal addresses of two networks", {
      networks: [{ ...BLUE, vips: ["10.1.0.0/24"] }, { ...RED, vips: ["10.1.0.0/24"] }],
      peers: peers(["10.1.0.0/24@blue", "10.2.0.0/24"].slice(1)),
    }, []],
    ["a prefix of this host and of a peer", {
      networks: [{ ...BLUE, vips: ["10.5.0.0/24"] }],
      peers: peers(["10.5.0.0/24@blue"]),
    }, [
      "peers[0].vips[0]: 10.5.0.0/24@blue belongs to this host (networks[0].vips[0]): give it to one of the two",
    ]],
    ["an unknown network", { networks: [BLUE], peers: peers(["10.2.0.0/24@green"]) }, [
      'peers[0].vips[0]: network "green" is not known: networks has "blue"',
    ]],
    ["no networks at all", { vips: ["10.1.0.0/24@blue"] }, [
      'vips[0]: network "blue" is not known: there are no networks',
    ]],
    ["two of one name, cookie and port", {
      networks: [BLUE, { ...BLUE, ports: ["blue*"] }],
    }, [
      'networks[1].name: "blue" is there twice',
      "networks[1].vc: 7 is that of networks[0] too",
      'networks[1].ports[0]: "blue*" is of network "blue" already',
    ]],
    ["another network's vips and policy", {
      networks: [
        { ...BLUE, vips: ["10.5.0.0/24@red"], policy: { deny: ["10.6.0.0/24@red"] } },
        RED,
      ],
    }, [
      'networks[0].vips[0]: 10.5.0.0/24@red is of another network than "blue"',
      'networks[0].policy.deny[0]: 10.6.0.0/24@red is of another network than "blue"',
    ]],
    ["no vips anywhere", { vips: [], networks: [BLUE] }, ["vips: is empty: name at least 1"]],
    ["vips of networks alone", { vips: [], networks: [{ ...BLUE, vips: ["10.5.0.0/24"] }] }, []],
    ["no cookie", { networks: [{ ...BLUE, vc: 0 }] }, [
      'networks[0].vc: 0 is not a whole number from 1 to 18446744073709551615 ("0x..." in quotes too)',
    ]],
    ["no name", { networks: [{ ...BLUE, name: "b@d" }] }, [
      'networks[0].name: "b@d" is not a name: use 1 to 32 letters, digits, ".", "-" and "_", such as "blue"',
    ]],
    ["a vip with a bad name", { vips: ["10.1.0.0/24@-x"] }, [
      'vips[0]: "10.1.0.0/24@-x" has no name of a network after "@": write it like "10.1.0.0/24@blue"',
    ]],
  ];
  for (const [what, change, expected] of table) assert.deepEqual(wrongWith(change), expected, what);
});

Deno.test("ports of a list are what the configuration says of them", () => {
  const plane = (ports: unknown[], host: unknown = ["vm1", "tap*"]) => ({
    plane: { uplink: "p0", host, ports },
  });
  const table: [string, Record<string, unknown>, string[]][] = [
    ["one of each", plane([{ name: "vm1", vips: ["10.1.0.7"] }, { name: "tap3" }]), []],
    ["none of the list", plane([{ name: "eth9" }]), [
      'plane.ports[0].name: "eth9" is none of plane.host',
    ]],
    ["twice", plane([{ name: "vm1" }, { name: "vm1" }]), [
      'plane.ports[1].name: "vm1" is there twice',
    ]],
    ["not this host's", plane([{ name: "vm1", vips: ["10.2.0.7"] }]), [
      "plane.ports[0].vips[0]: 10.2.0.7/32 is not this host's: name it, or a prefix around it, in vips too",
    ]],
    [
      "on two ports",
      plane([{ name: "vm1", vips: ["10.1.0.7"] }, { name: "tap3", vips: ["10.1.0.7"] }]),
      [
        'plane.ports[1].vips[0]: 10.1.0.7/32 is on port "vm1" already',
      ],
    ],
    ["the uplink in the list", plane([], ["vm1", "p0"]), [
      'plane.host[1]: "p0" is the uplink too: two interfaces are needed',
    ]],
    ["a name twice", plane([], ["vm1", "vm1"]), ['plane.host[1]: "vm1" is there twice']],
  ];
  for (const [what, change, expected] of table) assert.deepEqual(wrongWith(change), expected, what);
});
