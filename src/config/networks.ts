// SPDX-License-Identifier: Apache-2.0

/**
 * Networks as the agent works with them: their vips stand among the host's own, each with its network's name, their
 * ports among the host ports, and what a network says of its gateway and DNS holds for every vip that says nothing else.
 */
import { addressOf, inNetwork, networkOf } from "../model/network.ts";
import { matchesName } from "../model/patterns.ts";
import { family } from "./addresses.ts";
import type { Mapped } from "./file_form.ts";
import type { FileForm } from "./schema.ts";

type Form = Mapped<FileForm>;
type Network = NonNullable<Form["networks"]>[number];

/** The same with networks' vips and ports in the one place where everybody looks. */
export function withNetworks(config: Form): Form {
  const { networks, plane } = config;
  if (networks === undefined || networks.length === 0) return config;
  const byName = new Map(networks.map((network) => [network.name, network]));
  const own = networks.flatMap(({ name, vips }) =>
    vips.map((vip) => ({ ...vip, vip: inNetwork(addressOf(vip.vip), name) }))
  );
  const vips = [...config.vips, ...own].map((vip) => told(vip, byName.get(networkOf(vip.vip))));
  return {
    ...config,
    vips,
    networks: networks.map((network) => ({ ...network, vips: [] })),
    plane: withPorts(plane, networks.flatMap((network) => network.ports)),
  };
}

function withPorts(plane: Form["plane"], ports: readonly string[]): Form["plane"] {
  if (ports.length === 0) return plane;
  return plane.kind === "soft"
    ? { ...plane, host: [...new Set([plane.host, ports].flat())] }
    : { ...plane, representor: [...new Set([plane.representor, ports].flat())] };
}

function told(vip: Form["vips"][number], network: Network | undefined): Form["vips"][number] {
  if (network === undefined) return vip;
  const { gateway, dns } = network;
  const fits = gateway !== undefined && family(gateway) === family(vip.vip);
  return {
    ...vip,
    ...vip.gateway === undefined && fits ? { gateway } : {},
    dns: vip.dns.length > 0 ? vip.dns : dns,
  };
}

/** The network of an interface: that which names it, or else the first with a pattern for it; "": the default one. */
export function networkOfPort(
  networks: readonly Pick<Network, "name" | "ports">[] | undefined,
  port: string,
): string {
  const named = networks?.find(({ ports }) => ports.includes(port)) ??
    networks?.find(({ ports }) => ports.some((pattern) => matchesName(pattern, port)));
  return named?.name ?? "";
}
