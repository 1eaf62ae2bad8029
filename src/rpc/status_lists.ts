// SPDX-License-Identifier: Apache-2.0

/** Lists of StatusService: which ones, how many, and where the next page begins. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { dropsByReason } from "../model/plane_counters.ts";
import type { NetworkView } from "../model/lists.ts";
import { PEER_STATES, type PortView, type StatusSource } from "../model/status.ts";
import {
  ListDropsResponseSchema,
  ListEventsResponseSchema,
  ListNetworksResponseSchema,
  ListPeersResponseSchema,
  ListPipesResponseSchema,
  ListPortsResponseSchema,
  ListSasResponseSchema,
  type StatusService,
} from "./gen/psp/v1/status_pb.ts";
import { dropToProto, networkToProto, saEntryToProto } from "./lists_codec.ts";
import { choice, vip } from "./requests.ts";
import {
  eventToProto,
  peerToProto,
  pipeToProto,
  portToProto,
  queryFromProto,
} from "./status_codec.ts";

/** What one page has when the request does not say, and at most. */
export const PAGE_SIZE = 1000;
const MAX_PAGE_SIZE = 10_000;
const MAX_TOKEN = 512;
const DIRECTIONS = ["tx", "rx"] as const;

/** The lists but for tunnels. */
type Lists = Pick<
  ServiceImpl<typeof StatusService>,
  | "listPeers"
  | "listSas"
  | "listPipes"
  | "listDrops"
  | "listPorts"
  | "listNetworks"
  | "listEvents"
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

/** The same where tokens are numbers. */
function afterNumber(token: string): number | undefined {
  const text = afterToken(token);
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ConnectError('Field "page_token": of no page before', Code.InvalidArgument);
}

/** One page of a list that is there as a whole. Its order and its tokens are those of `key`. */
function pageOf<T>(
  items: readonly T[],
  { key, request: { pageSize, pageToken } }: {
    readonly key: (item: T) => string;
    readonly request: { readonly pageSize: number; readonly pageToken: string };
  },
): { readonly page: readonly T[]; readonly nextPageToken: string } {
  const after = afterToken(pageToken);
  const rest = items.map((item) => ({ item, key: key(item) }))
    .filter((one) => after === undefined || one.key > after)
    .sort((a, b) => a.key < b.key ? -1 : 1);
  const page = pageSize === 0 ? rest : rest.slice(0, pageSize);
  const last = page.at(-1);
  return {
    page: page.map(({ item }) => item),
    nextPageToken: page.length < rest.length && last !== undefined ? last.key : "",
  };
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
      const { drops, next } = source.drops({
        reason: request.reason || undefined,
        peer: request.peer || undefined,
        vip: request.vip === "" ? undefined : vip("vip", request.vip),
        after: afterNumber(request.pageToken),
        limit: pageSize(request.pageSize),
      });
      return create(ListDropsResponseSchema, {
        packets: Object.fromEntries(packets),
        drops: drops.map(dropToProto),
        nextPageToken: next === undefined ? "" : String(next),
      });
    },
    listPorts(request) {
      const { network } = request;
      const ports = source.ports().filter(({ facts }) =>
        network === undefined || facts?.network === network
      );
      const key = (port: PortView) => `${port.name === "uplink" ? 0 : 1} ${port.interface}`;
      const { page, nextPageToken } = pageOf(ports, { key, request });
      return create(ListPortsResponseSchema, { ports: page.map(portToProto), nextPageToken });
    },
    listNetworks(request) {
      // The default one has no name, and its token must not be that of the first page.
      const key = ({ name }: NetworkView) => `=${name}`;
      const { page, nextPageToken } = pageOf(source.networks(), { key, request });
      return create(ListNetworksResponseSchema, {
        networks: page.map(networkToProto),
        nextPageToken,
      });
    },
    listEvents(request) {
      const size = pageSize(request.pageSize);
      const query = queryFromProto(request.filter);
      const after = Math.max(afterNumber(request.pageToken) ?? 0, query.after ?? 0);
      // One more than asked for, to know whether another page follows.
      const events = source.events({ ...query, after, limit: size + 1 });
      const page = events.slice(0, size);
      return create(ListEventsResponseSchema, {
        events: page.map(eventToProto),
        nextPageToken: events.length > size ? String(page.at(-1)?.cursor ?? "") : "",
      });
    },
  };
}
