// SPDX-License-Identifier: Apache-2.0

/**
 * Promises, signals and suspended functions whose state lies open: what a core waits for can be written down and put back
 * (`heap.ts`), which those of the runtime do not allow. The core that `load.ts` copies uses these by the usual names. What
 * is due is done by `drain`, on the spot, and never in between.
 */

/** What is still pending, for whoever wants to put it back; without one, nobody keeps count. */
export interface Pending {
  readonly promises: Set<Promised<unknown>>;
  readonly signals: Set<OpenSignal>;
  readonly routines: Set<Routine>;
}

/** There is one queue for all worlds of a thread, as the runtime has one. */
const queue = {
  jobs: [] as (() => void)[],
  at: 0,
  isRunning: false,
  refused: new Set<Promised<unknown>>(),
  pending: undefined as Pending | undefined,
};

/** From now on what becomes pending is kept there; undefined: nowhere. */
export function keepPending(pending: Pending | undefined): void {
  queue.pending = pending;
}

/** Does whatever is due, and what follows from it. Throws when a promise was rejected and nobody listens. */
export function drain(): void {
  if (queue.isRunning) return;
  queue.isRunning = true;
  try {
    while (queue.at < queue.jobs.length) queue.jobs[queue.at++]?.();
  } finally {
    queue.jobs.length = 0;
    queue.at = 0;
    queue.isRunning = false;
  }
  if (queue.refused.size === 0) return;
  const [first] = queue.refused;
  queue.refused.clear();
  throw first?.value;
}

interface Reaction {
  readonly onValue: (value: unknown) => void;
  readonly onReason: (reason: unknown) => void;
}

type Executor<T> = (
  resolve: (value: T | PromiseLike<T>) => void,
  reject: (reason?: unknown) => void,
) => void;

/** A promise. Its list of reactions is replaced, never changed: whoever has written it down has it. */
export class Promised<T> implements Promise<T> {
  readonly [Symbol.toStringTag] = "Promise";
  state: "pending" | "following" | "kept" | "broken" = "pending";
  value: unknown;
  reactions: readonly Reaction[] = [];

  constructor(executor: Executor<T>) {
    queue.pending?.promises.add(this);
    try {
      executor((value) => this.#resolve(value), (reason) => {
        if (this.state === "pending") this.#settle("broken", reason);
      });
    } catch (error) {
      if (this.state === "pending") this.#settle("broken", error);
    }
  }

  static resolve<T>(value: T | PromiseLike<T>): Promised<T> {
    return value instanceof Promised ? value : new Promised((resolve) => resolve(value));
  }

  static reject(reason: unknown): Promised<never> {
    return new Promised((_, reject) => reject(reason));
  }

  static all<T>(values: Iterable<T | PromiseLike<T>>): Promised<T[]> {
    return new Promised((resolve, reject) => {
      const all = [...values];
      const end = (i: number, before: readonly T[]): void => {
        if (i === all.length) return resolve([...before]);
        // One after the other, so that what came is nowhere but in what waits for the next.
        Promised.resolve(all[i] as T).react({
          onValue: (value) => end(i + 1, [...before, value as T]),
          onReason: reject,
        });
      };
      end(0, []);
      for (const value of all) {
        Promised.resolve(value).react({ onValue: () => {}, onReason: reject });
      }
    });
  }

  static race<T>(values: Iterable<T | PromiseLike<T>>): Promised<T> {
    return new Promised((resolve, reject) => {
      for (const value of values) Promised.resolve(value).then(resolve, reject);
    });
  }

  then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onReason?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promised<A | B> {
    return new Promised((resolve, reject) => {
      const by = <V>(act: (value: V) => A | B | PromiseLike<A | B>) => (value: V) => {
        try {
          resolve(act(value));
        } catch (error) {
          reject(error);
        }
      };
      this.react({
        onValue: typeof onValue === "function" ? by(onValue as never) : resolve as never,
        onReason: typeof onReason === "function" ? by(onReason) : reject,
      });
    });
  }

  catch<B = never>(onReason?: ((reason: unknown) => B | PromiseLike<B>) | null): Promised<T | B> {
    return this.then(undefined, onReason);
  }

  finally(onEnd?: (() => void) | null): Promised<T> {
    return this.then((value) => {
      onEnd?.();
      return value;
    }, (reason) => {
      onEnd?.();
      throw reason;
    });
  }

  /** As `then`, for whoever makes no promise of what follows. */
  react(reaction: Reaction): void {
    const { state, value } = this;
    if (state === "pending" || state === "following") {
      this.reactions = [...this.reactions, reaction];
      return;
    }
    queue.refused.delete(this);
    queue.jobs.push(() => state === "kept" ? reaction.onValue(value) : reaction.onReason(value));
  }

  #resolve(value: T | PromiseLike<T>): void {
    if (this.state !== "pending") return;
    if (!(value instanceof Object) || !("then" in value)) return this.#settle("kept", value);
    if (!(value instanceof Promised)) {
      throw new TypeError("Cannot follow a promise of the runtime: nobody could put it back");
    }
    this.state = "following";
    value.react({
      onValue: (value) => this.#settle("kept", value),
      onReason: (reason) => this.#settle("broken", reason),
    });
  }

  #settle(state: "kept" | "broken", value: unknown): void {
    const { reactions } = this;
    this.state = state;
    this.value = value;
    this.reactions = [];
    queue.pending?.promises.delete(this);
    if (state === "broken" && reactions.length === 0) queue.refused.add(this);
    for (const { onValue, onReason } of reactions) {
      queue.jobs.push(() => state === "kept" ? onValue(value) : onReason(value));
    }
  }
}

// ---- signals ------------------------------------------------------------------------------------

