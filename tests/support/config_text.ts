// SPDX-License-Identifier: Apache-2.0

/** For tests: the smallest useful file, and what is wrong with a text. */
import { ConfigError } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/load.ts";

/** Nothing can be left out of it. */
export const SMALLEST = {
  id: "h1",
  pip: "192.0.2.1",
  plane: { uplink: "p0", host: "pf0vf0" },
  vips: ["10.1.0.0/24"],
  rpc: { listen: "192.0.2.1:7443", tls: { cert: "h1.crt", key: "h1.key", ca: "/etc/ca.crt" } },
  peers: [{ id: "h2", svc_address: "192.0.2.2:7443", vips: ["10.2.0.0/24"] }],
};

/** One sentence per problem; empty when the text can be used. */
export function problems(text: string): readonly string[] {
  try {
    parseConfig(text, "peers.json");
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}
