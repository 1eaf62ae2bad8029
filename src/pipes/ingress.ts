// SPDX-License-Identifier: Apache-2.0

/** Net to host: PSP_DECRYPT, with sampling INGR_SAMP, then INGR_ACL and SYND_STATS. */
import type { Fwd, Monitor, Syndrome } from "../../ffi/plane.ts";
import { EXPECTED_TUNNELS } from "./egress.ts";
import type { Pipe, PipeName, TopologyOptions } from "./types.ts";

/** The S bit of the PSP header's fourth octet. */
const S_BIT = 0x80;

/** The pipes between ROOT and the host port, upstream first. */
export function ingressPipes(options: TopologyOptions): readonly Pipe[] {
  return options.sampling
    ? [pspDecrypt(options), ingrSamp(), ingrAcl(options), syndStats()]
    : [pspDecrypt(options), ingrAcl(options), syndStats()];
}

function pspDecrypt({ sampling }: TopologyOptions): Pipe {
  return {
    name: "PSP_DECRYPT",
    type: "basic",
    domain: "secure_ingress",
    miss_counter: true,
    nr_entries: 1,
    // One device, its master keys serve all peers: every packet that ROOT sends here.
    match_mask: {},
    actions: { crypto: { action: "decrypt" } },
    monitor: { counter: true },
    fwd: { type: "pipe", pipe: sampling ? "INGR_SAMP" : "INGR_ACL" },
    fwd_miss: { type: "drop" },
    entries: [{
      name: "decrypt",
      match: {},
      actions: { crypto: { action: "decrypt" } },
      monitor: { counter: true },
    }],
  };
}

function ingrSamp(): Pipe {
  const toAcl: Fwd<PipeName> = { type: "pipe", pipe: "INGR_ACL" };
  return {
    name: "INGR_SAMP",
    type: "basic",
    domain: "secure_ingress",
    miss_counter: true,
    nr_entries: 1,
    match_mask: { tun: { psp: { s_d_ver_v: S_BIT } } },
    monitor: { counter: true, mirror: "sample" },
    fwd: toAcl,
    fwd_miss: toAcl,
    entries: [{
      name: "sample",
      match: { tun: { psp: { s_d_ver_v: S_BIT } } },
      monitor: { counter: true, mirror: "sample" },
    }],
  };
}

function ingrAcl({ mode, vc }: TopologyOptions): Pipe {
  const addresses = { src_ip: true, dst_ip: true } as const;
  return {
    name: "INGR_ACL",
    type: "basic",
    domain: "secure_ingress",
    miss_counter: true,
    nr_entries: EXPECTED_TUNNELS,
    constant: { parser_meta: { psp_syndrome: "ok" } },
    match_mask: {
      parser_meta: { psp_syndrome: true },
      tun: { psp: vc ? { spi: true, vc: true } : { spi: true } },
      // In transport mode a packet keeps its own IP header: the vips are the outer addresses.
      ...(mode === "tunnel" ? { inner: addresses } : { outer: addresses }),
    },
    actions: {
      crypto_encap: {
        action: "decap",
        net_type: mode === "tunnel" ? "psp_tunnel" : "psp_transport",
        eth_dst: "00:00:00:00:00:00",
        eth_src: "00:00:00:00:00:00",
        crypt_offset: 0,
      },
    },
    monitor: { counter: true },
    fwd: { type: "port", port: "host" },
    fwd_miss: { type: "pipe", pipe: "SYND_STATS" },
    entries: [],
  };
}

function syndStats(): Pipe {
  const monitor: Monitor = { counter: true, notify: "syndrome" };
  // "ok" is a packet that decrypted well and that INGR_ACL refused: counted apart from the others.
  const syndromes: readonly Syndrome[] = ["ok", "icv_failed", "bad_trailer"];
  return {
    name: "SYND_STATS",
    type: "basic",
    domain: "secure_ingress",
    miss_counter: true,
    nr_entries: syndromes.length,
    match_mask: { parser_meta: { psp_syndrome: true } },
    monitor,
    fwd: { type: "drop" },
    fwd_miss: { type: "drop" },
    entries: syndromes.map((psp_syndrome) => ({
      name: psp_syndrome,
      match: { parser_meta: { psp_syndrome } },
      monitor,
      fwd: { type: "drop" },
    })),
  };
}
