// SPDX-License-Identifier: Apache-2.0

/**
 * The one schema of `peers.json`: the kinds of value that there are, with messages that say what is right, and then every
 * key of the file, its bounds and its default, in the file's own order. What comes out has canonical addresses, still under
 * the file's names; `config.ts` maps it to a `Config` and back, `rules.ts` compares keys with one another.
 */
import * as v from "valibot";
import { BUSY_POLL_US_MAX, LAYOUT, type Limit, LIMITS, WORKERS_MAX } from "../../ffi/symbols.ts";
import { isNetworkName, NETWORK_NAME_MAX } from "../model/network.ts";
import { PSP_VERSIONS } from "../model/sa.ts";
import { isDnsName, isIdentity, parseCidr, parseHostPort, parseIp, parseMac } from "./addresses.ts";
import { formatDuration, parseDuration, quote } from "./durations.ts";
import { nearest } from "./suggest.ts";

/** A span of time in a file's tree: a key "life" with one is `lifeMs` in the `Config`. */
export class Span {
  constructor(readonly ms: number) {}
}

/** A path in a file's tree. A relative one starts at the file's directory. */
export class FilePath {
  constructor(readonly path: string) {}
}

/** A value read by a function that throws `RangeError` with a message when it cannot be used. */
function leaf<T>(parse: (input: unknown) => T): v.GenericSchema<unknown, T> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        addIssue({ message: error.message });
        return NEVER;
      }
    }),
  );
}

/** What a section with these keys comes out as. */
type Section<E extends v.ObjectEntries> = v.InferOutput<v.ObjectSchema<E, undefined>>;

/** An object with these keys and no others; `hints` says what a missing key should hold. */
function section<const E extends v.ObjectEntries>(
  entries: E,
  hints: Readonly<Record<string, string>> = {},
): v.GenericSchema<unknown, Section<E>> {
  const missing = (issue: v.LooseObjectIssue) => {
    const key = issue.path?.at(-1)?.key;
    return `is missing: ${hints[String(key)] ?? "it has no default"}`;
  };
  return v.pipe(
    v.unknown(),
    v.check(
      isPlainObject,
      (issue) =>
        `${quote(issue.input)} is not an object: write { ${
          Object.keys(entries).map((k) => `"${k}": ...`).slice(0, 2).join(", ")
        } }`,
    ),
    v.looseObject(entries, missing),
    v.rawCheck(({ dataset, addIssue }) => {
      const input = dataset.value;
      if (!isPlainObject(input)) return;
      for (const key of Object.keys(input).filter((key) => !Object.hasOwn(entries, key))) {
        const meant = nearest(key, Object.keys(entries));
        const advice = meant
          ? `did you mean "${meant}"?`
          : `known here: ${Object.keys(entries).join(", ")}`;
        addIssue({
          message: `is not a known key: ${advice}`,
          path: [{ type: "unknown", origin: "key", input, key, value: undefined }],
        });
      }
    }),
    v.transform((value): Section<E> => value),
  );
}

function isPlainObject(input: unknown): input is Record<string, unknown> {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}

/** A list of so many of one kind. */
function list<S extends v.GenericSchema>(
  item: S,
  { what, min = 0, max }: { readonly what: string; readonly min?: number; readonly max: number },
): v.GenericSchema<unknown, v.InferOutput<S>[]> {
  return v.pipe(
    v.unknown(),
    v.array(item, (issue) => `${quote(issue.input)} is not a list: write [...] with ${what}`),
    v.minLength(min, `is empty: name at least ${min}`),
    v.maxLength(max, (issue) => `has ${issue.received} ${what}: at most ${max} are possible`),
  );
}

/** Processors that a plane can be given. */
const CORES = 8 * LAYOUT.psp_dp_config.cpus[1];

