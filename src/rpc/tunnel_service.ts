// SPDX-License-Identifier: Apache-2.0

/**
 * TunnelService for connect: the caller's identity comes from the connection, the answer from the handler.
 *
 * Keys: the request's key bytes are zeros in the message once they are in a `Key`; the reply's are wiped
 * as soon as connect is done with the message. What stays out of reach are the serialised buffers that
 * connect, TLS and the kernel hold until they are collected; they live in this process only.
 */
import { create } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ContextKey,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import { ExchangeError, type TunnelHandler } from "../model/exchange.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import { toConnect } from "./exchange_errors.ts";
import {
  CountPacketsResponseSchema,
  NotifyResponseSchema,
  PacketCountSchema,
  TunnelService,
} from "./gen/psp/v1/tunnel_pb.ts";
import type { Identity } from "./identity.ts";
import { explainToProto } from "./status_codec.ts";
import {
  countQuestionFromProto,
  noticeFromProto,
  questionFromProto,
  replyToProto,
  requestFromProto,
  wipeReply,
} from "./tunnel_codec.ts";

/** Who is calling; set for each request by the server. */
export const CALLER: ContextKey<Identity> = createContextKey<Identity>({
  ok: false,
  reason: "no-identity",
  message: "The connection proves no identity",
}, { description: "caller" });

/** The address that the call comes from; undefined: not known. Set for each request by the server. */
export const FROM: ContextKey<string | undefined> = createContextKey<string | undefined>(
  undefined,
  { description: "where the caller is" },
);

/** Called when a request has become a call of a method. Set for each request by the server. */
export const ARRIVED: ContextKey<() => void> = createContextKey<() => void>(() => {}, {
  description: "called by the method",
});

/** The routes. Throws `ConnectError` with the code that fits; anything else becomes `internal`. */
export function tunnelRoutes(
  handler: TunnelHandler,
  events: RpcEvents = SILENT,
): (router: ConnectRouter) => void {
  return (router) => {
    router.service(TunnelService, {
      async newTunnel(message, context) {
        const peer = requirePeer(context);
        const reply = await guarded(events, async () => {
          const request = requestFromProto(message);
          return replyToProto(await handler.newTunnel(peer, request, context.values.get(FROM)));
        });
        if (context.signal.aborted) {
          wipeReply(reply);
          throw new ConnectError("the caller is gone", Code.Canceled);
        }
        // Aborts when connect has serialised the message, or given up on it; never before.
        context.signal.addEventListener("abort", () => wipeReply(reply), { once: true });
        return reply;
      },
      async notify(message, context) {
        const peer = requirePeer(context);
        const { bootEpoch } = await guarded(
          events,
          async () =>
            await handler.notify(peer, noticeFromProto(message), context.values.get(FROM)),
        );
        return create(NotifyResponseSchema, { bootEpoch });
      },
      async explain(message, context) {
        const peer = requirePeer(context);
        return await guarded(events, () => {
          if (handler.explain === undefined) {
            throw new ExchangeError("unimplemented", "this agent says nothing of packets");
          }
          return Promise.resolve(
            explainToProto(handler.explain(peer, questionFromProto(message))),
          );
        });
      },
      async countPackets(message, context) {
        const peer = requirePeer(context);
        return await guarded(events, () => {
          if (handler.countPackets === undefined) {
            throw new ExchangeError("unimplemented", "this agent counts nothing");
          }
          const counts = handler.countPackets(peer, countQuestionFromProto(message));
          return Promise.resolve(
            create(CountPacketsResponseSchema, {
              counts: counts.map((count) => create(PacketCountSchema, count)),
            }),
          );
        });
      },
    });
  };
}

/** Refuses before the body is read: given to connect as its request gate. */
export function callerGate(events: RpcEvents): (context: HandlerContext) => void {
  return (context) => {
    const caller = context.values.get(CALLER);
    if (caller.ok) return;
    if (!caller.isCounted) events.count(caller.reason);
    events.refused(caller);
    throw new ConnectError(caller.message, Code.PermissionDenied);
  };
}

function requirePeer(context: HandlerContext): string {
  context.values.get(ARRIVED)();
  const caller = context.values.get(CALLER);
  if (!caller.ok) throw new ConnectError(caller.message, Code.PermissionDenied);
  return caller.peer;
}

async function guarded<T>(events: RpcEvents, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const error = cause instanceof ExchangeError ? toConnect(cause) : cause;
    if (error instanceof ConnectError) {
      if (error.code === Code.InvalidArgument) events.count("invalid-request");
      throw error;
    }
    // The cause stays here: the other side learns nothing about our inside.
    events.count("internal-error");
    events.log("error", "A request of a peer failed inside", {
      reason: error instanceof Error ? error.message : String(error),
    });
    throw new ConnectError("internal error", Code.Internal);
  }
}
