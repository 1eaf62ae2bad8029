// SPDX-License-Identifier: Apache-2.0

/** `psp-agent pcap seal`: the IP packets of a capture as PSP packets. */
import type { Offline } from "../../ffi/offline.ts";
import { DataPlaneError, type PspVersionNumber, type SpiKey } from "../../ffi/plane.ts";
import { ConfigError } from "../config/config.ts";
import type { PspMode } from "../model/sa.ts";
import { flowPort, ipPacket, outerFamily, udpDatagram } from "./build.ts";
import type { CapturedPacket } from "./capture.ts";
import { readCapture, writeCapture } from "./format.ts";
import { type IpFrame, parseFrame, PROTO, withL2, withPayload } from "./frame.ts";
import { keyFor, type PcapKeys, spiText } from "./keys.ts";
import type { CaptureOutcome, OnPacket, PacketOutcome, PacketResult } from "./open.ts";
import { pspPacket } from "./psp_header.ts";
import { messageOf } from "../model/errors.ts";

export interface SealOptions {
  readonly crypto: Offline;
  readonly keys: PcapKeys;
  /** Called before each packet. */
  readonly onPacket?: OnPacket;
  readonly spi: number;
  /** IV of the first packet; each packet that is sealed takes the next. Default: 1. */
  readonly firstIv?: bigint;
  /** Default: 0, AES-GCM-128. */
  readonly version?: PspVersionNumber;
  /**
   * 4-octet units from the end of the IV. Default: tunnel mode 5 for inner IPv4 and 10 for IPv6, transport
   * mode 0; with a VC 2 more, so that it stays in clear.
   */
  readonly cryptOffset?: number;
  /** Virtualization cookie. */
  readonly vc?: bigint;
  /** Default: "tunnel". */
  readonly mode?: PspMode;
  /** Outer addresses, of one family: tunnel mode alone, and needed there. */
  readonly outer?: { readonly src: string; readonly dst: string; readonly ttl?: number };
  /** UDP destination port. Default: 1000. */
  readonly port?: number;
  /** UDP source port. Default: hash of the inner flow. */
  readonly srcPort?: number;
  /** Sample bit. */
  readonly s?: boolean;
  /** Drop bit. */
  readonly d?: boolean;
}

/**
 * Seals a capture file. Sealed packets keep their Ethernet header and VLAN tags; if one packet has none, all
 * are written as raw IP. Throws `ConfigError` when the file is no capture or the options do not fit.
 */
export function sealCapture(
  file: Uint8Array<ArrayBuffer>,
  options: SealOptions,
): CaptureOutcome {
  const key = checkedKey(options);
  try {
    const { packets, nanoseconds, problem } = readCapture(file);
    const ethernet = packets.length > 0 && packets.every(({ link }) => link === "ethernet");
    let iv = options.firstIv ?? 1n;
    const outcomes = packets.map((packet, index) => {
      options.onPacket?.(index, packets.length);
      const outcome = sealPacket(packet, { ...options, key, index, iv, ethernet });
      if (outcome.packet !== undefined) iv++;
      return outcome;
    });
    const out = outcomes.flatMap(({ packet }) => packet === undefined ? [] : [packet]);
    return {
      results: outcomes.map(({ result }) => result),
      file: writeCapture(out, { link: ethernet ? "ethernet" : "ip", nanoseconds }),
      ...(problem === undefined ? {} : { problem }),
    };
  } finally {
    key.key.wipe();
  }
}

interface PacketOptions extends SealOptions {
  readonly key: SpiKey;
  readonly index: number;
  readonly iv: bigint;
  readonly ethernet: boolean;
}

/** Seals one packet. Never throws for what the packet is. */
function sealPacket(captured: CapturedPacket, options: PacketOptions): PacketOutcome {
  const { index, iv, key } = options;
  const base = { index, size_in: captured.data.length };
  const refuse = (verdict: PacketResult["verdict"], reason: string): PacketOutcome => ({
    result: { ...base, verdict, reason },
  });
  const frame = parseFrame(captured);
  if (!frame.ok) {
    return refuse(frame.verdict === "not ip" ? "malformed" : frame.verdict, frame.reason);
  }
  if (iv > MAX_IV) return refuse("policy", "there is no IV left");
  const inner = options.mode === "transport" ? transportPayload(frame) : tunnelPayload(frame);
  if (typeof inner === "string") return refuse("policy", inner);
  try {
    const psp = options.crypto.seal(key, clearPacket(frame, { ...inner, options }));
    const ip = encapsulate(frame, { psp, options });
    const data = options.ethernet ? withL2(frame.l2, ip) : ip;
    const link = options.ethernet ? "ethernet" : "ip";
    return {
      result: {
        ...base,
        verdict: "ok",
        spi: spiText(key.spi),
        iv: iv.toString(16).padStart(16, "0"),
        version: key.version,
        size_psp: psp.length,
        size_out: data.length,
      },
      packet: { link, timeNs: captured.timeNs, data, originalLength: data.length },
    };
  } catch (error) {
    if (error instanceof RangeError) return refuse("malformed", error.message);
    if (error instanceof DataPlaneError && error.code === "EINVAL") {
      return refuse("malformed", "the crypt offset passes the end of the packet");
    }
    throw error;
  }
}

