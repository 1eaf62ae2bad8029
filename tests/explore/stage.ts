// SPDX-License-Identifier: Apache-2.0

/** What may happen to some hosts, how often, and what happens then: a choice is a line of text that can be replayed. */
import { Key } from "../../ffi/key.ts";
import { LIFE_MARGIN_MS } from "../../src/core/limits.ts";
import { isLive } from "../../src/core/tunnel.ts";
import type { NewTunnelRequest, Notice } from "../../src/model/exchange.ts";
import { pairKey, type VipPair } from "../../src/model/sa.ts";
import { peerOf, worldConfig } from "../sim/config.ts";
import { type Ahead, Canon, FAR_MS, type More } from "./canon.ts";
import { pipOf, vipOf, type WorldHost } from "../sim/host.ts";
import type { CoreModules } from "../sim/load.ts";
import { placeOf, type PlaneCall, type TxEntry } from "../sim/plane.ts";
import type { Body, Message } from "../sim/wire.ts";
import { type Said, World } from "../sim/world.ts";

/** What may happen, and how often. */
export interface Budgets {
  /** Workloads send a packet. */
  readonly packets: number;
  /** ... which stays under way for a while. */
  readonly slow: number;
  readonly lose: number;
  readonly copy: number;
  /** A message overtakes one that was sent before it in its direction. */
  readonly reorder: number;
  /** Time goes on by a tick with messages under way. */
  readonly delay: number;
  /** A host is killed and started again on its record. */
  readonly restart: number;
  /** ... on an empty state directory. */
  readonly wipe: number;
  /** ... in good order. */
  readonly stop: number;
  /** A host has sent what its keys are good for. */
  readonly rekey: number;
  /** A host has sent all that its keys are good for. */
  readonly exhaust: number;
  /** Control channels carry nothing until keys have outlived it: those that are sent with, or those received with, too. */
  readonly outage: number;
  readonly rotate: number;
  /** Nothing is sent until tunnels are closed for it. */
  readonly idle: number;
  /** A host denies the other one, or allows it again. */
  readonly deny: number;
  /** The other one is taken out of a host's directory, or put in again. */
  readonly remove: number;
  /** A plane refuses a call. */
  readonly refuse: number;
  /** A peer asks for an address that is not its own. */
  readonly forge: number;
}

export const NOTHING: Budgets = {
  packets: 0,
  slow: 0,
  lose: 0,
  copy: 0,
  reorder: 0,
  delay: 0,
  restart: 0,
  wipe: 0,
  stop: 0,
  rekey: 0,
  exhaust: 0,
  outage: 0,
  rotate: 0,
  idle: 0,
  deny: 0,
  remove: 0,
  refuse: 0,
  forge: 0,
};

/** How far, and what with. */
export interface Bounds {
  readonly budgets: Budgets;
  /** 2 where it is absent; each is a peer of every other. */
  readonly hosts?: number;
  /** Pairs of workloads between any two hosts. */
  readonly pairs: number;
  /** Choices from the beginning. */
  readonly depth: number;
}

export const TICK_MS = 250;
export const GRACE_MS = 500;
const IDLE_MS = 3000;
/** Of keys, where they end: longer than it takes to heal. */
const LIFE_MS = 20_000;
/**
 * How long control channels may be gone: one that is sent with has ended then; one that is received with, too; or the request of
 * before it is still repeated, and comes to who thinks that its key is new.
 */
const OUTAGES_MS: Readonly<Record<string, number>> = {
  tx: LIFE_MS + TICK_MS,
  again: 51_000,
  rx: LIFE_MS + GRACE_MS + LIFE_MARGIN_MS + 2 * TICK_MS,
};
const REFUSABLE: readonly PlaneCall[] = ["addRx", "setTx", "generateSpis"];

/** SPIs that anybody may still have, of those derived last; with more than these it is settled what became of the others. */
const LATELY = 16;

