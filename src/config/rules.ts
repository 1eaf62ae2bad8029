// SPDX-License-Identifier: Apache-2.0

/** What holds between keys and between addresses, once each of them is right by itself. */
import { messageOf } from "../model/errors.ts";
import {
  defaultListen,
  family,
  isLoopback,
  isOneAddress,
  parseHostPort,
  parseIp,
} from "./addresses.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import { defaultCryptOffset } from "../model/sa.ts";
import { addressOf, inNetwork, networkOf } from "../model/network.ts";
import { parsePrefix, PrefixTable } from "../model/vip.ts";
import { isPattern, matchesName } from "../model/patterns.ts";
import type { FileForm } from "./schema.ts";

/** Where in the file, and one clause about what is wrong there and what would be right. */
export interface Remark {
  readonly path: readonly (string | number)[];
  readonly text: string;
}

/** A remark, or undefined: one more of many peers was looked at. */
export type Step = Remark | undefined;

/** Everything that makes the configuration unusable although each key is well formed. */
export function* problemsOf(form: FileForm): Generator<Step> {
  yield* replayWindow(form);
  yield* ownership(form);
  yield* networkRules(form);
  yield* identities(form);
  yield* addressProblems(form);
  yield* control(form);
  yield* statusListener(form);
  yield* planeRules(form);
  yield* directoryRules(form);
}

/** What works, but should be known. */
export function* warningsOf(form: FileForm): Generator<Step> {
  if (form.rpc.insecure) {
    yield {
      path: ["rpc", "insecure"],
      text: "the control channel is NOT protected: keys travel in clear text",
    };
  }
  if (form.peers.length === 0 && Object.keys(form.directory).length === 0) {
    yield { path: ["peers"], text: "is empty: this host has nobody to talk to" };
  }
  if (form.psp.versions.some((version) => version.startsWith("aes-gmac"))) {
    yield {
      path: ["psp", "versions"],
      text:
        "AES-GMAC authenticates without encrypting, and its key derivation is an extrapolation of the specification",
    };
  }
  for (const [i, peer] of form.peers.entries()) {
    yield;
    for (const [j, vip] of peer.vips.entries()) {
      if (!addressOf(vip).endsWith("/0")) continue;
      yield {
        path: ["peers", i, "vips", j],
        text: `gives every address without a longer prefix to "${peer.id}"`,
      };
    }
  }
  yield* cryptOffsetWarnings(form);
  yield* addressWarnings(form);
}

/** What of a packet more than its IP header is readable on the way, and who does not take that. */
function* cryptOffsetWarnings({ psp, peers, plane, networks = [] }: FileForm): Generator<Remark> {
  const { mode, crypt_offset: own, max_crypt_offset: most } = psp;
  const some = networks.length > 0 || peers.some((peer) => peer.vc !== undefined);
  const every = peers.every((peer) => peer.vc !== undefined);
  for (const family of ["ipv4", "ipv6"] as const) {
    const usual = defaultCryptOffset({ family, vc: some, mode });
    if (own !== undefined && own[family] > usual) {
      yield {
        path: ["psp", "crypt_offset", family],
        text: `${own[family]} is more than ${usual}: peers refuse it unless their ` +
          `psp.max_crypt_offset.${family} allows it, and everybody on the way can read so much`,
      };
    }
    if (most !== undefined && most[family] > usual) {
      yield {
        path: ["psp", "max_crypt_offset", family],
        text: `${most[family]} is more than ${usual}: a peer may ask for more in clear text than ` +
          "the IP header",
      };
    }
    // A TCP or UDP header at least is behind the IP header, in transport mode alone.
    const shortest = (mode === "tunnel" ? 0 : 2) + defaultCryptOffset({ family, vc: every, mode });
    if (plane.kind === "doca" && own !== undefined && own[family] > shortest) {
      yield {
        path: ["psp", "crypt_offset", family],
        text: `${own[family]} is beyond the end of the shortest packet (${shortest}): hardware ` +
          "drops what it receives that is shorter than its crypt offset",
      };
    }
  }
}

