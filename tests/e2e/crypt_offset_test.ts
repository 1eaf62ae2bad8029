// SPDX-License-Identifier: Apache-2.0

/** How much of a packet is readable on the way is the business of both ends, and of no peer alone. */
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { openLibrary } from "../../ffi/library.ts";
import { type Offline, offline } from "../../ffi/offline.ts";
import type { SpiKey } from "../../ffi/plane.ts";
import { buildUdp, concat, view } from "../../src/exceptions/frame.ts";
import { tlsOf } from "../support/agent_config.ts";
import type { Capture } from "../support/capture.ts";
import { classify, udpFrame } from "../support/frames.ts";
import { libraryPath } from "../support/library.ts";
import { GATEWAY_MAC } from "../support/plan.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

/** What ping(8) fills its packets with; it is behind 16 octets of its own. */
const PATTERN = "c1ea27e1";
const EVERYTHING = { ipv4: 63, ipv6: 63 };

/** Pings both ways with a pattern: how many came back, frames in which the pattern was readable, SPIs towards h2. */
async function pings(world: World): Promise<{ received: number; clear: number; toH2: number }> {
  const capture = await world.capture();
  const each = [["v1", "h2"], ["v2", "h1"]] as const;
  const got = await Promise.all(each.map(async ([from, to]) => {
    const options = { count: 5, interval: 0.1, wait: 1, size: 512, pattern: PATTERN };
    return (await ping(world, { in: from, to: world.vip(to) }, options)).received;
  }));
  const { spis } = await capture.stop();
  return { received: got.reduce((a, b) => a + b), clear: clearFrames(capture), toH2: spis.h2.size };
}

/** Frames with two repetitions of the pattern in them: by chance, one in 2^64. */
function clearFrames(capture: Capture): number {
  let n = 0;
  for (const { data } of capture.frames()) {
    if (classify(data, new Set([7443])).kind === "control") continue;
    if (data.toHex().includes(PATTERN.repeat(2))) n++;
  }
  return n;
}

story(
  "a peer that asks for 63 words in clear gets nothing, and no octet is readable",
  {},
  async (stage) => {
    const { world, start } = stage;
    const [h1, h2] = await Promise.all([
      start("h1"),
      start("h2", { change: (config) => config.psp = { crypt_offset: EVERYTHING } }),
    ]);
    const { received, clear, toH2 } = await pings(world);
    assert.deepEqual({ received, clear, toH2 }, { received: 0, clear: 0, toH2: 0 });
    // h1 asked and refused the answer, or was asked and refused to answer: both, here.
    await eventually(async () => await h1.counter("refused-crypt-offset") >= 2, {
      what: "h1 to refuse as initiator and as responder",
      describe: async () => `${await h1.counter("refused-crypt-offset")}`,
    });
    assert.ok(await h2.counter("tunnels-refused") >= 1);
    for (
      const message of [
        "A tunnel that a peer asked for was refused",
        "The crypt offset that a peer asks for was refused",
      ]
    ) {
      const line = h1.log.find((line) => line.message === message);
      assert.match(String(line?.fields["reason"]), /raise psp\.max_crypt_offset\.ipv4/, message);
    }
  },
);

story(
  "a host that allows it lets its peer have 63 words in clear",
  {},
  async ({ world, start }) => {
    await Promise.all([
      start("h1", { change: (config) => config.psp = { max_crypt_offset: EVERYTHING } }),
      start("h2", { change: (config) => config.psp = { crypt_offset: EVERYTHING } }),
    ]);
    const { received, clear } = await pings(world);
    assert.equal(received, 10);
    // What goes to h2, which asked for it: requests of v1. Several may leave as one super-frame.
    assert.ok(clear > 0, "no frame with the pattern");
  },
);

