// SPDX-License-Identifier: Apache-2.0

/** The agent's status listener as tests see it: plain JSON over HTTP, with nothing left out. */
import type { HttpReply } from "./ns_worker.ts";

/** GetStatus, with numbers as numbers. */
export interface AgentStatus {
  readonly id: string;
  readonly bootEpoch: string;
  readonly tunnels: Readonly<
    Record<"opening" | "up" | "rekeying" | "failed" | "unconfirmed", number>
  >;
  readonly peers: readonly {
    readonly id: string;
    readonly circuit: string;
    readonly failures: number;
    /** Since when no packet arrives there; "": they do, or nothing is known. */
    readonly unreachedSince: string;
    readonly lastError: string;
    readonly tunnels: number;
  }[];
  readonly counters: Readonly<Record<string, number>>;
  readonly ports: readonly PortStatus[];
  readonly mtu: { readonly uplink: number; readonly overhead: number; readonly inner: number };
}

/** An interface of the plane, in GetStatus. */
export interface PortStatus {
  readonly name: string;
  readonly interface: string;
  readonly guard: string;
  readonly guardReason: string;
  readonly guardRestored: number;
}

/** One tunnel of ListTunnels. */
export interface TunnelStatus {
  readonly peer: string;
  readonly localVip: string;
  readonly remoteVip: string;
  readonly state: string;
  /** SPIs, 0 when there is none. */
  readonly txSpi: number;
  readonly rxSpi: number;
  readonly lastError: string;
  /** Octets of inner packets, over all its SAs. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** One pipe of GetPipes. */
export interface PipeStatus {
  readonly name: string;
  readonly entries: number;
  readonly packets: number;
}

/** Sends one HTTP request to a URL on the status listener; see `NsWorker.http`. */
export type Http = (path: string, json?: unknown) => Promise<HttpReply>;

// proto3 JSON: 64-bit numbers are text, and what is 0 or empty may be absent.
type Json = Readonly<Record<string, unknown>>;

/** StatusService.GetStatus. Throws when the answer is not 200. */
export async function getStatus(http: Http): Promise<AgentStatus> {
  const reply = await call(http, "GetStatus");
  const count = (key: string) => number(object(reply["tunnels"])[key]);
  return {
    id: text(reply["id"]),
    bootEpoch: text(reply["bootEpoch"]),
    tunnels: {
      opening: count("opening"),
      up: count("up"),
      rekeying: count("rekeying"),
      failed: count("failed"),
      unconfirmed: count("unconfirmed"),
    },
    peers: list(reply["peers"]).map((peer) => ({
      id: text(peer["id"]),
      circuit: text(peer["circuit"]),
      failures: number(peer["failures"]),
      unreachedSince: String(peer["unreachedSince"] ?? ""),
      lastError: text(peer["lastError"]),
      tunnels: number(peer["tunnels"]),
    })),
    counters: Object.fromEntries(
      Object.entries(object(reply["counters"])).map(([name, value]) => [name, number(value)]),
    ),
    ports: list(object(reply["plane"])["ports"]).map((port) => ({
      name: text(port["name"]),
      interface: text(port["interface"]),
      guard: text(port["guard"]),
      guardReason: text(port["guardReason"]),
      guardRestored: number(port["guardRestored"]),
    })),
    mtu: {
      uplink: number(object(reply["mtu"])["uplink"]),
      overhead: number(object(reply["mtu"])["overhead"]),
      inner: number(object(reply["mtu"])["largestInnerPacket"]),
    },
  };
}

/** All tunnels, or those whose peer or addresses have this text in them, over as many pages as there are. */
export async function listTunnels(http: Http, contains = ""): Promise<TunnelStatus[]> {
  const all: TunnelStatus[] = [];
  let pageToken = "";
  do {
    const reply = await call(http, "ListTunnels", { pageToken, contains });
    for (const tunnel of list(reply["tunnels"])) {
      all.push({
        peer: text(tunnel["peer"]),
        localVip: text(tunnel["localVip"]),
        remoteVip: text(tunnel["remoteVip"]),
        state: text(tunnel["state"]),
        txSpi: number(object(tunnel["tx"])["spi"]),
        rxSpi: number(object(tunnel["rx"])["spi"]),
        lastError: text(tunnel["lastError"]),
        sentBytes: number(object(tunnel["sent"])["bytes"]),
        receivedBytes: number(object(tunnel["received"])["bytes"]),
      });
    }
    pageToken = text(reply["nextPageToken"]);
  } while (pageToken !== "");
  return all;
}

/** StatusService.GetPipes. */
export async function getPipes(http: Http): Promise<PipeStatus[]> {
  const reply = await call(http, "GetPipes");
  return list(reply["pipes"]).map((pipe) => ({
    name: text(pipe["name"]),
    entries: number(pipe["entries"]),
    packets: number(pipe["packets"]),
  }));
}

async function call(http: Http, method: string, request: unknown = {}): Promise<Json> {
  const { status, body } = await http(`/psp.v1.StatusService/${method}`, request);
  if (status !== 200) throw new Error(`Cannot call ${method}: HTTP ${status}: ${body}`);
  return JSON.parse(body) as Json;
}

function number(value: unknown): number {
  return Number(value ?? 0);
}

function text(value: unknown): string {
  return value === undefined ? "" : String(value);
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null ? value as Json : {};
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(object) : [];
}
