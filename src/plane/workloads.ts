// SPDX-License-Identifier: Apache-2.0

/** The workloads behind the host ports: where they are, and what they ask the gateway of their network. */
import { DataPlaneError, type Plane, type PlaneEvent } from "../../ffi/plane.ts";
import type { Config, LocalVip } from "../config/config.ts";
import { answerException } from "../exceptions/answer.ts";
import { arpProbe } from "../exceptions/arp.ts";
import type { ExceptionContext, LeaseDesk } from "../exceptions/context.ts";
import {
  type Bytes,
  ETH_HEADER_LEN,
  ETH_TYPE_ARP,
  macBytes,
  macText,
  parseHeader,
  view,
} from "../exceptions/frame.ts";
import { addressesOf, icmpError, type IcmpReason, ttlOf } from "../exceptions/icmp_error.ts";
import { Leases } from "../exceptions/leases.ts";
import { linkLocal, neighbourProbe, unsolicitedAdvertisement } from "../exceptions/nd.ts";
import { DEFAULT_GATEWAY, gatewayOf } from "../exceptions/pools.ts";
import type { Clock } from "../model/clock.ts";
import type { LeaseBook } from "../model/lease.ts";
import type { Log } from "../model/log.ts";
import { isUnicastMac } from "../model/mac.ts";
import { addressOf, type Denies, inNetwork, networkOf, policyOf } from "../model/network.ts";
import { isLinkScope } from "../model/vip.ts";
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
const WAITING_MAX = 4096;
const WAITING_MS = 2_000;

/** Who gets packets and was not heard for so long is asked: for a time at its port, then everywhere, then no more. */
const LISTENER_MS = 1_000;
const LISTENER_OWN_MS = 2_000;
const LISTENER_ASKED_MS = 5_000;

/** ICMP errors to one port. */
const ERRORS_PER_S = 50;

export interface WorkloadsOptions {
  readonly config: Pick<Config, "gatewayMac" | "vips" | "networks">;
  /** What the configuration says of single ports. Default: nothing. */
  readonly rules?: readonly PortRule[];
  /** Who owns which address: a peer, or this host. */
  readonly peers: { byVip(vip: string): unknown; isLocal(vip: string): boolean };
  readonly plane: Pick<Plane, "inject">;
  /** The host ports as they are now. */
  readonly ports: { all(): readonly NamedPort[]; get(handle: number): NamedPort | undefined };
  readonly clock: Clock;
  readonly log: Log;
  /** Where a network's leases outlive the process. Default: nowhere. */
  readonly book?: (network: string) => LeaseBook;
  /** Vips that got packets since the last question and sent none, some of them at a time. Default: none. */
  readonly listening?: () => Iterable<string>;
  /** Octets of IP that fit a tunnel; asked for again with each `follow`. */
  readonly mtu: number;
  /** Most addresses that are learned of one port. Default: 65,536. */
  readonly perPort?: number;
  /** Where a workload is is known now, is another place, or (undefined) is not known any more. */
  readonly moved: (vip: string, place: Place | undefined) => void;
}

const NO_PORT: IcmpReason = { kind: "no-port" };

/** Packets for a workload that is being looked for. */
interface Waiting {
  readonly frames: Bytes[];
  readonly since: number;
}

