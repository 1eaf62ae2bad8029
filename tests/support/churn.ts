// SPDX-License-Identifier: Apache-2.0

/** Tunnels set up and torn down by the thousand between two complete cores, and what is left after each round. */
import type { ExchangeLab, LabHost } from "./exchange_lab.ts";
import { eventually } from "./wait.ts";

/** What one host holds. */
export interface Holdings {
  readonly tx: number;
  readonly rx: number;
  readonly cryptoIds: number;
  readonly retiring: number;
  /** Of EGR_ACL and INGR_ACL, as the plane counts them. */
  readonly entries: number;
  readonly rows: number;
  readonly tunnels: number;
}

export interface Round {
  readonly setUps: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly h1: Holdings;
  readonly h2: Holdings;
}

/** For `ExchangeLab.open`: tunnels that end as soon as nothing uses them. */
export function shortLived(config: Record<string, unknown>): void {
  config["tunnel"] = { idle: "1s", grace: "0s" };
}

const BATCH = 256;

/** Sets `tunnels` up from vip number `from` on, waits until all have ended, and says what is left. */
export async function churnRound(
  lab: ExchangeLab,
  { from, tunnels }: { readonly from: number; readonly tunnels: number },
): Promise<Round> {
  for (let done = 0; done < tunnels; done += BATCH) {
    await lab.exchange({ from: from + done, n: Math.min(BATCH, tunnels - done) });
  }
  const left = (host: LabHost) => holdings(lab, host);
  await eventually(() => [lab.h1, lab.h2].every((host) => isEmpty(left(host))), {
    what: "all tunnels to end",
    deadlineMs: 120_000,
    everyMs: 200,
    describe: () => JSON.stringify([left(lab.h1), left(lab.h2)]),
  });
  // With --v8-flags=--expose-gc: what is left then is in use.
  (globalThis as { gc?: () => void }).gc?.();
  const { rss, heapUsed } = Deno.memoryUsage();
  return {
    setUps: from + tunnels,
    rssMiB: rss / 2 ** 20,
    heapMiB: heapUsed / 2 ** 20,
    h1: left(lab.h1),
    h2: left(lab.h2),
  };
}

function isEmpty(held: Holdings): boolean {
  return Object.values(held).every((n) => n === 0);
}

function holdings(lab: ExchangeLab, { id, flows, store, core }: LabHost): Holdings {
  const side = id === "h1" ? "a" : "b";
  const { plane } = lab.planes[side];
  const topology = lab.planes.topology(side);
  const { tx, rx, cryptoIds, retiring } = flows.totals();
  const entries = (["EGR_ACL", "INGR_ACL"] as const)
    .reduce((sum, pipe) => sum + plane.queryPipe(topology.pipeId(pipe)).entries, 0);
  const { opening, up, rekeying, failed, unconfirmed } = core.status().tunnels;
  return {
    tx,
    rx,
    cryptoIds,
    retiring,
    entries,
    rows: store.load().length + store.pending,
    tunnels: opening + up + rekeying + failed + unconfirmed,
  };
}