/** A whole number within bounds. */
function integer(min: number, max: number): v.GenericSchema<unknown, number> {
  return leaf((input) => {
    if (typeof input !== "number" || !Number.isInteger(input) || input < min || input > max) {
      throw new RangeError(`${quote(input)} is not a whole number from ${min} to ${max}`);
    }
    return input;
  });
}

/** A whole number that may need 64 bits: a number, or text, decimal or "0x...". */
function bigint(min: bigint, max: bigint): v.GenericSchema<unknown, bigint> {
  return leaf((input) => {
    const ok = typeof input === "bigint" ||
      (typeof input === "number"
        ? Number.isSafeInteger(input)
        : typeof input === "string" && /^(\d{1,20}|0x[0-9a-fA-F]{1,16})$/.test(input));
    const n = ok ? BigInt(input as bigint | number | string) : undefined;
    if (n === undefined || n < min || n > max) {
      throw new RangeError(
        `${quote(input)} is not a whole number from ${min} to ${max} ("0x..." in quotes too)`,
      );
    }
    return n;
  });
}

/** A span of time within bounds. */
function duration(minMs: number, maxMs: number): v.GenericSchema<unknown, Span> {
  return leaf((input) => {
    const ms = parseDuration(input);
    if (ms < minMs || ms > maxMs) {
      throw new RangeError(
        `${quote(input)} is out of bounds: use ${formatDuration(minMs)} to ${
          formatDuration(maxMs)
        }`,
      );
    }
    return new Span(ms);
  });
}

/** One of a few words. */
function oneOf<const T extends string>(
  words: readonly T[],
  hint?: string,
): v.GenericSchema<unknown, T> {
  return leaf((input) => {
    const word = words.find((word) => word === input);
    if (word !== undefined) return word;
    const meant = typeof input === "string" ? nearest(input, words) : undefined;
    const advice = hint ?? words.map((word) => `"${word}"`).join(", ");
    throw new RangeError(
      `${quote(input)} is not known: ${
        meant && !hint ? `did you mean "${meant}"? Known: ` : ""
      }${advice}`,
    );
  });
}

/** Text of 1 to `max` characters without control characters. */
function text(what: string, max: number): v.GenericSchema<unknown, string> {
  return leaf((input) => {
    // deno-lint-ignore no-control-regex
    if (typeof input !== "string" || !/^[^\x00-\x1f\x7f]+$/.test(input) || input.length > max) {
      throw new RangeError(`${quote(input)} is not ${what}: write text of 1 to ${max} characters`);
    }
    return input;
  });
}

/** The path of a file or directory. */
const filePath: v.GenericSchema<unknown, FilePath> = v.pipe(
  text("a path", 4096),
  v.transform((path) => new FilePath(path)),
);

/** true or false; "true" in quotes is neither. */
const bool: v.GenericSchema<unknown, boolean> = leaf((input) => {
  if (typeof input !== "boolean") throw new RangeError(`${quote(input)} is not true or false`);
  return input;
});

/** A prefix in canonical text. */
const cidr: v.GenericSchema<unknown, string> = leaf((input) => parseCidr(input).cidr);

/** "host:port" in canonical text. */
const hostPort: v.GenericSchema<unknown, string> = leaf((input) => parseHostPort(input).text);

/** Scheme, host and port alone of a URL. `what` it is, for the sentence. */
function place(what: string, example: string): v.GenericSchema<unknown, string> {
  return leaf((input) => {
    const url = typeof input === "string" && URL.canParse(input) ? new URL(input) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.origin !== input) {
      throw new RangeError(
        `${
          quote(input)
        } is not an ${what}: write scheme, host and port alone, such as "${example}"`,
      );
    }
    return url.origin;
  });
}

/** "https://dash.example", as a browser names where a page came from. */
const origin = place("origin", "https://dash.example");

/** Where a server of etcd answers: "https://192.0.2.10:2379". */
const endpoint = place("endpoint", "https://192.0.2.10:2379");

