// SPDX-License-Identifier: Apache-2.0

/** The way to a workload of a peer, tried leg by leg: the control channel, the tunnel, the workload itself. */
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { PingLeg, PingQuery, PingView } from "../model/ping.ts";
import { pairKey, spiText, type VipPair } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import type { Explainer } from "./explain.ts";
import type { Misses } from "./misses.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";
import { isLive, isUnheard, newestRx, type State } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** How often a tunnel that is being opened is looked at. */
const LOOK_MS = 10;

/** What it is tried with. */
export interface PingerOptions {
  readonly bootEpoch: bigint;
  readonly peers: Pick<Peers, "byVip" | "isLocal" | "denied">;
  readonly table: TunnelTable;
  readonly misses: Pick<Misses, "want">;
  readonly calls: Pick<PeerCalls, "notify">;
  readonly scheduler: Scheduler;
  readonly explainer: Pick<Explainer, "explain">;
  /** Addresses of this host's workloads, as far as the configuration says them one by one. */
  readonly sources: () => readonly string[];
  readonly clock: Clock;
  readonly tasks: Tasks;
}

/** Tries. */
export class Pinger {
  readonly #o: PingerOptions;

  constructor(options: PingerOptions) {
    this.#o = options;
  }

  /** Each leg has `timeoutMs`. Opens a tunnel where there is none. Never rejects for what it finds. */
  async ping({ src: given, dst, timeoutMs }: PingQuery): Promise<PingView> {
    const { peers } = this.#o;
    const peer = peers.byVip(dst)?.id;
    if (peer === undefined) {
      const text = peers.isLocal(dst)
        ? `${dst} is an address of this host: no tunnel leads there`
        : `No peer owns ${dst}: look at the vips of the peers`;
      return { dst, legs: [failed("control", text)] };
    }
    const control = await this.#control(peer, timeoutMs);
    const src = given ?? this.#source(peer, dst);
    if (src === undefined) {
      const text = "This host does not know from which of its addresses: say it (--from)";
      return { peer, dst, legs: [control, { ...failed("tunnel", text), verdict: "unknown" }] };
    }
    if (!peers.isLocal(src)) {
      const text = `${src} is not an address of this host: look at its vips`;
      return { peer, src, dst, legs: [control, failed("tunnel", text)] };
    }
    const pair = { localVip: src, remoteVip: dst };
    const tunnel = await this.#tunnel(peer, pair, timeoutMs);
    return { peer, src, dst, legs: [control, tunnel, await this.#workload(peer, pair)] };
  }

  /** Of a tunnel that leads there; else of this host, where one address of the same family is known. */
  #source(peer: string, dst: string): string | undefined {
    const { table, sources } = this.#o;
    const found = table.ofPeer(peer).find(({ pair, state }) =>
      pair.remoteVip === dst && state.kind !== "closed"
    );
    const kind = (vip: string) => `${vip.includes(":")} ${vip.split("@")[1] ?? ""}`;
    return found?.pair.localVip ?? sources().find((vip) => kind(vip) === kind(dst));
  }

  /** The peer's agent answers: a notice that says nothing. */
  async #control(peer: string, timeoutMs: number): Promise<PingLeg> {
    const { peers, calls, scheduler, bootEpoch, clock, tasks } = this.#o;
    if (peers.denied(peer)) return failed("control", `${peer} is on this host's deny list`);
    const hello = { bootEpoch, unknownSpis: [], closed: [], draining: false };
    using _slot = await scheduler.enter({ peer, work: "warm" }, tasks.signal);
    const began = clock.now();
    try {
      await calls.notify(peer, hello, { timeoutMs });
      const ms = clock.now() - began;
      return { name: "control", verdict: "ok", ms, text: `The agent of ${peer} answers` };
    } catch (error) {
      const text = `The agent of ${peer} does not: ${messageOf(error)}`;
      return { ...failed("control", text), ms: clock.now() - began };
    }
  }

  /** The tunnel is up, and the peer was heard on it: by a packet with one of its SAs, or by its answer. */
  async #tunnel(peer: string, pair: VipPair, timeoutMs: number): Promise<PingLeg> {
    const { table, misses, clock, tasks } = this.#o;
    const key = pairKey(pair);
    const began = clock.now();
    const stateNow = () => table.get(key)?.state;
    const there = table.get(key);
    if (there !== undefined) table.look(there);
    const before = stateNow();
    if (isHeard(before)) {
      return { name: "tunnel", verdict: "ok", text: `Up already: ${this.#seen(before)}` };
    }
    const wanted = before !== undefined && isLive(before) || misses.want(pair, peer);
    while (wanted && clock.now() - began < timeoutMs && !tasks.signal.aborted) {
      const tunnel = table.get(key);
      if (tunnel !== undefined && isUnheard(tunnel.state)) table.look(tunnel);
      const state = stateNow();
      if (isHeard(state)) {
        const ms = clock.now() - began;
        return { name: "tunnel", verdict: "ok", ms, text: `Opened: ${this.#seen(state)}` };
      }
      if (state === undefined || state.kind === "failed" || state.kind === "closed") break;
      await clock.sleep(LOOK_MS, tasks.signal).catch(() => {});
    }
    const last = table.get(key);
    const text = last !== undefined && isLive(last.state)
      ? `Up, and ${peer} was not heard on it yet`
      : last?.lastError || `No tunnel from ${pair.localVip} to ${pair.remoteVip}`;
    return { ...failed("tunnel", text), ms: clock.now() - began };
  }

  #seen(state: Extract<State, { readonly tx: unknown }>): string {
    const { clock } = this.#o;
    const rx = newestRx(state.rx);
    const seen = state.rx.flatMap(({ packets, seenAt }) => packets > 0n ? [seenAt] : []);
    const agoS = (clock.now() - Math.max(...seen)) / 1000;
    const heard = seen.length === 0
      ? "no packet came yet"
      : `packets came ${agoS.toFixed(0)} s ago`;
    const spis = [`tx ${spiText(state.tx.sa.spi)}`, ...rx ? [`rx ${spiText(rx.sa.spi)}`] : []];
    return `${spis.join(", ")}, ${heard}`;
  }

  /** The peer says whether a packet would reach the workload at its end. */
  async #workload(peer: string, { localVip: src, remoteVip: dst }: VipPair): Promise<PingLeg> {
    const { explainer, clock } = this.#o;
    const began = clock.now();
    const { verdict, steps } = await explainer.explain({ src, dst });
    const ms = clock.now() - began;
    const wrong = steps.find((step) => ["drop", "unknown", "miss"].includes(step.verdict));
    const [last] = steps.filter(({ host }) => host === peer).slice(-1);
    if (verdict === "passes" && wrong === undefined && last !== undefined) {
      return { name: "workload", verdict: "ok", ms, text: `${peer}: ${last.text}` };
    }
    const why = wrong ?? steps.at(-1);
    const text = `${why?.host ?? "this host"}: ${why?.text ?? "it is not known"}`;
    const known = verdict === "dropped";
    return { name: "workload", verdict: known ? "failed" : "unknown", ms, text };
  }
}

/** Live, and the peer was heard on it. */
function isHeard(
  state: State | undefined,
): state is Extract<State, { readonly tx: unknown }> {
  return state !== undefined && isLive(state) && !isUnheard(state);
}

function failed(name: PingLeg["name"], text: string): PingLeg {
  return { name, verdict: "failed", text };
}