const MAX_IV = 0xffff_ffff_ffff_ffffn;

interface Inner {
  readonly nextHeader: number;
  readonly payload: Uint8Array;
}

function tunnelPayload(frame: IpFrame): Inner {
  return { nextHeader: frame.family === 4 ? PROTO.IPV4 : PROTO.IPV6, payload: frame.ip };
}

function transportPayload(frame: IpFrame): Inner | string {
  if (frame.fragment) return "a fragment of an IP packet cannot be sealed in transport mode";
  if (frame.protocol !== PROTO.TCP && frame.protocol !== PROTO.UDP) {
    return `transport mode carries TCP and UDP, not IP protocol ${frame.protocol}`;
  }
  return { nextHeader: frame.protocol, payload: frame.ip.subarray(frame.headerLength) };
}

function clearPacket(
  frame: IpFrame,
  { nextHeader, payload, options }: Inner & { readonly options: PacketOptions },
): Uint8Array<ArrayBuffer> {
  const { vc, mode, key, iv, s, d } = options;
  const readable = mode === "transport" ? 0 : frame.family === 4 ? 5 : 10;
  const extension = new Uint8Array(vc === undefined ? 0 : 8);
  if (vc !== undefined) new DataView(extension.buffer).setBigUint64(0, vc);
  return pspPacket({
    nextHeader,
    version: key.version,
    spi: key.spi,
    iv,
    cryptOffset: options.cryptOffset ?? readable + (vc === undefined ? 0 : 2),
    extension,
    v: vc !== undefined,
    ...(s === undefined ? {} : { s }),
    ...(d === undefined ? {} : { d }),
  }, payload);
}

function encapsulate(
  frame: IpFrame,
  { psp, options }: { readonly psp: Uint8Array; readonly options: PacketOptions },
): Uint8Array<ArrayBuffer> {
  const srcPort = options.srcPort ?? flowPort(flowOctets(frame));
  const datagram = udpDatagram(psp, { srcPort, dstPort: options.port ?? 1000 });
  if (options.mode === "transport" || options.outer === undefined) {
    return withPayload(frame, { protocol: PROTO.UDP, payload: datagram });
  }
  return ipPacket(datagram, { ...options.outer, ttl: options.outer.ttl ?? 64 });
}

/** Addresses, protocol and ports: what the packets of a flow have in common. */
function flowOctets({ ip, family, protocol, headerLength, fragment }: IpFrame): Uint8Array {
  const addresses = family === 4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  const ported = !fragment && (protocol === PROTO.TCP || protocol === PROTO.UDP);
  const ports = ported ? ip.subarray(headerLength, headerLength + 4) : [];
  return Uint8Array.from([...addresses, protocol, ...ports]);
}

function checkedKey(options: SealOptions): SpiKey {
  const { crypto, keys, spi, version = 0, cryptOffset = 0, firstIv = 1n, vc = 0n } = options;
  if ((spi & 0x7fffffff) === 0) throw cannot(`SPI ${spiText(spi)} is reserved`);
  if (!Number.isInteger(cryptOffset) || cryptOffset < 0 || cryptOffset > 63) {
    throw cannot(`the crypt offset is ${cryptOffset}, not 0 to 63`);
  }
  if (firstIv < 0n || firstIv > MAX_IV) throw cannot("the first IV does not fit 64 bits");
  if (vc < 0n || vc > MAX_IV) throw cannot("the virtualization cookie does not fit 64 bits");
  for (const port of [options.port ?? 1000, options.srcPort ?? 0]) {
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
      throw cannot(`${port} is not a UDP port`);
    }
  }
  if (options.mode !== "transport") checkOuter(options.outer);
  const key = keyFor(keys, { crypto, spi, version });
  if (typeof key === "string") throw cannot(key);
  return key;
}

function checkOuter(outer: SealOptions["outer"]): void {
  if (outer === undefined) throw cannot("tunnel mode needs outer addresses");
  const { ttl = 64 } = outer;
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > 255) {
    throw cannot(`the TTL is ${ttl}, not 1 to 255`);
  }
  try {
    outerFamily(outer);
  } catch (error) {
    throw cannot(messageOf(error));
  }
}

function cannot(why: string): ConfigError {
  return new ConfigError(`Cannot seal the capture: ${why}`);
}
