// SPDX-License-Identifier: Apache-2.0

/** `psp-agent status` and `psp-agent tunnels` */
import type { PortGuard } from "../../ffi/plane.ts";
import { guardReasonText } from "../plane/guard.ts";
import type { PeerView, SaView, SizesView, StatusView, TunnelView } from "../model/status.ts";
import { warningsOf } from "../model/health.ts";
import { dropReason } from "../model/plane_counters.ts";
import { spiText } from "../model/sa.ts";
import { formatDuration } from "../config/durations.ts";
import { statusJson, tunnelJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, table } from "./io.ts";
import type { Target } from "./options.ts";
import { jsonPages, type Pages } from "./pages.ts";
import { connect } from "./target.ts";
import { requirePeer } from "./unknown.ts";
import { type WatchArgs, watching } from "./watch.ts";

/** Peers that `status` shows when it is not told. */
const PEERS_SHOWN = 50;

/** Prints the agent's state. With `check` it ends with `degraded` when something wants an operator. */
export async function status(
  args: Target & WatchArgs & {
    readonly peers: number | undefined;
    readonly counters: boolean;
    readonly check: boolean;
  },
): Promise<ExitCode> {
  const maxPeers = args.peers ?? PEERS_SHOWN;
  await using client = await connect(args);
  return await watching(args, async (print) => {
    const view = await client.status({ maxPeers });
    const now = Date.now();
    print(
      args.output === "json"
        ? json(statusJson(view))
        : statusText(view, now, { counters: args.counters }),
    );
    const isWell = !args.check || warningsOf(view, now).length === 0;
    return isWell ? EXIT.ok : EXIT.degraded;
  });
}

/** Prints one line per tunnel, page by page as they come: there may be a hundred thousand. */
export async function tunnels(
  args: Target & WatchArgs & { readonly peer: string | undefined },
): Promise<ExitCode> {
  await using client = await connect(args);
  return await watching(args, async (print) => {
    const pages = args.output === "json" ? jsonPages(tunnelJson) : textPages(Date.now());
    let found = 0;
    for await (const page of client.tunnels(args.peer === undefined ? {} : { peer: args.peer })) {
      found += page.length;
      print(pages.page(page));
    }
    if (found === 0) await requirePeer(args.peer, client);
    print(pages.end());
    return EXIT.ok;
  });
}

/** One table: columns grow where a later page needs it. */
function textPages(nowMs: number): Pages<TunnelView> {
  const widths = TUNNEL_HEAD.map(({ length }) => length);
  let first = true;
  return {
    page(tunnels) {
      const rows = tunnelRows(tunnels, nowMs);
      if (rows.length === 0) return "";
      const lines = table(first ? TUNNEL_HEAD : undefined, rows, TUNNEL_NUMBERS, widths);
      first = false;
      return lines;
    },
    end: () => first ? "No tunnels.\n" : "",
  };
}

/** Several host ports, or networks: what each is and carries. One of the default network is told in a line above. */
function portsText(ports: StatusView["plane"]["ports"]): string {
  const known = ports.flatMap(({ facts, ...port }) =>
    facts === undefined ? [] : [{ ...port, facts }]
  );
  const hosts = known.filter(({ name }) => name === "host");
  if (hosts.length < 2 && hosts.every(({ facts }) => facts.network === "")) return "";
  const rows = known.map(({ name, interface: device, facts }) => [
    device,
    name === "uplink" ? "(uplink)" : facts.network || "-",
    facts.state,
    facts.mac,
    name === "uplink" ? "-" : String(facts.workloads),
    String(facts.rxPackets),
    String(facts.txPackets),
    String(facts.txBusy + facts.txError + facts.missesLimited + facts.exceptionsLimited),
  ]);
  const head = ["PORT", "NETWORK", "STATE", "MAC", "WORKLOADS", "RX", "TX", "DROPPED"];
  return `${table(head, rows, [4, 5, 6, 7])}\n`;
}

