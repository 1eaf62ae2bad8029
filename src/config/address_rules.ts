// SPDX-License-Identifier: Apache-2.0

/** What holds between the addresses of a configuration: of this host, of its peers, of its workloads. */
import {
  defaultListen,
  family,
  isLoopback,
  isOneAddress,
  parseHostPort,
  parseIp,
} from "./addresses.ts";
import { addressOf } from "../model/network.ts";
import type { Remark, Step } from "./rules.ts";
import type { FileForm } from "./schema.ts";
import { messageOf } from "../model/errors.ts";

/** Addresses with which some packet or request could never arrive. */
export function* addressProblems(form: FileForm): Generator<Step> {
  for (const [i, peer] of form.peers.entries()) {
    yield;
    for (const { path, text } of peerAddressProblems(form, peer)) {
      yield { path: ["peers", i, ...path], text };
    }
  }
  yield* workloads(form);
}

/** Addresses that may be meant so. */
export function* addressWarnings(form: FileForm): Generator<Remark> {
  if (isLoopback(form.pip)) {
    yield {
      path: ["pip"],
      text: `${form.pip} is reached from this host only: name the one that the other hosts reach`,
    };
  }
  const listen = form.rpc.listen ?? defaultListen(form.pip);
  if (form.peers.length > 0 && isLoopback(parseHostPort(listen).host)) {
    yield {
      path: ["rpc", "listen"],
      text: `"${listen}" is reached from this host only: peers cannot ask for tunnels there`,
    };
  }
  for (const [i, { vip, mac }] of form.vips.entries()) {
    if (addressOf(vip).endsWith("/0")) {
      yield { path: ["vips", i], text: "gives every address without a longer prefix to this host" };
    }
    if (mac !== undefined && !isOneAddress(vip)) {
      yield {
        path: ["vips", i, "mac"],
        text: `${mac} is that of one workload, and ${vip} is a prefix, so it is left out: the ` +
          "MACs behind a prefix are learned",
      };
    }
  }
  yield* twice(form, "pip", (pip) => pip);
  yield* twice(form, "svc_address", (address) => `"${address}"`);
}

/** Peers that name what an earlier one has. */
function* twice(
  { peers }: FileForm,
  key: "pip" | "svc_address",
  quoted: (address: string) => string,
): Generator<Remark> {
  const first = new Map<string, number>();
  for (const [i, { [key]: address }] of peers.entries()) {
    if (address === undefined) continue;
    const other = first.get(address);
    if (other === undefined) first.set(address, i);
    else {
      const text = `${quoted(address)} is that of peers[${other}] too: two agents on one host?`;
      yield { path: ["peers", i, key], text };
    }
  }
}

/** Whether two listeners would meet: one port, and one address or every address. */
export function sameListener(a: string, b: string): boolean {
  const [x, y] = [parseHostPort(a), parseHostPort(b)];
  return x.port === y.port && (x.host === y.host || isAny(x.host) || isAny(y.host));
}

/** What an address of a peer is compared with: of a file or of a `Config`. */
export interface OwnSide {
  readonly pip: string;
  readonly psp: { readonly mode: FileForm["psp"]["mode"] };
  readonly rpc: { readonly listen?: string | undefined };
}

/** What is wrong with the addresses of one peer, with its key. */
export function* peerAddressProblems(
  own: OwnSide,
  { pip, svc_address }: Pick<FileForm["peers"][number], "pip" | "svc_address">,
): Generator<Remark> {
  const wrong = pip === undefined ? undefined : pipProblem(own, pip);
  if (wrong !== undefined) yield { path: ["pip"], text: wrong };
  const service = serviceProblem(own, svc_address);
  if (service !== undefined) yield { path: ["svc_address"], text: service };
}

function pipProblem({ pip: own, psp }: OwnSide, pip: string): string | undefined {
  if (pip === own) return `${own} is this host's own address`;
  // In transport mode a packet keeps its own header, and the pip is only looked up for its next hop.
  if (psp.mode !== "tunnel" || family(pip) === family(own)) return undefined;
  return `${pip} and this host's pip (${own}) are of different address families: no packet can ` +
    "have both in its outer header, so use addresses of one family";
}

function serviceProblem(form: OwnSide, service: string): string | undefined {
  const { host, port } = parseHostPort(service);
  const own = parseHostPort(form.rpc.listen ?? defaultListen(form.pip));
  if (port === own.port && (host === own.host || (host === form.pip && isAny(own.host)))) {
    return `"${service}" is where this host itself listens (rpc.listen): name the peer's address`;
  }
  return unicastProblem(host);
}

/** A name may be anything; an address must be that of one host. */
function unicastProblem(host: string): string | undefined {
  if (!/^[\d.]+$|:/.test(host)) return undefined;
  try {
    parseIp(host);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function* workloads(form: FileForm): Generator<Remark> {
  for (const [i, { vip, mac, gateway }] of form.vips.entries()) {
    if (mac !== undefined && mac === form.gateway_mac) {
      yield { path: ["vips", i, "mac"], text: `${mac} is gateway_mac, which is the agent's own` };
    }
    if (gateway !== undefined && family(gateway) !== family(vip)) {
      yield {
        path: ["vips", i, "gateway"],
        text: `${gateway} is not of the same address family as ${vip}`,
      };
    } else if (isOneAddress(vip) && gateway === addressOf(vip).split("/")[0]) {
      yield {
        path: ["vips", i, "gateway"],
        text: `${gateway} is the workload's own address: name another one, or leave gateway out`,
      };
    }
  }
}

function isAny(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
