// SPDX-License-Identifier: Apache-2.0

/** What the parts of the control core share: the powers given from outside, and the small state in common. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Counters } from "../counters.ts";
import type { Epochs } from "../peers/epochs.ts";
import type { TunnelClient } from "../exchange/exchange.ts";
import type { Flows } from "../plane/flows.ts";
import type { KeyShares } from "../exchange/key_shares.ts";
import type { Log } from "../log.ts";
import type { Peers } from "../peers/peers.ts";
import type { Random } from "../random.ts";
import type { Clock } from "../sa/sa.ts";
import type { SaStore } from "../sa/sa_store.ts";
import type { Tasks } from "./tasks.ts";

/** The part of the plane that the core uses. */
export type CorePlane = Pick<
  Plane,
  | "port"
  | "generateSpis"
  | "rotateMasterKey"
  | "masterKey"
  | "releaseHeld"
  | "dropHeld"
  | "clearHoldOff"
>;

/** What the core is given. */
export interface Powers {
  readonly config: Config;
  /** As `config` has them; the core adds what it learns. */
  readonly peers: Peers;
  readonly plane: CorePlane;
  readonly flows: Flows;
  readonly client: TunnelClient;
  readonly store: SaStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The powers, and what the parts have in common. */
export interface Parts extends Powers {
  readonly bootEpoch: bigint;
  readonly counters: Counters;
  readonly epochs: Epochs;
  readonly shares: KeyShares;
  readonly tasks: Tasks;
}
