// SPDX-License-Identifier: Apache-2.0

/**
 * The effective configuration: what `peers.json` says, validated, with every default filled in. Its type
 * follows from the schema: a key there is a key here, in camelCase; spans of time are milliseconds, with
 * "Ms" at the name's end.
 */
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
