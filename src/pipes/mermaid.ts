// SPDX-License-Identifier: Apache-2.0

/** A topology as a Mermaid flowchart: names, matches, actions, edges; a dotted edge is a miss. */
import type { Actions, Fwd } from "../../ffi/plane.ts";
import type { Pipe, PipeName, Topology } from "./types.ts";
import { matchFields } from "./validate.ts";

/** Live numbers of one pipe, for its node and its edges. */
export interface PipeCounters {
  readonly entries: number;
  readonly packets: bigint;
  readonly missPackets: bigint;
  /** Packets by static entry. */
  readonly staticEntries: readonly { readonly name: string; readonly packets: bigint }[];
}

export interface MermaidOptions {
  /** What the ports are called in the picture. Default: p0 and pf0vf0. */
  readonly ports?: { readonly uplink: string; readonly host: string };
  readonly counters?: (pipe: PipeName) => PipeCounters | undefined;
}

/** The flowchart's text, ending in a newline. */
export function mermaid(topology: Topology, options: MermaidOptions = {}): string {
  const lines = ["flowchart LR", "    ingress{{ingress}}-->ROOT"];
  const drawn = new Set<string>(["ROOT"]);
  // A node is spelled out where it is met first, and by its id from then on.
  const node = (id: string, text: string) => {
    if (drawn.has(id)) return id;
    drawn.add(id);
    return text;
  };
  const byName = new Map<string, Pipe>(topology.pipes.map((pipe) => [pipe.name, pipe]));
  const target = (fwd: Fwd<PipeName>): string => {
    switch (fwd.type) {
      case "port":
        return fwd.port === "uplink"
          ? node("p0", `p0{{${options.ports?.uplink ?? "p0"}}}`)
          : node("host", `host{{${options.ports?.host ?? "pf0vf0"}}}`);
      case "pipe": {
        const pipe = byName.get(fwd.pipe);
        const label = pipe === undefined ? [fwd.pipe] : pipeLabel(pipe, options);
        return node(
          fwd.pipe,
          label.length === 1 ? fwd.pipe : `${fwd.pipe}["${label.join("\\n")}"]`,
        );
      }
      case "rss":
        return fwd.rss === "miss"
          ? node("RSS", 'RSS["RSS miss handler\\nNewTunnel, add entries"]')
          : node("RSS_EXCEPTIONS", 'RSS_EXCEPTIONS["RSS\\ngenerate the reply"]');
      case "drop":
        return node("drop", "drop[[drop]]");
      case "kernel":
        return node("kernel", "kernel{{kernel}}");
      default:
        return fwd satisfies never;
    }
  };
  for (const pipe of topology.pipes) {
    if (pipe.is_root) lines.push(...rootEdges(pipe, target, options));
    else lines.push(...pipeEdges(pipe, target, options, node));
  }
  if (drawn.has("RSS_EXCEPTIONS")) {
    lines.push(`    RSS_EXCEPTIONS-->${target({ type: "port", port: "host" })}`);
  }
  return lines.join("\n") + "\n";
}

type Target = (fwd: Fwd<PipeName>) => string;

/** The entries of a classifying pipe that lead to the same target. */
interface Group {
  readonly fwd: Fwd<PipeName>;
  readonly ports: Set<string>;
  readonly kinds: Set<string>;
  readonly names: Set<string>;
}

/** One edge for each target, labelled with what all the entries that lead there match. */
function rootEdges(pipe: Pipe, target: Target, options: MermaidOptions): readonly string[] {
  const groups = new Map<string, Group>();
  for (const entry of pipe.entries) {
    const fwd = entry.fwd ?? pipe.fwd;
    if (fwd === undefined) continue;
    const key = JSON.stringify(fwd);
    const group = groups.get(key) ?? { fwd, ports: new Set(), kinds: new Set(), names: new Set() };
    groups.set(key, group);
    group.names.add(entry.name);
    if (entry.match.parser_meta?.port_id) group.ports.add(entry.match.parser_meta.port_id);
    group.kinds.add(kind(matchFields(entry.match)));
  }
  const edges = [...groups.values()].map(({ fwd, ports, kinds, names }) => {
    const l3 = [...kinds].every((k) => k === "ipv4" || k === "ipv6");
    const what = [...kinds].join(l3 ? "/" : " / ");
    const port = ports.size === 0 ? "" : `port=${[...ports].join("/")}, `;
    const count = passed(pipe, options, names);
    return `    ${pipe.name}-->|"M: ${port}${what}${count && `: ${count}`}"|${target(fwd)}`;
  });
  const kernel = pipe.fwd_miss.type === "kernel";
  const label = kernel ? "miss on the uplink (isolated mode)" : "miss";
  edges.push(`    ${pipe.name}-.->|"${label}${misses(pipe, options)}"|${target(pipe.fwd_miss)}`);
  return edges;
}

