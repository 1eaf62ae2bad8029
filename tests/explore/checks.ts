// SPDX-License-Identifier: Apache-2.0

/** What must hold in every state, and what must come of every state where nothing more goes wrong. */
import type { PeerLine } from "../../src/core/peer.ts";
import { isLive, isUnheard } from "../../src/core/tunnel.ts";
import type { VipPair } from "../../src/model/sa.ts";
import type { WorldHost } from "../sim/host.ts";
import { partsOf } from "../sim/load.ts";
import type { TxEntry } from "../sim/plane.ts";
import type { Ahead as Hashed } from "./canon.ts";
import { type Stage, TICK_MS } from "./stage.ts";

/** Both directions carry packets again within this, once messages pass. */
export const HEAL_MS = 4000;
/** ... and this much later everything is as if nothing had been. */
export const SETTLE_MS = 4000;
const STEP_MS = 50;
const SEND_EVERY_MS = 100;

/** What happened that must not, and what does not hold now. */
export function broken(stage: Stage): string[] {
  const wrong = [...stage.world.violations];
  for (const host of stage.world.hosts) {
    const others = stage.othersOf(host);
    for (const { sa } of [...host.plane.rx.values(), ...host.plane.tx.values()]) {
      if (!others.some(({ id }) => host.peers.owns(id, sa.remoteVip))) {
        wrong.push(`${host.id}: an SA of ${sa.remoteVip}, which has no owner`);
      }
    }
    wrong.push(...sending(stage, host));
    wrong.push(...strays(stage, host));
    wrong.push(...overdue(stage, host));
    for (const spi of stage.voided.get(host.id) ?? []) {
      const entry = host.plane.rx.get(spi);
      if (entry === undefined) continue;
      wrong.push(
        `${host.id}: receives with SPI ${spi}, agreed with a start of ${entry.sa.peer} that is over`,
      );
    }
    const { kept, needed } = keys(host);
    if (kept > needed) wrong.push(`${host.id}: keeps ${kept} keys where ${needed} are needed`);
  }
  return wrong;
}

/** SAs in the plane of which no tunnel knows, those of tunnels that are not in the plane, and any with a peer that is denied. */
function strays(stage: Stage, { id, plane, table }: WorldHost): string[] {
  const wrong: string[] = [];
  const [rx, tx] = [new Set<number>(), new Set<string>()];
  for (const { key, peer, state } of table.all()) {
    for (const { sa: { spi } } of state.rx) {
      rx.add(spi);
      if (!plane.rx.has(spi)) wrong.push(`${id}: ${key} has SPI ${spi}, and the plane has not`);
    }
    if (isLive(state)) {
      tx.add(key);
      const { spi } = state.tx.sa;
      if (plane.tx.get(key)?.sa.spi !== spi) {
        wrong.push(`${id}: ${key} sends with SPI ${spi}, and the plane does not`);
      }
    }
    const has = isLive(state) || state.rx.length > 0;
    if (has && stage.denied.has(`${id} ${peer}`)) {
      wrong.push(`${id}: has SAs with ${peer}, which it denies`);
    }
  }
  for (const spi of plane.rx.keys()) {
    if (!rx.has(spi)) wrong.push(`${id}: receives with SPI ${spi}, and no tunnel has it`);
  }
  for (const key of plane.tx.keys()) {
    if (!tx.has(key)) wrong.push(`${id}: sends in ${key}, and no tunnel is up`);
  }
  return wrong;
}

/** Transmit SAs that are still sent with though their life is over. */
function overdue({ world: { clock } }: Stage, { id, plane }: WorldHost): string[] {
  const wallMs = clock.now() + clock.wallOffsetMs;
  return [...plane.tx.values()]
    .filter(({ sa: { expiresAtMs }, expired }) =>
      !expired && expiresAtMs > 0 && wallMs >= expiresAtMs + TICK_MS
    )
    .map(({ sa: { spi } }) => `${id}: sends with SPI ${spi} beyond its life`);
}

