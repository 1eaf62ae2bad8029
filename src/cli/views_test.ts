// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readPcapng } from "../pcap/pcapng.ts";
import type { PeerView, SampleView, StatusView, TunnelView } from "../model/status.ts";
import { VERSION } from "../model/version.ts";
import { table } from "./io.ts";
import { openPcapng } from "./pcapng_writer.ts";
import { statusText, tunnelsText } from "./status.ts";

const NOW = 10_000_000;

const VIEW: StatusView = {
  id: "spiffe://psp-agent.local/psp/h1",
  version: VERSION,
  bootEpoch: 7n,
  startedAtMs: NOW - 3_725_000,
  plane: {
    kind: "soft",
    version: `soft ${VERSION}`,
    uplink: "p0",
    host: "pf0vf0",
    backend: "openssl",
    ports: [
      { name: "uplink", interface: "p0", guard: { state: "stands", restored: 0 } },
      { name: "host", interface: "pf0vf0", guard: { state: "stands", restored: 0 } },
    ],
  },
  peers: [
    {
      id: "h2",
      svcAddress: "192.0.2.2:7443",
      vips: ["10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/24"],
      circuit: "closed",
      failures: 0,
      lastError: "",
      bootEpoch: 9n,
      tunnels: 12,
      keyExchange: "X25519",
      state: "up",
    },
    {
      id: "h3",
      svcAddress: "192.0.2.3:7443",
      vips: ["10.5.0.0/24"],
      circuit: "open",
      failures: 3,
      lastError: "connection refused",
      nextAttemptAtMs: NOW + 4000,
      bootEpoch: 0n,
      tunnels: 0,
      state: "failing",
      failingSinceMs: NOW - 65_000,
    },
  ],
  tunnels: { opening: 1, up: 12, rekeying: 0, failed: 0, unconfirmed: 2 },
  counters: { "tx-packets": 12345n, "rx-packets": 99n, "rx-bad": 3n },
  recentDrops: { "rx-bad": 2n },
  oldestKeyAtMs: NOW - 62_000,
  nextRekeyAtMs: NOW + 754_000,
  rotation: { rotations: 2n, sasOnOldKey: 1, nextAtMs: NOW + 86_000_000, spisLeft: 5n },
  mtu: { uplink: 1500, overhead: 68, largestInnerPacket: 1432 },
  certificateExpiresAtMs: NOW + 30 * 86_400_000,
  draining: false,
  peersTotal: 2,
  eventLoop: {
    p99Ms: 2,
    maxMs: 15.5,
    sumMs: 120,
    buckets: [{ leMs: 2, looks: 99 }, { leMs: Infinity, looks: 100 }],
  },
  latencies: {
    exchange: { buckets: [], sum: 0 },
    firstPacket: { buckets: [], sum: 0 },
  },
  faults: [],
  directory: [],
};

Deno.test("status says what a plane has, and what of it is less than was asked for", () => {
  const granted = {
    maxEntries: 1024,
    maxCryptoIds: 512,
    actionsMemory: 2 ** 20,
    mbufs: 8192,
    queues: 3,
  };
  const sizes = (plane: Partial<StatusView["plane"]>) =>
    /^sizes +(.*)$/m.exec(statusText({ ...VIEW, plane: { ...VIEW.plane, ...plane } }, NOW))?.[1];
  assert.equal(sizes({}), undefined);
  assert.equal(
    sizes({ granted }),
    "1024 entries, 512 crypto ids, 1 MiB for actions, 8192 packet buffers, 3 queues",
  );
  assert.equal(
    sizes({ granted, asked: { maxEntries: 4096, maxCryptoIds: 512 } }),
    "1024 of 4096 entries, 512 crypto ids, 1 MiB for actions, 8192 packet buffers, 3 queues: " +
      "the device has no memory for more",
  );
  const soft = { maxEntries: 7, maxCryptoIds: 8, actionsMemory: 0, mbufs: 0, queues: 0 };
  assert.equal(sizes({ granted: soft }), "7 entries, 8 crypto ids");
});

Deno.test("status for people", () => {
  assert.equal(
    statusText(VIEW, NOW, { counters: true }),
    `! peer-failing: Exchanges with h3 fail: connection refused. Look at the same peer's own status and events; psp-agent doctor --config tries the way there.
agent        spiffe://psp-agent.local/psp/h1, psp-agent ${VERSION}, up 1h2m
state        running
plane        soft (openssl), uplink p0, host pf0vf0
peers        1 up, 0 idle, 0 unknown, 1 failing
guard        stands: the kernel of this host gets nothing of workloads and no PSP
tunnels      12 up, 2 unconfirmed, 1 opening, 0 rekeying, 0 failed
keys         the oldest to send with made 1m2s ago, next rekey in 12m34s
mtu          uplink 1500, overhead 68, largest inner packet 1432
rotation     2 so far, 1 SAs on the old key, next in 23h53m
event loop   p99 2 ms late, at most 16 ms
certificate  expires in 30d

PEER  ADDRESS         STATE                             TUNNELS  VIPS                        KEY EXCHANGE  LAST ERROR
h2    192.0.2.2:7443  up                                     12  10.2.0.0/24 10.3.0.0/24 +1  X25519        -
h3    192.0.2.3:7443  failing for 1m5s, next try in 4s        0  10.5.0.0/24                 -             connection refused

DROPPED  PACKETS  LAST 5 MIN
rx-bad         3           2

COUNTER     VALUE
rx-bad          3
rx-packets     99
tx-packets  12345
`,
  );
});

