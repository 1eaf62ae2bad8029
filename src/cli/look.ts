// SPDX-License-Identifier: Apache-2.0

/** `psp-agent peers`, `drops`, `show`, `wait`, `metrics`: one thing of the running agent each. */
import { spiText } from "../model/sa.ts";
import { canonicalVip } from "../model/vip.ts";
import { spiOf } from "./orders.ts";
import type { PeerView, TunnelView } from "../model/status.ts";
import { dropReason } from "../model/plane_counters.ts";
import { peerJson, saJson, tunnelJson } from "../rpc/status_json.ts";
import type { StatusClient } from "../rpc/status_client.ts";
import { eventLine } from "./events.ts";
import { CommandError, EXIT, type ExitCode, json, out, table } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { peersTable, tunnelsText } from "./status.ts";
import { connect } from "./target.ts";

const POLL_MS = 200;

/** Every peer, those that fail first. */
export async function peers(args: Target & { readonly output: Output }): Promise<ExitCode> {
  await using client = await connect(args);
  const { peers } = await client.status();
  const sorted = peers.toSorted((a, b) =>
    Number(b.state === "failing") - Number(a.state === "failing")
  );
  if (args.output === "json") out(json(sorted.map(peerJson)));
  else out(sorted.length === 0 ? "No peers.\n" : peersTable(sorted, Date.now()));
  return EXIT.ok;
}

/** Dropped packets by reason, the most first. */
export async function drops(args: Target & { readonly output: Output }): Promise<ExitCode> {
  await using client = await connect(args);
  const { counters } = await client.status({ maxPeers: 0 });
  const rows = Object.entries(counters).flatMap(([name, n]): [string, bigint][] => {
    const reason = dropReason(name);
    return reason === undefined || n === 0n ? [] : [[reason, n]];
  }).sort(([, a], [, b]) => a < b ? 1 : -1);
  if (args.output === "json") out(json(Object.fromEntries(rows)));
  else if (rows.length === 0) out("Nothing was dropped since the start.\n");
  else out(table(["DROPPED", "PACKETS"], rows.map(([reason, n]) => [reason, String(n)]), [1]));
  return EXIT.ok;
}

/** What there is about a peer, a workload's address or an SPI: peer, tunnels, events. */
export async function show(
  args: Target & { readonly output: Output; readonly what: string },
): Promise<ExitCode> {
  await using client = await connect(args);
  const { peers } = await client.status();
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
  if (peer === undefined && found.length === 0) {
    throw new CommandError(`The agent has no peer, address or SPI "${args.what}"`);
  }
  const owners = new Set(peer === undefined ? found.map((tunnel) => tunnel.peer) : [peer.id]);
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

/** Until the agent answers and packets can pass, or a peer is up. Ends with `degraded` when the time is over. */
export async function wait(
  args: Target & { readonly peer: string | undefined; readonly timeout: number },
): Promise<ExitCode> {
  const until = Date.now() + args.timeout;
  for (let why = "";;) {
    try {
      await using client = await connect(args);
      why = await notYet(client, args.peer);
      if (why === "") return EXIT.ok;
    } catch (error) {
      if (!(error instanceof CommandError) || error.exitCode !== EXIT.unreachable) throw error;
      why = error.message;
    }
    if (Date.now() >= until) throw new CommandError(why, EXIT.degraded);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function notYet(client: StatusClient, peer: string | undefined): Promise<string> {
  const { draining, faults, peers } = await client.status(
    peer === undefined ? { maxPeers: 0 } : {},
  );
  if (draining) return "The agent is ending";
  if (faults.length > 0) return `Nothing passes: ${faults.join("; ")}`;
  if (peer === undefined) return "";
  const found: PeerView | undefined = peers.find(({ id }) => id === peer);
  if (found === undefined) return `The agent has no peer "${peer}"`;
  return found.state === "up" ? "" : `Peer ${peer} is ${found.state}`;
}

/** What Prometheus reads. */
export async function metrics(args: Target): Promise<ExitCode> {
  await using client = await connect(args);
  out(await client.metrics());
  return EXIT.ok;
}

/** Every SA, by tunnel and direction. */
export async function sas(
  args: Target & { readonly output: Output; readonly peer: string | undefined },
): Promise<ExitCode> {
  await using client = await connect(args);
  const widths = HEAD.map(({ length }) => length);
  let first = true;
  for await (const page of client.tunnels(args.peer === undefined ? {} : { peer: args.peer })) {
    const all = page.flatMap((tunnel) =>
      (["tx", "rx"] as const).flatMap((direction) => {
        const sa = tunnel[direction];
        return sa === undefined ? [] : [{ tunnel, direction, sa }];
      })
    );
    if (args.output === "json") {
      for (const { tunnel, direction, sa } of all) {
        const { peer, localVip, remoteVip } = tunnel;
        out(`${JSON.stringify({ peer, localVip, remoteVip, direction, ...saJson(sa) })}\n`);
      }
      continue;
    }
    const rows = all.map(({ tunnel: { peer, localVip, remoteVip }, direction, sa }) => [
      spiText(sa.spi),
      direction,
      peer,
      localVip,
      remoteVip,
      sa.version,
      String(sa.packets),
      String(sa.bytes),
      sa.expiresAtMs === undefined ? "-" : new Date(sa.expiresAtMs).toISOString(),
    ]);
    if (rows.length > 0) out(table(first ? HEAD : undefined, rows, [6, 7], widths));
    first &&= rows.length === 0;
  }
  if (first && args.output === "table") out("No SAs.\n");
  return EXIT.ok;
}

const HEAD = [
  "SPI",
  "DIRECTION",
  "PEER",
  "LOCAL VIP",
  "REMOTE VIP",
  "VERSION",
  "PACKETS",
  "OCTETS",
  "EXPIRES",
];
