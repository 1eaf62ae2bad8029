// SPDX-License-Identifier: Apache-2.0

/** The commands behind `psp-agent config`. */
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { map, optional } from "@optique/core/modifiers";
import { argument, option } from "@optique/core/primitives";
import type { Command } from "./commands.ts";
import { config, FILE, json, word } from "./options.ts";

/** Of configurations as files. */
export const CONFIG: readonly Command[] = [
  {
    name: "diff",
    brief: "Says what a reload would do if FILE took the place of the configuration.",
    examples: [
      "psp-agent config diff --config peers.json new.json",
      "psp-agent config diff -c peers.json new.json --json",
    ],
    parser: map(
      object({ config, json, file: argument(FILE) }),
      (args) => async () => (await import("./config_diff.ts")).configDiff(args),
    ),
  },
  {
    name: "example",
    brief: "Prints a configuration with every key, and what each is for.",
    examples: ["psp-agent config example > peers.json"],
    parser: map(
      object({}),
      () => async () => (await import("./config_example.ts")).configExample(),
    ),
  },
  {
    name: "import",
    brief: "Reads the configuration of NVIDIA's PSP gateway and prints one of ours.",
    examples: [
      "psp-agent config import psp_gateway.json > peers.json",
      "psp-agent config import --id h1 --uplink p0 --host pf0vf0 psp_gateway.json",
    ],
    parser: map(
      object({
        id: optional(option("--id", word("ID"), {
          description: message`This host's id, instead of one made from its address.`,
        })),
        uplink: optional(option("--uplink", word("INTERFACE"), {
          description: message`Towards the other hosts.`,
        })),
        host: optional(option("--host", word("INTERFACE"), {
          description: message`Towards the workloads.`,
        })),
        file: argument(FILE),
      }),
      (args) => async () => (await import("./config_import.ts")).configImport(args),
    ),
  },
];
