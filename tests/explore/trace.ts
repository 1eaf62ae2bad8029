// SPDX-License-Identifier: Apache-2.0

/**
 * Whether what agents did is what the protocol allows: their logs at level "debug" tell every step of every tunnel, of asking
 * and answering each peer and of the master key's keeper, and every effect on a tunnel, and no key. Each step is held against
 * its machine, each SA and each answer against what its other end did at that time.
 */
import { nameOf } from "./machines/machine.ts";
import {
  type Allowed,
  allowed,
  AnsweringSteps,
  AskingSteps,
  RotationSteps,
  type Step,
  SURE_MS,
} from "./trace_steps.ts";

/** A line of a log, as much of it as matters. */
export interface TraceLine {
  readonly atMs: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What one process said, in order. */
export interface Trace {
  /** Its id as peers know it. */
  readonly host: string;
  readonly lines: readonly TraceLine[];
}

/** What came of it. */
export interface Verdict {
  /** What the protocol does not allow. */
  readonly refusals: readonly string[];
  /** Of tunnels, of asking and answering peers, and of the master key's keeper. */
  readonly steps: number;
  readonly sas: number;
}

const TUNNEL_STEP = "A tunnel takes a step";
const ASKING_STEP = "Asking a peer takes a step";
const ANSWERING_STEP = "Answering a peer takes a step";
const ROTATION_STEP = "The master key's keeper takes a step";
const STEPS: ReadonlySet<string> = new Set([
  TUNNEL_STEP,
  ASKING_STEP,
  ANSWERING_STEP,
  ROTATION_STEP,
]);
/** A peer was heard with a new epoch. */
const RESTARTED = "A peer was started anew: its SAs are void";

/** Lines that a verdict goes by. */
const TOLD: ReadonlySet<unknown> = new Set([
  ...STEPS,
  "Receiving: the SA is in INGR_ACL",
  "Sending: the SA is in EGR_ACL",
  "Held packets are resubmitted",
  "The receive SA is retired",
  "The transmit SA is removed",
  "The transmit SA has expired",
  "The master key was rotated",
  RESTARTED,
]);

/**
 * A line of a log at level "debug" in JSON, by the clock of the agent's host, as little of it as a long run can keep;
 * undefined: a verdict does not go by it.
 */
export function traceLine(text: string): TraceLine | undefined {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { message, peer, localVip, remoteVip, spi, kind, state } = json;
  const { requestId, attempt, rotations } = json;
  const atMs = Date.parse(String(json["@timestamp"]));
  if (!TOLD.has(message) || Number.isNaN(atMs)) return undefined;
  return {
    atMs,
    message: String(message),
    fields: { peer, localVip, remoteVip, spi, kind, state, requestId, attempt, rotations },
  };
}

/** Between the clocks of two processes on one machine, and between what is done and what is told. */
const SLACK_MS = 20;
/** A host with very many tunnels has left a peer's start that is over by then. */
const LEFT_MS = 5000;

interface Span {
  readonly from: number;
  to: number;
}

interface RxSpan extends Span {
  readonly pair: string;
  readonly peer: string;
  readonly spi: unknown;
  /** The step that ended it. */
  endedBy: string;
}

interface TxSpan extends Span {
  readonly pair: string;
  readonly peer: string;
  readonly spi: unknown;
}

/** One process as its log shows it. */
interface Process {
  readonly host: string;
  readonly from: number;
  readonly to: number;
  readonly rx: RxSpan[];
  readonly tx: TxSpan[];
  /** How it asked and answered each peer; empty in a log that does not tell. */
  readonly asking: Map<string, AskingSteps>;
  readonly answering: Map<string, AnsweringSteps>;
}

/** Looks at processes of one machine, several of a host where it was started again. */
export function judge(traces: readonly Trace[]): Verdict {
  const refusals: string[] = [];
  const may = allowed();
  let steps = 0;
  // Of a process that does not tell its steps nothing can be said.
  const processes = traces.flatMap((trace) => {
    const read = new Reader(trace, { allowed: may, refusals });
    steps += read.steps;
    return read.steps > 0 ? [read.process] : [];
  });
  for (const process of processes) {
    for (const sent of process.tx) sending(process, { sent, processes, refusals });
    for (const got of process.rx) retiring(process, { got, processes, refusals });
    for (const [peer, asking] of process.asking) {
      answers(process, { peer, asking, processes, refusals });
    }
  }
  const sas = processes.reduce((sum, { rx, tx }) => sum + rx.length + tx.length, 0);
  return { refusals, steps, sas };
}

/** States of a tunnel that has both directions, or asks for them. */
const LIVE: ReadonlySet<unknown> = new Set(["opening", "up", "rekeying"]);

/** Of a line what is a machine's. */
function stepOf({ kind, state, requestId, attempt, rotations }: TraceLine["fields"]): Step {
  return { kind, state, requestId, attempt, rotations };
}

/** Follows one log: each step from where the tunnel stood, each effect in its order. */
class Reader {
  readonly process: Process;
  steps = 0;
  readonly #states = new Map<string, string>();
  readonly #step = new Map<string, string>();
  readonly #rx = new Map<unknown, RxSpan>();
  readonly #tx = new Map<string, TxSpan>();
  readonly #spis = new Set<unknown>();
  /** SPIs by the rotation after which they were derived. */
  readonly #age = new Map<unknown, number>();
  #rotations = 0;
  readonly #rotation: RotationSteps;
  /** False: its agent is of a release that told only of tunnels. */
  readonly #tells: boolean;
  /** Transmit SAs of a peer's start that is over, and since when that is known. */
  readonly #void: { readonly span: TxSpan; readonly atMs: number }[] = [];

