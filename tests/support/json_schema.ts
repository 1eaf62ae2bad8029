// SPDX-License-Identifier: Apache-2.0

/**
 * Judges a value by a schema as src/rpc/json_schema.ts makes them. Stricter than JSON Schema in one thing: a property
 * that is not among those of an object is wrong, for that is what tests look for.
 */
type Schema = Readonly<Record<string, unknown>>;

/** What is wrong, each with its path; empty: nothing. */
export function judge(
  value: unknown,
  schema: Schema,
  { defs, path = "$" }: {
    readonly defs: Readonly<Record<string, Schema>>;
    readonly path?: string;
  },
): string[] {
  const { $ref, anyOf, type, properties, additionalProperties, items } = schema;
  const { enum: values, pattern, minimum, maximum, format } = schema;
  const on = (part: unknown, inner: unknown, at: string) =>
    judge(part, inner as Schema, { defs, path: `${path}${at}` });
  if (typeof $ref === "string") {
    const found = defs[$ref.replace("#/$defs/", "")];
    return found === undefined ? [`${path}: no definition ${$ref}`] : on(value, found, "");
  }
  if (Array.isArray(anyOf)) {
    const best = anyOf.map((one) => on(value, one, ""));
    return best.some((wrong) => wrong.length === 0) ? [] : best.flat();
  }
  if (Array.isArray(values)) return values.includes(value) ? [] : [`${path}: ${value}`];
  const known: Record<string, boolean> = {
    object: typeof value === "object" && value !== null && !Array.isArray(value),
    array: Array.isArray(value),
    string: typeof value === "string",
    number: typeof value === "number",
    integer: Number.isInteger(value),
    boolean: typeof value === "boolean",
  };
  if (typeof type !== "string" || known[type] !== true) {
    return [`${path}: ${JSON.stringify(value)} is no ${type}`];
  }
  if (Array.isArray(value)) return value.flatMap((one, i) => on(one, items, `[${i}]`));
  if (typeof value === "number") {
    const within = (minimum === undefined || value >= Number(minimum)) &&
      (maximum === undefined || value <= Number(maximum));
    return within ? [] : [`${path}: ${value} is out of range`];
  }
  if (typeof value === "string") {
    const fits = (pattern === undefined || new RegExp(String(pattern)).test(value)) &&
      (format !== "date-time" || !Number.isNaN(Date.parse(value)));
    return fits ? [] : [`${path}: ${value}`];
  }
  if (typeof value !== "object" || value === null) return [];
  if (properties === undefined) {
    return Object.entries(value).flatMap(([key, one]) => on(one, additionalProperties, `.${key}`));
  }
  const mine = properties as Readonly<Record<string, Schema>>;
  return Object.entries(value).flatMap(([key, one]) =>
    mine[key] === undefined
      ? [`${path}.${key}: is not in the schema`]
      : on(one, mine[key], `.${key}`)
  );
}
