// SPDX-License-Identifier: Apache-2.0

/**
 * The state of a world as a value: everything that can change, written down and put back in place. Objects stay the same
 * objects, so whatever refers to one goes on referring to it; functions are never copied, for what they hold on to is
 * either constant or written down here as well. What cannot be written down is refused, loudly.
 */
import { Key } from "../../ffi/key.ts";
import { keepPending, OpenSignal, type Pending, Promised, Routine } from "./promise.ts";

/** An object that was met, and what it held when it was written down last: what did not change since is shared. */
interface Thing {
  readonly object: object;
  held: Held | undefined;
  /** The number of the last time that it was written down, so that it is gone through once. */
  seenIn: number;
}

/** What an object held, and which of that may change in its turn. */
interface Held {
  readonly object: object;
  readonly values: readonly unknown[];
  readonly parts: readonly Thing[];
  readonly shape: Shape;
}

/** What a world was at a moment: what each of its objects held. */
export type Saved = readonly Held[];

/** How the objects of a class, or those with the same fields, are read, compared and written. */
interface Shape {
  readonly read: (object: object) => readonly unknown[];
  readonly isSame: (object: object, values: readonly unknown[]) => boolean;
  readonly write: (object: object, values: readonly unknown[]) => void;
  /** Of the values, those that may change in their turn; absent: none. */
  readonly partsIn?: (values: readonly unknown[]) => object[];
}

/** Powers, settings and names: they do not change. */
const CONSTANT: ReadonlySet<string> = new Set(
  "_options options _o _canon counters _context config modules bounds defaults powers _powers handler"
    .split(
      " ",
    ),
);
/**
 * Values: whoever changes one makes another. The states of the machines, SAs, messages, and what SAs are between; keys
 * in them are among those that a host has a share of.
 */
const VALUE: ReadonlySet<string> = new Set(
  "state sa pair asking request reply body packet reverse offered params after before".split(" "),
);

/** Numbers in a row: so many, whatever they are. */
type Rows = Float64Array | Int32Array | Uint32Array | Uint8Array;

/** Objects that are remembered at most: most of them are gone by then. */
const REMEMBERED = 20_000;

/** Writes a world down and puts it back. */
export class Heap {
  readonly #root: object;
  readonly #pending: Pending;
  readonly #things = new Map<object, Thing>();
  #saves = 0;
  /** Grown once: what is given away is as long as it needs to be. */
  readonly #scratch: Held[] = [];
  readonly #shapes = new Map<object | string, Shape>();

  /** `make`: builds the world; nothing that waits may come from elsewhere. */
  static of<T extends object>(make: () => T): { readonly root: T; readonly heap: Heap } {
    const pending: Pending = { promises: new Set(), signals: new Set(), routines: new Set() };
    keepPending(pending);
    const root = make();
    return { root, heap: new Heap(root, pending) };
  }

  private constructor(root: object, pending: Pending) {
    this.#root = root;
    this.#pending = pending;
  }

