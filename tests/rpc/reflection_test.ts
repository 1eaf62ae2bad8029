// SPDX-License-Identifier: Apache-2.0

/** A client without a schema: gRPC's reflection says which calls there are, and how they are spelled. */
import assert from "node:assert/strict";
import {
  create,
  createFileRegistry,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  toJson,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/rpc/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { STATUS, world } from "./status_lab.ts";

type Request = { readonly case: string; readonly value: unknown };

/** Puts the questions in one stream, and returns the answers. */
async function ask(
  service: typeof ServerReflection | typeof ServerReflectionAlpha,
  url: string,
  questions: readonly Request[],
) {
  const client = createClient(
    service as typeof ServerReflection,
    createGrpcTransport({ baseUrl: url }),
  );
  async function* all() {
    for (const messageRequest of questions) yield { messageRequest } as never;
  }
  const answers = [];
  for await (const { messageResponse } of client.serverReflectionInfo(all())) {
    answers.push(messageResponse);
  }
  return answers;
}

const LIST = { case: "listServices", value: "" };

function symbol(value: string): Request {
  return { case: "fileContainingSymbol", value };
}

Deno.test("services are listed, those of an operator only where there are orders, in both versions", async () => {
  for (const admin of [false, true]) {
    await using w = await world({ admin });
    for (const service of [ServerReflection, ServerReflectionAlpha]) {
      const [answer] = await ask(service, w.url, [LIST]);
      assert.equal(answer?.case, "listServicesResponse");
      const names = answer.value.service.map(({ name }) => name);
      assert.deepEqual(names, [
        "psp.v1.StatusService",
        ...admin ? ["psp.v1.AdminService"] : [],
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ]);
    }
  }
});

Deno.test("a call is made with what reflection says of it, and nothing else", async () => {
  await using w = await world();
  const [answer] = await ask(ServerReflection, w.url, [symbol("psp.v1.StatusService")]);
  assert.equal(answer?.case, "fileDescriptorResponse");
  const file = answer.value.fileDescriptorProto.map((octets) =>
    fromBinary(FileDescriptorProtoSchema, octets)
  );
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.reverse() }));
  const service: DescService | undefined = registry.getService("psp.v1.StatusService");
  const method = service?.methods.find(({ name }) => name === "GetStatus") as DescMethodUnary;
  const reply = await createGrpcTransport({ baseUrl: w.url })
    .unary(method, undefined, undefined, undefined, {});
  const json = toJson(method.output, reply.message) as Record<string, unknown>;
  assert.equal(json["id"], STATUS.id);
});

Deno.test("a symbol is found by its full name, of whatever kind it is, and a file by its own", async () => {
  await using w = await world();
  const names = [
    "psp.v1.StatusService.GetStatus",
    "psp.v1.Tunnel",
    "psp.v1.Tunnel.tx",
    "psp.v1.PspVersion",
    "google.protobuf.Timestamp",
    "grpc.health.v1.HealthCheckResponse.ServingStatus",
  ];
  const answers = await ask(ServerReflection, w.url, [
    ...names.map(symbol),
    { case: "fileByFilename", value: "psp/v1/status.proto" },
  ]);
  assert.deepEqual(answers.map((one) => one.case), answers.map(() => "fileDescriptorResponse"));
  assert.equal(answers.length, names.length + 1);
});

Deno.test("what is not here is said, and the stream goes on", async () => {
  await using w = await world();
  const answers = await ask(ServerReflectionAlpha, w.url, [
    symbol("psp.v1.Nothing"),
    symbol(""),
    { case: "fileByFilename", value: "nothing.proto" },
    {
      case: "fileContainingExtension",
      value: { containingType: "psp.v1.Tunnel", extensionNumber: 1 },
    },
    { case: "allExtensionNumbersOfType", value: "psp.v1.Nothing" },
    { case: "allExtensionNumbersOfType", value: "psp.v1.Tunnel" },
    LIST,
  ]);
  const codes = answers.map((one) => one.case === "errorResponse" ? one.value.errorCode : one.case);
  assert.deepEqual(codes, [
    ...Array(5).fill(Code.NotFound),
    "allExtensionNumbersResponse",
    "listServicesResponse",
  ]);
});
