// SPDX-License-Identifier: Apache-2.0

/** `psp-agent pcap open`: the PSP packets of a capture in clear, and a verdict for every packet. */
import { Key } from "../../ffi/key.ts";
import type { Offline, Unsealed, Verdict } from "../../ffi/offline.ts";
import type { PspVersionNumber, SpiKey } from "../../ffi/plane.ts";
import type { CapturedPacket } from "./capture.ts";
import { readCapture, writeCapture } from "./format.ts";
import { parseFrame, parseUdp, PROTO, withL2, withPayload } from "./frame.ts";
import { keyFor, type PcapKeys, spiText } from "./keys.ts";
import { readPspHeader } from "./psp_header.ts";

export interface OpenOptions {
  readonly crypto: Offline;
  readonly keys: PcapKeys;
  /** Accepted versions; default 0 and 1. */
  readonly versions?: readonly PspVersionNumber[];
  /** UDP destination port of PSP packets. Default: 1000. */
  readonly port?: number;
  /** "ethernet": opened packets keep their Ethernet header and VLAN tags. Default: "ip". */
  readonly output?: "ip" | "ethernet";
  /** Called before each packet. */
  readonly onPacket?: OnPacket;
}

/** How far a capture is: packets that are done, of so many. */
export type OnPacket = (done: number, of: number) => void;

/** What became of one packet; printed as one line of JSON. Sizes in octets. */
export interface PacketResult {
  readonly index: number;
  readonly verdict: Verdict | "not psp" | "udp-layer";
  /** 8 hexadecimal digits. */
  readonly spi?: string;
  /** 16 hexadecimal digits. */
  readonly iv?: string;
  readonly version?: number;
  /** The packet as it was captured. */
  readonly size_in: number;
  /** PSP header to ICV. */
  readonly size_psp?: number;
  /** The packet as it was written. */
  readonly size_out?: number;
  /** Why the verdict is not "ok". */
  readonly reason?: string;
}

/** A packet's result and, when it is to be written, the packet. */
export interface PacketOutcome {
  readonly result: PacketResult;
  readonly packet?: CapturedPacket;
}

/** What a pcap tool made of a capture. */
export interface CaptureOutcome {
  readonly results: readonly PacketResult[];
  /** A classic pcap file of the packets whose verdict is "ok". */
  readonly file: Uint8Array<ArrayBuffer>;
  /** Why the rest of the input could not be read, when it could not. */
  readonly problem?: string;
}

/** Opens a capture file. Throws `ConfigError` when it is none. */
export function openCapture(
  file: Uint8Array<ArrayBuffer>,
  options: OpenOptions,
): CaptureOutcome {
  const { packets, nanoseconds, problem } = readCapture(file);
  const outcomes = packets.map((packet, index) => {
    options.onPacket?.(index, packets.length);
    return openPacket(packet, { ...options, index });
  });
  const out = outcomes.flatMap(({ packet }) => packet === undefined ? [] : [packet]);
  const ethernet = options.output === "ethernet" && out.every(({ link }) => link === "ethernet");
  return {
    results: outcomes.map(({ result }) => result),
    file: writeCapture(ethernet ? out : out.map(withoutL2), {
      link: ethernet ? "ethernet" : "ip",
      nanoseconds,
    }),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Opens one packet. Never throws for what the packet is. */
export function openPacket(
  captured: CapturedPacket,
  options: OpenOptions & { readonly index: number },
): PacketOutcome {
  const base = { index: options.index, size_in: captured.data.length };
  const frame = parseFrame(captured);
  if (!frame.ok) {
    const verdict = frame.verdict === "not ip" ? "not psp" : frame.verdict;
    return { result: { ...base, verdict, reason: frame.reason } };
  }
  const notPsp = (reason: string) => ({ result: { ...base, verdict: "not psp" as const, reason } });
  if (frame.protocol !== PROTO.UDP) return notPsp(`IP protocol ${frame.protocol}`);
  if (frame.fragment) return notPsp("a fragment of an IP packet");
  const udp = parseUdp(frame);
  if (typeof udp === "string") return { result: { ...base, verdict: "malformed", reason: udp } };
  if (udp.dstPort !== (options.port ?? 1000)) return notPsp(`UDP port ${udp.dstPort}`);
  if (!udp.checksumOk) {
    return { result: { ...base, verdict: "udp-layer", reason: "the UDP checksum is wrong" } };
  }
  const psp = udp.payload;
  const header = readPspHeader(psp);
  const seen = {
    ...base,
    size_psp: psp.length,
    ...(header === undefined ? {} : {
      spi: spiText(header.spi),
      iv: header.iv.toString(16).padStart(16, "0"),
      version: header.version,
    }),
  };
  const { verdict, clear, reason } = unseal(psp, options);
  if (verdict !== "ok" || header === undefined) return { result: { ...seen, verdict, reason } };
  const payload = clear.subarray(header.size);
  const tunnel = header.nextHeader === PROTO.IPV4 || header.nextHeader === PROTO.IPV6;
  const ip = tunnel
    ? payload.slice()
    : withPayload(frame, { protocol: header.nextHeader, payload });
  const data = options.output === "ethernet" ? withL2(frame.l2, ip) : ip;
  const link = data === ip ? "ip" : "ethernet";
  const { timeNs } = captured;
  return {
    result: { ...seen, verdict, size_out: data.length },
    packet: { link, timeNs, data, originalLength: data.length },
  };
}

/** What a PSP packet is by itself: the verdict of the shim, and a sentence for every one but "ok". */
function unseal(
  psp: Uint8Array<ArrayBuffer>,
  { crypto, keys, versions = [0, 1] }: OpenOptions,
): Unsealed & { readonly reason: string } {
  const header = readPspHeader(psp);
  const spi = header?.spi ?? 0;
  // A version that is not known is for the shim to refuse: any key will do.
  const version = ((header?.version ?? 0) & 3) as PspVersionNumber;
  const found = keyFor(keys, { crypto, spi, version });
  const key = typeof found === "string" ? placeholder(spi, version) : found;
  try {
    const unsealed = crypto.unseal(key, psp, versions);
    if (typeof found === "string" && unsealed.verdict === "icv") {
      return { ...unsealed, verdict: "discard", reason: found };
    }
    return { ...unsealed, reason: REASONS[unsealed.verdict] };
  } finally {
    key.key.wipe();
  }
}

/** Lets the shim judge the header of a packet that we have no key for. */
function placeholder(spi: number, version: PspVersionNumber): SpiKey {
  return { spi, version, key: new Key(new Uint8Array(version % 2 === 0 ? 16 : 32)) };
}

const REASONS: Readonly<Record<Verdict, string>> = {
  ok: "",
  icv: "authentication failed",
  malformed: "header lengths contradict each other",
  short: "no room for header and ICV",
  discard: "the version is not supported",
  reserved: "the SPI is reserved",
  policy: "authentic, but not to be forwarded: D bit, no payload, or an unknown next header",
};

function withoutL2(packet: CapturedPacket): CapturedPacket {
  const frame = parseFrame(packet);
  return frame.ok
    ? { ...packet, link: "ip", data: frame.ip, originalLength: frame.ip.length }
    : packet;
}
