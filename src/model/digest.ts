// SPDX-License-Identifier: Apache-2.0

/** What tells one request from another, without keeping anything of it. */
import { createHash } from "node:crypto";
import type { NewTunnelRequest } from "./exchange.ts";

/**
 * SHA-256 over everything in a request, its keys too, as base64: the same for a repeated one, another for any other. Of
 * the keys, which have 128 bits and more of chance, it says nothing.
 */
export function requestDigest(request: NewTunnelRequest): string {
  const { bootEpoch, requestId, versionsAccepted, tunnels } = request;
  const hash = createHash("sha256");
  // As JSON, so that no field can pass for a part of its neighbour.
  const text = (...fields: readonly unknown[]) => hash.update(`${JSON.stringify(fields)}\n`);
  text(String(bootEpoch), requestId, versionsAccepted);
  for (const { localVip, remoteVip, reverse } of tunnels) {
    const { spi, version, key, pip, mac, cryptOffset, mode, serial, lifeS, vc } = reverse;
    text(localVip, remoteVip, spi, version, pip, mac, cryptOffset, mode, String(serial), lifeS);
    text(vc === undefined ? null : String(vc), key.length);
    hash.update(key.reveal());
  }
  return hash.digest("base64");
}
