// SPDX-License-Identifier: Apache-2.0

/** No variable of the environment makes us believe a stranger. */
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { preventReentry } from "../../src/rpc/h2_session.ts";
import { Lab } from "./lab.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const TOKEN = "0123456789abcdef";

/** Somebody with a certificate that says "h2", of a CA that h1 does not know, who answers everybody. */
class Stranger implements Disposable {
  readonly heard: string[] = [];
  readonly port: number;
  readonly #server: http2.Http2SecureServer;

  static async make(lab: Lab): Promise<Stranger> {
    await lab.ca("other");
    await lab.issue("h2", { ca: "other" });
    const { cert, key } = lab.read("h2", "other");
    const server = http2.createSecureServer({ cert, key, allowHTTP1: true });
    server.on("session", preventReentry);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Stranger(server);
  }

  constructor(server: http2.Http2SecureServer) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on("request", (request, response) => {
      this.heard.push(`${request.url} ${request.headers.authorization ?? ""}`);
      response.setHeader("content-type", "application/json");
      response.end("{}");
    });
    server.on("tlsClientError", () => {});
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

/** What such variables may say; "CA": the file with the stranger's CA. */
const VARIABLES: readonly (readonly [name: string, value: string])[] = [
  ["NODE_TLS_REJECT_UNAUTHORIZED", "0"],
  ["NODE_EXTRA_CA_CERTS", "CA"],
  ["DENO_CERT", "CA"],
  ["SSL_CERT_FILE", "CA"],
  ["DENO_TLS_CA_STORE", "system"],
];

function environment(lab: Lab, which: typeof VARIABLES): Record<string, string> {
  const ca = `${lab.dir}/other/ca.crt`;
  return Object.fromEntries(which.map(([name, value]) => [name, value === "CA" ? ca : value]));
}

Deno.test("neither keys nor tokens go to a stranger, whatever the environment says", async () => {
  using lab = await Lab.make(["h1"]);
  using stranger = await Stranger.make(lab);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, TOKEN);
  const script = new URL("./stranger_call.ts", import.meta.url).pathname;
  for (const which of [...VARIABLES.map((one) => [one]), VARIABLES]) {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-check", "--cached-only", script],
        ...[`${stranger.port}`, `${lab.dir}/ca`, tokenFile],
      ],
      env: environment(lab, which),
    }).output();
    const said = new TextDecoder().decode(stdout).trim();
    assert.match(
      said,
      /^(Unavailable|Unauthenticated) Internal$/,
      new TextDecoder().decode(stderr),
    );
  }
  assert.deepEqual(stranger.heard, []);
});

Deno.test("a command gives its token to no stranger, whatever the environment says", async () => {
  using lab = await Lab.make(["h1"]);
  using stranger = await Stranger.make(lab);
  const [tokenFile, config] = [`${lab.dir}/token`, `${lab.dir}/peers.json`];
  Deno.writeTextFileSync(tokenFile, TOKEN);
  Deno.writeTextFileSync(
    config,
    JSON.stringify({
      id: "h1",
      domain: "example.org",
      pip: "192.0.2.1",
      plane: { uplink: "up0", host: "host0" },
      vips: ["10.1.0.0/24"],
      rpc: { listen: "127.0.0.1:7443", tls: lab.files("h1") },
      status: {
        listen: `127.0.0.1:${stranger.port}`,
        tls: lab.files("h1"),
        token_file: tokenFile,
        // Not that of an agent which runs on this machine.
        socket: `${lab.dir}/none.sock`,
      },
      state_dir: `${lab.dir}/state`,
      peers: [{ id: "h2", svc_address: "192.0.2.2:7443", vips: ["10.2.0.0/24"] }],
    }),
  );
  const { code, stderr } = await new Deno.Command(`${ROOT}bin/psp-agent`, {
    args: ["status", "--config", config],
    env: environment(lab, VARIABLES),
  }).output();
  const said = new TextDecoder().decode(stderr);
  assert.notEqual(code, 0);
  assert.match(said, /^psp-agent: .*its certificate is/, said);
  assert.deepEqual(stranger.heard, []);
});
