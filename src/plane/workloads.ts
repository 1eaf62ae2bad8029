// SPDX-License-Identifier: Apache-2.0

/** The workloads behind the host port: where they are, and what they ask their gateway. */
import { DataPlaneError, type Plane, type PlaneEvent } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import { answerException } from "../exceptions/answer.ts";
import { arpProbe } from "../exceptions/arp.ts";
import type { Answer, ExceptionContext } from "../exceptions/context.ts";
import type { Bytes } from "../exceptions/frame.ts";
import { gatewayOf, Leases } from "../exceptions/leases.ts";
import { linkLocal, neighbourProbe, unsolicitedAdvertisement } from "../exceptions/nd.ts";
import { tooBigReply } from "../exceptions/too_big.ts";
import type { Log } from "../model/log.ts";
import { isLinkScope } from "../model/vip.ts";
import type { Clock } from "../model/clock.ts";

/** A vip is asked for at most once in this time. */
const PROBE_INTERVAL_MS = 1000;
/** RFC 4861's default: well within the lifetimes that an advertisement tells. */
const ADVERTISE_INTERVAL_MS = 600_000;
/** Most workloads that are remembered by what they said themselves. */
const LEARNED_MAX = 65_536;

export interface WorkloadsOptions {
  readonly config: Pick<Config, "gatewayMac" | "vips">;
  /** Who owns which address: a peer, or this host. */
  readonly peers: { byVip(vip: string): unknown; isLocal(vip: string): boolean };
  readonly plane: Pick<Plane, "inject">;
  readonly clock: Clock;
  readonly log: Log;
  /** Octets of IP that fit a tunnel. */
  readonly mtu: number;
  /** A workload's MAC is known now, or another. */
  readonly moved: (vip: string, mac: string) => void;
}

/** Learns MACs, answers ARP, ND and DHCP, and reports packets that are too big. */
export class Workloads {
  readonly #options: WorkloadsOptions;
  readonly #context: ExceptionContext;
  readonly #macs = new Map<string, string>();
  readonly #configured: ReadonlySet<string>;
  readonly #probedAt = new Map<string, number>();
  readonly #leases: Leases;
  #advertisedAt = -Infinity;

  constructor(options: WorkloadsOptions) {
    this.#options = options;
    const { config, peers } = options;
    const hosts = config.vips.filter((vip) => /\/(32|128)$/.test(vip.vip));
    for (const { vip, mac } of hosts) {
      if (mac !== undefined) this.#macs.set(vip.replace(/\/\d+$/, ""), mac);
    }
    this.#configured = new Set(this.#macs.keys());
    const gateways = new Set(config.vips.flatMap((vip) => vip.gateway ?? gatewayOf(vip)));
    const leases = this.#leases = new Leases(config.vips);
    this.#context = {
      gatewayMac: config.gatewayMac,
      gatewayLinkLocal: linkLocal(config.gatewayMac),
      localVips: config.vips,
      // Whoever owns 0.0.0.0/0 owns no address of the segment: guests look there for each other's.
      answersFor: (address) =>
        gateways.has(address) || (!isLinkScope(address) && peers.byVip(address) !== undefined),
      isLocal: (address) => peers.isLocal(address),
      mtu: options.mtu,
      leaseFor: (mac) => leases.leaseFor(mac),
    };
  }

  /** The MAC of a local vip. Undefined: not known yet; the workload is asked. */
  macOf(vip: string): string | undefined {
    const mac = this.#macs.get(vip);
    if (mac === undefined) this.#probe(vip);
    return mac;
  }

  /** What a packet that came from a workload tells about it. */
  learn(vip: string, mac: string): void {
    if (this.#configured.has(vip) || this.#macs.get(vip) === mac) return;
    if (!this.#options.peers.isLocal(vip) || this.#macs.size >= LEARNED_MAX) return;
    this.#macs.set(vip, mac);
    this.#leases.use(vip, mac);
    this.#options.log.debug("Workload found", { vip, mac });
    this.#options.moved(vip, mac);
  }

  /** A frame that ROOT sent to RSS. Never throws for what is in it. */
  onException(frame: Bytes): void {
    const answer: Answer = answerException(frame, this.#context);
    if (answer.learned !== undefined) this.learn(answer.learned.vip, answer.learned.mac);
    if (answer.reply !== undefined) this.#send(answer.reply);
  }

  /** A packet that no tunnel can carry. */
  onTooBig(event: Extract<PlaneEvent, { type: "too_big" }>): void {
    const reply = tooBigReply(event, this.#context);
    if (reply !== undefined) this.#send(reply);
  }

  /** What is due without being asked for: router advertisements. Call it every few seconds. */
  tick(): void {
    const { clock, config } = this.#options;
    if (!config.vips.some(({ vip }) => vip.includes(":"))) return;
    if (clock.now() - this.#advertisedAt < ADVERTISE_INTERVAL_MS) return;
    if (this.#send(unsolicitedAdvertisement(this.#context))) this.#advertisedAt = clock.now();
  }

  #probe(vip: string): void {
    const { clock, config } = this.#options;
    const last = this.#probedAt.get(vip);
    if (last !== undefined && clock.now() - last < PROBE_INTERVAL_MS) return;
    if (this.#probedAt.size >= LEARNED_MAX) this.#probedAt.clear();
    this.#probedAt.set(vip, clock.now());
    const isIpv6 = vip.includes(":");
    this.#send(isIpv6 ? neighbourProbe(vip, this.#context) : arpProbe(vip, config.gatewayMac));
  }

  /** False: the host port does not take it now (its queue is full, it is down). Whoever asked asks again. */
  #send(frame: Bytes): boolean {
    try {
      this.#options.plane.inject("host", frame);
      return true;
    } catch (error) {
      if (!(error instanceof DataPlaneError)) throw error;
      this.#options.log.debug("The host port did not take a reply", { cause: error.message });
      return false;
    }
  }
}
