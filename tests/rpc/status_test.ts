// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { create, toJson, toJsonString } from "@bufbuild/protobuf";
import { Code, type ConnectError, createClient, createHandlerContext } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import {
  GetStatusResponseSchema,
  PeerStatusSchema,
  StatusService,
} from "../../src/rpc/gen/psp/v1/status_pb.ts";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import type { AgentEvent } from "../../src/model/events.ts";
import { peerToProto } from "../../src/rpc/status_codec.ts";
import { PeersInParts } from "../../src/rpc/status_parts.ts";
import type { PeerView, TunnelView } from "../../src/model/status.ts";
import { limitMs } from "../support/scale.ts";
import { curl, EVENTS, SAMPLE, source, STATUS, TUNNELS, world } from "./status_lab.ts";

Deno.test("the views arrive at the client as they were", async () => {
  await using w = await world();
  await using client = openStatusClient({ address: w.address });
  assert.deepEqual(await client.status(), STATUS);
  const tunnels: TunnelView[] = [];
  for await (const page of client.tunnels()) tunnels.push(...page);
  assert.deepEqual(tunnels, TUNNELS);
  assert.equal((await client.pipes())[0]?.missBytes, 4n);
  assert.deepEqual((await client.pipes())[0]?.staticEntries, [
    { name: "one", packets: 5n, bytes: 6n },
  ]);
  const stop = new AbortController();
  await using known = openStatusClient({ address: w.socket });
  for await (const sample of known.samples(stop.signal)) {
    assert.deepEqual(sample, SAMPLE);
    stop.abort();
  }
});