const MISHAPS = ["restart", "wipe", "rekey", "exhaust", "rotate", "stop"] as const;
/** Those that one host does to another. */
const BETWEEN = ["deny", "remove", "forge"] as const;

/** A world and what is left of its budgets. */
export class Stage {
  readonly world: World;
  readonly left: Record<keyof Budgets, number>;
  /** From now on SAs may end without the other side's knowledge until it is told. */
  unilateral = false;
  /** By host, SPIs that it had derived when such a thing happened last: of these SAs some may have ended so, of later ones none. */
  private readonly _excused: number[];
  /** SPIs with which a host sent in a tunnel when it was told that its peer has closed it, by notice. */
  private readonly _closed = new Map<Message["body"], readonly TxEntry[]>();
  readonly denied = new Set<string>();
  /** Hosts that do not know another one, by "host other". */
  readonly removed = new Set<string>();
  /** Hosts that are about to end, and be started again. */
  readonly stopping = new Set<string>();
  /** The latest boot epoch of a host that another has heard, by "hearer speaker". */
  readonly heard = new Map<string, bigint>();
  private readonly _canon: Canon;
  /** SPIs with which a host must not receive any more: they were agreed with a start of its peer that is over. */
  readonly voided = new Map<string, Set<number>>();
  private readonly _answers = new Map<string, { readonly spis: string; readonly epoch: bigint }>();
  /** By host and whom it tells: the call that says that it ends, and whether its answer came. */
  private readonly _farewells = new Map<
    string,
    Map<string, { readonly call: Message["call"]; isHeard: boolean }>
  >();

  constructor(modules: CoreModules, readonly bounds: Bounds, onLog?: (said: Said) => void) {
    const { budgets } = bounds;
    this.left = { ...budgets };
    const changes = {
      rpc: { timeoutMs: 500, attempts: 2 },
      tunnel: {
        lifeMs: budgets.outage > 0 ? LIFE_MS : 0,
        graceMs: GRACE_MS,
        idleMs: budgets.idle > 0 ? IDLE_MS : 0,
        backOffMs: 250,
        backOffMaxMs: 1000,
      },
    };
    const all = Array.from({ length: bounds.hosts ?? 2 }, (_, i) => i);
    const configs = all.map((i) => worldConfig(i, { peers: all.filter((k) => k !== i), changes }));
    this.world = new World({
      modules,
      configs,
      ...onLog === undefined ? {} : { onLog },
      onSent: (_, message) => this.#sent(message),
      onArrival: (_, message) => this.#arrived(message),
      onAnswer: (_, message, body) => {
        if (body.kind === "reply") this.#answered(message, body);
        if (body.kind === "answer") this.#closed(message);
      },
    });
    const pastMs = budgets.idle > 0 ? IDLE_MS : GRACE_MS;
    this._excused = configs.map(() => 0);
    const farMs = budgets.outage > 0 ? 2 * (OUTAGES_MS.rx as number) : FAR_MS;
    this._canon = new Canon(this.world, { pastMs, farMs, pairs: bounds.pairs });
    this.world.begin();
  }

  /** What may happen now. */
  choices(): string[] {
    const { world, left } = this;
    const all: string[] = [];
    const seen = new Set<string>();
    for (const message of world.wire.messages.values()) {
      const { n, body: { kind }, call } = message;
      const way = this.#wayOf(message);
      const first = !seen.has(way);
      seen.add(way);
      if (first || left.reorder > 0) all.push(`deliver ${n}`);
      if (left.lose > 0) all.push(`lose ${n}`);
      const asks = kind === "request" || kind === "notice";
      if (left.copy > 0 && asks && call !== undefined) all.push(`copy ${n}`);
    }
    for (const n of world.flying.keys()) all.push(`land ${n}`);
    if (world.wire.messages.size === 0 || left.delay > 0) all.push("time");
    if (left.idle > 0 && world.wire.messages.size === 0) all.push("idle");
    if (left.outage > 0) all.push(...Object.keys(OUTAGES_MS).map((end) => `outage ${end}`));
    for (const host of world.hosts) {
      const { id } = host;
      for (const to of this.othersOf(host)) {
        // Of two hosts nobody has to say which the other one is.
        const other = world.hosts.length > 2 ? ` ${to.id}` : "";
        for (let v = 1; left.packets > 0 && v <= this.bounds.pairs; v++) {
          all.push(`packet ${id} ${v}${other}`);
          if (left.slow > 0) all.push(`slow ${id} ${v}${other}`);
        }
        for (const what of BETWEEN) {
          if (left[what] > 0) all.push(`${what} ${id}${other}`);
        }
      }
      for (const what of MISHAPS) {
        if (left[what] > 0) all.push(`${what} ${id}`);
      }
      if (left.refuse > 0) all.push(...REFUSABLE.map((call) => `refuse ${id} ${call}`));
    }
    return all;
  }

