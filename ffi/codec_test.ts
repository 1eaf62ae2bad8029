// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { addressBytes, macBytes } from "./address.ts";
import {
  decodeEvents,
  decodePort,
  encodeConfig,
  encodeKey,
  encodeKeyItems,
  encodePipe,
  encodePort,
  encodePorts,
  EntryEncoder,
  Struct,
} from "./codec.ts";
import { Key } from "./key.ts";
import type { EntryDescriptor, Fwd, PipeDescriptor } from "./plane.ts";
import { sizeOf } from "./symbols.ts";

const PIPE: PipeDescriptor = {
  name: "EGR_ACL",
  type: "basic",
  domain: "secure_egress",
  miss_counter: true,
  nr_entries: 7,
  match_mask: {
    parser_meta: { random: 0xff },
    outer: { src_ip: true },
    tun: { psp: { spi: true, vc: 0xffn } },
  },
  monitor: { counter: true, mirror: "sample", notify: "syndrome" },
  fwd: { type: "port", port: 1 },
  fwd_miss: { type: "rss", rss: "miss" },
};

function encodeEntry(
  entry: EntryDescriptor,
  options: { readonly control: boolean },
): Struct<"psp_dp_entry_desc"> {
  return new EntryEncoder().encode(entry, options);
}

Deno.test("modes and states of the ingress guard have the numbers of the ABI", () => {
  const mode = (guard: "auto" | "require" | "off") =>
    encodePort({ kind: "host", name: "vf0", guard }).number("guard");
  assert.equal(encodePort({ kind: "host", name: "vf0" }).number("guard"), 0);
  assert.deepEqual([mode("auto"), mode("require"), mode("off")], [0, 1, 2]);
  const state = (guard: number, reason: number) =>
    decodePort(
      Struct.sized("psp_dp_port_info").set("guard", guard).set("guard_reason", reason)
        .set("guard_restored", 7),
    ).guard;
  assert.deepEqual(state(0, 0), { state: "not-applicable", restored: 7 });
  assert.deepEqual(state(1, 0), { state: "stands", restored: 7 });
  assert.deepEqual(state(2, 1), { state: "absent", reason: "no-right", restored: 7 });
  assert.deepEqual(state(2, 2), { state: "absent", reason: "no-kernel", restored: 7 });
  assert.deepEqual(state(2, 3), { state: "absent", reason: "refused", restored: 7 });
  assert.deepEqual(state(3, 0), { state: "off", restored: 7 });
  // Of a later shim.
  assert.deepEqual(state(9, 9), { state: "absent", reason: "refused", restored: 7 });
});

Deno.test("nothing of an entry is left in the next one", () => {
  const encoder = new EntryEncoder();
  const control = { control: true };
  const whole = encoder.encode({
    priority: 3,
    match: { outer: { src_ip: "fd00::1", eth_type: 0x0806 }, tun: { psp: { spi: 9 } } },
    actions: { crypto: { action: "encrypt", crypto_id: 9 }, meta: { pkt_meta: 7 } },
    monitor: { counter: true },
    fwd: { type: "port", port: 2 },
  }, control).bytes.slice();
  const fresh = encodeEntry({ match: {} }, control).bytes;
  assert.notDeepEqual(whole, fresh);
  assert.deepEqual(encoder.encode({ match: {} }, control).bytes, fresh);
  assert.throws(() => encoder.encode({ match: { outer: { dst_ip: "h1" } } }, control), RangeError);
  assert.deepEqual(encoder.encode({ match: {} }, control).bytes, fresh);
});

Deno.test("a pipe descriptor, field by field", () => {
  const desc = encodePipe(PIPE);
  assert.equal(desc.number("size"), desc.bytes.length);
  assert.equal(new TextDecoder().decode(desc.octets("name").subarray(0, 8)), "EGR_ACL\0");
  assert.equal(desc.number("type"), 0);
  assert.equal(desc.number("domain"), 3);
  assert.equal(desc.number("is_root"), 0);
  assert.equal(desc.number("miss_counter"), 1);
  assert.equal(desc.number("nr_entries"), 7);
  const mask = desc.inner("match_mask", "psp_dp_match");
  assert.equal(mask.number("size"), mask.bytes.length);
  assert.equal(mask.number("parser_meta_random"), 0xff);
  assert.equal(mask.octets("outer_ip_src").toHex(), "ff".repeat(16));
  assert.equal(mask.octets("outer_ip_dst").toHex(), "00".repeat(16));
  assert.equal(mask.number("tun_psp_spi"), 0xffffffff);
  assert.equal(mask.bigint("tun_psp_vc"), 0xffn);
  const monitor = desc.inner("monitor", "psp_dp_monitor");
  assert.deepEqual(
    [monitor.number("counter"), monitor.number("mirror"), monitor.number("notify")],
    [1, 1, 1],
  );
});

