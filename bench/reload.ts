// SPDX-License-Identifier: Apache-2.0

/**
 * How long the pieces are in which a file of very many peers is read, compared and applied, when all of them have changed:
 * by the processor time of this process, collections included, so that what else the machine does counts little.
 * Usage: deno run -A bench/reload.ts [--peers=10000] [--vips=10]
 */
import { inParts, manyPeerChanges } from "../src/config/changes.ts";
import { parsePlain } from "../src/config/load.ts";
import { Peers } from "../src/core/directory.ts";
import { PREFIXES_AT_ONCE, Sources } from "../src/directory/sources.ts";
import { Slices } from "../src/model/slices.ts";
import process from "node:process";

const ROUNDS = 3;
/** As in src/agent/reload.ts. */

/** The file: where peers listen, and what they have, is another with each `turn`. */
function text({ peers, vips, turn }: Readonly<Record<"peers" | "vips" | "turn", number>>): string {
  return JSON.stringify(
    {
      id: "h1",
      pip: "192.0.2.1",
      vips: ["10.1.0.0/24"],
      plane: { uplink: "p0", host: "h0" },
      rpc: { tls: { cert: "h1.crt", key: "h1.key", ca: "ca.crt" } },
      peers: Array.from({ length: peers }, (_, i) => ({
        id: `p${i}`,
        svc_address: `192.0.2.2:${1000 + 1000 * turn + i}`,
        vips: Array.from(
          { length: vips },
          (_, j) => `11.${(100 * turn + j) % 250}.${i >> 8}.${i & 255}`,
        ),
      })),
    },
    null,
    2,
  );
}

function usedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Does a piece of work in slices, and prints how long they were. */
async function timed<T>(what: string, work: (slices: Slices) => Promise<T>): Promise<T> {
  const began = usedMs();
  let [longest, last] = [0, began];
  const note = () => longest = Math.max(longest, usedMs() - last);
  const slices = new Slices({
    now: usedMs,
    pause: async () => {
      note();
      await new Promise((resolve) => setTimeout(resolve, 0));
      last = usedMs();
    },
  });
  const result = await work(slices);
  note();
  const ms = (usedMs() - began).toFixed(0);
  console.log(`${what.padEnd(12)} ${ms.padStart(6)} ms in all, ${longest.toFixed(1)} ms at once`);
  return result;
}

function option(name: string, otherwise: number): number {
  const given = Deno.args.find((arg) => arg.startsWith(`--${name}=`));
  return given === undefined ? otherwise : Number(given.split("=")[1]);
}

const size = { peers: option("peers", 10_000), vips: option("vips", 1) };
for (let round = 0; round < ROUNDS; round++) {
  const read = async (turn: number) => {
    const file = text({ ...size, turn });
    const loaded = await timed("read", (slices) => parsePlain(file, "/peers.json", slices));
    if (loaded === undefined) throw new Error("The file is not plain");
    return loaded.config;
  };
  const [before, after] = [await read(0), await read(1)];
  const [peers, sources] = [new Peers(before), new Sources(["10.1.0.0/24"], before.peers)];
  const changes = await timed("compare", (s) => manyPeerChanges(before.peers, after.peers, s));
  const vips = { before: ["10.1.0.0/24"], after: ["10.1.0.0/24"] };
  const parts = await timed("divide", (slices) =>
    inParts(changes, {
      ...{ before: before.peers, vips, slices },
      most: PREFIXES_AT_ONCE,
    }));
  await timed(`${parts.length} parts`, async (slices) => {
    for (const part of parts) {
      await slices.next();
      peers.apply(sources.file(part), 0);
    }
  });
}