/** 0 is no window; between it and the least there is nothing. */
function* replayWindow({ psp: { replay_window: window } }: FileForm): Generator<Remark> {
  const { min } = LIMITS.replay_window;
  if (window === 0 || window >= min) return;
  yield {
    path: ["psp", "replay_window"],
    text:
      `${window} is less than ${min}: packets that come in another order would be lost. 0 is no window`,
  };
}

/** The vips of this host, wherever they stand, each with its network. */
function localVips(form: FileForm): { readonly path: Remark["path"]; readonly vip: string }[] {
  return [
    ...form.vips.map(({ vip }, i) => ({ path: ["vips", i], vip })),
    ...(form.networks ?? []).flatMap(({ name, vips }, i) =>
      vips.map(({ vip }, j) => ({
        path: ["networks", i, "vips", j],
        vip: inNetwork(addressOf(vip), name),
      }))
    ),
  ];
}

/** "networks[0].vips[1]" */
function placeOf(path: Remark["path"]): string {
  return path.map((part) => typeof part === "number" ? `[${part}]` : `.${part}`).join("").slice(1);
}

/** Each prefix has one owner in its network. A longer prefix inside another is fine: the longest one wins. */
function* ownership(form: FileForm): Generator<Step> {
  const owners = new Map<string, { owner: string; where: string; local: boolean }>();
  const local = localVips(form);
  if (local.length === 0) yield { path: ["vips"], text: "is empty: name at least 1" };
  for (const { vip, path } of local) {
    const first = owners.get(vip);
    if (first) yield { path, text: `${vip} is there twice: it is ${first.where} already` };
    else owners.set(vip, { owner: form.id, where: placeOf(path), local: true });
  }
  for (const [i, peer] of form.peers.entries()) {
    yield;
    for (const [j, vip] of peer.vips.entries()) {
      const path = ["peers", i, "vips", j];
      const first = owners.get(vip);
      if (!first) {
        owners.set(vip, { owner: peer.id, where: `peers[${i}].vips[${j}]`, local: false });
      } else if (first.local) {
        yield {
          path,
          text: `${vip} belongs to this host (${first.where}): give it to one of the two`,
        };
      } else {
        yield {
          path,
          text: first.where.startsWith(`peers[${i}]`)
            ? `${vip} is there twice: it is ${first.where} already`
            : `${vip} belongs to peer "${first.owner}" (${first.where}) too: give it to one of the two, ` +
              `or make one prefix longer`,
        };
      }
    }
  }
}

/** Networks: told apart by name and by cookie, and named wherever they are spoken of. */
function* networkRules(form: FileForm): Generator<Step> {
  const networks = form.networks ?? [];
  const names = new Set(networks.map(({ name }) => name));
  const known = networks.length === 0
    ? "there are no networks"
    : `networks has ${[...names].map((name) => `"${name}"`).join(", ")}`;
  const unknown = (vip: string): string | undefined => {
    const name = networkOf(vip);
    return name === "" || names.has(name) ? undefined : `network "${name}" is not known: ${known}`;
  };
  for (const [i, { vip }] of form.vips.entries()) {
    const text = unknown(vip);
    if (text !== undefined) yield { path: ["vips", i], text };
  }
  for (const [i, { vips }] of form.peers.entries()) {
    yield;
    for (const [j, vip] of vips.entries()) {
      const text = unknown(vip);
      if (text !== undefined) yield { path: ["peers", i, "vips", j], text };
    }
  }
  const ports = new Map<string, string>();
  for (const [i, { name, vc, vips, ports: own, policy }] of networks.entries()) {
    const path = ["networks", i];
    if (networks.findIndex((other) => other.name === name) < i) {
      yield { path: [...path, "name"], text: `"${name}" is there twice` };
    }
    const other = networks.findIndex((other) => other.vc === vc);
    if (other < i) {
      yield { path: [...path, "vc"], text: `${vc} is that of networks[${other}] too` };
    }
    for (const [j, port] of own.entries()) {
      const owner = ports.get(port);
      if (owner !== undefined) {
        yield { path: [...path, "ports", j], text: `"${port}" is of network "${owner}" already` };
      } else ports.set(port, name);
    }
    const told = [
      ...vips.map(({ vip }, j) => ({ path: [...path, "vips", j], vip })),
      ...policy.deny.map((vip, j) => ({ path: [...path, "policy", "deny", j], vip })),
    ];
    for (const { path, vip } of told) {
      if (networkOf(vip) === "" || networkOf(vip) === name) continue;
      yield { path, text: `${vip} is of another network than "${name}"` };
    }
  }
}