  /** It happens. */
  take(choice: string): void {
    const { world, left } = this;
    const [what = "", who = "", which = "", whom = ""] = choice.split(" ");
    switch (what) {
      case "deliver":
        if (!this.#isFirst(Number(who))) left.reorder--;
        world.deliver(Number(who));
        return;
      case "lose":
        left.lose--;
        world.wire.lose(Number(who));
        return world.settle();
      case "copy":
        left.copy--;
        world.wire.duplicate(Number(who));
        return world.settle();
      case "land":
        this.land(Number(who));
        return;
      case "time":
        if (world.wire.messages.size > 0) left.delay--;
        return this.#tick();
      case "idle":
        left.idle--;
        this.unilateral = true;
        // An SA may be offered again that the other side had, and closed for idleness.
        for (const host of world.hosts) host.plane.maybeAgain = true;
        world.advance(IDLE_MS);
        return;
      case "outage":
        left.outage--;
        return this.#outage(OUTAGES_MS[who] as number);
      case "packet":
      case "slow":
        left.packets--;
        world.slow = what === "slow";
        if (world.slow) left.slow--;
        world.byId(who).packet(this.pair(world.byId(who), Number(which), this.#other(who, whom)));
        world.slow = false;
        return;
      default:
        return this.#befall(world.byId(who), { what, which });
    }
  }

  /** A packet that was under way arrives. */
  land(n: number): void {
    const flight = this.world.flying.get(n);
    if (flight === undefined) return;
    const arrived = this.world.land(n);
    const { packet: { sa } } = flight;
    const to = this.ownerOf(sa.remoteVip);
    const isOld = sa.epoch !== to.epochs.at(-1);
    if (!arrived && !isOld && !this.isExcused(sa.spi)) {
      this.world.wrong(`${to.id}: a packet with SPI ${sa.spi} came within its grace time in vain`);
    }
  }

  /** Whether an SA may have ended without its sender's knowledge. */
  isExcused(spi: number): boolean {
    const { index, n } = placeOf(spi);
    return this.unilateral || n <= (this._excused[index] ?? 0);
  }

  #excuse(): void {
    for (const { index, plane } of this.world.hosts) this._excused[index] = plane.spis;
  }

  /** The two ends of pair `v`, from 1, between a host and another one, as the host sees them. */
  pair(host: WorldHost, v: number, other: WorldHost): VipPair {
    return { localVip: vipOf(host.index, v), remoteVip: vipOf(other.index, v) };
  }

  othersOf(host: WorldHost): readonly WorldHost[] {
    return this.world.hosts.filter((other) => other !== host);
  }

  /** Whose workload has an address. */
  ownerOf(vip: string): WorldHost {
    return this.world.host(Number(vip.split(".")[2]));
  }

  /** Whom a choice names; the other one, where there is only one and it names nobody. */
  #other(who: string, whom: string): WorldHost {
    return whom === "" ? this.world.host(1 - this.world.byId(who).index) : this.world.byId(whom);
  }

  /** The state as a number, the same for all that behave alike. `ahead`: what it may still come to depends on that, too. */
  hash(ahead: Ahead = this.ahead()): number {
    return this.hashes([ahead])[0] as number;
  }

  /** What may still happen. */
  ahead(): Ahead {
    return Object.values(this.left);
  }

  /** As `hash`, for each of several. */
  hashes(aheads: readonly Ahead[]): number[] {
    const more: More = (host, put) => {
      put(this.stopping.has(host.id));
      // Of those derived since it makes no difference when there are more than anybody still has.
      put(`${Math.min(host.plane.spis - (this._excused[host.index] ?? 0), LATELY)}`);
      return this.othersOf(host).map(({ id }) => {
        const way = `${host.id} ${id}`;
        const isHeard = this._farewells.get(host.id)?.get(id)?.isHeard;
        return [id, `${this.denied.has(way)}${this.removed.has(way)}${isHeard}`];
      });
    };
    return this._canon.hashes(aheads.map((ahead) => [...ahead, this.unilateral]), more);
  }

  /** Whether nothing that was sent before it, on the same connection, is still under way. */
  #isFirst(n: number): boolean {
    const { messages } = this.world.wire;
    const it = messages.get(n);
    if (it === undefined) return true;
    for (const message of messages.values()) {
      if (this.#wayOf(message) === this.#wayOf(it)) return message.n === n;
    }
    return true;
  }

  /** A connection in one direction: each process has one of its own to ask, and is answered on it. */
  #wayOf({ from, to, body: { kind }, life }: Message): string {
    const asks = kind === "request" || kind === "notice";
    return `${from} ${to} ${asks} ${life === this.world.byId(from).life}`;
  }

