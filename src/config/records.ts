// SPDX-License-Identifier: Apache-2.0

/** A peer, or a list of them, as a text of its own: a drop-in file or a value of a directory. As strict as the file. */
import * as v from "valibot";
import { type OwnSide, peerAddressProblems } from "./rules.ts";
import { fromFile, type PeerConfig } from "./config.ts";
import { pathText } from "./load.ts";
import { networkOf } from "../model/network.ts";
import type { Slices } from "../model/slices.ts";
import { peerSchema } from "./schema.ts";
import { parseSource, type Problem } from "./source.ts";

/** What a record is judged by. */
export interface RecordRules extends OwnSide {
  readonly id: string;
  /** Whether the pipes compare virtualization cookies: without it no peer can have one. */
  readonly hasVc: boolean;
  /** Networks that there are besides the default one. */
  readonly networks?: readonly { readonly name: string }[] | undefined;
}

/** What a text holds. */
export interface Records {
  /** Those that can be used. A record of this host itself is none, and nothing is wrong with it. */
  readonly peers: readonly PeerConfig[];
  /** "2:14: vips[0]: what is wrong": of each record that is left out, or of which a part is, one at least. */
  readonly problems: readonly string[];
  /** Records that are left out. */
  readonly skipped: number;
}

/** Reads a text. Never throws: a record that cannot be used is left out, and the others are taken. */
export function parseRecords(text: string, rules: RecordRules): Records {
  const peers: PeerConfig[] = [];
  for (const item of plainItems(text) ?? []) {
    const { peer, problems } = judge(item, rules);
    if (problems.length > 0) return carefully(text, rules);
    if (peer !== undefined) peers.push(peer);
  }
  return peers.length > 0 ? nothingWrong(peers) : carefully(text, rules);
}

/** The same of a text with very many. One with comments, a warning or a mistake is read in one piece still. */
export async function parseManyRecords(
  text: string,
  rules: RecordRules,
  slices: Slices,
): Promise<Records> {
  const peers: PeerConfig[] = [];
  for (const item of plainItems(text) ?? []) {
    const { peer, problems } = judge(item, rules);
    if (problems.length > 0) return carefully(text, rules);
    if (peer !== undefined) peers.push(peer);
    await slices.next();
  }
  return peers.length > 0 ? nothingWrong(peers) : carefully(text, rules);
}

function nothingWrong(peers: readonly PeerConfig[]): Records {
  return { peers, problems: [], skipped: 0 };
}

/** The records of what is plain JSON: most of very many. undefined: it has to be looked at with care. */
function plainItems(text: string): readonly unknown[] | undefined {
  // Escapes could hide a key that stands twice, and long numbers are not what they seem.
  if (/\\|\d{16}|__proto__|prototype|constructor/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const keys = (item: unknown) =>
    typeof item === "object" && item !== null ? Object.keys(item).length : 0;
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const written = text.match(/"\s*:/g)?.length ?? 0;
  // More of them than there are keys: one stands there twice, or it is no record.
  return written === items.reduce<number>((sum, item) => sum + keys(item), 0) ? items : undefined;
}

/** With the place of everything that is wrong. */
function carefully(text: string, rules: RecordRules): Records {
  const { value, problems: odd, locate } = parseSource(text);
  if (value === undefined || odd.length > 0) {
    return { peers: [], problems: odd.map(render), skipped: 1 };
  }
  const items = Array.isArray(value) ? value : [value];
  const peers: PeerConfig[] = [];
  const problems: string[] = [];
  let skipped = 0;
  for (const [i, item] of items.entries()) {
    const at = Array.isArray(value) ? [i] : [];
    const found = judge(item, rules);
    if (found.peer !== undefined) peers.push(found.peer);
    else if (found.problems.length > 0) skipped++;
    for (const { path, text } of found.problems) {
      problems.push(render(locate({ path: [...at, ...path], text })));
    }
  }
  return { peers, problems, skipped };
}

/** What a record is worth. Without a peer and without a problem it is this host's own. */
interface Verdict {
  readonly peer?: PeerConfig;
  readonly problems: readonly { path: readonly (string | number)[]; text: string }[];
}

function judge(item: unknown, rules: RecordRules): Verdict {
  const result = v.safeParse(peerSchema, item);
  if (!result.success) {
    return {
      problems: result.issues.map(({ path, message }) => ({
        path: (path ?? []).map(({ key }) => typeof key === "number" ? key : String(key)),
        text: message,
      })),
    };
  }
  const form = result.output;
  if (form.id === rules.id) return { problems: [] };
  const problems = [...peerAddressProblems(rules, form)];
  const twice = form.vips.findIndex((vip, i) => form.vips.indexOf(vip) !== i);
  if (twice >= 0) {
    problems.push({ path: ["vips", twice], text: `${form.vips[twice]} is there twice` });
  }
  if (form.vc !== undefined && !rules.hasVc) {
    problems.push({
      path: ["vc"],
      text: "needs a peer with a vc in the file when the agent starts: the pipes compare none",
    });
  }
  if (problems.length > 0) return { problems };
  // The peer may be in more networks than this host is.
  const known = new Set(["", ...(rules.networks ?? []).map(({ name }) => name)]);
  const vips = form.vips.filter((vip) => known.has(networkOf(vip)));
  const foreign = form.vips.flatMap((vip, i) =>
    known.has(networkOf(vip))
      ? []
      : [{ path: ["vips", i], text: `network "${networkOf(vip)}" is not known here` }]
  );
  if (vips.length === 0) return { problems: foreign };
  return { peer: fromFile({ ...form, vips }, "/") as PeerConfig, problems: foreign };
}

function render({ path, text, line, column }: Problem): string {
  const key = pathText(path);
  return `${line}:${column}: ${key ? `${key}: ` : ""}${text}`;
}
