// SPDX-License-Identifier: Apache-2.0

/**
 * All peers of a fleet in one process: each has its own address and certificate, and answers in the real protocol as
 * fast as it can, keeping nothing of a tunnel but that it was asked for. Usage, in the far namespace:
 * deno run -A bench/fleet/responder.ts CERTIFICATES. A line on standard input ("stats", "reset", or "close", which ends
 * all connections) is answered with one of JSON; it ends with standard input.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { Key } from "../../ffi/key.ts";
import type { NewTunnelRequest, TunnelOutcome } from "../../src/model/exchange.ts";
import { keyLength } from "../../src/model/sa.ts";
import * as pb from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { preventReentry } from "../../src/rpc/h2_session.ts";
import { noticeFromProto, replyToProto, requestFromProto } from "../../src/rpc/tunnel_codec.ts";
import type { FleetCertificates } from "./certificates.ts";
import { peerIp, peerOf, RPC_PORT } from "./plan.ts";

/** What it has seen since the last reset. */
export interface FleetStats {
  /** Connections that were accepted, and those whose handshake ended well. */
  readonly accepted: number;
  readonly handshakes: number;
  readonly open: number;
  /** Requests for tunnels, those of them that repeat one that was answered, and tunnels in them. */
  readonly exchanges: number;
  readonly repeats: number;
  readonly tunnels: number;
  readonly notices: number;
  /** Peers that were asked. */
  readonly asked: number;
  /** Milliseconds since the reset: of the first request and of the last one. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly failures: Readonly<Record<string, number>>;
}

const MAC = "02:00:00:00:02:01";
const LIFE_S = 3600;

class Responder {
  readonly #certificates: FleetCertificates;
  readonly #contexts = new Map<number, tls.SecureContext>();
  readonly #server: http2.Http2SecureServer & { _sharedCreds?: tls.SecureContext };
  readonly #epoch = BigInt(Date.now());
  #spi = 1;
  #serial = 0n;
  readonly #sockets = new Set<net.Socket>();
  #accepted = 0;
  #handshakes = 0;
  #exchanges = 0;
  #repeats = 0;
  #tunnels = 0;
  #notices = 0;
  #sinceMs = performance.now();
  #firstMs = -1;
  #lastMs = -1;
  readonly #asked = new Set<number>();
  readonly #ids = new Set<string>();
  readonly #failures = new Map<string, number>();

  constructor(certificates: FleetCertificates) {
    this.#certificates = certificates;
    this.#server = http2.createSecureServer({
      settings: { enablePush: false },
      requestCert: true,
      rejectUnauthorized: true,
    });
    this.#server.on("session", (session: http2.Http2Session) => {
      preventReentry(session);
      this.#handshakes++;
    });
    this.#server.on("tlsClientError", (error) => this.#failed(`tls: ${error.message}`));
    this.#server.on("stream", (stream, headers) => this.#stream(stream, headers));
    this.#server.on("sessionError", (error) => this.#failed(`session: ${error.message}`));
    net.createServer((socket) => this.#accept(socket)).listen({
      host: "0.0.0.0",
      port: RPC_PORT,
      backlog: 4096,
    }, () => console.log("ready"));
  }

  get stats(): FleetStats {
    return {
      accepted: this.#accepted,
      handshakes: this.#handshakes,
      open: this.#sockets.size,
      exchanges: this.#exchanges,
      repeats: this.#repeats,
      tunnels: this.#tunnels,
      notices: this.#notices,
      asked: this.#asked.size,
      firstMs: this.#firstMs,
      lastMs: this.#lastMs,
      failures: Object.fromEntries(this.#failures),
    };
  }

  reset(): void {
    this.#accepted =
      this.#handshakes =
      this.#exchanges =
      this.#repeats =
        0;
    this.#tunnels = this.#notices = 0;
    this.#firstMs = this.#lastMs = -1;
    this.#sinceMs = performance.now();
    this.#asked.clear();
    this.#ids.clear();
    this.#failures.clear();
  }

  /** Ends all connections. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(raw: net.Socket): void {
    this.#accepted++;
    this.#sockets.add(raw);
    raw.setNoDelay(true);
    raw.on("close", () => this.#sockets.delete(raw));
    raw.on("error", (error) => this.#failed(`socket: ${error.message}`));
    // The server has one context, and SNI does not see where a connection goes to: each connection finds its own.
    this.#server._sharedCreds = this.#context(peerOf(raw.localAddress ?? ""));
    this.#server.emit("connection", raw);
  }

  #context(peer: number): tls.SecureContext {
    let context = this.#contexts.get(peer);
    if (context === undefined) {
      const { ca, peers: { certs, key } } = this.#certificates;
      const cert = certs[peer];
      if (cert === undefined) throw new Error(`Cannot play peer ${peer}: it has no certificate`);
      context = tls.createSecureContext({ ca, cert, key, minVersion: "TLSv1.3" });
      this.#contexts.set(peer, context);
    }
    return context;
  }

  #stream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const chunks: Uint8Array[] = [];
    const peer = peerOf(stream.session?.socket.localAddress ?? "");
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("error", (error) => this.#failed(`stream: ${error.message}`));
    stream.on("end", () => {
      const body = chunks.length === 1 ? chunks[0] ?? new Uint8Array() : join(chunks);
      // Its caller may have given it up.
      if (stream.destroyed) return this.#failed("stream: given up");
      const answer = this.#answer(peer, String(headers[":path"]), body);
      if (answer === undefined) {
        stream.respond({ ":status": 404, "content-type": "application/json" });
        return stream.end(JSON.stringify({ code: "unimplemented" }));
      }
      stream.respond({ ":status": 200, "content-type": "application/proto" });
      stream.end(answer);
    });
  }

  /** undefined: it is asked for what an older peer does not know, which nothing here is measured by. */
  #answer(peer: number, path: string, body: Uint8Array): Uint8Array | undefined {
    if (!/\/(Notify|NewTunnel)$/.test(path)) return undefined;
    if (path.endsWith("/Notify")) {
      noticeFromProto(fromBinary(pb.NotifyRequestSchema, body));
      this.#notices++;
      return toBinary(pb.NotifyResponseSchema, {
        $typeName: "psp.v1.NotifyResponse",
        bootEpoch: this.#epoch,
      });
    }
    const request = requestFromProto(fromBinary(pb.NewTunnelRequestSchema, body));
    this.#count(peer, request);
    const outcomes = request.tunnels.map((): TunnelOutcome => {
      const version = request.tunnels[0]?.reverse.version ?? "aes-gcm-256";
      this.#spi = this.#spi % 0x7fff_fffe + 1;
      const key = new Key(crypto.getRandomValues(new Uint8Array(keyLength(version))));
      return {
        ok: true,
        params: {
          spi: this.#spi,
          version,
          key,
          pip: peerIp(peer),
          mac: MAC,
          cryptOffset: 5,
          mode: "tunnel",
          serial: ++this.#serial,
          lifeS: LIFE_S,
        },
      };
    });
    const version = request.tunnels[0]?.reverse.version ?? "aes-gcm-256";
    for (const { reverse } of request.tunnels) reverse.key.wipe();
    return toBinary(
      pb.NewTunnelResponseSchema,
      replyToProto({ bootEpoch: this.#epoch, version, outcomes }),
    );
  }

  #count(peer: number, { requestId, tunnels }: NewTunnelRequest): void {
    const now = performance.now() - this.#sinceMs;
    if (this.#firstMs < 0) this.#firstMs = now;
    this.#lastMs = now;
    this.#exchanges++;
    if (this.#ids.has(requestId)) this.#repeats++;
    else this.#tunnels += tunnels.length;
    this.#ids.add(requestId);
    this.#asked.add(peer);
  }

  #failed(why: string): void {
    this.#failures.set(why, (this.#failures.get(why) ?? 0) + 1);
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

if (import.meta.main) {
  const [path = ""] = Deno.args;
  const responder = new Responder(JSON.parse(Deno.readTextFileSync(path)) as FleetCertificates);
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  for await (const text of lines) {
    for (const line of text.trim().split("\n")) {
      if (line === "reset") responder.reset();
      if (line === "close") responder.close();
      console.log(JSON.stringify(responder.stats));
    }
  }
  Deno.exit(0);
}
