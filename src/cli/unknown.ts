// SPDX-License-Identifier: Apache-2.0

/** Names that the agent does not know: an empty list of something that is not there would be no news. */
import { nearest } from "../config/suggest.ts";
import type { StatusClient } from "../rpc/status_client.ts";
import { CommandError } from "./io.ts";

/** Throws `CommandError` when the agent has no such peer; a peer's id of nothing is none. */
export async function requirePeer(
  peer: string | undefined,
  client: Pick<StatusClient, "peers">,
): Promise<void> {
  if (peer === undefined) return;
  const known: string[] = [];
  for await (const page of client.peers()) known.push(...page.map(({ id }) => id));
  if (known.includes(peer)) return;
  const meant = nearest(peer, known);
  const [one, two] = known;
  const some = [one, two].filter((id) => id !== undefined).join(" ") || "nobody";
  const more = known.length > 2 ? ` +${known.length - 2}` : "";
  throw new CommandError(
    `The agent has no peer "${peer}": ${
      meant === undefined ? `its peers are ${some}${more}` : `did you mean "${meant}"?`
    }`,
  );
}

/** Throws `CommandError` when packets are never dropped for that reason. */
export async function requireReason(
  reason: string | undefined,
  client: Pick<StatusClient, "drops">,
): Promise<void> {
  if (reason === undefined) return;
  const known = Object.keys((await client.drops({})).packets);
  if (known.includes(reason)) return;
  const meant = nearest(reason, known);
  throw new CommandError(
    `No packet is dropped for "${reason}": ${
      meant === undefined ? `reasons are ${known.sort().join(", ")}` : `did you mean "${meant}"?`
    }`,
  );
}
