// SPDX-License-Identifier: Apache-2.0

/** Listeners that cannot be had, and how a request ends. */
import assert from "node:assert/strict";
import { listenReason, openDoor } from "../../src/rpc/door.ts";
import * as http from "node:http";
import {
  listen,
  type Listener,
  type Request,
  type Response as Reply,
} from "../../src/rpc/listener.ts";
import { connect, frame, framesOf, getBlock, HELLO } from "../support/h2_frames.ts";
import { joined } from "../../src/model/octets.ts";
import { eventually } from "../support/wait.ts";
import { clientOf, ears, start } from "./lab.ts";

Deno.test("neither TLS nor insecure: refused at start, on both sides", async () => {
  await assert.rejects(start(), /Cannot listen for peers without TLS/);
  assert.throws(
    () => clientOf({ address: { port: 1 } } as never),
    /Cannot call peers without TLS/,
  );
});

Deno.test("a port in use is one sentence", async () => {
  await using server = await start({ insecure: true });
  const listen = `127.0.0.1:${server.address.port}`;
  await assert.rejects(
    start({ insecure: true, listen }),
    {
      name: "ConfigError",
      message: `Cannot listen on "${listen}" (rpc.listen): another program listens there`,
    },
  );
});

Deno.test("why a listener cannot be had is the end of a sentence", () => {
  const why = (code: string) => listenReason(Object.assign(new Error(`listen ${code}`), { code }));
  // Deno's name of EADDRNOTAVAIL.
  for (const code of ["EINVAL", "EADDRNOTAVAIL"]) {
    assert.match(why(code), /^this host has no such address/);
  }
  assert.equal(why("ENOTFOUND"), "no address is known for that name");
  assert.equal(why("EODD"), "listen EODD");
});

Deno.test("a host that stands still is no listener that accepts nothing", async () => {
  const events = ears();
  const lookMs = 20;
  const options = { listen: "127.0.0.1:0", key: "rpc.listen", backlog: 8, lookMs, events };
  const door = await openDoor({ ...options, enter: (socket) => void socket.destroy() });
  // Begins with the door's call of itself, and ends when no call would be waited for any more.
  await new Promise<void>((resolve) => setTimeout(resolve, lookMs));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100);
  await new Promise<void>((resolve) => setTimeout(resolve, 5 * lookMs));
  await door.close();
  assert.equal(events.counts.get("listeners-reopened"), undefined);
});

/** Answers a request by HTTP/1.1 before all of its body has come, in the way of its path. */
function early(request: Request, response: Reply): void {
  const { url } = request;
  // As one that is refused for its type.
  if (url === "/unread") return void response.end("unread");
  if (url === "/given-up") return void giveUp(request, response);
  request.resume();
  request.once("end", () => response.end("read"));
}

/** As one whose message is found to be too large: whoever reads it reads no more. */
async function giveUp(request: Request, response: Reply): Promise<void> {
  for await (const _ of request) break;
  response.end("given up");
}

function listenEarly(): Promise<Listener> {
  return listen({
    listen: "127.0.0.1:0",
    key: "status.listen",
    handler: early,
    shares: { total: 8, reserve: 0, idlePerAddress: 8, perIdentity: 8 },
    handshakeTimeoutMs: 5000,
  });
}

Deno.test("over HTTP/1.1 an answer before the end of a request's body stands in no later request's way", async () => {
  const listener = await listenEarly();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const post = (path: string) =>
    new Promise<string>((resolve, reject) => {
      const url = `http://127.0.0.1:${listener.port}${path}`;
      const request = http.request(url, { method: "POST", agent, timeout: 20_000 }, (answer) => {
        let text = "";
        answer.on("data", (chunk) => text += chunk);
        answer.on("end", () => resolve(text));
      });
      request.on("timeout", () => request.destroy(new Error("no answer")));
      request.on("error", reject);
      request.end(new Uint8Array(300_000));
    });
  try {
    for (let i = 0; i < 3; i++) {
      assert.equal(await post("/unread"), "unread");
      assert.equal(await post("/read"), "read");
      assert.equal(await post("/given-up"), "given up");
      assert.equal(await post("/read"), "read");
    }
  } finally {
    agent.destroy();
    await listener.close(0);
  }
});

Deno.test("over HTTP/1.1 who still sends when it is given up reads what it was answered", async () => {
  const listener = await listenEarly();
  const socket = await Deno.connect({ port: listener.port });
  try {
    const head = "POST /given-up HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n";
    await socket.write(new TextEncoder().encode(head));
    // A connection that is closed while octets come is reset, and with it goes what was not read yet.
    for (let i = 0; i < 10; i++) {
      await socket.write(new Uint8Array(10_000));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    const answer = await new Response(socket.readable).text();
    assert.match(answer, /^HTTP\/1.1 200 OK\r\n[^]*given up/);
  } finally {
    await listener.close(0);
  }
});

Deno.test("who still sends when the answer is complete is told that nobody reads on", async () => {
  let ended = false;
  const listener = await listen({
    listen: "127.0.0.1:0",
    key: "status.listen",
    // As a call does whose message is too large.
    handler: (request, response) => {
      response.once("close", () => ended = true);
      request.once("data", () => {
        request.pause();
        response.end("too large");
      });
    },
    shares: { total: 4, reserve: 0, idlePerAddress: 4, perIdentity: 4 },
    handshakeTimeoutMs: 5000,
  });
  const socket = await connect(listener.port);
  try {
    const came: Uint8Array[] = [];
    socket.on("data", (chunk: Uint8Array) => came.push(new Uint8Array(chunk)));
    // The body goes on.
    const begin = [HELLO, frame(1, 4, 1, getBlock("/")), frame(0, 0, 1, new Uint8Array(1000))];
    socket.write(joined(begin));
    const [rst, noError] = [3, 0];
    await eventually(
      () => [...framesOf(joined(came))].some(({ type, stream }) => type === rst && stream === 1),
      { what: "the stream to be reset" },
    );
    const frames = [...framesOf(joined(came))].filter(({ stream }) => stream === 1);
    const answered = frames.findIndex(({ type, flags }) => type === 0 && (flags & 1) === 1);
    const reset = frames.findIndex(({ type }) => type === rst);
    assert.ok(answered >= 0 && answered < reset, "the whole answer first");
    assert.equal(frames[reset]?.payload[3], noError);
    await eventually(() => ended, { what: "the request to be over" });
  } finally {
    socket.destroy();
    await listener.close(0);
  }
});
