// SPDX-License-Identifier: Apache-2.0

/**
 * What would become of a packet between two addresses at this moment, step by step, and why: on this host, and as the
 * peer's agent says. Changes nothing.
 */
import type { Config, PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import { spelled } from "../model/counters.ts";
import { ExchangeError, type PacketQuestion, requestWeight } from "../model/exchange.ts";
import { addressOf, cookieOf, inNetwork, networkOf } from "../model/network.ts";
import {
  defaultCryptOffset,
  pairKey,
  type PspMode,
  spiText,
  type TxSa,
  type VipPair,
} from "../model/sa.ts";
import type { ExplainStep, ExplainView, PacketQuery } from "../model/status.ts";
import { familyOf } from "../model/vip.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import { isForRate, reasonOf } from "./initiator.ts";
import { EXPLAIN_ASKS, EXPLAIN_TIMEOUT_MS } from "./limits.ts";
import type { Misses, MissVerdict } from "./misses.ts";
import type { PeerGate, PeerLines } from "./peer.ts";
import type { ResponderDriver } from "./responder_driver.ts";
import type { PeerCalls, Scheduler, Slot } from "./scheduler.ts";
import { isLive, isUnheard, type State } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What a packet meets on this host besides the core: ports, workloads, the machine. */
export interface Surroundings {
  /** Ports where nothing passes; `text` is why, such as "interface p0 is gone". */
  faults(): readonly {
    readonly role: "uplink" | "host";
    readonly interface: string;
    readonly text: string;
  }[];
  /** What is wrong besides, and what to do about it: the kernel forwards packets of workloads. */
  warnings(): readonly string[];
  /** Whether the policy of the address' network refuses packets to it. */
  denies(vip: string): boolean;
  /** The network of a host port, by its interface; undefined: there is no such port. */
  networkAt(port: string): string | undefined;
  /** Whether no rule gives the address to another port. */
  mayUse(vip: string, port: string): boolean;
  /** Interface of the host port where a workload is; undefined: not known yet. */
  portOf(vip: string): string | undefined;
  /** Octets of the largest inner packet that an SA with these parameters carries to an outer address. */
  carries(
    sa: { readonly pip: string; readonly mode: PspMode; readonly vc?: bigint | undefined },
  ): number;
}

/** Of a host about which nothing is known. */
export const NO_SURROUNDINGS: Surroundings = {
  faults: () => [],
  warnings: () => [],
  denies: () => false,
  networkAt: () => undefined,
  mayUse: () => true,
  portOf: (vip) => vip,
  carries: () => Infinity,
};

/** What is looked at. */
export interface ExplainOptions {
  readonly config: Pick<Config, "psp" | "networks">;
  readonly bootEpoch: bigint;
  readonly table: Pick<TunnelTable, "get">;
  readonly misses: Pick<Misses, "judge">;
  readonly peers: Pick<Peers, "byVip" | "isLocal" | "get" | "owns">;
  readonly lines: Pick<PeerLines, "of">;
  readonly gate: Pick<PeerGate, "admit">;
  readonly responder: Pick<ResponderDriver, "objection">;
  readonly around: Surroundings;
  readonly calls: Pick<PeerCalls, "explain">;
  readonly scheduler: Pick<Scheduler, "enter">;
  readonly tasks: Tasks;
  readonly clock: Pick<Clock, "now" | "sleep">;
}

/** A leg of the way, and what the other end is to be asked. */
interface Leg {
  readonly view: ExplainView;
  readonly ask?: { readonly peer: string; readonly question: PacketQuestion };
}

/** A peer's answer, or why there is none. */
type Heard =
  | { readonly view: ExplainView }
  | { readonly error: ExchangeError }
  | { readonly silent: string };

const TOO_MUCH = "this host has too much to do to ask it";
/** What waits in the plane for a tunnel, in words: both counters are of packets that it had no place for. */
const HOLD = "beyond what the hold has room for, the oldest goes (hold-flow-full, hold-bytes)";

/** Answers operators of this host, and peers whose operators ask. */
export class Explainer {
  readonly #o: ExplainOptions;
  #asking = 0;

  constructor(options: ExplainOptions) {
    this.#o = options;
  }

  /** For an operator: asks the peer as well, for two seconds at most. */
  async explain(packet: PacketQuery): Promise<ExplainView> {
    const { view, ask } = this.#here(packet);
    if (ask === undefined) return view;
    const heard = await this.#ask(ask.peer, ask.question);
    return together(view, { ...ask, heard });
  }

  /**
   * For a peer. `question.localVip` is its own. Throws `ExchangeError`: not a peer, or beyond its rate. Of addresses that
   * are not its own, or not of this host, it learns no more than it does by asking for a tunnel.
   */
  answer(peerId: string, question: PacketQuestion): ExplainView {
    const peer = this.#o.gate.admit(peerId, requestWeight(1));
    const { arrives, localVip: theirs, remoteVip: ours } = question;
    const { peers } = this.#o;
    if (arrives) return this.#arrival(peer, question);
    if (!peers.owns(peerId, theirs) || !peers.isLocal(ours)) {
      return dropped({ counter: "refused" }, [{
        at: "RSS",
        verdict: "drop",
        text: peers.isLocal(ours) ? `${peerId} does not own ${theirs}` : notMine(ours),
      }]);
    }
    const { length } = question;
    return this.#here({ src: ours, dst: theirs, ...length === undefined ? {} : { length } }).view;
  }

  /** As far as this host knows. */
  #here(packet: PacketQuery): Leg {
    const { peers, around } = this.#o;
    const placed = this.#atPort(packet);
    if ("verdict" in placed) return { view: placed };
    const { src, dst } = placed;
    const leg = peers.isLocal(src) && peers.isLocal(dst)
      ? { view: this.#within(placed) }
      : peers.isLocal(dst)
      ? this.#ingress(placed)
      : this.#egress(placed);
    const { port = around.portOf(src) } = placed;
    const faults = around.faults().filter(({ role }) => role === "host");
    const closed = peers.isLocal(src) ? faults.filter((fault) => fault.interface === port) : [];
    if (closed.length > 0) {
      return { view: { verdict: "dropped", steps: closed.map(({ text }) => shut(text)) } };
    }
    const besides = [
      ...around.warnings(),
      ...faults.map(({ text }) => `Nothing passes at one of the host ports: ${text}`),
    ].map((text): ExplainStep => ({ at: "ingress", verdict: "warn", text }));
    return { ...leg, view: { ...leg.view, steps: [...besides, ...leg.view.steps] } };
  }

  /** The packet in the network of the port at which it comes in; or what keeps it there. */
  #atPort(packet: PacketQuery): PacketQuery | ExplainView {
    const { port } = packet;
    const { around } = this.#o;
    if (port === undefined) return packet;
    const network = around.networkAt(port);
    if (network === undefined) {
      const text = `Nothing comes in: ${port} is none of this host's host ports`;
      return { verdict: "dropped", steps: [{ at: "ingress", verdict: "drop", text }] };
    }
    const [src, dst] = [packet.src, packet.dst].map((vip) =>
      networkOf(vip) === "" ? inNetwork(addressOf(vip), network) : vip
    ) as [string, string];
    if (this.#o.peers.isLocal(src) && !around.mayUse(src, port)) {
      return dropped({ counter: "source-guard" }, [FROM_HOST, MISS, {
        at: "RSS",
        verdict: "drop",
        text: `${src} is not an address of ${port}: the configuration gives it to another port`,
      }]);
    }
    return { ...packet, src, dst };
  }

  /** From one workload of this host to another. */
  #within({ src, dst, ttl }: PacketQuery): ExplainView {
    const port = this.#o.around.portOf(dst);
    if (port === undefined) {
      return dropped({ counter: "unreachable-sent" }, [{
        at: "LOCAL",
        verdict: "drop",
        text: `Nobody on this host answered for ${dst}: it is looked for, and ${src} is told`,
      }]);
    }
    const closed = this.#closed(port);
    if (closed !== undefined) return closed;
    if (ttl !== undefined && ttl <= 1) {
      return dropped({ counter: "time-exceeded-sent" }, [{
        at: "LOCAL",
        verdict: "drop",
        text: `Its TTL is used up on the way to ${dst} at ${port}, and ${src} is told`,
      }]);
    }
    const text = `${src} and ${dst} are both on this host: no tunnel carries it`;
    return { verdict: "passes", steps: [{ at: "LOCAL", verdict: "ok", text }] };
  }

  /** The packet leaves this host. */
  #egress({ src, dst, length }: PacketQuery): Leg {
    const { table, misses, clock, peers, around } = this.#o;
    const pair: VipPair = { localVip: src, remoteVip: dst };
    if (around.denies(dst)) {
      return {
        view: dropped({ counter: "refused-policy" }, [FROM_HOST, MISS, {
          at: "RSS",
          verdict: "drop",
          text: `The policy of network "${networkOf(dst)}" denies ${addressOf(dst)} (policy.deny)`,
        }]),
      };
    }
    const tunnel = table.get(pairKey(pair));
    const state = tunnel?.state;
    const now = clock.now();
    if (tunnel !== undefined && state !== undefined && isLive(state)) {
      return this.#sealed(pair, { peer: tunnel.peer, state, length });
    }
    if (tunnel !== undefined && state?.kind === "failed" && state.until > now) {
      const why = tunnel.lastError === "" ? "" : `: ${tunnel.lastError}`;
      const text = `The last attempt failed (${
        spelled(state.reason)
      })${why}; the next one may be made in ${seconds(state.until - now)}`;
      return {
        view: dropped({ counter: "back-off", peer: tunnel.peer }, [FROM_HOST, MISS, {
          at: "RSS",
          verdict: "drop",
          text,
        }]),
      };
    }
    const verdict = misses.judge(pair);
    if ("reason" in verdict) {
      const text = this.#refusal(pair, verdict);
      const { peer, reason } = verdict;
      return {
        view: dropped({ counter: spelled(reason), peer }, [FROM_HOST, MISS, {
          at: "RSS",
          verdict: "drop",
          text,
        }]),
      };
    }
    const { peer } = verdict;
    const where = peers.get(peer)?.svcAddress ?? "";
    const text = state?.kind === "opening"
      ? `The packet is held: ${peer} (${where}) was asked for a tunnel ${
        seconds(now - state.since)
      } ago; ${HOLD}`
      : `The packet would be held, and ${peer} (${where}) asked for a tunnel`;
    const uplink = this.#uplinkFault();
    const besides: ExplainStep[] = uplink === undefined
      ? []
      : [{ at: "p0", verdict: "warn", text: `Nothing leaves this host: ${uplink}` }];
    return {
      view: {
        verdict: "held",
        peer,
        steps: [FROM_HOST, MISS, { at: "RSS", verdict: "wait", text }, ...besides],
      },
      ask: { peer, question: this.#question(pair, { arrives: true, length }) },
    };
  }

  /** There is an entry. */
  #sealed(
    pair: VipPair,
    { peer, state, length }: {
      readonly peer: string;
      readonly state: Extract<State, { readonly tx: unknown }>;
      readonly length: number | undefined;
    },
  ): Leg {
    const { lines, around } = this.#o;
    const { localVip, remoteVip } = pair;
    const { sa, expired, packets } = state.tx;
    const steps: ExplainStep[] = [FROM_HOST, {
      at: "EGR_ACL",
      verdict: "ok",
      text: `An entry for ${localVip} to ${remoteVip}: towards ${peer} at ${sa.pip}`,
    }];
    if (expired) {
      return {
        view: dropped({ counter: "tx-key-expired", peer }, [...steps, {
          at: "PSP_ENCRYPT",
          verdict: "drop",
          text: `${spiText(sa.spi)} reached its hard limit, and ${peer} gave no new SA: ${
            lines.of(peer).lastError || "no answer"
          }`,
        }]),
      };
    }
    const most = around.carries(sa);
    if (length !== undefined && length > most) {
      return {
        view: dropped({ counter: "too-big", peer }, [...steps, {
          at: "PSP_ENCRYPT",
          verdict: "drop",
          text:
            `${length} octets are more than the ${most} that fit the way to ${peer} with what ` +
            `PSP adds: ${localVip} is told so by ICMP`,
        }]),
      };
    }
    steps.push({
      at: "PSP_ENCRYPT",
      verdict: "ok",
      text: `Sealed with ${spiText(sa.spi)} (${sa.version}), as ${many(packets)} before it`,
    });
    const uplink = this.#uplinkFault();
    if (uplink !== undefined) {
      return {
        view: dropped({ counter: "tx-error", peer }, [...steps, {
          at: "p0",
          verdict: "drop",
          text: `Nothing leaves this host: ${uplink}`,
        }]),
      };
    }
    if (lines.of(peer).unreachedSince !== undefined) {
      steps.push({
        at: "p0",
        verdict: "warn",
        text:
          `${peer} counts none of the packets that this host sends it, though its agent answers: ` +
          `something on the way to ${sa.pip} drops UDP port 1000`,
      });
    }
    if (isUnheard(state)) {
      steps.push({
        at: "p0",
        verdict: "unknown",
        text:
          `${peer} asked for this tunnel and was not heard on it yet: nobody knows whether it is there`,
      });
    }
    return {
      view: { verdict: "passes", peer, steps },
      ask: { peer, question: this.#question(pair, { arrives: true, sa, length }) },
    };
  }

  /** The packet comes to this host. */
  #ingress({ src, dst, length }: PacketQuery): Leg {
    const { peers, table } = this.#o;
    const uplink = this.#uplinkFault();
    if (uplink !== undefined) return { view: { verdict: "dropped", steps: [shut(uplink)] } };
    const peer = peers.byVip(src)?.id;
    const pair = { localVip: dst, remoteVip: src };
    if (peer === undefined) {
      return {
        view: dropped({ counter: "rx-no-sa" }, [FROM_UPLINK, {
          at: "INGR_ACL",
          verdict: "drop",
          text: `No peer owns ${src}: no SA lets it in`,
        }]),
      };
    }
    const ask = { peer, question: this.#question(pair, { arrives: false, length }) };
    const rx = table.get(pairKey(pair))?.state.rx ?? [];
    if (rx.length === 0) {
      const text = `No SA for ${src} to ${dst}: ${peer} has to ask this host for a tunnel first`;
      return {
        view: dropped({ counter: "rx-no-sa", peer }, [FROM_UPLINK, {
          at: "INGR_ACL",
          verdict: "drop",
          text,
        }]),
        ask,
      };
    }
    const spis = rx.map(({ sa }) => spiText(sa.spi)).join(" or ");
    const view = this.#delivered(dst, [FROM_UPLINK, OPENED, {
      at: "INGR_ACL",
      verdict: "ok",
      text: `Let in from ${peer} with ${spis}`,
    }]);
    return { view: { ...view, peer }, ask };
  }

  /** A peer's packet comes, or would. */
  #arrival(peer: PeerConfig, question: PacketQuestion): ExplainView {
    const { table, responder, bootEpoch } = this.#o;
    const { localVip: theirs, remoteVip: ours, sa: given } = question;
    const uplink = this.#uplinkFault();
    if (uplink !== undefined) return { verdict: "dropped", steps: [shut(uplink)] };
    if (given === undefined) {
      const objection = responder.objection(peer, question);
      if (objection === undefined) {
        const granted: ExplainStep = { at: "RSS", verdict: "ok", text: "It would get a tunnel" };
        return this.#delivered(ours, [granted]);
      }
      const { counter, why } = objection;
      return dropped({ counter }, [{
        at: "RSS",
        verdict: "drop",
        text: `The tunnel would be refused (${counter}): ${why}`,
      }]);
    }
    const { spi, epoch } = given;
    if (epoch !== bootEpoch) {
      return dropped({ counter: "rx-auth-fail" }, [FROM_UPLINK, {
        at: "PSP_DECRYPT",
        verdict: "drop",
        text: `${spiText(spi)} is of an earlier start of this agent: its key is gone`,
      }]);
    }
    const rx = table.get(pairKey({ localVip: ours, remoteVip: theirs }))?.state.rx ?? [];
    const found = rx.find(({ sa }) => sa.spi === spi && sa.peer === peer.id);
    if (found === undefined) {
      return dropped({ counter: "rx-no-sa" }, [FROM_UPLINK, {
        at: "INGR_ACL",
        verdict: "drop",
        text: `No entry lets ${spiText(spi)} in from ${theirs} to ${ours}`,
      }]);
    }
    return this.#delivered(ours, [FROM_UPLINK, OPENED, {
      at: "INGR_ACL",
      verdict: "ok",
      text: `${spiText(spi)} lets ${theirs} in to ${ours}, as ${many(found.packets)} before it`,
    }]);
  }

  /** The packet is let in, and goes to its workload. */
  #delivered(vip: string, steps: readonly ExplainStep[]): ExplainView {
    const port = this.#o.around.portOf(vip);
    if (port === undefined) {
      const text = `Nobody knows at which port ${vip} is: it is asked for, and without an answer ` +
        "the packet counts as workload-unknown";
      return { verdict: "passes", steps: [...steps, { at: "host", verdict: "unknown", text }] };
    }
    const closed = this.#closed(port);
    if (closed !== undefined) return { ...closed, steps: [...steps, ...closed.steps] };
    const text = `Handed to the workload ${vip} at ${port}`;
    return { verdict: "passes", steps: [...steps, { at: "host", verdict: "ok", text }] };
  }

  /** What becomes of a packet to a host port at which nothing passes; undefined: it passes. */
  #closed(port: string): ExplainView | undefined {
    const fault = this.#o.around.faults().find((one) => one.interface === port);
    return fault && dropped({ counter: "host-tx-error" }, [{
      at: "host",
      verdict: "drop",
      text: `Nothing passes there: ${fault.text}`,
    }]);
  }

  #uplinkFault(): string | undefined {
    return this.#o.around.faults().find(({ role }) => role === "uplink")?.text;
  }

  /** `pair.localVip` is this host's. */
  #question(
    pair: VipPair,
    { arrives, sa, length }: {
      readonly arrives: boolean;
      readonly sa?: TxSa;
      readonly length: number | undefined;
    },
  ): PacketQuestion {
    const { config: { psp, networks }, peers } = this.#o;
    const vc = cookieOf(pair.localVip, networks) ?? peers.byVip(pair.remoteVip)?.vc;
    const family = familyOf(pair.localVip);
    const cryptOffset = psp.cryptOffset?.[family] ??
      defaultCryptOffset({ family, vc: vc !== undefined, mode: psp.mode });
    return {
      ...pair,
      arrives,
      ...sa === undefined ? {} : { sa: { spi: sa.spi, epoch: sa.epoch } },
      ...length === undefined ? {} : { length },
      wish: {
        versions: psp.versions,
        mode: psp.mode,
        cryptOffset,
        ...vc === undefined ? {} : { vc },
      },
    };
  }

  /** Why a miss opens no tunnel, in words. */
  #refusal(
    { localVip, remoteVip }: VipPair,
    { counter, peer = "", holdOffMs }: Extract<MissVerdict, { readonly reason: unknown }>,
  ): string {
    switch (counter) {
      case undefined:
        return "The agent is ending, and opens no tunnel any more";
      case "link-scope":
        return "Multicast and link-local addresses stay on the workload's own link";
      case "foreign-source":
        return notMine(localVip);
      case "no-peer":
        return `No peer owns ${remoteVip}: look at the vips of the peers`;
      case "refused-identity":
        return `${peer} is on the deny list (security.deny)`;
      case "back-off":
        return `${peer} does not answer (${
          this.#o.lines.of(peer).lastError
        }); the next attempt may be made in ${seconds(holdOffMs ?? 0)}`;
      default:
        return `There is no room for another tunnel (${counter}), unless one goes that is idle`;
    }
  }

  async #ask(peer: string, question: PacketQuestion): Promise<Heard> {
    if (this.#asking >= EXPLAIN_ASKS) return { silent: TOO_MUCH };
    this.#asking++;
    try {
      using _slot = await this.#place(peer);
      const view = await this.#o.calls.explain(peer, question, { timeoutMs: EXPLAIN_TIMEOUT_MS });
      return { view };
    } catch (cause) {
      const error = ExchangeError.from(cause);
      if (error.code === "unimplemented") {
        return { silent: "its agent is of a release that cannot be asked" };
      }
      return error.local || this.#o.tasks.signal.aborted ? { silent: error.reason } : { error };
    } finally {
      this.#asking--;
    }
  }

  /** A place among the calls under way, soon or not at all. */
  async #place(peer: string): Promise<Slot> {
    const { scheduler, clock, tasks } = this.#o;
    const over = new AbortController();
    const end = AbortSignal.any([over.signal, tasks.signal]);
    clock.sleep(EXPLAIN_TIMEOUT_MS, end).then(
      () => over.abort(new ExchangeError("canceled", TOO_MUCH, { local: true })),
      () => {},
    );
    const slot = await scheduler.enter({ peer, work: "question" }, end);
    over.abort();
    return slot;
  }
}

