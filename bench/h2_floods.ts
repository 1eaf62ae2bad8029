// SPDX-License-Identifier: Apache-2.0

/**
 * What floods of HTTP/2 frames at a status listener cost those who ask it something: for each, the latency of requests
 * without and with it, the listener's processor time and its memory before, after and a minute later.
 * Usage: deno run -A bench/h2_floods.ts [--json] [SECONDS]
 */
import type * as http2 from "node:http2";
import type * as net from "node:net";
import { type Apart, apart } from "../tests/rpc/status_lab.ts";
import { attack, ATTACKS, connect, openSession } from "../tests/support/h2_frames.ts";

interface Figure {
  readonly flood: string;
  /** Milliseconds. */
  readonly quietP99: number;
  readonly floodedP99: number;
  /** Connections that the flood used up. */
  readonly connections: number;
  /** Kilooctets. */
  readonly rssBefore: number;
  readonly rssAfter: number;
  /** A minute later. */
  readonly rssRested: number;
}

/** Within so long the memory is to be back. */
const REST_MS = 60_000;

/** Asks again and again, 5 ms after each answer; the 99th percentile in ms. */
async function p99(session: http2.ClientHttp2Session, ms: number): Promise<number> {
  const took: number[] = [];
  for (const until = performance.now() + ms; performance.now() < until;) {
    const start = performance.now();
    await new Promise<void>((resolve, reject) => {
      const stream = session.request({ ":path": "/healthz" });
      stream.on("error", reject);
      stream.on("close", () => resolve());
      stream.resume();
    });
    took.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  took.sort((a, b) => a - b);
  return took[Math.floor(took.length * 0.99)] ?? NaN;
}

/** Floods until the signal: each connection until the listener ends it, then the next. Returns how many. */
async function flood(port: number, name: string, signal: AbortSignal): Promise<number> {
  const octets = attack(name, 2000);
  let connections = 0;
  while (!signal.aborted) {
    const socket: net.Socket = await connect(port);
    connections += 1;
    socket.resume();
    const over = new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      signal.addEventListener("abort", () => socket.destroy(), { once: true });
    });
    socket.on("error", () => {});
    socket.write(octets);
    await over;
  }
  return connections;
}

async function measure(
  listener: Apart,
  name: string,
  ms: number,
): Promise<Omit<Figure, "rssRested">> {
  const session = openSession(`http://127.0.0.1:${listener.port}`);
  try {
    await p99(session, 500);
    const { rss: before = NaN } = await listener.ask();
    const quietP99 = await p99(session, ms);
    const stop = new AbortController();
    const flooding = flood(listener.port, name, stop.signal);
    const floodedP99 = await p99(session, ms);
    stop.abort();
    const connections = await flooding;
    const { rss: after = NaN } = await listener.ask();
    return {
      flood: name,
      quietP99,
      floodedP99,
      connections,
      rssBefore: Math.round(before / 1000),
      rssAfter: Math.round(after / 1000),
    };
  } finally {
    session.destroy();
  }
}

if (import.meta.main) {
  const seconds = Number(Deno.args.find((arg) => /^\d+$/.test(arg)) ?? 5);
  const resting: Promise<Figure>[] = [];
  for (const name of Object.keys(ATTACKS)) {
    const listener = await apart();
    const figure = await measure(listener, name, seconds * 1000);
    resting.push((async () => {
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      const { rss = NaN } = await listener.ask();
      await listener[Symbol.asyncDispose]();
      return { ...figure, rssRested: Math.round(rss / 1000) };
    })());
  }
  const figures = await Promise.all(resting);
  const line = (f: Figure) =>
    `${f.flood.padEnd(20)} p99 ${f.quietP99.toFixed(1)} ms, flooded ${
      f.floodedP99.toFixed(1)
    } ms ` +
    `(${(f.floodedP99 / f.quietP99).toFixed(2)} times), ${f.connections} connections, ` +
    `${f.rssBefore} to ${f.rssAfter} kB, ${f.rssRested} kB a minute later`;
  console.log(
    Deno.args.includes("--json") ? JSON.stringify(figures) : figures.map(line).join("\n"),
  );
}
