// SPDX-License-Identifier: Apache-2.0

/**
 * The service of Connect's conformance suite on the agent's own listener: HTTP/1.1 and HTTP/2, with TLS or without. The
 * suite starts one process for each form of server, says on its standard input which, and is told on its standard
 * output where it is. The first argument is the suite's descriptors, as protoc writes them.
 */
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { anyPack, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  type Code,
  ConnectError,
  type ConnectRouter,
  type HandlerContext,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { listen } from "../../src/rpc/listener.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";

const PACKAGE = "connectrpc.conformance.v1";
const MAX_MESSAGE_BYTES = 4 << 20;
/** All requests of a run come from one address. */
const ADMISSION = { pending: 4096, pendingPerAddress: 4096, ratePerS: 1e6, burst: 1e6 };

interface Header {
  readonly name: string;
  readonly value: readonly string[];
}

interface Failure {
  readonly code: Code;
  readonly message?: string;
  readonly details: readonly { readonly typeUrl: string; readonly value: Uint8Array }[];
}

/** How a unary or a client-streaming call is to be answered. */
interface UnaryDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: Failure }
    | { readonly case: undefined };
}

/** How a stream is to be answered. */
interface StreamDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly responseData: readonly Uint8Array[];
  readonly error?: Failure;
}

type Unary = Message & { readonly responseDefinition?: UnaryDefinition };
type Stream = Message & {
  readonly responseDefinition?: StreamDefinition;
  readonly fullDuplex?: boolean;
};

interface ServerRequest {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

const [descriptors = ""] = Deno.args;
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, Deno.readFileSync(descriptors)),
);

function message(name: string): DescMessage {
  const found = registry.getMessage(`${PACKAGE}.${name}`);
  if (found === undefined) throw new Error(`The suite has no message ${name}`);
  return found;
}

function service() {
  const found = registry.getService(`${PACKAGE}.ConformanceService`);
  if (found === undefined) throw new Error("The suite has no service");
  return found;
}

// ---- the service --------------------------------------------------------------------------------

/** What a request looked like to the server. */
function requestInfo(context: HandlerContext, requests: readonly Message[]): Message {
  const asked = new URL(context.url).searchParams;
  const timeoutMs = context.timeoutMs();
  return create(message("ConformancePayload.RequestInfo"), {
    requestHeaders: headersOf(context.requestHeader),
    ...timeoutMs === undefined ? {} : { timeoutMs: BigInt(Math.floor(timeoutMs)) },
    requests: requests.map((one) => anyPack(message(one.$typeName.slice(PACKAGE.length + 1)), one)),
    ...context.requestMethod !== "GET" ? {} : {
      connectGetInfo: create(message("ConformancePayload.ConnectGetInfo"), {
        queryParams: [...new Set(asked.keys())].map((name) =>
          create(message("Header"), { name, value: asked.getAll(name) })
        ),
      }),
    },
  });
}

function headersOf(headers: Headers): Message[] {
  return [...headers].map(([name, value]) =>
    create(message("Header"), { name, value: value.split(", ") })
  );
}

function setHeaders(context: HandlerContext, definition: UnaryDefinition | StreamDefinition): void {
  for (const { name, value } of definition.responseHeaders) {
    for (const one of value) context.responseHeader.append(name, one);
  }
  for (const { name, value } of definition.responseTrailers) {
    for (const one of value) context.responseTrailer.append(name, one);
  }
}

function payload(data: Uint8Array, info: Message | undefined): Message {
  return create(message("ConformancePayload"), {
    data,
    ...info === undefined ? {} : { requestInfo: info },
  });
}

/** `info` goes along where no answer did before. */
function failure(
  { code, message: text, details }: Failure,
  info: Message | undefined,
): ConnectError {
  const error = new ConnectError(text ?? "", code);
  error.details = [
    ...details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    })),
    ...info === undefined ? [] : [{
      type: info.$typeName,
      value: toBinary(message("ConformancePayload.RequestInfo"), info),
    }],
  ];
  return error;
}

async function answerUnary(
  requests: readonly Unary[],
  { context, response }: { readonly context: HandlerContext; readonly response: string },
): Promise<Message> {
  const definition = requests[0]?.responseDefinition;
  const info = requestInfo(context, requests);
  if (definition !== undefined) {
    setHeaders(context, definition);
    await delay(definition.responseDelayMs);
    if (definition.response.case === "error") throw failure(definition.response.value, info);
  }
  const data = definition?.response.case === "responseData"
    ? definition.response.value
    : new Uint8Array(0);
  return create(message(response), { payload: payload(data, info) });
}

async function* answerStream(request: Stream, context: HandlerContext): AsyncGenerator<Message> {
  const definition = request.responseDefinition;
  let info: Message | undefined = requestInfo(context, [request]);
  if (definition === undefined) return;
  setHeaders(context, definition);
  for (const data of definition.responseData) {
    await delay(definition.responseDelayMs);
    yield create(message("ServerStreamResponse"), { payload: payload(data, info) });
    info = undefined;
  }
  if (definition.error !== undefined) throw failure(definition.error, info);
}

