// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as http from "node:http";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { Config } from "../../src/config/config.ts";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import { startStatusServer, type StatusServer } from "../../src/rpc/status_server.ts";
import { tunnelToken } from "../../src/rpc/status_service.ts";
import type { SampleView, StatusSource, StatusView, TunnelView } from "../../src/status.ts";
import { ears, type Heard, Lab } from "./lab.ts";

const STATUS: StatusView = {
  id: "spiffe://example.org/psp/h1",
  version: "0.1.0",
  bootEpoch: 2n ** 63n + 1n,
  startedAtMs: 1_700_000_000_123,
  plane: { kind: "soft", version: "1", uplink: "up0", host: "host0", backend: "openssl" },
  peers: [{
    id: "h2",
    svcAddress: "192.0.2.2:7443",
    vips: ["10.2.0.0/24"],
    circuit: "half-open",
    failures: 3,
    lastError: 'a "quoted" text',
    nextAttemptAtMs: 1_700_000_001_000,
    bootEpoch: 5n,
    tunnels: 2,
  }],
  tunnels: { opening: 1, up: 2, rekeying: 3, failed: 4 },
  counters: { "rx-auth-fail": 2n ** 60n, "tx_key_expired": 0n, "rotations": 8n },
  rotation: { rotations: 7n, sasOnOldKey: 1, nextAtMs: 1_700_000_100_000, spisLeft: 99n },
  mtu: { uplink: 1500, overhead: 80, largestInnerPacket: 1420 },
  certificateExpiresAtMs: 1_800_000_000_000,
  draining: false,
};

const TUNNELS: readonly TunnelView[] = ["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.5"]
  .map((remoteVip, i) => ({
    peer: i < 4 ? "h2" : "h3",
    localVip: "10.1.0.1",
    remoteVip,
    state: "up",
    tx: {
      spi: 0x8000_0001 + i,
      version: "aes-gcm-256",
      createdAtMs: 1_700_000_000_000,
      expiresAtMs: 1_700_003_600_000,
      packets: 10n,
      bytes: 1000n,
    },
    openedAtMs: 1_700_000_000_000,
    lastError: "",
  }));

const SAMPLE: SampleView = {
  timeNs: 1_700_000_000_123_456_789n,
  direction: "ingress",
  srcVip: "10.2.0.1",
  dstVip: "10.1.0.1",
  spi: 7,
  length: 100,
  data: new Uint8Array([69, 0]),
  lost: 3,
};

function source(changes: Partial<StatusSource> = {}): StatusSource {
  return {
    status: () => STATUS,
    tunnels: ({ peer, after, limit }) =>
      TUNNELS.filter((t) => peer === undefined || t.peer === peer)
        .filter((t) => after === undefined || tunnelToken(t) > after).slice(0, limit),
    pipes: () => [
      {
        name: "EGR_ACL",
        entries: 5,
        packets: 1n,
        bytes: 2n,
        missPackets: 3n,
        missBytes: 4n,
        staticEntries: [{ name: "one", packets: 5n, bytes: 6n }],
      },
    ],
    async *samples(signal) {
      yield SAMPLE;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
    rotate: ({ plan }) =>
      Promise.resolve({
        started: !plan,
        message: "would rekey",
        rotation: STATUS.rotation,
        peers: ["h2"],
        tunnels: 5,
      }),
    ...changes,
  };
}

interface World extends AsyncDisposable {
  readonly server: StatusServer;
  readonly address: string;
  readonly url: string;
  readonly events: Heard;
}

async function world(config: Partial<Config["status"]> = {}, of = source()): Promise<World> {
  const events = ears();
  const server = await startStatusServer({
    config: { listen: "127.0.0.1:0", admin: false, ...config },
    source: of,
    events,
  });
  const address = `127.0.0.1:${server.address.port}`;
  const url = `${config.tls ? "https" : "http"}://${address}`;
  return { server, address, url, events, [Symbol.asyncDispose]: () => server.close() };
}

async function curl(...args: string[]): Promise<{ status: number; body: string }> {
  const { stdout } = await new Deno.Command("curl", {
    args: ["-s", "-m", "5", "-w", "\n%{http_code}", ...args],
  }).output();
  const text = new TextDecoder().decode(stdout);
  const at = text.lastIndexOf("\n");
  return { status: Number(text.slice(at + 1)), body: text.slice(0, at) };
}

Deno.test("the views arrive at the client as they were", async () => {
  await using w = await world();
  await using client = openStatusClient({ address: w.address });
  assert.deepEqual(await client.status(), STATUS);
  const tunnels: TunnelView[] = [];
  for await (const tunnel of client.tunnels()) tunnels.push(tunnel);
  assert.deepEqual(tunnels, TUNNELS);
  assert.equal((await client.pipes())[0]?.missBytes, 4n);
  assert.deepEqual((await client.pipes())[0]?.staticEntries, [
    { name: "one", packets: 5n, bytes: 6n },
  ]);
  const stop = new AbortController();
  for await (const sample of client.samples(stop.signal)) {
    assert.deepEqual(sample, SAMPLE);
    stop.abort();
  }
});

Deno.test("tunnels come in pages, and by peer", async () => {
  await using w = await world();
  const list = async (query: Record<string, unknown>) => {
    const url = `${w.url}/psp.v1.StatusService/ListTunnels?connect=v1&encoding=json&message=${
      encodeURIComponent(JSON.stringify(query))
    }`;
    return await (await fetch(url)).json();
  };
  const first = await list({ pageSize: 3 });
  assert.equal(first.tunnels.length, 3);
  const second = await list({ pageSize: 3, pageToken: first.nextPageToken });
  assert.deepEqual(second.tunnels.map((t: TunnelView) => t.remoteVip), ["10.2.0.4", "10.2.0.5"]);
  assert.equal(second.nextPageToken, undefined);
  assert.equal((await list({ peer: "h3" })).tunnels.length, 1);
});

Deno.test("curl reads status by GET and POST, over HTTP/1.1 and HTTP/2", async () => {
  await using w = await world();
  const method = `${w.url}/psp.v1.StatusService/GetStatus`;
  for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
    const post = await curl(version, "-H", "content-type: application/json", "-d", "{}", method);
    const get = await curl(version, `${method}?connect=v1&encoding=json&message=%7B%7D`);
    for (const { status, body } of [post, get]) {
      assert.equal(status, 200);
      assert.equal(JSON.parse(body).bootEpoch, "9223372036854775809");
    }
  }
});

