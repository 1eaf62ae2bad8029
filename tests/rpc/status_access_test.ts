// SPDX-License-Identifier: Apache-2.0

/** Who is answered by the status listener, and what the others are told. */
import { openSession } from "../support/h2_frames.ts";
import assert from "node:assert/strict";
import { VERSION } from "../../src/model/version.ts";
import * as http from "node:http";
import type * as http2 from "node:http2";
import { Code, type ConnectError } from "@connectrpc/connect";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import { Lab } from "./lab.ts";
import { curl, LOG_LINES, source, STATUS, world } from "./status_lab.ts";
import { buildPage } from "../support/page.ts";

Deno.test("a name that is not ours is not served on loopback", async () => {
  await using w = await world();
  const { port } = w.server.address;
  const get = (host: string) => curl("-H", `Host: ${host}`, `${w.url}/healthz`);
  for (const good of ["localhost", `localhost:${port}`, "127.0.0.1", "127.8.8.8:1", "[::1]:9"]) {
    assert.equal((await get(good)).status, 200, good);
  }
  for (
    const bad of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil",
      "192.0.2.1",
      "a@localhost",
    ]
  ) {
    assert.equal((await get(bad)).status, 421, bad);
  }
  assert.equal(w.events.counts.get("status-foreign-host"), 5);
});

