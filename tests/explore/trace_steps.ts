// SPDX-License-Identifier: Apache-2.0

/**
 * The steps that one process tells of asking peers, of answering them and of its master key, held against the machines
 * and against each other: what happens to a tunnel has its place in an exchange, and a request keeps its id.
 */
import { GONE_MS } from "../../src/core/limits.ts";
import { ANSWERING } from "./machines/answering.ts";
import { ASKING } from "./machines/asking.ts";
import { nameOf, transitionsOf } from "./machines/machine.ts";
import { ROTATION } from "./machines/rotation.ts";
import { TUNNEL } from "./machines/tunnel.ts";

/** A process that says nothing for so long may be dead: nothing is held against it. */
export const SURE_MS = 1000;

/** What each machine can do. */
export interface Allowed {
  readonly tunnel: ReadonlySet<string>;
  readonly asking: ReadonlySet<string>;
  readonly answering: ReadonlySet<string>;
  readonly rotation: ReadonlySet<string>;
}

let asked: Allowed | undefined;

/** Asks the machines of src/core for it, once. */
export function allowed(): Allowed {
  return asked ??= {
    tunnel: new Set(transitionsOf(TUNNEL).map(nameOf)),
    asking: new Set(transitionsOf(ASKING).map(nameOf)),
    answering: new Set(transitionsOf(ANSWERING).map(nameOf)),
    rotation: new Set(transitionsOf(ROTATION).map(nameOf)),
  };
}

/** A step as a log tells it; what a machine has nothing of is undefined. */
export interface Step {
  readonly kind: unknown;
  readonly state: unknown;
  readonly requestId?: unknown;
  readonly attempt?: unknown;
  readonly rotations?: unknown;
}

/** Where asking stands. */
interface Line {
  state: string;
  /** The last event that concerned the whole request. */
  event: string;
  requestId: unknown;
  attempt: number;
}

/** Events of a tunnel that only an exchange brings about, and the events of asking that they may follow. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  offered: ["admitted", "heard"],
  offered_again: ["admitted"],
  answered: ["heard"],
  refused: ["admitted", "heard"],
  unanswered: ["heard", "blamed"],
  withdrawn: ["heard", "blamed"],
};
/** They concern one tunnel, or what nobody answered: asking goes on as if they had not been. */
const BESIDE: ReadonlySet<string> = new Set(["unmade", "unused", "checked", "forgotten"]);

/** How one peer is asked. */
export class AskingSteps {
  /** More than one where the peer was forgotten while it was asked: whoever comes again is asked anew. */
  #lines: Line[] = [idle()];
  /** Requests that nobody answered. */
  readonly #unanswered = new Set<unknown>();
  readonly #ids = new Set<unknown>();
  /** Requests whose answer came, and when. */
  readonly replied: { readonly requestId: unknown; readonly atMs: number }[] = [];
  #failingSince: number | undefined;

  constructor(
    readonly options: {
      readonly allowed: ReadonlySet<string>;
      readonly refuse: (what: string) => void;
    },
  ) {}

  take(atMs: number, { kind, state, requestId, attempt }: Step): void {
    const [event, to] = [String(kind), String(state)];
    const { allowed, refuse } = this.options;
    const fits = this.#lines.filter((line) =>
      allowed.has(nameOf({ from: line.state, event, to })) &&
      (event === "admitted" && line.state === "queueing" || line.requestId === undefined ||
        requestId === undefined || line.requestId === requestId)
    );
    const [line] = fits;
    if (line === undefined) {
      const from = this.#lines.map(({ state }) => state).join(" or ");
      refuse(`no such step of asking: ${from} ${event} ${to}`);
      this.#lines = [{ state: to, event, requestId, attempt: Number(attempt ?? 0) }];
      return;
    }
    this.#request(line, { event, to, requestId, attempt });
    if (event === "replied") this.replied.push({ requestId, atMs });
    if (event === "blamed") this.#failingSince ??= atMs;
    if (event === "heard" && to !== "failing") this.#failingSince = undefined;
    if (to === "failing") this.#unanswered.add(requestId);
    line.state = to;
    if (!BESIDE.has(event)) line.event = event;
    if (event === "forgotten") this.#lines.push(idle());
    // One that is over and one that is new are the same.
    const [first, ...more] = this.#lines.filter(({ state }) => state === "idle");
    if (more.length > 0) this.#lines = this.#lines.filter((l) => l === first || l.state !== "idle");
  }

  /** Whether this may happen to a tunnel of the peer at this moment. */
  allows(event: string): boolean {
    const after = FOLLOWS[event];
    if (after === undefined) return true;
    return this.#lines.some((line) =>
      after.includes(line.event) && (event !== "offered" || line.state === "offering")
    );
  }

  /** Whether nobody may have answered for so long that a rotation need not wait for the peer. */
  isGone(atMs: number): boolean {
    return this.#failingSince !== undefined && atMs - this.#failingSince >= GONE_MS;
  }

  /** Each request has its own id, in every try, and is asked again only where nobody answered it. */
  #request(
    line: Line,
    { event, to, requestId, attempt }: Pick<Step, "requestId" | "attempt"> & {
      readonly event: string;
      readonly to: string;
    },
  ): void {
    const { refuse } = this.options;
    if (requestId === undefined) {
      line.requestId = undefined;
      line.attempt = 0;
      return;
    }
    const n = Number(attempt);
    if (event === "offered") {
      if (this.#ids.has(requestId)) refuse(`a new request has the id ${requestId} of another`);
      if (n !== 1) refuse(`a request begins with try ${n}`);
    } else if (event === "admitted" && line.state === "queueing") {
      const isAgain = this.#unanswered.has(requestId);
      if (!isAgain) refuse(`request ${requestId} is asked again, and did not fail`);
      if (n !== 1) refuse(`a request begins with try ${n}`);
    } else if (n < line.attempt || n > line.attempt + 1 || (n > line.attempt && to !== "resting")) {
      refuse(`try ${line.attempt} is followed by try ${n}`);
    }
    this.#ids.add(requestId);
    line.requestId = requestId;
    line.attempt = n;
  }
}