/** In full duplex one answer follows each request, and the others when there are no more requests. */
async function* answerBoth(
  requests: AsyncIterable<Stream>,
  context: HandlerContext,
): AsyncGenerator<Message> {
  const response = message("BidiStreamResponse");
  let definition: StreamDefinition | undefined;
  let [isFull, sent] = [false, 0];
  let heard: Stream[] = [];
  const next = async () => {
    const data = definition?.responseData[sent] ?? new Uint8Array(0);
    await delay(definition?.responseDelayMs ?? 0);
    // In half duplex the first answer tells of all requests.
    const info = isFull || sent === 0 ? requestInfo(context, heard) : undefined;
    heard = [];
    sent++;
    return create(response, { payload: payload(data, info) });
  };
  let isFirst = true;
  for await (const request of requests) {
    if (isFirst) {
      definition = request.responseDefinition;
      isFull = request.fullDuplex ?? false;
      if (definition !== undefined) setHeaders(context, definition);
      isFirst = false;
    }
    heard.push(request);
    if (!isFull) continue;
    if (definition === undefined || sent >= definition.responseData.length) break;
    yield await next();
  }
  while (definition !== undefined && sent < definition.responseData.length) yield await next();
  if (definition?.error !== undefined) {
    const info = sent === 0 ? requestInfo(context, heard) : undefined;
    throw failure(definition.error, info);
  }
}

function routes(router: ConnectRouter): void {
  router.service(service(), {
    unary: (request: Unary, context: HandlerContext) =>
      answerUnary([request], { context, response: "UnaryResponse" }),
    idempotentUnary: (request: Unary, context: HandlerContext) =>
      answerUnary([request], { context, response: "IdempotentUnaryResponse" }),
    clientStream: async (requests: AsyncIterable<Unary>, context: HandlerContext) =>
      await answerUnary(await Array.fromAsync(requests), {
        context,
        response: "ClientStreamResponse",
      }),
    serverStream: answerStream,
    bidiStream: answerBoth,
    // deno-lint-ignore no-explicit-any
  } as any);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// ---- the listener -------------------------------------------------------------------------------

/** A message of the suite, behind its length. */
async function readRequest(): Promise<ServerRequest> {
  const reader = Deno.stdin.readable.getReader();
  let octets = new Uint8Array(0);
  for (;;) {
    if (octets.length >= 4) {
      const length = new DataView(octets.buffer).getUint32(0);
      if (octets.length >= 4 + length) {
        const found = fromBinary(message("ServerCompatRequest"), octets.subarray(4, 4 + length));
        return found as unknown as ServerRequest;
      }
    }
    const { value, done } = await reader.read();
    if (done) throw new Error("The suite ended before it said what it wants");
    const longer = new Uint8Array(octets.length + value.length);
    longer.set(octets);
    longer.set(value, octets.length);
    octets = longer;
  }
}

function say(response: Message): void {
  const octets = toBinary(message("ServerCompatResponse"), response);
  const framed = new Uint8Array(4 + octets.length);
  new DataView(framed.buffer).setUint32(0, octets.length);
  framed.set(octets, 4);
  for (let at = 0; at < framed.length;) at += Deno.stdout.writeSync(framed.subarray(at));
}

function tlsOf({ useTls, serverCreds, clientTlsCert }: ServerRequest, dir: string) {
  if (!useTls || serverCreds === undefined) return {};
  const files = { cert: `${dir}/cert`, key: `${dir}/key`, ca: `${dir}/ca` };
  Deno.writeFileSync(files.cert, serverCreds.cert);
  Deno.writeFileSync(files.key, serverCreds.key, { mode: 0o600 });
  Deno.writeFileSync(files.ca, clientTlsCert.length > 0 ? clientTlsCert : serverCreds.cert);
  const store = new TlsStore(files, { key: "status.tls", pollMs: 0 });
  const clients = clientTlsCert.length > 0 ? "required" : "optional";
  return { tls: { store, clients } } as const;
}

const request = await readRequest();
const dir = Deno.makeTempDirSync({ prefix: "psp-conformance-" });
const limit = request.messageReceiveLimit || MAX_MESSAGE_BYTES;
const listener = await listen({
  listen: "127.0.0.1:0",
  key: "status.listen",
  handler: connectNodeAdapter({
    routes,
    readMaxBytes: limit,
    acceptCompression: [],
    jsonOptions: { registry },
  }),
  ...tlsOf(request, dir),
  shares: { total: 4096, reserve: 0, idlePerAddress: 4096, perIdentity: 4096 },
  handshakeTimeoutMs: 5_000,
  admission: ADMISSION,
});
Deno.removeSync(dir, { recursive: true });
const stopped = Promise.withResolvers<void>();
Deno.addSignalListener("SIGTERM", () => stopped.resolve());
say(create(message("ServerCompatResponse"), {
  host: "127.0.0.1",
  port: listener.port,
  ...request.useTls ? { pemCert: request.serverCreds?.cert } : {},
}));
await stopped.promise;
await listener.close(0);
Deno.exit(0);
