// SPDX-License-Identifier: Apache-2.0

/** Answers peers' requests: whoever asks owns the source, this host the destination, or nothing happens. */
import { DataPlaneError } from "../../ffi/plane.ts";
import type { PeerConfig } from "../config/config.ts";
import {
  ExchangeError,
  MAX_TUNNELS_PER_REQUEST,
  type NewTunnelReply,
  type NewTunnelRequest,
  requestWeight,
  type TunnelOffer,
  type TunnelOutcome,
} from "../model/exchange.ts";
import type { Initiator } from "./initiator.ts";
import type { Parts } from "./parts.ts";
import type { PeerGate } from "./peer_gate.ts";
import type { RequestMemory } from "./request_memory.ts";
import { type SaDefaults, txFrom } from "./sa_params.ts";
import { cryptOffsetProblem, paramsProblem } from "./sa_rules.ts";
import type { PspVersion, VipPair } from "../model/sa.ts";
import { defaultsOf, type Derived, type SpiSource } from "./spi_source.ts";
import { pairKey, type TunnelTable } from "./tunnel_table.ts";
import { canonicalVip, familyOf } from "../model/vip.ts";

/** An offer that may be granted: `pair` as this host sees it. */
interface Granted {
  readonly offer: TunnelOffer;
  readonly pair: VipPair;
}

const LOG_INTERVAL_MS = 1000;
/**
 * A peer that was not heard on a tunnel that it asked for is asked after this long: its first packet, its own
 * confirmation and its first repeated request come before, and a host that gave up is not silent for longer.
 */
const CONFIRM_AFTER_MS = 1500;
/** ... and up to this much later, at random: many tunnels that came in one storm are not asked for in one. */
const CONFIRM_SPREAD_MS = 250;

type Refused = Extract<TunnelOutcome, { readonly ok: false }>;
type Verdict = Granted | Refused;
type RefusalCode = keyof typeof REFUSAL_COUNTERS;

const REFUSAL_COUNTERS = {
  permission_denied: "refused-vip",
  invalid_argument: "refused-request",
  crypt_offset: "refused-crypt-offset",
} as const;