function idle(): Line {
  return { state: "idle", event: "", requestId: undefined, attempt: 0 };
}

/** How one peer is answered. */
export class AnsweringSteps {
  #state = "new";
  readonly #granted = new Set<unknown>();
  /** Requests that got an answer, and when. */
  readonly answered: { readonly requestId: unknown; readonly atMs: number }[] = [];

  constructor(
    readonly options: {
      readonly allowed: ReadonlySet<string>;
      readonly refuse: (what: string) => void;
    },
  ) {}

  take(atMs: number, { kind, state, requestId }: Step): void {
    const [event, to] = [String(kind), String(state)];
    // Whatever became of the one before: the next request begins anew.
    const from = event === "asked" ? "new" : this.#state;
    const { allowed, refuse } = this.options;
    if (!allowed.has(nameOf({ from, event, to }))) {
      refuse(`no such step of answering: ${from} ${event} ${to}`);
    }
    this.#state = to;
    if (to !== "over") return;
    if (event === "granted") {
      if (this.#granted.has(requestId)) refuse(`request ${requestId} is granted twice`);
      this.#granted.add(requestId);
    }
    this.answered.push({ requestId, atMs });
  }

  /** The host does not remember what it answered. */
  forget(): void {
    this.#granted.clear();
  }

  /** Whether this may happen to a tunnel of the peer at this moment. */
  allows(event: string): boolean {
    return event !== "asked" || this.#state === "granting";
  }
}

/** How the master key is kept. */
export class RotationSteps {
  #state = "resting";
  #event = "";
  #generation: number | undefined;
  /** The plane rotates by this host's wish, and the keeper has not said so yet. */
  #isRotating = false;
  /** Tunnels that this host's own rotation came to; undefined: somebody else's, or it was looked at. */
  #moved: Set<string> | undefined;
  /** When it had come to all tunnels, as the keeper says. */
  #overAt: number | undefined;

  constructor(
    readonly options: {
      readonly allowed: ReadonlySet<string>;
      readonly refuse: (what: string) => void;
      /** Live tunnels that receive only with SAs of a key before. */
      readonly behind: () => readonly string[];
    },
  ) {}

  take(atMs: number, { kind, state, rotations }: Step): void {
    const [event, to, generation] = [String(kind), String(state), Number(rotations)];
    const { allowed, refuse } = this.options;
    if (!allowed.has(nameOf({ from: this.#state, event, to }))) {
      refuse(`no such step of a rotation: ${this.#state} ${event} ${to}`);
    }
    if (event === "rotated") this.#look();
    const before = this.#generation;
    if (event === "rotated") {
      const isNext = before === undefined || generation === before + 1;
      if (this.#isRotating && !isNext) refuse(`rotation ${generation} follows ${before}`);
      this.#moved = this.#isRotating ? new Set() : undefined;
      this.#overAt = undefined;
      this.#isRotating = false;
    } else if (before !== undefined && generation !== before) {
      refuse(`the keeper is at rotation ${generation} after ${before}, and tells of none`);
    }
    if (this.#state === "sweeping" && to !== "sweeping") this.#overAt = atMs;
    this.#generation = generation;
    this.#state = to;
    this.#event = event;
  }

  /** Time passes: what the keeper did in its last step is told by then. */
  passes(atMs: number): void {
    if (this.#overAt !== undefined && atMs >= this.#overAt + SURE_MS) this.#look();
  }

  /** The plane has rotated by this host's wish. */
  rotates(): void {
    if (this.#event !== "tick" && this.#event !== "commanded") {
      this.options.refuse(`a rotation that was not due, and that nobody wanted`);
    }
    this.#isRotating = true;
  }

  /** A tunnel is to leave the key before. */
  moves(pair: string): void {
    this.#moved?.add(pair);
  }

  /** Once a rotation has come to all tunnels, it has come to each. */
  #look(): void {
    const moved = this.#moved;
    if (this.#overAt === undefined || moved === undefined) return;
    this.#moved = undefined;
    for (const pair of this.options.behind()) {
      if (!moved.has(pair)) this.options.refuse(`a rotation did not come to ${pair}`);
    }
  }
}
