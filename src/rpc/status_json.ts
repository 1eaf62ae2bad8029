// SPDX-License-Identifier: Apache-2.0

/** The views as the API's own JSON: what a command prints for programs is what curl would get. */
import {
  create,
  type DescMessage,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import type { AgentEvent } from "../model/events.ts";
import type { DropView, SaEntry } from "../model/lists.ts";
import { dropToProto, pingToProto, saEntryToProto } from "./lists_codec.ts";
import type { PingView } from "../model/ping.ts";
import type { OrderView } from "../model/orders.ts";
import * as pb from "./gen/psp/v1/status_pb.ts";
import type {
  ExplainView,
  PeerView,
  PipeView,
  ReloadView,
  RotateView,
  SampleView,
  StatusView,
  TunnelView,
} from "../model/status.ts";
import {
  eventToProto,
  explainToProto,
  peerToProto,
  pipeToProto,
  reloadToProto,
  rotateToProto,
  sampleToProto,
  statusToProto,
  tunnelToProto,
} from "./status_codec.ts";

/** `psp.v1.Event` */
export function eventJson(event: AgentEvent): JsonValue {
  return full(pb.EventSchema, eventToProto(event));
}

/** `psp.v1.ExplainResponse` */
export function explainJson(view: ExplainView): JsonValue {
  return full(pb.ExplainResponseSchema, explainToProto(view));
}

/** `psp.v1.GetStatusResponse` */
export function statusJson(view: StatusView): JsonValue {
  return full(pb.GetStatusResponseSchema, statusToProto(view));
}

/** `psp.v1.PeerStatus` */
export function peerJson(view: PeerView): JsonValue {
  return full(pb.PeerStatusSchema, peerToProto(view));
}

/** `psp.v1.Tunnel` */
export function tunnelJson(view: TunnelView): JsonValue {
  return full(pb.TunnelSchema, tunnelToProto(view));
}

/** `psp.v1.SaStatus` */
export function saJson(view: SaEntry): JsonValue {
  return full(pb.SaStatusSchema, saEntryToProto(view));
}

/** `psp.v1.PingResponse` */
export function pingJson(view: PingView): JsonValue {
  return full(pb.PingResponseSchema, pingToProto(view));
}

/** `psp.v1.ListDropsResponse` */
export function dropsJson(
  { packets, drops }: {
    readonly packets: Readonly<Record<string, bigint>>;
    readonly drops: readonly DropView[];
  },
): JsonValue {
  const message = create(pb.ListDropsResponseSchema, {
    packets: { ...packets },
    drops: drops.map(dropToProto),
  });
  return full(pb.ListDropsResponseSchema, message);
}

/** `psp.v1.Sample` */
export function sampleJson(view: SampleView): JsonValue {
  return full(pb.SampleSchema, sampleToProto(view));
}

/** `psp.v1.RotateResponse` */
export function rotateJson(view: RotateView): JsonValue {
  return full(pb.RotateResponseSchema, rotateToProto(view));
}

/** `psp.v1.ReloadResponse` */
export function reloadJson(view: ReloadView): JsonValue {
  return full(pb.ReloadResponseSchema, reloadToProto(view));
}

/** `psp.v1.RekeyResponse`, and `psp.v1.CloseTunnelResponse`, which look the same. */
export function orderJson({ tunnels, message }: OrderView): JsonValue {
  return full(pb.RekeyResponseSchema, create(pb.RekeyResponseSchema, { tunnels, message }));
}

/** `psp.v1.ListLogLevelsResponse` */
export function logLevelsJson(levels: Readonly<Record<string, string>>): JsonValue {
  const message = create(pb.ListLogLevelsResponseSchema, { levels: { ...levels } });
  return full(pb.ListLogLevelsResponseSchema, message);
}

/** `psp.v1.PipeStatus` */
export function pipeJson(view: PipeView): JsonValue {
  return full(pb.PipeStatusSchema, pipeToProto(view));
}

/** Every field, also one that is 0 or "": a program need not know which are left out. */
function full<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}