/** What may stand for a host in a certificate: a DNS name or the last part of a SPIFFE id. */
const identity: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || !isIdentity(input)) {
    throw new RangeError(
      `${quote(input)} is not an id: use letters, digits, ".", "-" and "_", such as "h1"`,
    );
  }
  return input;
});

/** What a network is called. */
const networkName: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || !isNetworkName(input)) {
    throw new RangeError(
      `${
        quote(input)
      } is not a name: use 1 to ${NETWORK_NAME_MAX} letters, digits, ".", "-" and "_", such as "blue"`,
    );
  }
  return input;
});

/** A trust domain. */
const domainName: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || !isDnsName(input)) {
    throw new RangeError(`${quote(input)} is not a domain: write it like "example.org"`);
  }
  return input.toLowerCase();
});

/** A group of this machine. */
const groupName: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input === "string" && /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(input)) return input;
  throw new Error(`${quote(input)} is no name of a group such as "adm"`);
});

/** A Linux network interface. */
const interfaceName: v.GenericSchema<unknown, string> = leaf((input) => {
  // The kernel counts octets.
  const length = typeof input === "string" ? new TextEncoder().encode(input).length : 0;
  if (
    typeof input !== "string" || !/^[^\s/:]+$/.test(input) || /^\.\.?$/.test(input) || length > 15
  ) {
    throw new RangeError(
      `${quote(input)} is not an interface: names have 1 to 15 octets, such as "p0"`,
    );
  }
  return input;
});

/** "0-1,3": the processors of a core list, in order. Throws RangeError. */
export function coresOf(cores: string): number[] {
  const ranges = cores.split(",").map((range) => /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(range));
  return ranges.flatMap((range) => {
    const first = Number(range?.[1] ?? NaN);
    const last = Number(range?.[2] ?? first);
    if (!(first <= last && last < CORES)) {
      throw new RangeError(
        `${quote(cores)} is not a core list: write processors from 0 to ${
          CORES - 1
        }, such as "0-1,3"`,
      );
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Text that `coresOf` reads. */
const coreList: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || input.length > 63) {
    throw new RangeError(`${quote(input)} is not a core list: write one such as "0-1,3"`);
  }
  coresOf(input);
  return input;
});

/** "0000:03:00.0"; the PCI domain may be left out. */
const pciAddress: v.GenericSchema<unknown, string> = leaf((input) => {
  const pci = typeof input === "string" ? input.toLowerCase() : "";
  if (!/^([0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(pci)) {
    throw new RangeError(`${quote(input)} is not a PCI address: write it like "0000:03:00.0"`);
  }
  return pci.length === 7 ? `0000:${pci}` : pci;
});

/** An identity or a certificate's fingerprint ("sha256:" and 64 hex digits, colons allowed). */
const denied: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input === "string") {
    if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(input)) return input;
    if (/^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)+$/.test(input)) return input;
    const print = /^sha256:((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})$/i.exec(input)?.[1];
    if (print) return `sha256:${print.replaceAll(":", "").toLowerCase()}`;
  }
  throw new RangeError(
    `${quote(input)} is neither an id ("h9"), a SPIFFE id ("spiffe://example.org/psp/h9") nor a ` +
      `fingerprint ("sha256:" and 64 hex digits)`,
  );
});

// ---- the keys -----------------------------------------------------------------------------------

/** Connections that a listener may have: the most that can be configured. */
export const MAX_CONNECTIONS = 65_536;

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const MIB = 2 ** 20;

/** A size of the plane: within the plane's own bounds. */
const size = ({ min, max }: Limit) => integer(min, max);
/** The same, with the plane's default. */
const sizeOr = (limit: Limit) => v.optional(size(limit), limit.default);

const mac = leaf(parseMac);
const ip = leaf(parseIp);

