// SPDX-License-Identifier: Apache-2.0

/** Answers peers' requests: whoever asks owns the source, this host the destination, or nothing happens. */
import { DataPlaneError } from "../../ffi/plane.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { AgentCounter, Counters } from "../model/counters.ts";
import { requestDigest } from "../model/digest.ts";
import { messageOf } from "../model/errors.ts";
import type { EventSink } from "../model/events.ts";
import {
  ExchangeError,
  MAX_TUNNELS_PER_REQUEST,
  type NewTunnelReply,
  type NewTunnelRequest,
  type PacketQuestion,
  requestWeight,
  type TunnelOffer,
  type TunnelOutcome,
} from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import { pairKey, type PspParams, type PspVersion, type VipPair } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import { networkOf } from "../model/network.ts";
import { canonicalVip, familyOf } from "../model/vip.ts";
import type { Peers } from "./directory.ts";
import type { Initiator } from "./initiator.ts";
import {
  MEMORY_MS,
  MEMORY_TUNNELS,
  MEMORY_TUNNELS_PER_PEER,
  UNHEARD_ASK_MS,
  UNHEARD_SPREAD_MS,
} from "./limits.ts";
import {
  cookieProblem,
  cryptOffsetProblem,
  paramsProblem,
  type SaDefaults,
  txFrom,
} from "./params.ts";
import type { PeerGate } from "./peer.ts";
import type { Shares, Shortage } from "./shares.ts";
import type { Derived, KeyShares, SpiSource } from "./spis.ts";
import { offerOf } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** An offer that may be granted: `pair` as this host sees it. */
interface Granted {
  readonly offer: TunnelOffer;
  readonly pair: VipPair;
}

/** The tunnels of a request, as they are judged one after the other. */
interface Batch {
  readonly version: PspVersion;
  readonly seen: Set<string>;
  /** Promised and not taken yet: places in the table, in all, by the caller's address and network, and receive SAs. */
  places: number;
  readonly placesOf: Map<string, number>;
  sas: number;
}

/** What the peer is told. */
const NO_ROOM: Readonly<Record<Shortage, string>> = {
  "peer-share": "the host has as many tunnels with this peer as it may (its tunnel.peer_share)",
  "network-share": "the network has as many tunnels at the host as it may have with this peer",
  "source-share": "the address has as many tunnels at the host as it may (its tunnel.source_share)",
  "peer-sas": "the host has more SAs with this peer than their tunnels need",
  "tunnels-full": "the host has no room for another tunnel",
};

type Refused = Extract<TunnelOutcome, { readonly ok: false }>;
type Verdict = Granted | Refused;
type RefusalCode = keyof typeof REFUSAL_COUNTERS;

/** Why a tunnel is refused. */
interface Objection {
  readonly code: RefusalCode;
  readonly why: string;
}

const REFUSAL_COUNTERS = {
  permission_denied: "refused-vip",
  invalid_argument: "refused-request",
  crypt_offset: "refused-crypt-offset",
  network: "refused-network",
} as const;

