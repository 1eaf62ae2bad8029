// SPDX-License-Identifier: Apache-2.0

/** What the doctor looks at: the machine, as far as files and the runtime tell. */
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../model/errors.ts";

/** Everything a check may ask; nothing of it throws. */
export interface Machine {
  /** What the shim says of it; undefined where there is no shim. */
  readonly report: HostReport | undefined;
  /** File descriptors that a process may have; undefined: unknown. */
  readonly descriptorLimit: number | undefined;
  /** The group that this runtime negotiates with itself; undefined: unknown. */
  readonly keyExchange: string | undefined;
  exists(path: string): boolean;
  /** What PRAGMA quick_check says: "ok", or what is wrong. */
  checkDatabase(path: string): string;
  /** "6.1.0-18-amd64" */
  kernel(): string;
  /** Addresses of this host. */
  addresses(): readonly string[];
  nowMs(): number;
}

/** `psp_dp_host_report`, read. */
export interface HostReport {
  /** Octets. */
  readonly pageSize: number | undefined;
  /** Bits of CAP_...; undefined when unknown. */
  readonly capabilities: bigint | undefined;
  /** Octets that may be locked without CAP_IPC_LOCK; Infinity: as many as there are; undefined: unknown. */
  readonly memlock: number | undefined;
  /** Files of /dev/infiniband/uverbs*, and those of them that can be opened. */
  readonly verbs: { readonly there: number; readonly open: number } | undefined;
  /** NVIDIA's devices by PCI address: "MT41692 32.39.1002 MT_0000000884", "-" for what is not known. */
  readonly devices: ReadonlyMap<string, string>;
  /** The switch that an interface belongs to, by the interface. */
  readonly switches: ReadonlyMap<string, string>;
  /** Free hugepages, MiB; undefined: this kernel has none. */
  readonly hugepagesMb: number | undefined;
  /** net.core.rmem_max and wmem_max, octets. */
  readonly rmemMax: number | undefined;
  readonly wmemMax: number | undefined;
  readonly interfaces: ReadonlyMap<string, { readonly up: boolean; readonly mtu: number }>;
  /** By interface, what the kernel forwards of what comes in there: 1: IPv4, 2: IPv6, 3: both. */
  readonly forwards: ReadonlyMap<string, number>;
  /** What keeps this process from an ingress guard, of enum psp_dp_guard_reason; 0: nothing. */
  readonly guard: number | undefined;
}

/** Reads the lines; those of a later shim that nobody here knows are passed over. */
export function parseReport(text: string): HostReport {
  const words = text.split("\n").map((line) => line.split(" "));
  const number = (key: string) => {
    const value = words.find(([first]) => first === key)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const mask = words.find(([first]) => first === "cap-eff")?.[1];
  const memlock = words.find(([first]) => first === "memlock")?.[1];
  const verbs = words.find(([first]) => first === "verbs");
  return {
    pageSize: number("page-size"),
    capabilities: mask === undefined ? undefined : BigInt(`0x${mask}`),
    memlock: memlock === "unlimited"
      ? Infinity
      : memlock === undefined
      ? undefined
      : Number(memlock),
    verbs: verbs === undefined ? undefined : { there: Number(verbs[1]), open: Number(verbs[2]) },
    devices: new Map(
      words.flatMap(([first, pci = "", _name, ...rest]) =>
        first === "hca" ? [[pci, rest.join(" ")]] : []
      ),
    ),
    switches: new Map(
      words.flatMap(([first, name = "", id = ""]) => first === "switch" ? [[name, id]] : []),
    ),
    hugepagesMb: number("hugepages-mb"),
    rmemMax: number("rmem-max"),
    wmemMax: number("wmem-max"),
    guard: number("guard"),
    forwards: new Map(
      words.flatMap(([first, name = "", bits]) =>
        first === "forwards" ? [[name, Number(bits)]] : []
      ),
    ),
    interfaces: new Map(
      words.flatMap(([first, name = "", state, mtu]) =>
        first === "interface" ? [[name, { up: state === "up", mtu: Number(mtu) }]] : []
      ),
    ),
  };
}

/** The one that this process runs on. */
export function thisMachine(
  told: Pick<Machine, "report" | "descriptorLimit" | "keyExchange">,
): Machine {
  return {
    ...told,
    exists: (path) => attempt(() => Deno.statSync(path)) !== undefined,
    checkDatabase,
    kernel: () => attempt(() => Deno.osRelease()) ?? "",
    addresses: () => (attempt(() => Deno.networkInterfaces()) ?? []).map(({ address }) => address),
    nowMs: () => Date.now(),
  };
}

function checkDatabase(path: string): string {
  try {
    using database = new DatabaseSync(path, { readOnly: true });
    const row = database.prepare("PRAGMA quick_check(1)").get();
    return String(row?.["quick_check"] ?? "it says nothing");
  } catch (error) {
    return messageOf(error);
  }
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
