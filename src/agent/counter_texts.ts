// SPDX-License-Identifier: Apache-2.0

/** What every counter of the agent means, whoever keeps it. */
import { AGENT_COUNTERS } from "../model/counters.ts";
import { PLANE_COUNTERS } from "../model/plane_counters.ts";
import { FORWARDING_COUNTERS } from "../plane/forwarding.ts";
import { GUARD_COUNTERS } from "../plane/guard.ts";
import { NEXT_HOP_COUNTERS } from "../plane/next_hops.ts";
import { SAMPLE_COUNTERS } from "../plane/sample_hub.ts";
import { RPC_COUNTERS } from "../rpc/events.ts";

/** By name. */
export const COUNTER_TEXTS: Readonly<Record<string, string>> = {
  ...PLANE_COUNTERS,
  ...AGENT_COUNTERS,
  ...FORWARDING_COUNTERS,
  ...GUARD_COUNTERS,
  ...NEXT_HOP_COUNTERS,
  ...SAMPLE_COUNTERS,
  ...RPC_COUNTERS,
};