type OnAbort = () => void;

/** As much of an `AbortSignal` as anybody here uses. */
export class OpenSignal {
  aborted = false;
  reason: unknown;
  /** Replaced, never changed. */
  listeners: readonly OnAbort[] = [];

  constructor() {
    queue.pending?.signals.add(this);
  }

  addEventListener(_type: "abort", listener: OnAbort, _options?: { readonly once: true }): void {
    if (!this.aborted) this.listeners = [...this.listeners, listener];
  }

  removeEventListener(_type: "abort", listener: OnAbort): void {
    this.listeners = this.listeners.filter((other) => other !== listener);
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  /** For its controller. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    const { listeners } = this;
    this.aborted = true;
    this.reason = reason;
    this.listeners = [];
    queue.pending?.signals.delete(this);
    for (const listener of listeners) listener();
  }
}

/** An `AbortController`. */
export class OpenController {
  readonly signal = new OpenSignal();

  abort(reason: unknown = new DOMException("aborted", "AbortError")): void {
    this.signal.abort(reason);
  }
}

// ---- suspended functions ------------------------------------------------------------------------

/**
 * What a lowered function does next, as the TypeScript compiler writes it: 2 returns, 3 jumps to a label, 4 waits,
 * 7 has done what was to be done at the end of a region.
 */
type Order = readonly [kind: number, value?: unknown];
/** A `try`: where it begins, its `catch`, its `finally`, and what comes after it. */
type Region = readonly [
  from: number,
  caught: number | undefined,
  last: number | undefined,
  to: number,
];

/** How a wait ended, or a function is to go on. */
type Outcome =
  | { readonly kind: "jump"; readonly to: number }
  | { readonly kind: "return" | "throw"; readonly value: unknown };

/** The local variables of a lowered function. */
export interface Locals {
  read(): readonly unknown[];
  write(values: readonly unknown[]): void;
}

/** An `async` function at the point at which it waits: a label, the regions that it is in, and its local variables. */
export class Routine {
  label = 0;
  /** The compiler's code adds to it. */
  trys: Region[] = [];
  /** What goes on after each `finally` that is being done. */
  pending: Outcome[] = [];
  #came: Outcome = { kind: "return", value: undefined };
  readonly end: { resolve(value: unknown): void; reject(reason: unknown): void };

  constructor(
    readonly body: (routine: Routine) => Order,
    readonly locals: Locals,
    end: Routine["end"],
  ) {
    this.end = end;
    queue.pending?.routines.add(this);
  }

  /** What the last wait brought. */
  sent(): unknown {
    if (this.#came.kind === "throw") throw this.#came.value;
    return this.#came.kind === "return" ? this.#came.value : undefined;
  }

  /** Goes on with what came, until it waits again or ends. */
  run(came: Outcome): void {
    this.#came = came;
    // What was thrown into it is thrown where it waits: by `sent`.
    let thrown = came.kind === "throw" ? this.#leave(came) : true;
    while (thrown) {
      let order: Order;
      try {
        order = this.body(this);
      } catch (error) {
        thrown = this.#leave({ kind: "throw", value: error });
        continue;
      }
      const [kind, value] = order;
      switch (kind) {
        case 2:
          thrown = this.#leave({ kind: "return", value });
          break;
        case 3:
          thrown = this.#leave({ kind: "jump", to: value as number });
          break;
        case 4:
          this.label++;
          Promised.resolve(value).react({
            onValue: (value) => this.run({ kind: "return", value }),
            onReason: (reason) => this.run({ kind: "throw", value: reason }),
          });
          return;
        case 7: {
          const after = this.pending.pop();
          this.trys.pop();
          thrown = this.#leave(after ?? { kind: "return", value: undefined });
          break;
        }
        default:
          throw new RangeError(`Cannot carry out order ${kind} of a lowered function`);
      }
    }
  }

  /** Goes where an outcome leads, through the regions that it leaves. False: out of the function. */
  #leave(outcome: Outcome): boolean {
    for (let region = this.trys.at(-1); region !== undefined; region = this.trys.at(-1)) {
      const [from, caught, last, to] = region;
      if (outcome.kind === "jump" && outcome.to > from && outcome.to < to) break;
      if (outcome.kind === "throw" && caught !== undefined && this.label < caught) {
        this.#came = { kind: "return", value: outcome.value };
        this.label = caught;
        return true;
      }
      if (last !== undefined && this.label < last) {
        this.pending.push(outcome);
        this.label = last;
        return true;
      }
      if (last !== undefined) this.pending.pop();
      this.trys.pop();
    }
    if (outcome.kind === "jump") {
      this.label = outcome.to;
      return true;
    }
    queue.pending?.routines.delete(this);
    if (outcome.kind === "return") this.end.resolve(outcome.value);
    else this.end.reject(outcome.value);
    return false;
  }
}

/** Runs a lowered function until it waits: `lower.ts` puts calls of it where the compiler has its own helpers. */
export function routine(
  that: unknown,
  { args, begin }: {
    readonly args: ArrayLike<unknown> | undefined;
    readonly begin: (...args: unknown[]) => { body: (routine: Routine) => Order; locals: Locals };
  },
): Promised<unknown> {
  return new Promised((resolve, reject) => {
    const { body, locals } = begin.apply(that, Array.from(args ?? []));
    new Routine(body, locals, { resolve, reject }).run({ kind: "return", value: undefined });
  });
}

/** A loop of a lowered function, and how far it has come. */
export class Walk {
  at = 0;

  constructor(readonly items: readonly unknown[]) {}

  next(): { readonly value: unknown; readonly done: boolean } {
    const done = this.at >= this.items.length;
    return { value: this.items[this.at++], done };
  }
}
