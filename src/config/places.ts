// SPDX-License-Identifier: Apache-2.0

/** Where an agent and its commands meet when nobody says. */

const SOCKET = "/run/psp-agent/agent.sock";
const VARIABLE = "PSP_AGENT_SOCKET";

/** The Unix socket of the agent on this host. */
export function defaultSocket(): string {
  return Deno.env.get(VARIABLE) || SOCKET;
}
