// SPDX-License-Identifier: Apache-2.0

/**
 * SIGHUP, a command, or a configuration file that has changed: what it says now comes into force, as far as an agent
 * can take it while it runs. What it cannot take is refused with its name, and then all of it: nothing is half in force.
 */
import type { Plane } from "../../ffi/plane.ts";
import {
  changedKeys,
  inParts,
  type LiveConfig,
  manyPeerChanges,
  type PeerChanges,
  peerChanges,
  restartKeys,
  sameValue,
} from "../config/changes.ts";
import { type Config, hasCookies, type TlsFiles } from "../config/config.ts";
import type { Core } from "../core/core.ts";
import { PREFIXES_AT_ONCE, type Sources } from "../directory/sources.ts";
import type { DirectoryChanged, DirectoryChanges, Peers } from "../core/directory.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { cookieOf, networkOf } from "../model/network.ts";
import { Slices } from "../model/slices.ts";
import type { ReloadView } from "../model/status.ts";
import type { FlowTable } from "../plane/flow_table.ts";
import type { HostPorts } from "../plane/host_ports.ts";
import type { LocalFlows } from "../plane/local_flows.ts";
import type { Workloads } from "../plane/workloads.ts";
import type { RpcClient } from "../rpc/client.ts";
import { isDenied, type Trust } from "../rpc/identity.ts";
import type { RpcServer } from "../rpc/server.ts";
import type { StatusServer } from "../rpc/status_server.ts";
import type { TlsStore } from "../rpc/tls_store.ts";
import type { Notify } from "./notify.ts";

/** Who follows the directory. */
export interface Followers {
  readonly live: Pick<LiveConfig, "view">;
  readonly peers: Peers;
  readonly core: Pick<Core, "change">;
  readonly server: Pick<RpcServer, "setTrust">;
  readonly client: Pick<RpcClient, "setTrust">;
  readonly flows: Pick<FlowTable, "refreshNextHop">;
  /** Of the soft plane. */
  readonly local?: Pick<LocalFlows, "follow"> | undefined;
  /** Greets a peer now and then. */
  readonly warm: { add(id: string): void };
}

/** What is told of a reload. */
export interface Running extends Followers {
  /** Takes what the file says of peers and vips; the result is what that changes. */
  readonly sources: Pick<Sources, "file" | "judgeAgain" | "alone">;
  /** Opens these sources as a configuration has them, in the place of those that there are, or ends them. */
  readonly openSources: (config: Config, names: readonly ("peers.d" | "etcd")[]) => void;
  readonly live: LiveConfig;
  readonly core: Pick<Core, "change" | "configChanged" | "deny">;
  readonly server: Pick<RpcServer, "setTrust" | "setLimits" | "presented">;
  readonly status: Pick<StatusServer, "reload" | "setTrust" | "setOrigins" | "follow">;
  readonly client: Pick<RpcClient, "setTrust" | "setLimits" | "presented">;
  readonly tls: Pick<TlsStore, "reload" | "follow"> | undefined;
  readonly hosts: Pick<HostPorts, "follow">;
  readonly workloads: Pick<Workloads, "follow">;
  readonly plane: Pick<Plane, "limitHold">;
  /** Whether the pipes compare virtualization cookies: without it no peer can have one. */
  readonly hasVc: boolean;
  readonly log: Log;
  /** From now on lines are written so. */
  readonly logAs: (settings: Config["log"]) => void;
  readonly notify: Pick<Notify, "reloading" | "ready">;
  /** The agent ends: what is not done yet stays undone. */
  readonly signal: AbortSignal;
}

/** Whom the RPC side believes: the peers that there are at the moment of the question. */
export function trustOf({ domain, security }: Config, peers: Peers): Trust {
  return { domain, peers, deny: security.deny };
}

/** Makes changes of the directory: core, trust, client, listener and next hops follow. */
export function follow(changes: DirectoryChanges, parts: Followers): DirectoryChanged {
  const { live, peers, core, server, client, flows, warm } = parts;
  const done = core.change(changes);
  if (done.gained || done.localLost) parts.local?.follow(peers, { local: done.localLost });
  const trust = trustOf(live.view, peers);
  const ids = [...changes.changed.map(({ id }) => id), ...changes.removed];
  client.setTrust(trust, ids);
  server.setTrust(trust, ids);
  for (const { before, after } of done.changed) {
    const pip = peers.pipOf(after.id);
    if (before.nextHopMac !== after.nextHopMac && pip !== undefined) flows.refreshNextHop(pip);
  }
  for (const { id } of done.added) warm.add(id);
  return done;
}

