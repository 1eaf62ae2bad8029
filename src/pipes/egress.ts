// SPDX-License-Identifier: Apache-2.0

/** Host to net: EGR_ACL, and with sampling EGR_SAMP and PSP_ENCRYPT behind it. */
import type { Actions, Fwd } from "../../ffi/plane.ts";
import type { Pipe, PipeName, TopologyOptions } from "./types.ts";

/** Expected tunnels, for sizing; pipes grow beyond. */
export const EXPECTED_TUNNELS = 1024;

/** The pipes between ROOT and the uplink, upstream first. */
export function egressPipes(options: TopologyOptions): readonly Pipe[] {
  return options.sampling ? [egrAcl(options), egrSamp(options), pspEncrypt()] : [egrAcl(options)];
}

function egrAcl({ sampling, mode, onDemand, ports }: TopologyOptions): Pipe {
  const encap: Actions = {
    crypto_encap: {
      action: "encap",
      net_type: mode === "tunnel" ? "psp_tunnel" : "psp_transport",
      encap_data: new Uint8Array(0),
      copy_dscp: false,
    },
  };
  const fwd: Fwd<PipeName> = sampling ? { type: "pipe", pipe: "EGR_SAMP" } : UPLINK;
  return {
    name: "EGR_ACL",
    type: "basic",
    // Encryption happens in the secure domain alone; with sampling it is PSP_ENCRYPT that encrypts.
    domain: sampling ? "egress" : "secure_egress",
    miss_counter: true,
    nr_entries: EXPECTED_TUNNELS,
    // A workload's address is good on its own port alone.
    match_mask: {
      ...ports ? { parser_meta: { port_id: true } } : {},
      outer: { src_ip: true, dst_ip: true },
    },
    actions: sampling
      ? { ...encap, meta: { pkt_meta: 0 } }
      : { ...encap, crypto: { action: "encrypt", crypto_id: 0 } },
    monitor: { counter: true },
    fwd,
    fwd_miss: onDemand ? { type: "rss", rss: "miss" } : { type: "drop" },
    entries: [],
  };
}

function egrSamp({ sampleRateLog2 }: TopologyOptions): Pipe {
  // random & mask == 1; with a mask of 0 every packet is sampled.
  const mask = 2 ** sampleRateLog2 - 1;
  const toEncrypt: Fwd<PipeName> = { type: "pipe", pipe: "PSP_ENCRYPT" };
  return {
    name: "EGR_SAMP",
    type: "basic",
    domain: "egress",
    miss_counter: true,
    nr_entries: 1,
    match_mask: mask === 0 ? {} : { parser_meta: { random: mask } },
    actions: { tun: { psp: { s: 1 } } },
    monitor: { counter: true, mirror: "sample" },
    fwd: toEncrypt,
    fwd_miss: toEncrypt,
    entries: [{
      name: "sample",
      match: mask === 0 ? {} : { parser_meta: { random: 1 } },
      actions: { tun: { psp: { s: 1 } } },
      monitor: { counter: true, mirror: "sample" },
    }],
  };
}

function pspEncrypt(): Pipe {
  return {
    name: "PSP_ENCRYPT",
    type: "basic",
    domain: "secure_egress",
    miss_counter: true,
    nr_entries: EXPECTED_TUNNELS,
    match_mask: { meta: { pkt_meta: true } },
    actions: { crypto: { action: "encrypt", crypto_id: 0 } },
    monitor: { counter: true },
    fwd: UPLINK,
    fwd_miss: { type: "drop" },
    entries: [],
  };
}

const UPLINK: Fwd<PipeName> = { type: "port", port: "uplink" };
