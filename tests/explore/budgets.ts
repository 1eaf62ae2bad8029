// SPDX-License-Identifier: Apache-2.0

/** What is explored: by every run of the unit suite, and by `make explore`. */
import { type Bounds, type Budgets, NOTHING } from "./stage.ts";

/** A name, and the bounds that go with it. */
export interface Plan {
  readonly name: string;
  readonly bounds: Bounds;
}

/** Each is seen to its end within seconds; together within half a minute. */
export const SHORT: readonly Plan[] = [
  plan("crossing requests", { packets: 2, copy: 1 }, 10),
  plan("losses", { packets: 1, lose: 1, delay: 1 }, 12),
  plan("rekeys that cross and are overtaken", { packets: 2, rekey: 1, reorder: 1 }, 9),
  plan("packets under way while a key changes", { packets: 2, slow: 1, rekey: 1 }, 8),
  plan("a rekey whose messages are lost", { packets: 1, rekey: 1, lose: 1 }, 11),
  plan("rotations", { packets: 1, rotate: 2 }, 11),
  plan("rotations with a loss", { packets: 1, rotate: 2, lose: 1 }, 8),
  plan("a restart with what is under way", { packets: 1, restart: 1, copy: 1 }, 10),
  plan("a restart on an empty directory, with a loss", { packets: 1, wipe: 1, lose: 1 }, 8),
  plan("a stop in good order", { packets: 1, stop: 1 }, 9),
  plan("idle tunnels", { packets: 1, idle: 1 }, 10),
  plan("denied and allowed again", { packets: 1, deny: 2 }, 8),
  plan("taken out of the directory and put in again", { packets: 2, remove: 2 }, 6),
  plan("planes that refuse", { packets: 1, refuse: 1 }, 8),
  plan("planes that refuse in a rekey", { packets: 1, rekey: 1, refuse: 1 }, 7),
  plan("keys that are spent", { packets: 2, exhaust: 1, lose: 1 }, 7),
  plan("an outage that outlives keys", { packets: 1, outage: 1 }, 6),
  plan("both hosts start again", { packets: 1, restart: 2 }, 7),
  plan("denied while a key changes", { packets: 1, rekey: 1, deny: 2 }, 7),
  plan("taken out of the directory while keys rotate", { packets: 1, rotate: 1, remove: 2 }, 6),
  plan("idle tunnels whose key changes", { packets: 1, rekey: 1, idle: 1 }, 8),
  plan("a peer that asks for what is not its own", { packets: 1, forge: 1 }, 8),
  plan("a peer that speaks of what others have", { packets: 1, forge: 1 }, 6, 1, 3),
  plan("two pairs", { packets: 2 }, 7, 2),
  plan("three hosts", { packets: 2, lose: 1 }, 6, 1, 3),
];

/** For minutes to hours: the last two have no end that anybody has seen. */
export const LONG: readonly Plan[] = [
  plan("losses", { packets: 2, lose: 2, copy: 1, delay: 2 }, 14),
  plan("rekeys", { packets: 2, slow: 1, rekey: 2, lose: 1, copy: 1, reorder: 1 }, 12),
  plan("rotations", { packets: 2, rotate: 3, lose: 1, delay: 1 }, 13),
  plan("restarts", { packets: 2, restart: 2, wipe: 1, lose: 1, copy: 1 }, 12),
  plan("stops", { packets: 2, stop: 1, lose: 1, restart: 1, delay: 1 }, 12),
  plan("ends of tunnels", { packets: 2, idle: 2, deny: 2, lose: 1 }, 13),
  plan("peers that come and go", { packets: 2, remove: 3, lose: 1, restart: 1 }, 12),
  plan("planes that refuse", { packets: 2, refuse: 2, rekey: 1, lose: 1 }, 10),
  plan("keys that end", { packets: 2, exhaust: 1, outage: 1, rekey: 1, lose: 1, copy: 1 }, 10),
  plan("outages and starts", { packets: 2, outage: 2, restart: 1, rotate: 1, delay: 1 }, 10),
  plan(
    "everything, two pairs",
    { packets: 3, lose: 2, copy: 1, restart: 1, rekey: 1, rotate: 2, delay: 1, reorder: 1 },
    30,
    2,
  ),
  plan(
    "everything, three hosts",
    { packets: 3, lose: 2, copy: 1, restart: 1, rekey: 1, rotate: 2 },
    30,
    1,
    3,
  ),
];

function plan(
  name: string,
  budgets: Partial<Budgets>,
  depth: number,
  pairs = 1,
  hosts = 2,
): Plan {
  return { name, bounds: { budgets: { ...NOTHING, ...budgets }, depth, pairs, hosts } };
}
