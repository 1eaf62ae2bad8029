// SPDX-License-Identifier: Apache-2.0

/** A host as its master key's keeper sees it. */
import { Census } from "../../src/core/census.ts";
import type { RotationContext } from "../../src/core/rotation.ts";
import { CLOSED, type State } from "../../src/core/tunnel.ts";
import type { Tunnel } from "../../src/core/tunnel_table.ts";
import { rx, tx } from "./sas.ts";

/** When its first rotation is due, and the time between two, in milliseconds. */
export const DUE_AT = 1e6;

/** A host with so many peers, and so many tunnels with each, all up under generation 0. */
export function keeperHost(peers: number, each = 1): {
  readonly context: (now: number) => RotationContext;
  /** Since when a peer does not answer, by peer. */
  readonly failing: Map<string, number>;
} {
  const state: State = {
    kind: "up",
    tx: tx(1),
    rx: [rx(1, { confirmed: true })],
    openedAt: 0,
    usedAt: 0,
  };
  const all = new Map<string, Tunnel[]>();
  const census = new Census<Tunnel>();
  for (let p = 1; p <= peers; p++) {
    const peer = `p${p}`;
    const tunnels = Array.from({ length: each }, (_, i) => ({
      key: `${peer} ${i}`,
      row: i,
      pair: { localVip: "10.1.0.1", remoteVip: "10.2.0.1" },
      peer,
      state,
      lastError: "",
    }));
    all.set(peer, tunnels);
    for (const tunnel of tunnels) census.change(tunnel, CLOSED, state);
  }
  const failing = new Map<string, number>();
  const context = (now: number): RotationContext => ({
    now,
    intervalMs: DUE_AT,
    tunnels: {
      peers,
      census,
      peerNames: () => all.keys(),
      keysOfPeer: (peer) => (all.get(peer) ?? []).map(({ key }) => key),
      ofPeer: (peer) => all.get(peer) ?? [],
      get: (key) => all.get(key.split(" ")[0] ?? "")?.find((tunnel) => tunnel.key === key),
    },
    failingSince: (peer) => failing.get(peer),
  });
  return { context, failing };
}