  constructor(
    readonly trace: Trace,
    readonly to: { readonly allowed: Allowed; readonly refusals: string[] },
  ) {
    const times = trace.lines.map(({ atMs }) => atMs);
    this.process = {
      host: trace.host,
      from: times[0] ?? 0,
      to: times.at(-1) ?? 0,
      rx: [],
      tx: [],
      asking: new Map(),
      answering: new Map(),
    };
    this.#rotation = new RotationSteps({
      allowed: to.allowed.rotation,
      refuse: (what) => this.#refuse(what, "rotation"),
      behind: () => this.#behind(),
    });
    this.#tells = trace.lines.some(({ message }) =>
      message === ASKING_STEP || message === ANSWERING_STEP || message === ROTATION_STEP
    );
    for (const line of trace.lines) this.#take(line);
    for (const { span: { pair, peer, spi, to }, atMs } of this.#void) {
      if (to <= atMs + LEFT_MS || this.process.to <= atMs + LEFT_MS) continue;
      this.#refuse(`sends with ${spi} of a start of ${peer} that is over`, pair);
    }
  }

  #take({ atMs, message, fields }: TraceLine): void {
    const { localVip, remoteVip, spi } = fields;
    const pair = `${localVip} ${remoteVip}`;
    this.#rotation.passes(atMs);
    if (STEPS.has(message)) this.steps++;
    switch (message) {
      case TUNNEL_STEP:
        // A peer that is denied, or is none any more, has its tunnels closed and its answers forgotten.
        if (fields.kind === "close") this.#answering(String(fields.peer)).forget();
        return this.#steps(pair, fields);
      case ASKING_STEP:
        return this.#asking(String(fields.peer)).take(atMs, stepOf(fields));
      case ANSWERING_STEP:
        return this.#answering(String(fields.peer)).take(atMs, stepOf(fields));
      case ROTATION_STEP:
        return this.#rotation.take(atMs, stepOf(fields));
      case "Receiving: the SA is in INGR_ACL": {
        if (this.#rx.has(spi)) this.#refuse(`${spi} is received with twice`, pair);
        const peer = String(fields.peer);
        const span = { pair, peer, spi, from: atMs, to: Infinity, endedBy: "" };
        this.#rx.set(spi, span);
        this.#age.set(spi, this.#rotations);
        this.process.rx.push(span);
        return;
      }
      case "Sending: the SA is in EGR_ACL": {
        const key = `${fields.peer} ${spi}`;
        if (this.#spis.has(key)) this.#refuse(`the key of ${spi} is used a second time`, pair);
        this.#spis.add(key);
        this.#endTx(pair, atMs);
        const peer = String(fields.peer);
        const span = { pair, peer, spi, from: atMs, to: Infinity };
        this.#tx.set(pair, span);
        this.process.tx.push(span);
        return;
      }
      case "Held packets are resubmitted":
        if (!this.#tx.has(pair)) this.#refuse("held packets are released, and nothing sends", pair);
        return;
      case "The receive SA is retired": {
        const span = this.#rx.get(spi);
        if (span === undefined) return this.#refuse(`${spi} is retired, and was not there`, pair);
        span.to = atMs;
        span.endedBy = this.#step.get(pair) ?? "tick";
        this.#rx.delete(spi);
        return;
      }
      case "The transmit SA is removed":
        return this.#endTx(pair, atMs);
      case "The transmit SA has expired": {
        // It is still there, and sends nothing.
        const span = this.#tx.get(pair);
        if (span !== undefined) span.to = atMs;
        return;
      }
      case RESTARTED:
        for (const span of this.#tx.values()) {
          if (span.peer === fields.peer) this.#void.push({ span, atMs });
        }
        return;
      case "The master key was rotated":
        for (const [spi, { pair, peer }] of this.#rx) {
          const isGone = this.process.asking.get(peer)?.isGone(atMs) ?? false;
          if ((this.#age.get(spi) ?? 0) < this.#rotations && !isGone) {
            this.#refuse(`a second rotation kills ${spi}`, pair);
          }
        }
        this.#rotations++;
        if (this.#tells) this.#rotation.rotates();
        return;
    }
  }

  #steps(pair: string, { kind, state, peer }: TraceLine["fields"]): void {
    const [event, to] = [String(kind), String(state)];
    const step = nameOf({ from: this.#states.get(pair) ?? "closed", event, to });
    if (!this.to.allowed.tunnel.has(step)) this.#refuse(`no such step: ${step}`, pair);
    this.#states.set(pair, to);
    this.#step.set(pair, event);
    if (event === "rotated") this.#rotation.moves(pair);
    if (!this.#tells) return;
    if (!this.#asking(String(peer)).allows(event) || !this.#answering(String(peer)).allows(event)) {
      this.#refuse(`"${event}" has no place in any exchange with ${peer}`, pair);
    }
  }

  #asking(peer: string): AskingSteps {
    const { asking } = this.process;
    let steps = asking.get(peer);
    if (steps === undefined) {
      const refuse = (what: string) => this.#refuse(what, peer);
      asking.set(peer, steps = new AskingSteps({ allowed: this.to.allowed.asking, refuse }));
    }
    return steps;
  }

  #answering(peer: string): AnsweringSteps {
    const { answering } = this.process;
    let steps = answering.get(peer);
    if (steps === undefined) {
      const refuse = (what: string) => this.#refuse(what, peer);
      const options = { allowed: this.to.allowed.answering, refuse };
      answering.set(peer, steps = new AnsweringSteps(options));
    }
    return steps;
  }

  /** Live tunnels that receive only with SAs of a key before. */
  #behind(): string[] {
    const newest = new Map<string, number>();
    for (const [spi, { pair }] of this.#rx) {
      newest.set(pair, Math.max(newest.get(pair) ?? 0, this.#age.get(spi) ?? 0));
    }
    return [...newest].flatMap(([pair, age]) =>
      age < this.#rotations && LIVE.has(this.#states.get(pair)) ? [pair] : []
    );
  }

  #endTx(pair: string, atMs: number): void {
    const span = this.#tx.get(pair);
    if (span !== undefined) span.to = Math.min(span.to, atMs);
    this.#tx.delete(pair);
  }

  #refuse(what: string, pair: string): void {
    this.to.refusals.push(`${this.trace.host} (${pair}): ${what}`);
  }
}

/** Whoever sends with an SPI got it from a peer that receives with it by then. */
function sending(
  { host }: Process,
  { sent, processes, refusals }: {
    readonly sent: TxSpan;
    readonly processes: readonly Process[];
    readonly refusals: string[];
  },
): void {
  const theirs = processes.filter((other) => other.host === sent.peer);
  if (theirs.length === 0) return;
  const pair = sent.pair.split(" ").reverse().join(" ");
  const received = theirs.some(({ rx }) =>
    rx.some((span) =>
      span.spi === sent.spi && span.pair === pair && span.from <= sent.from + SLACK_MS
    )
  );
  if (received) return;
  refusals.push(
    `${host} (${sent.pair}): sends with ${sent.spi}, which ${sent.peer} never received`,
  );
}

/** Whoever retires what its age or a newer one ended retires nothing that a living peer still sends with. */
function retiring(
  { host }: Process,
  { got, processes, refusals }: {
    readonly got: RxSpan;
    readonly processes: readonly Process[];
    readonly refusals: string[];
  },
): void {
  if (!["tick", "answered", "asked"].includes(got.endedBy)) return;
  const pair = got.pair.split(" ").reverse().join(" ");
  for (const other of processes) {
    for (const span of other.tx) {
      if (span.peer !== host || span.pair !== pair || span.spi !== got.spi) continue;
      if (span.from > got.to || span.to <= got.to + SLACK_MS) continue;
      // It said something since: it lives.
      if (other.to < got.to + SURE_MS) continue;
      refusals.push(`${host} (${got.pair}): retires ${got.spi}, with which ${other.host} sends on`);
    }
  }
}

/** Whoever has an answer asked a peer that gave one. */
function answers(
  { host }: Process,
  { peer, asking, processes, refusals }: {
    readonly peer: string;
    readonly asking: AskingSteps;
    readonly processes: readonly Process[];
    readonly refusals: string[];
  },
): void {
  const theirs = processes.filter((other) => other.host === peer);
  // A peer that is not traced, or of a release that did not tell of answers.
  if (theirs.every(({ answering }) => answering.size === 0)) return;
  const at = new Map(
    theirs.flatMap(({ answering }) => answering.get(host)?.answered ?? [])
      .reverse().map(({ requestId, atMs }) => [requestId, atMs]),
  );
  for (const { requestId, atMs } of asking.replied) {
    if ((at.get(requestId) ?? Infinity) <= atMs + SLACK_MS) continue;
    refusals.push(`${host} has an answer to ${requestId}, which ${peer} never gave`);
  }
}
