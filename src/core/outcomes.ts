// SPDX-License-Identifier: Apache-2.0

/** What becomes of the tunnels in a request: each one's part of the answer, or no answer at all. */
import type { DropReason } from "../../ffi/plane.ts";
import type { ExchangeError, NewTunnelReply, TunnelOutcome } from "../model/exchange.ts";
import type { LogFields } from "../model/log.ts";
import type { Parts } from "./parts.ts";
import type { PeerLine } from "./peer_line.ts";
import { type SaDefaults, txFrom } from "./sa_params.ts";
import type { Rx } from "./sa_state.ts";
import { cryptOffsetProblem, paramsProblem } from "./sa_rules.ts";
import { defaultsOf, type Derived } from "./spi_source.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** A peer with live tunnels is never left alone for longer: what expired must heal soon. */
const LIVE_BACK_OFF_MAX_MS = 4000;
/**
 * ... and one that may send into nothing for less: what this host does not know of, the peer may know. Together
 * with the last try of an exchange traffic is back in some two seconds.
 */
const UNHEARD_BACK_OFF_MAX_MS = 700;
/** Receive SAs of one peer that it may have, at most; beyond them the oldest go. */
const MAX_MAYBE_SAS = 1024;
/** Between tries towards a peer that said that it stops. */
const PATIENT_RETRY_MS = 250;
/** How long a tunnel that a peer refused is left alone, at most. */
const REFUSED_HOLD_OFF_MAX_MS = 10_000;
const LOG_INTERVAL_MS = 1000;

/** A tunnel with the receive SA that was offered for it. */
export interface Offer extends Derived {
  readonly tunnel: Tunnel;
}

/** Brings answers and failures to the tunnels. */
export class Outcomes {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #defaults: SaDefaults;
  #logAt = -Infinity;

  constructor(parts: Parts, table: TunnelTable) {
    this.#parts = parts;
    this.#table = table;
    this.#defaults = defaultsOf(parts);
  }

