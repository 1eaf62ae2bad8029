// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mermaid, type PipeCounters } from "./mermaid.ts";
import { buildTopology } from "./topology.ts";
import type { PipeName, TopologyOptions } from "./types.ts";

function lines(options: Partial<TopologyOptions> = {}): string[] {
  return mermaid(buildTopology({
    sampling: false,
    sampleRateLog2: 8,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
    ...options,
  })).trimEnd().split("\n").map((line) => line.trim());
}

Deno.test("the picture without sampling is the reference's", () => {
  assert.deepEqual(lines(), [
    "flowchart LR",
    "ingress{{ingress}}-->ROOT",
    String
      .raw`ROOT-->|"M: port=host, ipv4/ipv6"|EGR_ACL["EGR_ACL\nM: src vip, dst vip\nA: encap, encrypt"]`,
    String.raw`ROOT-->|"M: port=uplink, udp 1000"|PSP_DECRYPT["PSP_DECRYPT\nA: decrypt"]`,
    'ROOT-.->|"miss on the uplink (isolated mode)"|kernel{{kernel}}',
    "EGR_ACL-->p0{{p0}}",
    String.raw`EGR_ACL-.->|miss|RSS["RSS miss handler\nNewTunnel, add entries"]`,
    "RSS-->|resubmit|EGR_ACL",
    String.raw`PSP_DECRYPT-->INGR_ACL["INGR_ACL\nM: syndrome 0, spi, src vip, dst vip\nA: decap"]`,
    "INGR_ACL-->host{{pf0vf0}}",
    String.raw`INGR_ACL-.->|miss|SYND_STATS["SYND_STATS\nM: syndrome"]`,
    "SYND_STATS-->drop[[drop]]",
    "SYND_STATS-.->|miss|drop",
  ]);
});

Deno.test("with sampling the pipes that sample and their mirrors are there", () => {
  const text = lines({ sampling: true }).join("\n");
  for (
    const part of [
      String.raw`EGR_ACL["EGR_ACL\nM: src vip, dst vip\nA: encap, pkt_meta=crypto_id"]`,
      String.raw`EGR_ACL-->EGR_SAMP["EGR_SAMP\nM: random & mask == 1\nA: psp.S=1"]`,
      String.raw`EGR_SAMP-->PSP_ENCRYPT["PSP_ENCRYPT\nM: pkt_meta\nA: encrypt"]`,
      "EGR_SAMP-.->|miss|PSP_ENCRYPT",
      "EGR_SAMP-->|mirror|SAMPLES[[RSS: samples]]",
      String.raw`PSP_DECRYPT-->INGR_SAMP["INGR_SAMP\nM: psp.S=1"]`,
      "INGR_SAMP-->|mirror|SAMPLES",
      "INGR_SAMP-.->|miss|INGR_ACL",
    ]
  ) assert.ok(text.includes(part), part);
});

Deno.test("exceptions are answered to the host port", () => {
  const text = lines({ exceptions: true }).join("\n");
  assert.ok(text.includes('ROOT-->|"M: port=host, arp / nd / dhcp"|RSS_EXCEPTIONS'));
  assert.ok(text.includes("RSS_EXCEPTIONS-->host"));
});

Deno.test("static tunnels only: the miss is dropped", () => {
  assert.ok(lines({ onDemand: false }).includes("EGR_ACL-.->|miss|drop[[drop]]"));
});

Deno.test("live counters stand on nodes and on edges, ports have their names", () => {
  const topology = buildTopology({
    sampling: false,
    sampleRateLog2: 0,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
  });
  const text = mermaid(topology, {
    ports: { uplink: "eth0", host: "veth1" },
    counters: (pipe) => LIVE[pipe],
  });
  assert.ok(text.includes(String.raw`A: encap, encrypt\n2 entries, 90 packets"]`));
  assert.ok(text.includes("EGR_ACL-.->|miss: 3|RSS"));
  assert.ok(text.includes("EGR_ACL-->|90|p0"));
  assert.ok(text.includes('ROOT-->|"M: port=host, ipv4/ipv6: 93"|EGR_ACL'));
  assert.ok(text.includes('ROOT-.->|"miss on the uplink (isolated mode): 7"|kernel'));
  assert.ok(text.includes(String.raw`3 entries, 3 packets\nok 0, icv_failed 2, bad_trailer 1"]`));
  assert.ok(text.includes("p0{{eth0}}") && text.includes("host{{veth1}}"));
});

function statics(counts: Record<string, bigint>): PipeCounters["staticEntries"] {
  return Object.entries(counts).map(([name, packets]) => ({ name, packets }));
}

const LIVE: { readonly [K in PipeName]?: PipeCounters } = {
  ROOT: {
    entries: 3,
    packets: 0n,
    missPackets: 7n,
    staticEntries: statics({ "host-ipv4": 90n, "host-ipv6": 3n, "uplink-psp": 5n }),
  },
  EGR_ACL: { entries: 2, packets: 90n, missPackets: 3n, staticEntries: [] },
  SYND_STATS: {
    entries: 3,
    packets: 3n,
    missPackets: 0n,
    staticEntries: statics({ ok: 0n, icv_failed: 2n, bad_trailer: 1n }),
  },
};
