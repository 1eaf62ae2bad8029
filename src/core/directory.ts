// SPDX-License-Identifier: Apache-2.0

/**
 * Who owns which address: this host, a peer, or nobody. The longest prefix wins, whoever holds it. A change of that
 * concerns tunnels: those of a peer that is gone close, those of an address that has another owner are made with it, those
 * of a peer with another outer address go there. No other tunnel is looked at.
 */
import type { Plane } from "../../ffi/plane.ts";
import type { PeerChanges } from "../config/changes.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Log } from "../model/log.ts";
import { type Denies, networkOf, policyOf, type PolicySettings } from "../model/network.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import { canonicalVip, parsePrefix, type Prefix, PrefixTable } from "../model/vip.ts";
import { CLEAR_HOLD_OFF_MS, MAX_CONTROLS, SETTLE_MS } from "./limits.ts";
import type { Misses } from "./misses.ts";
import type { PeerLines } from "./peer.ts";
import { SortedNames } from "./sorted.ts";
import { isAsking, isLive } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** Who has a prefix, and since when: of `Clock.now`, -Infinity: from the start. `id` undefined: this host. */
interface Owner {
  readonly id: string | undefined;
  readonly since: number;
}

/** What is to be different. A peer that is in neither list stays as it is, and so do vips that are not named. */
export interface DirectoryChanges extends PeerChanges {
  /** All prefixes of this host; undefined: as before. */
  readonly vips?: readonly string[] | undefined;
  /** All networks, with what their policies deny; undefined: as before. */
  readonly networks?: readonly PolicySettings[] | undefined;
}

/** What a change has changed. */
export interface DirectoryChanged {
  readonly added: readonly PeerConfig[];
  /** As they were. */
  readonly removed: readonly PeerConfig[];
  readonly changed: readonly { readonly before: PeerConfig; readonly after: PeerConfig }[];
  /** Some of their tunnels may be somebody else's now: they had a prefix, or what a longer one was taken out of. */
  readonly suspects: ReadonlySet<string>;
  /** Somebody has an address that had another owner, or none. */
  readonly gained: boolean;
  /** Addresses that were this host's are not any more. */
  readonly localLost: boolean;
}

/** The directory of peers and of vips: as the configuration and other sources give them, and as peers are met. */
export class Peers {
  readonly #byId = new Map<string, PeerConfig>();
  readonly #names = new SortedNames();
  readonly #owners = new PrefixTable<Owner>();
  #local: ReadonlySet<string> = new Set();
  readonly #pips = new Map<string, string>();
  readonly #byPip = new SetsByKey();
  /** Where the control channel with a peer goes to or comes from, the latest last. */
  readonly #controls = new Map<string, Set<string>>();
  readonly #byControl = new SetsByKey();
  /** Ids in lower case, as DNS names are compared. */
  readonly #folded = new SetsByKey();
  /** Addresses that no peer has for this host, by the policy of their network. */
  #denies: Denies;
  #policies: ReadonlyMap<string, string>;
  readonly #domain: string;
  #deny: ReadonlySet<string>;

  constructor(config: Pick<Config, "domain" | "vips" | "peers" | "security" | "networks">) {
    this.#domain = config.domain;
    this.#deny = new Set(config.security.deny);
    this.#denies = policyOf(config.networks);
    this.#policies = textsOf(config.networks);
    const vips = config.vips.map(({ vip }) => vip);
    this.apply({ changed: config.peers, removed: [], vips }, -Infinity);
  }