/** The state for people. */
export function statusText(
  view: StatusView,
  nowMs: number,
  { counters: withCounters }: { readonly counters: boolean } = { counters: false },
): string {
  const { plane, mtu, rotation, tunnels: t } = view;
  const facts: [string, string][] = [
    ["agent", `${view.id}, psp-agent ${view.version}, up ${since(view.startedAtMs, nowMs)}`],
    ["state", [view.draining ? "draining" : "running", ...view.faults].join("; ")],
    ["plane", `${plane.kind} (${plane.backend}), uplink ${plane.uplink}, host ${plane.host}`],
    ["peers", peerCounts(view)],
    ...plane.granted === undefined
      ? []
      : [["sizes", sizesText(plane.granted, plane.asked)] as [string, string]],
    ...plane.ports.length === 0 ? [] : [["guard", guardText(plane.ports)] as [string, string]],
    [
      "tunnels",
      `${t.up} up, ${t.unconfirmed} unconfirmed, ${t.opening} opening, ${t.rekeying} rekeying, ${t.failed} failed`,
    ],
    ["keys", keysText(view, nowMs)],
    [
      "mtu",
      `uplink ${mtu.uplink}, overhead ${mtu.overhead}, largest inner packet ${mtu.largestInnerPacket}`,
    ],
    [
      "rotation",
      `${rotation.rotations} so far, ${rotation.sasOnOldKey} SAs on the old key, next ${
        ahead(rotation.nextAtMs, nowMs)
      }`,
    ],
  ];
  const { p99Ms, maxMs } = view.eventLoop;
  facts.push(["event loop", `p99 ${p99Ms.toFixed(0)} ms late, at most ${maxMs.toFixed(0)} ms`]);
  if (view.certificateExpiresAtMs !== undefined) {
    facts.push(["certificate", `expires ${ahead(view.certificateExpiresAtMs, nowMs)}`]);
  }
  const lines = facts.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join("");
  const sources = view.directory.length < 2 ? "" : `${sourcesText(view.directory, nowMs)}\n`;
  const peers = view.peers.length === 0 ? "" : peersTable(view.peers, nowMs);
  const warnings = warningsOf(view, nowMs).map(({ name, text, action }) =>
    `! ${name}: ${text}. ${action}.\n`
  ).join("");
  const passed = Object.entries(view.counters).filter(([, value]) => value > 0n);
  const dropped = passed.flatMap(([name, value]): [string, bigint][] => {
    const reason = dropReason(name);
    return reason === undefined ? [] : [[reason, value]];
  });
  const drops = dropped.length === 0
    ? "Nothing was dropped since the start.\n"
    : dropsTable(dropped, view.recentDrops);
  const counted = !withCounters
    ? ""
    : passed.length === 0
    ? "\nNo counter has counted yet.\n"
    : `\n${table(["COUNTER", "VALUE"], byName(passed), [1])}`;
  const more = view.peersTotal - view.peers.length;
  const rest = more > 0
    ? `${view.peers.length > 0 ? "... and " : ""}${more} ${view.peers.length > 0 ? "more " : ""}${
      more === 1 ? "peer" : "peers"
    }: psp-agent peers shows them all\n`
    : "";
  const known = view.peersTotal === 0 ? "No peers.\n" : peers + rest;
  return `${warnings}${lines}\n${portsText(plane.ports)}${sources}${known}\n${drops}${counted}`;
}

/** Peers, one a line. */
export function peersTable(peers: readonly PeerView[], nowMs: number): string {
  return table(
    ["PEER", "ADDRESS", "STATE", "TUNNELS", "VIPS", "KEY EXCHANGE", "LAST ERROR"],
    peers.map((peer) => [
      peer.id,
      peer.svcAddress,
      peerState(peer, nowMs),
      String(peer.tunnels),
      few(peer.vips),
      peer.keyExchange ?? "-",
      peer.lastError || unreachedText(peer, nowMs) || refusalText(peer, nowMs),
    ]),
    [3],
  );
}