const tls = section({ cert: filePath, key: filePath, ca: filePath }, {
  cert: 'this host\'s certificate chain, a PEM file such as "h1.crt"',
  key: 'the private key of the certificate, a PEM file such as "h1.key"',
  ca: 'the certificates that peers are checked with, a PEM file such as "ca.crt"',
});

/** "10.1.0.0/24", or an object with more about it. */
const vipObject = section({
  vip: cidr,
  // Absent: learned.
  mac: v.optional(mac),
  // What DHCP and router advertisements say.
  gateway: v.optional(ip),
  dns: v.optional(list(ip, { what: "addresses", max: 8 }), []),
}, { vip: 'an address or prefix such as "10.1.0.5"' });
const vipText = v.pipe(
  cidr,
  v.transform((vip): v.InferOutput<typeof vipObject> => ({ vip, dns: [] })),
);
const localVip = v.lazy((input) =>
  typeof input === "object" && input !== null ? vipObject : vipText
);

/** Peers at most, from all sources together. */
export const MAX_PEERS = 65_536;

/** Another host, in the file or in a record of its own. */
export const peerSchema = section({
  id: identity,
  svc_address: hostPort,
  // Absent: what the exchange says.
  pip: v.optional(ip),
  vips: list(cidr, { what: "addresses or prefixes", min: 1, max: 65_536 }),
  next_hop_mac: v.optional(mac),
  // Virtualization cookie of packets that this peer sends to us.
  vc: v.optional(bigint(0n, 2n ** 64n - 1n)),
}, {
  id: 'the name in the peer\'s certificate, such as "h2"',
  svc_address: 'where its agent listens, such as "192.0.2.2:7443"',
  vips: 'what lives there, such as ["10.2.0.0/24"]',
});

const planeCommon = {
  next_hop_mac: v.optional(mac),
  // 802.1Q VLAN id, 0: untagged.
  uplink_vlan: sizeOr(LIMITS.vlan),
  // Another shim than the one that comes with the agent.
  library: v.optional(filePath),
};
/** Of something in a second; as many at once. */
const rate = integer(0, 1_000_000);
/** A host port, exact or by a pattern, and what lives behind it. */
const hostSide = section({
  name: interfaceName,
  // Only these may live there, and nowhere else; absent: learned.
  vips: v.optional(list(cidr, { what: "addresses or prefixes", max: 65_536 }), []),
  // Of its one workload; absent: learned.
  mac: v.optional(mac),
  // In a second: flows that miss, and exceptions (ARP, ND, DHCP), of the port and of each MAC behind it; 0: without a
  // limit. Absent: the plane's own.
  misses_per_s: v.optional(rate),
  misses_per_mac: v.optional(rate),
  exceptions_per_s: v.optional(rate),
  exceptions_per_mac: v.optional(rate),
  // Its share of held flows and their octets. Absent: as many as the plane has.
  hold_flows: v.optional(size(LIMITS.hold_flows)),
  hold_bytes: v.optional(size(LIMITS.hold_bytes)),
}, { name: 'an interface of plane.host, or a representor, such as "pf0vf0"' });
const hostNames = v.lazy((input) =>
  Array.isArray(input)
    ? list(interfaceName, { what: "interfaces or patterns", min: 1, max: 256 })
    : interfaceName
);