  /** Makes the changes, all of them at once. `now` is of `Clock.now`. */
  apply({ changed, removed, vips, networks }: DirectoryChanges, now: number): DirectoryChanged {
    const after = new Map<string, PeerConfig | undefined>(removed.map((id) => [id, undefined]));
    for (const peer of changed) after.set(peer.id, peer);
    const suspects = new Set<string>(networks && this.#judgeBy(networks));
    const isJudgedAnew = suspects.size > 0;
    const given: { readonly vip: string; readonly owner: Owner }[] = [];
    const result = {
      added: [] as PeerConfig[],
      removed: [] as PeerConfig[],
      changed: [] as { before: PeerConfig; after: PeerConfig }[],
    };
    const local = vips === undefined ? this.#local : new Set(vips);
    // What is taken away goes first: it may be given to another.
    let localLost = this.#take(this.#local.difference(local));
    for (const vip of local.difference(this.#local)) {
      given.push({ vip, owner: { id: undefined, since: now } });
    }
    this.#local = local;
    for (const [id, peer] of after) {
      const before = this.#byId.get(id);
      const owner = { id, since: now };
      const had = before && new Set(before.vips);
      const has = new Set(peer?.vips);
      if (had !== undefined && this.#take(had.difference(has))) suspects.add(id);
      for (const vip of had === undefined ? has : has.difference(had)) given.push({ vip, owner });
      if (peer === undefined) {
        if (before === undefined) continue;
        this.#forget(id);
        result.removed.push(before);
      } else {
        this.#byId.set(id, peer);
        if (before === undefined) {
          this.#names.add(id);
          this.#folded.add(id.toLowerCase(), id);
          result.added.push(peer);
        } else result.changed.push({ before, after: peer });
        if (peer.pip !== undefined) this.learnPip(id, peer.pip);
        this.learnControl(id, hostOf(peer.svcAddress));
      }
    }
    for (const { vip, owner } of given) {
      const prefix = prefixOf(vip);
      const before = this.#owners.covering(prefix);
      if (before !== undefined && before.id === undefined) localLost = true;
      else if (before?.id !== undefined) suspects.add(before.id);
      this.#owners.add(prefix, owner);
    }
    return { ...result, suspects, gained: given.length > 0 || isJudgedAnew, localLost };
  }

  /** Every peer, denied ones too. */
  all(): readonly PeerConfig[] {
    return [...this.#byId.values()];
  }

  /** The same, without a copy. */
  each(): Iterable<PeerConfig> {
    return this.#byId.values();
  }

  /** Those whose ids are not before `id`, in the order of their ids. */
  *from(id: string): Generator<PeerConfig> {
    for (const name of this.#names.from(id)) {
      const peer = this.#byId.get(name);
      if (peer !== undefined) yield peer;
    }
  }

  /** Peers, denied ones included. */
  get count(): number {
    return this.#byId.size;
  }

  get(id: string): PeerConfig | undefined {
    return this.#byId.get(id);
  }

  /** Whether there is a peer of this id. */
  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** The ids that a DNS name stands for: names are compared without case. */
  named(name: string): readonly string[] {
    return [...this.#folded.of(name.toLowerCase())];
  }

  /** The peer behind an address, whether denied or not. */
  byVip(vip: string): PeerConfig | undefined {
    const id = this.#owners.lookup(vip)?.id;
    return id === undefined || this.#denies(vip) ? undefined : this.#byId.get(id);
  }

  /** Whether the peer speaks for an address: no longer prefix gives it to somebody else. */
  owns(id: string, vip: string): boolean {
    return this.#owners.lookup(vip)?.id === id && !this.#denies(vip);
  }

  /** Whether an address is a workload's on this host. */
  isLocal(vip: string): boolean {
    const owner = this.#owners.lookup(vip);
    return owner !== undefined && owner.id === undefined;
  }

  /** Since when an address has the owner that it has: of `Clock.now`, -Infinity: from the start. */
  ownedSince(vip: string): number {
    return this.#owners.lookup(vip)?.since ?? -Infinity;
  }

  /**
   * The peers whose packets may come from an outer address: whom the configuration says, or all that have said so
   * themselves or have their control channel there, since none of them can take it from another. A peer says its
   * outer address in an answer only: whoever relies on that alone does not know the peer whose answers are lost.
   */
  byPip(pip: string): readonly string[] {
    const canonical = canonicalVip(pip) ?? pip;
    const ids = new Set(this.#byPip.of(canonical));
    const configured = [...ids].filter((id) => this.#byId.get(id)?.pip !== undefined);
    if (configured.length > 0) return configured;
    for (const id of this.#byControl.of(canonical)) ids.add(id);
    return [...ids];
  }

  /**
   * Remembers where the control channel with a peer goes to (as its name was resolved) or comes from. `address` must
   * be of a connection on which the peer proved its identity, or the configuration's; what is no address is ignored.
   */
  learnControl(id: string, address: string): void {
    const canonical = canonicalVip(address);
    if (canonical === undefined || !this.#byId.has(id)) return;
    const known = this.#controls.get(id) ?? new Set();
    known.delete(canonical);
    known.add(canonical);
    this.#byControl.add(canonical, id);
    for (const oldest of known) {
      if (known.size <= MAX_CONTROLS) break;
      known.delete(oldest);
      this.#byControl.delete(oldest, id);
    }
    this.#controls.set(id, known);
  }

  /** Remembers the outer address of a peer. A configured one stays. True when this was news. */
  learnPip(id: string, pip: string): boolean {
    const canonical = canonicalVip(this.#byId.get(id)?.pip ?? pip);
    const old = this.#pips.get(id);
    if (canonical === undefined || canonical === old) return false;
    if (old !== undefined) this.#byPip.delete(old, id);
    this.#pips.set(id, canonical);
    this.#byPip.add(canonical, id);
    return true;
  }

  /** Unknown, or on the deny list. */
  denied(id: string): boolean {
    return !this.#byId.has(id) || this.#deny.has(id) ||
      this.#deny.has(`spiffe://${this.#domain}/psp/${id}`);
  }

  /** The peers that are on the deny list. */
  allDenied(): readonly string[] {
    const prefix = `spiffe://${this.#domain}/psp/`;
    const ids = [...this.#deny].map((who) =>
      who.startsWith(prefix) ? who.slice(prefix.length) : who
    );
    return [...new Set(ids)].filter((id) => this.#byId.has(id));
  }

  /** Replaces the deny list. */
  setDeny(deny: readonly string[]): void {
    this.#deny = new Set(deny);
  }

  /** The outer address of a peer, as configured or as it said; undefined: not known yet. */
  pipOf(id: string): string | undefined {
    return this.#pips.get(id);
  }

  /** Other policies are in force; those who have addresses where one is another than before. */
  #judgeBy(networks: readonly PolicySettings[]): readonly string[] {
    const [before, after] = [this.#policies, textsOf(networks)];
    this.#policies = after;
    this.#denies = policyOf(networks);
    const others = new Set(
      [...before.keys(), ...after.keys()].filter((name) => before.get(name) !== after.get(name)),
    );
    if (others.size === 0) return [];
    return this.all().filter(({ vips }) => vips.some((vip) => others.has(networkOf(vip))))
      .map(({ id }) => id);
  }

  /** True: there was something to take. */
  #take(vips: Iterable<string>): boolean {
    let any = false;
    for (const vip of vips) any = this.#owners.delete(prefixOf(vip)) || any;
    return any;
  }

  #forget(id: string): void {
    this.#byId.delete(id);
    this.#names.delete(id);
    this.#folded.delete(id.toLowerCase(), id);
    const pip = this.#pips.get(id);
    if (pip !== undefined) this.#byPip.delete(pip, id);
    this.#pips.delete(id);
    for (const address of this.#controls.get(id) ?? []) this.#byControl.delete(address, id);
    this.#controls.delete(id);
  }
}

/** Ids under a key; a key without any is not kept. */
class SetsByKey {
  readonly #sets = new Map<string, Set<string>>();

  of(key: string): ReadonlySet<string> {
    return this.#sets.get(key) ?? NOBODY;
  }

  add(key: string, id: string): void {
    const ids = this.#sets.get(key);
    if (ids === undefined) this.#sets.set(key, new Set([id]));
    else ids.add(id);
  }

  delete(key: string, id: string): void {
    const ids = this.#sets.get(key);
    ids?.delete(id);
    if (ids?.size === 0) this.#sets.delete(key);
  }
}

const NOBODY: ReadonlySet<string> = new Set();

/** What each network that denies anything denies, to be compared. */
function textsOf(networks: readonly PolicySettings[] | undefined): ReadonlyMap<string, string> {
  return new Map(
    (networks ?? []).flatMap(({ name, policy: { deny } }) =>
      deny.length === 0 ? [] : [[name, [...deny].sort().join()] as const]
    ),
  );
}

function prefixOf(vip: string): Prefix {
  const prefix = parsePrefix(vip);
  if (prefix === undefined) throw new RangeError(`Cannot read prefix "${vip}"`);
  return prefix;
}

/** The host of "host:port", without the brackets of IPv6. */
export function hostOf(svcAddress: string): string {
  return svcAddress.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

// ---- what a change does to tunnels --------------------------------------------------------------

/** What it takes to follow a change. */
export interface MovesOptions {
  readonly peers: Peers;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly misses: Pick<Misses, "want">;
  readonly plane: Pick<Plane, "dropHeld" | "clearHoldOff">;
  readonly clock: Clock;
  readonly log: Log;
  /** All that is remembered of a peer goes. */
  readonly forget: (peer: string) => void;
}

/** A pair that is being made with its new owner. */
interface Moving {
  readonly pair: VipPair;
  readonly until: number;
}

/** The core's part of a change. */
export class Moves {
  readonly #options: MovesOptions;
  readonly #moving = new Map<string, Moving>();
  #clear = false;
  #clearedAt = -Infinity;

  constructor(options: MovesOptions) {
    this.#options = options;
  }

  /** Makes the changes, and acts upon what they changed. */
  apply(changes: DirectoryChanges): DirectoryChanged {
    const { peers, table, lines, clock, forget } = this.#options;
    const done = peers.apply(changes, clock.now());
    table.together(() => {
      for (const id of done.suspects) for (const tunnel of table.ofPeer(id)) this.#settle(tunnel);
      if (done.localLost) { for (const tunnel of [...table.all()]) this.#settle(tunnel); }
    });
    for (const { id } of done.removed) forget(id);
    for (const { before, after } of done.changed) {
      if (before.svcAddress !== after.svcAddress) lines.of(after.id).recovered();
      if (!saysOther(before, after)) continue;
      for (const tunnel of table.ofPeer(after.id)) {
        table.apply(tunnel, { type: "peer_changed", pip: after.pip });
      }
    }
    // What went to nobody may go to somebody now.
    if (done.gained) this.#clear = true;
    this.tick();
    return done;
  }

  /** Asks again for what has not come to its new owner yet. */
  tick(): void {
    const { table, misses, peers, plane, clock } = this.#options;
    const now = clock.now();
    if (this.#clear && now - this.#clearedAt >= CLEAR_HOLD_OFF_MS) {
      this.#clear = false;
      this.#clearedAt = now;
      plane.clearHoldOff();
    }
    for (const [key, { pair, until }] of this.#moving) {
      const state = table.get(key)?.state;
      if ((state !== undefined && isLive(state)) || now >= until) this.#moving.delete(key);
      else if (state === undefined || !isAsking(state)) {
        const owner = peers.byVip(pair.remoteVip);
        if (owner !== undefined) misses.want(pair, owner.id);
      }
    }
  }

  /** The tunnel goes to whom its addresses belong now. */
  #settle(tunnel: Tunnel): void {
    const { peers, table, plane, clock, log } = this.#options;
    const { pair, peer, state } = tunnel;
    const isLocal = peers.isLocal(pair.localVip);
    const owner = isLocal ? peers.byVip(pair.remoteVip)?.id : undefined;
    if (owner === peer) return;
    const flows = state.kind === "opening" ? state.flows : [];
    const isWanted = isLive(state) || isAsking(state);
    // Without its entry the pair misses, and its packets are held: none goes to the old owner, and none in clear.
    table.apply(tunnel, { type: "moved" });
    log.debug("A tunnel ends: its addresses have another owner", {
      peer,
      ...pair,
      identity: owner,
    });
    if (owner === undefined || peers.denied(owner)) {
      for (const flow of flows) plane.dropHeld(flow, isLocal ? "no_peer" : "refused", 0);
      return;
    }
    if (!isWanted) return;
    this.#moving.set(pairKey(pair), { pair, until: clock.now() + SETTLE_MS });
    const next = table.ensure(pair, owner);
    for (const flow of flows) table.apply(next, { type: "miss", flow });
    table.apply(next, { type: "wanted" });
  }
}

/** Whether it is of any concern to the SAs with the peer. */
function saysOther(before: PeerConfig, after: PeerConfig): boolean {
  return before.pip !== after.pip || before.vc !== after.vc;
}