  /** Everything as it is. */
  save(): Saved {
    if (this.#things.size > REMEMBERED) this.#things.clear();
    const { promises, signals, routines } = this.#pending;
    const now = ++this.#saves;
    const things = [this.#root, promises, signals, routines].map((root) => this.#thing(root));
    for (const thing of things) thing.seenIn = now;
    const saved = this.#scratch;
    saved.length = 0;
    // What is met on the way is gone through as well.
    for (let i = 0; i < things.length; i++) {
      const thing = things[i] as Thing;
      const { object } = thing;
      let { held } = thing;
      if (held === undefined || !held.shape.isSame(object, held.values)) {
        thing.held = held = this.#read(object);
      }
      saved.push(held);
      for (const part of held.parts) {
        if (part.seenIn === now) continue;
        part.seenIn = now;
        things.push(part);
      }
    }
    return saved.slice();
  }

  /** Everything as it was. */
  restore(saved: Saved): void {
    keepPending(this.#pending);
    for (const { object, values, shape } of saved) {
      if (!shape.isSame(object, values)) shape.write(object, values);
    }
  }

  #thing(object: object): Thing {
    let thing = this.#things.get(object);
    if (thing === undefined) {
      this.#things.set(object, thing = { object, held: undefined, seenIn: 0 });
    }
    return thing;
  }

  #read(object: object): Held {
    const shape = this.#shapeOf(object);
    const values = shape.read(object);
    const parts = shape.partsIn?.(values) ?? NONE;
    return {
      object,
      values: values.length > 0 ? values : NONE,
      parts: parts.length > 0 ? parts.map((part) => this.#thing(part)) : NONE,
      shape,
    };
  }

  #shapeOf(object: object): Shape {
    if (Array.isArray(object)) return ARRAY;
    if (object instanceof Map) return MAP;
    if (object instanceof Set) return SET;
    if (object instanceof Key) return KEY;
    if (object instanceof Routine) return ROUTINE;
    if (ArrayBuffer.isView(object)) return ROWS;
    const prototype = Object.getPrototypeOf(object);
    if (prototype === Object.prototype || prototype === null) {
      const names = Object.keys(object);
      const key = names.join();
      let shape = this.#shapes.get(key);
      if (shape === undefined) this.#shapes.set(key, shape = shapeOf(names));
      return shape;
    }
    let shape = this.#shapes.get(prototype);
    if (shape === undefined) {
      // What the runtime makes has more than its fields, and nobody sees private ones.
      const text = Function.prototype.toString.call(prototype.constructor);
      if (/\[native code\]|^\s*#\w+\s*[=;]/m.test(text)) {
        const name = object.constructor.name || Object.prototype.toString.call(object);
        throw new TypeError(`Cannot write down a thing of class "${name}"`);
      }
      this.#shapes.set(prototype, shape = shapeOfClass(object));
    }
    return shape;
  }
}

/** Of promises and signals those fields that change: their lists are replaced as a whole. */
function shapeOfClass(object: object): Shape {
  if (object instanceof Promised) return withoutParts(shapeOf(["state", "value", "reactions"]));
  if (object instanceof OpenSignal) {
    return withoutParts(shapeOf(["aborted", "reason", "listeners"]));
  }
  return shapeOf(Object.keys(object));
}

function withoutParts({ read, isSame, write }: Shape): Shape {
  return { read, isSame, write };
}

/** Code for each shape, so that nothing is looked up by name. */
function shapeOf(names: readonly string[]): Shape {
  const fields = names.map((name) => `object[${JSON.stringify(name)}]`);
  const same = fields.map((field, i) => `${field} === values[${i}]`);
  const written = fields.map((field, i) => `if (${same[i]} === false) ${field} = values[${i}];`);
  return {
    read: new Function("object", `return [${fields}];`) as Shape["read"],
    isSame: new Function("object", "values", `return ${same.join(" && ") || true};`) as Shape[
      "isSame"
    ],
    write: new Function("object", "values", written.join("\n")) as Shape["write"],
    partsIn: fieldParts(names),
  };
}

/** An object keeps the fields that it was made with: of some the values do not change. */
function fieldParts(names: readonly string[]): Required<Shape>["partsIn"] {
  const isConstant = names.map((name) => CONSTANT.has(name));
  // ... unless they are maps or sets.
  const isValue = names.map((name) => VALUE.has(name));
  return (values) =>
    values.filter((value, i): value is object =>
      isObject(value) && !isConstant[i] &&
      (!isValue[i] || value instanceof Map || value instanceof Set)
    );
}

function objectsIn(values: readonly unknown[]): object[] {
  return values.filter(isObject);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** A shape for objects of one class. */
function of<T extends object>(shape: {
  readonly read: (object: T) => readonly unknown[];
  readonly isSame: (object: T, values: readonly unknown[]) => boolean;
  readonly write: (object: T, values: readonly unknown[]) => void;
  readonly partsIn?: Shape["partsIn"];
}): Shape {
  return shape as unknown as Shape;
}

const NONE: readonly never[] = [];

const ARRAY: Shape = of<unknown[]>({
  read: (array) => array.slice(),
  isSame,
  write: (array, values) => {
    array.length = values.length;
    for (let i = 0; i < values.length; i++) array[i] = values[i];
  },
  partsIn: objectsIn,
});

const MAP: Shape = of<Map<unknown, unknown>>({
  read: (map) => [...map].flat(),
  isSame: isSameMap,
  write: (map, values) => {
    map.clear();
    for (let i = 0; i < values.length; i += 2) map.set(values[i], values[i + 1]);
  },
  partsIn: objectsIn,
});

const SET: Shape = of<Set<unknown>>({
  read: (set) => [...set],
  isSame: isSameSet,
  write: (set, values) => {
    set.clear();
    for (const value of values) set.add(value);
  },
  partsIn: objectsIn,
});

const KEY: Shape = of<Key>({
  read: (key) => Array.from(wordsOf(key)),
  isSame: (key, values) => isSame(wordsOf(key), values),
  write: (key, values) => wordsOf(key).set(values as readonly number[]),
});

const ROWS: Shape = of<Rows>({
  read: (rows) => Array.from(rows),
  isSame,
  write: (rows, values) => rows.set(values as readonly number[]),
});

const ROUTINE: Shape = of<Routine>({
  read: valuesOf,
  isSame: (routine, values) => isSame(valuesOf(routine), values),
  write: (routine, values) => {
    const { trysAt, pendingAt, localsAt } = placesIn(values);
    routine.label = values[0] as number;
    routine.trys = values.slice(trysAt, pendingAt - 1) as typeof routine.trys;
    routine.pending = values.slice(pendingAt, localsAt) as typeof routine.pending;
    routine.locals.write(values.slice(localsAt));
  },
  partsIn: (values) => objectsIn(values.slice(placesIn(values).localsAt)),
});

function valuesOf({ label, trys, pending, locals }: Routine): readonly unknown[] {
  return [label, trys.length, ...trys, pending.length, ...pending, ...locals.read()];
}

function placesIn(
  values: readonly unknown[],
): { readonly trysAt: number; readonly pendingAt: number; readonly localsAt: number } {
  const trysAt = 2;
  const pendingAt = trysAt + (values[1] as number) + 1;
  return { trysAt, pendingAt, localsAt: pendingAt + (values[pendingAt - 1] as number) };
}

function wordsOf(key: Key): Uint32Array {
  const { buffer, byteOffset, length } = key.reveal();
  return new Uint32Array(buffer, byteOffset, length / 4);
}

function isSame(a: ArrayLike<unknown>, b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isSameMap(map: ReadonlyMap<unknown, unknown>, values: readonly unknown[]): boolean {
  if (2 * map.size !== values.length) return false;
  if (values.length === 0) return true;
  let i = 0;
  for (const [key, value] of map) {
    if (values[i++] !== key || values[i++] !== value) return false;
  }
  return true;
}

function isSameSet(set: ReadonlySet<unknown>, values: readonly unknown[]): boolean {
  if (set.size !== values.length) return false;
  if (values.length === 0) return true;
  let i = 0;
  for (const value of set) if (values[i++] !== value) return false;
  return true;
}
