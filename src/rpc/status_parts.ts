// SPDX-License-Identifier: Apache-2.0

/**
 * The peers of GetStatus, encoded part by part: connect encodes a message in one piece, and ten thousand peers in one keep the
 * event loop busy for longer than others may wait. What is encoded already goes as it is into the binary form, as a field
 * that the encoder does not know, and into JSON where a peer stands whose name is a number that nobody else has.
 */
import { create, type JsonWriteOptions, toBinary, toJsonString } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import type { HandlerContext } from "@connectrpc/connect";
import { joined } from "../model/octets.ts";
import { Slices } from "../model/slices.ts";
import {
  type GetStatusResponse,
  GetStatusResponseSchema,
  type PeerStatus,
  PeerStatusSchema,
} from "./gen/psp/v1/status_pb.ts";

/** In the answer, what stands before and behind the peers when it has nothing else. */
const [HEAD, TAIL] = ['{"peers":[', "]}"];
const COMMA = new TextEncoder().encode(",");

/** What the answer takes of encoded peers. */
type Encoded = Pick<GetStatusResponse, "peers" | "$unknown">;

/** What connect makes octets of JSON with. */
interface TextCoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}

/** One for each listener. */
export class PeersInParts {
  readonly #encoder = new TextEncoder();
  /** Peers as JSON, by the text of the peer in whose place they go. */
  readonly #waiting = new Map<string, Uint8Array[]>();
  /** How the answer must be encoded. */
  readonly jsonOptions: Partial<JsonWriteOptions> & { readonly textEncoder: TextCoder } = {
    textEncoder: { encode: (text = "") => this.#encode(text) },
  };

  /** Encodes peers as the call wants its answer. Between two parts everybody else has his turn. */
  async encode(
    parts: Iterable<readonly PeerStatus[]>,
    context: Pick<HandlerContext, "requestMethod" | "requestHeader" | "url" | "signal">,
  ): Promise<Encoded> {
    const isJson = wantsJson(context);
    const encoded: Uint8Array<ArrayBuffer>[] = [];
    const slices = new Slices();
    for (const peers of parts) {
      if (peers.length === 0) continue;
      const part = create(GetStatusResponseSchema, { peers: [...peers] });
      if (!isJson) encoded.push(toBinary(GetStatusResponseSchema, part));
      else {
        const text = toJsonString(GetStatusResponseSchema, part);
        if (encoded.length > 0) encoded.push(COMMA);
        encoded.push(this.#encoder.encode(text.slice(HEAD.length, -TAIL.length)));
      }
      await slices.next();
    }
    if (encoded.length === 0) return { peers: [] };
    return isJson
      ? this.#asJson(encoded, context.signal)
      : { peers: [], $unknown: encoded.map(asField) };
  }

  /** The signal ends with the call, when it has been answered. */
  #asJson(encoded: Uint8Array[], signal: AbortSignal): Encoded {
    signal.throwIfAborted();
    const stands = create(PeerStatusSchema, { id: crypto.randomUUID() });
    const place = toJsonString(PeerStatusSchema, stands);
    this.#waiting.set(place, encoded);
    signal.addEventListener("abort", () => this.#waiting.delete(place), { once: true });
    return { peers: [stands] };
  }

  #encode(text: string): Uint8Array<ArrayBuffer> {
    for (const [place, encoded] of this.#waiting) {
      const at = text.indexOf(place);
      if (at < 0) continue;
      const before = this.#encoder.encode(text.slice(0, at));
      const behind = this.#encoder.encode(text.slice(at + place.length));
      return joined([before, ...encoded, behind]);
    }
    return this.#encoder.encode(text);
  }
}

/** Of a part's tags the first is written by whoever writes the field; the others stand among the data. */
function asField(part: Uint8Array) {
  const { number: no } = GetStatusResponseSchema.field.peers;
  return { no, wireType: WireType.LengthDelimited, data: part.subarray(1) };
}

function wantsJson(
  { requestMethod, requestHeader, url }: Pick<
    HandlerContext,
    "requestMethod" | "requestHeader" | "url"
  >,
): boolean {
  if (requestMethod === "GET") return new URL(url).searchParams.get("encoding") === "json";
  return /\bjson\b/.test(requestHeader.get("content-type") ?? "");
}
