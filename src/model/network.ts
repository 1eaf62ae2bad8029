// SPDX-License-Identifier: Apache-2.0

/**
 * An address belongs to a network: a vip is (network, address). In text it is "10.1.0.7@blue", a prefix
 * "10.1.0.0/24@blue"; of the default network, which has no name, just "10.1.0.7". So each is told apart wherever it
 * stands: in the configuration, the exchange, the record, the log and the status. A network's policy says which addresses
 * its packets may not go to.
 */
import { matchesName } from "./patterns.ts";
import { parsePrefix, PrefixTable } from "./vip.ts";

/** Longest name, in octets. */
export const NETWORK_NAME_MAX = 32;

/** Whether a network can be called so. */
export function isNetworkName(name: string): boolean {
  return name.length <= NETWORK_NAME_MAX && /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(name);
}

/** The network of a vip or of a prefix; "": the default one. */
export function networkOf(vip: string): string {
  const at = vip.indexOf("@");
  return at < 0 ? "" : vip.slice(at + 1);
}

/** The address or prefix alone. */
export function addressOf(vip: string): string {
  const at = vip.indexOf("@");
  return at < 0 ? vip : vip.slice(0, at);
}

/** An address or prefix as that of a network. */
export function inNetwork(address: string, network: string): string {
  return network === "" ? address : `${address}@${network}`;
}

/** What of the configuration says which networks there are. */
export interface NetworkSettings {
  readonly name: string;
  /** The cookie that its packets have on the wire. */
  readonly vc: bigint;
}

/** The cookie that packets of a vip's network must have; undefined: of the default network, or of one that is not known. */
export function cookieOf(
  vip: string,
  networks: readonly NetworkSettings[] | undefined,
): bigint | undefined {
  const name = networkOf(vip);
  return name === "" ? undefined : networks?.find((network) => network.name === name)?.vc;
}

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

/** The interfaces of one network, by name or by pattern. */
export interface PortSettings {
  readonly name: string;
  readonly ports: readonly string[];
}

/** The network of an interface: that which names it, or else the first with a pattern for it; "": the default one. */
export function networkOfPort(
  networks: readonly PortSettings[] | undefined,
  port: string,
): string {
  const named = networks?.find(({ ports }) => ports.includes(port)) ??
    networks?.find(({ ports }) => ports.some((pattern) => matchesName(pattern, port)));
  return named?.name ?? "";
}
