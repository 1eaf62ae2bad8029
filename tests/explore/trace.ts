// SPDX-License-Identifier: Apache-2.0

/**
 * Whether what agents did is what the protocol allows: their logs at level "debug" tell every step of every tunnel and every
 * effect, and no key. Each step is held against the machine, each SA against what its other end did at that time.
 */
import { transitions } from "./machine.ts";

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
  readonly steps: number;
  readonly sas: number;
}

/** A peer was heard with a new epoch. */
const RESTARTED = "A peer was started anew: its SAs are void";

/** Lines that a verdict goes by. */
const TOLD: ReadonlySet<unknown> = new Set([
  "A tunnel takes a step",
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
  const atMs = Date.parse(String(json["@timestamp"]));
  if (!TOLD.has(message) || Number.isNaN(atMs)) return undefined;
  return {
    atMs,
    message: String(message),
    fields: { peer, localVip, remoteVip, spi, kind, state },
  };
}

/** Between the clocks of two processes on one machine, and between what is done and what is told. */
const SLACK_MS = 20;
/** A host with very many tunnels has left a peer's start that is over by then. */
const LEFT_MS = 5000;
/** A process that says nothing for so long may be dead: nothing is held against it. */
const SURE_MS = 1000;

interface Span {
  readonly from: number;
  to: number;
}

interface RxSpan extends Span {
  readonly pair: string;
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
}

/** Looks at processes of one machine, several of a host where it was started again. */
export function judge(traces: readonly Trace[]): Verdict {
  const refusals: string[] = [];
  const allowed = new Set(transitions().map(({ from, event, to }) => `${from} ${event} ${to}`));
  let steps = 0;
  // Of a process that does not tell its steps nothing can be said.
  const processes = traces.flatMap((trace) => {
    const read = new Reader(trace, { allowed, refusals });
    steps += read.steps;
    return read.steps > 0 ? [read.process] : [];
  });
  for (const process of processes) {
    for (const sent of process.tx) sending(process, { sent, processes, refusals });
    for (const got of process.rx) retiring(process, { got, processes, refusals });
  }
  const sas = processes.reduce((sum, { rx, tx }) => sum + rx.length + tx.length, 0);
  return { refusals, steps, sas };
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
  /** Transmit SAs of a peer's start that is over, and since when that is known. */
  readonly #void: { readonly span: TxSpan; readonly atMs: number }[] = [];

  constructor(
    readonly trace: Trace,
    readonly to: { readonly allowed: ReadonlySet<string>; readonly refusals: string[] },
  ) {
    const times = trace.lines.map(({ atMs }) => atMs);
    this.process = {
      host: trace.host,
      from: times[0] ?? 0,
      to: times.at(-1) ?? 0,
      rx: [],
      tx: [],
    };
    for (const line of trace.lines) this.#take(line);
    for (const { span: { pair, peer, spi, to }, atMs } of this.#void) {
      if (to <= atMs + LEFT_MS || this.process.to <= atMs + LEFT_MS) continue;
      this.#refuse(`sends with ${spi} of a start of ${peer} that is over`, pair);
    }
  }

  #take({ atMs, message, fields }: TraceLine): void {
    const { localVip, remoteVip, spi } = fields;
    const pair = `${localVip} ${remoteVip}`;
    switch (message) {
      case "A tunnel takes a step":
        return this.#steps(pair, fields);
      case "Receiving: the SA is in INGR_ACL": {
        if (this.#rx.has(spi)) this.#refuse(`${spi} is received with twice`, pair);
        const span = { pair, spi, from: atMs, to: Infinity, endedBy: "" };
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
        for (const spi of this.#rx.keys()) {
          if ((this.#age.get(spi) ?? 0) < this.#rotations) {
            this.#refuse(`a second rotation kills ${spi}`, pair);
          }
        }
        this.#rotations++;
        return;
    }
  }

  #steps(pair: string, { kind, state }: TraceLine["fields"]): void {
    this.steps++;
    const before = this.#states.get(pair) ?? "closed";
    const step = `${before} ${kind} ${state}`;
    if (!this.to.allowed.has(step)) this.#refuse(`no such step: ${step}`, pair);
    this.#states.set(pair, String(state));
    this.#step.set(pair, String(kind));
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
