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

Deno.test("a file of another kind is refused with the place", () => {
  const table: [string, RegExp][] = [
    ['{ "id": "h1" }', /not a PSP gateway's configuration: 1:\d+: /],
    ['{ "config": {}, "peers": [] }', /config/],
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
