// SPDX-License-Identifier: Apache-2.0

/** What the service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status, a pulse. */
import type { CoreStatus } from "../core/core_status.ts";
import type { Log } from "../model/log.ts";
import { messageOf } from "../model/errors.ts";

/** The variables that a service manager sets, and the way to it. */
export interface NotifyOptions {
  /** NOTIFY_SOCKET; absent: nobody wants to know. */
  readonly socket: string | undefined;
  /** WATCHDOG_USEC and WATCHDOG_PID: microseconds, and whose pulse is meant. */
  readonly watchdogUsec: string | undefined;
  readonly watchdogPid: string | undefined;
  readonly pid: number;
  /** Sends one message; may throw. */
  readonly send: (socket: string, text: string) => void;
  /** Calls `tick` every so often until the result is called. */
  readonly every: (ms: number, tick: () => void) => () => void;
  readonly log: Pick<Log, "warn">;
}

/** Every method may be called at any time and never throws: nobody's work waits for the manager. */
export interface Notify extends Disposable {
  /** From now on, traffic is served; the pulse starts. Again after a reload. */
  ready(status?: string): void;
  reloading(): void;
  stopping(): void;
  /** A line that `systemctl status` shows; sent only when it is another one. */
  status(line: string): void;
  /** Milliseconds between two signs of life, half of what the manager waits; undefined: no watchdog. */
  readonly pulseMs: number | undefined;
}

/** Half of the time, as sd_watchdog_enabled(3) advises. */
const PULSES_PER_TIMEOUT = 2;

/** Says nothing at all without a socket. The pulse runs on the event loop: a hung loop has none. */
export function openNotify(options: NotifyOptions): Notify {
  const { socket, log } = options;
  let shown = "";
  let failed = false;
  let stopPulse: (() => void) | undefined;
  const pulseMs = socket ? pulse(options) : undefined;
  const say = (text: string) => {
    if (!socket) return;
    try {
      options.send(socket, text);
      failed = false;
    } catch (error) {
      if (!failed) {
        log.warn("The service manager cannot be told", {
          reason: messageOf(error),
        });
      }
      failed = true;
    }
  };
  const withStatus = (text: string, line: string | undefined) => {
    if (line === undefined) return text;
    shown = line;
    return `${text}\nSTATUS=${oneLine(line)}`;
  };
  return {
    pulseMs,
    ready(line) {
      say(withStatus("READY=1", line));
      if (pulseMs === undefined || stopPulse) return;
      stopPulse = options.every(pulseMs, () => say("WATCHDOG=1"));
    },
    reloading: () => say("RELOADING=1"),
    stopping: () => say(withStatus("STOPPING=1", "stopping")),
    status(line) {
      if (line !== shown) say(withStatus("", line).trimStart());
    },
    [Symbol.dispose]: () => stopPulse?.(),
  };
}

/** "2 peers, 5 tunnels up, 1 failed" */
export function statusLine(
  { peersTotal, tunnels }: Pick<CoreStatus, "peersTotal" | "tunnels">,
): string {
  const { up, rekeying, opening, failed, unconfirmed } = tunnels;
  const parts = [count(peersTotal, "peer"), `${count(up + rekeying, "tunnel")} up`];
  if (unconfirmed > 0) parts.push(`${unconfirmed} unconfirmed`);
  if (opening > 0) parts.push(`${opening} opening`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(", ");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function pulse({ watchdogUsec, watchdogPid, pid }: NotifyOptions): number | undefined {
  const usec = Number(watchdogUsec);
  if (!(usec > 0)) return undefined;
  // Set for another process: a parent's variable, inherited.
  if (watchdogPid !== undefined && Number(watchdogPid) !== pid) return undefined;
  return Math.max(1, Math.floor(usec / 1000 / PULSES_PER_TIMEOUT));
}

/** The protocol is lines. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
