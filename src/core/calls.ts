// SPDX-License-Identifier: Apache-2.0

/**
 * Calls to peers, each with a deadline that holds: on the core's clock, and also for a call that heeds no signal and
 * never returns. What the library under a client does with `timeoutMs` besides (it tells the peer, and ends the
 * stream) is a courtesy that nobody here relies upon.
 */
import type { Clock } from "../model/clock.ts";
import {
  type CallOptions,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type PacketCount,
  type PacketQuestion,
  type TunnelClient,
  wipeKeys,
} from "../model/exchange.ts";
import type { ExplainView } from "../model/status.ts";
import type { Tasks } from "../model/tasks.ts";

/** A `TunnelClient` whose calls end when they should, and with the core. They reject with `ExchangeError`. */
export interface PeerCalls {
  /** The keys of an answer that comes too late are wiped. */
  newTunnel(
    peer: string,
    request: NewTunnelRequest,
    options: Omit<CallOptions, "signal">,
  ): Promise<NewTunnelReply>;
  notify(
    peer: string,
    notice: Notice,
    options: Omit<CallOptions, "signal">,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** See `TunnelClient.notifyAt`. */
  notifyAt(
    peer: string,
    address: string,
    notice: Notice,
    options: Omit<CallOptions, "signal">,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** See `TunnelClient.explain`. */
  explain(
    peer: string,
    question: PacketQuestion,
    options: Omit<CallOptions, "signal">,
  ): Promise<ExplainView>;
  /** See `TunnelClient.countPackets`. */
  countPackets(
    peer: string,
    spis: readonly number[],
    options: Omit<CallOptions, "signal">,
  ): Promise<readonly PacketCount[]>;
}

/** Why what belongs to a call ends with it; one for all, because a fresh error costs its stack trace. */
const OVER = new DOMException("the call is over", "AbortError");

/** The same client with deadlines. Calls under way end with `tasks`, which waits for them. */
export function withDeadlines(
  client: TunnelClient,
  powers: { readonly clock: Pick<Clock, "sleep">; readonly tasks: Tasks },
): PeerCalls {
  const { clock, tasks } = powers;
  const within = async <T>(
    timeoutMs: number,
    begin: (signal: AbortSignal) => Promise<T>,
    late: (answer: T) => void,
  ): Promise<T> => {
    const over = new AbortController();
    // Not AbortSignal.any: that is a third signal for each call.
    const stop = () => over.abort(tasks.signal.reason);
    if (tasks.signal.aborted) stop();
    tasks.signal.addEventListener("abort", stop, { once: true });
    let answered = false;
    const call = begin(over.signal);
    const deadline = clock.sleep(timeoutMs, over.signal).then(() => {
      throw new ExchangeError("deadline_exceeded", `no answer within ${timeoutMs} ms`);
    });
    deadline.catch(() => {});
    try {
      const answer = await Promise.race([call, deadline]);
      answered = true;
      return answer;
    } finally {
      tasks.signal.removeEventListener("abort", stop);
      over.abort(OVER);
      if (!answered) tasks.add(call.then(late, () => {}));
    }
  };
  return {
    newTunnel: (peer, request, { timeoutMs, onSent }) =>
      within(
        timeoutMs,
        (signal) => client.newTunnel(peer, request, { timeoutMs, signal, onSent }),
        wipeKeys,
      ),
    notify: (peer, notice, { timeoutMs }) =>
      within(timeoutMs, (signal) => client.notify(peer, notice, { timeoutMs, signal }), () => {}),
    notifyAt: (peer, address, notice, { timeoutMs }) =>
      within(
        timeoutMs,
        (signal) => client.notifyAt(peer, address, notice, { timeoutMs, signal }),
        () => {},
      ),
    explain: async (peer, question, { timeoutMs }) => {
      if (client.explain === undefined) {
        throw new ExchangeError("unimplemented", "peers cannot be asked");
      }
      const ask = client.explain.bind(client);
      return await within(
        timeoutMs,
        (signal) => ask(peer, question, { timeoutMs, signal }),
        () => {},
      );
    },
    countPackets: async (peer, spis, { timeoutMs }) => {
      if (client.countPackets === undefined) {
        throw new ExchangeError("unimplemented", "peers cannot be asked");
      }
      const ask = client.countPackets.bind(client);
      return await within(timeoutMs, (signal) => ask(peer, spis, { timeoutMs, signal }), () => {});
    },
  };
}
