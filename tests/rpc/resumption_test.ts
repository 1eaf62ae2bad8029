// SPDX-License-Identifier: Apache-2.0

/** A resumed TLS session proves nothing: the runtime resumes what any TLS server of the process gave out. */
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { createHash, X509Certificate } from "node:crypto";
import { requestToProto } from "../../src/rpc/tunnel_codec.ts";
import { NewTunnelRequestSchema } from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { toJsonString } from "@bufbuild/protobuf";
import { preventReentry } from "../../src/rpc/h2_session.ts";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import { keyPem, make } from "./certificates.ts";
import { CALL, clientOf, ears, Lab, recorder, request, start, TRUST } from "./lab.ts";
import { world } from "./status_lab.ts";
import { dial } from "./tls_client.ts";

const TOKEN = "0123456789abcdef";
const BEARER = `Authorization: Bearer ${TOKEN}`;
const NEW_TUNNEL = {
  path: "/psp.v1.TunnelService/NewTunnel",
  body: toJsonString(NewTunnelRequestSchema, requestToProto(request())),
};

/** h2's two listeners: the control listener, and the status listener with TLS and a token. */
async function twoListeners(lab: Lab) {
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, TOKEN);
  const [handler, events, tls] = [recorder(), ears(), lab.store("h2")];
  const stack = new AsyncDisposableStack();
  const control = stack.use(await start({ tls, handler, events }));
  const status = stack.use(await world({ tls: lab.files("h2"), tokenFile }));
  return {
    handler,
    events,
    tls,
    control,
    status,
    ports: { control: control.address.port, status: status.server.address.port },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

Deno.test("a stranger's session of the status listener opens nothing at the control listener", async () => {
  using lab = await Lab.make(["h2"]);
  await using h2 = await twoListeners(lab);
  // It says that it is h1, and signs that itself.
  const stranger = await make();
  const [cert, key, session] = ["cert", "key", "session"].map((name) => `${lab.dir}/${name}`);
  Deno.writeTextFileSync(cert ?? "", stranger.pem);
  Deno.writeTextFileSync(key ?? "", await keyPem(stranger));
  const pair = { cert: cert ?? "", key: key ?? "" };

  const first = await dial({ port: h2.ports.status, ...pair, keep: session ?? "" });
  assert.deepEqual([first.resumed, first.status], [false, 401]);
  const second = await dial({
    port: h2.ports.control,
    ...pair,
    resume: session ?? "",
    ...NEW_TUNNEL,
  });
  assert.equal(second.resumed, true, second.text);
  assert.equal(second.status, 0, second.text);
  assert.equal(h2.handler.calls.length, 0);
  assert.equal(h2.events.counts.get("sessions-resumed"), 1);
  assert.match(h2.events.lines.join(), /refused for want of .*"its TLS session was resumed"/);
  assert.equal(h2.control.connections(), 0);
});

/** What may have happened to h1 since its session began. */
const SINCE: Readonly<
  Record<string, (lab: Lab, h2: Awaited<ReturnType<typeof twoListeners>>) => Promise<void>>
> = {
  "nothing": async () => {},
  "its CA was replaced": async (lab, h2) => {
    await lab.ca("new");
    await lab.issue("h2", { ca: "new" });
    for (const file of ["h2.crt", "h2.key", "ca.crt"]) {
      Deno.copyFileSync(`${lab.dir}/new/${file}`, `${lab.dir}/ca/${file}`);
    }
    assert.ok(h2.tls.reload());
    h2.status.server.reload();
  },
  "it has expired": async (lab) => {
    const { validToDate } = new X509Certificate(Deno.readTextFileSync(lab.files("h1").cert));
    const leftMs = (validToDate?.getTime() ?? NaN) + 1000 - Date.now();
    await new Promise((resolve) => setTimeout(resolve, leftMs));
  },
  "it is denied": (lab, h2) => {
    const { raw } = new X509Certificate(Deno.readTextFileSync(lab.files("h1").cert));
    const deny = [`sha256:${createHash("sha256").update(raw).digest("hex")}`];
    h2.control.setTrust({ ...TRUST, deny });
    h2.status.server.setTrust({ ...TRUST, deny });
    return Promise.resolve();
  },
};

for (const [what, happen] of Object.entries(SINCE)) {
  Deno.test(`a good certificate's session is not taken for it; since then: ${what}`, async () => {
    using lab = await Lab.make(["h2"]);
    await lab.issue("h1", { days: what === "it has expired" ? 5 / 86_400 : 90 });
    await using h2 = await twoListeners(lab);
    const { cert, key } = lab.files("h1");
    const pair = { cert, key };
    const kept = (name: string) => `${lab.dir}/${name}.session`;

    const fresh = await dial({ port: h2.ports.control, ...pair, ...NEW_TUNNEL, keep: kept("0") });
    assert.deepEqual([fresh.resumed, fresh.status], [false, 200], fresh.text);
    const read = await dial({ port: h2.ports.status, ...pair, keep: kept("1") });
    assert.deepEqual([read.resumed, read.status], [false, 200], read.text);
    await happen(lab, h2);

    const again = await dial({ port: h2.ports.control, ...pair, ...NEW_TUNNEL, resume: kept("0") });
    assert.deepEqual([again.resumed, again.status], [true, 0], again.text);
    // Each resumed session brings the ticket of the next: certificates do not count, tokens do.
    for (const n of [1, 2, 3]) {
      const headers = n === 2 ? [BEARER] : [];
      const [resume, keep] = [kept(`${n}`), kept(`${n + 1}`)];
      const next = await dial({ port: h2.ports.status, ...pair, headers, resume, keep });
      assert.deepEqual([next.resumed, next.status], [true, n === 2 ? 200 : 401], next.text);
    }
    const chained = await dial({
      port: h2.ports.control,
      ...pair,
      ...NEW_TUNNEL,
      resume: kept("4"),
    });
    assert.deepEqual([chained.resumed, chained.status], [true, 0], chained.text);
    assert.equal(h2.handler.calls.length, 1);
    assert.equal(h2.events.counts.get("sessions-resumed"), 2);
    assert.equal(h2.status.events.counts.get("sessions-resumed"), 3);
  });
}

Deno.test("a resumed session is refused before HTTP/2 begins, too", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const events = ears();
  await using server = await start({ tls: lab.store("h2"), events });
  const { cert, key } = lab.files("h1");
  const how = { port: server.address.port, cert, key, h2: true };
  const keep = `${lab.dir}/session`;
  assert.equal((await dial({ ...how, keep })).resumed, false);
  assert.equal(events.counts.get("sessions-resumed"), undefined);
  assert.equal((await dial({ ...how, resume: keep })).resumed, true);
  assert.equal(events.counts.get("sessions-resumed"), 1);
});

