// SPDX-License-Identifier: Apache-2.0

/** Fields of requests as this host understands them. Each throws `ConnectError` with the field's name. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { TunnelSelector } from "../model/orders.ts";
import { canonicalVip } from "../model/vip.ts";
import type { TunnelSelector as TunnelSelectorMessage } from "./gen/psp/v1/status_pb.ts";

/** An address as this host spells it. */
export function vip(field: string, address: string): string {
  const found = canonicalVip(address);
  if (found !== undefined) return found;
  throw new ConnectError(`Field "${field}": not an address`, Code.InvalidArgument);
}

/** One of `known`. */
export function choice<T extends string>(field: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found !== undefined) return found;
  throw new ConnectError(
    `Field "${field}": "${given}" is none of ${known.join(", ")}`,
    Code.InvalidArgument,
  );
}

/** Which tunnels are meant; nothing said is not all of them. */
export function selectorFromProto(selector: TunnelSelectorMessage | undefined): TunnelSelector {
  const { peer = "", vips = [], spi } = selector ?? {};
  if (peer === "" && vips.length === 0 && spi === undefined) {
    throw new ConnectError(
      'Field "tunnels": name a peer, an address or an SPI',
      Code.InvalidArgument,
    );
  }
  if (vips.length > 2) {
    throw new ConnectError('Field "vips": a tunnel has two addresses', Code.InvalidArgument);
  }
  return { peer: peer || undefined, vips: vips.map((each) => vip("vips", each)), spi };
}
