// SPDX-License-Identifier: Apache-2.0

/** Matches and their masks as struct psp_dp_match. Each function throws RangeError when a value does not fit. */
import { addressBytes } from "./address.ts";
import type { Match, MatchMask, PortName } from "./plane.ts";
import type { Struct } from "./struct.ts";

/** enum psp_dp_port */
export const PORTS: Readonly<Record<PortName, number>> = { uplink: 0, host: 1 };

type MatchStruct = Struct<"psp_dp_match">;
type Value = string | number | bigint;

/** Where a field lies, and what its words mean; an address stands there whole. */
interface Place {
  readonly name: string;
  readonly field: Parameters<MatchStruct["set"]>[0];
  readonly as?: Readonly<Record<string, number>> | "address";
}

// 0 is never a port, so that a mask can say "any".
const PORT_IDS = { uplink: PORTS.uplink + 1, host: PORTS.host + 1 };
const L3 = { ipv4: 1, ipv6: 2 };
const L4 = { tcp: 1, udp: 2, icmp: 3, icmp6: 4 };
const SYNDROME = { ok: 0, icv_failed: 1, bad_trailer: 2 };

/** The groups of fields: an entry has few of them, and the others are not even looked at. */
const GROUPS: readonly {
  readonly of: (match: Match | MatchMask) => object | undefined;
  readonly places: readonly Place[];
}[] = [
  {
    of: (m) => m.parser_meta,
    places: [
      { name: "port_id", field: "parser_meta_port_id", as: PORT_IDS },
      { name: "outer_l3_type", field: "parser_meta_outer_l3_type", as: L3 },
      { name: "outer_l4_type", field: "parser_meta_outer_l4_type", as: L4 },
      { name: "inner_l3_type", field: "parser_meta_inner_l3_type", as: L3 },
      { name: "psp_syndrome", field: "parser_meta_psp_syndrome", as: SYNDROME },
      { name: "random", field: "parser_meta_random" },
    ],
  },
  { of: (m) => m.meta, places: [{ name: "pkt_meta", field: "meta_pkt_meta" }] },
  {
    of: (m) => m.outer,
    places: [
      { name: "eth_type", field: "outer_eth_type" },
      { name: "ip_proto", field: "outer_ip_proto" },
      { name: "icmp_type", field: "outer_icmp_type" },
      { name: "src_ip", field: "outer_ip_src", as: "address" },
      { name: "dst_ip", field: "outer_ip_dst", as: "address" },
      { name: "src_port", field: "outer_l4_src_port" },
      { name: "dst_port", field: "outer_l4_dst_port" },
    ],
  },
  {
    of: (m) => m.inner,
    places: [
      { name: "src_ip", field: "inner_ip_src", as: "address" },
      { name: "dst_ip", field: "inner_ip_dst", as: "address" },
    ],
  },
  {
    of: (m) => m.tun?.psp,
    places: [
      { name: "spi", field: "tun_psp_spi" },
      { name: "nexthdr", field: "tun_psp_nexthdr" },
      { name: "hdrextlen", field: "tun_psp_hdrextlen" },
      { name: "res_cryptofst", field: "tun_psp_res_cryptofst" },
      { name: "s_d_ver_v", field: "tun_psp_s_d_ver_v" },
      { name: "vc", field: "tun_psp_vc" },
    ],
  },
];

/** What is compared. */
export function putMatch(struct: MatchStruct, match: Match): void {
  struct.setSize();
  for (const { of, places } of GROUPS) {
    const values = of(match) as Readonly<Record<string, Value | undefined>> | undefined;
    if (values === undefined) continue;
    for (const { name, field, as } of places) {
      const value = values[name];
      if (value === undefined) continue;
      if (as === "address") struct.setOctets(field, addressBytes(String(value)));
      else if (typeof value === "string") struct.set(field, as?.[value] ?? NaN);
      else struct.set(field, value);
    }
  }
}

/** Which bits of it. */
export function putMask(struct: MatchStruct, mask: MatchMask): void {
  struct.setSize();
  for (const { of, places } of GROUPS) {
    const group = of(mask) as Readonly<Record<string, true | number | bigint | undefined>>;
    for (const { name, field, as } of group === undefined ? [] : places) {
      const bits = group[name];
      if (bits === true) struct.octets(field).fill(0xff);
      else if (bits === undefined) continue;
      else if (as === "address") {
        throw new RangeError(`the mask of ${field} must be the whole field`);
      } else struct.set(field, bits);
    }
  }
}

/** The mask that compares each field of a match, whole. */
export function wholeFields(match: Match): MatchMask {
  const whole = (group: object | undefined) =>
    Object.fromEntries(
      Object.entries(group ?? {}).filter(([, v]) => v !== undefined).map(([k]) => [k, true]),
    );
  return {
    parser_meta: whole(match.parser_meta),
    meta: whole(match.meta),
    outer: whole(match.outer),
    inner: whole(match.inner),
    tun: { psp: whole(match.tun?.psp) },
  };
}
