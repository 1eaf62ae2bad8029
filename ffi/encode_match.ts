// SPDX-License-Identifier: Apache-2.0

/** Matches and their masks as struct psp_dp_match. Each function throws RangeError when a value does not fit. */
import { putAddress } from "./address.ts";
import type { Match, MatchMask, PortName } from "./plane.ts";
import type { Struct } from "./struct.ts";

/** enum psp_dp_port */
export const PORTS: Readonly<Record<PortName, number>> = { uplink: 0, host: 1 };

type MatchStruct = Struct<"psp_dp_match">;
type Value = string | number | bigint;

/** Where a field lies, and what its words mean; an address stands there whole. */
interface Place {
  readonly field: Parameters<MatchStruct["set"]>[0];
  readonly as?: Readonly<Record<string, number>> | "address";
}

type Group = Readonly<Record<string, Place>>;

// 0 is never a port, so that a mask can say "any".
const PORT_IDS = { uplink: PORTS.uplink + 1, host: PORTS.host + 1 };
const L3 = { ipv4: 1, ipv6: 2 };
const L4 = { tcp: 1, udp: 2, icmp: 3, icmp6: 4 };
const SYNDROME = { ok: 0, icv_failed: 1, bad_trailer: 2 };

const PARSER_META: Group = {
  port_id: { field: "parser_meta_port_id", as: PORT_IDS },
  outer_l3_type: { field: "parser_meta_outer_l3_type", as: L3 },
  outer_l4_type: { field: "parser_meta_outer_l4_type", as: L4 },
  inner_l3_type: { field: "parser_meta_inner_l3_type", as: L3 },
  psp_syndrome: { field: "parser_meta_psp_syndrome", as: SYNDROME },
  random: { field: "parser_meta_random" },
};
const META: Group = { pkt_meta: { field: "meta_pkt_meta" } };
const OUTER: Group = {
  eth_type: { field: "outer_eth_type" },
  ip_proto: { field: "outer_ip_proto" },
  icmp_type: { field: "outer_icmp_type" },
  src_ip: { field: "outer_ip_src", as: "address" },
  dst_ip: { field: "outer_ip_dst", as: "address" },
  src_port: { field: "outer_l4_src_port" },
  dst_port: { field: "outer_l4_dst_port" },
};
const INNER: Group = {
  src_ip: { field: "inner_ip_src", as: "address" },
  dst_ip: { field: "inner_ip_dst", as: "address" },
};
const PSP: Group = {
  spi: { field: "tun_psp_spi" },
  nexthdr: { field: "tun_psp_nexthdr" },
  hdrextlen: { field: "tun_psp_hdrextlen" },
  res_cryptofst: { field: "tun_psp_res_cryptofst" },
  s_d_ver_v: { field: "tun_psp_s_d_ver_v" },
  vc: { field: "tun_psp_vc" },
};

/** What is compared. */
export function putMatch(struct: MatchStruct, match: Match): void {
  struct.setSize();
  putFields(match, (place, value) => putValue(struct, place, value));
}

/** Which bits of it. */
export function putMask(struct: MatchStruct, mask: MatchMask): void {
  struct.setSize();
  putFields(mask, ({ field, as }, bits) => {
    if (bits === true) struct.octets(field).fill(0xff);
    else if (as === "address") throw new RangeError(`the mask of ${field} must be the whole field`);
    else struct.set(field, bits);
  });
}

type Put<T> = (place: Place, value: T) => void;

/** Looks at what is there alone: an entry has three fields or four of the two dozen. */
function putFields(from: Match, put: Put<Value>): void;
function putFields(from: MatchMask, put: Put<true | number | bigint>): void;
function putFields(from: Match | MatchMask, put: Put<never>): void {
  putGroup(PARSER_META, from.parser_meta, put);
  putGroup(META, from.meta, put);
  putGroup(OUTER, from.outer, put);
  putGroup(INNER, from.inner, put);
  putGroup(PSP, from.tun?.psp, put);
}

function putGroup(group: Group, values: object | undefined, put: Put<never>): void {
  if (values === undefined) return;
  for (const [name, value] of Object.entries(values)) {
    const place = group[name];
    if (place !== undefined && value !== undefined) put(place, value as never);
  }
}

function putValue(struct: MatchStruct, { field, as }: Place, value: Value): void {
  if (as === "address") struct.write(field, putAddress, String(value));
  else if (typeof value === "string") struct.set(field, as?.[value] ?? NaN);
  else struct.set(field, value);
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
