// SPDX-License-Identifier: Apache-2.0

/**
 * JSON Schema (2020-12) of messages as ProtoJSON spells them. No field is required, for the API leaves out what is 0 or
 * empty; further fields may come with later versions.
 */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** A schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>;

/** Where a message stands among the definitions. */
export function refTo({ typeName }: Pick<DescMessage, "typeName">): Schema {
  return { $ref: `#/$defs/${typeName}` };
}

/** By type name: these messages, and all that they have in them. */
export function definitions(messages: readonly DescMessage[]): Readonly<Record<string, Schema>> {
  const found = new Map<string, Schema>();
  const visit = (message: DescMessage) => {
    if (found.has(message.typeName) || wellKnown(message) !== undefined) return;
    found.set(message.typeName, {});
    const properties = message.fields.map((field) => [field.jsonName, ofField(field)] as const);
    found.set(message.typeName, { type: "object", properties: Object.fromEntries(properties) });
    for (const field of message.fields) if (field.message !== undefined) visit(field.message);
  };
  messages.forEach(visit);
  return Object.fromEntries([...found].sort(([a], [b]) => a < b ? -1 : 1));
}

function ofField(field: DescField): Schema {
  switch (field.fieldKind) {
    case "scalar":
      return ofScalar(field.scalar);
    case "enum":
      return ofEnum(field.enum);
    case "message":
      return ofMessage(field.message);
    case "list":
      return { type: "array", items: ofItem(field) };
    case "map":
      return { type: "object", additionalProperties: ofItem(field) };
    default:
      return field satisfies never;
  }
}

/** What a list or a map has many of. */
function ofItem(field: Extract<DescField, { readonly fieldKind: "list" | "map" }>): Schema {
  const kind = field.fieldKind === "list" ? field.listKind : field.mapKind;
  switch (kind) {
    case "scalar":
      return ofScalar(field.scalar as ScalarType);
    case "enum":
      return ofEnum(field.enum as DescEnum);
    case "message":
      return ofMessage(field.message as DescMessage);
    default:
      return kind satisfies never;
  }
}

function ofMessage(message: DescMessage): Schema {
  return wellKnown(message) ?? refTo(message);
}

/** Messages that ProtoJSON spells in their own way. */
function wellKnown({ typeName }: DescMessage): Schema | undefined {
  return typeName === "google.protobuf.Timestamp"
    ? { type: "string", format: "date-time" }
    : undefined;
}

function ofEnum({ values }: DescEnum): Schema {
  return { type: "string", enum: values.map(({ name }) => name) };
}

function ofScalar(scalar: ScalarType): Schema {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { anyOf: [{ type: "number" }, { enum: ["Infinity", "-Infinity", "NaN"] }] };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: "integer", minimum: -(2 ** 31), maximum: 2 ** 31 - 1 };
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", minimum: 0, maximum: 2 ** 32 - 1 };
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", pattern: "^[0-9]+$" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return { type: "string", pattern: "^-?[0-9]+$" };
    default:
      return scalar satisfies never;
  }
}
