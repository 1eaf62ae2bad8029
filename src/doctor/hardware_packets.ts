// SPDX-License-Identifier: Apache-2.0

/**
 * Stages F and G of `doctor --hardware`: packets. F sends what software sealed with a key of the device to the device: whether
 * it opens them settles the octet order of keys. G waits for a packet of the workload, the seed's heart: it misses, is
 * held, resubmitted and sealed; at the far end software opens it.
 */
import type { Offline } from "../../ffi/offline.ts";
import type { Plane, PlaneEvent, PspVersionNumber, SpiKey } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import { ipPacket, udpDatagram } from "../pcap/build.ts";
import { withL2 } from "../pcap/frame.ts";
import { pspPacket } from "../pcap/psp_header.ts";
import type { FlowTable } from "../plane/flow_table.ts";
import { PSP_VERSIONS, spiText } from "../model/sa.ts";
import { PAIRS, rxSa, txSa } from "./hardware_keys.ts";
import { type Inquiry, No, NotAsked } from "./probe.ts";

/** A software plane whose uplink's cable ends at the device's. */
export interface Far {
  readonly plane: Plane;
  readonly flows: FlowTable;
  readonly crypto: Offline;
}

export interface PacketOptions {
  readonly plane: Plane;
  /** Handles of its host ports. */
  readonly hosts: readonly number[];
  readonly flows: FlowTable;
  readonly events: readonly PlaneEvent[];
  readonly clock: Clock;
  /** Outer address of the device. */
  readonly pip: string;
  /** Absent: nobody named its interfaces. */
  readonly far: Far | undefined;
  /** How long the workload may take to send something. */
  readonly waitMs: number;
}

/** Counters in hardware are a cache. */
const COUNTED_WITHIN_MS = 3000;
const LOOK_MS = 20;
const NO_FAR = "no interfaces of a far end were named (--far)";

/** Stage F. */
export async function askOpened(inquiry: Inquiry, options: PacketOptions): Promise<void> {
  for (const [i, version] of ([1, 0] as const).entries()) {
    await inquiry.ask({
      id: `F${i + 1}`,
      asks: `Does the device open what software seals with its key (${PSP_VERSIONS[version]})?`,
      yes:
        "DOCA gives a key's octets in the order of the specification: devices and software understand each other",
      no:
        "the octet order of keys is another one, or the packet did not arrive: look at uplink-rx-packets and rx-auth-fail",
    }, async () => {
      const { far } = need(options);
      const key = first(options.plane.generateSpis(version, 1));
      try {
        const sa = { ...rxSa(PAIRS.ipv4, key.spi), version: PSP_VERSIONS[version] };
        options.flows.addRx(sa);
        const before = options.plane.counters();
        far.plane.inject("uplink", frame(key, options));
        const opened = () => options.flows.rxStats(key.spi)?.packets ?? 0n;
        const ms = await until(options.clock, () => opened() > 0n);
        if (ms === undefined) throw new No(`not opened: ${changes(before, options.plane)}`);
        return `SPI ${spiText(key.spi)} counts ${opened()} after ${ms.toFixed(0)} ms`;
      } finally {
        options.flows.removeRx(key.spi);
        key.key.wipe();
      }
    });
  }
  await inquiry.ask({
    id: "F3",
    asks: "Is a packet with a wrong ICV kept out, and counted as such?",
    yes: "what fails authentication is seen (rx-auth-fail), by way of SYND_STATS",
    no: "forgeries are dropped without being counted, or worse",
  }, async () => {
    const { far } = need(options);
    const key = first(options.plane.generateSpis(1, 1));
    try {
      options.flows.addRx(rxSa(PAIRS.ipv4, key.spi));
      const before = options.plane.counters();
      const forged = frame(key, options);
      const last = forged.length - 1;
      forged[last] = (forged[last] ?? 0) ^ 1;
      far.plane.inject("uplink", forged);
      const counted = (of: Readonly<Record<string, bigint>>) => of["rx-auth-fail"] ?? 0n;
      const ms = await until(
        options.clock,
        () => counted(options.plane.counters()) > counted(before),
      );
      if ((options.flows.rxStats(key.spi)?.packets ?? 0n) > 0n) throw new No("it was let in");
      if (ms === undefined) throw new No(`not counted: ${changes(before, options.plane)}`);
      return `rx-auth-fail counts it after ${ms.toFixed(0)} ms`;
    } finally {
      options.flows.removeRx(key.spi);
      key.key.wipe();
    }
  });
}