/** Keys that a host keeps, and those in requests under way or unanswered and in answers that may be asked for again. */
function keys({ core }: WorldHost): { readonly kept: number; readonly needed: number } {
  const { keyShares, memory, initiator } = partsOf(core) as unknown as {
    readonly keyShares: { readonly size: number };
    readonly memory: { readonly _byPeer: ReadonlyMap<string, { readonly tunnels: number }> };
    readonly initiator: {
      readonly _places: ReadonlyMap<PeerLine, unknown>;
      readonly _unanswered: ReadonlySet<PeerLine>;
    };
  };
  let needed = 0;
  for (const { asking } of initiator._places.keys()) {
    needed += "call" in asking ? asking.call.offers.length : 0;
  }
  for (const { tunnels } of memory._byPeer.values()) needed += tunnels;
  for (const { asking } of initiator._unanswered) {
    needed += asking.unanswered?.offers.length ?? 0;
  }
  return { kept: keyShares.size, needed };
}

/** Of a host's transmit SAs, those that are of a start that is over, or not received at the other end. */
function sending(stage: Stage, host: WorldHost): string[] {
  const others = stage.othersOf(host);
  return [...host.plane.tx.values()].flatMap((entry) => {
    const other = others.find(({ id }) => host.peers.owns(id, entry.sa.remoteVip));
    return other === undefined ? [] : sendingWith(stage, { host, other, entry });
  });
}

function sendingWith(
  stage: Stage,
  { host, other, entry }: { host: WorldHost; other: WorldHost; entry: TxEntry },
): string[] {
  const { sa } = entry;
  const heard = stage.heard.get(`${host.id} ${other.id}`) ?? 0n;
  if (sa.epoch < heard) {
    return [`${host.id}: sends with SPI ${sa.spi} of a start of ${other.id} that it knows is over`];
  }
  // The other end does not know, or cannot: what heals that is looked at below.
  if (sa.epoch !== other.epochs.at(-1) || stage.isExcused(sa.spi)) return [];
  // Nothing is sent with it any more.
  if (entry.expired) return [];
  if (other.plane.accepts(entry)) return [];
  return [`${host.id}: sends with SPI ${sa.spi} into nothing, and nothing was lost on the way`];
}

/** How a state goes on without bad luck. */
export interface Healing {
  readonly healMs: number;
  readonly settleMs: number;
  readonly wrong: readonly string[];
}

/** What is known of a state that heals: how long it still takes, of virtual time. */
type Ahead = Pick<Healing, "healMs" | "settleMs">;

/** Steps of settling between two looks at whether the rest is known. */
const LOOK_EVERY = 4;

/**
 * Lets messages pass and workloads send, those of one host alone, until the others hear them, then those of the next; and
 * then until all is settled. What follows from a state is the same whenever it is met, so each is gone on from once.
 */
export class Healer {
  readonly #known = new Map<number, Ahead>();

  constructor(readonly stage: Stage) {}

  /** What comes next with each host as the first one that sends: for `Stage.hashes`. */
  aheads(): Hashed[] {
    return this.#aheads(this.stage.world.hosts.map(({ index }) => this.#turnsFrom(index)));
  }

  /**
   * Each of `firsts` is once the first one that sends: the worst of these, or the first that does not heal. `hash`: of the
   * state with what comes next then. The stage is used up; `again` puts it back.
   */
  heal(
    firsts: readonly { readonly first: number; readonly hash: number }[],
    again: () => void,
  ): Healing {
    const turns = firsts.map(({ first }) => this.#turnsFrom(first));
    const hashes = firsts.map(({ hash }) => hash);
    const all = hashes.map((hash) => this.#known.get(hash));
    let later: number[] | undefined;
    let isUsed = false;
    for (const [i, inTurn] of turns.entries()) {
      if (all[i] !== undefined) continue;
      if (isUsed) again();
      isUsed = true;
      this.#calm();
      later ??= this.#hashes(turns);
      const healing = this.#hear(inTurn, later[i]);
      if (healing.wrong.length > 0) return healing;
      this.#learn(hashes[i] as number, healing);
      all[i] = healing;
      for (const k of turns.keys()) all[k] ??= this.#known.get(later[k] as number);
    }
    const worst = (of: keyof Ahead) => Math.max(...all.map((ahead) => ahead?.[of] ?? 0));
    return { healMs: worst("healMs"), settleMs: worst("settleMs"), wrong: [] };
  }

  #turnsFrom(first: number): readonly WorldHost[] {
    const { world } = this.stage;
    return world.hosts.map((_, i) => world.host((first + i) % world.hosts.length));
  }

  /** What is under way arrives, and nobody is denied or unknown any more. */
  #calm(): void {
    const { stage } = this;
    const { world } = stage;
    for (const host of world.hosts) {
      for (const other of stage.othersOf(host)) {
        const way = `${host.id} ${other.id}`;
        if (stage.denied.has(way)) stage.deny(host, other, false);
        if (stage.removed.has(way)) stage.remove(host, other, false);
      }
    }
    for (const n of [...world.flying.keys()]) stage.land(n);
    calm(stage);
    // Whoever is about to end is waited for: what is sent to it is lost when it was not heard.
    while (stage.stopping.size > 0) goOn(stage, () => {});
  }