  #tick(): void {
    const { world } = this;
    for (const flight of [...world.flying.values()]) {
      if (flight.ticks++ > 0) this.land(flight.n);
    }
    world.advance(TICK_MS);
  }

  /** Whatever is said is lost for a while. */
  #outage(ms: number): void {
    const { world } = this;
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      for (const n of [...world.wire.messages.keys()]) world.wire.lose(n);
      for (const n of [...world.flying.keys()]) this.land(n);
      world.advance(TICK_MS);
    }
  }

  #befall(host: WorldHost, { what, which }: { what: string; which: string }): void {
    const { world, left } = this;
    switch (what) {
      case "restart":
      case "wipe":
        left[what]--;
        this.stopping.delete(host.id);
        this._farewells.delete(host.id);
        this.#forgetWishes(host);
        host.kill();
        return host.restart({ wiped: what === "wipe" });
      case "stop": {
        left.stop--;
        this.#excuse();
        return this.#stop(host);
      }
      case "rekey":
        left.rekey--;
        // What passed shows in the counters of the entries at the next look.
        for (const entry of host.plane.tx.values()) entry.packets = softOf(entry.ivLimit);
        return;
      case "exhaust":
        left.exhaust--;
        for (const entry of host.plane.tx.values()) entry.packets = entry.ivLimit;
        return;
      case "rotate":
        if (host.core.rotate({ plan: false }).started) left.rotate--;
        return world.settle();
      case "deny":
      case "remove": {
        left[what]--;
        this.#excuse();
        const other = this.#other(host.id, which);
        const way = `${host.id} ${other.id}`;
        return what === "deny"
          ? this.deny(host, other, !this.denied.has(way))
          : this.remove(host, other, !this.removed.has(way));
      }
      case "refuse":
        left.refuse--;
        return host.plane.failNext(which as PlaneCall);
      case "forge":
        left.forge--;
        return this.#forge(host, this.#other(host.id, which));
      default:
        throw new RangeError(`Cannot choose "${what}"`);
    }
  }

  /** A host stops in good order, and is started again when it has ended. */
  #stop(host: WorldHost): void {
    const { life } = host;
    this.stopping.add(host.id);
    host.core.stop().then(() => {
      this.stopping.delete(host.id);
      const farewells = this._farewells.get(host.id);
      this._farewells.delete(host.id);
      if (host.life !== life || !life.alive) return;
      for (const { id, plane: { tx } } of this.othersOf(host)) {
        const sends = [...tx.values()].some(({ sa }) => this.ownerOf(sa.remoteVip) === host);
        if (!sends || farewells?.get(id)?.isHeard !== true) continue;
        this.world.wrong(`${id}: sends to ${host.id}, which told it that it ends`);
      }
      this.#forgetWishes(host);
      host.kill();
      host.restart();
    });
    this.world.settle();
  }

  /** It starts with the configuration that it had at first. */
  #forgetWishes(host: WorldHost): void {
    for (const { id } of this.othersOf(host)) {
      this.removed.delete(`${host.id} ${id}`);
      this.denied.delete(`${host.id} ${id}`);
    }
  }

  /** A host denies another one, or not. */
  deny(host: WorldHost, other: WorldHost, denied: boolean): void {
    const way = `${host.id} ${other.id}`;
    if (denied) this.denied.add(way);
    else this.denied.delete(way);
    host.plane.maybeAgain = true;
    const all = this.othersOf(host).map(({ id }) => id);
    host.core.deny(all.filter((id) => this.denied.has(`${host.id} ${id}`)));
    this.world.settle();
  }

  /** Another one is no peer of a host any more, or is one again. */
  remove(host: WorldHost, other: WorldHost, removed: boolean): void {
    const way = `${host.id} ${other.id}`;
    if (removed) this.removed.add(way);
    else this.removed.delete(way);
    for (const { plane } of this.world.hosts) plane.maybeAgain = true;
    this.heard.delete(`${host.id} ${other.id}`);
    const changed = removed ? [] : [peerOf(other.index)];
    host.core.change({ changed, removed: removed ? [other.id] : [] });
    this.world.settle();
  }

  /** The host asks another one in the name of an address that nobody gave it. */
  #forge(host: WorldHost, other: WorldHost): void {
    const request: NewTunnelRequest = {
      bootEpoch: host.core.bootEpoch,
      requestId: this.world.nextId().toString(16).padStart(32, "f"),
      versionsAccepted: ["aes-gcm-256"],
      tunnels: [{
        localVip: "10.9.9.9",
        remoteVip: vipOf(other.index),
        reverse: {
          spi: 0x7000_0001,
          version: "aes-gcm-256",
          key: new Key(new Uint8Array(32).fill(0xee)),
          pip: pipOf(host.index),
          mac: "02:00:00:00:00:02",
          cryptOffset: 5,
          mode: "tunnel",
          serial: 1n,
          lifeS: 0,
        },
      }],
    };
    other.core.handler.newTunnel(host.id, request).catch(() => {});
    this.world.settle();
    this.#speak(host, other);
  }

  /** The host speaks to another one of what that has with third ones: nothing comes of it. */
  #speak(host: WorldHost, other: WorldHost): void {
    const theirs = [...other.table.all()].filter(({ peer }) => peer !== host.id);
    const before = theirs.map(({ state }) => state);
    const [bootEpoch, draining] = [host.core.bootEpoch, false];
    other.core.handler.notify(host.id, {
      bootEpoch,
      draining,
      unknownSpis: before.flatMap((state) => isLive(state) ? [state.tx.sa.spi] : []),
      confirmedSpis: before.flatMap(({ rx }) => rx.map(({ sa }) => sa.spi)),
      closed: theirs.map(({ pair: { localVip, remoteVip } }) => ({
        localVip: remoteVip,
        remoteVip: localVip,
      })),
    }).catch(() => {});
    this.world.settle();
    for (const [i, { key, state }] of theirs.entries()) {
      if (state === before[i]) continue;
      this.world.wrong(`${other.id}: believes ${host.id} about ${key}, which is none of its own`);
    }
  }

  #sent({ from, to, body, call }: Message): void {
    if (body.kind !== "notice" || !body.notice.draining) return;
    const farewells = this._farewells.get(from) ?? new Map();
    this._farewells.set(from, farewells.set(to, { call, isHeard: false }));
  }

  /** The same request has the same answer, and whoever waits for it sends with nothing that is not received. */
  #answered(
    { from, to, call, body }: Message,
    { requestId, reply }: Extract<Body, { kind: "reply" }>,
  ): void {
    const [asker, { plane }] = [this.world.byId(from), this.world.byId(to)];
    const isAwaited = body.kind === "request" && call !== undefined && !call.over;
    for (const [i, pair] of isAwaited ? body.request.tunnels.entries() : []) {
      const outcome = reply.outcomes[i];
      if (!outcome?.ok || plane.rx.has(outcome.params.spi)) continue;
      // It goes on with what is newer.
      const sa = asker.plane.tx.get(pairKey(pair))?.sa;
      if (sa?.epoch === reply.bootEpoch && sa.serial > outcome.params.serial) continue;
      this.world.wrong(`${to}: answers with SPI ${outcome.params.spi}, which it does not receive`);
    }
    const spis = reply.outcomes.map((outcome) => outcome.ok ? outcome.params.spi : 0).join(",");
    const before = this._answers.get(requestId);
    if (before === undefined || before.epoch !== reply.bootEpoch) {
      this._answers.set(requestId, { spis, epoch: reply.bootEpoch });
    } else if (
      before.spis !== spis && !before.spis.split(",").some((spi) => this.isExcused(Number(spi)))
    ) {
      this.world.wrong(`a request was answered with SPI ${before.spis}, and then with ${spis}`);
    }
  }

  /** What a host sends with at this moment in tunnels that its peer says it has closed. */
  #closing(to: string, { closed }: Notice): readonly TxEntry[] {
    const { plane } = this.world.byId(to);
    return closed.flatMap(({ localVip, remoteVip }) =>
      plane.tx.get(pairKey({ localVip: remoteVip, remoteVip: localVip })) ?? []
    );
  }

  /** Whoever has answered that goes on with none of it. */
  #closed({ from, to, body }: Message): void {
    const { plane } = this.world.byId(to);
    for (const entry of this._closed.get(body) ?? []) {
      if (plane.tx.get(pairKey(entry.sa)) !== entry) continue;
      this.world.wrong(`${to}: sends with SPI ${entry.sa.spi} after ${from} said that it closed`);
    }
    this._closed.delete(body);
  }

  #arrived({ from, to, body, call }: Message): void {
    if (body.kind === "notice" && body.notice.closed.length > 0) {
      this._closed.set(body, this.#closing(to, body.notice));
    }
    const farewell = this._farewells.get(to)?.get(from);
    if (farewell !== undefined && farewell.call === call && body.kind === "answer") {
      farewell.isHeard = true;
    }
    const epoch = body.kind === "request"
      ? body.request.bootEpoch
      : body.kind === "notice"
      ? body.notice.bootEpoch
      : body.kind === "reply"
      ? body.reply.bootEpoch
      : body.kind === "answer"
      ? body.bootEpoch
      : 0n;
    const way = `${to} ${from}`;
    const before = this.heard.get(way) ?? 0n;
    if (epoch <= before) return;
    this.heard.set(way, epoch);
    if (before > 0n) this.#void(this.world.byId(to), from);
  }

  /** What was agreed with the peer's start before this one has to go; what the peer may have stays. */
  #void(host: WorldHost, peer: string): void {
    const spis = this.voided.get(host.id) ?? new Set();
    this.voided.set(host.id, spis);
    for (const { state } of host.table.ofPeer(peer)) {
      const offer = "offered" in state ? state.offered : undefined;
      for (const { sa: { spi }, maybeUntil } of state.rx) {
        if (maybeUntil === undefined && spi !== offer) spis.add(spi);
      }
    }
  }
}

/** So many packets of a key that it is time for another one, and so few that it still seals some. */
function softOf(ivLimit: bigint): bigint {
  return ivLimit - ivLimit / 16n;
}
