// SPDX-License-Identifier: Apache-2.0

/**
 * Crowds a TLS listener: connections that say nothing, kept open as long as they are let, and handshakes of
 * rubbish at a rate. As a program: `strangers.ts <port> <silent> <bad per second>`; says "crowded" once all are
 * there, and what it did when its standard input ends.
 */
import * as net from "node:net";

const [port = 0, silent = 0, rate = 0] = Deno.args.map(Number);
/** Silent ones come back this long after they were thrown out. */
const AGAIN_MS = 2000;
const BATCHES_PER_S = 20;
const done = { silent: 0, evicted: 0, bad: 0 };
let over = false;

function connect(i: number): net.Socket {
  // Loopback has many addresses: strangers are not where the peer is.
  const socket = net.connect({ host: "127.0.0.1", port, localAddress: `127.0.0.${2 + i % 50}` });
  socket.on("error", () => {});
  return socket;
}

function keepSilent(i: number): void {
  if (over) return;
  const socket = connect(i);
  socket.once("connect", () => {
    if (++done.silent === silent) console.log("crowded");
  });
  socket.once("close", () => {
    done.evicted++;
    setTimeout(() => keepSilent(i), AGAIN_MS);
  });
}

for (let i = 0; i < silent; i++) keepSilent(i);
const timer = setInterval(() => {
  for (let i = 0; i < rate / BATCHES_PER_S; i++) {
    const socket = connect(done.bad++);
    // The beginning of a TLS record, and then nothing that makes sense.
    socket.once("connect", () => socket.end(new Uint8Array([0x16, 3, 1, 0, 64, ...Array(64)])));
  }
}, 1000 / BATCHES_PER_S);
for await (const _ of Deno.stdin.readable) { /* until it ends */ }
over = true;
clearInterval(timer);
console.log(JSON.stringify(done));
Deno.exit(0);