/** A list may have patterns, for what is there when the plane opens. */
const representors = v.lazy((input) =>
  Array.isArray(input)
    ? list(text("a representor", 63), { what: "representors or patterns", min: 1, max: 255 })
    : text("a representor", 63)
);
const softPlane = section({
  kind: v.optional(oneOf(["soft"], 'use "soft" (in software) or "doca" (in hardware)'), "soft"),
  uplink: interfaceName,
  // One name, or a list of names and patterns ("tap*"), whose interfaces come and go.
  host: hostNames,
  ports: v.optional(list(hostSide, { what: "ports", max: 256 })),
  backend: v.optional(oneOf(["auto", "openssl", "ipsec-mb", "vaes"]), "auto"),
  // Whether this host's kernel is kept from what comes in: where that can be had, always, or never.
  host_guard: v.optional(oneOf(["auto", "require", "off"]), "auto"),
  // Threads that carry packets. Absent: one for two processors, eight at most, or one for each of cpus.
  workers: v.optional(integer(1, WORKERS_MAX)),
  // Processors that they may run on, such as "2-3"; as many as workers: each has its own. Absent: any.
  cpus: v.optional(coreList),
  // Microseconds in which a worker looks for packets before it sleeps: latency for processor time. Absent: 0.
  busy_poll_us: v.optional(integer(0, BUSY_POLL_US_MAX)),
  // Four for each tunnel: 131,072 of them.
  max_entries: v.optional(integer(64, LIMITS.max_entries.max), 524_288),
  ...planeCommon,
}, {
  uplink: 'the interface towards the other hosts, such as "p0"',
  host: 'the interface towards the workloads, such as "pf0vf0"',
});
const docaPlane = section({
  kind: oneOf(["doca"]),
  pci: pciAddress,
  // One, or a list of names and patterns ("pf0vf*"), each a host port.
  representor: representors,
  ports: v.optional(list(hostSide, { what: "ports", max: 256 })),
  // Processors for what hardware sends to the CPU: a reader on each, with queues of its own; 16 at most.
  cores: v.optional(coreList, "0"),
  // Absent: what DPDK takes by itself.
  hugepages_mb: v.optional(size(LIMITS.hugepages_mb)),
  // Over all pipes. Absent: by the number of peers; ids: half as many.
  max_entries: v.optional(integer(64, LIMITS.max_entries.max)),
  max_crypto_ids: v.optional(size(LIMITS.max_crypto_ids)),
  // For what entries do, on each port. Absent: what max_entries may need.
  actions_memory_mb: v.optional(integer(1, LIMITS.actions_memory.max / MIB)),
  mbufs: sizeOr(LIMITS.mbufs),
  // More for mlx5, such as "dv_flow_en=2".
  devargs: v.optional(text("mlx5 devargs", LAYOUT.psp_dp_config.devargs[1] - 1)),
  // DPDK's word for the representor, which DOCA 3.0 probes by, where it is not that of a VF or SF.
  dpdk_representor: v.optional(
    text("a representor", LAYOUT.psp_dp_config.representor[1] - 1),
  ),
  // What hardware hands to the CPU before it encapsulates: SYNs for psp.mss_clamp, and what is too big. No device has run it.
  inspect: v.optional(oneOf(["off", "syn", "all"]), "off"),
  // DOCA Flow's mode words. Absent: those of the release.
  flow_mode: v.optional(text("DOCA Flow's mode", LAYOUT.psp_dp_config.flow_mode[1] - 1)),
  ...planeCommon,
}, {
  pci: 'the uplink\'s PCI address, such as "0000:03:00.0"',
  representor: 'the workloads\' port, such as "pf0vf0"',
});
const plane = v.lazy((input) =>
  typeof input === "object" && input !== null && "kind" in input && input.kind === "doca"
    ? docaPlane
    : softPlane
);

/** A tenant's: addresses of their own, whatever others have. */
const network = section({
  name: networkName,
  // Virtualization cookie of its packets, in both directions.
  vc: bigint(1n, 2n ** 64n - 1n),
  // Its host ports, names and patterns.
  ports: v.optional(list(interfaceName, { what: "interfaces or patterns", max: 256 }), []),
  // What lives there on this host. They may stand among the host's own vips as well, "10.1.0.0/24@blue".
  vips: v.optional(list(localVip, { what: "addresses or prefixes", max: 65_536 }), []),
  // What DHCP and router advertisements say where a vip says nothing else.
  gateway: v.optional(ip),
  dns: v.optional(list(ip, { what: "addresses", max: 8 }), []),
  // Octets of IP that workloads are told, where a tunnel carries more.
  mtu: v.optional(integer(576, 65_535)),
  // Everything to other hosts is encrypted, but what goes to these, or comes from there, is refused.
  policy: v.optional(
    section({ deny: v.optional(list(cidr, { what: "prefixes", max: 256 }), []) }),
    {},
  ),
}, {
  name: 'what vips call it, such as "blue" in "10.1.0.7@blue"',
  vc: "the number that its packets have on the wire, the same on all hosts, such as 7",
});