/** Names and how often, by name. */
function byName(rows: readonly (readonly [string, bigint])[]): string[][] {
  return rows.toSorted(([a], [b]) => a < b ? -1 : 1).map(([name, n]) => [name, String(n)]);
}

/** Reasons by name, with what was dropped for them lately. */
function dropsTable(
  dropped: readonly (readonly [string, bigint])[],
  recent: StatusView["recentDrops"],
): string {
  const rows = byName(dropped).map(([name = "", n = ""]) => [name, n, String(recent[name] ?? 0n)]);
  return table(["DROPPED", "PACKETS", "LAST 5 MIN"], rows, [1, 2]);
}

/** How many peers are in which state; where not all are here, those that fail come first. */
function peerCounts({ peers, peersTotal }: StatusView): string {
  const count = (state: PeerView["state"]) => peers.filter((peer) => peer.state === state).length;
  const failing = count("failing");
  if (peers.length === peersTotal) {
    return `${count("up")} up, ${count("idle")} idle, ${
      count("unknown")
    } unknown, ${failing} failing`;
  }
  const isAll = peers.at(-1)?.state !== "failing";
  if (peers.length === 0) return String(peersTotal);
  return `${peersTotal}, ${failing}${isAll ? "" : " or more"} failing`;
}

/** The oldest key that is in use to send with, and when the next one is replaced. */
function keysText({ oldestKeyAtMs, nextRekeyAtMs }: StatusView, nowMs: number): string {
  if (oldestKeyAtMs === undefined) return "none to send with";
  const oldest = `the oldest to send with made ${since(oldestKeyAtMs, nowMs)} ago`;
  // An agent of before does not say; nor is there one while all are rekeying.
  if (nextRekeyAtMs === undefined) return oldest;
  return `${oldest}, next rekey ${ahead(nextRekeyAtMs, nowMs)}`;
}

/** Where peers come from, and what is wrong there. */
function sourcesText(sources: StatusView["directory"], nowMs: number): string {
  const state = ({ isCurrent, currentAtMs }: StatusView["directory"][number]) =>
    isCurrent
      ? "current"
      : currentAtMs === undefined
      ? "never read"
      : `${since(currentAtMs, nowMs)} old`;
  const rows = sources.map((source) => [
    source.name,
    state(source),
    String(source.records),
    String(source.skipped),
    String(source.conflicts),
    source.lastError || "-",
  ]);
  const head = ["SOURCE", "STATE", "RECORDS", "SKIPPED", "CONFLICTS", "LAST ERROR"];
  const problems = sources.flatMap(({ name, problems }) => problems.map((p) => `${name}: ${p}\n`));
  return table(head, rows, [2, 3, 4]) + problems.join("");
}

/** What the plane has, and what of it is less than was asked for. */
function sizesText(
  { maxEntries, maxCryptoIds, actionsMemory, mbufs, queues }: SizesView,
  asked: StatusView["plane"]["asked"],
): string {
  const of = (has: number, wanted: number | undefined) =>
    wanted === undefined || wanted <= has ? `${has}` : `${has} of ${wanted}`;
  const sizes = [
    `${of(maxEntries, asked?.maxEntries)} entries`,
    `${of(maxCryptoIds, asked?.maxCryptoIds)} crypto ids`,
  ];
  if (actionsMemory > 0) sizes.push(`${(actionsMemory / 2 ** 20).toFixed(0)} MiB for actions`);
  if (mbufs > 0) sizes.push(`${mbufs} packet buffers`);
  if (queues > 0) sizes.push(`${queues} queues`);
  return sizes.join(", ") + (asked === undefined ? "" : ": the device has no memory for more");
}

/** "stands", or for each port what it is. */
function guardText(ports: StatusView["plane"]["ports"]): string {
  const states = ports.map(({ interface: name, guard }) => ({ name, text: guardState(guard) }));
  const [first] = states;
  if (first !== undefined && states.every(({ text }) => text === first.text)) return first.text;
  return states.map(({ name, text }) => `${name} ${text}`).join(", ");
}