Deno.test("healthz says whether the agent takes work", async () => {
  let draining = false;
  await using w = await world({}, source({ status: () => ({ ...STATUS, draining }) }));
  assert.deepEqual(await curl(`${w.url}/healthz`), { status: 200, body: "ok\n" });
  draining = true;
  assert.deepEqual(await curl(`${w.url}/healthz`), { status: 503, body: "draining\n" });
  assert.equal((await curl(`${w.url}/nothing`)).status, 404);
});

Deno.test("metrics are Prometheus text", async () => {
  await using w = await world();
  const { status, body } = await curl(`${w.url}/metrics`);
  assert.equal(status, 200);
  for (
    const line of [
      "# TYPE psp_agent_rx_auth_fail_total counter",
      "psp_agent_rx_auth_fail_total 1152921504606846976",
      "psp_agent_tx_key_expired_total 0",
      'psp_agent_tunnels{state="up"} 2',
      'psp_agent_peer_up{peer="h2"} 0',
      "psp_agent_certificate_expiry_time_seconds 1800000000",
      'psp_agent_pipe_miss_packets_total{pipe="EGR_ACL"} 3',
      "psp_agent_rotations_total 7",
    ]
  ) assert.ok(body.split("\n").includes(line), line);
  const families = body.match(/^# TYPE (\S+)/gm) ?? [];
  assert.equal(new Set(families).size, families.length, "each family once");
  assert.ok(
    body.split("\n").every((l) => l === "" || /^# TYPE |^psp_agent_\w+(\{[^}]*\})? \S+$/.test(l)),
  );
});

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

Deno.test("rotate is there only for an admin listener", async () => {
  const refused = (error: ConnectError) => error.code === Code.Unimplemented;
  await using plain = await world();
  await assert.rejects(
    openStatusClient({ address: plain.address }).rotate({ plan: true }),
    refused,
  );
  await using admin = await world({ admin: true });
  const view = await openStatusClient({ address: admin.address }).rotate({ plan: true });
  assert.deepEqual([view.started, view.peers, view.tunnels], [false, ["h2"], 5]);
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
    "0.1.0",
  );
});

Deno.test("a refusal arrives as such every time, not as a broken connection", async () => {
  await using w = await world({ admin: false });
  await using client = openStatusClient({ address: w.address });
  for (let i = 0; i < 20; i++) {
    await assert.rejects(
      client.rotate({ plan: true }),
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

Deno.test("nobody there is one sentence", async () => {
  await assert.rejects(
    openStatusClient({ address: "127.0.0.1:1" }).status(),
    (error: ConnectError) =>
      error.code === Code.Unavailable &&
      /^\[unavailable\] Cannot ask the agent at "127/.test(error.message),
  );
});

Deno.test("closing does not wait for somebody who watches samples", async () => {
  const w = await world();
  const watching = Promise.withResolvers<void>();
  const over = (async () => {
    for await (
      const _ of openStatusClient({ address: w.address }).samples(new AbortController().signal)
    ) {
      watching.resolve();
    }
  })().catch(() => {});
  await watching.promise;
  const startedAt = performance.now();
  await w.server.close(100);
  await over;
  assert.ok(performance.now() - startedAt < 1000);
});
