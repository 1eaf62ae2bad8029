// SPDX-License-Identifier: Apache-2.0

/**
 * What a new configuration changes: which peers come, go and are others, which keys say something else, and which of
 * those a running agent cannot take. All of it follows from the schema.
 */
import {
  comparesCookies,
  type Config,
  fileKey,
  hasManyHosts,
  isTree,
  type PeerConfig,
} from "./config.ts";
import type { Slices } from "../model/slices.ts";
import type { FileForm, FilePath, Span } from "./schema.ts";

/** Whether a changed key comes into force in a running agent, or when it is started again. */
type When = "live" | "restart";

/** One word for all of a part of the file, or one for each key in it. */
type Applies<T> = T extends
  readonly unknown[] | Span | FilePath | string | number | bigint | boolean ? When
  : When | { readonly [K in keyof T]-?: Applies<Exclude<T[K], undefined>> };

/** Of every key of the file. One that is not here does not compile. */
export const APPLIES: { readonly [K in keyof FileForm]-?: Applies<FileForm[K]> } = {
  id: "restart",
  domain: "restart",
  state_dir: "restart",
  pip: "restart",
  gateway_mac: "restart",
  vips: "live",
  // Where the pipes compare cookies.
  networks: "live",
  // The plane is opened with them.
  plane: {
    kind: "restart",
    uplink: "restart",
    // Of a list, in software.
    host: "live",
    ports: "live",
    backend: "restart",
    host_guard: "restart",
    workers: "restart",
    cpus: "restart",
    busy_poll_us: "restart",
    max_entries: "restart",
    next_hop_mac: "restart",
    uplink_vlan: "restart",
    library: "restart",
    pci: "restart",
    representor: "restart",
    cores: "restart",
    hugepages_mb: "restart",
    max_crypto_ids: "restart",
    actions_memory_mb: "restart",
    mbufs: "restart",
    devargs: "restart",
    dpdk_representor: "restart",
    inspect: "restart",
    flow_mode: "restart",
  },
  psp: {
    versions: "restart",
    mode: "restart",
    crypt_offset: "live",
    max_crypt_offset: "live",
    sample_rate_log2: "restart",
    sample_bytes: "restart",
    copy_dscp: "restart",
    mss_clamp: "restart",
    ttl: "restart",
    // SAs that are made from now on.
    replay_window: "live",
    path_mtu: "restart",
  },
  hold: "live",
  rpc: {
    listen: "restart",
    tls: "live",
    insecure: "restart",
    require_pq: "restart",
    timeout: "live",
    attempts: "live",
    max_connections: "live",
    handshake_timeout: "live",
    max_message_bytes: "restart",
    peer_rate: "live",
    peer_burst: "live",
  },
  status: {
    listen: "restart",
    admin: "restart",
    origins: "live",
    tls: "live",
    token_file: "restart",
    loopback: "restart",
    socket: "restart",
    socket_group: "restart",
    metrics_listen: "restart",
  },
  tunnel: {
    // A form of the pipes.
    on_demand: "restart",
    // Read at a start and at no other time.
    restore: "live",
    life: "live",
    life_packets: "live",
    idle: "live",
    grace: "live",
    back_off: "live",
    back_off_max: "live",
    peer_share: "live",
    source_share: "live",
  },
  rotation: "live",
  security: "live",
  log: "live",
  directory: "live",
  peers: "live",
};

/**
 * The keys that differ and that a running agent cannot take, in the order of the file. `hasVc`: whether its pipes compare
 * cookies; by default as the configuration before wants it.
 */
export function restartKeys(
  before: Config,
  after: Config,
  { hasVc = comparesCookies(before), peers }: {
    readonly hasVc?: boolean | undefined;
    /** What of the peers differs, where it is known. */
    readonly peers?: PeerChanges | undefined;
  } = {},
): readonly string[] {
  const keys = differences(withoutPeers(before), withoutPeers(after));
  const cookies = hasVc ? [] : (peers ?? peerChanges(before.peers, after.peers)).changed
    .filter(({ vc }) => vc !== undefined);
  return [
    ...keys.filter((key) =>
      appliesWhen(key, before, after) === "restart" ||
      needsOtherForm(key, { before, after, hasVc })
    ),
    ...cookies.map(({ id }) => `peers[${id}].vc`),
  ];
}

/** Whether it takes other pipes, or ports that hardware has to be opened with. */
function needsOtherForm(
  key: string,
  { before, after, hasVc }: { readonly before: Config; readonly after: Config; hasVc: boolean },
): boolean {
  const portsComeAndGo = [before, after].every(({ plane }) =>
    plane.kind === "soft" && hasManyHosts(plane)
  );
  if (key.startsWith("networks")) {
    return !hasVc || !portsComeAndGo && !sameValue(portsOf(before), portsOf(after));
  }
  if (key === "plane.host") return !portsComeAndGo;
  if (!key.startsWith("plane.ports")) return false;
  return !portsComeAndGo && !sameValue(limitsOf(before), limitsOf(after));
}