function many(packets: bigint): string {
  return packets === 1n ? "1 packet" : `${packets} packets`;
}

const FROM_HOST: ExplainStep = {
  at: "ROOT",
  verdict: "ok",
  text: "IP from a host port, for nobody on this host, goes on to EGR_ACL",
};
const MISS: ExplainStep = {
  at: "EGR_ACL",
  verdict: "miss",
  text: "No entry for this pair: a miss",
};
const FROM_UPLINK: ExplainStep = {
  at: "ROOT",
  verdict: "ok",
  text: "UDP port 1000 from the uplink goes on to PSP_DECRYPT",
};
const OPENED: ExplainStep = {
  at: "PSP_DECRYPT",
  verdict: "ok",
  text: "Opened, if it is authentic (else rx-auth-fail) and did not come before (else rx-replay)",
};

/** Both ends, in the order in which the packet passes them. */
function together(
  here: ExplainView,
  { peer, question, heard }: {
    readonly peer: string;
    readonly question: PacketQuestion;
    readonly heard: Heard;
  },
): ExplainView {
  const steps = (there: readonly ExplainStep[]) =>
    question.arrives ? [...here.steps, ...there] : [...there, ...here.steps];
  if ("silent" in heard) {
    const text = `What ${peer} does with it is not known: ${heard.silent}`;
    return { ...here, steps: steps([{ at: "p0", verdict: "unknown", text, host: peer }]) };
  }
  if ("error" in heard) return unanswered(here, { peer, steps, error: heard.error });
  const { view } = heard;
  const all = steps(view.steps.map((step) => ({ ...step, host: peer })));
  if (!question.arrives) return departed(here, { peer, view, all });
  if (view.verdict !== "dropped") return { ...here, steps: all };
  // What the peer refuses to carry never leaves this host, and counts here.
  const refused = view.steps.some(({ at, verdict }) => at === "RSS" && verdict === "drop");
  const where = refused
    ? { counter: "refused" }
    : view.counter === undefined
    ? {}
    : { counter: view.counter, counterAt: peer };
  return { ...where, verdict: "dropped", peer, steps: all };
}