Deno.test("events are listed by page, and watched from a cursor on", async () => {
  await using w = await world();
  await using client = openStatusClient({ address: w.address });
  const all: AgentEvent[] = [];
  for await (const event of client.events({})) all.push(event);
  assert.deepEqual(all, EVENTS);
  const stop = new AbortController();
  for await (const event of client.watchEvents({ after: 7 }, stop.signal)) {
    assert.deepEqual(event, EVENTS[1]);
    stop.abort();
  }
  const { body } = await curl(`${w.url}/psp.v1.StatusService/ListEvents`);
  assert.equal(JSON.parse(body).events[1].txSpi, 0x8000_0001);
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

Deno.test("who asks for few peers is told of few, and whoever does not say of all", async () => {
  const asked: unknown[] = [];
  await using w = await world(
    {},
    source({
      peerParts: (query) => {
        asked.push(query?.maxPeers);
        return [STATUS.peers];
      },
    }),
  );
  await using client = openStatusClient({ address: w.address });
  await client.status({ maxPeers: 7 });
  await client.status();
  await curl(`${w.url}/healthz`);
  assert.deepEqual(asked, [7, undefined]);
});

Deno.test("while all peers are told of, everybody else has his turn after each long part", async () => {
  const parts = 12;
  let turns = 0;
  let turnsBefore: number | undefined;
  const peers = STATUS.peers.slice(0, 1);
  await using w = await world(
    {},
    source({
      *peerParts() {
        turnsBefore ??= turns;
        for (let i = 0; i < parts; i++) {
          const began = performance.now();
          while (performance.now() - began < 6);
          yield peers;
        }
        turnsBefore = turns - turnsBefore;
      },
    }),
  );
  const timer = setInterval(() => turns++, 0);
  try {
    await using client = openStatusClient({ address: w.address });
    assert.equal((await client.status()).peers.length, parts);
  } finally {
    clearInterval(timer);
  }
  assert.ok(turnsBefore !== undefined && turnsBefore >= parts - 1, `${turnsBefore} turns`);
});

/** More than one part of the peers of an answer. */
const MANY_PEERS = Array.from({ length: 300 }, (_, i): PeerView => ({
  ...STATUS.peers[0] as PeerView,
  id: `p${i} "in quotes" \u00fc`,
}));

function* manyParts(): Generator<readonly PeerView[]> {
  for (let i = 0; i < MANY_PEERS.length; i += 64) yield MANY_PEERS.slice(i, i + 64);
}

Deno.test("peers that were encoded in parts are in the answer as if they had been encoded in one", async () => {
  await using w = await world({}, source({ peerParts: manyParts }));
  await using client = openStatusClient({ address: w.address });
  const { peers } = await client.status();
  assert.deepEqual(peers, MANY_PEERS);
  const grpc = createClient(
    StatusService,
    createGrpcTransport({ baseUrl: w.url }),
  );
  const expected = MANY_PEERS.map((peer) => toJson(PeerStatusSchema, peerToProto(peer)));
  const message = await grpc.getStatus({});
  assert.deepEqual(message.peers.map((peer) => toJson(PeerStatusSchema, peer)), expected);
  const method = `${w.url}/psp.v1.StatusService/GetStatus`;
  const bodies = await Promise.all([
    curl("-H", "content-type: application/json", "-d", "{}", method),
    curl(method),
    curl(method),
  ]);
  for (const { body } of bodies) assert.deepEqual(JSON.parse(body).peers, expected);
});

Deno.test("no piece of encoding is longer than a part of the peers", async () => {
  const context = createHandlerContext({
    service: StatusService,
    method: StatusService.method.getStatus,
    protocolName: "connect",
    requestMethod: "POST",
    url: "http://127.0.0.1/",
    requestHeader: { "content-type": "application/json" },
  });
  const parts = new PeersInParts();
  const answer = await parts.encode([...manyParts()].map((part) => part.map(peerToProto)), context);
  assert.equal(answer.peers.length, 1);
  const { textEncoder } = parts.jsonOptions;
  const text = toJsonString(GetStatusResponseSchema, create(GetStatusResponseSchema, answer));
  assert.ok(text.length < 100, `connect has ${text.length} characters to encode`);
  const whole = new TextDecoder().decode(textEncoder.encode(text));
  assert.equal(JSON.parse(whole).peers.length, MANY_PEERS.length);
  context.abort();
  assert.equal(new TextDecoder().decode(textEncoder.encode(text)), text, "it is kept");
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

Deno.test("gRPC's own health check says the same as healthz, and when it changes", async () => {
  let faults: readonly string[] = [];
  await using w = await world({}, source({ status: () => ({ ...STATUS, faults }) }));
  const transport = createGrpcTransport({ baseUrl: w.url });
  const health = createClient(Health, transport);
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  assert.equal((await health.check({})).status, SERVING);
  assert.equal((await health.check({ service: "psp.v1.StatusService" })).status, SERVING);
  await assert.rejects(
    health.check({ service: "psp.v1.Nothing" }),
    (error: ConnectError) => error.code === Code.NotFound,
  );
  const stop = new AbortController();
  const seen: number[] = [];
  try {
    for await (const { status } of health.watch({}, { signal: stop.signal })) {
      seen.push(status);
      faults = ["interface p0 is gone"];
      if (seen.length === 2) stop.abort();
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  assert.deepEqual(seen, [SERVING, NOT_SERVING]);
  assert.equal((await curl(`${w.url}/healthz`)).status, 503);
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
      "# TYPE psp_agent_drops_total counter",
      'psp_agent_drops_total{reason="rx-auth-fail"} 1152921504606846976',
      "psp_agent_tx_key_expired_total 0",
      "# HELP psp_agent_rx_packets_total Packets opened.",
      "psp_agent_rx_packets_total 9",
      'psp_agent_tunnels{state="up"} 2',
      'psp_agent_peer_up{peer="h2"} 0',
      "psp_agent_certificate_expiry_time_seconds 1800000000",
      'psp_agent_pipe_miss_packets_total{pipe="EGR_ACL"} 3',
      "psp_agent_rotations_total 7",
      'psp_agent_ingress_guard{port="uplink",interface="up0"} 1',
      'psp_agent_ingress_guard{port="host",interface="host0"} 0',
      'psp_agent_port_up{port="host",interface="host1",network="blue"} 0',
      'psp_agent_port_workloads{port="host",interface="host1",network="blue"} 3',
      'psp_agent_port_rx_packets_total{port="host",interface="host1",network="blue"} 1152921504606846976',
      'psp_agent_port_dropped_packets_total{port="host",interface="host1",network="blue"} 10',
      'psp_agent_exchange_seconds_bucket{le="+Inf"} 4',
      'psp_agent_misses_refused_total{reason="no-peer"} 0',
      "process_resident_memory_bytes 4096",
    ]
  ) assert.ok(body.split("\n").includes(line), line);
  const families = body.match(/^# TYPE (\S+)/gm) ?? [];
  assert.equal(new Set(families).size, families.length, "each family once");
  assert.equal(body.match(/^# HELP \S+ \S/gm)?.length, families.length, "each with its words");
  const line = /^# (TYPE|HELP) |^(psp_agent|process)_\w+(\{[^}]*\})? \S+$/;
  assert.ok(body.split("\n").every((l) => l === "" || line.test(l)));
});

Deno.test("metrics are OpenMetrics for who asks for it, with units", async () => {
  await using w = await world();
  const response = await fetch(`${w.url}/metrics`, {
    headers: { accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" },
  });
  assert.match(response.headers.get("content-type") ?? "", /^application\/openmetrics-text; /);
  const lines = (await response.text()).split("\n");
  assert.deepEqual(lines.slice(-2), ["# EOF", ""]);
  for (
    const line of [
      "# TYPE psp_agent_drops counter",
      "# TYPE psp_agent_pipe_bytes counter",
      "# UNIT psp_agent_pipe_bytes bytes",
      'psp_agent_pipe_bytes_total{pipe="EGR_ACL"} 2',
      "# UNIT psp_agent_exchange_seconds seconds",
      "# UNIT process_cpu_seconds seconds",
      "process_cpu_seconds_total 1.5",
    ]
  ) assert.ok(lines.includes(line), line);
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
      const _ of openStatusClient({ address: w.socket }).samples(new AbortController().signal)
    ) {
      watching.resolve();
    }
  })().catch(() => {});
  await watching.promise;
  const startedAt = performance.now();
  await w.server.close(100);
  await over;
  assert.ok(performance.now() - startedAt < limitMs(1000));
});