Deno.test("forwards have the numbers of the ABI", () => {
  const cases: readonly (readonly [Fwd, number, number])[] = [
    [{ type: "port", port: 1 }, 1, 1],
    [{ type: "port", port: 2 }, 1, 2],
    [{ type: "pipe", pipe: 0x101 }, 2, 0x101],
    [{ type: "rss", rss: "miss" }, 3, 0],
    [{ type: "rss", rss: "exception" }, 3, 1],
    [{ type: "drop" }, 4, 0],
    [{ type: "kernel" }, 5, 0],
  ];
  for (const [fwd_miss, type, target] of cases) {
    const fwd = encodePipe({ ...PIPE, fwd_miss }).inner("fwd_miss", "psp_dp_fwd");
    assert.equal(fwd.number("size"), fwd.bytes.length);
    assert.deepEqual([fwd.number("type"), fwd.number("target")], [type, target]);
  }
});

Deno.test("an entry of a control pipe compares each field of its match, whole", () => {
  const entry = {
    match: { parser_meta: { port_id: 2 }, outer: { eth_type: 0x0806 } },
  } as const;
  const desc = encodeEntry({ ...entry, priority: 3 }, { control: true });
  const match = desc.inner("match", "psp_dp_match");
  const mask = desc.inner("match_mask", "psp_dp_match");
  assert.equal(desc.number("priority"), 3);
  assert.equal(match.number("parser_meta_port_id"), 2);
  assert.equal(mask.number("parser_meta_port_id"), 0xffff);
  assert.equal(match.number("outer_eth_type"), 0x0806);
  assert.equal(mask.number("outer_eth_type"), 0xffff);
  assert.equal(mask.number("outer_ip_proto"), 0);
  const basic = encodeEntry(entry, { control: false }).inner("match_mask", "psp_dp_match");
  assert.equal(basic.number("outer_eth_type"), 0);
});

Deno.test("actions have the flags of the ABI", () => {
  const entry = encodeEntry({
    match: {},
    actions: {
      crypto: { action: "encrypt", crypto_id: 9 },
      crypto_encap: {
        action: "encap",
        net_type: "psp_transport",
        encap_data: Uint8Array.of(1, 2, 3),
        copy_dscp: true,
      },
      meta: { pkt_meta: 5 },
      tun: { psp: { s: 1 } },
    },
  }, { control: false }).inner("actions", "psp_dp_actions");
  assert.equal(entry.number("flags"), 4 | 8 | 16 | 32 | 64);
  assert.equal(entry.number("crypto_id"), 9);
  assert.equal(entry.number("pkt_meta"), 5);
  assert.equal(entry.number("encap_net_type"), 1);
  assert.equal(entry.number("encap_size"), 3);
  assert.equal(entry.octets("encap_data").subarray(0, 4).toHex(), "01020300");
  const decap = (crypt_offset?: number, replay_window?: number) =>
    encodeEntry({
      match: {},
      actions: {
        crypto: { action: "decrypt" },
        crypto_encap: {
          action: "decap",
          net_type: "psp_tunnel",
          eth_dst: "02:00:00:00:00:0a",
          eth_src: "02:00:00:00:00:0b",
          ...(crypt_offset === undefined ? {} : { crypt_offset }),
          ...(replay_window === undefined ? {} : { replay_window }),
        },
      },
    }, { control: false }).inner("actions", "psp_dp_actions");
  for (const offset of [0, 63]) {
    const checks = decap(offset);
    assert.deepEqual([checks.number("flags"), checks.number("crypt_offset")], [
      1 | 2 | 128,
      offset,
    ]);
  }
  for (const window of [0, 4096]) {
    const checks = decap(5, window);
    assert.deepEqual([checks.number("flags"), checks.number("replay_window")], [
      1 | 2 | 128 | (window === 0 ? 0 : 256),
      window,
    ]);
  }
  const back = decap();
  assert.equal(back.number("flags"), 1 | 2);
  assert.equal(back.octets("eth_dst").toHex(), "02000000000a");
  assert.equal(back.octets("eth_src").toHex(), "02000000000b");
});

