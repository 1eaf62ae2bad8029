// SPDX-License-Identifier: Apache-2.0

/** Peers of an RPC client that do not change. */
import type { PeerAddress, RpcClientOptions } from "../../src/rpc/client.ts";

/** As `RpcClientOptions.peers`. */
export function peerAddresses(...all: readonly PeerAddress[]): RpcClientOptions["peers"] {
  const byId = new Map(all.map((peer) => [peer.id, peer]));
  return (id) => byId.get(id);
}
