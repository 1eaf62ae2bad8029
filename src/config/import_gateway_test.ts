// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { importGateway } from "./import_gateway.ts";
import { parseConfig } from "./load.ts";

const GATEWAY = `{
  // The sample's own form.
  "config": { "local-grpc-address": "192.0.2.1" },
  "peers": [
    {
      "remote-grpc-address": "192.0.2.2:3001",
      "sessions": [
        { "local-vip": "10.1.0.1", "remote-vips": ["10.2.0.0/30", "10.2.1.7"] },
        { "local-vip": "10.1.0.2", "remote-vips": ["10.2.0.0/30"] }
      ]
    }
  ]
}`;

Deno.test("a gateway's file becomes one of ours, its prefixes kept", () => {
  const { file, notes } = importGateway(GATEWAY, "gw.json", { uplink: "p0", host: "en0" });
  assert.deepEqual(file, {
    id: "h-192-0-2-1",
    pip: "192.0.2.1",
    vips: ["10.1.0.1", "10.1.0.2"],
    plane: { uplink: "p0", host: "en0" },
    rpc: {
      listen: "192.0.2.1:3000",
      tls: {
        cert: "h-192-0-2-1/h-192-0-2-1.crt",
        key: "h-192-0-2-1/h-192-0-2-1.key",
        ca: "h-192-0-2-1/ca.crt",
      },
    },
    peers: [{
      id: "h-192-0-2-2",
      svc_address: "192.0.2.2:3001",
      vips: ["10.2.0.0/30", "10.2.1.7"],
    }],
  });
  assert.ok(notes.some((note) => note.includes("here any two may talk")), notes.join("\n"));
  const { config } = parseConfig(JSON.stringify(file), "ours.json");
  assert.equal(config.peers[0]?.vips[0], "10.2.0.0/30");
});

Deno.test("what the gateway asks its device for is left out, with a note that names it", () => {
  const text = `{
    "config": { },
    "peers": [{ "remote-grpc-address": "192.0.2.143",
      "sessions": [{ // "local-vip": "198.51.100.68",
        "remote-vips": ["198.51.100.67"] }] }]
  }`;
  const { file, notes } = importGateway(text, "gw.json", { id: "h1" });
  assert.deepEqual(file, {
    id: "h1",
    plane: { uplink: "p0", host: "pf0vf0" },
    rpc: { tls: { cert: "h1/h1.crt", key: "h1/h1.key", ca: "h1/ca.crt" } },
    peers: [{ id: "h-192-0-2-143", svc_address: "192.0.2.143:3000", vips: ["198.51.100.67"] }],
  });
  for (const key of ["pip: add it", "vips: add them"]) {
    assert.ok(notes.some((note) => note.startsWith(key)), notes.join("\n"));
  }
  const whole = { ...file, pip: "192.0.2.1", vips: ["198.51.100.68"] };
  assert.equal(parseConfig(JSON.stringify(whole), "ours.json").config.id, "h1");
  const bare = importGateway(text, "gw.json").notes;
  assert.ok(bare.some((note) => note.startsWith("id: add it")), bare.join("\n"));
});

Deno.test("local-pip is the outer address, wherever the gateway listens", () => {
  const text = GATEWAY.replace('"192.0.2.1"', '"192.0.2.1:3000", "local-pip": "198.51.100.1"');
  const { file } = importGateway(text, "gw.json");
  assert.equal(file.pip, "198.51.100.1");
  assert.deepEqual((file.rpc as { listen: string }).listen, "192.0.2.1:3000");
});

