// SPDX-License-Identifier: Apache-2.0

/** What a frame on the underlay is: PSP, neighbour resolution, control channel, or foreign. */

/** UDP destination port of PSP. */
export const PSP_PORT = 1000;
/** EtherType for local experiments: the mark that a capture ends with. */
const MARK_ETHERTYPE = 0x88b5;

/** The answer of `classify`. */
export type FrameKind =
  | { readonly kind: "psp"; readonly spi: number }
  | { readonly kind: "neighbour" }
  | { readonly kind: "control" }
  | { readonly kind: "mark" }
  | { readonly kind: "foreign"; readonly what: string };

/**
 * `neighbour` is ARP, IPv6 neighbour and router discovery, and the multicast listener reports that
 * IPv6 sends for it. `control` is TCP to or from one of `controlPorts`. A frame may be cut after
 * its headers.
 */
export function classify(frame: Uint8Array, controlPorts: ReadonlySet<number>): FrameKind {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 14) return { kind: "foreign", what: `${frame.length} octets` };
  const type = view.getUint16(12);
  switch (type) {
    case 0x0806:
      return { kind: "neighbour" };
    case MARK_ETHERTYPE:
      return { kind: "mark" };
    case 0x0800:
      return frame.length < 34 ? { kind: "foreign", what: "cut IPv4" } : l4(
        view,
        { protocol: view.getUint8(23), at: 14 + 4 * (view.getUint8(14) & 15) },
        controlPorts,
      );
    case 0x86dd:
      return frame.length < 54
        ? { kind: "foreign", what: "cut IPv6" }
        : l4(view, skipHopByHop(view), controlPorts);
    default:
      return { kind: "foreign", what: `EtherType 0x${type.toString(16).padStart(4, "0")}` };
  }
}

interface L4 {
  readonly protocol: number;
  readonly at: number;
}

function skipHopByHop(view: DataView): L4 {
  const protocol = view.getUint8(20);
  if (protocol !== 0 || view.byteLength < 62) return { protocol, at: 54 };
  return { protocol: view.getUint8(54), at: 54 + 8 + 8 * view.getUint8(55) };
}

function l4(view: DataView, { protocol, at }: L4, controlPorts: ReadonlySet<number>): FrameKind {
  if (view.byteLength < at + 8) return { kind: "foreign", what: `protocol ${protocol}, cut` };
  const ports = [view.getUint16(at), view.getUint16(at + 2)] as const;
  switch (protocol) {
    case 17:
      if (ports[1] === PSP_PORT && view.byteLength >= at + 24) {
        return { kind: "psp", spi: view.getUint32(at + 12) };
      }
      return { kind: "foreign", what: `UDP ${ports[0]} to ${ports[1]}` };
    case 6:
      return ports.some((port) => controlPorts.has(port))
        ? { kind: "control" }
        : { kind: "foreign", what: `TCP ${ports[0]} to ${ports[1]}` };
    case 58: {
      const type = view.getUint8(at);
      const neighbour = (type >= 130 && type <= 137) || type === 143;
      return neighbour ? { kind: "neighbour" } : { kind: "foreign", what: `ICMPv6 type ${type}` };
    }
    case 1:
      return { kind: "foreign", what: `ICMP type ${view.getUint8(at)}` };
    default:
      return { kind: "foreign", what: `IP protocol ${protocol}` };
  }
}

/** The frame that marks the end of a capture, recognised by its nonce. */
export function markFrame(mac: string, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(60);
  frame.fill(0xff, 0, 6);
  frame.set(octets(mac, ":", 16), 6);
  new DataView(frame.buffer).setUint16(12, MARK_ETHERTYPE);
  frame.set(nonce, 14);
  return frame;
}

/** The headers in front of a payload. */
export interface Outer {
  readonly dstMac: string;
  readonly srcMac: string;
  /** IPv4. */
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  /** 802.1Q VLAN id, 0: untagged. */
  readonly vlan?: number;
  /** UDP checksum as it stands, right or not; 0: none. */
  readonly checksum?: number;
}

/** An Ethernet frame with IPv4, UDP and this payload. */
export function udpFrame(outer: Outer, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const tag = outer.vlan ? 4 : 0;
  const frame = new Uint8Array(Math.max(60, 14 + tag + 28 + payload.length));
  const view = new DataView(frame.buffer);
  frame.set(octets(outer.dstMac, ":", 16), 0);
  frame.set(octets(outer.srcMac, ":", 16), 6);
  if (outer.vlan) view.setUint32(12, (0x8100 << 16 | outer.vlan) >>> 0);
  view.setUint16(12 + tag, 0x0800);
  const ip = 14 + tag;
  view.setUint8(ip, 0x45);
  view.setUint16(ip + 2, 28 + payload.length);
  view.setUint8(ip + 8, 64);
  view.setUint8(ip + 9, 17);
  frame.set(octets(outer.src, ".", 10), ip + 12);
  frame.set(octets(outer.dst, ".", 10), ip + 16);
  view.setUint16(ip + 10, headerChecksum(view, ip));
  view.setUint16(ip + 20, outer.srcPort);
  view.setUint16(ip + 22, outer.dstPort);
  view.setUint16(ip + 24, 8 + payload.length);
  view.setUint16(ip + 26, outer.checksum ?? 0);
  frame.set(payload, ip + 28);
  return frame;
}

function octets(text: string, separator: string, radix: number): number[] {
  return text.split(separator).map((part) => parseInt(part, radix));
}

/** RFC 1071 over the 20 octets of an IPv4 header whose checksum field is 0. */
function headerChecksum(view: DataView, at: number): number {
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(at + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