  /** One tunnel's part of the answer. Its key is wiped. */
  settle(
    { tunnel, rx, params: { version } }: Offer,
    { outcome, reply }: { readonly outcome: TunnelOutcome; readonly reply: NewTunnelReply },
  ): void {
    const { clock, config, counters, peers, store } = this.#parts;
    if (!outcome.ok) {
      const { code, message } = outcome;
      counters.add("tunnels-refused");
      this.#say("A peer refused a tunnel", {
        peer: tunnel.peer,
        ...tunnel.pair,
        code,
        reason: message,
      });
      return this.#refuse(tunnel, { reason: "refused", message: `${code}: ${message}` });
    }
    const { params } = outcome;
    try {
      const peer = peers.get(tunnel.peer);
      const problem = paramsProblem(params, {
        version,
        mode: config.psp.mode,
        ownPip: config.pip,
        peerPip: peer?.pip,
      });
      if (peer === undefined || problem !== undefined) {
        return this.#unusable(tunnel, { reason: "refused", message: `bad answer: ${problem}` });
      }
      const vip = tunnel.pair.localVip;
      const readable = cryptOffsetProblem(params, { psp: config.psp, vip });
      if (readable !== undefined) {
        counters.add("refused-crypt-offset");
        this.#say("The crypt offset that a peer asks for was refused", {
          peer: tunnel.peer,
          ...tunnel.pair,
          reason: readable,
        });
        return this.#unusable(tunnel, { reason: "refused", message: readable });
      }
      if (peers.learnPip(peer.id, params.pip)) store.putPip(peer.id, params.pip);
      const at = { now: clock.now(), wallMs: clock.wallMs() };
      const epoch = reply.bootEpoch;
      const { tx, key } = txFrom(this.#defaults, { params, pair: tunnel.pair, peer, epoch, at });
      this.#table.apply(tunnel, { type: "answered", spi: rx.sa.spi, tx, key });
      this.#table.note(tunnel, "");
    } catch (error) {
      this.#unusable(tunnel, this.#noResource(tunnel, error));
    } finally {
      params.key.wipe();
    }
  }

  /** The plane refused before anybody was told: the tunnel is left alone for a while. */
  noResource(tunnel: Tunnel, error: unknown): void {
    this.#refuse(tunnel, this.#noResource(tunnel, error));
  }

  #noResource(tunnel: Tunnel, error: unknown): Why {
    const cause = error instanceof Error ? error.message : String(error);
    this.#parts.counters.add("no-resource");
    this.#say("The data plane refused a tunnel", { peer: tunnel.peer, ...tunnel.pair, cause });
    return { reason: "no_resource", message: cause };
  }

  /** No answer, or none that can be used: what the peer cannot have got is taken back. */
  fail(
    line: PeerLine,
    failure: {
      readonly offers: readonly Offer[];
      readonly error: ExchangeError;
      readonly maybe: boolean;
    },
  ): void {
    const { clock, config: { tunnel }, counters, log } = this.#parts;
    const { offers, error, maybe } = failure;
    const patient = line.patientUntil > clock.now();
    const unheard = maybe || this.#table.ofPeer(line.peer).some(isUnheard);
    const live = this.#table.ofPeer(line.peer).some(isLive);
    const capMs = patient
      ? PATIENT_RETRY_MS
      : unheard
      ? UNHEARD_BACK_OFF_MAX_MS
      : live
      ? LIVE_BACK_OFF_MAX_MS
      : tunnel.backOffMaxMs;
    const holdOffMs = line.failed(error.message, capMs);
    counters.add("exchanges-failed");
    log.warn("An exchange failed", {
      peer: line.peer,
      code: error.code,
      reason: error.reason,
      tunnels: offers.length,
      delayMs: Math.round(holdOffMs),
    });
    if (patient) return this.#tryLater(line, { offers, maybe });
    const reason = reasonOf(error);
    // The others of this peer would fare no better, and their packets wait.
    const others = [...line.waiting].flatMap((key) => this.#table.get(key) ?? [])
      .filter(({ state }) => state.kind === "opening" && state.offered === undefined);
    for (const tunnel of [...offers.map((offer) => offer.tunnel), ...others]) {
      this.#table.note(tunnel, error.message);
      this.#table.apply(tunnel, { type: "unanswered", reason, holdOffMs, maybe });
    }
    this.#bound(line.peer);
  }

  #tryLater(
    line: PeerLine,
    { offers, maybe }: { readonly offers: readonly Offer[]; readonly maybe: boolean },
  ): void {
    for (const { tunnel, rx } of offers) {
      this.#table.apply(tunnel, { type: "withdrawn", spi: rx.sa.spi, maybe });
      line.waiting.add(tunnel.key);
    }
    this.#bound(line.peer);
  }

  /** What one peer may have takes a bounded place, however often it does not answer. */
  #bound(peer: string): void {
    const held = this.#table.ofPeer(peer).flatMap((tunnel) =>
      tunnel.state.rx.filter(isMaybe).map((rx) => ({ tunnel, rx }))
    );
    if (held.length <= MAX_MAYBE_SAS) return;
    held.sort((a, b) => a.rx.sa.serial < b.rx.sa.serial ? -1 : 1);
    for (const { tunnel, rx } of held.slice(0, held.length - MAX_MAYBE_SAS)) {
      this.#table.apply(tunnel, { type: "forgotten", spi: rx.sa.spi });
    }
  }

  /** The peer holds nothing of ours: it said so, or was never told. */
  #refuse(tunnel: Tunnel, why: Why): void {
    this.#table.note(tunnel, why.message);
    const holdOffMs = this.#holdOffMs();
    this.#table.apply(tunnel, { type: "refused", reason: why.reason, holdOffMs });
  }

  /** The peer granted the tunnel, and this host cannot use its answer: the peer sends all the same. */
  #unusable(tunnel: Tunnel, why: Why): void {
    this.#table.note(tunnel, why.message);
    const holdOffMs = this.#holdOffMs();
    this.#table.apply(tunnel, { type: "unanswered", reason: why.reason, holdOffMs, maybe: true });
    this.#bound(tunnel.peer);
  }

  #holdOffMs(): number {
    const { config: { tunnel: { backOffMs, backOffMaxMs } }, random } = this.#parts;
    const full = Math.min(backOffMs * 8, backOffMaxMs, REFUSED_HOLD_OFF_MAX_MS);
    return full * (0.5 + random.uniform() / 2);
  }

  /** A batch may bring hundreds of these: one line a second says enough, the counters say all. */
  #say(message: string, fields: LogFields): void {
    const now = this.#parts.clock.now();
    if (now - this.#logAt < LOG_INTERVAL_MS) return;
    this.#logAt = now;
    this.#parts.log.warn(message, fields);
  }
}

/** Why a tunnel is left alone. */
interface Why {
  readonly reason: DropReason;
  readonly message: string;
}

function isMaybe(rx: Rx): boolean {
  return rx.maybeUntil !== undefined && !rx.confirmed;
}

/** Up without a word of the peer. */
function isUnheard({ state }: Tunnel): boolean {
  return (state.kind === "up" || state.kind === "rekeying") && state.tx.unconfirmed !== undefined;
}

function isLive({ state }: Tunnel): boolean {
  return state.kind === "up" || state.kind === "rekeying";
}

function reasonOf({ code }: ExchangeError): DropReason {
  switch (code) {
    case "permission_denied":
    case "unauthenticated":
    case "failed_precondition":
    case "invalid_argument":
      return "refused";
    default:
      return "peer_unreachable";
  }
}
