// SPDX-License-Identifier: Apache-2.0

/** grpc.health.v1.Health: the agent as gRPC's own tools and probes ask after it. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import type { StatusSource } from "../model/status.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as State,
  HealthCheckResponseSchema,
} from "./gen/grpc/health/v1/health_pb.ts";

/** Services that may be asked after, all of which are as well as the agent is. */
const SERVICES: ReadonlySet<string> = new Set([
  "",
  "psp.v1.StatusService",
  "psp.v1.AdminService",
  Health.typeName,
]);
/** How often a watched state is looked at. */
const LOOK_MS = 500;
/** Readers of `Watch` at one time. */
const MAX_WATCHERS = 16;

/** `deaf`: the listener that accepts no connections, by its key. */
export function healthRoutes(
  source: Pick<StatusSource, "status">,
  deaf: () => string | undefined,
): (router: ConnectRouter) => void {
  let watchers = 0;
  const state = (): State => {
    const { draining, faults } = source.status({ maxPeers: 0 });
    return draining || faults.length > 0 || deaf() !== undefined
      ? State.NOT_SERVING
      : State.SERVING;
  };
  const answer = (init: MessageInitShape<typeof HealthCheckResponseSchema>) =>
    create(HealthCheckResponseSchema, init);
  return (router) => {
    router.service(Health, {
      check({ service }) {
        if (!SERVICES.has(service)) throw new ConnectError("No such service", Code.NotFound);
        return answer({ status: state() });
      },
      async *watch({ service }, { signal }) {
        if (watchers >= MAX_WATCHERS) {
          throw new ConnectError(
            `Cannot watch: ${MAX_WATCHERS} readers already do`,
            Code.ResourceExhausted,
          );
        }
        watchers++;
        try {
          let last: State | undefined;
          while (!signal.aborted) {
            const now = SERVICES.has(service) ? state() : State.SERVICE_UNKNOWN;
            if (now !== last) yield answer({ status: now });
            last = now;
            await new Promise<void>((resolve) => {
              const end = () => {
                clearTimeout(timer);
                signal.removeEventListener("abort", end);
                resolve();
              };
              const timer = setTimeout(end, LOOK_MS);
              signal.addEventListener("abort", end);
            });
          }
        } finally {
          watchers--;
        }
      },
    });
  };
}
