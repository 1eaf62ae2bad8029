// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { NotifyResponseSchema, TunnelService } from "./gen/psp/v1/tunnel_pb.ts";
import { callUnary, type H2Answer, type H2Request } from "./h2_connection.ts";

const { notify: method } = TunnelService.method;
const GOOD: H2Answer = {
  status: 200,
  fields: { ":status": "200", "content-type": "application/proto" },
  body: toBinary(NotifyResponseSchema, create(NotifyResponseSchema, { bootEpoch: 7n })),
};

/** A call over a connection that answers so; what was sent, and what it held then. */
async function call(answer: H2Answer, maxBytes = 1000) {
  const sent: { request: H2Request; body: Uint8Array }[] = [];
  const connection = {
    request: (request: H2Request) => {
      sent.push({ request, body: request.body.slice() });
      return Promise.resolve(answer);
    },
  };
  const reply = await callUnary({ connection, fields: { "x-a": "b" }, maxBytes }, {
    method,
    message: { bootEpoch: 0x0102030405060708n, draining: true },
    timeoutMs: 250,
  });
  return { reply, sent };
}

Deno.test("a call is one request in the binary format, which is wiped once it is answered", async () => {
  const { reply, sent: [one] } = await call(GOOD);
  assert.equal(reply.bootEpoch, 7n);
  assert.equal(one?.request.path, "/psp.v1.TunnelService/Notify");
  assert.deepEqual(one?.request.fields, {
    "x-a": "b",
    "content-type": "application/proto",
    "connect-protocol-version": "1",
    "connect-timeout-ms": "250",
  });
  assert.ok(one?.body.includes(8));
  assert.ok(one?.request.body.every((octet) => octet === 0));
});

Deno.test("an error of the peer has its code, its words and the headers that came with it", async () => {
  const fields = { ":status": "429", "content-type": "application/json", "x-why": "c" };
  const body = new TextEncoder().encode('{"code":"resource_exhausted","message":"too fast"}');
  await assert.rejects(call({ status: 429, fields, body }), (error) => {
    assert.ok(error instanceof ConnectError);
    assert.deepEqual([error.code, error.rawMessage], [Code.ResourceExhausted, "too fast"]);
    assert.equal(error.metadata.get("x-why"), "c");
    return true;
  });
});

Deno.test("what is no answer of an agent is refused, each for its own reason", async () => {
  const type = (value: string) => ({ ...GOOD.fields, "content-type": value });
  const cases: [H2Answer, Code, RegExp, number?][] = [
    [{ ...GOOD, status: 503, fields: type("text/html") }, Code.Unavailable, /HTTP 503/],
    [{ ...GOOD, status: 404, fields: type("application/json") }, Code.Unimplemented, /HTTP 404/],
    [{ ...GOOD, fields: type("text/html") }, Code.Unknown, /unsupported content type/],
    [{ ...GOOD, fields: type("application/json") }, Code.Internal, /unsupported content type/],
    [
      { ...GOOD, fields: { ...GOOD.fields, "content-encoding": "gzip" } },
      Code.Internal,
      /unsupported response encoding/,
    ],
    [{ ...GOOD, body: new Uint8Array([0xff]) }, Code.Internal, /parse binary/],
    [GOOD, Code.ResourceExhausted, /larger than/, 4],
  ];
  for (const [answer, code, message, maxBytes] of cases) {
    await assert.rejects(call(answer, maxBytes), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.match(error.rawMessage, message);
      assert.equal(error.code, code, error.rawMessage);
      return true;
    });
  }
  const { reply } = await call({
    ...GOOD,
    fields: { ...GOOD.fields, "content-encoding": "identity" },
  });
  assert.equal(reply.bootEpoch, 7n, "no encoding at all");
});
