// SPDX-License-Identifier: Apache-2.0

/** Options that several commands share, and how examples are shown. */
import { or } from "@optique/core/constructs";
import { lineBreak, type Message, message, text } from "@optique/core/message";
import { map, optional, withDefault } from "@optique/core/modifiers";
import { flag, option } from "@optique/core/primitives";
import type { Parser } from "@optique/core/parser";
import { choice, integer, string, type ValueParser } from "@optique/core/valueparser";
import { path } from "@optique/run/valueparser";
import { formatDuration, parseDuration } from "../config/durations.ts";
import { parseHostPort } from "../config/addresses.ts";

/** A path; shells complete it. */
export const FILE: ValueParser<"sync", string> = path({ metavar: "FILE" });
/** A directory. */
export const DIR: ValueParser<"sync", string> = path({ metavar: "DIR", type: "directory" });
/** "host:port", canonical, or the path of a Unix socket: something with a slash in it. */
export const ADDRESS: ValueParser<"sync", string> = {
  mode: "sync",
  metavar: "ADDRESS",
  placeholder: "127.0.0.1:7480",
  parse(input) {
    if (input.includes("/")) return { success: true, value: input };
    try {
      return { success: true, value: parseHostPort(input).text };
    } catch (error) {
      return { success: false, error: [text(error instanceof Error ? error.message : "")] };
    }
  },
  format: (value) => value,
};

/** Text with something in it. */
export function word(
  metavar: "ADDRESS" | "DOMAIN" | "ID" | "INTERFACE" | "INTERFACES" | "NAME" | "TEXT",
): ValueParser<"sync", string> {
  return string({
    metavar,
    pattern: /\S/,
    errors: { patternMismatch: [text(`${metavar} must not be empty`)] },
  });
}

/** The configuration file, needed. */
export const config: Parser<"sync", string, unknown> = option("-c", "--config", FILE, {
  description: message`The configuration, see examples/peers.json.`,
});

/** Another shim than the agent's own. */
export const library: Parser<"sync", string | undefined, unknown> = optional(
  option("--library", FILE, { description: message`Another shim than the agent's own.` }),
);

/** For programs. */
export const json: Parser<"sync", boolean, unknown> = withDefault(
  flag("--json", { description: message`JSON instead of text.` }),
  false,
);

/** How an answer is printed. */
export type Output = "table" | "json";

/** A table for people, or the API's own JSON for programs. */
export const output: Parser<"sync", Output, unknown> = withDefault(
  or(
    option("-o", "--output", choice(["table", "json"], { metavar: "FORMAT" }), {
      description: message`"table", or "json" as the API has it.`,
    }),
    map(flag("--json", { description: message`The same as -o json.` }), (): Output => "json"),
  ),
  "table",
);

/** A span of time such as "10m", milliseconds. */
export const DURATION: ValueParser<"sync", number> = {
  mode: "sync",
  metavar: "DURATION",
  placeholder: 0,
  parse(input) {
    // As in the configuration, a number alone is seconds.
    if (/^\d{1,9}$/.test(input)) return { success: true, value: Number(input) * 1000 };
    try {
      return { success: true, value: parseDuration(input) };
    } catch (error) {
      return { success: false, error: [text(error instanceof Error ? error.message : "")] };
    }
  },
  format: (value) => formatDuration(value),
};

/** Where the running agent answers. */
export interface Target {
  readonly config: string | undefined;
  readonly address: string | undefined;
  readonly token: string | undefined;
}

/** The options of `Target`, to be merged into a command's own. */
export const target: {
  readonly [K in keyof Target]: Parser<"sync", string | undefined, unknown>;
} = {
  config: optional(option("-c", "--config", FILE, {
    description:
      message`The agent's configuration: says where it answers, and with which certificates.`,
  })),
  address: optional(option("-a", "--address", ADDRESS, {
    description:
      message`Where the agent answers: host:port, or the path of its Unix socket. If not given: its socket on this host, then as configured, then 127.0.0.1:7480.`,
  })),
  token: optional(option("--token-file", FILE, {
    description: message`A bearer token, if the agent wants one.`,
  })),
};

/** One word of a list, which the help has too. */
export function oneOf<const T extends string>(
  words: readonly T[],
  metavar: "FORMAT" | "KIND" | "LEVEL" | "NAME" | "PART" | "STATE" | "WAY",
): { readonly parser: ValueParser<"sync", T>; readonly words: Message } {
  return { parser: choice(words, { metavar }), words: [text(words.join(", "))] };
}

/** A flag that is false when absent. */
export function toggle(
  name: `--${string}`,
  description: Message,
): Parser<"sync", boolean, unknown> {
  return withDefault(flag(name, { description }), false);
}

/** A whole number that may be absent. */
export function number(
  name: `--${string}`,
  description: Message,
  { min, max }: { readonly min: number; readonly max: number },
): Parser<"sync", number | undefined, unknown> {
  return optional(option(name, integer({ min, max, metavar: "N" }), { description }));
}

/** "Examples:" and one command per line. */
export function examples(lines: readonly string[]): Message {
  return [
    text("Examples:"),
    ...lines.flatMap((line) => [lineBreak(), text(`  ${line}`)]),
  ];
}

/** Keys that may be undefined become keys that may be absent. */
type Compact<T> =
  & { [K in keyof T as undefined extends T[K] ? never : K]: T[K] }
  & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };

/** A copy without the keys that are undefined. */
export function compact<T extends object>(object: T): Compact<T> {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Compact<T>;
}
