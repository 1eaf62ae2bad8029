// SPDX-License-Identifier: Apache-2.0

/** The certificates of a configuration, looked at as the agent looks at them when it starts. */
import type { Config } from "../config/config.ts";
import type { Loaded } from "../config/load.ts";
import { examineTls, type TlsKey } from "../rpc/tls.ts";

/** One sentence each, which begins with the key of the configuration. */
export interface CertificateReport {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** The first end of a validity on the control channel. */
  readonly expiresAtMs?: number;
}

/** Looks at what `rpc.tls` and `status.tls` name; where a file cannot be read, that says enough. */
export function examineCertificates(
  { config, unreadable }: Pick<Loaded, "config" | "unreadable">,
  nowMs: number,
): CertificateReport {
  const { rpc, status, id, domain } = config;
  const problems: string[] = [];
  const warnings: string[] = [];
  const look = (key: TlsKey, { tls }: Config["rpc"] | Config["status"]) => {
    if (tls === undefined || unreadable.some((file) => file.key.startsWith(`${key}.`))) {
      return undefined;
    }
    const owner = key === "rpc.tls" ? { id, domain } : undefined;
    const found = examineTls(tls, { nowMs, owner });
    problems.push(...found.problems.map((problem) => `${key}: ${problem}`));
    warnings.push(...found.warnings.map(({ text }) => `${key}: ${text}`));
    return found.material?.expiresAtMs;
  };
  const expiresAtMs = look("rpc.tls", rpc);
  look("status.tls", status);
  return { problems, warnings, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) };
}