Deno.test("tunnels for people", () => {
  const sa = {
    spi: 0x9a345678,
    version: "aes-gcm-256",
    createdAtMs: 0,
    packets: 5n,
    bytes: 500n,
  } as const;
  const tunnels: TunnelView[] = [
    {
      peer: "h2",
      localVip: "10.1.0.5",
      remoteVip: "10.2.0.7",
      state: "up",
      tx: sa,
      rx: { ...sa, spi: 1 },
      openedAtMs: NOW - 61_000,
      nextRekeyAtMs: NOW + 3_000,
      sent: { packets: 15n, bytes: 1500n },
      received: { packets: 14n, bytes: 1400n },
      lastError: "",
    },
    { peer: "h2", localVip: "10.1.0.5", remoteVip: "10.2.0.8", state: "opening", lastError: "" },
  ];
  const lines = tunnelsText(tunnels, NOW).split("\n").map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines[1]?.slice(3), [
    "up",
    "0x9a345678",
    "0x00000001",
    "15",
    "14",
    "1m1s",
    "in 3s",
    "-",
  ]);
  assert.deepEqual(lines[2]?.slice(3), ["opening", "-", "-", "0", "0", "-", "-", "-"]);
  assert.equal(tunnelsText([], NOW), "No tunnels.\n");
});

Deno.test("a table aligns its columns", () => {
  assert.equal(
    table(["A", "B"], [["long", "1"], ["x", "22"]], [1]),
    "A      B\nlong   1\nx     22\n",
  );
});

Deno.test("samples written as pcapng read back", async () => {
  const path = await Deno.makeTempFile();
  try {
    const sample: SampleView = {
      timeNs: 1_700_000_000_123_456_789n,
      direction: "egress",
      srcVip: "10.1.0.5",
      dstVip: "10.2.0.7",
      spi: 1,
      length: 1400,
      data: new Uint8Array([0x45, 0, 0, 1, 2]),
      lost: 0,
    };
    {
      using file = await openPcapng(path);
      file.write(sample);
      file.write({ ...sample, direction: "ingress" });
    }
    const { packets, problem } = readPcapng(await Deno.readFile(path));
    assert.equal(problem, undefined);
    assert.equal(packets.length, 2);
    const [first] = packets;
    assert.deepEqual(
      [first?.link, first?.timeNs, first?.originalLength, [...first?.data ?? []]],
      ["ip", sample.timeNs, 1400, [...sample.data]],
    );
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a file for samples is touched when there is one, and made when there was none", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const [kept, fresh] = [`${dir}/kept`, `${dir}/fresh`];
    await Deno.writeTextFile(kept, "a capture of yesterday");
    for (const path of [kept, fresh]) {
      using _refused = await openPcapng(path);
    }
    assert.equal(await Deno.readTextFile(kept), "a capture of yesterday");
    await assert.rejects(Deno.stat(fresh), Deno.errors.NotFound);
    for (const path of [kept, fresh]) {
      using file = await openPcapng(path);
      file.end();
      assert.deepEqual(readPcapng(await Deno.readFile(path)).packets, []);
    }
    await assert.rejects(openPcapng(`${dir}/none/x`), /Cannot write .*: no such directory/);
    await assert.rejects(openPcapng(dir), /Cannot write/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("status says how many peers it does not show", () => {
  const text = statusText({ ...VIEW, peersTotal: 10_002 }, NOW);
  assert.match(text, /\n\.\.\. and 10000 more peers: psp-agent peers shows them all\n/);
  const line = (peers: readonly PeerView[]) =>
    /^peers +(.*)$/m.exec(statusText({ ...VIEW, peers, peersTotal: 10_002 }, NOW))?.[1];
  const [up, failing] = VIEW.peers;
  assert.ok(up && failing);
  // Those that fail come first: behind them there are no more.
  assert.equal(line([failing, up]), "10002, 1 failing");
  assert.equal(line([failing, failing]), "10002, 2 or more failing");
  assert.equal(line([]), "10002");
  const none = statusText({ ...VIEW, peers: [], peersTotal: 1 }, NOW);
  assert.match(none, /\n\n1 peer: psp-agent peers shows them all\n/);
});

Deno.test("ports of networks are a table of their own", () => {
  const facts = (network: string, mac: string) => ({
    state: "up" as const,
    mac,
    network,
    workloads: 2,
    rxPackets: 10n,
    rxBytes: 0n,
    txPackets: 7n,
    txBytes: 0n,
    txBusy: 1n,
    txError: 0n,
    missesLimited: 2n,
    exceptionsLimited: 0n,
  });
  const guard = { state: "stands" as const, restored: 0 };
  const port = (name: "uplink" | "host", device: string, network: string) => ({
    name,
    interface: device,
    guard,
    facts: facts(network, "02:00:00:00:00:01"),
  });
  const ports = [port("uplink", "p0", ""), port("host", "vm0", "blue"), port("host", "vm1", "")];
  const text = statusText({ ...VIEW, plane: { ...VIEW.plane, ports } }, NOW);
  const lines = text.split("\n").filter((line) => /^(PORT|p0|vm)/.test(line));
  assert.deepEqual(lines.map((line) => line.trim().split(/ {2,}/)), [
    ["PORT", "NETWORK", "STATE", "MAC", "WORKLOADS", "RX", "TX", "DROPPED"],
    ["p0", "(uplink)", "up", "02:00:00:00:00:01", "-", "10", "7", "3"],
    ["vm0", "blue", "up", "02:00:00:00:00:01", "2", "10", "7", "3"],
    ["vm1", "-", "up", "02:00:00:00:00:01", "2", "10", "7", "3"],
  ]);
  assert.ok(!statusText(VIEW, NOW).includes("NETWORK"), "of one host port a line says all");
});