Deno.test("who comes again and again with resumed sessions uses up what his address may", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const [events, burst] = [ears(), 3];
  const admission = { pending: 9, pendingPerAddress: 9, ratePerS: 0.001, burst };
  await using server = await start({ tls: lab.store("h2"), events, admission });
  const { cert, key } = lab.files("h1");
  const how = { port: server.address.port, cert, key, ...NEW_TUNNEL };
  const kept = (i: number) => `${lab.dir}/session${i}`;
  // Good handshakes cost nothing.
  for (let i = 0; i <= burst; i++) {
    assert.equal((await dial({ ...how, keep: kept(i) })).status, 200);
  }
  for (let i = 0; i <= burst; i++) {
    assert.equal((await dial({ ...how, resume: kept(i) })).status, 0);
  }
  assert.equal(events.counts.get("sessions-resumed"), burst);
  assert.equal(events.counts.get("handshakes-limited"), 1);
});

Deno.test("where the status listener has no token, a resumed session is refused", async () => {
  using lab = await Lab.make(["h1"]);
  await using w = await world({ tls: lab.files("h1") });
  const { cert, key } = lab.files("h1");
  const how = { port: w.server.address.port, cert, key };
  const keep = `${lab.dir}/session`;
  assert.equal((await dial({ ...how, keep })).status, 200);
  const again = await dial({ ...how, resume: keep });
  assert.deepEqual([again.resumed, again.status], [true, 0], again.text);
  assert.equal((await dial(how)).status, 200);
});

Deno.test("our clients take tickets, and never use one", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  const files = lab.read("h2");
  const sessions: boolean[] = [];
  const server = http2.createSecureServer({ ...files, requestCert: true, allowHTTP1: true });
  server.on("session", preventReentry);
  server.on("secureConnection", (socket) => sessions.push(socket.isSessionReused()));
  server.on("request", (_request, response) => {
    response.statusCode = 404;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  // The server gives tickets that can be used.
  const keep = `${lab.dir}/session`;
  const { cert, key } = lab.files("h1");
  await dial({ port, cert, key, keep });
  assert.equal((await dial({ port, cert, key, resume: keep })).resumed, true);
  assert.deepEqual(sessions.splice(0), [false, true]);

  const tls = lab.store("h1");
  using client = clientOf({ address: { hostname: "", port } } as never, { tls });
  for (let i = 0; i < 3; i++) {
    await assert.rejects(client.newTunnel("h2", request(), CALL));
    client.setTrust({ ...TRUST, deny: ["h2"] });
    client.setTrust(TRUST);
  }
  // On the agent's own host its files serve both sides.
  const asker = openStatusClient({ address: `127.0.0.1:${port}`, tls: lab.files("h2") });
  for (let i = 0; i < 3; i++) await assert.rejects(asker.status());
  assert.deepEqual(sessions, Array(6).fill(false));
  server.close();
});
