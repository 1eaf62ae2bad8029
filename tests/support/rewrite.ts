// SPDX-License-Identifier: Apache-2.0

/** Changes of the configuration file of a running agent. */
import type { PeersJson } from "./agent_config.ts";
import type { AgentProcess } from "./agent_process.ts";

/** Rewrites the file of a running agent, by renaming another over it. */
export async function rewrite(
  agent: AgentProcess,
  change: (config: PeersJson) => void,
): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile(agent.configPath));
  change(config);
  await Deno.writeTextFile(`${agent.configPath}.new`, JSON.stringify(config));
  await Deno.rename(`${agent.configPath}.new`, agent.configPath);
}

/** Until the agent has said once more what became of its file. */
export async function taken(agent: AgentProcess, act: () => Promise<void>): Promise<void> {
  const before = agent.said("Configuration reloaded").length;
  await act();
  await agent.heard("Configuration reloaded", before + 1);
}