/** Learns where workloads are, answers ARP, ND and DHCP, and reports packets that are too big. */
export class Workloads {
  readonly #options: WorkloadsOptions;
  #segments: ReadonlyMap<string, Segment>;
  readonly #table: WorkloadTable;
  readonly #probedAt = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();
  #advertisedAt = -Infinity;
  #denies: Denies;
  /** Vips that got packets and said nothing: since when. */
  readonly #listeners = new Map<string, number>();
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
        else this.#segment(networkOf(vip)).leases.unuse(addressOf(vip));
      },
    });
    this.#denies = policyOf(options.config.networks);
    this.#segments = segmentsOf(vips, this.#segmentOptions());
  }

  /**
   * Other workloads live here now, or others are told of their network: what was learned of addresses that stay is kept,
   * and what is configured from now on, or otherwise, is in force at once. Networks and their policies are those that
   * `config` has now.
   */
  follow(
    { vips, rules }: { readonly vips: readonly LocalVip[]; readonly rules: readonly PortRule[] },
  ): void {
    const { config, peers } = this.#options;
    this.#denies = policyOf(config.networks);
    this.#segments = segmentsOf(vips, this.#segmentOptions(), this.#segments);
    this.#table.follow({ vips, rules, isLocal: (vip) => peers.isLocal(vip) });
    this.#advertisedAt = -Infinity;
  }

  #segmentOptions(): SegmentOptions {
    const { config: { gatewayMac, networks }, peers, mtu, clock, book } = this.#options;
    return { gatewayMac, networks, peers, mtu, wallMs: () => clock.wallMs(), book };
  }

  /** Whether frames to this MAC go to one workload: to none that is a group's, zero, or the gateway's, for everybody hears those, or nobody. */
  #isStation({ mac }: Place): boolean {
    return isUnicastMac(mac) && mac !== this.#options.config.gatewayMac;
  }

  #networkOf(port: number): string {
    return this.#options.ports.get(port)?.network ?? "";
  }

  /** What the guests of a network are answered from; of one without a vip here, nothing is ours. */
  #segment(network: string): Segment {
    return this.#segments.get(network) ??
      segmentsOf([], { ...this.#segmentOptions(), peers: NOBODY }).get("") as Segment;
  }

  /** Whether a network's policy refuses packets to an address of it; those that are refused are counted. */
  refuses(vip: string): boolean {
    const refused = this.#denies(vip);
    if (refused) this.#table.count("refused-policy");
    return refused;
  }

  /** Whether the gateway of a port's network has this address itself. */
  isGateway(vip: string, port: number): boolean {
    return this.#segment(this.#networkOf(port)).context.isGateway(addressOf(vip));
  }

  /** Where a local vip is. Undefined: not known yet; the workload is asked. */
  placeOf(vip: string): Place | undefined {
    const place = this.#table.find(vip);
    if (place === undefined) this.#look(vip);
    return place;
  }

  /** The same, and nobody is asked. */
  knownPlaceOf(vip: string): Place | undefined {
    return this.#table.find(vip);
  }

  /** Whether the policy of its network refuses packets to an address. */
  denies(vip: string): boolean {
    return this.#denies(vip);
  }

  /** Whether a port may have an address of this host: no rule gives it to another. */
  mayUse(vip: string, port: number): boolean {
    return this.#table.mayUse(vip, port);
  }

  /**
   * A packet shows where its sender is. False: the address is another port's. Of one whose MAC no workload has nothing is
   * learned, and it passes: it may be all that its sender can do, and what comes back goes to whoever answers for the address.
   */
  shows(vip: string, place: Place): boolean {
    return this.learn(vip, place) ||
      (!this.#isStation(place) && this.#table.mayUse(vip, place.port));
  }

  /** A workload claims an address. False: it is not its address, or not at this MAC. */
  learn(vip: string, place: Place): boolean {
    if (!this.#options.peers.isLocal(vip)) return true;
    if (!this.#isStation(place)) {
      this.#table.count("claims-refused");
      return false;
    }
    if (!this.#table.claim(vip, place)) return false;
    this.#segment(networkOf(vip)).leases.use(addressOf(vip), place.mac);
    return true;
  }

  /** A frame that ROOT sent to RSS. Never throws for what is in it. */
  onException(frame: Bytes, port: number): void {
    const network = this.#networkOf(port);
    const own = this.#segment(network).context;
    const context: ExceptionContext = {
      ...own,
      answersFor: (address, isClaim) =>
        own.answersFor(address, isClaim) ||
        (!isClaim && this.#isBehindAnother(inNetwork(address, network), port)),
      leases: this.#desk(network, port),
    };
    const { learned, left, reply } = answerException(frame, context);
    if (left !== undefined) this.#leave(inNetwork(left.vip, network), { mac: left.mac, port });
    // Who speaks for an address that is another port's gets no answer.
    if (learned !== undefined) {
      const vip = inNetwork(learned.vip, network);
      if (!this.learn(vip, { mac: learned.mac, port })) return;
    }
    if (reply !== undefined) this.#send(port, reply);
    else if (learned === undefined) this.#explain(frame, port);
  }

  /** Addresses that a port may have, its own first. */
  #desk(network: string, port: number): LeaseDesk {
    const { leases } = this.#segment(network);
    const fits = (address: string) => this.#table.mayUse(inNetwork(address, network), port);
    return {
      offer: (mac, { asked } = {}) => {
        const [own] = this.#table.ownOf(port).map(addressOf).filter((vip) => !vip.includes(":"));
        return leases.offer(mac, { asked: leases.of(mac)?.address ?? own ?? asked, fits });
      },
      accept: (mac, address) => fits(address) ? leases.accept(mac, address) : undefined,
      about: (address) => leases.about(address),
      release: (mac, address, how) => leases.release(mac, address, how),
    };
  }

  /** A workload has given its address back. */
  #leave(vip: string, { mac, port }: Place): void {
    const place = this.#table.find(vip);
    if (place?.mac === mac && place.port === port) this.#table.forget(vip);
  }

  /** A packet from a peer for a vip whose workload was not found when its tunnel was made. */
  onUndelivered(frame: Bytes, vip: string): void {
    if (parseHeader(frame) === undefined) return this.#table.count("workload-unknown");
    const place = this.placeOf(vip);
    if (place !== undefined) {
      // The next one need not come this way: its port may have come since.
      this.#options.moved(vip, place);
      return void this.#send(place.port, addressed(frame, place));
    }
    const waiting = this.#waiting.get(vip) ?? { frames: [], since: this.#options.clock.now() };
    if (waiting.frames.length >= WAITING_PER_VIP || this.#waitingTotal() >= WAITING_MAX) {
      return this.#table.count("workload-unknown");
    }
    waiting.frames.push(frame);
    this.#waiting.set(vip, waiting);
  }

  /** A packet that no tunnel can carry. */
  onTooBig(event: Extract<PlaneEvent, { type: "too_big" }>): void {
    const reason: IcmpReason = { kind: "too-big", mtu: event.mtu };
    const { context } = this.#segment(this.#networkOf(event.port));
    const reply = icmpError(event, reason, context);
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
    this.#checkListeners(clock.now());
    if (clock.now() - this.#advertisedAt < ADVERTISE_INTERVAL_MS) return;
    const due = ports.all().flatMap(({ handle }) => {
      const { context } = this.#segment(this.#networkOf(handle));
      return context.localVips.some(({ vip }) => vip.includes(":")) ? [{ handle, context }] : [];
    });
    const sent = due.map(({ handle, context }) =>
      this.#send(handle, unsolicitedAdvertisement(context))
    );
    if (sent.includes(true)) this.#advertisedAt = clock.now();
  }

  /** Guests of one prefix ask for each other; whoever is behind another port is reached by way of the gateway. */
  #isBehindAnother(vip: string, port: number): boolean {
    if (!this.#options.peers.isLocal(vip) || this.#options.ports.all().length < 2) return false;
    const place = this.placeOf(vip);
    return place !== undefined && place.port !== port;
  }

  /** A packet that the pipes handed over because nobody gets it: its sender is told. */
  #explain(frame: Bytes, port: number): void {
    const ip = frame.subarray(ETH_HEADER_LEN);
    const addresses = addressesOf(ip);
    if (addresses === undefined || view(frame).getUint16(12) === ETH_TYPE_ARP) return;
    // Sent to many on the link, it would be answered by as many (RFC 1812, 4.3.2.7; RFC 4443, 2.4 e).
    if (((frame[0] ?? 0) & 1) !== 0) return;
    const network = this.#networkOf(port);
    const [src, dst] = [inNetwork(addresses.src, network), inNetwork(addresses.dst, network)];
    const isGateway = this.isGateway(dst, port);
    if (isLinkScope(src) || (isLinkScope(dst) && !isGateway)) return;
    if (!this.#table.mayUse(src, port)) return;
    const reason = isGateway ? NO_PORT : this.#reasonFor(dst, ttlOf(ip));
    if (reason === undefined || !this.#mayExplain(port)) return;
    const packet = { data: ip, ethSrc: macText(frame.subarray(6)) };
    const reply = icmpError(packet, reason, this.#segment(network).context);
    if (reply === undefined || !this.#send(port, reply)) return;
    this.#table.count(reason.kind === "time-exceeded" ? "time-exceeded-sent" : "unreachable-sent");
  }

  #reasonFor(dst: string, ttl: number): IcmpReason | undefined {
    const { peers } = this.#options;
    if (!peers.isLocal(dst)) {
      if (this.#denies(dst)) return { kind: "prohibited" };
      return peers.byVip(dst) === undefined ? { kind: "no-route" } : undefined;
    }
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

  /**
   * Who gets packets and says nothing may have got another MAC, or have gone elsewhere, without a word: it is asked, at its
   * port first and where it does not answer at all that it can be (RFC 4861's unreachability detection, for ARP too).
   */
  #checkListeners(now: number): void {
    for (const vip of this.#options.listening?.() ?? []) {
      if (!this.#listeners.has(vip)) this.#listeners.set(vip, now);
    }
    for (const [vip, since] of this.#listeners) {
      const heardAt = this.#table.heardAt(vip);
      const place = this.#table.find(vip);
      // Heard, or never: what the configuration says, nobody has to confirm.
      if (heardAt === undefined || place === undefined || heardAt >= since) {
        this.#listeners.delete(vip);
      } else if (now - since >= LISTENER_ASKED_MS) this.#listeners.delete(vip);
      else if (now - heardAt < LISTENER_MS) continue;
      else if (now - since < LISTENER_OWN_MS) this.#probe(vip, [place.port]);
      else this.#look(vip);
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
    const address = addressOf(vip);
    const frame = address.includes(":")
      ? neighbourProbe(address, this.#segment(networkOf(vip)).context)
      : arpProbe(address, config.gatewayMac);
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

/** Nobody owns anything. */
const NOBODY = { byVip: () => undefined, isLocal: () => false };

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

// ---- what the gateway of a network knows --------------------------------------------------------

/** Of all networks. */
interface SegmentOptions {
  readonly gatewayMac: string;
  /** Who owns which vip: a peer, or this host. */
  readonly peers: { byVip(vip: string): unknown; isLocal(vip: string): boolean };
  /** Octets of IP that fit a tunnel. */
  readonly mtu: number;
  readonly networks?: Config["networks"] | undefined;
  readonly wallMs: () => number;
  /** Where a network's leases outlive the process. */
  readonly book?: ((network: string) => LeaseBook) | undefined;
}

/**
 * One network, as its guests see it: vips and prefixes without the network's name, as frames have them. Each has leases of its
 * own; equal addresses of two have nothing to do with one another.
 */
interface Segment {
  readonly context: ExceptionContext;
  readonly leases: Leases;
}

/** The segments of these vips by network, the default one always; leases of before go on where they can. */
function segmentsOf(
  vips: readonly LocalVip[],
  options: SegmentOptions,
  before: ReadonlyMap<string, Segment> = new Map(),
): ReadonlyMap<string, Segment> {
  const names = new Set(["", ...vips.map(({ vip }) => networkOf(vip))]);
  return new Map([...names].map((network) => {
    const own = vips.filter(({ vip }) => networkOf(vip) === network)
      .map((vip) => ({ ...vip, vip: addressOf(vip.vip) }));
    const leases = before.get(network)?.leases.renewed(own) ??
      new Leases(own, { wallMs: options.wallMs, book: options.book?.(network) });
    return [network, segment({ network, vips: own, leases }, options)] as const;
  }));
}

function segment(
  { network, vips, leases }: {
    readonly network: string;
    readonly vips: readonly LocalVip[];
    readonly leases: Leases;
  },
  { gatewayMac, peers, mtu, networks }: SegmentOptions,
): Segment {
  const settings = networks?.find(({ name }) => name === network);
  const gateways = new Set(vips.flatMap((vip) => vip.gateway ?? gatewayOf(vip)));
  const gatewayLinkLocal = linkLocal(gatewayMac);
  const vipOf = (address: string) => inNetwork(address, network);
  const context: ExceptionContext = {
    gatewayMac,
    gatewayLinkLocal,
    gateway: vips.map(gatewayOf).find((gateway) => !gateway.includes(":")) ?? DEFAULT_GATEWAY,
    localVips: vips,
    // Whoever owns 0.0.0.0/0 owns no address of the segment: guests look there for each other's.
    answersFor: (address) =>
      gateways.has(address) ||
      (!isLinkScope(address) && peers.byVip(vipOf(address)) !== undefined),
    isGateway: (address) => gateways.has(address) || address === gatewayLinkLocal,
    isLocal: (address) => peers.isLocal(vipOf(address)),
    mtu: Math.min(mtu, settings?.mtu ?? mtu),
    leases,
  };
  return { context, leases };
}