/** Stage G. */
export async function askHeart(inquiry: Inquiry, options: PacketOptions): Promise<void> {
  const { plane, flows, events, clock, far } = options;
  type Miss = Extract<PlaneEvent, { type: "miss" }>;
  let miss: Miss | undefined;
  await inquiry.ask({
    id: "G1",
    asks: "Does a packet of the workload that matches nothing come to the CPU, and is it held?",
    yes: "the miss path works: mark, RSS, queue, hold",
    no: "first packets are lost",
  }, async () => {
    const ms = await until(clock, () => {
      miss = events.find((event): event is Miss =>
        event.type === "miss" && event.port === plane.ports.host
      );
      return miss !== undefined;
    }, options.waitMs);
    if (miss === undefined || ms === undefined) {
      throw new NotAsked(
        `none came in ${
          options.waitMs / 1000
        } s: ping an address behind the agent from the workload`,
      );
    }
    return `from ${miss.srcVip} to ${miss.dstVip}, MAC ${miss.ethSrc}`;
  });
  let sentSpi = 0;
  await inquiry.ask({
    id: "G2",
    asks: "Once its tunnel is programmed, is it resubmitted, and does it leave sealed?",
    yes:
      "a held packet enters the pipes again, matches and is encrypted: the first packet is not lost",
    no: "held packets go nowhere: look at TX_ROOT in the trace",
  }, async () => {
    if (miss === undefined) throw new NotAsked("nothing is held");
    const { srcVip, dstVip, flow } = miss;
    // The far end opens it with its own key; without one, any key will do to see it leave.
    const key = first((far?.plane ?? plane).generateSpis(1, 1));
    try {
      sentSpi = key.spi;
      far?.flows.addRx(rxSa([dstVip, srcVip], key.spi));
      const mac = far?.plane.port("uplink").mac ?? "02:00:00:00:00:fe";
      const pip = options.pip.includes(":") ? "2001:db8::fe" : "192.0.2.254";
      flows.setTx(txSa([srcVip, dstVip], { spi: key.spi, pip, mac }), { ...key, ivLimit: 0n });
    } finally {
      key.key.wipe();
    }
    const begin = clock.now();
    const released = plane.releaseHeld(flow);
    if (released === 0) throw new No("no packet was held any more");
    const sent = () => flows.txStats({ localVip: srcVip, remoteVip: dstVip })?.packets ?? 0n;
    const ms = await until(clock, () => sent() > 0n);
    if (ms === undefined) throw new No(`${released} released, and EGR_ACL counts none`);
    return `${released} released, ${sent()} sealed, seen ${
      (clock.now() - begin).toFixed(0)
    } ms later`;
  });
  await inquiry.ask({
    id: "G3",
    asks: "Does software open what the device sealed?",
    yes:
      "DOCA takes a key's octets in the order of the specification; header, IV and ICV are right",
    no:
      "octet order of keys, header, or the way there: capture at the far end, and psp-agent pcap open",
  }, async () => {
    if (sentSpi === 0) throw new NotAsked("nothing was sealed");
    const { far } = need(options);
    const before = far.plane.counters();
    const opened = () => far.flows.rxStats(sentSpi)?.packets ?? 0n;
    const ms = await until(clock, () => opened() > 0n);
    if (ms === undefined) throw new No(`not opened: ${changes(before, far.plane)}`);
    return `SPI ${spiText(sentSpi)} counts ${opened()} there`;
  });
  await inquiry.ask({
    id: "G4",
    asks: "Does an ARP request, a neighbour solicitation or DHCP of the workload come to the CPU?",
    yes: "the agent can answer the workload",
    no: "the workload finds no gateway",
  }, () => {
    const n = exceptions(events, plane.ports.host);
    if (n === 0) throw new NotAsked("none came meanwhile: arping the gateway from the workload");
    return `${n} frames`;
  });
  await inquiry.ask({
    id: "G5",
    asks: "Does DPDK take a frame for the workload?",
    yes:
      "replies go out, if tcpdump on the workload has shown this ARP announcement of 198.51.100.254",
    no: "the workload gets no reply to ARP, neighbour discovery and DHCP",
  }, () => {
    plane.inject("host", announcement(plane.port("host").mac));
    return "one gratuitous ARP was taken";
  });
  await askOthers(inquiry, options);
}