/**
 * Takes the files anew, or with `plan` only says what that would do. A file that cannot be used changes nothing, and
 * neither does one that asks for what needs a new start. Never rejects.
 */
export async function reload(
  read: () => Promise<Config>,
  running: Running,
  { plan = false }: { readonly plan?: boolean } = {},
): Promise<ReloadView> {
  const { live, tls, status, log, notify } = running;
  if (!plan) {
    notify.reloading();
    tls?.reload();
    status.reload();
  }
  let view: ReloadView;
  try {
    const next = await read();
    const slices = new Slices();
    const peers = await manyPeerChanges(live.now.peers, next.peers, slices);
    view = planOf(live.now, next, { hasVc: running.hasVc, peers });
    if (!plan && view.done) {
      await running.sources.alone(() => apply(next, { running, peers, slices }));
    }
  } catch (error) {
    view = { ...NOTHING, message: messageOf(error) };
  }
  if (plan) return view;
  const { done, message, keys, added, removed, changed } = view;
  if (done) {
    log.info("Configuration reloaded", { added, removed, changed, reason: keys.join(", ") });
  } else log.error("Configuration not reloaded", { reason: message });
  notify.ready();
  return view;
}

const NOTHING: ReloadView = {
  done: false,
  message: "",
  added: 0,
  removed: 0,
  changed: 0,
  keys: [],
  restartKeys: [],
};

/** What a reload would do. */
export function planOf(
  before: Config,
  after: Config,
  { hasVc, peers = peerChanges(before.peers, after.peers) }: Pick<Running, "hasVc"> & {
    readonly peers?: PeerChanges;
  },
): ReloadView {
  const { changed, removed } = peers;
  const known = new Set(before.peers.map(({ id }) => id));
  const added = changed.filter(({ id }) => !known.has(id)).length;
  const restart = restartKeys(before, after, { hasVc, peers });
  const counts = {
    added,
    removed: removed.length,
    changed: changed.length - added,
    keys: changedKeys(before, after).filter((key) => !restart.includes(key)),
  };
  return {
    ...counts,
    done: restart.length === 0,
    message: restart.length === 0 ? summary(counts) : refusal(restart),
    restartKeys: restart,
  };
}

function summary(
  { added, removed, changed, keys }: Omit<ReloadView, "done" | "message" | "restartKeys">,
) {
  const peers = added + removed + changed === 0
    ? []
    : [`peers: ${added} added, ${removed} removed, ${changed} changed`];
  const parts = [...peers, ...keys];
  return parts.length === 0 ? "Nothing has changed" : parts.join("; ");
}

function refusal(keys: readonly string[]): string {
  return `Cannot change ${
    keys.join(", ")
  } while the agent runs: restart it, or take the change back; ` +
    "nothing else of the file is in force either";
}

/**
 * All of it can be taken. What may still fail (files of TLS, memory of the plane) comes first. Peers come last, some at a
 * time: whatever else the agent has to do goes on between.
 */
async function apply(
  next: Config,
  given: { readonly running: Running; readonly peers: PeerChanges; readonly slices: Slices },
): Promise<void> {
  const { running, slices } = given;
  const { live, core, server, status, client, tls, plane, logAs } = running;
  const before = live.now;
  const parts = await inParts(given.peers, {
    before: before.peers,
    vips: { before: prefixesOf(before), after: prefixesOf(next) },
    most: PREFIXES_AT_ONCE,
    slices,
  });
  const keys = changedKeys(before, next);
  const has = (prefix: string) => keys.some((key) => key.startsWith(prefix));
  const takeTls = followed(tls, before.rpc.tls, next.rpc.tls);
  const takeStatusTls = followed(status, before.status.tls, next.status.tls);
  if (has("hold.")) plane.limitHold(next.hold);

  live.replace(next);
  takeTls?.();
  takeStatusTls?.();
  if (has("log.")) logAs(next.log);
  if (has("rpc.")) {
    server.setLimits(next.rpc);
    client.setLimits(next.rpc);
  }
  if (has("status.")) status.setOrigins(next.status.origins);
  core.configChanged(keys);
  const [first = NOBODY, ...others] = parts;
  applyOwners({ before, next, first }, running);
  applySources(before, next, running);
  if (has("security.")) applyDenied(next, running);
  for (const part of others) {
    await slices.next();
    if (running.signal.aborted) return;
    follow(running.sources.file(part), running);
  }
}

