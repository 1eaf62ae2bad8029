// SPDX-License-Identifier: Apache-2.0

/** The workloads behind the host ports: where they are, and what they ask their gateway. */
import { DataPlaneError, type Plane, type PlaneEvent } from "../../ffi/plane.ts";
import type { Config, LocalVip } from "../config/config.ts";
import { answerException } from "../exceptions/answer.ts";
import { arpProbe } from "../exceptions/arp.ts";
import type { ExceptionContext } from "../exceptions/context.ts";
import {
  type Bytes,
  ETH_HEADER_LEN,
  ETH_TYPE_ARP,
  macBytes,
  macText,
  parseHeader,
  view,
} from "../exceptions/frame.ts";
import { DEFAULT_GATEWAY, gatewayOf, Leases } from "../exceptions/leases.ts";
import { linkLocal, neighbourProbe, unsolicitedAdvertisement } from "../exceptions/nd.ts";
import { addressesOf, icmpError, type IcmpReason, ttlOf } from "../exceptions/icmp_error.ts";
import type { Log } from "../model/log.ts";
import { isLinkScope } from "../model/vip.ts";
import type { Clock } from "../model/clock.ts";
import type { NamedPort } from "./links.ts";
import { type Place, type PortRule, WorkloadTable } from "./workload_table.ts";

/** A vip is asked for at most once in this time. */
const PROBE_INTERVAL_MS = 1000;
/** RFC 4861's default: well within the lifetimes that an advertisement tells. */
const ADVERTISE_INTERVAL_MS = 600_000;
/** Most vips of which the last question is remembered. */
const PROBED_MAX = 65_536;
/** A learned address that nothing was heard of for so long is asked for, and forgotten where nobody answers. */
const STALE_MS = 300_000;
const ASKED_MS = 3_000;
/** Addresses that are looked at in one tick. */
const STALE_BATCH = 64;
/** Most packets that wait until their workload is found: of one vip, of all; and how long. */
const WAITING_PER_VIP = 8;
const WAITING_MAX = 256;
const WAITING_MS = 2_000;

/** ICMP errors to one port. */
const ERRORS_PER_S = 50;

export interface WorkloadsOptions {
  readonly config: Pick<Config, "gatewayMac" | "vips">;
  /** What the configuration says of single ports. Default: nothing. */
  readonly rules?: readonly PortRule[];
  /** Who owns which address: a peer, or this host. */
  readonly peers: { byVip(vip: string): unknown; isLocal(vip: string): boolean };
  readonly plane: Pick<Plane, "inject">;
  /** The host ports as they are now. */
  readonly ports: { all(): readonly NamedPort[]; get(handle: number): NamedPort | undefined };
  readonly clock: Clock;
  readonly log: Log;
  /** Octets of IP that fit a tunnel. */
  readonly mtu: number;
  /** Most addresses that are learned of one port. Default: 65,536. */
  readonly perPort?: number;
  /** Where a workload is is known now, is another place, or (undefined) is not known any more. */
  readonly moved: (vip: string, place: Place | undefined) => void;
}

/** Packets for a workload that is being looked for. */
interface Waiting {
  readonly frames: Bytes[];
  readonly since: number;
}

/** Learns where workloads are, answers ARP, ND and DHCP, and reports packets that are too big. */
export class Workloads {
  readonly #options: WorkloadsOptions;
  #context: ExceptionContext;
  readonly #table: WorkloadTable;
  readonly #probedAt = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();
  #leases: Leases;
  #advertisedAt = -Infinity;
  /** By port, ICMP errors in a second. */
  readonly #told = new Map<number, { readonly since: number; n: number }>();

