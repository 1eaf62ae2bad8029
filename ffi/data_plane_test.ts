// SPDX-License-Identifier: Apache-2.0

/** The real plane between two veth pairs, in a network namespace of its own. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { libraryPath } from "../tests/support/library.ts";
import { inOwnNamespace, ip } from "../tests/support/own_namespace.ts";
import { limitMs } from "../tests/support/scale.ts";
import { DataPlane } from "./data_plane.ts";
import { Key } from "./key.ts";
import { type Library, openLibrary } from "./library.ts";
import type {
  EntryChange,
  EntryDescriptor,
  Granted,
  PipeDescriptor,
  Plane,
  PlaneEvent,
  PortOptions,
} from "./plane.ts";
import { type Limit, LIMITS } from "./symbols.ts";

const ACL: PipeDescriptor = {
  name: "EGR_ACL",
  type: "basic",
  domain: "secure_egress",
  nr_entries: 8,
  match_mask: { outer: { src_ip: true, dst_ip: true } },
  fwd: { type: "drop" },
  fwd_miss: { type: "rss", rss: "miss" },
};
const ENTRY: EntryDescriptor = {
  match: { outer: { src_ip: "10.1.0.5", dst_ip: "10.1.0.9" } },
  monitor: { counter: true },
};

function root(acl: number): PipeDescriptor {
  return {
    name: "ROOT",
    type: "control",
    domain: "default",
    is_root: true,
    nr_entries: 1,
    fwd: { type: "pipe", pipe: acl },
    fwd_miss: { type: "kernel" },
  };
}

const portsOf = (uplink: string): PortOptions[] => [
  { kind: "uplink", name: uplink },
  { kind: "host", name: "host0" },
];
const PORTS = portsOf("up0");

const FROM_HOST: EntryDescriptor = {
  match: { parser_meta: { port_id: 2, outer_l3_type: "ipv4", outer_l4_type: "udp" } },
};

function plane(name: string, fn: (plane: DataPlane, library: Library) => Promise<void> | void) {
  Deno.test(name, async () => {
    using library = openLibrary(libraryPath());
    await using dp = DataPlane.open(library, { ports: PORTS });
    await fn(dp, library);
  });
}

async function sendPacket(): Promise<void> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.send("x", 9, "10.1.0.9", () => resolve()));
  await new Promise<void>((resolve) => socket.close(resolve));
}

async function firstEvent(dp: Plane): Promise<PlaneEvent | undefined> {
  for await (const batch of dp.events(AbortSignal.timeout(5000))) return batch[0];
}

function tests(): void {
  Deno.test("an interface that is not there is one sentence", () => {
    using library = openLibrary(libraryPath());
    assert.throws(() => DataPlane.open(library, { ports: portsOf("nope0") }), (error) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "ENODEV");
      assert.match(error.message, /^Cannot [^\n]*nope0[^\n]*$/);
      return true;
    });
  });

  Deno.test("a name that does not fit is refused before the library sees it", () => {
    using library = openLibrary(libraryPath());
    assert.throws(() => DataPlane.open(library, { ports: portsOf("x".repeat(64)) }), {
      name: "DataPlaneError",
      code: "EINVAL",
    });
  });

  Deno.test("a plane opens at each bound of its sizes, and not beyond", async () => {
    using library = openLibrary(libraryPath());
    const ports = { ports: PORTS };
    const sizes = {
      maxEntries: LIMITS.max_entries,
      maxCryptoIds: LIMITS.max_crypto_ids,
      holdPacketsPerFlow: LIMITS.hold_packets_per_flow,
      holdFlows: LIMITS.hold_flows,
      holdBytes: LIMITS.hold_bytes,
      ringBytes: LIMITS.ring_bytes,
      sampleBytes: LIMITS.sample_bytes,
    } satisfies Partial<Record<keyof Granted, Limit>>;
    for (const [name, { min, max }] of Object.entries(sizes)) {
      for (const size of [min, max]) {
        await using dp = DataPlane.open(library, { ...ports, [name]: size });
        const granted = dp.granted()[name as keyof Granted];
        assert.deepEqual(granted, name === "ringBytes" ? Array(5).fill(size) : size, name);
      }
      // 0 is the default.
      for (const size of [min - 1, max + 1].filter((size) => size !== 0)) {
        assert.throws(() => DataPlane.open(library, { ...ports, [name]: size }), {
          code: "EINVAL",
          message: new RegExp(`[a-z_]+ ${size} is not within ${min} and ${max}$`),
        });
      }
    }
    await using dp = DataPlane.open(library, ports);
    const granted = dp.granted();
    for (const [name, limit] of Object.entries(sizes)) {
      const expected = name === "ringBytes" ? Array(5).fill(limit.default) : limit.default;
      assert.deepEqual(granted[name as keyof Granted], expected, name);
    }
    assert.ok(granted.workers > 0);
    assert.deepEqual([...granted.features], ["iv-start", "iv-counts", "replay-window", "networks"]);
  });

  plane("the hold takes other limits while the plane is open, or keeps those that it has", (dp) => {
    const limits = () => {
      const { holdPacketsPerFlow: packetsPerFlow, holdFlows: flows, holdBytes: bytes } = dp
        .granted();
      return { packetsPerFlow, flows, bytes };
    };
    const wanted = { packetsPerFlow: 3, flows: 1_000_000, bytes: 1 << 20 };
    dp.limitHold(wanted);
    assert.deepEqual(limits(), wanted);
    assert.throws(() => dp.limitHold({ ...wanted, bytes: 1 }), {
      code: "EINVAL",
      message: /^Cannot limit the hold: hold_bytes 1 is not within/,
    });
    assert.deepEqual(limits(), wanted);
    dp.limitHold({});
    assert.equal(limits().flows, LIMITS.hold_flows.default);
  });

  plane("the plane knows its kind, its ports and its counters", (dp, library) => {
    assert.equal(dp.kind, "soft");
    assert.equal(dp.version(), library.version);
    const port = dp.port("uplink");
    assert.equal(port.mtu, 1500);
    assert.match(port.mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    assert.ok(port.ifindex > 0);
    const counters = dp.counters();
    for (const name of ["rx-packets", "tx-packets", "rx-auth-fail", "tx-key-expired"]) {
      assert.equal(counters[name], 0n, name);
    }
  });

  plane("pipes and entries come and go, and refusals have the library's words", (dp) => {
    const acl = dp.createPipe(ACL);
    const rootPipe = dp.createPipe(root(acl));
    const entry = dp.addEntry(acl, ENTRY);
    assert.equal(dp.queryPipe(acl).entries, 1);
    assert.deepEqual(dp.queryEntry(entry), { packets: 0n, bytes: 0n, lastUsedNs: 0n });
    assert.throws(() => dp.addEntry(acl, ENTRY), {
      code: "EEXIST",
      message: /^Cannot add entry to pipe "EGR_ACL": /,
    });
    assert.throws(() => dp.createPipe(ACL), { code: "EEXIST" });
    assert.throws(() => dp.destroyPipe(acl), { code: "EBUSY" });
    dp.updateEntry(entry, { ...ENTRY, fwd: { type: "kernel" } });
    dp.removeEntry(entry);
    assert.throws(() => dp.removeEntry(entry), { code: "ENOENT" });
    assert.throws(() => dp.addEntry(12345, ENTRY), { code: "ENOENT" });
    dp.destroyPipe(rootPipe);
    dp.destroyPipe(acl);
  });

  plane("a value that fits no field is a refusal too", (dp) => {
    assert.throws(() => dp.createPipe({ ...ACL, name: "x".repeat(40) }), {
      name: "DataPlaneError",
      code: "EINVAL",
      message: /^Cannot create pipe "x{40}": /,
    });
  });

  plane("SPIs and keys are derived, and a key is set once", (dp) => {
    const [one, two] = dp.generateSpis(1, 2);
    assert.ok(one && two);
    assert.equal(one.key.length, 32);
    assert.notEqual(one.spi, two.spi);
    dp.setCrypto(1, { ...one, ivLimit: 0n });
    assert.throws(() => dp.setCrypto(2, { ...one, ivLimit: 0n }), { code: "EKEY" });
    dp.setCrypto(2, { ...one, ivLimit: 0n, ivStart: 1n << 40n });
    assert.throws(() => dp.setCrypto(3, { ...one, ivLimit: 0n }), { code: "EKEY" });
    assert.deepEqual(dp.queryCrypto(1), { packets: 0n, bytes: 0n, lastUsedNs: 0n });
    dp.clearCrypto(1);
    assert.throws(() => dp.clearCrypto(1), { code: "ENOENT" });
    assert.deepEqual(dp.generateSpis(0, 0), []);
  });

  plane("lists of entries and keys: each change has its outcome", (dp) => {
    const acl = dp.createPipe(ACL);
    const vip = (n: number) => `10.9.${n >> 8}.${n & 255}`;
    const add = (n: number): EntryChange => ({
      op: "add",
      pipe: acl,
      entry: { ...ENTRY, match: { outer: { src_ip: "10.1.0.5", dst_ip: vip(n) } } },
    });
    // More than one call takes, and the last is there already.
    const added = dp.changeEntries([...Array.from({ length: 2500 }, (_, n) => add(n)), add(7)]);
    assert.equal(dp.queryPipe(acl).entries, 2500);
    assert.equal(new Set(added.map(({ id }) => id)).size, 2501);
    assert.deepEqual(added.map(({ error }) => error?.code).filter((code) => code), ["EEXIST"]);
    assert.match(added.at(-1)?.error?.message ?? "", /^Cannot add entry to pipe "EGR_ACL": /);
    assert.equal(added.at(-1)?.id, 0);
    const [first, second] = added.map(({ id }) => id);
    assert.ok(first && second);
    const outcomes = dp.changeEntries([
      { op: "update", id: first, entry: ENTRY },
      { op: "query", id: second },
      { op: "remove", id: second },
      { op: "query", id: second },
      { op: "remove", id: second },
    ]);
    assert.deepEqual(outcomes.map(({ error }) => error?.code), [
      undefined,
      undefined,
      undefined,
      "ENOENT",
      "ENOENT",
    ]);
    assert.deepEqual(outcomes[2]?.stats, { packets: 0n, bytes: 0n, lastUsedNs: 0n });
    assert.throws(() => dp.queryEntry(second), { code: "ENOENT" });
    assert.deepEqual(dp.changeEntries([]), []);
    assert.throws(() => dp.changeEntries([add(1), { ...add(1), pipe: -1 } as EntryChange]), {
      name: "DataPlaneError",
      code: "EINVAL",
    });
    const spis = dp.generateSpis(1, 3);
    const keys = dp.changeKeys([
      ...spis.map((key, i) =>
        ({ op: "set", cryptoId: i + 1, key: { ...key, ivLimit: 0n } }) as const
      ),
      { op: "clear", cryptoId: 2 },
      { op: "query", cryptoId: 2 },
      { op: "query", cryptoId: 3 },
    ]);
    assert.deepEqual(keys.map(({ error }) => error?.code), [
      undefined,
      undefined,
      undefined,
      undefined,
      "ENOENT",
      undefined,
    ]);
    assert.match(keys[4]?.error?.message ?? "", /^Cannot query crypto id 2: it has no key/);
  });

  plane("a rotation flips the active master key", (dp) => {
    const before = dp.masterKey();
    dp.rotateMasterKey();
    const after = dp.masterKey();
    assert.notEqual(after.active, before.active);
    assert.equal(after.rotations, before.rotations + 1n);
    const [spi] = dp.generateSpis(0, 1);
    assert.equal((spi?.spi ?? 0) >>> 31, after.active);
  });

  plane("a key of the wrong length is refused", (dp) => {
    const key = new Key(new Uint8Array(16));
    assert.throws(() => dp.setCrypto(0, { spi: 1, version: 0, key, ivLimit: 0n }), {
      name: "DataPlaneError",
    });
  });

  plane(
    "a packet without an entry is held and reported once, and dropped on request",
    async (dp) => {
      const acl = dp.createPipe(ACL);
      const { fwd: _, ...control } = root(acl);
      const rootPipe = dp.createPipe(control);
      dp.addEntry(rootPipe, { ...FROM_HOST, fwd: { type: "pipe", pipe: acl } });
      dp.start();
      await sendPacket();
      const event = await firstEvent(dp);
      assert.ok(event?.type === "miss");
      assert.equal(event.srcVip, "10.1.0.5");
      assert.equal(event.dstVip, "10.1.0.9");
      assert.equal(dp.dropHeld(event.flow, "no_peer", 0), 1);
      assert.equal(dp.counters()["drop-no-peer"], 1n);
      assert.throws(() => dp.dropHeld(event.flow, "no_peer", 0), { code: "ENOENT" });
    },
  );

  plane("a held packet goes on when it is released", async (dp) => {
    const acl = dp.createPipe(ACL);
    const { fwd: _, ...control } = root(acl);
    const rootPipe = dp.createPipe(control);
    dp.addEntry(rootPipe, { ...FROM_HOST, fwd: { type: "pipe", pipe: acl } });
    dp.start();
    await sendPacket();
    const event = await firstEvent(dp);
    assert.ok(event?.type === "miss");
    const entry = dp.addEntry(acl, ENTRY);
    assert.equal(dp.releaseHeld(event.flow), 1);
    for (let i = 0; i < 50 && dp.queryEntry(entry).packets === 0n; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(dp.queryEntry(entry).packets, 1n);
  });

  plane("there is one reader of events at a time, and an abort ends it", async (dp) => {
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of dp.events(abort.signal)) { /* there are none */ }
    })();
    await assert.rejects(async () => {
      for await (const _ of dp.events()) { /* never */ }
    }, { code: "EBUSY" });
    abort.abort();
    await reading;
    assert.equal(await firstEventOf(dp, 50), undefined);
  });

  plane("close wakes the reader and ends every call", async (dp) => {
    const reading = (async () => {
      for await (const _ of dp.events()) { /* there are none */ }
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const began = performance.now();
    await dp.close();
    await reading;
    assert.ok(performance.now() - began < limitMs(400));
    await dp.close();
    assert.throws(() => dp.port("uplink"), {
      code: "ECLOSED",
      message: "Cannot query the uplink port: the data plane is closed",
    });
    assert.throws(() => dp.start(), { code: "ECLOSED" });
  });

  Deno.test("the plane is closed when the wait for events is back, however late that came", async () => {
    using library = openLibrary(libraryPath());
    const { psp_dp_event_wait: wait, psp_dp_stop: stop, psp_dp_close: close } = library.symbols;
    const seen: string[] = [];
    const symbols = {
      ...library.symbols,
      // The pool of threads is full: the wait enters the library when the plane has stopped.
      psp_dp_event_wait: async (...args: Parameters<typeof wait>) => {
        await stopping.promise;
        await new Promise((resolve) => setTimeout(resolve, 100));
        const status = await wait(...args);
        seen.push(`wait ${status}`);
        return status;
      },
      psp_dp_stop: async (...args: Parameters<typeof stop>) => {
        const status = await stop(...args);
        seen.push(`stop ${status}`);
        stopping.resolve();
        return status;
      },
      psp_dp_close: async (...args: Parameters<typeof close>) => {
        const status = await close(...args);
        seen.push(`close ${status}`);
        return status;
      },
    };
    const stopping = Promise.withResolvers<void>();
    const dp = DataPlane.open({ ...library, symbols }, { ports: PORTS });
    const reading = (async () => {
      for await (const _ of dp.events()) { /* there are none */ }
    })();
    await dp.close();
    await reading;
    assert.deepEqual(seen, ["stop 0", "wait -10", "close 0"]);
  });

  plane("a host port is added and removed, and knows its interface", (dp) => {
    assert.deepEqual(["uplink", "host"].map((name) => dp.port(name as "uplink").name), [
      "up0",
      "host0",
    ]);
    const port = dp.addPort({ kind: "host", name: "host1", network: 7, holdFlows: 100 });
    assert.deepEqual([dp.ports.host, port].map((of) => dp.port(of).network), [0, 7]);
    assert.ok(port > dp.ports.host);
    const { kind, name, present, identity, traffic } = dp.port(port);
    assert.deepEqual({ kind, name, present, identity }, {
      kind: "host",
      name: "host1",
      present: true,
      identity: 1,
    });
    assert.equal(traffic.txPackets, 0n);
    assert.throws(() => dp.addPort({ kind: "host", name: "host1" }), { code: "EEXIST" });
    assert.throws(() => dp.addPort({ kind: "uplink", name: "up1" }), { code: "ENOTSUP" });
    const frame = new Uint8Array(60);
    dp.inject(port, frame);
    assert.equal(dp.port(port).traffic.txPackets, 1n);
    dp.removePort(port);
    assert.throws(() => dp.port(port), { code: "ENOENT" });
    assert.throws(() => dp.inject(port, frame), { code: "EINVAL" });
    assert.throws(() => dp.removePort(dp.ports.uplink), { code: "ENOTSUP" });
  });

  plane("a next hop is known by route and neighbour", async (dp) => {
    assert.equal(dp.nextHop("203.0.113.9"), undefined);
    await ip("addr add 192.0.2.1/24 dev up0");
    await ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev up0");
    await ip("route add 203.0.113.0/24 via 192.0.2.2");
    const direct = { viaGateway: false, address: "192.0.2.2", mac: "02:00:00:00:00:02" };
    for (let i = 0; i < 20 && dp.nextHop("192.0.2.2")?.mac === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.deepEqual(dp.nextHop("192.0.2.2"), direct);
    assert.equal(dp.nextHop("203.0.113.9")?.viaGateway, true);
  });

  plane("whoever is next on the way is looked for when that is wanted", async (dp) => {
    await ip("addr replace 192.0.2.1/24 dev up0");
    const dev = "192.0.2.4 dev up0";
    const known = async () => (await ip(`neigh show ${dev}`)).trim().split(" ").at(-1);
    for (const [state, then] of [["reachable", "PROBE"], ["permanent", "PERMANENT"]]) {
      await ip(`neigh replace ${dev} lladdr 02:00:00:00:00:04 nud ${state}`);
      dp.nextHop("192.0.2.4");
      assert.equal(await known(), state?.toUpperCase());
      assert.equal(dp.nextHop("192.0.2.4", { probe: true })?.mac, "02:00:00:00:00:04");
      assert.equal(await known(), then);
    }
    assert.equal(dp.nextHop("198.18.0.9", { probe: true }), undefined);
  });

  plane("a router of an IPv4 route may have an IPv6 address alone", async (dp) => {
    await ip("addr replace 192.0.2.1/24 dev up0");
    const mac = "02:00:00:00:00:06";
    await Deno.writeTextFile("/proc/sys/net/ipv6/conf/up0/disable_ipv6", "0");
    await ip(`neigh replace fe80::6 lladdr ${mac} dev up0`);
    await ip("route add 198.51.100.0/24 via inet6 fe80::6 dev up0");
    assert.deepEqual(dp.nextHop("198.51.100.9"), { viaGateway: true, address: "fe80::6", mac });

    await ip(`neigh replace fe80::6 lladdr ${mac} dev up0 router nud reachable`);
    dp.nextHop("198.51.100.9", { probe: true });
    assert.match(await ip("neigh show fe80::6 dev up0"), /\brouter PROBE\b/);
  });

  plane(
    "a next hop is known by the rules for its source, and of the uplink's routes",
    async (dp) => {
      await ip("addr replace 192.0.2.1/24 dev up0");
      await ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev up0");
      await ip("neigh replace 192.0.2.3 lladdr 02:00:00:00:00:03 dev up0");
      await ip("route add default via 192.0.2.2 dev up0 table 77");
      await ip("rule add from 192.0.2.1 lookup 77");
      assert.equal(dp.nextHop("198.18.0.9"), undefined);
      assert.equal(dp.nextHop("198.18.0.9", { source: "192.0.2.1" })?.address, "192.0.2.2");
      // Another interface's default is preferred, as with a management network.
      await ip("link set lo up");
      await ip("route add default dev lo metric 1");
      await ip("route add default via 192.0.2.3 dev up0 metric 100");
      assert.equal(dp.nextHop("198.18.0.9")?.address, "192.0.2.3");
      assert.equal(dp.nextHop("198.18.0.9", { source: "192.0.2.1" })?.address, "192.0.2.2");
    },
  );
}

async function firstEventOf(dp: Plane, ms: number): Promise<PlaneEvent | undefined> {
  for await (const batch of dp.events(AbortSignal.timeout(ms))) return batch[0];
}

await inOwnNamespace(import.meta.url, async () => {
  await ip("addr add 10.1.0.5/24 dev host1");
  await ip("neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev host1");
  tests();
});