  /** One after the other is heard, and then all settles. `hash`: of the state, if that is known. */
  #hear(inTurn: readonly WorldHost[], hash?: number): Healing {
    const { stage } = this;
    const [host, ...others] = inTurn;
    if (host === undefined) return this.#settle({ sinceMs: 0, lost: stage.world.lost });
    hash ??= this.#hash(inTurn);
    const known = this.#known.get(hash);
    if (known !== undefined && stage.world.violations.length === 0) return { ...known, wrong: [] };
    const ms = hear(stage, host);
    if (ms === undefined) {
      const wrong = `no packet of ${host.id} passes for ${HEAL_MS} ms`;
      return { healMs: 0, settleMs: 0, wrong: [...stage.world.violations, wrong] };
    }
    // Whoever sends learns that it is heard, though nothing is sent to it.
    const since = stage.world.clock.now();
    while (isUnsure(host)) {
      if (stage.world.clock.now() - since >= HEAL_MS) {
        const wrong = `${host.id} does not learn within ${HEAL_MS} ms that it is heard`;
        return { healMs: 0, settleMs: 0, wrong: [...stage.world.violations, wrong] };
      }
      goOn(stage, () => sendAll(stage, host));
    }
    const rest = this.#hear(others);
    return this.#learn(hash, { ...rest, healMs: Math.max(ms, rest.healMs) });
  }

  /** `sinceMs`: how long it takes already. `lost`: packets until then. */
  #settle({ sinceMs, lost }: { readonly sinceMs: number; readonly lost: number }): Healing {
    const { stage } = this;
    const { world } = stage;
    const isRest = world.lost === lost && world.violations.length === 0;
    if (isRest && unsettled(stage).length === 0) return { healMs: 0, settleMs: 0, wrong: [] };
    const hash = this.#hash([]);
    const known = this.#known.get(hash);
    const isClean = world.lost === lost && world.violations.length === 0;
    if (known !== undefined && isClean && sinceMs + known.settleMs < SETTLE_MS) {
      return { ...known, wrong: [] };
    }
    const start = world.clock.now();
    const send = () => world.hosts.forEach((host) => sendAll(stage, host));
    for (let n = 0; unsettled(stage).length > 0; n++) {
      const ms = world.clock.now() - start;
      if (sinceMs + ms >= SETTLE_MS) {
        const wrong = [...world.violations, ...unsettled(stage)];
        return { healMs: 0, settleMs: ms, wrong };
      }
      if (n === LOOK_EVERY) {
        const rest = this.#settle({ sinceMs: sinceMs + ms, lost });
        return this.#learn(hash, { ...rest, settleMs: ms + rest.settleMs });
      }
      goOn(stage, send);
    }
    const wrong = [...world.violations];
    if (world.lost > lost) {
      wrong.push(`${world.lost - lost} packets were lost after both directions were there`);
    }
    return this.#learn(hash, { healMs: 0, settleMs: world.clock.now() - start, wrong });
  }

  #learn(hash: number, healing: Healing): Healing {
    const { healMs, settleMs, wrong } = healing;
    if (wrong.length === 0) this.#known.set(hash, { healMs, settleMs });
    return healing;
  }

  #hash(inTurn: readonly WorldHost[]): number {
    return this.#hashes([inTurn])[0] as number;
  }

  #hashes(turns: readonly (readonly WorldHost[])[]): number[] {
    return this.stage.hashes(this.#aheads(turns));
  }

  /** What comes next depends on whose turn it is, and when somebody sends. */
  #aheads(turns: readonly (readonly WorldHost[])[]): Hashed[] {
    const sinceMs = this.stage.world.clock.now() % SEND_EVERY_MS;
    return turns.map((inTurn) => [sinceMs, ...inTurn]);
  }
}