const psp = section({
  // In order of preference.
  versions: v.optional(list(oneOf(PSP_VERSIONS), { what: "PSP versions", min: 1, max: 4 }), [
    "aes-gcm-256",
    "aes-gcm-128",
  ]),
  mode: v.optional(oneOf(["tunnel", "transport"]), "tunnel"),
  // Absent: 5 and 10, or 7 and 12 with a VC; in transport mode 0, or 2.
  crypt_offset: v.optional(section({ ipv4: integer(0, 63), ipv6: integer(0, 63) }, {
    ipv4: "4-octet units in clear for IPv4, such as 5",
    ipv6: "4-octet units in clear for IPv6, such as 10",
  })),
  // What a peer may ask for at most. Absent: as above, or crypt_offset where that is more.
  max_crypt_offset: v.optional(section({ ipv4: integer(0, 63), ipv6: integer(0, 63) }, {
    ipv4: "the most 4-octet units in clear for IPv4, such as 5",
    ipv6: "the most 4-octet units in clear for IPv6, such as 10",
  })),
  sample_rate_log2: v.optional(integer(0, 16), 0),
  sample_bytes: sizeOr(LIMITS.sample_bytes),
  copy_dscp: v.optional(bool, true),
  mss_clamp: v.optional(bool, true),
  ttl: v.optional(integer(1, 255), 64),
  // IVs that are told apart of each receive SA, so that nothing is delivered twice; 0: no window.
  replay_window: v.optional(
    integer(0, LIMITS.replay_window.max),
    LIMITS.replay_window.default,
  ),
  // Octets of IP that every way to a peer carries at most; without it what the uplink does, or a router says.
  path_mtu: v.optional(integer(576, 65_535)),
});

const hold = section({
  packets_per_flow: sizeOr(LIMITS.hold_packets_per_flow),
  bytes: sizeOr(LIMITS.hold_bytes),
  flows: sizeOr(LIMITS.hold_flows),
});

const rpc = section({
  listen: v.optional(hostPort),
  tls: v.optional(tls),
  insecure: v.optional(bool, false),
  require_pq: v.optional(bool, false),
  timeout: v.optional(duration(50, 10 * 60 * SECOND), "2s"),
  attempts: v.optional(integer(1, 100), 4),
  // In, and as many out. Absent: what the number of peers needs.
  max_connections: v.optional(integer(1, MAX_CONNECTIONS)),
  handshake_timeout: v.optional(duration(100, 60 * SECOND), "5s"),
  max_message_bytes: v.optional(integer(4096, 16 * 2 ** 20), 131_072),
  peer_rate: v.optional(integer(1, 1_000_000), 50),
  peer_burst: v.optional(integer(1, 1_000_000), 200),
});

const status = section({
  listen: v.optional(hostPort, "127.0.0.1:7480"),
  admin: v.optional(bool, false),
  // Pages of these origins may call from a browser.
  origins: v.optional(list(origin, { what: "origins", max: 64 }), []),
  tls: v.optional(tls),
  token_file: v.optional(filePath),
  // Who reads on loopback: anybody there, or whoever has the token. Absent: "token" where there is one.
  loopback: v.optional(oneOf(["open", "token"])),
  // A Unix socket for the command line on this host. Absent: /run/psp-agent/agent.sock, where that can be made.
  socket: v.optional(filePath),
  // This group may use it, besides the agent's own user and root.
  socket_group: v.optional(groupName),
  // Where /metrics, /healthz and /readyz are answered too, without credentials.
  metrics_listen: v.optional(hostPort),
});