/** What it takes to answer. */
export interface ResponderOptions {
  readonly config: Pick<Config, "id" | "pip" | "psp" | "networks">;
  readonly bootEpoch: bigint;
  readonly peers: Peers;
  readonly gate: Pick<PeerGate, "admit" | "checkEpoch">;
  readonly memory: RequestMemory;
  readonly table: TunnelTable;
  readonly shares: Pick<Shares, "lacksSa">;
  readonly spis: Pick<SpiSource, "derive">;
  /** What this host offers at this very moment. */
  readonly offers: Pick<Initiator, "inFlight">;
  /** What this host says of its own IVs. */
  readonly ivCounts: boolean;
  readonly flows: Pick<Flows, "ignoreReplays">;
  readonly defaults: SaDefaults;
  readonly store: Pick<SaRecords, "putPip">;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** The answering side. */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #table: TunnelTable;
  readonly #memory: RequestMemory;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#memory = options.memory;
  }

  /**
   * Answers a request. The keys in it are wiped, whatever comes of it; those in the answer belong to the
   * memory, which wipes them. Throws `ExchangeError`.
   */
  newTunnel(peerId: string, request: NewTunnelRequest): NewTunnelReply {
    try {
      const { gate, clock } = this.#options;
      const peer = gate.admit(peerId, requestWeight(request.tunnels.length));
      this.#checkShape(request);
      gate.checkEpoch(peerId, request.bootEpoch);
      const known = this.#memory.recall(peerId, request);
      if (known === "different") {
        throw this.#malformed("the request id was used for another request");
      }
      if (known !== undefined) {
        this.#options.counters.add("responder-repeats");
        return known;
      }
      const version = this.#chooseVersion(request);
      const { bootEpoch } = this.#options;
      if (request.tunnels.some(({ reverse }) => reverse.version !== version)) {
        return { bootEpoch, version, outcomes: [] };
      }
      const { ivCounts } = this.#options;
      const outcomes = this.#grantAll(peer, { request, version });
      const reply = { bootEpoch, version, outcomes, ivCounts };
      this.#memory.remember(peerId, request, { reply, now: clock.now() });
      return reply;
    } catch (error) {
      const { code, message } = ExchangeError.from(error);
      const reason = code.replaceAll("_", "-");
      this.#options.events.add("request-refused", { peer: peerId, reason, message });
      throw error;
    } finally {
      for (const { reverse } of request.tunnels) reverse.key.wipe();
    }
  }

  #checkShape({ requestId, tunnels, versionsAccepted }: NewTunnelRequest): void {
    if (!/^[0-9a-f]{32}$/.test(requestId)) throw this.#malformed("a request id has 16 octets");
    if (tunnels.length < 1 || tunnels.length > MAX_TUNNELS_PER_REQUEST) {
      throw this.#malformed(`1 to ${MAX_TUNNELS_PER_REQUEST} tunnels, not ${tunnels.length}`);
    }
    if (versionsAccepted.length === 0) throw this.#malformed("no version is accepted");
  }

  #malformed(why: string): ExchangeError {
    this.#options.counters.add("refused-request");
    return new ExchangeError("invalid_argument", `Cannot read the request: ${why}`);
  }

  /** The first that the caller names and this host has. */
  #chooseVersion({ versionsAccepted }: NewTunnelRequest): PspVersion {
    const { config: { psp: { versions } }, counters } = this.#options;
    const version = versionsAccepted.find((v) => versions.includes(v));
    if (version !== undefined) return version;
    counters.add("refused-version");
    throw new ExchangeError(
      "failed_precondition",
      `No version in common: accepted ${versionsAccepted.join(", ")}; here ${versions.join(", ")}`,
    );
  }

  #grantAll(
    peer: PeerConfig,
    { request, version }: { readonly request: NewTunnelRequest; readonly version: PspVersion },
  ): TunnelOutcome[] {
    const batch: Batch = { version, seen: new Set(), places: 0, placesOf: new Map(), sas: 0 };
    const verdicts = request.tunnels.map((offer) => this.#judge(peer, { offer, batch }));
    const ivCounts = request.ivCounts ?? false;
    const fresh = verdicts.flatMap((v) =>
      "offer" in v && this.#crossing(v.pair, version) === undefined
        ? [{ pair: v.pair, peer, ivCounts }]
        : []
    );
    let derived: Derived[] = [];
    let problem = "";
    try {
      derived = this.#options.spis.derive(version, fresh);
    } catch (error) {
      problem = messageOf(error);
    }
    if (verdicts.some((v) => "offer" in v)) this.#options.counters.add("responder-exchanges");
    const next = derived[Symbol.iterator]();
    return verdicts.map((verdict): TunnelOutcome => {
      if (!("offer" in verdict)) return verdict;
      const crossing = this.#crossing(verdict.pair, version);
      const made = crossing === undefined ? next.next().value : undefined;
      const params = crossing ?? made?.params;
      if (params === undefined) return this.#noResource(problem);
      try {
        const { serial } = params;
        if (crossing !== undefined && !ivCounts) this.#options.flows.ignoreReplays(crossing.spi);
        this.#grant(peer, { ...verdict, epoch: request.bootEpoch, rx: made?.rx, serial });
        return { ok: true, params };
      } catch (error) {
        if (made !== undefined) made.params.key.wipe();
        // Of the two keys in this only the peer's is set: it came with another SA before.
        return error instanceof DataPlaneError && error.code === "EKEY"
          ? this.#refuse(peer, "invalid_argument", "the key is or was in use already")
          : this.#noResource(messageOf(error));
      }
    });
  }

  /** What this host is offering for the pair at this very moment: the answer is the same SA. */
  #crossing(pair: VipPair, version: PspVersion): ReturnType<Initiator["inFlight"]> {
    const params = this.#options.offers.inFlight(pairKey(pair));
    const state = this.#table.get(pairKey(pair))?.state;
    const standing = state && offerOf(state);
    return params?.version === version && params.spi === standing ? params : undefined;
  }

  #judge(
    peer: PeerConfig,
    { offer, batch }: { readonly offer: TunnelOffer; readonly batch: Batch },
  ): Verdict {
    const { version, seen } = batch;
    const [theirs, ours] = [canonicalVip(offer.localVip), canonicalVip(offer.remoteVip)];
    const refuse = ({ code, why }: Objection) => this.#refuse(peer, code, why);
    if (theirs === undefined || ours === undefined || familyOf(theirs) !== familyOf(ours)) {
      return refuse({
        code: "invalid_argument",
        why: "the vips are not two addresses of one family",
      });
    }
    const foreign = this.#foreign(peer, { theirs, ours });
    if (foreign !== undefined) return refuse(foreign);
    const pair = { localVip: ours, remoteVip: theirs };
    const key = pairKey(pair);
    if (seen.has(key)) {
      return refuse({ code: "invalid_argument", why: "the pair is in the request twice" });
    }
    seen.add(key);
    const problem = paramsProblem(offer.reverse, {
      version,
      mode: this.#options.config.psp.mode,
      own: this.#options.defaults,
      peerPip: peer.pip,
    });
    if (problem !== undefined) return refuse({ code: "invalid_argument", why: problem });
    const unfit = this.#unfit(ours, offer.reverse);
    if (unfit !== undefined) return refuse(unfit);
    const lack = this.#room({ pair, peer: peer.id }, batch);
    return lack === undefined ? { offer, pair } : this.#noRoom(peer, lack);
  }

  /**
   * Why a peer that asked now for a tunnel would not get it, and what would count it; undefined: it would. Changes and
   * counts nothing. Both addresses canonical.
   */
  objection(
    peer: PeerConfig,
    { localVip: theirs, remoteVip: ours, wish }: Pick<
      PacketQuestion,
      "localVip" | "remoteVip" | "wish"
    >,
  ): { readonly counter: AgentCounter; readonly why: string } | undefined {
    const { config: { psp } } = this.#options;
    const foreign = this.#foreign(peer, { theirs, ours });
    if (foreign !== undefined) return counted(foreign);
    if (!wish.versions.some((version) => psp.versions.includes(version))) {
      const why = `no version in common: accepted ${wish.versions.join(", ")}; here ${
        psp.versions.join(", ")
      }`;
      return { counter: "refused-version", why };
    }
    if (wish.mode !== psp.mode) {
      const why = `mode ${wish.mode} where this host has ${psp.mode}`;
      return counted({ code: "invalid_argument", why });
    }
    const unfit = this.#unfit(ours, wish);
    if (unfit !== undefined) return counted(unfit);
    const pair = { localVip: ours, remoteVip: theirs };
    if (this.#table.get(pairKey(pair)) !== undefined) return undefined;
    const lack = this.#table.lacks({ pair, peer: peer.id, side: "peer" });
    return lack && { counter: lack, why: NO_ROOM[lack] };
  }

  /** Whether the one address is the peer's, the other this host's, and both of one network. */
  #foreign(
    peer: PeerConfig,
    { theirs, ours }: { readonly theirs: string; readonly ours: string },
  ): Objection | undefined {
    const { peers, config } = this.#options;
    const network = networkOf(ours);
    if (networkOf(theirs) !== network) {
      return { code: "network", why: "the vips are not two addresses of one network" };
    }
    if (network !== "" && !peer.vips.some((vip) => networkOf(vip) === network)) {
      return { code: "network", why: `${peer.id} is not in network "${network}"` };
    }
    if (!peers.owns(peer.id, theirs)) {
      return { code: "permission_denied", why: `${peer.id} does not own ${theirs}` };
    }
    if (!peers.isLocal(ours)) {
      return { code: "permission_denied", why: `${config.id} does not own ${ours}` };
    }
    return undefined;
  }

  /** Whether packets with what the peer asks for may go to it from `vip`. */
  #unfit(
    vip: string,
    params: Pick<PspParams, "vc" | "cryptOffset">,
  ): Objection | undefined {
    const { networks, psp } = this.#options.config;
    const cookie = cookieProblem(params, { vip, networks });
    if (cookie !== undefined) return { code: "network", why: cookie };
    const readable = cryptOffsetProblem(params, { psp, vip });
    return readable === undefined ? undefined : { code: "crypt_offset", why: readable };
  }

  /** What a tunnel lacks beside those of the same request that found room. */
  #room(
    { pair, peer }: { readonly pair: VipPair; readonly peer: string },
    batch: Batch,
  ): Shortage | undefined {
    const known = this.#table.get(pairKey(pair));
    const [source, network] = [pair.remoteVip, `@${networkOf(pair.remoteVip)}`];
    const ahead = (of: string) => batch.placesOf.get(of) ?? 0;
    const promised = { peer: batch.places, network: ahead(network), source: ahead(source) };
    const lack = known === undefined
      ? this.#table.makeRoom({ pair, peer, side: "peer" }, promised)
      : this.#crossing(pair, batch.version) === undefined
      ? this.#options.shares.lacksSa(peer, batch.sas)
      : undefined;
    if (lack !== undefined) return lack;
    batch.sas++;
    if (known === undefined) {
      batch.places++;
      batch.placesOf.set(source, promised.source + 1);
      batch.placesOf.set(network, promised.network + 1);
    }
    return undefined;
  }

  #noRoom({ id }: PeerConfig, lack: Shortage): Refused {
    const { counters, events, log } = this.#options;
    const message = NO_ROOM[lack];
    counters.add(lack);
    events.add("request-refused", { peer: id, reason: lack, message });
    log.warn("A tunnel that a peer asked for found no room", { peer: id, reason: lack });
    return { ok: false, code: "resource_exhausted", message };
  }

  #refuse({ id }: PeerConfig, code: RefusalCode, message: string): Refused {
    const { counters, events, log } = this.#options;
    counters.add(REFUSAL_COUNTERS[code]);
    events.add("request-refused", { peer: id, reason: REFUSAL_COUNTERS[code], message });
    log.warn("A tunnel that a peer asked for was refused", { peer: id, code, reason: message });
    return { ok: false, code, message };
  }

  /** Receive first, then transmit with what the peer has programmed already. */
  #grant(
    peer: PeerConfig,
    { offer: { reverse }, pair, epoch, rx, serial }: Granted & {
      readonly epoch: bigint;
      readonly rx: Derived["rx"] | undefined;
      /** Of the receive SA in the reply. */
      readonly serial: bigint;
    },
  ): void {
    const { clock, peers, store, random, defaults } = this.#options;
    if (peers.learnPip(peer.id, reverse.pip)) store.putPip(peer.id, reverse.pip);
    const at = { now: clock.now(), wallMs: clock.wallMs() };
    const { tx: made, key } = txFrom(defaults, { params: reverse, pair, peer, epoch, at });
    const askAt = at.now + UNHEARD_ASK_MS + random.uniform() * UNHEARD_SPREAD_MS;
    const tx = { ...made, unconfirmed: { serial, askAt } };
    const tunnel = this.#table.ensure(pair, peer.id, "peer");
    this.#table.apply(tunnel, { type: "asked", tx, key, rx });
    this.#table.note(tunnel, "");
  }

  #noResource(why: string): TunnelOutcome {
    const { counters, log } = this.#options;
    counters.add("no-resource");
    log.warn("The data plane refused a tunnel that a peer asked for", { cause: why });
    return { ok: false, code: "resource_exhausted", message: "the data plane has no room" };
  }
}