/** Which network has which ports. */
function portsOf({ networks = [] }: Config): object {
  return networks.flatMap(({ name, ports }) => ports.length === 0 ? [] : [{ name, ports }]);
}

/** What ports are opened with. */
function limitsOf({ plane }: Config): object {
  return (plane.ports ?? []).flatMap(({ vips: _vips, mac: _mac, ...port }) =>
    Object.keys(port).length > 1 ? [port] : []
  );
}

/** The keys that differ; peers are told of by `peerChanges`. */
export function changedKeys(before: Config, after: Config): readonly string[] {
  return differences(withoutPeers(before), withoutPeers(after));
}

function withoutPeers(config: Config): object {
  return { ...config, peers: [] };
}

/** When a key such as "rpc.tls.cert" applies. TLS that comes or goes as a whole makes another listener. */
function appliesWhen(key: string, before: Config, after: Config): When {
  let at: unknown = APPLIES;
  for (const part of key.split(/[.[]/)) {
    if (typeof at === "string") break;
    at = (at as Readonly<Record<string, unknown>>)[part];
  }
  if (key === "rpc.tls" && !(before.rpc.tls && after.rpc.tls)) return "restart";
  if (key === "status.tls" && !(before.status.tls && after.status.tls)) return "restart";
  return at === "live" ? "live" : "restart";
}

/**
 * Where two configurations differ, as keys of the file: "psp.ttl", "peers[h2].vips". Objects of a list are
 * compared by their `id` or `name` where they have one; a list of anything else differs as a whole.
 */
export function differences(before: object, after: object): readonly string[] {
  return [...differing(before, after, "")];
}

/** Whether two values of a `Config` say the same. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (!isTree(a) || !isTree(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && sameValue(a[key], b[key]));
}

function* differing(before: unknown, after: unknown, path: string): Generator<string> {
  if (sameValue(before, after)) return;
  const [a, b] = [children(before), children(after)];
  if (a === undefined || b === undefined) return yield path;
  const isList = Array.isArray(before) || Array.isArray(after);
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const [old, now] = [a.get(key), b.get(key)];
    const name = isList ? `[${key}]` : fileKey(key, old ?? now);
    yield* differing(old, now, isList || path === "" ? `${path}${name}` : `${path}.${name}`);
  }
}

/** What tells an object of a list from the others: its id or its name. */
export function listKey(item: unknown): string | undefined {
  if (!isTree(item)) return undefined;
  const key = item.id ?? item.name;
  return typeof key === "string" ? key : undefined;
}

/** The parts of an object, or of a list of objects with ids or names; undefined: compared as a whole. */
function children(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (!Array.isArray(value)) return isTree(value) ? new Map(Object.entries(value)) : undefined;
  const byId = new Map<string, unknown>();
  for (const item of value) {
    const key = listKey(item);
    if (key !== undefined) byId.set(key, item);
  }
  return byId.size === value.length ? byId : undefined;
}

/** Which peers are to come, to go, and to be others. */
export interface PeerChanges {
  /** New ones, and those that say something else than before. */
  readonly changed: readonly PeerConfig[];
  /** Ids. */
  readonly removed: readonly string[];
}

/** What of a list of peers differs. */
export function peerChanges(
  before: readonly PeerConfig[],
  after: readonly PeerConfig[],
): PeerChanges {
  const comparing = new Comparing(before);
  for (const peer of after) comparing.look(peer);
  return comparing.ended();
}

/** The same of very many. */
export async function manyPeerChanges(
  before: readonly PeerConfig[],
  after: readonly PeerConfig[],
  slices: Slices,
): Promise<PeerChanges> {
  const comparing = new Comparing(before);
  for (const peer of after) {
    comparing.look(peer);
    await slices.next();
  }
  return comparing.ended();
}

class Comparing {
  readonly #gone: Map<string, PeerConfig>;
  readonly #changed: PeerConfig[] = [];

  constructor(before: readonly PeerConfig[]) {
    this.#gone = new Map(before.map((peer) => [peer.id, peer]));
  }

  look(peer: PeerConfig): void {
    const old = this.#gone.get(peer.id);
    this.#gone.delete(peer.id);
    if (old === undefined || !sameValue(old, peer)) this.#changed.push(peer);
  }

  ended(): PeerChanges {
    return { changed: this.#changed, removed: [...this.#gone.keys()] };
  }
}

/** A host in a change: its prefixes before and after. */
interface Holder {
  /** Undefined: this host. */
  readonly id: string | undefined;
  readonly peer?: PeerConfig | undefined;
  readonly had: readonly string[];
  readonly has: readonly string[];
}

/** What it costs to change it, in prefixes. */
function weightOf({ id, had, has }: Holder): number {
  return id === undefined ? 0 : 1 + had.length + has.length;
}

/** Which part of a change is made when. */
const TURNS = ["own", "gain", "same", "lose"] as const;

/**
 * A change in parts of so many prefixes, of before and after, which are made one after the other: between two of them each
 * address has the owner from before or the one after. Peers between which a prefix moves are in one part, however many they
 * are; in the first part is what concerns this host's own prefixes. Who only gains has his turn before who only loses, so
 * that what is taken out of a prefix, or given to a wider one, has an owner all the time.
 */
export async function inParts(
  changes: PeerChanges,
  { before, vips, most, slices }: {
    readonly before: readonly PeerConfig[];
    /** Of this host. */
    readonly vips: { readonly before: readonly string[]; readonly after: readonly string[] };
    readonly most: number;
    readonly slices: Slices;
  },
): Promise<readonly PeerChanges[]> {
  const old = new Map(before.map((peer) => [peer.id, peer.vips]));
  const holders: readonly Holder[] = [
    { id: undefined, had: vips.before, has: vips.after },
    ...changes.changed.map((peer) => ({
      ...{ id: peer.id, peer, had: old.get(peer.id) ?? [], has: peer.vips },
    })),
    ...changes.removed.map((id) => ({ id, had: old.get(id) ?? [], has: [] })),
  ];
  if (holders.reduce((sum, holder) => sum + weightOf(holder), 0) <= most) return [changes];
  const leaders = holders.map((_, i) => i);
  const leaderOf = (i: number): number => {
    let at = i;
    for (let up = leaders[at] ?? at; up !== at; up = leaders[at] ?? at) at = up;
    return leaders[i] = at;
  };
  const moved: { readonly gained: ReadonlySet<string>; readonly lost: number }[] = [];
  const losers = new Map<string, number>();
  for (const [i, { had, has }] of holders.entries()) {
    const [was, is] = [new Set(had), new Set(has)];
    const lost = was.difference(is);
    for (const vip of lost) losers.set(vip, i);
    moved.push({ gained: is.difference(was), lost: lost.size });
    await slices.next();
  }
  for (const [i, { gained }] of moved.entries()) {
    for (const vip of gained) {
      const loser = losers.get(vip);
      // The smaller one leads: this host, where it has to do with it.
      if (loser === undefined) continue;
      const [a, b] = [leaderOf(i), leaderOf(loser)];
      leaders[Math.max(a, b)] = Math.min(a, b);
    }
    await slices.next();
  }
  const groups = new Map<number, { gains: boolean; loses: boolean; readonly members: Holder[] }>();
  for (const [i, holder] of holders.entries()) {
    const leader = leaderOf(i);
    const group = groups.get(leader) ?? { gains: false, loses: false, members: [] };
    groups.set(leader, group);
    group.members.push(holder);
    group.gains ||= (moved[i]?.gained.size ?? 0) > 0;
    group.loses ||= (moved[i]?.lost ?? 0) > 0;
    await slices.next();
  }
  const turns = new Map(TURNS.map((turn) => [turn, [] as Holder[][]]));
  for (const [leader, { gains, loses, members }] of groups) {
    const turn = leader === 0 ? "own" : gains === loses ? "same" : gains ? "gain" : "lose";
    turns.get(turn)?.push(members);
  }
  const parts: { changed: PeerConfig[]; removed: string[] }[] = [];
  let part: typeof parts[number] | undefined;
  let weight = 0;
  for (const members of [...turns.values()].flat()) {
    const more = members.reduce((sum, holder) => sum + weightOf(holder), 0);
    if (part === undefined || weight + more > most) {
      parts.push(part = { changed: [], removed: [] });
      weight = 0;
    }
    weight += more;
    for (const { id, peer } of members) {
      if (peer !== undefined) part.changed.push(peer);
      else if (id !== undefined) part.removed.push(id);
    }
  }
  return parts;
}

// ---- the configuration in force -------------------------------------------------------------------

/**
 * The one owner of what the configuration says now. `view` is a `Config` whose sections are always those in force:
 * whoever is given it and reads a key when it needs it follows every reload.
 */
export class LiveConfig {
  #now: Config;
  readonly view: Config;

  constructor(config: Config) {
    this.#now = config;
    this.view = Object.defineProperties({}, this.#getters(config)) as Config;
  }

  /** As it is at this moment. */
  get now(): Config {
    return this.#now;
  }

  /** From here on this one is in force. */
  replace(config: Config): void {
    this.#now = config;
    Object.defineProperties(this.view, this.#getters(config));
  }

  #getters(config: Config): PropertyDescriptorMap {
    const get = (key: keyof Config) => ({
      get: () => this.#now[key],
      enumerable: true,
      configurable: true,
    });
    return Object.fromEntries(
      (Object.keys(config) as (keyof Config)[]).map((key) => [key, get(key)]),
    );
  }
}
