// SPDX-License-Identifier: Apache-2.0

/** The headers of a sampled packet in words, as far as it was sampled. Pure, and never throws for what is in it. */

/** One header. */
export interface Header {
  /** "IPv4", "TCP", ... */
  readonly name: string;
  /** Its fields, in the order in which they stand in it. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "ICMP",
  2: "IGMP",
  6: "TCP",
  17: "UDP",
  47: "GRE",
  50: "ESP",
  58: "ICMPv6",
  132: "SCTP",
};
const ECN = ["not ECT", "ECT(1)", "ECT(0)", "CE"];
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
const ICMP: Readonly<Record<number, string>> = {
  0: "echo reply",
  3: "destination unreachable",
  5: "redirect",
  8: "echo request",
  11: "time exceeded",
};
const ICMP6: Readonly<Record<number, string>> = {
  1: "destination unreachable",
  2: "packet too big",
  3: "time exceeded",
  128: "echo request",
  129: "echo reply",
  133: "router solicitation",
  134: "router advertisement",
  135: "neighbour solicitation",
  136: "neighbour advertisement",
};
/** Extension headers whose length is in their second octet, in units of 8 (RFC 8200, 4). */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60, 135]);
const FRAGMENT = 44;
const MAX_EXTENSIONS = 8;

/** The headers of an IP packet, outermost first; empty: it is none. */
export function decode(data: Uint8Array): readonly Header[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length === 0) return [];
  const version = view.getUint8(0) >>> 4;
  return version === 4 ? ipv4(view) : version === 6 ? ipv6(view) : [];
}

/** The headers on one line. */
export function summary(headers: readonly Header[]): string {
  return headers.map(({ name, fields }) => {
    const shown = fields.filter(([field]) => SHORT.has(field)).map(([, value]) => value);
    return [name, ...shown].join(" ");
  }).join(", ");
}

/** Fields that a line has room for. */
const SHORT: ReadonlySet<string> = new Set(["ports", "flags", "type", "fragment"]);

function ipv4(view: DataView): Header[] {
  if (view.byteLength < 20) return [cut("IPv4")];
  const length = (view.getUint8(0) & 15) * 4;
  const [tos, id, fragment, protocol] = [
    view.getUint8(1),
    view.getUint16(4),
    view.getUint16(6),
    view.getUint8(9),
  ];
  const offset = (fragment & 0x1fff) * 8;
  const flags = [fragment & 0x4000 ? "DF" : "", fragment & 0x2000 ? "MF" : ""].filter(Boolean);
  const isPart = offset > 0 || (fragment & 0x2000) !== 0;
  const header: Header = {
    name: "IPv4",
    fields: [
      ["DSCP", String(tos >>> 2)],
      ["ECN", ECN[tos & 3] ?? ""],
      ["length", String(view.getUint16(2))],
      ["id", String(id)],
      ...flags.length === 0 ? [] : [["bits", flags.join(" ")] as const],
      ...isPart ? [["fragment", `from ${offset}`] as const] : [],
      ["TTL", String(view.getUint8(8))],
      ["protocol", protocolOf(protocol)],
      ["from", v4(view, 12)],
      ["to", v4(view, 16)],
    ],
  };
  if (length < 20 || length > view.byteLength) return [header, cut("options")];
  return [header, ...offset > 0 ? [] : transport(rest(view, length), protocol)];
}

function ipv6(view: DataView): Header[] {
  if (view.byteLength < 40) return [cut("IPv6")];
  const first = view.getUint32(0);
  const header: Header = {
    name: "IPv6",
    fields: [
      ["DSCP", String(first >>> 22 & 63)],
      ["ECN", ECN[first >>> 20 & 3] ?? ""],
      ["flow label", `0x${(first & 0xfffff).toString(16)}`],
      ["length", String(view.getUint16(4) + 40)],
      ["hop limit", String(view.getUint8(7))],
      ["next header", protocolOf(view.getUint8(6))],
      ["from", v6(view, 8)],
      ["to", v6(view, 24)],
    ],
  };
  const found = [header];
  let [next, at] = [view.getUint8(6), 40];
  for (let n = 0; n < MAX_EXTENSIONS; n++) {
    if (next === FRAGMENT && at + 8 <= view.byteLength) {
      const offset = view.getUint16(at + 2) & 0xfff8;
      found.push({ name: "Fragment", fields: [["fragment", `from ${offset}`]] });
      next = view.getUint8(at);
      at += 8;
      if (offset > 0) return found;
    } else if (EXTENSIONS.has(next) && at + 8 <= view.byteLength) {
      found.push({ name: "Extension", fields: [["header", String(next)]] });
      next = view.getUint8(at);
      at += (view.getUint8(at + 1) + 1) * 8;
    } else break;
  }
  return at > view.byteLength
    ? [...found, cut("extension")]
    : [...found, ...transport(rest(view, at), next)];
}

function transport(view: DataView, protocol: number): Header[] {
  switch (protocol) {
    case 6:
      return [view.byteLength < 20 ? cut("TCP") : tcp(view)];
    case 17:
      return [view.byteLength < 8 ? cut("UDP") : udp(view)];
    case 1:
      return [view.byteLength < 8 ? cut("ICMP") : icmp(view, "ICMP", ICMP)];
    case 58:
      return [view.byteLength < 8 ? cut("ICMPv6") : icmp(view, "ICMPv6", ICMP6)];
    default:
      return [];
  }
}

function tcp(view: DataView): Header {
  const bits = view.getUint8(13);
  const flags = TCP_FLAGS.filter((_, i) => bits >>> i & 1);
  return {
    name: "TCP",
    fields: [
      ["ports", ports(view)],
      ["flags", flags.join(" ") || "none"],
      ["sequence", String(view.getUint32(4))],
      ["acknowledges", String(view.getUint32(8))],
      ["window", String(view.getUint16(14))],
    ],
  };
}

function udp(view: DataView): Header {
  return { name: "UDP", fields: [["ports", ports(view)], ["length", String(view.getUint16(4))]] };
}

function icmp(view: DataView, name: string, types: Readonly<Record<number, string>>): Header {
  const [type, code] = [view.getUint8(0), view.getUint8(1)];
  const isEcho = /^echo/.test(types[type] ?? "");
  return {
    name,
    fields: [
      ["type", types[type] ?? String(type)],
      ["code", String(code)],
      ...isEcho
        ? [["id", String(view.getUint16(4))], ["sequence", String(view.getUint16(6))]] as const
        : [],
    ],
  };
}

function ports(view: DataView): string {
  return `${view.getUint16(0)} to ${view.getUint16(2)}`;
}

function cut(name: string): Header {
  return { name, fields: [["cut", "beyond the sample"]] };
}

function rest(view: DataView, at: number): DataView {
  return new DataView(view.buffer, view.byteOffset + at, view.byteLength - at);
}

function protocolOf(number: number): string {
  return PROTOCOLS[number] ?? String(number);
}

function v4(view: DataView, at: number): string {
  return [0, 1, 2, 3].map((i) => view.getUint8(at + i)).join(".");
}

/** With the longest run of zeros left out (RFC 5952, 4.2). */
function v6(view: DataView, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16));
  let [best, length] = [0, 0];
  for (let from = 0; from < 8; from++) {
    let n = 0;
    while (groups[from + n] === "0") n++;
    if (n > length) [best, length] = [from, n];
  }
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, best).join(":")}::${groups.slice(best + length).join(":")}`;
}