/** The host ports beyond the first. */
async function askOthers(inquiry: Inquiry, options: PacketOptions): Promise<void> {
  const { plane, events, clock, waitMs } = options;
  const others = options.hosts.filter((handle) => handle !== plane.ports.host);
  const need = () => {
    if (others.length === 0) throw new NotAsked("one representor is configured: name two");
  };
  await inquiry.ask({
    id: "G6",
    asks: "Do packets of the other representors come to the CPU, each with its port?",
    yes:
      "a packet carries the number of its port, for misses too, and each port has tunnels of its own",
    no:
      "a second tenant's packets are lost, or taken for the first's: look at ROOT_PORT and EGR_ACL_MISS",
  }, async () => {
    need();
    const come = (type: PlaneEvent["type"]) =>
      others.filter((port) =>
        events.some((event) => event.type === type && "port" in event && event.port === port)
      );
    const ms = await until(clock, () => come("miss").length === others.length, waitMs);
    if (ms !== undefined) return `misses of ports ${others.join(", ")}`;
    const some = new Set([...come("miss"), ...come("exception")]);
    if (some.size === 0) throw new NotAsked("none came: ping from behind them too");
    throw new No(`misses came from ${come("miss").length} of ${others.length} ports`);
  });
  await inquiry.ask({
    id: "G7",
    asks: "Does DPDK take a frame for each of them?",
    yes: "replies go out there, if tcpdump has shown the ARP announcement of 198.51.100.254",
    no: "their workloads get no reply",
  }, () => {
    need();
    for (const port of others) plane.inject(port, announcement(plane.port(port).mac));
    return `${others.length} gratuitous ARP`;
  });
}

function exceptions(events: readonly PlaneEvent[], port: number): number {
  return events.filter((event) => event.type === "exception" && event.port === port).length;
}

function need({ far }: PacketOptions): { readonly far: Far } {
  if (far === undefined) throw new NotAsked(NO_FAR);
  return { far };
}

function first(keys: readonly SpiKey[]): SpiKey {
  const [key] = keys;
  if (key === undefined) throw new NotAsked("there is no key");
  return key;
}

/** Milliseconds until `look` says yes; undefined: it did not. */
async function until(
  clock: Clock,
  look: () => boolean,
  withinMs = COUNTED_WITHIN_MS,
): Promise<number | undefined> {
  const begin = clock.now();
  for (;;) {
    if (look()) return clock.now() - begin;
    if (clock.now() - begin > withinMs) return undefined;
    await clock.sleep(LOOK_MS);
  }
}

/** Which counters grew, for whoever asks why. */
function changes(before: Readonly<Record<string, bigint>>, plane: Plane): string {
  const grown = Object.entries(plane.counters()).filter(([name, n]) => n > (before[name] ?? 0n));
  return grown.map(([name, n]) => `${name} +${n - (before[name] ?? 0n)}`).join(", ") ||
    "no counter has grown";
}

const LENGTH = 64;

/** An inner packet from the far vip to the near one, sealed with the device's key, as the far end would send it. */
function frame(key: SpiKey, options: PacketOptions): Uint8Array<ArrayBuffer> {
  const { far } = need(options);
  const [local, remote] = PAIRS.ipv4;
  const inner = ipPacket(udpDatagram(new Uint8Array(LENGTH), { srcPort: 4000, dstPort: 4001 }), {
    src: remote,
    dst: local,
    ttl: 64,
  });
  const version: PspVersionNumber = key.version;
  const clear = pspPacket(
    { nextHeader: 4, version, spi: key.spi, iv: 1n, cryptOffset: 5 },
    inner,
  );
  const datagram = udpDatagram(far.crypto.seal(key, clear), { srcPort: 50_000, dstPort: 1000 });
  const { pip } = options;
  const src = pip.includes(":") ? "2001:db8::fe" : "192.0.2.254";
  const to = macOctets(options.plane.port("uplink").mac);
  const from = macOctets(far.plane.port("uplink").mac);
  return withL2(
    Uint8Array.from([...to, ...from, 0, 0]),
    ipPacket(datagram, { src, dst: pip, ttl: 64 }),
  );
}

/** A gratuitous ARP for an address of nobody. */
function announcement(mac: string): Uint8Array<ArrayBuffer> {
  const own = macOctets(mac);
  const address = [198, 51, 100, 254];
  const arp = [0, 1, 8, 0, 6, 4, 0, 1, ...own, ...address, 0, 0, 0, 0, 0, 0, ...address];
  return Uint8Array.from([...Array<number>(6).fill(0xff), ...own, 8, 6, ...arp]);
}

function macOctets(mac: string): readonly number[] {
  return mac.split(":").map((part) => parseInt(part, 16));
}
