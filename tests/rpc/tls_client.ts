// SPDX-License-Identifier: Apache-2.0

/** openssl s_client: a TLS client that resumes sessions, at whatever listener it is told to. */

/** How to connect. */
export interface Dial {
  readonly port: number;
  /** Shown when asked for. */
  readonly cert?: string;
  readonly key?: string;
  /** File with the session to resume, and where the next one goes. */
  readonly resume?: string;
  readonly keep?: string;
  readonly path?: string;
  readonly headers?: readonly string[];
  /** The preface of HTTP/2 and its end instead of a request; nothing has a status then. */
  readonly h2?: boolean;
  /** Sent by POST, as JSON. */
  readonly body?: string;
}

/** What came of it. */
export interface Dialled {
  /** The client's own word. */
  readonly resumed: boolean;
  /** HTTP status; 0: no answer. */
  readonly status: number;
  readonly text: string;
}

/** RFC 9113: the client's preface, empty SETTINGS, and a GOAWAY, after which the server closes. */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\x04\0\0\0\0\0" +
  "\0\0\x08\x07\0\0\0\0\0" + "\0".repeat(8);

/** One connection, one request by HTTP/1.1. */
export async function dial(how: Dial): Promise<Dialled> {
  const option = (name: string, value: string | undefined) =>
    value === undefined ? [] : [name, value];
  const child = new Deno.Command("openssl", {
    args: [
      "s_client",
      "-connect",
      `127.0.0.1:${how.port}`,
      "-tls1_3",
      "-alpn",
      how.h2 ? "h2" : "http/1.1",
      "-ign_eof",
      ...option("-cert", how.cert),
      ...option("-key", how.key),
      ...option("-sess_in", how.resume),
      ...option("-sess_out", how.keep),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const { body, path = "/healthz", headers = [] } = how;
  const head = [
    `${body === undefined ? "GET" : "POST"} ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: close",
    ...(body === undefined
      ? []
      : ["Content-Type: application/json", `Content-Length: ${body.length}`]),
    ...headers,
  ];
  const said = how.h2 ? PREFACE : `${head.join("\r\n")}\r\n\r\n${body ?? ""}`;
  const writer = child.stdin.getWriter();
  // Who is refused finds the pipe closed.
  await writer.write(new TextEncoder().encode(said)).catch(() => {});
  const { stdout } = await child.output();
  await writer.close().catch(() => {});
  const text = new TextDecoder().decode(stdout);
  return {
    resumed: /^Reused, TLSv1\.3/m.test(text),
    status: Number(/HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0),
    text,
  };
}
