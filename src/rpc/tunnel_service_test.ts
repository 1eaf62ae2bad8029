// SPDX-License-Identifier: Apache-2.0

import { create, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import assert from "node:assert/strict";
import fc from "fast-check";
import { params, recorder, request } from "../../tests/rpc/lab.ts";
import { SMALLEST } from "../../tests/support/config_text.ts";
import { parseConfig } from "../config/load.ts";
import { MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import { PspMode, PspParamsSchema, PspVersion } from "./gen/psp/v1/psp_pb.ts";
import {
  NewTunnelRequestSchema,
  NewTunnelResponseSchema,
  NotifyRequestSchema,
  TunnelRequestSchema,
  TunnelService,
} from "./gen/psp/v1/tunnel_pb.ts";
import type { Identity } from "./identity.ts";
import {
  address,
  noticeFromProto,
  replyFromProto,
  replyToProto,
  requestFromProto,
  requestToProto,
  wipeReply,
  wipeRequest,
} from "./tunnel_codec.ts";
import { CALLER, callerGate, tunnelRoutes } from "./tunnel_service.ts";
import { SILENT } from "./events.ts";

type Message = ReturnType<typeof good>;

function good() {
  return create(NewTunnelRequestSchema, {
    bootEpoch: 1n,
    requestId: new Uint8Array(16),
    versionsAccepted: [PspVersion.AES_GCM_128],
    tunnels: [create(TunnelRequestSchema, {
      localVip: "10.1.0.1",
      remoteVip: "10.2.0.1",
      reverseParams: create(PspParamsSchema, {
        spi: 0x8000_0001,
        version: PspVersion.AES_GCM_128,
        key: new Uint8Array(16).fill(7),
        pip: "192.0.2.1",
        mac: Uint8Array.of(2, 0, 0, 0, 0, 0xa1),
        mode: PspMode.TUNNEL,
      }),
    })],
  });
}

function first(message: Message) {
  const [tunnel] = message.tunnels;
  const params = tunnel?.reverseParams;
  assert.ok(tunnel && params);
  return { tunnel, params };
}

const BAD: readonly [field: string, spoil: (m: Message) => void][] = [
  ["boot_epoch", (m) => m.bootEpoch = 0n],
  ["request_id", (m) => m.requestId = new Uint8Array(15)],
  ["versions_accepted", (m) => m.versionsAccepted = []],
  ["versions_accepted[1]", (m) => m.versionsAccepted.push(PspVersion.UNSPECIFIED)],
  ["versions_accepted[0]", (m) => m.versionsAccepted = [9 as PspVersion]],
  ["tunnels", (m) => m.tunnels = []],
  ["tunnels", (m) => m.tunnels = Array(257).fill(first(m).tunnel)],
  ["tunnels[0].local_vip", (m) => first(m).tunnel.localVip = "10.1"],
  ["tunnels[0].local_vip", (m) => first(m).tunnel.localVip = "010.1.0.1"],
  ["tunnels[0].local_vip", (m) => first(m).tunnel.localVip = "10.1.0.1/32"],
  ["tunnels[0].local_vip", (m) => first(m).tunnel.localVip = "fe80::1%eth0"],
  ["tunnels[0].remote_vip", (m) => first(m).tunnel.remoteVip = "::ffff:10.2.0.1"],
  ["tunnels[0].remote_vip", (m) => first(m).tunnel.remoteVip = "2001:db8::1"],
  ["tunnels[0].reverse_params", (m) => delete first(m).tunnel.reverseParams],
  ["tunnels[0].reverse_params.spi", (m) => first(m).params.spi = 0],
  ["tunnels[0].reverse_params.spi", (m) => first(m).params.spi = 0x8000_0000],
  ["tunnels[0].reverse_params.version", (m) => first(m).params.version = 0],
  ["tunnels[0].reverse_params.key", (m) => first(m).params.key = new Uint8Array(32).fill(1)],
  ["tunnels[0].reverse_params.key", (m) => first(m).params.key = new Uint8Array(16)],
  ["tunnels[0].reverse_params.pip", (m) => first(m).params.pip = ""],
  ["tunnels[0].reverse_params.pip", (m) => first(m).params.pip = "0.0.0.0"],
  ["tunnels[0].reverse_params.pip", (m) => first(m).params.pip = "224.0.0.1"],
  ["tunnels[0].reverse_params.pip", (m) => first(m).params.pip = "255.255.255.255"],
  ["tunnels[0].reverse_params.pip", (m) => first(m).params.pip = "ff02::1"],
  ["tunnels[0].reverse_params.mac", (m) => first(m).params.mac = new Uint8Array(8)],
  ["tunnels[0].reverse_params.mac", (m) => first(m).params.mac = new Uint8Array(6).fill(0xff)],
  ["tunnels[0].reverse_params.mac", (m) => first(m).params.mac = Uint8Array.of(1, 0, 94, 0, 0, 1)],
  ["tunnels[0].reverse_params.crypt_offset", (m) => first(m).params.cryptOffset = 64],
  ["tunnels[0].reverse_params.mode", (m) => first(m).params.mode = PspMode.UNSPECIFIED],
];

for (const [i, [field, spoil]] of BAD.entries()) {
  Deno.test(`a bad ${field} is invalid_argument and is named (${i})`, () => {
    const message = good();
    spoil(message);
    assert.throws(() => requestFromProto(message), (error: ConnectError) => {
      assert.equal(error.code, Code.InvalidArgument);
      assert.ok(error.rawMessage.startsWith(`Field "${field}": `), error.rawMessage);
      return true;
    });
  });
}

Deno.test("a good request becomes domain objects, and its key leaves the message", () => {
  const message = good();
  message.tunnels.push(create(TunnelRequestSchema, {
    ...first(good()).tunnel,
    localVip: "2001:DB8:0:0::1",
    remoteVip: "2001:db8::2",
  }));
  const wire = first(message).params.key;
  const { tunnels: [one, two] } = requestFromProto(message);
  assert.equal(one?.reverse.spi, 0x8000_0001);
  assert.equal(one?.reverse.mac, "02:00:00:00:00:a1");
  assert.deepEqual([...one?.reverse.key.reveal() ?? []], Array(16).fill(7));
  assert.deepEqual([...wire], Array(16).fill(0));
  assert.ok(one && !("vc" in one.reverse));
  assert.equal(two?.localVip, "2001:db8::1");
});

Deno.test("requests and replies survive the wire; wiping the message spares the key", () => {
  const asked = request(3);
  const message = requestToProto(asked);
  const bytes = toBinary(NewTunnelRequestSchema, message);
  wipeRequest(message);
  assert.deepEqual(requestFromProto(fromBinary(NewTunnelRequestSchema, bytes)), asked);
  assert.ok(asked.tunnels.every(({ reverse }) => reverse.key.reveal()[0] === 0x11));
  assert.ok(message.tunnels.every((t) => t.reverseParams?.key.every((b) => b === 0)));

  const answer = {
    bootEpoch: 9n,
    version: "aes-gmac-256",
    outcomes: [
      { ok: true, params: { ...params(5, 0x33), vc: 0n } },
      { ok: false, code: "not_found", message: "no such vip" },
    ],
  } as const;
  const reply = replyToProto(answer);
  const sent = toBinary(NewTunnelResponseSchema, reply);
  wipeReply(reply);
  assert.deepEqual(replyFromProto(fromBinary(NewTunnelResponseSchema, sent), 2), answer);
  assert.throws(() => replyFromProto(replyToProto(answer), 3), /2 results for 3 tunnels/);
});

Deno.test("the largest request and its answer fit in a message as it is by default, in JSON too", () => {
  const { maxMessageBytes } =
    parseConfig(JSON.stringify(SMALLEST), "/etc/psp/peers.json").config.rpc;
  const longest = create(PspParamsSchema, {
    spi: 0xffff_ffff,
    version: PspVersion.AES_GMAC_256,
    key: new Uint8Array(32).fill(255),
    pip: "2001:db8:1111:2222:3333:4444:5555:6666",
    mac: new Uint8Array(6).fill(255),
    vc: 2n ** 64n - 1n,
    cryptOffset: 63,
    mode: PspMode.TRANSPORT,
    serial: 2n ** 64n - 1n,
    lifeS: 2 ** 32 - 1,
  });
  const tunnels = Array.from(
    { length: MAX_TUNNELS_PER_REQUEST },
    () =>
      create(TunnelRequestSchema, {
        localVip: "2001:db8:1111:2222:3333:4444:5555:7777",
        remoteVip: "2001:db8:1111:2222:3333:4444:5555:8888",
        reverseParams: longest,
      }),
  );
  const asked = create(NewTunnelRequestSchema, {
    bootEpoch: 2n ** 64n - 1n,
    requestId: new Uint8Array(16),
    versionsAccepted: new Array(16).fill(PspVersion.AES_GMAC_256),
    tunnels,
    ivCounts: true,
  });
  const answered = create(NewTunnelResponseSchema, {
    bootEpoch: 2n ** 64n - 1n,
    version: PspVersion.AES_GMAC_256,
    tunnels: tunnels.map(() => ({ outcome: { case: "params" as const, value: longest } })),
    ivCounts: true,
  });
  const octets = [
    toBinary(NewTunnelRequestSchema, asked).length,
    toJsonString(NewTunnelRequestSchema, asked).length,
    toBinary(NewTunnelResponseSchema, answered).length,
    toJsonString(NewTunnelResponseSchema, answered).length,
  ];
  assert.ok(Math.max(...octets) <= maxMessageBytes, `${octets}`);
});

Deno.test("an error of a peer is cut and printable before it goes anywhere", () => {
  const message = replyToProto({
    bootEpoch: 1n,
    version: "aes-gcm-128",
    outcomes: [{ ok: false, code: "EVIL code", message: `a\x1b[2J\n${"x".repeat(1000)}` }],
  });
  const [outcome] = replyFromProto(message, 1).outcomes;
  assert.ok(outcome && !outcome.ok);
  assert.equal(outcome.code, "unknown");
  assert.match(outcome.message, /^a \[2J x{200,}$/);
  assert.equal(outcome.message.length, 256);
});

Deno.test("a notice is checked too", () => {
  const notice = create(NotifyRequestSchema, { bootEpoch: 1n, unknownSpis: [1, 0] });
  assert.throws(() => noticeFromProto(notice), /Field "unknown_spis\[1\]"/);
  const many = create(NotifyRequestSchema, { bootEpoch: 1n, unknownSpis: Array(5000).fill(1) });
  assert.throws(() => noticeFromProto(many), /Field "unknown_spis": 5000 entries/);
});

Deno.test("whatever bytes arrive, the answer is a request or a ConnectError", () => {
  const sample = toBinary(NewTunnelRequestSchema, good());
  const mutated = fc.tuple(fc.nat(sample.length - 1), fc.nat(255), fc.nat(sample.length)).map(
    ([at, value, end]) => {
      const bytes = sample.slice();
      bytes[at] = value;
      return end > sample.length / 2 ? bytes : bytes.slice(0, end);
    },
  );
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      let message;
      try {
        message = fromBinary(NewTunnelRequestSchema, bytes);
      } catch {
        return; // connect answers this itself.
      }
      try {
        requestFromProto(message);
      } catch (error) {
        assert.ok(error instanceof ConnectError, String(error));
      }
    }),
    { numRuns: Deno.env.has("PSP_SOAK") ? 100_000 : 1000 },
  );
});

