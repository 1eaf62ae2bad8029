// SPDX-License-Identifier: Apache-2.0

/**
 * What a pure machine of src/core can do, by asking it everything: from where it begins on, every event in every state that
 * differs in what matters. It is what traces are held against, and what docs/protocol.md draws.
 */

/** One step as traces tell it. */
export interface Transition {
  readonly from: string;
  readonly event: string;
  readonly to: string;
}

/** A machine that can be asked. A place is a state, and whatever else its next step depends on. */
export interface Machine<P> {
  readonly first: P;
  readonly kindOf: (place: P) => string;
  /** What of a place matters, whatever its numbers are: of two places with the same one is gone on from. */
  readonly shapeOf: (place: P) => string;
  /** Every step that may be taken there. */
  readonly next: (place: P) => Iterable<{ readonly event: string; readonly to: P }>;
  /** Places that are gone on from at most. */
  readonly most: number;
}

/** Every transition there is, sorted. */
export function transitionsOf<P>(machine: Machine<P>): readonly Transition[] {
  const { first, kindOf, shapeOf, next, most } = machine;
  const found = new Map<string, Transition>();
  const seen = new Set<string>([shapeOf(first)]);
  const queue: P[] = [first];
  // What is put in on the way is gone through as well.
  for (const place of queue) {
    for (const { event, to } of next(place)) {
      const transition = { from: kindOf(place), event, to: kindOf(to) };
      found.set(nameOf(transition), transition);
      const shape = shapeOf(to);
      if (seen.has(shape) || seen.size >= most) continue;
      seen.add(shape);
      queue.push(to);
    }
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : 1).map(([, transition]) => transition);
}

/** As a set of transitions has it. */
export function nameOf({ from, event, to }: Transition): string {
  return `${from} ${event} ${to}`;
}

/** Transitions as a Mermaid diagram: what changes the state, by what does it. */
export function diagramOf(first: string, transitions: readonly Transition[]): string {
  const byWay = new Map<string, string[]>();
  for (const { from, event, to } of transitions) {
    if (from === to) continue;
    const way = `    ${from} --> ${to}`;
    byWay.set(way, [...byWay.get(way) ?? [], event]);
  }
  const lines = [...byWay].map(([way, events]) => `${way}: ${events.join(", ")}`);
  return ["stateDiagram-v2", `    [*] --> ${first}`, ...lines].join("\n");
}
