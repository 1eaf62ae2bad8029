// SPDX-License-Identifier: Apache-2.0

/** The lists of counters and log fields as ARCHITECTURE.md shows them. Run it to print them. */
import { COUNTERS } from "../../src/agent/counter_texts.ts";
import { LOG_FIELDS } from "../../src/model/log.ts";

/** Markdown for the part between the marks. */
export function countersDoc(): string {
  return [
    ...Object.entries(COUNTERS).map(([who, texts]) => list(who, Object.entries(texts))),
    `### Log fields\n\n${LOG_FIELDS.map((name) => `\`${name}\``).join(", ")}.\n`,
  ].join("\n");
}

function list(title: string, rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([name, meaning]) => `- \`${name}\`: ${meaning}`);
  return [`### ${title}`, "", ...lines, ""].join("\n");
}

if (import.meta.main) console.log(countersDoc());