/** The packet comes from the peer, which said what it does with it: what it holds or drops never came here. */
function departed(
  here: ExplainView,
  { peer, view: { verdict, counter }, all }: {
    readonly peer: string;
    readonly view: ExplainView;
    readonly all: readonly ExplainStep[];
  },
): ExplainView {
  if (verdict === "passes") return { ...here, steps: all };
  const where = counter === undefined ? {} : { counter, counterAt: peer };
  return { ...where, verdict, peer, steps: all };
}

/** Who does not tell what becomes of a packet does not give a tunnel either. */
function unanswered(
  here: ExplainView,
  { peer, steps, error }: {
    readonly peer: string;
    readonly steps: (there: readonly ExplainStep[]) => readonly ExplainStep[];
    readonly error: ExchangeError;
  },
): ExplainView {
  const { reason } = error;
  if (here.verdict !== "held") {
    const text = `${peer} does not say what becomes of it: ${reason}`;
    return { ...here, steps: steps([{ at: "p0", verdict: "unknown", text, host: peer }]) };
  }
  if (isForRate(error)) {
    const text = `${peer} was asked too often, and is asked again later (slowed-by-peer)`;
    return { ...here, steps: steps([{ at: "RSS", verdict: "wait", text }]) };
  }
  const text = `${peer} gives no tunnel: ${reason}`;
  return dropped(
    { counter: spelled(reasonOf(error)), peer },
    steps([{
      at: "RSS",
      verdict: "drop",
      text,
    }]),
  );
}

function dropped(
  { counter, peer }: { readonly counter: string; readonly peer?: string | undefined },
  steps: readonly ExplainStep[],
): ExplainView {
  return { verdict: "dropped", counter, ...peer === undefined ? {} : { peer }, steps };
}

function shut(text: string): ExplainStep {
  return { at: "ingress", verdict: "drop", text: `Nothing passes: ${text}` };
}

function notMine(vip: string): string {
  return `${vip} is none of this host's vips`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