function* identities(form: FileForm): Generator<Remark> {
  const seen = new Map<string, number>();
  for (const [i, peer] of form.peers.entries()) {
    const path = ["peers", i, "id"];
    const first = seen.get(peer.id);
    if (peer.id === form.id) {
      yield {
        path,
        text: `"${peer.id}" is this host's own id: remove this peer, or mend one of the ids`,
      };
    } else if (first !== undefined) {
      yield {
        path,
        text: `"${peer.id}" is the id of peers[${first}] too: each peer needs its own`,
      };
    } else seen.set(peer.id, i);
  }
  if (form.security.deny.some((who) => who === form.id)) {
    yield { path: ["security", "deny"], text: `denies this host itself ("${form.id}")` };
  }
}

function* control(form: FileForm): Generator<Remark> {
  const { rpc } = form;
  if (!rpc.tls && !rpc.insecure) {
    yield {
      path: ["rpc", "tls"],
      text:
        'is missing: name the files of this host\'s certificate, { "cert": "h1.crt", "key": "h1.key", ' +
        '"ca": "ca.crt" } ("psp-agent pki" makes them for a trial)',
    };
  }
  if (rpc.tls && rpc.insecure) {
    yield {
      path: ["rpc", "insecure"],
      text: "is true although rpc.tls is there: remove one of the two",
    };
  }
  if (rpc.require_pq && !rpc.tls) {
    yield {
      path: ["rpc", "require_pq"],
      text: "is true without rpc.tls: there is no key exchange",
    };
  }
  if (form.tunnel.back_off.ms > form.tunnel.back_off_max.ms) {
    yield {
      path: ["tunnel", "back_off_max"],
      text: "is shorter than tunnel.back_off: make it longer",
    };
  }
  if (rpc.peer_burst < rpc.peer_rate) {
    yield { path: ["rpc", "peer_burst"], text: "is smaller than rpc.peer_rate: make it larger" };
  }
}

function* statusListener(form: FileForm): Generator<Remark> {
  const { status, rpc } = form;
  const { host } = parseHostPort(status.listen);
  if (!status.tls && !isLoopback(host)) {
    yield {
      path: ["status", "listen"],
      text:
        `"${status.listen}" is reachable from outside: it needs status.tls (client certificates, or ` +
        "with status.token_file a bearer token), or listen on 127.0.0.1",
    };
  }
  const control = rpc.listen ?? defaultListen(form.pip);
  for (const other of [control, status.listen]) {
    if (status.metrics_listen === undefined || !sameListener(status.metrics_listen, other)) {
      continue;
    }
    const key = other === control ? "rpc.listen" : "status.listen";
    yield {
      path: ["status", "metrics_listen"],
      text: `"${status.metrics_listen}" and ${key} ("${other}") are one port: choose another`,
    };
  }
  if (sameListener(status.listen, control)) {
    yield {
      path: ["status", "listen"],
      text: status.listen === control
        ? "is the same as rpc.listen: choose another port"
        : `"${status.listen}" and rpc.listen ("${control}") are one port: choose another`,
    };
  }
}

function* directoryRules({ directory: { etcd } }: FileForm): Generator<Remark> {
  if (etcd === undefined) return;
  const at = (...path: readonly (string | number)[]) => ["directory", "etcd", ...path];
  for (const [i, endpoint] of etcd.endpoints.entries()) {
    const { protocol, hostname } = new URL(endpoint);
    if (protocol === "https:" && etcd.tls === undefined) {
      yield {
        path: at("tls"),
        text:
          `is missing: "${endpoint}" is checked with the certificates of { "ca": "etcd-ca.crt" }`,
      };
    }
    if (protocol === "http:" && !isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"))) {
      yield {
        path: at("endpoints", i),
        text:
          `"${endpoint}" is reached in clear text, and whoever is on the way could name peers: use https`,
      };
    }
  }
  const { tls } = etcd;
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    yield { path: at("tls"), text: "names one of cert and key: both are needed, or none" };
  }
  if ((etcd.user === undefined) !== (etcd.password_file === undefined)) {
    yield { path: at("user"), text: "and password_file belong together: name both, or none" };
  }
}

