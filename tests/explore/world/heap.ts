// SPDX-License-Identifier: Apache-2.0

/**
 * The state of a world as a value: everything that can change, written down and put back in place. Objects stay the same
 * objects, so whatever refers to one goes on referring to it; functions are never copied, for what they hold on to is
 * either constant or written down here as well. What cannot be written down is refused, loudly.
 */
import { Key } from "../../../ffi/key.ts";
import {
  keepPending,
  OpenController,
  OpenSignal,
  type Pending,
  Promised,
  Routine,
} from "./promise.ts";

/** What a world was at a moment: its objects and, for each of them, what it held. */
export interface Saved {
  readonly objects: readonly object[];
  readonly held: readonly (readonly unknown[])[];
}

/** Powers, settings and names: they do not change. */
const CONSTANT: ReadonlySet<string> = new Set(
  "_options options _o _canon _context config modules bounds defaults powers _powers handler".split(
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

/** Objects that are remembered at most: most of them are gone by then. */
const REMEMBERED = 20_000;

/** Writes a world down and puts it back. */
export class Heap {
  readonly #root: object;
  readonly #pending: Pending;
  /** What each object held when it was written down last: what did not change since is shared. */
  readonly #last = new Map<object, readonly unknown[]>();
  /** Fields of the objects of a class. */
  readonly #fields = new Map<object, readonly string[]>();

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
    const objects: object[] = [this.#root];
    const seen = new Set<object>(objects);
    const held: (readonly unknown[])[] = [];
    const meet = (value: unknown): void => {
      if (typeof value !== "object" || value === null || seen.has(value)) return;
      seen.add(value);
      objects.push(value);
    };
    const { promises, signals, routines } = this.#pending;
    [promises, signals, routines].forEach(meet);
    // What is met on the way is gone through as well.
    for (let i = 0; i < objects.length; i++) {
      const object = objects[i] as object;
      const now = this.#read(object, meet);
      const then = this.#last.get(object);
      if (then !== undefined && isSame(then, now)) held.push(then);
      else {
        held.push(now);
        this.#last.set(object, now);
      }
    }
    return { objects, held };
  }

  /** Everything as it was. */
  restore({ objects, held }: Saved): void {
    keepPending(this.#pending);
    for (let i = 0; i < objects.length; i++) {
      this.#write(objects[i] as object, held[i] as readonly unknown[]);
    }
  }

  #read(object: object, meet: (value: unknown) => void): readonly unknown[] {
    if (Array.isArray(object)) {
      object.forEach(meet);
      return object.slice();
    }
    if (object instanceof Map) {
      const all: unknown[] = [];
      for (const [key, value] of object) {
        all.push(key, value);
        meet(key);
        meet(value);
      }
      return all;
    }
    if (object instanceof Set) {
      const all = [...object];
      all.forEach(meet);
      return all;
    }
    if (object instanceof Key) {
      const bytes = object.reveal();
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      return [view.getUint32(0), view.getUint32(4)];
    }
    if (object instanceof Promised) return [object.state, object.value, object.reactions];
    if (object instanceof OpenSignal) return [object.aborted, object.reason, object.listeners];
    if (object instanceof Routine) {
      const values = object.locals.read();
      values.forEach(meet);
      return [object.label, object.trys.slice(), object.pending.slice(), values];
    }
    if (object instanceof OpenController || object instanceof Error) return [];
    if (object instanceof Promise) {
      throw new TypeError("Cannot write down a promise of the runtime");
    }
    if (isNumbers(object)) return [...object];
    const names = this.#fieldsOf(object);
    const all: unknown[] = new Array(names.length);
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const value = (object as Record<string, unknown>)[name];
      all[i] = value;
      if (typeof value === "object" && !CONSTANT.has(name) && !isValue(name, value)) meet(value);
    }
    return all;
  }

  #write(object: object, held: readonly unknown[]): void {
    if (Array.isArray(object)) {
      object.length = held.length;
      for (let i = 0; i < held.length; i++) object[i] = held[i];
    } else if (object instanceof Map) {
      if (isSameMap(object, held)) return;
      object.clear();
      for (let i = 0; i < held.length; i += 2) object.set(held[i], held[i + 1]);
    } else if (object instanceof Set) {
      if (isSameSet(object, held)) return;
      object.clear();
      for (const value of held) object.add(value);
    } else if (object instanceof Key) {
      const bytes = object.reveal();
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      view.setUint32(0, held[0] as number);
      view.setUint32(4, held[1] as number);
    } else if (object instanceof Promised) {
      object.state = held[0] as typeof object.state;
      object.value = held[1];
      object.reactions = held[2] as typeof object.reactions;
    } else if (object instanceof OpenSignal) {
      object.aborted = held[0] as boolean;
      object.reason = held[1];
      object.listeners = held[2] as typeof object.listeners;
    } else if (object instanceof Routine) {
      object.label = held[0] as number;
      object.trys = (held[1] as typeof object.trys).slice();
      object.pending = (held[2] as typeof object.pending).slice();
      object.locals.write(held[3] as readonly unknown[]);
    } else if (isNumbers(object)) {
      object.set(held as readonly number[]);
    } else if (held.length > 0) {
      const names = this.#fieldsOf(object);
      for (let i = 0; i < names.length; i++) {
        const name = names[i] as string;
        if ((object as Record<string, unknown>)[name] !== held[i]) {
          (object as Record<string, unknown>)[name] = held[i];
        }
      }
    }
  }

  /** Fields that may change. Those of a class are the same for all of its objects. */
  #fieldsOf(object: object): readonly string[] {
    const prototype = Object.getPrototypeOf(object);
    if (prototype === Object.prototype || prototype === null) return Object.keys(object);
    let fields = this.#fields.get(prototype);
    if (fields === undefined) {
      if (object instanceof Iterator) {
        throw new TypeError(
          `Cannot write down an iterator: ${Object.prototype.toString.call(object)}`,
        );
      }
      this.#fields.set(prototype, fields = Object.keys(object));
    }
    return fields;
  }
}

/** Their length never changes: whoever needs more makes others. */
function isNumbers(object: object): object is Int32Array | Uint32Array | Float64Array {
  return object instanceof Int32Array || object instanceof Uint32Array ||
    object instanceof Float64Array;
}

function isValue(name: string, value: object | null): boolean {
  return VALUE.has(name) && !(value instanceof Map || value instanceof Set);
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isSameMap(map: ReadonlyMap<unknown, unknown>, held: readonly unknown[]): boolean {
  if (2 * map.size !== held.length) return false;
  let i = 0;
  for (const [key, value] of map) {
    if (held[i++] !== key || held[i++] !== value) return false;
  }
  return true;
}

function isSameSet(set: ReadonlySet<unknown>, held: readonly unknown[]): boolean {
  if (set.size !== held.length) return false;
  let i = 0;
  for (const value of set) if (held[i++] !== value) return false;
  return true;
}