story(
  "a packet under the right key with another crypt offset is dropped and counted",
  {},
  async (stage) => {
    const { world, start } = stage;
    const h1 = await start("h1");
    using library = openLibrary(libraryPath());
    const key = await asPeer(world);
    const counter = PLANE === "doca" ? "rx-no-sa" : "rx-crypt-offset";
    const thrower = await world.worker("h2");
    let iv = 0n;
    const send = async (cryptOffset: number) => {
      const psp = sealed(world, { crypto: offline(library), key, iv: ++iv, cryptOffset });
      await thrower.frames("uplink", [udpFrame({
        dstMac: world.host("h1").uplinkMac,
        srcMac: world.host("h2").uplinkMac,
        src: world.host("h2").pip,
        dst: world.host("h1").pip,
        srcPort: 50_000,
        dstPort: 1000,
      }, psp)]);
    };
    const counters = async () => {
      const { counters: all } = await h1.status();
      return [all["host-tx-packets"] ?? 0, all[counter] ?? 0];
    };
    const [delivered = 0] = await counters();
    await send(5);
    await eventually(async () => (await counters())[0] === delivered + 1, {
      what: "the packet with the crypt offset that was asked for",
      describe: async () => JSON.stringify((await h1.status()).counters),
    });
    for (const [i, cryptOffset] of [63, 6, 4, 0].entries()) {
      await send(cryptOffset);
      await eventually(async () => (await counters())[1] === i + 1, {
        what: `${counter} at crypt offset ${cryptOffset}`,
      });
    }
    assert.deepEqual(await counters(), [delivered + 1, 4]);
  },
);

/** Asks h1 for a tunnel in h2's name, and returns the key with which h2 may send. */
async function asPeer(world: World): Promise<SpiKey> {
  const { cert, key, ca } = tlsOf(world, "h2");
  const random = (n: number) => crypto.getRandomValues(new Uint8Array(n)).toBase64();
  const request = {
    bootEpoch: String(Date.now()),
    requestId: random(16),
    versionsAccepted: ["PSP_VERSION_AES_GCM_256"],
    tunnels: [{
      localVip: world.vip("h2"),
      remoteVip: world.vip("h1"),
      reverseParams: {
        spi: 0x1234567,
        version: "PSP_VERSION_AES_GCM_256",
        key: random(32),
        pip: world.host("h2").pip,
        mac: Uint8Array.fromHex(world.host("h2").uplinkMac.replaceAll(":", "")).toBase64(),
        cryptOffset: 5,
        mode: "PSP_MODE_TUNNEL",
        serial: "1",
      },
    }],
  };
  const { stdout, stderr } = await world.run("h2", [
    ...["curl", "-sS", "--cert", cert, "--key", key, "--cacert", ca],
    ...["-H", "content-type: application/json", "-d", JSON.stringify(request)],
    // The certificate names h1, not its address: which certificate it is, the CA says.
    ...["--insecure", `https://${world.host("h1").pip}:7443/psp.v1.TunnelService/NewTunnel`],
  ]);
  const params = JSON.parse(stdout || "{}").tunnels?.[0]?.params;
  assert.ok(params, `no tunnel: ${stdout} ${stderr}`);
  assert.equal(params.cryptOffset, 5);
  return { spi: params.spi, version: 1, key: new Key(Uint8Array.fromBase64(params.key)) };
}

function sealed(
  world: World,
  { crypto: psp, key, iv, cryptOffset }: {
    readonly crypto: Offline;
    readonly key: SpiKey;
    readonly iv: bigint;
    readonly cryptOffset: number;
  },
): Uint8Array {
  const at = { ethDst: GATEWAY_MAC, ethSrc: GATEWAY_MAC, ttl: 64 };
  const vips = { src: world.vip("h2"), dst: world.vip("h1") };
  const inner = buildUdp({ ...at, ...vips }, { src: 4000, dst: 5000 }, new Uint8Array(400));
  const header = new Uint8Array(16);
  const v = view(header);
  header.set([4, 1, cryptOffset, 1 << 2 | 1]);
  v.setUint32(4, key.spi);
  v.setBigUint64(8, iv);
  return psp.seal(key, concat(header, inner.subarray(14))).slice();
}
