// SPDX-License-Identifier: Apache-2.0

/** What a network's policy says of an address of another host: everything is encrypted, but what is denied is refused. */
import { addressOf, inNetwork } from "./network.ts";
import { parsePrefix, PrefixTable } from "./vip.ts";

/** Of one network. */
export interface PolicySettings {
  readonly name: string;
  readonly policy: { readonly deny: readonly string[] };
}

/** Whether the policy of a vip's network denies it. */
export type Denies = (vip: string) => boolean;

/** The policies of these networks as one question. */
export function policyOf(networks: readonly PolicySettings[] | undefined): Denies {
  const denied = new PrefixTable<true>();
  let any = false;
  for (const { name, policy: { deny } } of networks ?? []) {
    for (const cidr of deny) {
      const prefix = parsePrefix(inNetwork(addressOf(cidr), name));
      if (prefix !== undefined) any = denied.add(prefix, true) || any;
    }
  }
  return (vip) => any && denied.lookup(vip) !== undefined;
}
