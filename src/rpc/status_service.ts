// SPDX-License-Identifier: Apache-2.0

/** StatusService and AdminService for connect, answered from a `StatusSource`. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import type { StatusSource, TunnelView } from "../model/status.ts";
import { LOG_CATEGORIES, LOG_LEVELS } from "../model/log.ts";
import type { TunnelSelector } from "../model/orders.ts";
import { canonicalVip } from "../model/vip.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import {
  AdminService,
  CloseTunnelResponseSchema,
  GetPipesResponseSchema,
  ListEventsResponseSchema,
  ListLogLevelsResponseSchema,
  ListTunnelsResponseSchema,
  RekeyResponseSchema,
  SetLogLevelResponseSchema,
  StatusService,
  type TunnelSelector as TunnelSelectorMessage,
} from "./gen/psp/v1/status_pb.ts";
import {
  eventToProto,
  explainToProto,
  pipeToProto,
  queryFromProto,
  reloadToProto,
  rotateToProto,
  sampleToProto,
  statusToProto,
  tunnelToProto,
} from "./status_codec.ts";

/** Tunnels in one page when the request does not say, and at most. */
export const PAGE_SIZE = 1000;
const MAX_PAGE_SIZE = 10_000;
const MAX_TOKEN = 512;
/** Readers of samples, and readers of events, at one time. */
const MAX_WATCHERS = 16;

/**
 * What `after` of `StatusSource.tunnels` is compared with. The space sorts before everything that ids and
 * addresses are made of, so the order of these texts is the order by (peer, localVip, remoteVip).
 */
export function tunnelToken(view: Pick<TunnelView, "peer" | "localVip" | "remoteVip">): string {
  return `${view.peer} ${view.localVip} ${view.remoteVip}`;
}

/** An address as this host spells it. */
function vip(field: string, address: string): string {
  const found = canonicalVip(address);
  if (found !== undefined) return found;
  throw new ConnectError(`Field "${field}": not an address`, Code.InvalidArgument);
}

/** Throws `ConnectError` for one that says nothing, or something that no tunnel has. */
function selectorFromProto(selector: TunnelSelectorMessage | undefined): TunnelSelector {
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

/** One of `known`; throws `ConnectError` for another one. */
function choice<T extends string>(field: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found !== undefined) return found;
  throw new ConnectError(
    `Field "${field}": "${given}" is none of ${known.join(", ")}`,
    Code.InvalidArgument,
  );
}

/** The routes; `admin` adds AdminService. */
export function statusRoutes(
  source: StatusSource,
  options: { readonly admin: boolean; readonly events?: RpcEvents },
): (router: ConnectRouter) => void {
  const events = options.events ?? SILENT;
  const watchers = { events: 0, samples: 0 };
  async function* watched<T, M>(
    what: keyof typeof watchers,
    open: () => AsyncIterable<T>,
    { toProto, signal }: { readonly toProto: (one: T) => M; readonly signal: AbortSignal },
  ): AsyncGenerator<M> {
    if (watchers[what] >= MAX_WATCHERS) {
      throw new ConnectError(
        `Cannot watch ${what}: ${MAX_WATCHERS} readers already do`,
        Code.ResourceExhausted,
      );
    }
    watchers[what] += 1;
    try {
      for await (const one of open()) yield toProto(one);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      watchers[what] -= 1;
    }
  }
  return (router) => {
    router.service(StatusService, {
      getStatus: ({ maxPeers }) => statusToProto(source.status({ maxPeers })),
      listTunnels(request) {
        if (request.pageToken.length > MAX_TOKEN) {
          throw new ConnectError('Field "page_token": too long', Code.InvalidArgument);
        }
        const size = Math.min(request.pageSize || PAGE_SIZE, MAX_PAGE_SIZE);
        // One more than asked for, to know whether another page follows.
        const found = source.tunnels({
          peer: request.peer || undefined,
          contains: request.contains || undefined,
          after: request.pageToken || undefined,
          limit: size + 1,
        });
        const page = found.slice(0, size);
        const last = page.at(-1);
        return create(ListTunnelsResponseSchema, {
          tunnels: page.map(tunnelToProto),
          nextPageToken: found.length > size && last !== undefined ? tunnelToken(last) : "",
        });
      },
      getPipes: () =>
        create(GetPipesResponseSchema, {
          pipes: source.pipes().map(pipeToProto),
          mermaid: source.picture(),
        }),
      explain: async ({ src, dst, length, ttl, port }) =>
        explainToProto(
          await source.explain({
            src: vip("src", src),
            dst: vip("dst", dst),
            length: length || undefined,
            ttl: ttl || undefined,
            port: port || undefined,
          }),
        ),
      listEvents: ({ filter, pageSize }) =>
        create(ListEventsResponseSchema, {
          events: source.events({
            ...queryFromProto(filter),
            limit: Math.min(pageSize || PAGE_SIZE, MAX_PAGE_SIZE),
          }).map(eventToProto),
        }),
      watchEvents: ({ filter }, { signal }) =>
        watched("events", () => source.watchEvents(queryFromProto(filter), signal), {
          toProto: eventToProto,
          signal,
        }),
      planRotation: async () => rotateToProto(await source.rotate({ plan: true })),
      listLogLevels: () =>
        create(ListLogLevelsResponseSchema, { levels: { ...source.logLevels() } }),
      watchSamples: (_request, { signal }) =>
        watched("samples", () => source.samples(signal), { toProto: sampleToProto, signal }),
    });
    if (!options.admin) return;
    router.service(AdminService, {
      async rotate(request) {
        if (!request.plan) events.log("info", "Master key rotation was ordered by an operator");
        return rotateToProto(await source.rotate({ plan: request.plan }));
      },
      async reload(request) {
        if (!request.plan) events.log("info", "A reload was ordered by an operator");
        return reloadToProto(await source.reload({ plan: request.plan }));
      },
      rekey({ tunnels: selector }) {
        const { tunnels, message } = source.rekey(selectorFromProto(selector));
        events.log("info", "New SAs were ordered by an operator", { tunnels });
        return create(RekeyResponseSchema, { tunnels, message });
      },
      closeTunnel({ tunnels: selector }) {
        const { tunnels, message } = source.closeTunnels(selectorFromProto(selector));
        events.log("info", "The end of tunnels was ordered by an operator", { tunnels });
        return create(CloseTunnelResponseSchema, { tunnels, message });
      },
      setLogLevel(request) {
        const category = request.category === ""
          ? undefined
          : choice("category", request.category, LOG_CATEGORIES);
        const level = choice("level", request.level, LOG_LEVELS);
        source.setLogLevel(category, level);
        events.log("info", "A log level was set by an operator", { kind: category, state: level });
        return create(SetLogLevelResponseSchema, { levels: { ...source.logLevels() } });
      },
    });
  };
}
