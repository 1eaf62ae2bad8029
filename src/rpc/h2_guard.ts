// SPDX-License-Identifier: Apache-2.0

/** Ends an HTTP/2 connection whose other side floods it, before the runtime has read what floods it. */
import type * as net from "node:net";
import { type Flood, H2Meter } from "./h2_meter.ts";

/**
 * To be called before the session is made, or it would read first. The session takes what comes by "data" events of
 * the socket, and writes one frame at a time. `flooded` is called once, and must end it.
 */
export function guardSession(
  socket: net.Socket,
  options: { readonly of: "client" | "server"; readonly flooded: (flood: Flood) => void },
): void {
  const meter = new H2Meter(() => performance.now(), options.of);
  const onData = (chunk: Uint8Array) => {
    const flood = meter.received(chunk);
    if (flood === undefined) return;
    socket.off("data", onData);
    options.flooded(flood);
  };
  socket.prependListener("data", onData);
  const write = socket.write as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]) => {
    if (args[0] instanceof Uint8Array) meter.sent(args[0]);
    return write.apply(socket, args);
  };
}
