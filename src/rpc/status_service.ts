// SPDX-License-Identifier: Apache-2.0

/** StatusService and AdminService for connect, answered from a `StatusSource`. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import type { PeerView, StatusSource, TunnelView } from "../model/status.ts";
import { LOG_CATEGORIES, LOG_LEVELS } from "../model/log.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import {
  AdminService,
  CloseTunnelResponseSchema,
  GetPipesResponseSchema,
  type GetStatusResponse,
  ListLogLevelsResponseSchema,
  ListLogLinesResponseSchema,
  ListTunnelsResponseSchema,
  type PeerStatus,
  RekeyResponseSchema,
  SetLogLevelResponseSchema,
  StatusService,
} from "./gen/psp/v1/status_pb.ts";
import { pingToProto } from "./lists_codec.ts";
import { Places } from "./places.ts";
import { choice, selectorFromProto, vip } from "./requests.ts";
import { afterToken, pageSize, statusLists } from "./status_lists.ts";
import { PeersInParts } from "./status_parts.ts";
import {
  eventToProto,
  explainToProto,
  peerToProto,
  pipeToProto,
  queryFromProto,
  reloadToProto,
  rotateToProto,
  sampleToProto,
  statusToProto,
  tunnelToProto,
} from "./status_codec.ts";

/** Pings under way, and the time for each leg of one. */
const MAX_PINGS = 8;
const PING_MS = 2000;
const MAX_PING_MS = 10_000;
/** Readers of samples, and readers of events, at one time. */
const MAX_WATCHERS = 16;

/**
 * What `after` of `StatusSource.tunnels` is compared with. The space sorts before everything that ids and
 * addresses are made of, so the order of these texts is the order by (peer, localVip, remoteVip).
 */
export function tunnelToken(view: Pick<TunnelView, "peer" | "localVip" | "remoteVip">): string {
  return `${view.peer} ${view.localVip} ${view.remoteVip}`;
}

/** With ten thousand peers the rest of the event loop has its turn while they are gathered and encoded. */
async function wholeStatus(
  source: StatusSource,
  maxPeers: number | undefined,
  encode: (parts: Iterable<readonly PeerStatus[]>) => ReturnType<PeersInParts["encode"]>,
): Promise<GetStatusResponse> {
  const peers: PeerView[] = [];
  function* parts() {
    for (const part of source.peerParts({ maxPeers })) {
      peers.push(...part);
      yield part.map(peerToProto);
    }
  }
  const encoded = await encode(parts());
  return Object.assign(statusToProto({ ...source.status({ maxPeers: 0 }), peers }, []), encoded);
}

/** The routes; `admin` adds AdminService. */
export function statusRoutes(
  source: StatusSource,
  options: { readonly admin: boolean; readonly events?: RpcEvents },
): (router: ConnectRouter) => void {
  const events = options.events ?? SILENT;
  const peers = new PeersInParts();
  const pings = new Places(MAX_PINGS, `Cannot ping: ${MAX_PINGS} others are under way`);
  const watchers = {
    events: new Places(MAX_WATCHERS, `Cannot watch events: ${MAX_WATCHERS} readers already do`),
    samples: new Places(MAX_WATCHERS, `Cannot watch samples: ${MAX_WATCHERS} readers already do`),
  };
  async function* watched<T, M>(
    what: keyof typeof watchers,
    open: () => AsyncIterable<T>,
    { toProto, signal }: { readonly toProto: (one: T) => M; readonly signal: AbortSignal },
  ): AsyncGenerator<M> {
    using _place = watchers[what].enter();
    try {
      for await (const one of open()) yield toProto(one);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
  return (router) => {
    router.service(StatusService, {
      getStatus: ({ maxPeers }, context) =>
        wholeStatus(source, maxPeers, (parts) => peers.encode(parts, context)),
      listTunnels(request) {
        const size = pageSize(request.pageSize);
        // One more than asked for, to know whether another page follows.
        const found = source.tunnels({
          peer: request.peer || undefined,
          contains: request.contains || undefined,
          after: afterToken(request.pageToken),
          limit: size + 1,
        });
        const page = found.slice(0, size);
        const last = page.at(-1);
        return create(ListTunnelsResponseSchema, {
          tunnels: page.map(tunnelToProto),
          nextPageToken: found.length > size && last !== undefined ? tunnelToken(last) : "",
        });
      },
      ...statusLists(source),
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
      async ping({ src, dst, timeoutMs }) {
        using _place = pings.enter();
        const query = {
          src: src === "" ? undefined : vip("src", src),
          dst: vip("dst", dst),
          timeoutMs: Math.min(timeoutMs || PING_MS, MAX_PING_MS),
        };
        return pingToProto(await source.ping(query));
      },
      watchEvents: ({ filter }, { signal }) =>
        watched("events", () => source.watchEvents(queryFromProto(filter), signal), {
          toProto: eventToProto,
          signal,
        }),
      planRotation: async () => rotateToProto(await source.rotate({ plan: true })),
      listLogLevels: () =>
        create(ListLogLevelsResponseSchema, { levels: { ...source.logLevels() } }),
      listLogLines: () => create(ListLogLinesResponseSchema, { lines: [...source.logLines()] }),
      watchSamples: (_request, { signal }) =>
        watched("samples", () => source.samples(signal), { toProto: sampleToProto, signal }),
    }, { jsonOptions: peers.jsonOptions });
    if (!options.admin) return;
    // Until its end the agent tells what it does, but begins nothing.
    const mayBegin = () => {
      if (!source.status({ maxPeers: 0 }).draining) return;
      throw new ConnectError("The agent is ending", Code.Unavailable);
    };
    router.service(AdminService, {
      async rotate(request) {
        if (!request.plan) {
          mayBegin();
          events.log("info", "Master key rotation was ordered by an operator");
        }
        return rotateToProto(await source.rotate({ plan: request.plan }));
      },
      async reload(request) {
        if (!request.plan) {
          mayBegin();
          events.log("info", "A reload was ordered by an operator");
        }
        return reloadToProto(await source.reload({ plan: request.plan }));
      },
      rekey({ tunnels: selector }) {
        mayBegin();
        const { tunnels, message } = source.rekey(selectorFromProto(selector));
        events.log("info", "New SAs were ordered by an operator", { tunnels });
        return create(RekeyResponseSchema, { tunnels, message });
      },
      closeTunnel({ tunnels: selector }) {
        mayBegin();
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