function guardState({ state, reason }: PortGuard): string {
  switch (state) {
    case "stands":
      return "stands: the kernel of this host gets nothing of workloads and no PSP";
    case "not-applicable":
      return "not applicable: the kernel of this host gets no copies";
    case "off":
      return "off by plane.host_guard";
    case "absent":
      return `absent: ${guardReasonText(reason)}`;
    default:
      return state satisfies never;
  }
}

const TUNNEL_HEAD = [
  "PEER",
  "LOCAL VIP",
  "REMOTE VIP",
  "STATE",
  "TX SPI",
  "RX SPI",
  "TX",
  "RX",
  "UP",
  "REKEY",
  "LAST ERROR",
] as const;
/** Columns of these that align right. */
const TUNNEL_NUMBERS = [6, 7] as const;

/** The tunnels for people, in one. */
export function tunnelsText(tunnels: readonly TunnelView[], nowMs: number): string {
  const print = textPages(nowMs);
  return print.page(tunnels) + print.end();
}

function tunnelRows(tunnels: readonly TunnelView[], nowMs: number): string[][] {
  return tunnels.map((t) => [
    t.peer,
    t.localVip,
    t.remoteVip,
    t.state,
    spi(t.tx),
    spi(t.rx),
    String(t.sent?.packets ?? t.tx?.packets ?? 0n),
    String(t.received?.packets ?? t.rx?.packets ?? 0n),
    t.openedAtMs === undefined ? "-" : since(t.openedAtMs, nowMs),
    t.nextRekeyAtMs === undefined ? "-" : ahead(t.nextRekeyAtMs, nowMs),
    t.lastError || "-",
  ]);
}

function spi(sa: SaView | undefined): string {
  return sa ? spiText(sa.spi) : "-";
}

/** What was refused between the two hosts, and by whom. */
function refusalText({ refusal }: PeerView, nowMs: number): string {
  if (refusal === undefined) return "-";
  const { by, atMs, reason, message } = refusal;
  return `${by} refused ${since(atMs, nowMs)} ago: ${message || reason}`;
}

function peerState(peer: PeerView, nowMs: number): string {
  switch (peer.state) {
    case "up":
    case "unknown":
      return peer.state;
    case "idle":
      return peer.heardAtMs === undefined
        ? "idle"
        : `idle, heard ${since(peer.heardAtMs, nowMs)} ago`;
    case "failing": {
      const long = peer.failingSinceMs === undefined
        ? ""
        : ` for ${since(peer.failingSinceMs, nowMs)}`;
      const next = peer.circuit === "half-open"
        ? "trying"
        : `next try ${ahead(peer.nextAttemptAtMs, nowMs)}`;
      return `failing${long}, ${next}`;
    }
    default:
      return peer.state satisfies never;
  }
}

function unreachedText({ unreachedSinceMs }: PeerView, nowMs: number): string {
  return unreachedSinceMs === undefined
    ? ""
    : `no packet arrives there for ${since(unreachedSinceMs, nowMs)}`;
}

function few(list: readonly string[]): string {
  return list.length <= 2 ? list.join(" ") : `${list.slice(0, 2).join(" ")} +${list.length - 2}`;
}

/** How long ago. */
export function since(atMs: number, nowMs: number): string {
  return coarse(nowMs - atMs);
}

function ahead(atMs: number | undefined, nowMs: number): string {
  if (atMs === undefined) return "not planned";
  return atMs <= nowMs ? "due" : `in ${coarse(atMs - nowMs)}`;
}

/** The two largest units of a span. */
function coarse(ms: number): string {
  const text = formatDuration(Math.max(0, Math.floor(ms / 1000) * 1000));
  return text.match(/\d+[a-z]+/g)?.slice(0, 2).join("") ?? text;
}
