// SPDX-License-Identifier: Apache-2.0

/** `psp-agent peers`, `drops`, `show`, `wait`, `metrics`: one thing of the running agent each. */
import { nearest } from "../config/suggest.ts";
import { spiText } from "../model/sa.ts";
import { canonicalVip, parsePrefix, PrefixTable } from "../model/vip.ts";
import { spiOf } from "./orders.ts";
import type { DropView, SaEntry } from "../model/lists.ts";
import type { PeerState, PeerView, TunnelView } from "../model/status.ts";
import { dropsJson, peerJson, saJson, tunnelJson } from "../rpc/status_json.ts";
import type { StatusClient } from "../rpc/status_client.ts";
import { eventLine } from "./events.ts";
import { address, CommandError, EXIT, type ExitCode, json, out, table } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { jsonPages, type Pages } from "./pages.ts";
import { peersTable, since, tunnelsText } from "./status.ts";
import { openProgress } from "./progress.ts";
import { connect } from "./target.ts";
import { requirePeer, requireReason } from "./unknown.ts";
import { type WatchArgs, watching } from "./watch.ts";

const POLL_MS = 200;
/** For one answer of those that are waited for. */
const ASK_MS = 5000;

/** Every peer, those that fail first. */
export async function peers(
  args: Target & WatchArgs & { readonly states: readonly PeerState[] },
): Promise<ExitCode> {
  await using client = await connect(args);
  return await watching(args, async (print) => {
    const found: PeerView[] = [];
    for await (const page of client.peers({ states: args.states })) found.push(...page);
    const sorted = found.toSorted((a, b) =>
      Number(b.state === "failing") - Number(a.state === "failing")
    );
    if (args.output === "json") print(json(sorted.map(peerJson)));
    else print(sorted.length === 0 ? "No peers.\n" : peersTable(sorted, Date.now()));
    return EXIT.ok;
  });
}

/** Dropped packets by reason, the most first, and the last ones that the agent knows more of. */
export async function drops(
  args: Target & {
    readonly output: Output;
    readonly reason: string | undefined;
    readonly peer: string | undefined;
    readonly vip: string | undefined;
  },
): Promise<ExitCode> {
  await using client = await connect(args);
  const { reason, peer } = args;
  const vip = args.vip === undefined ? undefined : address(args.vip);
  const view = await client.drops({ reason, peer, vip });
  if (reason !== undefined && !(reason in view.packets)) await requireReason(reason, client);
  if (view.drops.length === 0) await requirePeer(peer, client);
  if (args.output === "json") out(json(dropsJson(view)));
  else {
    const fitting = [reason, peer, vip].some((given) => given !== undefined);
    out(dropsText(view, { nowMs: Date.now(), isAll: !fitting }));
  }
  return EXIT.ok;
}

/** Two tables: how many, and which. */
function dropsText(
  { packets, drops }: {
    readonly packets: Readonly<Record<string, bigint>>;
    readonly drops: readonly DropView[];
  },
  { nowMs, isAll }: { readonly nowMs: number; readonly isAll: boolean },
): string {
  const counts = Object.entries(packets).filter(([, n]) => n > 0n).sort(([, a], [, b]) =>
    a < b ? 1 : -1
  );
  const sums = counts.length === 0
    ? ""
    : table(["DROPPED", "PACKETS"], counts.map(([name, n]) => [name, String(n)]), [1]);
  if (drops.length === 0) {
    if (isAll) return sums || "Nothing was dropped since the start.\n";
    return `${sums}${
      sums && "\n"
    }Of the last dropped packets that the agent knows none is such a one.\n`;
  }
  const rows = drops.map((drop) => [
    `${since(drop.lastAtMs, nowMs)} ago`,
    drop.reason,
    String(drop.packets),
    drop.peer || "-",
    drop.src,
    drop.dst,
    [drop.spi === undefined ? "" : spiText(drop.spi), drop.outer ? "outer" : "", drop.detail]
      .filter((fact) => fact !== "").join(", ") || "-",
  ]);
  const head = ["LAST", "REASON", "PACKETS", "PEER", "FROM", "TO", "MORE"];
  return `${sums}${sums && "\n"}${table(head, rows, [2])}`;
}

