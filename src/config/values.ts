// SPDX-License-Identifier: Apache-2.0

/** The kinds of value that a configuration has, as valibot schemas whose messages say what is right. */
import * as v from "valibot";
import { LAYOUT } from "../../ffi/symbols.ts";
import { isNetworkName, NETWORK_NAME_MAX } from "../model/network.ts";
import { isDnsName, isIdentity, parseCidr, parseHostPort } from "./addresses.ts";
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
export function leaf<T>(parse: (input: unknown) => T): v.GenericSchema<unknown, T> {
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
export type Section<E extends v.ObjectEntries> = v.InferOutput<v.ObjectSchema<E, undefined>>;

/** An object with these keys and no others; `hints` says what a missing key should hold. */
export function section<const E extends v.ObjectEntries>(
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
export function list<S extends v.GenericSchema>(
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
export function integer(min: number, max: number): v.GenericSchema<unknown, number> {
  return leaf((input) => {
    if (typeof input !== "number" || !Number.isInteger(input) || input < min || input > max) {
      throw new RangeError(`${quote(input)} is not a whole number from ${min} to ${max}`);
    }
    return input;
  });
}

/** A whole number that may need 64 bits: a number, or text, decimal or "0x...". */
export function bigint(min: bigint, max: bigint): v.GenericSchema<unknown, bigint> {
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
export function duration(minMs: number, maxMs: number): v.GenericSchema<unknown, Span> {
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
export function oneOf<const T extends string>(
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
export function text(what: string, max: number): v.GenericSchema<unknown, string> {
  return leaf((input) => {
    // deno-lint-ignore no-control-regex
    if (typeof input !== "string" || !/^[^\x00-\x1f\x7f]+$/.test(input) || input.length > max) {
      throw new RangeError(`${quote(input)} is not ${what}: write text of 1 to ${max} characters`);
    }
    return input;
  });
}

/** The path of a file or directory. */
export const filePath: v.GenericSchema<unknown, FilePath> = v.pipe(
  text("a path", 4096),
  v.transform((path) => new FilePath(path)),
);

/** true or false; "true" in quotes is neither. */
export const bool: v.GenericSchema<unknown, boolean> = leaf((input) => {
  if (typeof input !== "boolean") throw new RangeError(`${quote(input)} is not true or false`);
  return input;
});

/** A prefix in canonical text. */
export const cidr: v.GenericSchema<unknown, string> = leaf((input) => parseCidr(input).cidr);

/** "host:port" in canonical text. */
export const hostPort: v.GenericSchema<unknown, string> = leaf((input) =>
  parseHostPort(input).text
);

/** "https://dash.example", as a browser names where a page came from. */
export const origin: v.GenericSchema<unknown, string> = leaf((input) => {
  const url = typeof input === "string" && URL.canParse(input) ? new URL(input) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.origin !== input) {
    throw new RangeError(
      `${
        quote(input)
      } is not an origin: write scheme, host and port alone, such as "https://dash.example"`,
    );
  }
  return url.origin;
});

/** Where a server of etcd answers: "https://192.0.2.10:2379". */
export const endpoint: v.GenericSchema<unknown, string> = leaf((input) => {
  const url = typeof input === "string" && URL.canParse(input) ? new URL(input) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.origin !== input) {
    throw new RangeError(
      `${quote(input)} is not an endpoint: write scheme, host and port alone, such as ` +
        '"https://192.0.2.10:2379"',
    );
  }
  return url.origin;
});

/** What may stand for a host in a certificate: a DNS name or the last part of a SPIFFE id. */
export const identity: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || !isIdentity(input)) {
    throw new RangeError(
      `${quote(input)} is not an id: use letters, digits, ".", "-" and "_", such as "h1"`,
    );
  }
  return input;
});

/** What a network is called. */
export const networkName: v.GenericSchema<unknown, string> = leaf((input) => {
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
export const domainName: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || !isDnsName(input)) {
    throw new RangeError(`${quote(input)} is not a domain: write it like "example.org"`);
  }
  return input.toLowerCase();
});

/** A group of this machine. */
export const groupName: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input === "string" && /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(input)) return input;
  throw new Error(`${quote(input)} is no name of a group such as "adm"`);
});

/** A Linux network interface. */
export const interfaceName: v.GenericSchema<unknown, string> = leaf((input) => {
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
export const coreList: v.GenericSchema<unknown, string> = leaf((input) => {
  if (typeof input !== "string" || input.length > 63) {
    throw new RangeError(`${quote(input)} is not a core list: write one such as "0-1,3"`);
  }
  coresOf(input);
  return input;
});

/** "0000:03:00.0"; the PCI domain may be left out. */
export const pciAddress: v.GenericSchema<unknown, string> = leaf((input) => {
  const pci = typeof input === "string" ? input.toLowerCase() : "";
  if (!/^([0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(pci)) {
    throw new RangeError(`${quote(input)} is not a PCI address: write it like "0000:03:00.0"`);
  }
  return pci.length === 7 ? `0000:${pci}` : pci;
});

/** An identity or a certificate's fingerprint ("sha256:" and 64 hex digits, colons allowed). */
export const denied: v.GenericSchema<unknown, string> = leaf((input) => {
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