const NIC = { nexthop: "02:00:00:00:00:01", vfmac: "02:00:00:00:00:02", repr: "eth1" };
const HOSTS = JSON.stringify({
  config: {},
  hosts: [
    {
      hostname: "n6",
      pci: "0000:ca:00.0",
      pip: "2001:db8::6",
      "grpc-address": "192.0.2.6",
      vips: ["10.60.0.6"],
      ...NIC,
    },
    {
      hostname: "n6",
      pci: "0000:ca:00.1",
      pip: "2001:db8::16",
      "grpc-address": "192.0.2.6",
      vips: ["10.70.0.6"],
      ...NIC,
    },
    {
      hostname: "n5",
      pci: "0000:ca:00.0",
      pip: "2001:db8::5",
      "grpc-address": "192.0.2.5",
      vips: ["10.60.0.5"],
      ...NIC,
    },
    {
      hostname: "n5",
      pci: "0000:ca:00.1",
      pip: "2001:db8::15",
      "grpc-address": "192.0.2.5",
      vips: ["10.70.0.5"],
      ...NIC,
    },
    {
      hostname: "n4",
      pci: "0000:ca:00.0",
      pip: "2001:db8::4",
      "grpc-address": "192.0.2.4:99",
      vips: ["10.60.0.4"],
      ...NIC,
    },
  ],
});

Deno.test("a file of all hosts becomes one of the host and the NIC that are asked for", () => {
  const { file, notes } = importGateway(HOSTS, "nic.json", { id: "n6", uplink: "0000:ca:00.1" });
  assert.deepEqual(file, {
    id: "n6",
    pip: "2001:db8::16",
    vips: [{ vip: "10.70.0.6", mac: "02:00:00:00:00:02" }],
    plane: {
      kind: "doca",
      pci: "0000:ca:00.1",
      representor: "eth1",
      next_hop_mac: "02:00:00:00:00:01",
    },
    rpc: {
      listen: "192.0.2.6:3000",
      tls: { cert: "n6/n6.crt", key: "n6/n6.key", ca: "n6/ca.crt" },
    },
    peers: [
      { id: "n5", svc_address: "192.0.2.5:3000", vips: ["10.60.0.5", "10.70.0.5"] },
      { id: "n4", svc_address: "192.0.2.4:99", pip: "2001:db8::4", vips: ["10.60.0.4"] },
    ],
  });
  assert.ok(notes.some((note) => note.includes("has 2 NICs")), notes.join("\n"));
  assert.equal(parseConfig(JSON.stringify(file), "ours.json").config.id, "n6");
});

Deno.test("a file of all hosts asks which of them, and which NIC", () => {
  const table: [{ id?: string; uplink?: string }, RegExp][] = [
    [{}, /it is for 3 hosts, and --id says which of them this one is: n6, n5, n4$/],
    [{ id: "n7" }, /no host "n7" is in it/],
    [{ id: "n5", uplink: "p0" }, /"n5" has no NIC "p0", but 0000:ca:00\.0, 0000:ca:00\.1$/],
  ];
  for (const [options, message] of table) {
    assert.throws(() => importGateway(HOSTS, "nic.json", options), {
      name: "ConfigError",
      message,
    });
  }
});

Deno.test("a file of another kind is refused with the place", () => {
  const table: [string, RegExp][] = [
    ['{ "id": "h1" }', /not a PSP gateway's configuration: 1:\d+: /],
    ['{ "config": {} }', /not a PSP gateway's configuration: .*peers/],
    ['{ "config": {}, "hosts": [{ "hostname": "n6" }] }', /json": 1:\d+: hosts\.0\./],
    [GATEWAY.replace('"10.2.1.7"', "7"), /peers\.0\.sessions\.0\.remote-vips\.1/],
    ["{", /not JSON/],
  ];
  for (const [text, expected] of table) {
    assert.throws(() => importGateway(text, "gw.json"), { name: "ConfigError", message: expected });
  }
});

Deno.test("what could not be one of our configurations is refused", () => {
  const text = GATEWAY.replace('"10.2.1.7"', '"not an address"');
  assert.throws(() => importGateway(text, "gw.json"), {
    name: "ConfigError",
    message: /not an address/,
  });
});