/** What there is about a peer, a workload's address or an SPI: peer, tunnels, events. */
export async function show(
  args: Target & { readonly output: Output; readonly what: string },
): Promise<ExitCode> {
  await using client = await connect(args);
  const peers: PeerView[] = [];
  for await (const page of client.peers()) peers.push(...page);
  const vip = canonicalVip(args.what);
  const spi = spiOf(args.what);
  const peer = peers.find(({ id }) => id === args.what);
  const found: TunnelView[] = [];
  for await (const page of client.tunnels(peer === undefined ? {} : { peer: peer.id })) {
    found.push(
      ...page.filter(({ localVip, remoteVip, tx, rx }) =>
        peer !== undefined || localVip === vip || remoteVip === vip ||
        spi !== undefined && (tx?.spi === spi || rx?.spi === spi)
      ),
    );
  }
  const owner = vip === undefined ? undefined : ownerOf(vip, peers);
  if (peer === undefined && owner === undefined && found.length === 0) {
    const meant = nearest(args.what, peers.map(({ id }) => id));
    throw new CommandError(
      `The agent has no peer, no address of a peer or a tunnel and no SPI "${args.what}"${
        meant === undefined ? "" : `: did you mean "${meant}"?`
      }`,
    );
  }
  const owners = new Set([peer?.id ?? owner, ...found.map((tunnel) => tunnel.peer)]);
  const shown = peers.filter(({ id }) => owners.has(id));
  if (args.output === "json") {
    out(json({ peers: shown.map(peerJson), tunnels: found.map(tunnelJson) }));
    return EXIT.ok;
  }
  const now = Date.now();
  out(`${peersTable(shown, now)}\n${tunnelsText(found, now)}\n`);
  for (const { id } of shown) {
    for await (const event of client.events({ peer: id })) {
      const other = spi !== undefined && event.txSpi !== spi && event.rxSpi !== spi ||
        vip !== undefined && event.localVip !== vip && event.remoteVip !== vip;
      if (!other) out(`${eventLine(event)}\n`);
    }
  }
  return EXIT.ok;
}

/** The peer that has the address, with a tunnel or without one: the one with the longest prefix. */
function ownerOf(vip: string, peers: readonly PeerView[]): string | undefined {
  const table = new PrefixTable<string>();
  for (const { id, vips } of peers) {
    for (const prefix of vips.map(parsePrefix)) if (prefix !== undefined) table.add(prefix, id);
  }
  return table.lookup(vip);
}

/**
 * Until the agent answers and packets can pass, or a peer is up. When the time is over it ends with `degraded`, or with
 * `unreachable` where no agent answered last: one that is stopped answers no more than one that is not there.
 */
export async function wait(
  args: Target & { readonly peer: string | undefined; readonly timeout: number },
): Promise<ExitCode> {
  const until = Date.now() + args.timeout;
  using progress = openProgress();
  for (let why = "";;) {
    let code: ExitCode = EXIT.degraded;
    const timeoutMs = Math.min(ASK_MS, Math.max(1, until - Date.now()));
    try {
      await using client = await connect(args, { timeoutMs });
      why = await notYet(client, args.peer);
      if (why === "") return EXIT.ok;
    } catch (error) {
      if (!(error instanceof CommandError) || error.exitCode !== EXIT.unreachable) throw error;
      ({ message: why, exitCode: code } = error);
    }
    progress.to(() => why);
    const leftMs = until - Date.now();
    if (leftMs <= 0) throw new CommandError(why, code);
    await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MS, leftMs)));
  }
}

async function notYet(client: StatusClient, peer: string | undefined): Promise<string> {
  const { draining, faults } = await client.status({ maxPeers: 0 });
  if (draining) return "The agent is ending";
  if (faults.length > 0) return `Nothing passes: ${faults.join("; ")}`;
  if (peer === undefined) return "";
  const found = await peerNamed(client, peer);
  if (found === undefined) return `The agent has no peer "${peer}"`;
  return found.state === "up" ? "" : `Peer ${peer} is ${found.state}`;
}

/** One of very many: the agent makes no list of all for it. */
async function peerNamed(client: StatusClient, peer: string): Promise<PeerView | undefined> {
  for await (const page of client.peers({ contains: peer })) {
    const found = page.find(({ id }) => id === peer);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What Prometheus reads. */
export async function metrics(args: Target): Promise<ExitCode> {
  await using client = await connect(args);
  out(await client.metrics());
  return EXIT.ok;
}

/** Every SA, by tunnel and direction. */
export async function sas(
  args: Target & {
    readonly output: Output;
    readonly peer: string | undefined;
    readonly direction: "tx" | "rx" | undefined;
  },
): Promise<ExitCode> {
  await using client = await connect(args);
  const { peer, direction } = args;
  const print = args.output === "json" ? jsonPages(saJson) : saPages();
  let found = 0;
  for await (const page of client.sas({ peer, direction })) {
    found += page.length;
    out(print.page(page));
  }
  if (found === 0) await requirePeer(peer, client);
  out(print.end());
  return EXIT.ok;
}

function saPages(): Pages<SaEntry> {
  const widths = HEAD.map(({ length }) => length);
  let first = true;
  return {
    page(all) {
      if (all.length === 0) return "";
      const rows = all.map(({ peer, localVip, remoteVip, direction, state, sa }) => [
        spiText(sa.spi),
        direction,
        state,
        peer,
        localVip,
        remoteVip,
        sa.version,
        String(sa.packets),
        String(sa.bytes),
        sa.expiresAtMs === undefined ? "-" : new Date(sa.expiresAtMs).toISOString(),
      ]);
      const lines = table(first ? HEAD : undefined, rows, [7, 8], widths);
      first = false;
      return lines;
    },
    end: () => first ? "No SAs.\n" : "",
  };
}

const HEAD = [
  "SPI",
  "DIRECTION",
  "STATE",
  "PEER",
  "LOCAL VIP",
  "REMOTE VIP",
  "VERSION",
  "PACKETS",
  "OCTETS",
  "EXPIRES",
];
