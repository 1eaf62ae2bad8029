// SPDX-License-Identifier: Apache-2.0

/** A batch of event records as `PlaneEvent`s. */
import { addressText, macText } from "./address.ts";
import { sizeOf } from "./layout.ts";
import { DataPlaneError, type PlaneEvent, type PortName, type Syndrome } from "./plane.ts";
import { Struct } from "./struct.ts";

/** enum psp_dp_event_type */
const TYPE = { MISS: 1, EXCEPTION: 2, SAMPLE: 3, SYNDROME: 4, TOO_BIG: 5 };
/** enum psp_dp_port */
const PORT_NAMES: readonly PortName[] = ["uplink", "host"];
/** enum psp_dp_syndrome */
const SYNDROME_NAMES: readonly Syndrome[] = ["ok", "icv_failed", "bad_trailer"];

/**
 * Decodes whole records. Data is copied out, so that `batch` may be filled again. A type that is not known
 * is passed over: a newer library may say more. Throws `DataPlaneError` when a record contradicts itself.
 */
export function decodeEvents(batch: Uint8Array<ArrayBuffer>): PlaneEvent[] {
  const header = sizeOf("psp_dp_event");
  const events: PlaneEvent[] = [];
  for (let at = 0; at < batch.length;) {
    if (batch.length - at < header) throw malformed(at);
    const record = new Struct("psp_dp_event", batch, at);
    const size = record.number("record_size");
    const dataLen = record.number("data_len");
    if (size < header + dataLen || size % 8 !== 0 || size > batch.length - at) throw malformed(at);
    const event = decode(record, batch.slice(at + header, at + header + dataLen));
    if (event !== undefined) events.push(event);
    at += size;
  }
  return events;
}

function decode(
  record: Struct<"psp_dp_event">,
  data: Uint8Array<ArrayBuffer>,
): PlaneEvent | undefined {
  switch (record.number("type")) {
    case TYPE.MISS:
      return {
        type: "miss",
        flow: record.number("flow"),
        srcVip: addressText(record.octets("src")),
        dstVip: addressText(record.octets("dst")),
        ethSrc: macText(record.octets("eth_src")),
      };
    case TYPE.EXCEPTION:
      return {
        type: "exception",
        port: PORT_NAMES[record.number("port")] ?? "host",
        frame: data,
        timeNs: record.bigint("time_ns"),
      };
    case TYPE.SAMPLE:
      return {
        type: "sample",
        direction: record.number("egress") === 1 ? "egress" : "ingress",
        spi: record.number("spi"),
        srcVip: addressText(record.octets("src")),
        dstVip: addressText(record.octets("dst")),
        length: record.number("packet_len"),
        data,
        timeNs: record.bigint("time_ns"),
      };
    case TYPE.SYNDROME:
      return {
        type: "syndrome",
        spi: record.number("spi"),
        syndrome: SYNDROME_NAMES[record.number("syndrome")] ?? "bad_trailer",
        srcPip: addressText(record.octets("src")),
        dstPip: addressText(record.octets("dst")),
      };
    case TYPE.TOO_BIG:
      return {
        type: "too_big",
        mtu: record.number("mtu"),
        ethSrc: macText(record.octets("eth_src")),
        data,
      };
    default:
      return undefined;
  }
}

function malformed(at: number): DataPlaneError {
  return new DataPlaneError(
    `Cannot read events: the record at octet ${at} contradicts its batch`,
    "EINVAL",
  );
}
