// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type Limit, LIMITS } from "../../ffi/symbols.ts";
import { parseConfig } from "./load.ts";
import { problems, SMALLEST } from "../../tests/support/config_text.ts";

/** The smallest file with something else in it, and what is then wrong, without the places. */
function wrongWith(change: Record<string, unknown>): string[] {
  return problems(JSON.stringify({ ...SMALLEST, ...change })).map((p) => p.replace(/^\S+ /, ""));
}

Deno.test("rules between keys", () => {
  const h2 = SMALLEST.peers[0];
  const h3 = { ...h2, id: "h3", svc_address: "192.0.2.3:7443" };
  const { listen, tls } = SMALLEST.rpc;
  const table: [string, Record<string, unknown>, string[]][] = [
    ["equal prefixes of two peers", {
      peers: [h2, { ...h3, vips: ["10.2.0.9/24"] }],
    }, [
      'peers[1].vips[0]: 10.2.0.0/24 belongs to peer "h2" (peers[0].vips[0]) too: give it to one of the two, or make one prefix longer',
    ]],
    ["overlapping prefixes: the longest wins", {
      peers: [h2, { ...h3, vips: ["10.2.0.0/25"] }],
    }, []],
    ["a prefix twice in one peer", { peers: [{ ...h2, vips: ["10.2.0.1", "10.2.0.1/32"] }] }, [
      "peers[0].vips[1]: 10.2.0.1/32 is there twice: it is peers[0].vips[0] already",
    ]],
    ["a peer's prefix that is local", { peers: [{ ...h2, vips: ["10.1.0.0/24"] }] }, [
      "peers[0].vips[0]: 10.1.0.0/24 belongs to this host (vips[0]): give it to one of the two",
    ]],
    ["a peer with the own id", { peers: [{ ...h2, id: "h1" }] }, [
      'peers[0].id: "h1" is this host\'s own id: remove this peer, or mend one of the ids',
    ]],
    ["one id for two peers", { peers: [h2, { ...h3, id: "h2", vips: ["10.3.0.0/24"] }] }, [
      'peers[1].id: "h2" is the id of peers[0] too: each peer needs its own',
    ]],
    ["a peer at the own address", { peers: [{ ...h2, pip: "192.0.2.1" }] }, [
      "peers[0].pip: 192.0.2.1 is this host's own address",
    ]],
    ["a peer whose outer address is of the other family", { peers: [{ ...h2, pip: "fd00::2" }] }, [
      "peers[0].pip: fd00::2 and this host's pip (192.0.2.1) are of different address families: no packet can have both in its outer header, so use addresses of one family",
    ]],
    ["the same where packets keep their own header", {
      psp: { mode: "transport" },
      peers: [{ ...h2, pip: "fd00::2" }],
    }, []],
    ["a peer where this host listens", { peers: [{ ...h2, svc_address: listen }] }, [
      'peers[0].svc_address: "192.0.2.1:7443" is where this host itself listens (rpc.listen): name the peer\'s address',
    ]],
    ["the same where this host listens everywhere", {
      rpc: { tls, listen: "0.0.0.0:7443" },
      peers: [{ ...h2, svc_address: "192.0.2.1:7443" }],
    }, [
      'peers[0].svc_address: "192.0.2.1:7443" is where this host itself listens (rpc.listen): name the peer\'s address',
    ]],
    ["a peer that is not one host", { peers: [{ ...h2, svc_address: "0.0.0.0:7443" }] }, [
      'peers[0].svc_address: "0.0.0.0" is unspecified: the address of one host is needed',
    ]],
    ["a workload with the gateway's MAC", {
      vips: [{ vip: "10.1.0.5", mac: "02:50:53:50:00:01" }],
    }, ["vips[0].mac: 02:50:53:50:00:01 is gateway_mac, which is the agent's own"]],
    ["a workload that is its own gateway", {
      vips: [{ vip: "10.1.0.5", gateway: "10.1.0.5" }],
    }, [
      "vips[0].gateway: 10.1.0.5 is the workload's own address: name another one, or leave gateway out",
    ]],
    ["no TLS", { rpc: { listen } }, [
      'rpc.tls: is missing: name the files of this host\'s certificate, { "cert": "h1.crt", "key": "h1.key", "ca": "ca.crt" } ("psp-agent pki" makes them for a trial)',
    ]],
    ["insecure: false is not insecure", { rpc: { listen, tls, insecure: false } }, []],
    ["insecure instead of TLS", { rpc: { listen, insecure: true } }, []],
    ["TLS and insecure", { rpc: { listen, tls, insecure: true } }, [
      "rpc.insecure: is true although rpc.tls is there: remove one of the two",
    ]],
    ["status for everyone", { status: { listen: "0.0.0.0:7480", token_file: "t" } }, [
      'status.listen: "0.0.0.0:7480" is reachable from outside: it needs status.tls (client certificates, or with status.token_file a bearer token), or listen on 127.0.0.1',
    ]],
    ["status for everyone, with TLS", { status: { listen: "0.0.0.0:7480", tls } }, []],
    ["status on IPv6 loopback", { status: { listen: "[::1]:7480" } }, []],
    ["one port for both", { status: { listen: "192.0.2.1:7443", tls } }, [
      "status.listen: is the same as rpc.listen: choose another port",
    ]],
    ["one port for both, on every address", { status: { listen: "0.0.0.0:7443", tls } }, [
      'status.listen: "0.0.0.0:7443" and rpc.listen ("192.0.2.1:7443") are one port: choose another',
    ]],
    ["GMAC in hardware", {
      plane: { kind: "doca", pci: "03:00.0", representor: "pf0vf0" },
      psp: { versions: ["aes-gcm-256", "aes-gmac-128"] },
    }, [
      'psp.versions[1]: "aes-gmac-128" is not there in hardware: use "aes-gcm-256" or "aes-gcm-128"',
    ]],
    ["one interface for both", { plane: { uplink: "p0", host: "p0" } }, [
      'plane.host: "p0" is the uplink too: two interfaces are needed',
    ]],
    ["representors that are named twice, and a port that is none of them", {
      plane: {
        kind: "doca",
        pci: "03:00.0",
        representor: ["pf0vf0", "pf0sf*", "pf0vf0"],
        ports: [{ name: "pf0sf88" }, { name: "pf1vf0" }],
      },
    }, [
      'plane.representor[2]: "pf0vf0" is there twice',
      'plane.ports[1].name: "pf1vf0" is none of plane.representor',
    ]],
    ["networks in hardware", {
      plane: { kind: "doca", pci: "03:00.0", representor: ["pf0vf0"] },
      networks: [{ name: "blue", vc: 7, ports: ["pf0vf1"], vips: ["10.1.0.0/24"] }],
    }, []],
    ["an unknown plane", { plane: { kind: "dpdk", uplink: "p0", host: "p1" } }, [
      'plane.kind: "dpdk" is not known: use "soft" (in software) or "doca" (in hardware)',
    ]],
    ["keys of another plane", {
      plane: { kind: "doca", pci: "03:00.0", representor: "r", host: "p" },
    }, [
      "plane.host: is not a known key: known here: kind, pci, representor, ports, cores, hugepages_mb, max_entries, max_crypto_ids, actions_memory_mb, mbufs, devargs, dpdk_representor, inspect, flow_mode, next_hop_mac, uplink_vlan, library",
    ]],
    ["a gateway of the other family", { vips: [{ vip: "10.1.0.5", gateway: "fd00::1" }] }, [
      "vips[0].gateway: fd00::1 is not of the same address family as 10.1.0.5/32",
    ]],
    ["back-off that shrinks", { tunnel: { back_off: "2m" } }, [
      "tunnel.back_off_max: is shorter than tunnel.back_off: make it longer",
    ]],
    ["denying oneself", { security: { deny: ["h1"] } }, [
      'security.deny: denies this host itself ("h1")',
    ]],
  ];
  for (const [what, change, expected] of table) assert.deepEqual(wrongWith(change), expected, what);
});