function counted({ code, why }: Objection): { counter: AgentCounter; why: string } {
  return { counter: REFUSAL_COUNTERS[code], why };
}

// ---- answers that were given --------------------------------------------------------------------

interface Memo {
  readonly reply: NewTunnelReply;
  /** Its digest. */
  readonly asked: string;
  readonly until: number;
}

/** The answers, by peer and (boot epoch, request id). Holds a share of every key in them. */
export class RequestMemory {
  readonly #byPeer = new Map<string, { memos: Map<string, Memo>; tunnels: number }>();
  /** In all of them. */
  #tunnels = 0;
  /** All of them in the order in which they were kept, which is that of their ends. */
  readonly #ages = new Map<Memo, { readonly peer: string; readonly id: string }>();

  constructor(readonly shares: KeyShares) {}

  /** The answer that was given; "different": the id was used for another request. */
  recall(
    peer: string,
    request: NewTunnelRequest,
  ): NewTunnelReply | "different" | undefined {
    const memo = this.#byPeer.get(peer)?.memos.get(idOf(request));
    if (memo === undefined) return undefined;
    return memo.asked === requestDigest(request) ? memo.reply : "different";
  }

  /** Keeps an answer until `now` plus two minutes. */
  remember(
    peer: string,
    request: NewTunnelRequest,
    { reply, now }: { readonly reply: NewTunnelReply; readonly now: number },
  ): void {
    let kept = this.#byPeer.get(peer);
    if (kept === undefined) this.#byPeer.set(peer, kept = { memos: new Map(), tunnels: 0 });
    for (const outcome of reply.outcomes) if (outcome.ok) this.shares.hold(outcome.params.key);
    const id = idOf(request);
    const memo = { reply, asked: requestDigest(request), until: now + MEMORY_MS };
    kept.memos.set(id, memo);
    this.#ages.set(memo, { peer, id });
    kept.tunnels += reply.outcomes.length;
    this.#tunnels += reply.outcomes.length;
    for (const id of kept.memos.keys()) {
      if (kept.tunnels <= MEMORY_TUNNELS_PER_PEER || kept.memos.size === 1) break;
      this.#drop(peer, id);
    }
    while (this.#tunnels > MEMORY_TUNNELS) this.#dropOldestOf(this.#heaviest() ?? peer);
  }

  /** Drops what has had its time. */
  expire(now: number): void {
    for (const [{ until }, { peer, id }] of this.#ages) {
      if (until > now) break;
      this.#drop(peer, id);
    }
  }

  /** Drops everything of a peer: it was started anew, or denied. */
  forget(peer: string): void {
    for (const id of [...this.#byPeer.get(peer)?.memos.keys() ?? []]) this.#drop(peer, id);
  }

  /** Answers that are kept. */
  get size(): number {
    return this.#ages.size;
  }

  /** The peer with the most tunnels in its answers. */
  #heaviest(): string | undefined {
    let [found, most] = [undefined as string | undefined, 0];
    for (const [peer, { tunnels }] of this.#byPeer) {
      if (tunnels > most) [found, most] = [peer, tunnels];
    }
    return found;
  }

  #dropOldestOf(peer: string): void {
    const [oldest] = this.#byPeer.get(peer)?.memos.keys() ?? [];
    if (oldest !== undefined) this.#drop(peer, oldest);
  }

  #drop(peer: string, id: string): void {
    const kept = this.#byPeer.get(peer);
    const memo = kept?.memos.get(id);
    if (kept === undefined || memo === undefined) return;
    kept.memos.delete(id);
    this.#ages.delete(memo);
    kept.tunnels -= memo.reply.outcomes.length;
    this.#tunnels -= memo.reply.outcomes.length;
    for (const outcome of memo.reply.outcomes) {
      if (outcome.ok) this.shares.release(outcome.params.key);
    }
    if (kept.memos.size === 0) this.#byPeer.delete(peer);
  }
}

function idOf(request: NewTunnelRequest): string {
  return `${request.bootEpoch}/${request.requestId}`;
}
