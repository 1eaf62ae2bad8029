// SPDX-License-Identifier: Apache-2.0

/** What every counter of the agent means, whoever keeps it. */
import { AGENT_COUNTERS } from "../model/counters.ts";
import { PLANE_COUNTERS } from "../model/plane_counters.ts";
import { FORWARDING_COUNTERS } from "../plane/forwarding.ts";
import { GUARD_COUNTERS } from "../plane/guard.ts";
import { HOST_PORT_COUNTERS } from "../plane/host_ports.ts";
import { LOCAL_COUNTERS } from "../plane/local_flows.ts";
import { NEXT_HOP_COUNTERS } from "../plane/next_hops.ts";
import { PATH_MTU_COUNTERS } from "../plane/path_mtus.ts";
import { SAMPLE_COUNTERS } from "../plane/sample_hub.ts";
import { WORKLOAD_COUNTERS } from "../plane/workload_table.ts";
import { RPC_COUNTERS } from "../rpc/events.ts";

/** By who counts, then by name. */
export const COUNTERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "Data plane": PLANE_COUNTERS,
  "Agent": {
    ...AGENT_COUNTERS,
    ...FORWARDING_COUNTERS,
    ...GUARD_COUNTERS,
    ...NEXT_HOP_COUNTERS,
    ...PATH_MTU_COUNTERS,
    ...HOST_PORT_COUNTERS,
    ...WORKLOAD_COUNTERS,
    ...LOCAL_COUNTERS,
  },
  "Samples": SAMPLE_COUNTERS,
  "Listeners": RPC_COUNTERS,
};

/** By name. */
export const COUNTER_TEXTS: Readonly<Record<string, string>> = Object.assign(
  {},
  ...Object.values(COUNTERS),
);