const NOBODY: PeerChanges = { changed: [], removed: [] };

function prefixesOf({ vips }: Config): readonly string[] {
  return vips.map(({ vip }) => vip);
}

function applyDenied(next: Config, running: Running): void {
  const { core, server, status, client, peers, log } = running;
  const trust = trustOf(next, peers);
  // A certificate is denied, not its owner: tunnels that it opened end, and he may open new ones with another.
  const stolen = [server, client].flatMap((side) =>
    [...side.presented()].filter(([, print]) => isDenied("", print, trust)).map(([id]) => id)
  );
  const { deny } = next.security;
  const denied = core.deny([...deny, ...stolen]);
  core.deny(deny);
  server.setTrust(trust);
  status.setTrust(trust);
  client.setTrust(trust);
  log.info("The deny list is in force", { count: denied.length });
}

/** Who is where: ports, networks, this host's addresses and the first of the file's peers. */
function applyOwners(
  { before, next, first: changes }: {
    readonly before: Config;
    readonly next: Config;
    readonly first: PeerChanges;
  },
  running: Running,
): void {
  const { core, peers, sources, hosts, workloads, local } = running;
  const differs = (key: "vips" | "networks" | "plane") => !sameValue(before[key], next[key]);
  // A port that goes takes with it what waits there: nothing of its old network is left when it comes with another.
  if (differs("plane") || differs("networks")) hosts.follow(next);
  const others = otherCookies(before, next);
  if (others.size > 0) {
    // On the wire it is another network: the old one goes, tunnels and all, before the new one comes.
    const rest = before.vips.filter(({ vip }) => !others.has(networkOf(vip)));
    core.change({ changed: [], removed: [], vips: rest.map(({ vip }) => vip) });
    local?.follow(peers, { local: true });
  }
  const prefixes = prefixesOf(next);
  const vips = differs("vips") ? prefixes : undefined;
  const networks = differs("networks") ? next.networks ?? [] : undefined;
  if (
    changes.changed.length + changes.removed.length > 0 || vips !== undefined ||
    networks !== undefined
  ) {
    const file = sources.file(changes, vips);
    follow({ ...file, vips: others.size > 0 ? prefixes : vips, networks }, running);
  }
  if (
    differs("vips") || differs("networks") || differs("plane") ||
    hasCookies(before) !== hasCookies(next)
  ) workloads.follow({ vips: next.vips, rules: next.plane.ports ?? [] });
}

/** Where more peers come from, and what their records are judged by. */
function applySources(before: Config, next: Config, running: Running): void {
  const names = ({ networks = [] }: Config) => networks.map(({ name }) => name).sort();
  if (!sameValue(names(before), names(next))) running.sources.judgeAgain();
  const [was, is] = [before.directory, next.directory];
  const others = [
    ...was.dir === is.dir ? [] : ["peers.d" as const],
    ...sameValue(was.etcd, is.etcd) ? [] : ["etcd" as const],
  ];
  if (others.length > 0) running.openSources(next, others);
}

/** Networks that have another cookie than before. */
function otherCookies({ networks = [] }: Config, next: Config): ReadonlySet<string> {
  return new Set(
    networks.flatMap(({ name, vc }) => {
      const cookie = cookieOf(`@${name}`, next.networks);
      return cookie === undefined || cookie === vc ? [] : [name];
    }),
  );
}

/** Takes other TLS files, where they are others. Throws `ConfigError` when they cannot be used. */
function followed(
  store: { follow(files: TlsFiles): () => void } | undefined,
  before: TlsFiles | undefined,
  after: TlsFiles | undefined,
): (() => void) | undefined {
  if (after === undefined || sameValue(before, after)) return undefined;
  return store?.follow(after);
}