/** The answering side. */
export class Responder {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #spis: SpiSource;
  readonly #gate: PeerGate;
  readonly #memory: RequestMemory;
  readonly #offers: Pick<Initiator, "inFlight">;
  readonly #defaults: SaDefaults;
  #logAt = -Infinity;

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly spis: SpiSource;
      readonly gate: PeerGate;
      readonly memory: RequestMemory;
      readonly offers: Pick<Initiator, "inFlight">;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#spis = others.spis;
    this.#gate = others.gate;
    this.#memory = others.memory;
    this.#offers = others.offers;
    this.#defaults = defaultsOf(parts);
  }

  /**
   * Answers a request. The keys in it are wiped, whatever comes of it; those in the answer belong to the
   * memory, which wipes them. Throws `ExchangeError`.
   */
  newTunnel(peerId: string, request: NewTunnelRequest): NewTunnelReply {
    try {
      const peer = this.#gate.admit(peerId, requestWeight(request.tunnels.length));
      this.#checkShape(request);
      this.#gate.checkEpoch(peerId, request.bootEpoch);
      const known = this.#memory.recall(peerId, request);
      if (known === "different") {
        throw this.#malformed("the request id was used for another request");
      }
      if (known !== undefined) {
        this.#parts.counters.add("responder-repeats");
        return known;
      }
      const version = this.#chooseVersion(request);
      const { bootEpoch } = this.#parts;
      if (request.tunnels.some(({ reverse }) => reverse.version !== version)) {
        return { bootEpoch, version, outcomes: [] };
      }
      const reply = { bootEpoch, version, outcomes: this.#grantAll(peer, { request, version }) };
      this.#memory.remember(peerId, request, { reply, now: this.#parts.clock.now() });
      return reply;
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
    this.#parts.counters.add("refused-request");
    return new ExchangeError("invalid_argument", `Cannot read the request: ${why}`);
  }

  /** The first that the caller names and this host has. */
  #chooseVersion({ versionsAccepted }: NewTunnelRequest): PspVersion {
    const { config: { psp: { versions } }, counters } = this.#parts;
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
    const seen = new Set<string>();
    const verdicts = request.tunnels.map((offer) => this.#judge(peer, { offer, version, seen }));
    const fresh = verdicts.flatMap((v) =>
      "offer" in v && this.#crossing(v.pair, version) === undefined ? [{ pair: v.pair, peer }] : []
    );
    let derived: Derived[] = [];
    let problem = "";
    try {
      derived = this.#spis.derive(version, fresh);
    } catch (error) {
      problem = messageOf(error);
    }
    if (verdicts.some((v) => "offer" in v)) this.#parts.counters.add("responder-exchanges");
    const next = derived[Symbol.iterator]();
    return verdicts.map((verdict): TunnelOutcome => {
      if (!("offer" in verdict)) return verdict;
      const crossing = this.#crossing(verdict.pair, version);
      const made = crossing === undefined ? next.next().value : undefined;
      const params = crossing ?? made?.params;
      if (params === undefined) return this.#noResource(problem);
      try {
        const { serial } = params;
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
    const params = this.#offers.inFlight(pairKey(pair));
    const state = this.#table.get(pairKey(pair))?.state;
    const standing = state?.kind === "opening" || state?.kind === "rekeying"
      ? state.offered
      : undefined;
    return params?.version === version && params.spi === standing ? params : undefined;
  }

  #judge(
    peer: PeerConfig,
    { offer, version, seen }: {
      readonly offer: TunnelOffer;
      readonly version: PspVersion;
      readonly seen: Set<string>;
    },
  ): Verdict {
    const { peers, counters, config } = this.#parts;
    const [theirs, ours] = [canonicalVip(offer.localVip), canonicalVip(offer.remoteVip)];
    const refuse = (code: RefusalCode, why: string) => this.#refuse(peer, code, why);
    if (theirs === undefined || ours === undefined || familyOf(theirs) !== familyOf(ours)) {
      return refuse("invalid_argument", "the vips are not two addresses of one family");
    }
    if (!peers.owns(peer.id, theirs)) {
      return refuse("permission_denied", `${peer.id} does not own ${theirs}`);
    }
    if (!peers.isLocal(ours)) {
      return refuse("permission_denied", `${config.id} does not own ${ours}`);
    }
    const pair = { localVip: ours, remoteVip: theirs };
    const key = pairKey(pair);
    if (seen.has(key)) return refuse("invalid_argument", "the pair is in the request twice");
    seen.add(key);
    const problem = paramsProblem(offer.reverse, {
      version,
      mode: config.psp.mode,
      ownPip: config.pip,
      peerPip: peer.pip,
    });
    if (problem !== undefined) return refuse("invalid_argument", problem);
    const readable = cryptOffsetProblem(offer.reverse, { psp: config.psp, vip: ours });
    if (readable !== undefined) return refuse("crypt_offset", readable);
    if (this.#table.full && this.#table.get(key) === undefined) {
      counters.add("no-resource");
      return { ok: false, code: "resource_exhausted", message: "too many tunnels" };
    }
    return { offer, pair };
  }

  #refuse({ id }: PeerConfig, code: RefusalCode, message: string): Refused {
    const { counters, log } = this.#parts;
    counters.add(REFUSAL_COUNTERS[code]);
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
    const { clock, peers, store, random } = this.#parts;
    if (peers.learnPip(peer.id, reverse.pip)) store.putPip(peer.id, reverse.pip);
    const at = { now: clock.now(), wallMs: clock.wallMs() };
    const { tx: made, key } = txFrom(this.#defaults, { params: reverse, pair, peer, epoch, at });
    const askAt = at.now + CONFIRM_AFTER_MS + random.uniform() * CONFIRM_SPREAD_MS;
    const tx = { ...made, unconfirmed: { serial, askAt } };
    const tunnel = this.#table.ensure(pair, peer.id);
    this.#table.apply(tunnel, { type: "asked", tx, key, rx });
    this.#table.note(tunnel, "");
  }

  #noResource(why: string): TunnelOutcome {
    const { counters, log, clock } = this.#parts;
    counters.add("no-resource");
    if (clock.now() - this.#logAt >= LOG_INTERVAL_MS) {
      this.#logAt = clock.now();
      log.warn("The data plane refused a tunnel that a peer asked for", { cause: why });
    }
    return { ok: false, code: "resource_exhausted", message: "the data plane has no room" };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