function pipeEdges(
  pipe: Pipe,
  target: Target,
  options: MermaidOptions,
  node: (id: string, text: string) => string,
): readonly string[] {
  const forwards = new Map<string, Fwd<PipeName>>();
  for (const fwd of [pipe.fwd, ...pipe.entries.map((entry) => entry.fwd)]) {
    if (fwd !== undefined) forwards.set(JSON.stringify(fwd), fwd);
  }
  const live = options.counters?.(pipe.name);
  const count = live === undefined ? "" : `|${live.packets}|`;
  const edges = [...forwards.values()].map((fwd) => `    ${pipe.name}-->${count}${target(fwd)}`);
  if (mirrors(pipe)) {
    const mirrored = live === undefined ? "" : `: ${live.packets}`;
    const samples = node("SAMPLES", "SAMPLES[[RSS: samples]]");
    edges.push(`    ${pipe.name}-->|mirror${mirrored}|${samples}`);
  }
  // A pipe whose one entry matches everything has no misses to speak of.
  if (matchFields(pipe.match_mask ?? {}).length > 0 || pipe.entries.length === 0) {
    edges.push(`    ${pipe.name}-.->|miss${misses(pipe, options)}|${target(pipe.fwd_miss)}`);
  }
  if (pipe.fwd_miss.type === "rss") edges.push(`    RSS-->|resubmit|${pipe.name}`);
  return edges;
}

function mirrors(pipe: Pipe): boolean {
  return [pipe, ...pipe.entries].some(({ monitor }) => monitor?.mirror !== undefined);
}

function pipeLabel(pipe: Pipe, options: MermaidOptions): readonly string[] {
  const constant = new Map(matchFields(pipe.constant ?? {}));
  const first = new Map(matchFields(pipe.entries[0]?.match ?? {}));
  const compared = matchFields(pipe.match_mask ?? {}).map(([field, mask]) =>
    comparison(field, { mask, value: first.get(field), constant: constant.get(field) })
  );
  const does = actions(pipe.actions);
  const live = options.counters?.(pipe.name);
  return [
    pipe.name,
    ...compared.length > 0 ? [`M: ${compared.join(", ")}`] : [],
    ...does.length > 0 ? [`A: ${does.join(", ")}`] : [],
    ...live === undefined ? [] : [`${live.entries} entries, ${live.packets} packets`],
    // Where a pipe's own entries tell packets apart, such as by syndrome.
    ...live === undefined || live.staticEntries.length < 2
      ? []
      : [live.staticEntries.map(({ name, packets }) => `${name} ${packets}`).join(", ")],
  ];
}

/** Packets that took one of these entries, "" where nothing is counted. */
function passed(pipe: Pipe, options: MermaidOptions, names: ReadonlySet<string>): string {
  const live = options.counters?.(pipe.name);
  if (live === undefined) return "";
  const taken = live.staticEntries.filter(({ name }) => names.has(name));
  return String(taken.reduce((sum, { packets }) => sum + packets, 0n));
}

function misses(pipe: Pipe, options: MermaidOptions): string {
  const live = options.counters?.(pipe.name);
  return live === undefined ? "" : `: ${live.missPackets}`;
}

/** What the entries of a classifying pipe are called in the trade. */
function kind(fields: readonly (readonly [string, unknown])[]): string {
  const rest = fields.filter(([field]) => field !== "parser_meta.port_id");
  const value = new Map(rest);
  if (value.get("outer.eth_type") === 0x0806) return "arp";
  if (value.has("outer.icmp_type")) return "nd";
  if (value.get("outer.dst_port") === 67 || value.get("outer.dst_port") === 547) return "dhcp";
  if (value.has("outer.dst_port")) {
    return `${value.get("parser_meta.outer_l4_type")} ${value.get("outer.dst_port")}`;
  }
  return rest.map(([, v]) => String(v)).join(" ");
}

function comparison(
  field: string,
  { mask, value, constant }: { mask: unknown; value: unknown; constant: unknown },
): string {
  if (field === "parser_meta.psp_syndrome") return constant === "ok" ? "syndrome 0" : "syndrome";
  if (field === "parser_meta.random") return `random & mask == ${value}`;
  if (field === "tun.psp.s_d_ver_v" && mask === 0x80) return "psp.S=1";
  return FIELD_NAMES[field] ?? field.slice(field.lastIndexOf(".") + 1);
}

const FIELD_NAMES: Readonly<Record<string, string>> = {
  "parser_meta.port_id": "port",
  "outer.src_ip": "src vip",
  "outer.dst_ip": "dst vip",
  "inner.src_ip": "src vip",
  "inner.dst_ip": "dst vip",
};

function actions(a: Actions | undefined): readonly string[] {
  return [
    ...a?.crypto_encap ? [a.crypto_encap.action] : [],
    ...a?.meta ? ["pkt_meta=crypto_id"] : [],
    ...a?.tun ? ["psp.S=1"] : [],
    ...a?.crypto ? [a.crypto.action] : [],
  ];
}
