// SPDX-License-Identifier: Apache-2.0

/**
 * The state of a world as a value: everything that can change, written down and put back in place. Objects stay the same
 * objects, so whatever refers to one goes on referring to it; functions are never copied, for what they hold on to is
 * either constant or written down here as well. What cannot be written down is refused, loudly.
 */
import { Key } from "../../ffi/key.ts";
import { keepPending, OpenSignal, type Pending, Promised, Routine } from "./promise.ts";

/** What an object held, and which of that may change in its turn. */
interface Held {
  readonly values: readonly unknown[];
  readonly parts: readonly object[];
  /** Undefined: not by fields. An object keeps the fields that it was made with. */
  readonly shape: Shape | undefined;
}

/** What a world was at a moment: its objects and what each of them held. */
export interface Saved {
  readonly objects: readonly object[];
  readonly held: readonly Held[];
}

/** How the objects of a class, or those with the same fields, are read and written. */
interface Shape {
  readonly read: (object: object) => readonly unknown[];
  readonly isSame: (object: object, values: readonly unknown[]) => boolean;
  readonly write: (object: object, values: readonly unknown[]) => void;
  /** Places of fields whose values do not change ... */
  readonly constant: ReadonlySet<number>;
  /** ... unless they are maps or sets. */
  readonly value: ReadonlySet<number>;
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
  /** What each object held when it was written down last: what did not change since is shared. */
  readonly #last = new Map<object, Held>();
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
    if (this.#last.size > REMEMBERED) this.#last.clear();
    const { promises, signals, routines } = this.#pending;
    const objects: object[] = [this.#root, promises, signals, routines];
    const seen = new Set<object>(objects);
    const held: Held[] = [];
    // What is met on the way is gone through as well.
    for (let i = 0; i < objects.length; i++) {
      const object = objects[i] as object;
      let now = this.#last.get(object);
      if (now === undefined || !this.#isSame(object, now)) {
        now = this.#read(object);
        this.#last.set(object, now);
      }
      held.push(now);
      for (const part of now.parts) {
        if (seen.has(part)) continue;
        seen.add(part);
        objects.push(part);
      }
    }
    return { objects, held };
  }

  /** Everything as it was. */
  restore({ objects, held }: Saved): void {
    keepPending(this.#pending);
    for (let i = 0; i < objects.length; i++) {
      const [object, before] = [objects[i] as object, held[i] as Held];
      if (!this.#isSame(object, before)) this.#write(object, before);
    }
  }

  #read(object: object): Held {
    if (Array.isArray(object)) return heldOf(object.slice());
    if (object instanceof Map) return heldOf([...object].flat());
    if (object instanceof Set) return heldOf([...object]);
    if (object instanceof Key) {
      return { values: Array.from(wordsOf(object)), parts: [], shape: undefined };
    }
    if (object instanceof Routine) {
      const variables = object.locals.read();
      const { label, trys, pending } = object;
      const values = [label, trys.length, ...trys, pending.length, ...pending, ...variables];
      return { values, parts: variables.filter(isObject), shape: undefined };
    }
    if (ArrayBuffer.isView(object)) {
      return { values: Array.from(object as Rows), parts: [], shape: undefined };
    }
    const shape = this.#shapeOf(object);
    const { read, constant, value } = shape;
    const values = read(object);
    if (object instanceof Promised || object instanceof OpenSignal) {
      return { values, parts: [], shape };
    }
    const isPart = (part: unknown, i: number) =>
      isObject(part) && !constant.has(i) &&
      (!value.has(i) || part instanceof Map || part instanceof Set);
    return { values, parts: values.filter(isPart) as object[], shape };
  }

  #isSame(object: object, { values, shape }: Held): boolean {
    if (shape !== undefined) return shape.isSame(object, values);
    if (Array.isArray(object)) return isSame(object, values);
    if (object instanceof Map) return isSameMap(object, values);
    if (object instanceof Set) return isSameSet(object, values);
    if (object instanceof Key) {
      return isSame(wordsOf(object), values);
    }
    if (object instanceof Routine) return false;
    if (ArrayBuffer.isView(object)) return isSame(object as Rows, values);
    return false;
  }

  #write(object: object, { values, shape }: Held): void {
    if (shape !== undefined) return shape.write(object, values);
    if (Array.isArray(object)) {
      object.length = values.length;
      for (let i = 0; i < values.length; i++) object[i] = values[i];
    } else if (object instanceof Map) {
      object.clear();
      for (let i = 0; i < values.length; i += 2) object.set(values[i], values[i + 1]);
    } else if (object instanceof Set) {
      object.clear();
      for (const value of values) object.add(value);
    } else if (object instanceof Key) {
      wordsOf(object).set(values as readonly number[]);
    } else if (object instanceof Routine) {
      const [label, n] = values as readonly number[];
      const pendingAt = 2 + (n ?? 0);
      const localsAt = pendingAt + 1 + (values[pendingAt] as number);
      object.label = label ?? 0;
      object.trys = values.slice(2, pendingAt) as typeof object.trys;
      object.pending = values.slice(pendingAt + 1, localsAt) as typeof object.pending;
      object.locals.write(values.slice(localsAt));
    } else (object as Rows).set(values as readonly number[]);
  }

  #shapeOf(object: object): Shape {
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
      this.#shapes.set(prototype, shape = shapeOf(fieldsOf(object)));
    }
    return shape;
  }
}

/** Fields of the objects of a class. Of promises and signals those that change: their lists are replaced as a whole. */
function fieldsOf(object: object): readonly string[] {
  if (object instanceof Promised) return ["state", "value", "reactions"];
  if (object instanceof OpenSignal) return ["aborted", "reason", "listeners"];
  return Object.keys(object);
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
    constant: placesIn(names, CONSTANT),
    value: placesIn(names, VALUE),
  };
}

function placesIn(names: readonly string[], some: ReadonlySet<string>): ReadonlySet<number> {
  return new Set(names.flatMap((name, i) => some.has(name) ? [i] : []));
}

function heldOf(values: readonly unknown[]): Held {
  return { values, parts: values.filter(isObject), shape: undefined };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
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
  let i = 0;
  for (const [key, value] of map) {
    if (values[i++] !== key || values[i++] !== value) return false;
  }
  return true;
}

function isSameSet(set: ReadonlySet<unknown>, values: readonly unknown[]): boolean {
  if (set.size !== values.length) return false;
  let i = 0;
  for (const value of set) if (values[i++] !== value) return false;
  return true;
}