Deno.test("what works but should be known is a warning", () => {
  const { warnings } = parseConfig(
    JSON.stringify({
      ...SMALLEST,
      vips: ["10.1.0.5/24", "::/0"],
      rpc: { insecure: true, listen: "127.0.0.1:7443" },
      psp: { versions: ["aes-gmac-128"] },
      peers: [{ id: "h2", svc_address: "h2:1", vips: ["0.0.0.0/0"] }],
    }),
    "f",
  );
  assert.deepEqual(warnings.map((warning) => warning.replace(/^\S+ /, "").slice(0, 60)), [
    'vips[0]: "10.1.0.5/24" has bits beyond its prefix length: re',
    "vips[1]: gives every address without a longer prefix to this",
    "rpc.insecure: the control channel is NOT protected: keys tra",
    'rpc.listen: "127.0.0.1:7443" is reached from this host only:',
    "peers[0].vips[0]: gives every address without a longer prefi",
    "psp.versions: AES-GMAC authenticates without encrypting, and",
  ]);
});

Deno.test("more in clear text than the IP header is a warning", () => {
  const h2 = SMALLEST.peers[0];
  const doca = { kind: "doca", pci: "03:00.0", representor: "pf0vf0" };
  const warned = (change: Record<string, unknown>) =>
    parseConfig(JSON.stringify({ ...SMALLEST, ...change }), "f").warnings
      .map((warning) => /psp\.\S+: \d+ is [^:]*/.exec(warning)?.[0]);
  const table: [Record<string, unknown>, string[]][] = [
    [{ psp: { crypt_offset: { ipv4: 5, ipv6: 10 } } }, []],
    [{ psp: { max_crypt_offset: { ipv4: 5, ipv6: 10 } } }, []],
    [{ psp: { max_crypt_offset: { ipv4: 0, ipv6: 63 } } }, [
      "psp.max_crypt_offset.ipv6: 63 is more than 10",
    ]],
    [{ psp: { crypt_offset: { ipv4: 6, ipv6: 10 } } }, ["psp.crypt_offset.ipv4: 6 is more than 5"]],
    [{ psp: { crypt_offset: { ipv4: 7, ipv6: 12 } }, peers: [{ ...h2, vc: "1" }] }, []],
    [{ psp: { mode: "transport", crypt_offset: { ipv4: 0, ipv6: 1 } } }, [
      "psp.crypt_offset.ipv6: 1 is more than 0",
    ]],
    [{ plane: doca, psp: { crypt_offset: { ipv4: 6, ipv6: 10 } } }, [
      "psp.crypt_offset.ipv4: 6 is more than 5",
      "psp.crypt_offset.ipv4: 6 is beyond the end of the shortest packet (5)",
    ]],
    [{ plane: doca, psp: { mode: "transport", crypt_offset: { ipv4: 2, ipv6: 0 } } }, [
      "psp.crypt_offset.ipv4: 2 is more than 0",
    ]],
  ];
  for (const [change, expected] of table) assert.deepEqual(warned(change), expected);
});

