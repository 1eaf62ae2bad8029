// SPDX-License-Identifier: Apache-2.0

/**
 * Unary calls of the Connect protocol over one HTTP/2 connection, in the binary format and without compression. Connect's
 * own transport makes a dozen objects that wait for each other for what is one request and one answer here.
 */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  errorFromJsonBytes,
  validateResponseWithCompression,
} from "@connectrpc/connect/protocol-connect";
import type { H2Answer, H2Connection } from "./h2_connection.ts";
import { headersFrom } from "./h2_session.ts";
import { messageOf } from "../model/errors.ts";

const BINARY = "application/proto";

/** How a call is made. */
export interface UnaryOptions {
  /** The peer is told of it, too. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before the first octet leaves. */
  readonly onSent?: (() => void) | undefined;
}

/** Over one connection. */
export interface UnaryOver {
  readonly connection: Pick<H2Connection, "request">;
  /** Sent with every call. */
  readonly fields: Readonly<Record<string, string>>;
  /** Octets of a request. */
  readonly maxBytes: number;
}

/** Makes a call. Rejects with `ConnectError`: what came over the wire has the headers of the answer as its metadata. */
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  { connection, fields, maxBytes }: UnaryOver,
  { method, message, ...options }: UnaryOptions & {
    readonly method: DescMethodUnary<I, O>;
    readonly message: MessageInitShape<I>;
  },
): Promise<MessageShape<O>> {
  const body = encoded(method.input, message);
  if (body.length > maxBytes) {
    const why = `message size ${body.length} is larger than configured writeMaxBytes ${maxBytes}`;
    throw new ConnectError(why, Code.ResourceExhausted);
  }
  let answer: H2Answer;
  try {
    answer = await connection.request({
      path: `/${method.parent.typeName}/${method.name}`,
      fields: {
        ...fields,
        "content-type": BINARY,
        "connect-protocol-version": "1",
        "connect-timeout-ms": `${options.timeoutMs}`,
      },
      body,
      ...options,
    });
  } finally {
    // It may hold keys.
    body.fill(0);
  }
  const { status, fields: { "content-type": type, "content-encoding": encoding } } = answer;
  if (status !== 200 || type !== BINARY || encoding !== undefined) refuse(answer);
  try {
    return fromBinary(method.output, answer.body);
  } catch (cause) {
    throw new ConnectError(`parse binary: ${messageOf(cause)}`, Code.Internal);
  }
}

function encoded<I extends DescMessage>(input: I, message: MessageInitShape<I>): Uint8Array {
  try {
    return toBinary(input, create(input, message));
  } catch (cause) {
    throw new ConnectError(`serialize binary: ${messageOf(cause)}`, Code.Internal);
  }
}

/** Throws what an answer says that is no plain success; returns when it is one all the same. */
function refuse({ status, fields, body }: H2Answer): void {
  const header = headersFrom(fields);
  const valid = validateResponseWithCompression("unary", [], true, status, header);
  if (valid.isUnaryError) throw errorFromJsonBytes(body, header, valid.unaryError);
}