Deno.test("an address is canonical or refused, never something in between", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
    try {
      const canonical = address(text, "vip");
      assert.equal(address(canonical, "vip"), canonical);
    } catch (error) {
      assert.ok(error instanceof ConnectError, `${text}: ${error}`);
    }
  }));
});

Deno.test("the service refuses a caller without identity, and hands the others on", async () => {
  const handler = recorder();
  const call = (caller: Identity | undefined) =>
    createClient(
      TunnelService,
      createRouterTransport(tunnelRoutes(handler), {
        router: {
          requestGate: (context) => {
            if (caller) context.values.set(CALLER, caller);
            callerGate(SILENT)(context);
          },
        },
      }),
    ).newTunnel(good());
  const denied = (error: ConnectError) => error.code === Code.PermissionDenied;
  await assert.rejects(call(undefined), denied);
  await assert.rejects(call({ ok: false, reason: "denied-identity", message: "out" }), denied);
  assert.equal(handler.calls.length, 0);
  const reply = await call({ ok: true, peer: "h7" });
  assert.equal(handler.calls[0]?.peer, "h7");
  assert.ok(reply.tunnels[0]?.outcome.case === "params");
  assert.deepEqual([...reply.tunnels[0].outcome.value.key], Array(32).fill(0x22));
});
