// SPDX-License-Identifier: Apache-2.0

/**
 * The effective configuration: what `peers.json` says, validated, with every default filled in. Its type
 * follows from the schema: a key there is a key here, in camelCase; spans of time are milliseconds, with
 * "Ms" at the name's end. And what of it decides over the form of the pipes: a running agent has the pipes that it began
 * with, so that what another form would take waits for its next start.
 */
import { isPattern } from "../model/patterns.ts";
import type { Mapped } from "./file_form.ts";
import type { FileForm } from "./schema.ts";

type Everything = Mapped<FileForm>;

/** Everything, with what is derived from other keys filled in. */
export interface Config extends Omit<Everything, "rpc"> {
  readonly rpc: Everything["rpc"] & { readonly listen: string; readonly maxConnections: number };
}

export type PlaneConfig = Config["plane"];
/** An address or prefix of workloads on this host. */
export type LocalVip = Config["vips"][number];
export type PeerConfig = Config["peers"][number];
export type TlsFiles = NonNullable<Config["rpc"]["tls"]>;

/** The configuration cannot be used. `problems` has one sentence for each thing that is wrong. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(message: string, readonly problems: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * What the configuration names is not as it must be, or not yet: an interface, an address or a certificate that is not
 * there, a clock that is wrong, a port or a directory that somebody else has. The file is not wrong, and the same again
 * may help.
 */
export class EnvironmentError extends ConfigError {}

/** Whether there may be several host ports. In software they come and go, hardware has those that it opens with. */
export function hasManyHosts(plane: PlaneConfig): boolean {
  const host = plane.kind === "soft" ? plane.host : plane.representor;
  return typeof host !== "string" || isPattern(host);
}

/** Names and patterns of the host ports. */
export function hostNames(plane: PlaneConfig): readonly string[] {
  return [plane.kind === "soft" ? plane.host : plane.representor].flat();
}

/** Whether any packet that this host receives has a virtualization cookie. */
export function hasCookies({ peers, networks = [] }: Pick<Config, "peers" | "networks">): boolean {
  return networks.length > 0 || peers.some((peer) => peer.vc !== undefined);
}

/** Whether the pipes compare cookies: in software always, so that the first one may come at any time. */
export function comparesCookies(config: Pick<Config, "plane" | "peers" | "networks">): boolean {
  return config.plane.kind === "soft" || hasCookies(config);
}