Deno.test("what does not fit a field is refused", () => {
  const encap = (octets: number) =>
    encodeEntry({
      match: {},
      actions: {
        crypto_encap: {
          action: "encap",
          net_type: "psp_tunnel",
          encap_data: new Uint8Array(octets),
          copy_dscp: false,
        },
      },
    }, { control: false });
  encap(176);
  assert.throws(() => encap(177), RangeError);
  assert.throws(() => encodePipe({ ...PIPE, name: "x".repeat(32) }), RangeError);
  assert.throws(() => encodePipe({ ...PIPE, name: "a\0b" }), RangeError);
  assert.throws(() => encodePipe({ ...PIPE, nr_entries: -1 }), RangeError);
  assert.throws(() => encodePipe({ ...PIPE, match_mask: { outer: { src_ip: 255 } } }), RangeError);
  assert.throws(
    () => encodeEntry({ match: { outer: { src_ip: "h1" } } }, { control: false }),
    RangeError,
  );
  assert.throws(
    () => encodeEntry({ match: { tun: { psp: { spi: -1 } } } }, { control: false }),
    RangeError,
  );
});

Deno.test("the configuration: defaults are 0, names are text", () => {
  const config = encodeConfig({
    ports: [],
    versions: [0, 1, 3],
    mssClamp: true,
    cpus: [0, 3, 8, 511],
  });
  assert.equal(config.number("versions"), 0b1011);
  assert.equal(config.number("mss_clamp"), 1);
  assert.equal(config.number("inspect"), 0);
  assert.equal(encodeConfig({ ports: [], inspect: "all" }).number("inspect"), 2);
  assert.equal(config.number("max_entries"), 0);
  assert.equal(config.bigint("hold_bytes"), 0n);
  assert.deepEqual([...config.octets("cpus")].flatMap((bits, i) => bits === 0 ? [] : [[i, bits]]), [
    [0, 0b1001],
    [1, 1],
    [63, 0x80],
  ]);
  assert.throws(() => encodeConfig({ ports: [], cpus: [512] }), RangeError);
});

Deno.test("a key with the SPI's top bit set", () => {
  const bytes = new Uint8Array(32).fill(7);
  const key = encodeKey({ spi: 0x9a345678, version: 1, key: new Key(bytes), ivLimit: 1n << 40n });
  assert.equal(key.number("spi"), 0x9a345678);
  assert.equal(key.number("version"), 1);
  assert.equal(key.octets("key").toHex(), "07".repeat(32));
  assert.equal(key.bigint("iv_limit"), 1n << 40n);
  assert.equal(key.bigint("iv_start"), 0n);
  const late = encodeKey({
    spi: 1,
    version: 1,
    key: new Key(bytes),
    ivLimit: 0n,
    ivStart: 0xffffffn << 40n,
  });
  assert.equal(late.bigint("iv_start"), 0xffffffn << 40n);
});

Deno.test("ports: kinds have the numbers of the ABI, names are text", () => {
  const ports = encodePorts([
    { kind: "uplink", name: "eth0", vlan: 42 },
    {
      kind: "host",
      name: "veth1",
      guard: "off",
      network: 0xfffffffe,
      holdFlows: 9,
      holdBytes: 2 ** 33,
      miss: { perS: "none" },
      exceptionPerMac: { perS: 5, burst: 7 },
    },
  ]);
  const size = sizeOf("psp_dp_port_desc");
  assert.equal(ports.length, 2 * size);
  const [uplink, host] = [0, 1].map((i) => new Struct("psp_dp_port_desc", ports, i * size));
  assert.ok(uplink && host);
  assert.deepEqual([uplink, host].map((port) => port.number("size")), [size, size]);
  assert.deepEqual([uplink, host].map((port) => port.number("kind")), [0, 1]);
  assert.deepEqual([uplink, host].map((port) => port.text("name")), ["eth0", "veth1"]);
  assert.deepEqual([uplink, host].map((port) => port.number("vlan")), [42, 0]);
  assert.deepEqual([uplink, host].map((port) => port.number("guard")), [0, 2]);
  assert.deepEqual([uplink, host].map((port) => port.number("network")), [0, 0xfffffffe]);
  assert.deepEqual([uplink, host].map((port) => port.number("hold_flows")), [0, 9]);
  assert.deepEqual([uplink, host].map((port) => port.bigint("hold_bytes")), [0n, 1n << 33n]);
  const rates = (["miss", "miss_per_mac", "exception", "exception_per_mac"] as const).map(
    (name) => {
      const rate = host.inner(name, "psp_dp_rate");
      return [rate.number("per_s"), rate.number("burst")];
    },
  );
  assert.deepEqual(rates, [[0xffffffff, 0], [0, 0], [0, 0], [5, 7]]);
  assert.throws(() => encodePort({ kind: "host", name: "x".repeat(64) }), RangeError);
});

// ---- events ---------------------------------------------------------------------------------------

