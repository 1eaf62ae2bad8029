// SPDX-License-Identifier: Apache-2.0

/**
 * What an agent would refuse, or wait for, when it starts with a configuration that is right in itself: certificates,
 * files, directories, and what this runtime can do. Nothing is made and nothing is opened for writing.
 */
import type { Config } from "../config/config.ts";
import type { Loaded } from "../config/load.ts";
import { ownKeyExchange, postQuantumFault } from "../rpc/key_exchange.ts";
import { tokenFault } from "../rpc/status_server.ts";
import { socketFault } from "../rpc/status_socket.ts";
import { examineTls, runtimeRefusal, type TlsKey } from "../rpc/tls.ts";
import { stateDirFault } from "../store/state_dir.ts";
import { CommandError } from "./io.ts";
import { shimPath } from "./shim.ts";

/** One thing that is wrong. */
export interface Fault {
  /** Of the configuration: "rpc.tls". */
  readonly key: string;
  /** A clause that goes behind the key. */
  readonly text: string;
}

/** What was found. */
export interface StartFaults {
  readonly problems: readonly Fault[];
  readonly warnings: readonly Fault[];
}

/** The certificates alone. */
export interface CertificateReport extends StartFaults {
  /** The first end of a validity on the control channel. */
  readonly expiresAtMs?: number;
}

type Given = Pick<Loaded, "config" | "unreadable">;

/** Everything that keeps an agent from starting here with this configuration, as far as that shows before it does. */
export async function examineStart(loaded: Given, nowMs: number): Promise<StartFaults> {
  const { config: { stateDir, status, rpc, plane } } = loaded;
  const { problems, warnings } = examineCertificates(loaded, nowMs);
  const found: Fault[] = [];
  const add = (key: string, text: string | undefined) => {
    if (text !== undefined) found.push({ key, text });
  };
  add("state_dir", stateDirFault(stateDir));
  if (status.tokenFile !== undefined && !isUnreadable(loaded, "status.token_file")) {
    add("status.token_file", tokenFault(status.tokenFile));
  }
  if (plane.library !== undefined) add("plane.library", libraryFault(plane));
  if (status.socket !== undefined) add("status.socket", socketFault(status.socket));
  for (const [key, { tls }] of [["rpc.tls", rpc], ["status.tls", status]] as const) {
    if (tls !== undefined) add(key, runtimeRefusal(Deno.version.deno));
  }
  if (rpc.requirePq) {
    const fault = postQuantumFault(await ownKeyExchange(), Deno.version.deno);
    add("rpc.require_pq", fault && `${fault}; remove it, or use a Deno that prefers the other`);
  }
  return { problems: [...problems, ...found], warnings };
}

/** Looks at what `rpc.tls` and `status.tls` name; where a file cannot be read, that says enough. */
export function examineCertificates(loaded: Given, nowMs: number): CertificateReport {
  const { rpc, status, id, domain } = loaded.config;
  const problems: Fault[] = [];
  const warnings: Fault[] = [];
  const look = (key: TlsKey, { tls }: Config["rpc"] | Config["status"]) => {
    if (tls === undefined || isUnreadable(loaded, key)) return undefined;
    const owner = key === "rpc.tls" ? { id, domain } : undefined;
    const found = examineTls(tls, { nowMs, owner });
    problems.push(...found.problems.map((text) => ({ key, text })));
    warnings.push(...found.warnings.map(({ text }) => ({ key, text })));
    return found.material?.expiresAtMs;
  };
  const expiresAtMs = look("rpc.tls", rpc);
  look("status.tls", status);
  return { problems, warnings, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) };
}

function libraryFault({ library, kind }: Config["plane"]): string | undefined {
  try {
    shimPath({ library, kind });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error.message;
  }
}

function isUnreadable({ unreadable }: Given, key: string): boolean {
  return unreadable.some((file) => file.key === key || file.key.startsWith(`${key}.`));
}
