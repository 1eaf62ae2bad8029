// SPDX-License-Identifier: Apache-2.0

/** Lists of StatusService: which ones, how many, and where the next page begins. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { dropsByReason } from "../model/plane_counters.ts";
import { PEER_STATES, type StatusSource } from "../model/status.ts";
import {
  ListDropsResponseSchema,
  ListNetworksResponseSchema,
  ListPeersResponseSchema,
  ListPipesResponseSchema,
  ListPortsResponseSchema,
  ListSasResponseSchema,
  type StatusService,
} from "./gen/psp/v1/status_pb.ts";
import { dropToProto, networkToProto, saEntryToProto } from "./lists_codec.ts";
import { choice, vip } from "./requests.ts";
import { peerToProto, pipeToProto, portToProto } from "./status_codec.ts";

/** What one page has when the request does not say, and at most. */
export const PAGE_SIZE = 1000;
const MAX_PAGE_SIZE = 10_000;
const MAX_TOKEN = 512;
const DIRECTIONS = ["tx", "rx"] as const;

/** The lists but for tunnels and events. */
type Lists = Pick<
  ServiceImpl<typeof StatusService>,
  "listPeers" | "listSas" | "listPipes" | "listDrops" | "listPorts" | "listNetworks"
>;

/** So many in a page. */
export function pageSize(asked: number): number {
  return Math.min(asked || PAGE_SIZE, MAX_PAGE_SIZE);
}

/** What the page is after; undefined: the first one. Throws `ConnectError` for what no page before has given. */
export function afterToken(token: string): string | undefined {
  if (token.length > MAX_TOKEN) {
    throw new ConnectError('Field "page_token": too long', Code.InvalidArgument);
  }
  return token || undefined;
}

/** Answered from `source`. */
export function statusLists(source: StatusSource): Lists {
  return {
    listPeers(request) {
      const size = pageSize(request.pageSize);
      // One more than asked for, to know whether another page follows.
      const { peers, total } = source.peers({
        contains: request.contains || undefined,
        states: request.states.map((state) => choice("states", state, PEER_STATES)),
        after: afterToken(request.pageToken),
        limit: size + 1,
      });
      const page = peers.slice(0, size);
      return create(ListPeersResponseSchema, {
        peers: page.map(peerToProto),
        nextPageToken: peers.length > size ? page.at(-1)?.id ?? "" : "",
        total,
      });
    },
    listSas(request) {
      const { sas, next } = source.sas({
        peer: request.peer || undefined,
        direction: request.direction === ""
          ? undefined
          : choice("direction", request.direction, DIRECTIONS),
        spi: request.spi,
        contains: request.contains || undefined,
        after: afterToken(request.pageToken),
        limit: pageSize(request.pageSize),
      });
      return create(ListSasResponseSchema, {
        sas: sas.map(saEntryToProto),
        nextPageToken: next ?? "",
      });
    },
    listPipes: ({ name }) =>
      create(ListPipesResponseSchema, {
        pipes: source.pipes().filter((pipe) => name === "" || pipe.name === name).map(pipeToProto),
      }),
    listDrops(request) {
      const { counters } = source.status({ maxPeers: 0 });
      const packets = dropsByReason(counters).filter(([reason]) =>
        request.reason === "" || request.reason === reason
      );
      return create(ListDropsResponseSchema, {
        packets: Object.fromEntries(packets),
        drops: source.drops({
          reason: request.reason || undefined,
          peer: request.peer || undefined,
          vip: request.vip === "" ? undefined : vip("vip", request.vip),
          limit: pageSize(request.pageSize),
        }).map(dropToProto),
      });
    },
    listPorts: ({ network }) =>
      create(ListPortsResponseSchema, {
        ports: source.ports().filter(({ facts }) =>
          network === undefined || facts?.network === network
        ).map(portToProto),
      }),
    listNetworks: () =>
      create(ListNetworksResponseSchema, { networks: source.networks().map(networkToProto) }),
  };
}
