// SPDX-License-Identifier: Apache-2.0

/**
 * What of a configuration decides over the form of the pipes. A running agent has the pipes that it began with, so that
 * what another form would take waits for its next start.
 */
import { isPattern } from "../model/patterns.ts";
import type { Config, PlaneConfig } from "./config.ts";

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
