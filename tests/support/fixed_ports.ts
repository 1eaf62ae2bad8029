// SPDX-License-Identifier: Apache-2.0

/** Host ports that stay as they are. */
import type { NamedPort } from "../../src/plane/links.ts";

/** Ports with these handles, on interfaces "host2", "host3", ... */
export function fixedPorts(
  ...handles: readonly number[]
): { all(): readonly NamedPort[]; get(handle: number): NamedPort | undefined } {
  const ports = handles.map((handle): NamedPort => ({
    role: "host",
    handle,
    interface: `host${handle}`,
  }));
  return { all: () => ports, get: (handle) => ports.find((port) => port.handle === handle) };
}