/** One healing. The stage is used up. */
export function heal(stage: Stage, first: number): Healing {
  const healer = new Healer(stage);
  const hash = stage.hashes(healer.aheads())[first] as number;
  return healer.heal([{ first, hash }], () => {});
}

/** A host's workloads send alone until all of the others' hear them: how long that took; undefined: too long. */
function hear(stage: Stage, host: WorldHost): number | undefined {
  const { world } = stage;
  const start = world.clock.now();
  const ways = pairsOf(stage, host).map(({ localVip, remoteVip }) => `${localVip} ${remoteVip}`);
  const before = ways.map((way) => world.delivered.get(way) ?? 0);
  while (!ways.every((way, i) => (world.delivered.get(way) ?? 0) > (before[i] ?? 0))) {
    if (world.clock.now() - start >= HEAL_MS) return undefined;
    goOn(stage, () => sendAll(stage, host));
  }
  return world.clock.now() - start;
}

function isUnsure({ table }: WorldHost): boolean {
  for (const { state } of table.all()) if (isUnheard(state)) return true;
  return false;
}

function sendAll(stage: Stage, host: WorldHost): void {
  for (const pair of pairsOf(stage, host)) host.packet(pair);
}

function pairsOf(stage: Stage, host: WorldHost): VipPair[] {
  const all = Array.from({ length: stage.bounds.pairs }, (_, i) => i + 1);
  return stage.othersOf(host).flatMap((other) => all.map((v) => stage.pair(host, v, other)));
}

/** One step of good luck. */
function goOn(stage: Stage, send: () => void): void {
  if (stage.world.clock.now() % SEND_EVERY_MS < STEP_MS) send();
  calm(stage);
  stage.world.advance(STEP_MS);
  calm(stage);
}

/** Everything under way arrives, in order. Nobody sends into nothing meanwhile. */
function calm(stage: Stage): void {
  const { world } = stage;
  for (let i = 0; i < 1000; i++) {
    const [first] = world.wire.messages.keys();
    if (first === undefined) return;
    world.deliver(first);
    for (const host of world.hosts) {
      for (const wrong of sending(stage, host)) world.wrong(wrong);
    }
  }
  world.wrong("messages never end");
}

/** What is not yet as it is in rest: one SA in use for each direction, on the present key, nothing held. */
function unsettled(stage: Stage): string[] {
  const wrong: string[] = [];
  for (const host of stage.world.hosts) {
    const { plane, table, id } = host;
    if (plane.held > 0) wrong.push(`${id}: ${plane.held} packets are held and nobody asks`);
    if (plane.tx.size !== pairsOf(stage, host).length) {
      wrong.push(`${id}: sends with ${plane.tx.size} SAs`);
    }
    for (const entry of plane.tx.values()) {
      const { plane } = stage.ownerOf(entry.sa.remoteVip);
      if (!plane.accepts(entry)) wrong.push(`${id}: SPI ${entry.sa.spi} is not received`);
      if (entry.expired) wrong.push(`${id}: the life of SPI ${entry.sa.spi} is over`);
    }
    for (const spi of plane.rx.keys()) {
      if (plane.ageOf(spi) !== 0n) wrong.push(`${id}: SPI ${spi} is on the key before`);
    }
    for (const { state, key } of table.all()) {
      if (state.kind !== "up") wrong.push(`${id}: the tunnel ${key} is ${state.kind}`);
      // What was given in an answer that was lost stays: the peer may have it. Of the others one is enough.
      const used = state.rx.filter(({ confirmed, given }) => confirmed || !given);
      if (used.length !== 1) wrong.push(`${id}: receives with ${used.length} SAs in ${key}`);
    }
  }
  return wrong;
}
