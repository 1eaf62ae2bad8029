// SPDX-License-Identifier: Apache-2.0

/** The views as the API's own JSON: what a command prints for programs is what curl would get. */
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { AgentEvent } from "../model/events.ts";
import * as pb from "./gen/psp/v1/status_pb.ts";
import type { ExplainView } from "../model/status.ts";
import { eventToProto, explainToProto } from "./status_codec.ts";

/** `psp.v1.Event` */
export function eventJson(event: AgentEvent): JsonValue {
  return full(pb.EventSchema, eventToProto(event));
}

/** `psp.v1.ExplainResponse` */
export function explainJson(view: ExplainView): JsonValue {
  return full(pb.ExplainResponseSchema, explainToProto(view));
}

/** Every field, also one that is 0 or "": a program need not know which are left out. */
function full<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}