const tunnel = section({
  on_demand: v.optional(bool, true),
  restore: v.optional(bool, true),
  life: v.optional(duration(SECOND, 30 * DAY), "1h"),
  // Packets per transmit key.
  life_packets: v.optional(bigint(16n, 2n ** 62n), 2 ** 34),
  idle: v.optional(duration(SECOND, 30 * DAY), "10m"),
  grace: v.optional(duration(0, HOUR), "5s"),
  back_off: v.optional(duration(10, HOUR), "1s"),
  back_off_max: v.optional(duration(10, DAY), "1m"),
  // Tunnels that one peer may have, and that one workload's address may open. Absent: by the table and the peers.
  peer_share: v.optional(integer(1, LIMITS.max_entries.max)),
  source_share: v.optional(integer(1, LIMITS.max_entries.max)),
});

const etcd = section({
  endpoints: list(endpoint, { what: "endpoints", min: 1, max: 16 }),
  // Of the keys; the rest of a key is the id of its host.
  prefix: v.optional(text("a prefix of keys", 255), "/psp-agent/peers/"),
  // Its own certificate names this host to etcd: both files, or none.
  tls: v.optional(
    section({ ca: filePath, cert: v.optional(filePath), key: v.optional(filePath) }, {
      ca: 'the certificates that etcd is checked with, a PEM file such as "etcd-ca.crt"',
    }),
  ),
  user: v.optional(text("a user", 255)),
  password_file: v.optional(filePath),
  // Whether this host writes its own record.
  register: v.optional(bool, true),
  // How long the record outlives the host.
  lease: v.optional(duration(2 * SECOND, DAY), "10m"),
}, { endpoints: 'where etcd answers, such as ["https://192.0.2.10:2379"]' });

/** The whole file. */
export const fileSchema = section({
  id: identity,
  // Trust domain of the SPIFFE ids.
  domain: v.optional(domainName, "psp-agent.local"),
  state_dir: v.optional(filePath, "/var/lib/psp-agent"),
  pip: ip,
  // What workloads see as their gateway's MAC; it must differ from the host port's own.
  gateway_mac: v.optional(mac, "02:50:53:50:00:01"),
  vips: list(localVip, { what: "addresses or prefixes", max: 65_536 }),
  networks: v.optional(list(network, { what: "networks", max: 1024 })),
  plane,
  psp: v.optional(psp, {}),
  hold: v.optional(hold, {}),
  rpc: v.optional(rpc, {}),
  status: v.optional(status, {}),
  tunnel: v.optional(tunnel, {}),
  rotation: v.optional(section({ interval: v.optional(duration(SECOND, 365 * DAY), "24h") }), {}),
  security: v.optional(
    section({ deny: v.optional(list(denied, { what: "identities", max: 100_000 }), []) }),
    {},
  ),
  log: v.optional(
    section({
      level: v.optional(oneOf(["debug", "info", "warning", "error"]), "info"),
      format: v.optional(oneOf(["text", "json"]), "text"),
    }),
    {},
  ),
  // Where more peers come from. The file's own come first.
  directory: v.optional(
    section({
      // Drop-in files: each a peer, or a list of peers.
      dir: v.optional(filePath),
      etcd: v.optional(etcd),
    }),
    {},
  ),
  peers: v.optional(list(peerSchema, { what: "peers", max: MAX_PEERS }), []),
}, {
  id: 'this host\'s name in its certificate, such as "h1"',
  pip: 'this host\'s own address towards the other hosts, such as "192.0.2.1"',
  vips: 'what lives on this host, such as ["10.1.0.0/24"]',
  plane: 'its interfaces, such as { "uplink": "p0", "host": "pf0vf0" }',
});

/** What a file says, checked key by key, defaults filled in. */
export type FileForm = v.InferOutput<typeof fileSchema>;
