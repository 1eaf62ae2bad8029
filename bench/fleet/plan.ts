// SPDX-License-Identifier: Apache-2.0

/** Who is who in the bench of a fleet: one agent, and peers that one process plays, told apart by their addresses. */

/** A shape of a fleet. */
export interface Shape {
  readonly peers: number;
  /** Tunnels with each. */
  readonly vips: number;
}

/** The agent's address on the wire, and that of the interface of the other namespace. */
export const AGENT_IP = "10.0.0.1";
export const FAR_IP = "10.0.0.2";
/** All peers: addresses that the far namespace takes for its own. */
export const PEERS_NET = "10.128.0.0/9";
export const RPC_PORT = 7443;
export const STATUS = "127.0.0.1:7480";
export const DOMAIN = "psp-agent.local";
export const AGENT_ID = "agent";
/** Workloads of the agent's host: so many MACs, because one may not begin many flows a second. */
export const WORKLOADS = 50;

export function peerId(i: number): string {
  return `p${i}`;
}

/** Outer and control address of a peer. */
export function peerIp(i: number): string {
  return `10.${128 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
}

/** Which peer an address is. */
export function peerOf(address: string): number {
  const [, a = 0, b = 0, c = 0] = address.split(".").map(Number);
  return ((a - 128) << 16) | (b << 8) | c;
}

/** The `n`-th tunnel of all: a vip of a peer. */
export function remoteVip(n: number): string {
  return `100.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** A workload of the agent's host; a tunnel belongs to the one that its peer's number says. */
export function localVip(peer: number): string {
  return `10.1.0.${10 + peer % WORKLOADS}`;
}

export function workloadMac(peer: number): string {
  return `02:00:00:00:01:${(10 + peer % WORKLOADS).toString(16).padStart(2, "0")}`;
}

/** All pairs of a shape, peer by peer. */
export function* pairs({ peers, vips }: Shape): Iterable<
  { readonly peer: number; readonly localVip: string; readonly remoteVip: string }
> {
  for (let peer = 0; peer < peers; peer++) {
    for (let v = 0; v < vips; v++) {
      yield { peer, localVip: localVip(peer), remoteVip: remoteVip(peer * vips + v) };
    }
  }
}

/** "10000x1". Throws for what is no shape. */
export function readShape(text: string): Shape {
  const [, peers, vips] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (peers === undefined || vips === undefined) {
    throw new Error(`Cannot read shape "${text}": peers x tunnels, such as 10000x1`);
  }
  return { peers: Number(peers), vips: Number(vips) };
}
