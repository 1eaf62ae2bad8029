// SPDX-License-Identifier: Apache-2.0

/** `psp-agent rekey` and `psp-agent close`: orders about tunnels. */
import type { OrderView, TunnelSelector } from "../model/orders.ts";
import { canonicalVip } from "../model/vip.ts";
import { orderJson } from "../rpc/status_json.ts";
import type { StatusClient } from "../rpc/status_client.ts";
import { CommandError, EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface OrderArgs extends Target {
  readonly output: Output;
  /** A peer's id, an address, an SPI such as "0x9a345678". */
  readonly what: string;
  /** The other address of a pair. */
  readonly other: string | undefined;
}

/** New SAs for tunnels. Fails when there are none. */
export async function rekey(args: OrderArgs): Promise<ExitCode> {
  return await order(args, (client, which) => client.rekey(which));
}

/** The end of tunnels. Fails when there are none. */
export async function close(args: OrderArgs): Promise<ExitCode> {
  return await order(args, (client, which) => client.closeTunnels(which));
}

async function order(
  args: OrderArgs,
  give: (client: StatusClient, which: TunnelSelector) => Promise<OrderView>,
): Promise<ExitCode> {
  const which = selectorOf(args);
  await using client = await connect(args);
  const view = await give(client, which);
  if (args.output === "json") out(json(orderJson(view)));
  else out(`${view.message}\n`);
  return view.tunnels > 0 ? EXIT.ok : EXIT.failure;
}

/** Which tunnels are meant. Throws `CommandError`: usage. */
function selectorOf({ what, other }: Pick<OrderArgs, "what" | "other">): TunnelSelector {
  const one = canonicalVip(what);
  if (other !== undefined) {
    const two = canonicalVip(other);
    if (one === undefined || two === undefined) {
      const wrong = one === undefined ? what : other;
      throw new CommandError(`"${wrong}" is not an address: name both of a pair`, EXIT.usage);
    }
    return { vips: [one, two] };
  }
  if (one !== undefined) return { vips: [one] };
  const spi = spiOf(what);
  return spi === undefined ? { peer: what, vips: [] } : { vips: [], spi };
}

/** An SPI as it is written everywhere; undefined: it is something else. */
export function spiOf(text: string): number | undefined {
  return /^0x[0-9a-f]{1,8}$/i.test(text) ? Number(text) : undefined;
}