Deno.test("addresses that look like a mistake are a warning", () => {
  const h2 = { id: "h2", svc_address: "192.0.2.2:7443", pip: "192.0.2.2" };
  const { config, warnings } = parseConfig(
    JSON.stringify({
      ...SMALLEST,
      pip: "127.0.0.1",
      vips: [{ vip: "10.1.0.0/24", mac: "02:00:00:00:00:05" }],
      peers: [{ ...h2, vips: ["10.2.0.0/24"] }, { ...h2, id: "h3", vips: ["10.3.0.0/24"] }],
    }),
    "f",
  );
  assert.deepEqual(warnings.map((warning) => warning.replace(/^\S+ /, "")), [
    "pip: 127.0.0.1 is reached from this host only: name the one that the other hosts reach",
    "vips[0].mac: 02:00:00:00:00:05 is that of one workload, and 10.1.0.0/24 is a prefix, so it is left out: the MACs behind a prefix are learned",
    'peers[1].svc_address: "192.0.2.2:7443" is that of peers[0] too: two agents on one host?',
    "peers[1].pip: 192.0.2.2 is that of peers[0] too: two agents on one host?",
  ]);
  assert.equal(config.vips[0]?.mac, undefined);
});

Deno.test("a size is what a plane takes, and nothing else", () => {
  const doca = { kind: "doca", pci: "03:00.0", representor: "pf0vf0" };
  const table: [Limit, (size: number) => Record<string, unknown>][] = [
    [LIMITS.sample_bytes, (sample_bytes) => ({ psp: { sample_bytes } })],
    [LIMITS.hold_packets_per_flow, (packets_per_flow) => ({ hold: { packets_per_flow } })],
    [LIMITS.hold_bytes, (bytes) => ({ hold: { bytes } })],
    [LIMITS.hold_flows, (flows) => ({ hold: { flows } })],
    [LIMITS.vlan, (uplink_vlan) => ({ plane: { ...SMALLEST.plane, uplink_vlan } })],
    [LIMITS.hugepages_mb, (hugepages_mb) => ({ plane: { ...doca, hugepages_mb } })],
  ];
  for (const [{ min, max }, change] of table) {
    for (const size of [min, max]) {
      assert.deepEqual(wrongWith(change(size)), [], JSON.stringify(change(size)));
    }
    for (const size of [min - 1, max + 1]) {
      const wrong = wrongWith(change(size));
      assert.equal(wrong.length, 1, JSON.stringify(change(size)));
      assert.ok(wrong[0]?.endsWith(`: ${size} is not a whole number from ${min} to ${max}`));
    }
  }
});

Deno.test("a core list is processors that there may be", () => {
  const doca = { kind: "doca", pci: "03:00.0", representor: "pf0vf0" };
  for (const cores of ["0", "0-1,3", "511", "7,3"]) {
    assert.deepEqual(wrongWith({ plane: { ...doca, cores } }), [], cores);
  }
  for (
    const cores of ["", "1-", "3-1", "512", "0-512", "a", "1,,2", "0@1", `${"1,".repeat(40)}1`]
  ) {
    const wrong = wrongWith({ plane: { ...doca, cores } });
    assert.equal(wrong.length, 1, cores);
    assert.match(wrong[0] ?? "", /^plane\.cores: .* is not a core list: write /);
  }
});

Deno.test("a replay window is none, or large enough for another order", () => {
  const problems = (window: number) => {
    try {
      parseConfig(JSON.stringify({ ...SMALLEST, psp: { replay_window: window } }), "f");
      return "";
    } catch (error) {
      return String(error);
    }
  };
  for (const window of [0, 1024, 4096, 65_536]) assert.equal(problems(window), "");
  assert.match(problems(1023), /psp\.replay_window: 1023 is less than 1024: /);
  assert.match(problems(65_537), /psp\.replay_window: 65537 /);
  assert.match(problems(-1), /psp\.replay_window: -1 /);
});
