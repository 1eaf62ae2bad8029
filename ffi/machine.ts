// SPDX-License-Identifier: Apache-2.0

/** The machine and its service manager: what JavaScript without every permission cannot see or open. */
import { type Library, readText } from "./library.ts";
import { unwrap } from "./status.ts";

/**
 * One message of sd_notify(3). `path`: as in NOTIFY_SOCKET; "@" first means an abstract socket. Throws
 * `DataPlaneError` when the path is none or nobody takes the message.
 */
export function notifyManager({ symbols }: Library, path: string, text: string): void {
  const to = new TextEncoder().encode(path);
  const message = new TextEncoder().encode(text);
  const status = symbols.psp_dp_notify(to, to.length, message, message.length);
  unwrap(status, `Cannot notify the service manager at "${path}"`);
}

/** The lines of `psp_dp_host_report`: page size, capabilities, limits and interfaces. */
export function hostReport({ symbols }: Library): string {
  return readText(
    "Cannot read what the machine says of itself",
    (...args) => symbols.psp_dp_host_report(...args),
  );
}

/** Gives up the permission to load libraries: what is loaded stays usable, nothing else can be loaded. */
export function dropLoading(): void {
  Deno.permissions.revokeSync({ name: "ffi" });
}
