// SPDX-License-Identifier: Apache-2.0

/** Log lines on stderr, as text or as JSON, and the limit of one line per second for what may repeat. */
import { getJsonLinesFormatter, getTextFormatter, type LogRecord } from "@logtape/logtape";
import { Key } from "../../ffi/key.ts";
import type { Config } from "../config/config.ts";
import { spiText } from "../model/sa.ts";
import type { Priority } from "./journal.ts";
import { LineWriter } from "./line_writer.ts";
import { LogTail } from "./log_tail.ts";
import {
  type Log,
  LOG_CATEGORIES,
  LOG_FIELDS,
  LOG_LEVELS,
  type LogCategory,
  type LogFields,
  type LogLevel,
  type LogLevels,
  type Logs,
} from "../model/log.ts";

/** What `openLogs` needs to know. */
export interface LogOptions {
  readonly level: Config["log"]["level"];
  readonly format: Config["log"]["format"];
  /** Takes one line with its newline; default: stderr. */
  readonly write?: (line: string) => void;
  /** What a line begins with; default: nothing. */
  readonly priority?: Priority;
  /** Milliseconds of the wall clock; default: the system's. */
  readonly wallMs?: () => number;
}

/** For a reader at the end of the process. */
const FLUSH_MS = 1000;

/** What this process says. */
export interface OpenLogs extends Logs {
  /** Over when every line so far is written, or after a second. */
  flush(): Promise<void>;
  /** The configuration says something else: what was set since does not count any more. */
  follow(settings: Config["log"]): void;
}

/** Logs whose lines go out as they come; a reader that has stopped holds nothing up. */
export function openLogs(options: LogOptions): OpenLogs {
  const { wallMs = Date.now, priority = () => "" } = options;
  const formats = { json: formatJson(), text: formatText() };
  let { level: common, format } = options;
  const own = new Map<LogCategory, LogLevel>();
  const levelOf = (category: LogCategory) => own.get(category) ?? common;
  const tail = new LogTail();
  const render = (said: Omit<Line, "timestamp">) => {
    const line = formats[format]({ ...said, timestamp: wallMs() });
    tail.add(line);
    return priority(said.level) + line;
  };
  const writer = new LineWriter({
    write: (octets) => Deno.stderr.write(octets),
    gap: (count) => {
      const message = "Lines of the log are lost: nobody read them in time";
      return render({ category: "agent", level: "warning", message, facts: { count } });
    },
  });
  const write = options.write ?? ((line) => writer.write(line));
  return {
    flush: () => writer.flush(FLUSH_MS),
    tail: () => tail.lines(),
    lost: () => BigInt(writer.lost),
    of(category) {
      const at = (level: LogLevel) => (message: string, fields: LogFields = {}) => {
        if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(levelOf(category))) return;
        write(render({ category, level, message, facts: facts(fields) }));
      };
      return { debug: at("debug"), info: at("info"), warn: at("warning"), error: at("error") };
    },
    levels: () =>
      Object.fromEntries(LOG_CATEGORIES.map((each) => [each, levelOf(each)])) as LogLevels,
    setLevel(category, level) {
      for (const each of category === undefined ? LOG_CATEGORIES : [category]) own.set(each, level);
    },
    follow(settings) {
      ({ level: common, format } = settings);
      own.clear();
    },
  };
}

/** How often one message may repeat. */
export interface LimitOptions {
  /** Milliseconds that never run backwards. */
  readonly now: () => number;
  /** Default: 1,000. */
  readonly intervalMs?: number;
}

/** Peers and reasons that one sentence names one by one in an interval; what is beyond counts as one more. */
const MAX_CAUSES = 16;
const REST = "";

/**
 * The same log, but each warning and error (a constant sentence, of one peer and for one reason) at most once per
 * interval; the next line that gets through says in `count` how many there were, itself included. Peers choose some
 * reasons, so that only so many are told apart.
 */
export function limitWarnings(log: Log, { now, intervalMs = 1000 }: LimitOptions): Log {
  const sentences = new Map<string, Map<string, { at: number; held: number }>>();
  const limit = (level: "warn" | "error") => (message: string, fields: LogFields = {}) => {
    const t = now();
    let causes = sentences.get(`${level} ${message}`);
    if (causes === undefined) sentences.set(`${level} ${message}`, causes = new Map());
    const cause = causeAmong(causes, { cause: `${fields.peer} ${fields.reason}`, t, intervalMs });
    const last = causes.get(cause);
    if (last && t - last.at < intervalMs) {
      last.held++;
      return;
    }
    causes.set(cause, { at: t, held: 0 });
    log[level](message, last && last.held > 0 ? { count: last.held + 1, ...fields } : fields);
  };
  return { debug: log.debug, info: log.info, warn: limit("warn"), error: limit("error") };
}

/** What a line is counted under: its own cause while there is room, the rest's beyond. */
function causeAmong(
  causes: Map<string, { at: number; held: number }>,
  { cause, t, intervalMs }: {
    readonly cause: string;
    readonly t: number;
    readonly intervalMs: number;
  },
): string {
  if (causes.has(cause) || causes.size < MAX_CAUSES) return cause;
  for (const [old, { at, held }] of causes) {
    if (old === REST || t - at < intervalMs) continue;
    causes.delete(old);
    // Lines that were held back are still to be told of.
    const rest = causes.get(REST);
    if (rest !== undefined) rest.held += held;
    else if (held > 0) causes.set(REST, { at: t - intervalMs, held });
  }
  return causes.size < MAX_CAUSES ? cause : REST;
}

interface Line {
  readonly category: LogCategory;
  readonly level: LogLevel;
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  readonly timestamp: number;
}

/** Only fields of the closed list, and of them only what is plain: a key says `[key]` wherever it hides. */
function facts(fields: LogFields): Line["facts"] {
  const known: Record<string, string | number | boolean> = {};
  for (const name of LOG_FIELDS) {
    const value: unknown = fields[name];
    if (value === undefined) continue;
    known[name] = /spi$/i.test(name) && typeof value === "number" ? spiText(value) : plain(value);
  }
  return known;
}

function plain(value: unknown): string | number | boolean {
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (value instanceof Key) return "[key]";
  if (value instanceof Error) return value.message;
  // Octets and objects have no place in a line, and could hold a key.
  return typeof value === "object" || typeof value === "function" ? "[hidden]" : String(value);
}

function formatText(): (line: Line) => string {
  const format = getTextFormatter({
    timestamp: "rfc3339",
    level: "full",
    sanitize: { newlines: "escape" },
    format: ({ timestamp, level, message }) => `${timestamp} ${level} ${message}`,
  });
  return ({ facts, message, ...line }) => {
    const pairs = Object.entries(facts).map(([name, value]) => ` ${name}=${word(value)}`);
    return format(record({ ...line, facts: {}, message: message + pairs.join("") }));
  };
}

function formatJson(): (line: Line) => string {
  const format = getJsonLinesFormatter({ properties: "flatten" });
  return (line) => format(record(line));
}

function word(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

function record({ category, level, message, facts, timestamp }: Line): LogRecord {
  return {
    category: ["psp-agent", category],
    level,
    message: [message],
    rawMessage: message,
    timestamp,
    properties: facts,
  };
}
