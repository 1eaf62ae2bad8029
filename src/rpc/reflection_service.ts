// SPDX-License-Identifier: Apache-2.0

/**
 * gRPC's server reflection, v1 and v1alpha: which services a listener has, and their descriptors, so that grpcurl and
 * the like need no schema. The descriptors are those that the generated code carries.
 */
import {
  create,
  createRegistry,
  type DescFile,
  type DescService,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "./gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
  ServerReflectionResponseSchema as ServerReflectionResponseAlphaSchema,
} from "./gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Places } from "./places.ts";

/** Readers at one time, and questions of one: a tool asks for each name that it meets. */
const MAX_READERS = 16;
const MAX_QUESTIONS = 10_000;

/** What is asked; both versions say it alike. */
type Question = (ServerReflectionRequest | ServerReflectionRequestAlpha)["messageRequest"];
type Answer =
  | {
    readonly case: "fileDescriptorResponse";
    readonly value: { readonly fileDescriptorProto: Uint8Array<ArrayBuffer>[] };
  }
  | {
    readonly case: "allExtensionNumbersResponse";
    readonly value: { readonly baseTypeName: string };
  }
  | {
    readonly case: "listServicesResponse";
    readonly value: { readonly service: { readonly name: string }[] };
  }
  | {
    readonly case: "errorResponse";
    readonly value: { readonly errorCode: number; readonly errorMessage: string };
  };

/** What a listener has. */
interface Known {
  readonly services: readonly DescService[];
  readonly registry: Registry;
  /** By name, such as "psp/v1/status.proto". */
  readonly files: ReadonlyMap<string, DescFile>;
}

/** For a listener that has these services, and reflection itself. */
export function reflectionRoutes(
  services: readonly DescService[],
): (router: ConnectRouter) => void {
  const all = [...services, ServerReflection, ServerReflectionAlpha];
  const own = all.flatMap(({ file }) => closure(file));
  const known: Known = {
    services: all,
    registry: createRegistry(...own),
    files: new Map(own.map((file) => [file.proto.name, file])),
  };
  const readers = new Places(MAX_READERS, `Cannot reflect: ${MAX_READERS} readers already do`);
  async function* answers<T, M extends { readonly messageRequest: Question }>(
    questions: AsyncIterable<M>,
    toProto: (question: M, answer: Answer) => T,
  ): AsyncGenerator<T> {
    using _place = readers.enter();
    let left = MAX_QUESTIONS;
    for await (const question of questions) {
      if (left-- === 0) throw new ConnectError("Too many questions", Code.ResourceExhausted);
      yield toProto(question, answer(question.messageRequest, known));
    }
  }
  return (router) => {
    router.service(ServerReflection, {
      serverReflectionInfo: (questions) =>
        answers(
          questions,
          (originalRequest, messageResponse) =>
            create(ServerReflectionResponseSchema, {
              validHost: originalRequest.host,
              originalRequest,
              messageResponse,
            }),
        ),
    });
    router.service(ServerReflectionAlpha, {
      serverReflectionInfo: (questions) =>
        answers(
          questions,
          (originalRequest, messageResponse) =>
            create(ServerReflectionResponseAlphaSchema, {
              validHost: originalRequest.host,
              originalRequest,
              messageResponse,
            }),
        ),
    });
  };
}

function answer({ case: asked, value }: Question, known: Known): Answer {
  const { registry, services } = known;
  switch (asked) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: services.map(({ typeName: name }) => ({ name })) },
      };
    case "fileByFilename":
      return filesFrom(known.files.get(value), `file ${value}`);
    case "fileContainingSymbol":
      return filesFrom(fileOf(value, registry), `symbol ${value}`);
    case "fileContainingExtension":
      return missing(`extension ${value.extensionNumber} of ${value.containingType}`);
    case "allExtensionNumbersOfType":
      // No file here has extensions, nor says what may have them.
      return registry.getMessage(value) === undefined
        ? missing(`type ${value}`)
        : { case: "allExtensionNumbersResponse", value: { baseTypeName: value } };
    case undefined:
      return {
        case: "errorResponse",
        value: { errorCode: Code.InvalidArgument, errorMessage: "Nothing is asked" },
      };
    default:
      return asked satisfies never;
  }
}

/** A symbol is a service, a message or an enum, or what one of these has. */
function fileOf(symbol: string, registry: Registry): DescFile | undefined {
  for (let name = symbol; name !== "";) {
    const found = registry.get(name);
    if (found !== undefined) return found.file;
    name = name.slice(0, Math.max(0, name.lastIndexOf(".")));
  }
  return undefined;
}

/** The file, then those that it stands on. */
function filesFrom(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return missing(what);
  const fileDescriptorProto = closure(file).map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto)
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function closure(file: DescFile, seen = new Set<DescFile>()): readonly DescFile[] {
  if (seen.has(file)) return [];
  seen.add(file);
  return [file, ...file.dependencies.flatMap((each) => closure(each, seen))];
}

function missing(what: string): Answer {
  return {
    case: "errorResponse",
    value: { errorCode: Code.NotFound, errorMessage: `There is no ${what} here` },
  };
}
