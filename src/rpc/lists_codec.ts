// SPDX-License-Identifier: Apache-2.0

/** The lists of src/model/lists.ts, and a ping's answer, between domain objects and proto messages, both ways. */
import { create } from "@bufbuild/protobuf";
import type { DropView, NetworkView, SaEntry, SaState } from "../model/lists.ts";
import type { PingView } from "../model/ping.ts";
import * as pb from "./gen/psp/v1/status_pb.ts";
import { maybe, ms, oneOf, saFromProto, saToProto, timestamp } from "./status_codec.ts";

const SA_STATES = [
  "current",
  "offered",
  "superseded",
  "maybe",
  "expired",
] as const satisfies readonly SaState[];

/** To the wire. */
export function saEntryToProto({ sa, ...entry }: SaEntry): pb.SaStatus {
  return create(pb.SaStatusSchema, { ...entry, sa: saToProto(sa) });
}

/** From the wire. */
export function saEntryFromProto(message: pb.SaStatus): SaEntry {
  const { peer, localVip, remoteVip } = message;
  return {
    peer,
    localVip,
    remoteVip,
    direction: oneOf(message.direction, ["tx", "rx"]),
    state: oneOf(message.state, SA_STATES),
    sa: saFromProto(message.sa ?? create(pb.SaSchema)),
  };
}

/** To the wire. */
export function dropToProto({ spi, firstAtMs, lastAtMs, packets, ...drop }: DropView): pb.Drop {
  return create(pb.DropSchema, {
    ...drop,
    ...maybe("spi", spi),
    packets: BigInt(packets),
    firstAt: timestamp(firstAtMs),
    lastAt: timestamp(lastAtMs),
  });
}

/** From the wire. */
export function dropFromProto(message: pb.Drop): DropView {
  const { reason, detail, peer, src, dst, outer, spi } = message;
  return {
    ...{ reason, detail, peer, src, dst, outer },
    ...maybe("spi", spi),
    header: new Uint8Array(message.header),
    packets: Number(message.packets),
    firstAtMs: ms(message.firstAt) ?? 0,
    lastAtMs: ms(message.lastAt) ?? 0,
  };
}

/** To the wire. */
export function pingToProto({ peer = "", src = "", dst, legs }: PingView): pb.PingResponse {
  return create(pb.PingResponseSchema, {
    peer,
    src,
    dst,
    legs: legs.map(({ ms, ...leg }) =>
      create(pb.PingLegSchema, { ...leg, ...maybe("durationMs", ms) })
    ),
  });
}

/** From the wire. */
export function pingFromProto({ peer, src, dst, legs }: pb.PingResponse): PingView {
  return {
    ...peer === "" ? {} : { peer },
    ...src === "" ? {} : { src },
    dst,
    legs: legs.map(({ name, verdict, durationMs, text }) => ({
      name: oneOf(name, ["control", "tunnel", "workload"]),
      verdict: oneOf(verdict, ["unknown", "ok", "failed"]),
      ...maybe("ms", durationMs),
      text,
    })),
  };
}

/** To the wire. */
export function networkToProto({ vc, ...network }: NetworkView): pb.NetworkStatus {
  return create(pb.NetworkStatusSchema, { ...network, ...vc === undefined ? {} : { vc } });
}

/** From the wire. */
export function networkFromProto(message: pb.NetworkStatus): NetworkView {
  const { name, vc, ports, workloads, tunnels } = message;
  return { name, ...vc === undefined ? {} : { vc }, ports, workloads, tunnels };
}