function record(
  type: number,
  fill: (event: Struct<"psp_dp_event">) => void = () => {},
  data: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const header = sizeOf("psp_dp_event");
  const size = Math.ceil((header + data.length) / 8) * 8;
  const bytes = new Uint8Array(size);
  const event = new Struct("psp_dp_event", bytes);
  event.set("record_size", size).set("type", type).set("data_len", data.length);
  bytes.set(data, header);
  fill(event);
  return bytes;
}

function batch(...records: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(records.flatMap((r) => [...r]));
}

Deno.test("each kind of event is decoded, in order", () => {
  const miss = record(1, (e) => {
    e.set("flow", 7).set("port", 2).set("network", 0x80000001).setOctets(
      "src",
      addressBytes("10.0.0.1"),
    ).setOctets(
      "dst",
      addressBytes("fd00::2"),
    );
    e.setOctets("eth_src", macBytes("02:00:00:00:00:0a"));
  });
  const exception = record(2, (e) => e.set("port", 1).set("time_ns", 5n), Uint8Array.of(1, 2, 3));
  const sample = record(3, (e) => {
    e.set("egress", 1).set("spi", 0x9a345678).set("packet_len", 1400);
    e.setOctets("src", addressBytes("10.0.0.1")).setOctets("dst", addressBytes("10.0.0.2"));
  }, Uint8Array.of(0x45));
  const syndrome = record(4, (e) => {
    e.set("spi", 9).set("syndrome", 1);
    e.setOctets("src", addressBytes("192.0.2.1")).setOctets("dst", addressBytes("192.0.2.2"));
  });
  const port = record(6, (e) => e.set("port", 3));
  const tooBig = record(5, (e) => e.set("mtu", 1420).set("port", 2), Uint8Array.of(0x60));
  assert.deepEqual(decodeEvents(batch(miss, exception, sample, syndrome, tooBig, port)), [
    {
      type: "miss",
      flow: 7,
      port: 2,
      network: 0x80000001,
      srcVip: "10.0.0.1",
      dstVip: "fd00::2",
      ethSrc: "02:00:00:00:00:0a",
    },
    { type: "exception", port: 1, network: 0, frame: Uint8Array.of(1, 2, 3), timeNs: 5n },
    {
      type: "sample",
      direction: "egress",
      spi: 0x9a345678,
      srcVip: "10.0.0.1",
      dstVip: "10.0.0.2",
      length: 1400,
      data: Uint8Array.of(0x45),
      timeNs: 0n,
    },
    { type: "syndrome", spi: 9, syndrome: "icv_failed", srcPip: "192.0.2.1", dstPip: "192.0.2.2" },
    { type: "too_big", port: 2, mtu: 1420, ethSrc: "00:00:00:00:00:00", data: Uint8Array.of(0x60) },
    { type: "port", port: 3 },
  ]);
});

Deno.test("an event keeps its data when the batch is filled again", () => {
  const bytes = batch(record(2, () => {}, Uint8Array.of(1, 2, 3)));
  const [event] = decodeEvents(bytes);
  bytes.fill(0);
  assert.ok(event?.type === "exception");
  assert.deepEqual(event.frame, Uint8Array.of(1, 2, 3));
});

Deno.test("a type that is not known is passed over", () => {
  const events = decodeEvents(batch(record(99), record(5, (e) => e.set("mtu", 1420))));
  assert.deepEqual(events.map(({ type }) => type), ["too_big"]);
});

Deno.test("records that contradict their batch are refused", () => {
  const cases = [
    record(1, (e) => e.set("record_size", 8)),
    record(1, (e) => e.set("record_size", 4096)),
    record(1, (e) => e.set("data_len", 4096)),
    record(1).subarray(0, 12),
  ];
  for (const bytes of cases) {
    assert.throws(() => decodeEvents(batch(bytes)), { name: "DataPlaneError" });
  }
});

Deno.test("no octets make the decoder loop or fail in another way", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
    try {
      decodeEvents(Uint8Array.from(octets));
    } catch (error) {
      assert.ok(error instanceof Error && error.name === "DataPlaneError");
    }
  }));
});

Deno.test("a key that does not fit its version is not encoded, alone or in a list", () => {
  const short = {
    spi: 7,
    version: 1,
    key: new Key(new Uint8Array(16).fill(9)),
    ivLimit: 0n,
  } as const;
  const long = {
    spi: 7,
    version: 0,
    key: new Key(new Uint8Array(32).fill(9)),
    ivLimit: 0n,
  } as const;
  for (const key of [short, long]) {
    assert.throws(() => encodeKey(key), RangeError);
    assert.throws(() => encodeKeyItems([{ op: "set", cryptoId: 1, key }]), RangeError);
  }
});
