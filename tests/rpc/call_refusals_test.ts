// SPDX-License-Identifier: Apache-2.0

/** Whoever is refused before a call is reached is told so in the protocol that it speaks, with code and sentence. */
import { openSession } from "../support/h2_frames.ts";
import assert from "node:assert/strict";
import type * as http2 from "node:http2";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { AdminService, StatusService } from "../../src/rpc/gen/psp/v1/status_pb.ts";
import { curl, world } from "./status_lab.ts";

const NEEDS_TOKEN = /^This call needs the token of status\.token_file, or the agent's Unix socket$/;

/** By the client's name. */
function transports(baseUrl: string): Readonly<Record<string, Transport>> {
  const both = ["1.1", "2"] as const;
  const made: [string, Transport][] = both.flatMap((httpVersion) => [
    [`connect, JSON, ${httpVersion}`, createConnectTransport({ baseUrl, httpVersion })],
    [
      `connect, binary, ${httpVersion}`,
      createConnectTransport({ baseUrl, httpVersion, useBinaryFormat: true }),
    ],
    [`grpc-web, ${httpVersion}`, createGrpcWebTransport({ baseUrl, httpVersion })],
  ]);
  return Object.fromEntries([...made, ["grpc", createGrpcTransport({ baseUrl })]]);
}

async function refusalOf(call: () => Promise<unknown>): Promise<ConnectError> {
  try {
    await call();
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("the call was answered");
}

Deno.test("a client of any protocol is told code and sentence of its refusal", async () => {
  await using w = await world();
  for (const [name, transport] of Object.entries(transports(w.url))) {
    const status = createClient(StatusService, transport);
    const first = async () => {
      for await (const _ of status.watchSamples({})) return;
    };
    for (const call of [() => status.ping({ dst: "10.2.0.1" }), first]) {
      const { code, rawMessage } = await refusalOf(call);
      assert.equal(code, Code.Unauthenticated, name);
      assert.match(rawMessage, NEEDS_TOKEN, name);
    }
    // It is not there without status.admin.
    const unknown = await refusalOf(() => createClient(AdminService, transport).rotate({}));
    assert.deepEqual([unknown.code, unknown.rawMessage], [Code.Unimplemented, "Not found"], name);
  }
});

Deno.test("a refusal of gRPC is in trailers, where clients look that take headers for no end", async () => {
  await using w = await world();
  const session = openSession(w.url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/psp.v1.StatusService/Ping",
    "content-type": "application/grpc+proto",
  });
  stream.end(new Uint8Array(5));
  const trailers = await new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
    stream.on("trailers", resolve).on("error", reject).on(
      "close",
      () => reject(new Error("none came")),
    );
    stream.resume();
  });
  session.close();
  assert.equal(trailers["grpc-status"], String(Code.Unauthenticated));
  assert.match(decodeURIComponent(String(trailers["grpc-message"])), NEEDS_TOKEN);
});

Deno.test("a refusal is a sentence to curl, and an error in JSON where a call was meant", async () => {
  await using w = await world({ loopback: "token" });
  assert.deepEqual(await curl(`${w.url}/metrics`), {
    status: 401,
    body: "A bearer token or a client certificate is needed\n",
  });
  const asked = await curl(`${w.url}/psp.v1.StatusService/GetStatus`);
  assert.deepEqual([asked.status, JSON.parse(asked.body)], [401, {
    code: "unauthenticated",
    message: "A bearer token or a client certificate is needed",
  }]);
  await using open = await world();
  assert.deepEqual(await curl(`${open.url}/nope`), { status: 404, body: "Not found\n" });
  assert.deepEqual(await curl("-X", "POST", `${open.url}/healthz`), {
    status: 404,
    body: "Not found\n",
  });
});