  constructor(options: WorkloadsOptions) {
    this.#options = options;
    const { vips } = options.config;
    this.#table = new WorkloadTable({
      vips,
      rules: options.rules ?? [],
      ports: options.ports,
      clock: options.clock,
      log: options.log,
      perPort: options.perPort ?? 65_536,
      moved: (vip, place) => {
        options.moved(vip, place);
        if (place !== undefined) this.#deliver(vip, place);
      },
    });
    this.#leases = new Leases(vips);
    this.#context = this.#contextFor(vips);
  }

  /**
   * Other workloads live here now: what was learned of addresses that stay is kept, and a MAC that is configured from now
   * on, or another one, is in force at once.
   */
  setVips(vips: readonly LocalVip[]): void {
    this.#leases = this.#leases.renewed(vips);
    this.#context = this.#contextFor(vips);
    this.#table.setVips(vips, (vip) => this.#options.peers.isLocal(vip));
    this.#advertisedAt = -Infinity;
  }

  #contextFor(vips: readonly LocalVip[]): ExceptionContext {
    const { config, peers, mtu } = this.#options;
    const gateways = new Set(vips.flatMap((vip) => vip.gateway ?? gatewayOf(vip)));
    return {
      gatewayMac: config.gatewayMac,
      gatewayLinkLocal: linkLocal(config.gatewayMac),
      localVips: vips,
      gateway: vips.map(gatewayOf).find((gateway) => !gateway.includes(":")) ??
        DEFAULT_GATEWAY,
      // Whoever owns 0.0.0.0/0 owns no address of the segment: guests look there for each other's.
      answersFor: (address) =>
        gateways.has(address) || (!isLinkScope(address) && peers.byVip(address) !== undefined),
      isLocal: (address) => peers.isLocal(address),
      mtu,
      leaseFor: (mac) => this.#leases.leaseFor(mac),
    };
  }

  /** Where a local vip is. Undefined: not known yet; the workload is asked. */
  placeOf(vip: string): Place | undefined {
    const place = this.#table.find(vip);
    if (place === undefined) this.#look(vip);
    return place;
  }

  /** What a packet that came from a workload tells about it. False: it is not its address. */
  learn(vip: string, place: Place): boolean {
    if (!this.#options.peers.isLocal(vip)) return true;
    if (!this.#table.claim(vip, place)) return false;
    this.#leases.use(vip, place.mac);
    return true;
  }

  /** A frame that ROOT sent to RSS. Never throws for what is in it. */
  onException(frame: Bytes, port: number): void {
    const context: ExceptionContext = {
      ...this.#context,
      answersFor: (address, isClaim) =>
        this.#context.answersFor(address, isClaim) ||
        (!isClaim && this.#isBehindAnother(address, port)),
    };
    const { learned, reply } = answerException(frame, context);
    // Who speaks for an address that is another port's gets no answer.
    if (learned !== undefined && !this.learn(learned.vip, { mac: learned.mac, port })) return;
    if (reply !== undefined) this.#send(port, reply);
    else if (learned === undefined) this.#explain(frame, port);
  }

  /** A packet from a peer, for a workload that was not found when its tunnel was made. Never throws for what is in it. */
  onUndelivered(frame: Bytes): void {
    const header = parseHeader(frame);
    if (header === undefined) return this.#table.count("workload-unknown");
    const place = this.placeOf(header.dst);
    if (place !== undefined) return void this.#send(place.port, addressed(frame, place));
    const waiting = this.#waiting.get(header.dst) ??
      { frames: [], since: this.#options.clock.now() };
    if (waiting.frames.length >= WAITING_PER_VIP || this.#waitingTotal() >= WAITING_MAX) {
      return this.#table.count("workload-unknown");
    }
    waiting.frames.push(frame);
    this.#waiting.set(header.dst, waiting);
  }

  /** A packet that no tunnel can carry. */
  onTooBig(event: Extract<PlaneEvent, { type: "too_big" }>): void {
    const reason: IcmpReason = { kind: "too-big", mtu: event.mtu };
    const reply = icmpError(event, reason, this.#context);
    if (reply !== undefined) this.#send(event.port, reply);
  }

  /** The port is about to go: nothing is to be sent there any more. */
  dropPort(port: number): void {
    this.#told.delete(port);
    this.#table.dropPort(port);
  }

  /** How many addresses were learned of a port. */
  countOf(port: number): number {
    return this.#table.countOf(port);
  }

  counters(): Readonly<Record<string, bigint>> {
    return this.#table.counters();
  }

  /** What is due without being asked for: router advertisements, questions, what waited too long. Call it every second. */
  tick(): void {
    const { clock, ports } = this.#options;
    this.#giveUp(clock.now() - WAITING_MS);
    this.#ask(clock.now());
    if (!this.#context.localVips.some(({ vip }) => vip.includes(":"))) return;
    if (clock.now() - this.#advertisedAt < ADVERTISE_INTERVAL_MS) return;
    const frame = unsolicitedAdvertisement(this.#context);
    const sent = ports.all().map(({ handle }) => this.#send(handle, frame));
    if (sent.includes(true)) this.#advertisedAt = clock.now();
  }

  /** Guests of one prefix ask for each other; whoever is behind another port is reached by way of the gateway. */
  #isBehindAnother(address: string, port: number): boolean {
    if (!this.#options.peers.isLocal(address) || this.#options.ports.all().length < 2) return false;
    const place = this.placeOf(address);
    return place !== undefined && place.port !== port;
  }

  /** A packet that the pipes handed over because nobody gets it: its sender is told. */
  #explain(frame: Bytes, port: number): void {
    const ip = frame.subarray(ETH_HEADER_LEN);
    const addresses = addressesOf(ip);
    if (addresses === undefined || view(frame).getUint16(12) === ETH_TYPE_ARP) return;
    const { src, dst } = addresses;
    if (isLinkScope(src) || isLinkScope(dst) || !this.#table.mayUse(src, port)) return;
    const reason = this.#reasonFor(dst, ttlOf(ip));
    if (reason === undefined || !this.#mayExplain(port)) return;
    const packet = { data: ip, ethSrc: macText(frame.subarray(6)) };
    const reply = icmpError(packet, reason, this.#context);
    if (reply === undefined || !this.#send(port, reply)) return;
    this.#table.count(reason.kind === "time-exceeded" ? "time-exceeded-sent" : "unreachable-sent");
  }

  #reasonFor(dst: string, ttl: number): IcmpReason | undefined {
    const { peers } = this.#options;
    if (peers.byVip(dst) !== undefined) return undefined;
    if (!peers.isLocal(dst)) return { kind: "no-route" };
    return this.#table.find(dst) !== undefined && ttl <= 1
      ? { kind: "time-exceeded" }
      : { kind: "no-host" };
  }

  /** So many ICMP errors a second and port, and no more (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f). */
  #mayExplain(port: number): boolean {
    const now = this.#options.clock.now();
    const since = Math.floor(now / 1000);
    const told = this.#told.get(port);
    if (told === undefined || told.since !== since) {
      this.#told.set(port, { since, n: 1 });
      return true;
    }
    return ++told.n <= ERRORS_PER_S;
  }

  /** Workloads that have been silent for long are asked, and forgotten when they do not answer. */
  #ask(now: number): void {
    const stale = [...take(this.#table.heardBefore(now - STALE_MS), STALE_BATCH)];
    for (const [vip, place] of stale) {
      const heardAt = this.#table.heardAt(vip) ?? now;
      if (now - heardAt > STALE_MS + ASKED_MS) this.#table.forget(vip);
      else this.#probe(vip, [place.port]);
    }
  }

  #look(vip: string): void {
    this.#probe(vip, this.#table.candidates(vip).map(({ handle }) => handle));
  }

  #probe(vip: string, ports: readonly number[]): void {
    const { clock, config } = this.#options;
    const last = this.#probedAt.get(vip);
    if (last !== undefined && clock.now() - last < PROBE_INTERVAL_MS) return;
    if (this.#probedAt.size >= PROBED_MAX) this.#probedAt.clear();
    this.#probedAt.set(vip, clock.now());
    const isIpv6 = vip.includes(":");
    const frame = isIpv6 ? neighbourProbe(vip, this.#context) : arpProbe(vip, config.gatewayMac);
    for (const port of ports) this.#send(port, frame);
  }

  #deliver(vip: string, place: Place): void {
    const waiting = this.#waiting.get(vip);
    if (waiting === undefined) return;
    this.#waiting.delete(vip);
    for (const frame of waiting.frames) this.#send(place.port, addressed(frame, place));
  }

  #giveUp(before: number): void {
    for (const [vip, { frames, since }] of this.#waiting) {
      if (since > before) {
        this.#look(vip);
        continue;
      }
      this.#waiting.delete(vip);
      for (const _ of frames) this.#table.count("workload-unknown");
    }
  }

  #waitingTotal(): number {
    return [...this.#waiting.values()].reduce((sum, { frames }) => sum + frames.length, 0);
  }

  /** False: the host port does not take it now (its queue is full, it is down). Whoever asked asks again. */
  #send(port: number, frame: Bytes): boolean {
    try {
      this.#options.plane.inject(port, frame);
      return true;
    } catch (error) {
      if (!(error instanceof DataPlaneError)) throw error;
      this.#options.log.debug("The host port did not take a reply", { cause: error.message });
      return false;
    }
  }
}

/** The frame, to the workload's MAC. */
function addressed(frame: Bytes, { mac }: Place): Bytes {
  frame.set(macBytes(mac), 0);
  return frame;
}

function* take<T>(items: Iterable<T>, n: number): Generator<T> {
  for (const item of items) {
    if (n-- <= 0) return;
    yield item;
  }
}
