// SPDX-License-Identifier: Apache-2.0

/** Configurations of a world's hosts. */
import type { Config, PeerConfig } from "../../src/config/config.ts";
import { type Changes, configOf } from "../support/core_config.ts";
import { idOf, pipOf, vipOf } from "./host.ts";

/** Host `i`, from 0, with these others as its peers: each host owns one /24. */
export function worldConfig(
  i: number,
  { peers, changes = {} }: { readonly peers: Iterable<number>; readonly changes?: Changes },
): Config {
  return {
    ...configOf(1, { hosts: 1, changes }),
    id: idOf(i),
    pip: pipOf(i),
    vips: [{ vip: prefixOf(i), dns: [] }],
    peers: Array.from(peers, peerOf),
  };
}

/** Host `n` as its peers know it. */
export function peerOf(n: number): PeerConfig {
  return { id: idOf(n), svcAddress: `${pipOf(n)}:7443`, vips: [prefixOf(n)] };
}

/** The addresses of a host's workloads. */
export function prefixOf(n: number): string {
  return `${vipOf(n, 0)}/24`;
}