function* planeRules(form: FileForm): Generator<Remark> {
  const { plane } = form;
  if (plane.kind === "soft") {
    if (isPattern(plane.uplink)) {
      yield {
        path: ["plane", "uplink"],
        text: `"${plane.uplink}" is a pattern: name the one interface towards the other hosts`,
      };
    }
    yield* hostPorts({ ...plane, key: "host" }, form);
  } else {
    yield* hostPorts(
      { ...plane, uplink: plane.pci, key: "representor", host: plane.representor },
      form,
    );
  }
  const gmac = form.psp.versions.findIndex((version) => version.startsWith("aes-gmac"));
  if (plane.kind === "doca" && gmac >= 0) {
    yield {
      path: ["psp", "versions", gmac],
      text: `"${
        form.psp.versions[gmac]
      }" is not there in hardware: use "aes-gcm-256" or "aes-gcm-128"`,
    };
  }
}

interface HostPortsForm {
  readonly uplink: string;
  /** Of `plane`, and what it says. */
  readonly key: "host" | "representor";
  readonly host: string | readonly string[];
  readonly ports?: FileForm["plane"]["ports"];
}

/** Host ports, and what the configuration says of each. */
function* hostPorts(
  { uplink, key, host, ports = [] }: HostPortsForm,
  form: FileForm,
): Generator<Remark> {
  const own = (form.networks ?? []).flatMap((network) => network.ports);
  const names = [host].flat();
  for (const [i, name] of names.entries()) {
    const path = Array.isArray(host) ? ["plane", key, i] : ["plane", key];
    if (name === uplink) {
      yield { path, text: `"${name}" is the uplink too: two interfaces are needed` };
    }
    if (names.indexOf(name) < i) yield { path, text: `"${name}" is there twice` };
  }
  const owners = new Map<string, string>();
  const local = new PrefixTable<true>();
  for (const { vip } of localVips(form)) add(local, vip);
  for (const [i, { name, vips }] of ports.entries()) {
    const path = ["plane", "ports", i];
    if (![...names, ...own].some((pattern) => pattern === name || matchesName(pattern, name))) {
      yield { path: [...path, "name"], text: `"${name}" is none of plane.${key}` };
    }
    if (ports.findIndex((port) => port.name === name) < i) {
      yield { path: [...path, "name"], text: `"${name}" is there twice` };
    }
    for (const [j, vip] of vips.entries()) {
      const owner = owners.get(vip);
      if (owner !== undefined) {
        yield { path: [...path, "vips", j], text: `${vip} is on port "${owner}" already` };
      } else owners.set(vip, name);
      if (!isWithin(local, vip)) {
        yield {
          path: [...path, "vips", j],
          text: `${vip} is not this host's: name it, or a prefix around it, in vips too`,
        };
      }
    }
  }
}

function add(table: PrefixTable<true>, vip: string): void {
  const prefix = parsePrefix(vip);
  if (prefix !== undefined) table.add(prefix, true);
}

/** Whether a prefix lies in one of the table. */
function isWithin(table: PrefixTable<true>, vip: string): boolean {
  const prefix = parsePrefix(vip);
  return prefix !== undefined && table.covering(prefix) !== undefined;
}

/** Addresses with which some packet or request could never arrive. */
function* addressProblems(form: FileForm): Generator<Step> {
  for (const [i, peer] of form.peers.entries()) {
    yield;
    for (const { path, text } of peerAddressProblems(form, peer)) {
      yield { path: ["peers", i, ...path], text };
    }
  }
  yield* workloads(form);
}

/** Addresses that may be meant so. */
function* addressWarnings(form: FileForm): Generator<Remark> {
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
function sameListener(a: string, b: string): boolean {
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
