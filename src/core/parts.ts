// SPDX-License-Identifier: Apache-2.0

/** What the parts of the control core share: the powers given from outside, and the small state in common. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Counters } from "../model/counters.ts";
import type { Epochs } from "./epochs.ts";
import type { TunnelClient } from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { KeyShares } from "./key_shares.ts";
import type { Log } from "../model/log.ts";
import type { Peers } from "./peers.ts";
import type { Random } from "../model/random.ts";
import type { Clock } from "../model/clock.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Tasks } from "../model/tasks.ts";

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
  readonly store: SaRecords;
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