/** What a browser asks before a page of `origin` may call. */
function preflight(url: string, origin: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/psp.v1.StatusService/GetStatus`, {
      method: "OPTIONS",
      agent: false,
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,connect-protocol-version,authorization",
      },
    }, (response) => {
      response.resume();
      response.on("end", () => resolve(response));
    });
    request.on("error", reject);
    request.end();
  });
}

Deno.test("a page of a configured origin may call; it needs the token all the same", async () => {
  const tokenFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(tokenFile, "a-token-of-forty-characters-and-no-fewer");
    await using w = await world({ origins: ["https://dash.example"], tokenFile });
    const asked = await preflight(w.url, "https://dash.example");
    assert.equal(asked.statusCode, 204);
    assert.equal(asked.headers["access-control-allow-origin"], "https://dash.example");
    assert.match(asked.headers["access-control-allow-headers"] ?? "", /connect-protocol-version/i);
    assert.match(asked.headers["access-control-allow-headers"] ?? "", /authorization/i);
    assert.match(asked.headers["access-control-allow-methods"] ?? "", /POST/);
    assert.equal(asked.headers.vary, "Origin");
    assert.equal(asked.headers["access-control-allow-credentials"], undefined);
    const other = await preflight(w.url, "https://evil.example");
    assert.equal(other.statusCode, 403);
    assert.equal(other.headers["access-control-allow-origin"], undefined);
    assert.equal(w.events.counts.get("status-foreign-origin"), 1);
    const call = (...more: string[]) =>
      curl(
        "-i",
        "-H",
        "Origin: https://dash.example",
        ...more,
        `${w.url}/psp.v1.StatusService/GetStatus`,
      );
    assert.equal((await call()).status, 401);
    const read = await call("-H", "Authorization: Bearer a-token-of-forty-characters-and-no-fewer");
    assert.equal(read.status, 200);
    assert.match(read.body, /access-control-allow-origin: https:\/\/dash\.example/i);
  } finally {
    await Deno.remove(tokenFile);
  }
});

Deno.test("a bare GET of a call that only reads is answered; of one that acts it is not", async () => {
  await using w = await world({ admin: true });
  const read = await curl(`${w.url}/psp.v1.StatusService/GetStatus`);
  assert.equal(read.status, 200);
  assert.equal(JSON.parse(read.body).version, VERSION);
  const act = await curl("--unix-socket", w.socket, "http://localhost/psp.v1.AdminService/Rotate");
  assert.equal(act.status, 405);
});

Deno.test("no other page may read: no CORS headers, a preflight gets nothing", async () => {
  await using w = await world();
  const headers = await new Promise<http.IncomingHttpHeaders>((resolve, reject) => {
    const request = http.request(`${w.url}/psp.v1.StatusService/GetStatus`, {
      method: "OPTIONS",
      agent: false,
      headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
    }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.headers));
    });
    request.on("error", reject);
    request.end();
  });
  assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith("access-control")), []);
});

Deno.test("rotate is there only for an admin listener; what it would do, every reader may ask", async () => {
  const refused = (error: ConnectError) => error.code === Code.Unimplemented;
  await using plain = await world();
  const reader = openStatusClient({ address: plain.address });
  await assert.rejects(reader.rotate({ plan: false }), refused);
  assert.equal((await reader.rotate({ plan: true })).tunnels, 5);
  const { body } = await curl(`${plain.url}/psp.v1.StatusService/PlanRotation`);
  assert.deepEqual(JSON.parse(body).peers, ["h2"]);
  await using admin = await world({ admin: true });
  const view = await openStatusClient({ address: admin.socket }).rotate({ plan: true });
  assert.deepEqual([view.started, view.peers, view.tunnels], [false, ["h2"], 5]);
});

Deno.test("so is reload, and all that it says arrives", async () => {
  await using plain = await world();
  await assert.rejects(
    openStatusClient({ address: plain.address }).reload({ plan: true }),
    (error: ConnectError) => error.code === Code.Unimplemented,
  );
  await using admin = await world({ admin: true });
  const client = openStatusClient({ address: admin.socket });
  for (const plan of [true, false]) {
    assert.deepEqual(await client.reload({ plan }), await source().reload({ plan }));
  }
});

Deno.test("beyond loopback: TLS is needed, and a certificate or a token", async () => {
  using lab = await Lab.make(["h1"]);
  const files = lab.files("h1");
  await assert.rejects(world({ listen: "0.0.0.0:0" }), /without TLS: set "status.tls"/);

  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "short\n");
  await assert.rejects(world({ tls: files, tokenFile }), /at least 16 characters/);
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef\n");

  await using certified = await world({ listen: "0.0.0.0:0", tls: files });
  const pair = ["--cert", files.cert, "--key", files.key];
  assert.equal((await curl("-k", `${certified.url}/healthz`)).status, 0);
  assert.equal((await curl("-k", ...pair, `${certified.url}/healthz`)).status, 200);

  await using either = await world({ listen: "0.0.0.0:0", tls: files, tokenFile });
  const bearer = (token: string) => ["-H", `Authorization: Bearer ${token}`];
  assert.equal((await curl("-k", `${either.url}/metrics`)).status, 401);
  assert.equal(
    (await curl("-k", ...bearer("0123456789abcdeX"), `${either.url}/metrics`)).status,
    401,
  );
  assert.equal(
    (await curl("-k", ...bearer("0123456789abcdef"), `${either.url}/metrics`)).status,
    200,
  );
  assert.equal((await curl("-k", ...pair, `${either.url}/metrics`)).status, 200);
  assert.equal(either.events.counts.get("status-unauthorized"), 2);
  await lab.ca("other");
  await lab.issue("h1", { ca: "other" });
  const { cert, key } = lab.files("h1", "other");
  assert.notEqual(
    (await curl("-k", "--cert", cert, "--key", key, `${either.url}/metrics`)).status,
    200,
  );

  const client = openStatusClient({ address: either.address, tls: files, tokenFile });
  assert.equal((await client.status()).id, STATUS.id);
});

Deno.test("a command asks its own agent by any address, and others of the CA by their name only", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef");
  const tls = lab.files("h1");
  for (const listen of ["127.0.0.1:0", "[::1]:0"]) {
    const told = async (agent: string) => {
      await using w = await world({ listen, tls: lab.files(agent), tokenFile });
      const address = listen.replace(/0$/, `${w.server.address.port}`);
      await using client = openStatusClient({ address, tls, tokenFile });
      const said = await client.status().then(() => "", (error: ConnectError) => error.rawMessage);
      return { said, unauthorized: w.events.counts.get("status-unauthorized") };
    };
    assert.deepEqual(await told("h1"), { said: "", unauthorized: undefined });
    assert.match((await told("h2")).said, /: its certificate is refused: .*(IP|altnames)/);
    await lab.issue("h2", { ips: ["127.0.0.1", "::1"] });
    assert.equal((await told("h2")).said, "");
    await lab.issue("h2");
  }
});

Deno.test("a token is asked for on loopback too, when one is configured", async () => {
  using lab = await Lab.make([]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef");
  await using w = await world({ tokenFile });
  assert.equal((await curl(`${w.url}/healthz`)).status, 401);
  await assert.rejects(
    openStatusClient({ address: w.address }).status(),
    (error: ConnectError) => error.code === Code.Unauthenticated,
  );
  assert.equal(
    (await openStatusClient({ address: w.address, tokenFile }).status()).version,
    VERSION,
  );
});

Deno.test("a refusal arrives as such every time, not as a broken connection", async () => {
  await using w = await world({ admin: false });
  await using client = openStatusClient({ address: w.address });
  for (let i = 0; i < 20; i++) {
    await assert.rejects(
      client.rotate({ plan: false }),
      (error: ConnectError) => error.code === Code.Unimplemented,
    );
  }
});

Deno.test("who speaks TLS to one that does not, or the other way round, is told", async () => {
  using lab = await Lab.make();
  const tls = lab.files("h1");
  await using plain = await world();
  await using secret = await world({ tls });
  const told = async (options: Parameters<typeof openStatusClient>[0]) => {
    await using client = openStatusClient(options);
    return await client.status().then(() => "", (error: ConnectError) => error.rawMessage);
  };
  assert.match(await told({ address: plain.address, tls }), /one side speaks TLS and the other/);
  assert.match(await told({ address: secret.address }), /one side speaks TLS and the other/);
  const other = lab.files("h1", "other");
  await lab.ca("other");
  await lab.issue("h1", { ca: "other" });
  assert.match(await told({ address: secret.address, tls: other }), /not signed by the CA/);
});

Deno.test("a stranger whose body comes after its refusal is refused, and does no harm", async () => {
  using lab = await Lab.make([]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef");
  await using w = await world({ tokenFile });
  const session = openSession(w.url);
  const post = () => session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
  const status = (request: http2.ClientHttp2Stream) =>
    new Promise<unknown>((resolve) => {
      request.once("response", (headers) => resolve(headers[":status"]));
    });
  const request = post();
  request.on("error", () => {});
  request.write("the first half");
  assert.equal(await status(request), 401);
  request.end("the second");
  request.resume();
  // The connection goes on.
  const another = post();
  another.end("whole");
  assert.equal(await status(another), 401);
  session.destroy();
  assert.equal((await curl(`${w.url}/healthz`)).status, 401);
});

Deno.test("the page needs no credentials, runs nothing but its own, and its calls need them", async () => {
  await buildPage();
  using lab = await Lab.make(["h1"]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef");
  await using w = await world({ tls: lab.files("h1"), tokenFile });
  const page = await curl("-k", "-D", "-", `${w.url}/`);
  assert.equal(page.status, 200);
  const policy = /^content-security-policy: (.*)$/im.exec(page.body)?.[1] ?? "";
  assert.match(
    policy,
    /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; /,
  );
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  const markup = page.body.replace(/<script[^]*<\/script>/, "");
  assert.doesNotMatch(markup, /(?:src|href)="(?!data:,")/, "nothing is fetched from anywhere");
  assert.equal((await curl("-k", "-X", "POST", `${w.url}/`)).status, 401);
  assert.equal((await curl("-k", `${w.url}/psp.v1.StatusService/GetStatus`)).status, 401);
});

Deno.test("on loopback a stranger may read, and change nothing, nor see what tenants send", async () => {
  await using w = await world({ admin: true });
  const call = (service: string) =>
    curl("-H", "content-type: application/json", "-d", "{}", `${w.url}/psp.v1.${service}`);
  assert.equal((await call("StatusService/GetStatus")).status, 200);
  for (
    const guarded of [
      "AdminService/Rotate",
      "StatusService/WatchSamples",
      "StatusService/ListLogLines",
    ]
  ) {
    const { status, body } = await call(guarded);
    assert.equal(status, 401, guarded);
    assert.match(body, /status\.token_file, or the agent's Unix socket/);
  }
  assert.equal(w.events.counts.get("status-unauthorized"), 3);
  const bySocket = await openStatusClient({ address: w.socket }).logLines();
  assert.deepEqual(bySocket, LOG_LINES);
});

Deno.test("with a token, reading on loopback is open or not as the configuration says", async () => {
  const tokenFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(tokenFile, "0123456789abcdef");
    const rows = [[undefined, 401], ["token", 401], ["open", 200]] as const;
    for (const [loopback, expected] of rows) {
      const config = { tokenFile, admin: true, ...loopback === undefined ? {} : { loopback } };
      await using w = await world(config);
      const read = await curl(`${w.url}/psp.v1.StatusService/GetStatus`);
      assert.equal(read.status, expected, loopback);
      await using client = openStatusClient({ address: w.address, tokenFile });
      assert.equal((await client.rotate({ plan: true })).started, false);
    }
  } finally {
    await Deno.remove(tokenFile);
  }
});

Deno.test("the Unix socket is its owner's alone, needs no token, and may change things", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/run/agent.sock`;
    const socket = { path, optional: false };
    const w = await world({ admin: true, loopback: "token" }, source(), { socket });
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    assert.equal((await curl(`${w.url}/psp.v1.StatusService/GetStatus`)).status, 401);
    await using client = openStatusClient({ address: path });
    assert.equal((await client.status()).id, STATUS.id);
    assert.equal((await client.rotate({ plan: true })).message, "would rekey");
    const stop = new AbortController();
    for await (const _ of client.samples(stop.signal)) stop.abort();
    const page = await curl("--unix-socket", path, "http://localhost/healthz");
    assert.deepEqual(page, { status: 200, body: "ok\n" });

    await assert.rejects(world({}, source(), { socket }), /another agent answers there/);
    const other = await world({}, source(), { socket: { path, optional: true } });
    await other[Symbol.asyncDispose]();
    await w[Symbol.asyncDispose]();
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a socket that an agent left behind is replaced, a file is not", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/agent.sock`;
    const left = await new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `Deno.listen({ transport: "unix", path: ${
          JSON.stringify(path)
        } }); Deno.kill(Deno.pid, "SIGKILL")`,
      ],
    }).output();
    assert.equal(left.signal, "SIGKILL");
    assert.ok(Deno.lstatSync(path).isSocket);
    const w = await world({}, source(), { socket: { path, optional: false } });
    await w[Symbol.asyncDispose]();
    Deno.writeTextFileSync(path, "kept");
    await assert.rejects(
      world({}, source(), { socket: { path, optional: false } }),
      /Cannot listen on ".*agent\.sock" \(status\.socket\): something else is there/,
    );
    assert.equal(Deno.readTextFileSync(path), "kept");
    const group = { socketGroup: "no-such-group" };
    Deno.removeSync(path);
    await assert.rejects(
      world(group, source(), { socket: { path, optional: false } }),
      /no group "no-such-group"/,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("metrics and probes have a listener of their own when wanted, open to all and to nothing else", async () => {
  const port = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const metricsListen = `127.0.0.1:${port.addr.port}`;
  port.close();
  await using _ = await world({ loopback: "token", metricsListen });
  for (const path of ["metrics", "healthz", "readyz"]) {
    assert.equal((await curl(`http://${metricsListen}/${path}`)).status, 200, path);
  }
  for (const path of ["", "psp.v1.StatusService/GetStatus"]) {
    assert.equal((await curl(`http://${metricsListen}/${path}`)).status, 404, path);
  }
});
