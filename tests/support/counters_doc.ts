// SPDX-License-Identifier: Apache-2.0

/** The lists of counters and log fields as ARCHITECTURE.md shows them. Run it to print them. */
import { AGENT_COUNTERS } from "../../src/model/counters.ts";
import { LOG_FIELDS } from "../../src/model/log.ts";
import { RPC_COUNTERS } from "../../src/rpc/events.ts";
import { FORWARDING_COUNTERS } from "../../src/plane/forwarding.ts";
import { GUARD_COUNTERS } from "../../src/plane/guard.ts";
import { HOST_PORT_COUNTERS } from "../../src/plane/host_ports.ts";
import { WORKLOAD_COUNTERS } from "../../src/plane/workload_table.ts";
import { NEXT_HOP_COUNTERS } from "../../src/plane/next_hops.ts";
import { PATH_MTU_COUNTERS } from "../../src/plane/path_mtus.ts";
import { SAMPLE_COUNTERS } from "../../src/plane/sample_hub.ts";

const PLANE_COUNTERS = new URL("../../c-shim/common/counters.h", import.meta.url);

/** Markdown for the part between the marks. */
export function countersDoc(): string {
  const header = Deno.readTextFileSync(PLANE_COUNTERS);
  const plane = [...header.matchAll(/X\(\w+, "([^"]+)"\)\s*(?:\/\* (.*?) \*\/)?/g)]
    .map(([, name = "", meaning = ""]): [string, string] => [name, meaning]);
  return [
    list("Data plane", plane),
    list("Agent", [
      ...Object.entries(AGENT_COUNTERS),
      ...Object.entries(FORWARDING_COUNTERS),
      ...Object.entries(GUARD_COUNTERS),
      ...Object.entries(NEXT_HOP_COUNTERS),
      ...Object.entries(PATH_MTU_COUNTERS),
      ...Object.entries(HOST_PORT_COUNTERS),
      ...Object.entries(WORKLOAD_COUNTERS),
    ]),
    list("Samples", Object.entries(SAMPLE_COUNTERS)),
    list("Listeners", Object.entries(RPC_COUNTERS)),
    `### Log fields\n\n${LOG_FIELDS.map((name) => `\`${name}\``).join(", ")}.\n`,
  ].join("\n");
}

function list(title: string, rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([name, meaning]) =>
    `- \`${name}\`${meaning === "" ? "" : `: ${meaning}`}`
  );
  return [`### ${title}`, "", ...lines, ""].join("\n");
}

if (import.meta.main) console.log(countersDoc());
