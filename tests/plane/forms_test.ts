// SPDX-License-Identifier: Apache-2.0

/**
 * What the outer header says of the inner one, and inner packets of every shape, on two real planes. The DOCA plane's
 * outer header is as given, and no router's mark comes in.
 */
import assert from "node:assert/strict";
import { buildFrame, buildUdp, type Bytes, concat, view } from "../../src/exceptions/frame.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import { type FlowForm, GATEWAY_MAC, PlaneLab, WORKLOAD_MAC } from "../support/plane_lab.ts";
import { type PspOnWire, readPsp } from "../support/psp_wire.ts";
import { PLANE } from "../support/standin.ts";
import { eventually } from "../support/wait.ts";

const V4 = { src: "10.1.0.5", dst: "10.2.0.7" } as const;
const V6 = { src: "fd01::5", dst: "fd02::7" } as const;
const ETH = { ethDst: GATEWAY_MAC, ethSrc: WORKLOAD_MAC, ttl: 64 } as const;
const PIPES = {
  mode: "tunnel",
  sampling: false,
  sampleRateLog2: 0,
  onDemand: true,
  exceptions: true,
  vc: true,
} as const;
const COOKIE = 7n;
const COPIES = PLANE === "soft";

function form(family: "ipv4" | "ipv6", change: Partial<FlowForm> = {}): FlowForm {
  const vips = family === "ipv4" ? V4 : V6;
  return {
    srcVip: vips.src,
    dstVip: vips.dst,
    outer: "ipv4",
    version: 1,
    mode: "tunnel",
    cryptOffset: 5,
    ...change,
  };
}

function udp(family: "ipv4" | "ipv6", size = 64, port = 5000): Bytes {
  const vips = family === "ipv4" ? V4 : V6;
  return buildUdp({ ...ETH, ...vips }, { src: 4000, dst: port }, new Uint8Array(size).fill(size));
}

/** Sets the traffic class of an inner packet. */
function withTos(frame: Bytes, tos: number): Bytes {
  const v = view(frame);
  if (v.getUint16(12) === 0x86dd) {
    v.setUint32(14, (0x60000000 | tos << 20) >>> 0);
    return frame;
  }
  v.setUint8(15, tos);
  return mended(frame);
}

/** With the checksum of the IPv4 header right again. */
function mended(frame: Bytes): Bytes {
  const v = view(frame);
  const length = 4 * (v.getUint8(14) & 15);
  v.setUint16(24, 0);
  let sum = 0;
  for (let i = 14; i < 14 + length; i += 2) sum += v.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  v.setUint16(24, ~sum & 0xffff);
  return frame;
}

/** Sends from a, and returns what was on the wire and what came out at b. */
async function pass(lab: PlaneLab, frame: Bytes): Promise<{ wire: PspOnWire; out: Bytes }> {
  lab.a.host.send(frame);
  const [wire] = await lab.wire.take(1, "the wire", (p) => p.outgoing);
  const [out] = await lab.b.host.take(1, "the far workload", (p) => !p.outgoing);
  const psp = wire && readPsp(wire);
  assert.ok(psp && out);
  return { wire: psp, out };
}

/** The inner packet, unchanged. */
async function passWhole(lab: PlaneLab, frame: Bytes, length = frame.length): Promise<PspOnWire> {
  const { wire, out } = await pass(lab, frame);
  assert.equal(out.subarray(14).toHex(), frame.subarray(14, length).toHex());
  return wire;
}

await inOwnNamespace(import.meta.url, () => {
  Deno.test("the outer header follows the inner one", async (t) => {
    await using lab = await PlaneLab.open();
    await lab.install(PIPES);

    for (const inner of ["ipv4", "ipv6"] as const) {
      for (const outer of ["ipv4", "ipv6"] as const) {
        await t.step(`DSCP and ECN are copied outward: ${inner} in ${outer}`, async () => {
          using _ = lab.connect(form(inner, { outer }));
          for (const [dscp, ecn] of [[46, 0], [10, 1], [0, 2], [63, 3]] as const) {
            const wire = await passWhole(lab, withTos(udp(inner), dscp << 2 | ecn));
            assert.deepEqual([wire.dscp, wire.ecn], COPIES ? [dscp, ecn] : [0, 0]);
          }
        });
        await t.step(`without copy_dscp only ECN is: ${inner} in ${outer}`, async () => {
          using _ = lab.connect(form(inner, { outer, copyDscp: false }));
          const wire = await passWhole(lab, withTos(udp(inner), 46 << 2 | 2));
          assert.deepEqual([wire.dscp, wire.ecn], [0, COPIES ? 2 : 0]);
        });
      }
    }

    await t.step("a router's CE mark reaches the workload, or the packet is dropped", async () => {
      using _ = lab.connect(form("ipv4", { cryptOffset: 0 }));
      await congest(lab, { inner: 2, arrives: COPIES ? 3 : 2 });
      const before = lab.b.plane.counters()["rx-bad-inner"] ?? 0n;
      await congest(lab, { inner: 0, arrives: COPIES ? undefined : 0 });
      assert.equal(lab.b.plane.counters()["rx-bad-inner"], before + (COPIES ? 1n : 0n));
    });

    await t.step("the UDP source port spreads flows and is steady within one", async () => {
      using _ = lab.connect(form("ipv4", { outer: "ipv6" }));
      const ports = new Set<number>();
      const labels = new Set<number>();
      for (let port = 5000; port < 5064; port++) {
        const one = await passWhole(lab, udp("ipv4", 64, port));
        const again = await passWhole(lab, udp("ipv4", 65, port));
        assert.equal(one.sourcePort, again.sourcePort);
        assert.equal(one.flowLabel, again.flowLabel);
        assert.ok(one.sourcePort >= 49152);
        assert.equal(one.flowLabel !== 0, COPIES);
        ports.add(one.sourcePort);
        labels.add(one.flowLabel);
      }
      // 64 draws of 16,384: five collisions and more come once in many lives.
      assert.ok(ports.size > 58, `${ports.size} source ports`);
      assert.ok(COPIES ? labels.size > 58 : labels.size === 1, `${labels.size} flow labels`);
    });
  });

  Deno.test("inner packets of every shape arrive as they were", async (t) => {
    await using lab = await PlaneLab.open({ mtu: 9000 });
    await lab.install(PIPES);
    using _four = lab.connect(form("ipv4"));
    using _six = lab.connect(form("ipv6", { cryptOffset: 10 }));

    await t.step("IPv4 options", async () => {
      const plain = udp("ipv4");
      const frame = concat(plain.subarray(0, 34), Uint8Array.of(7, 4, 4, 0), plain.subarray(34));
      frame[14] = 0x46;
      view(frame).setUint16(16, frame.length - 14);
      await passWhole(lab, mended(frame));
    });
    await t.step("IPv4 fragments, first and later", async () => {
      for (const field of [0x2000, 0x2003, 0x0006]) {
        const frame = udp("ipv4", 40);
        view(frame).setUint16(20, field);
        await passWhole(lab, mended(frame));
      }
    });
    await t.step("IPv6 extension headers and fragments", async () => {
      const at = { ...ETH, ...V6 };
      const hopByHop = Uint8Array.of(17, 0, 1, 4, 0, 0, 0, 0);
      const datagram = udp("ipv6").subarray(54);
      await passWhole(lab, buildFrame({ ...at, protocol: 0 }, concat(hopByHop, datagram)));
      const fragment = Uint8Array.of(17, 0, 0, 0x29, 0, 0, 0, 9);
      await passWhole(lab, buildFrame({ ...at, protocol: 44 }, concat(fragment, datagram)));
    });
    await t.step("jumbo frames, to the last octet that fits", async () => {
      for (const family of ["ipv4", "ipv6"] as const) {
        const headers = family === "ipv4" ? 28 : 48;
        for (const total of [8_000, 8_939, 8_940]) {
          const wire = await passWhole(lab, udp(family, total - headers));
          assert.equal(wire.psp.length, total + 32);
        }
      }
      const before = lab.a.plane.counters()["too-big"] ?? 0n;
      lab.a.host.send(udp("ipv4", 8_941 - 28));
      await eventually(() => lab.a.plane.counters()["too-big"] === before + 1n, {
        what: "a packet of 8,941 octets to be too big",
        everyMs: 2,
      });
    });
    await t.step("Ethernet padding stays behind", async () => {
      const short = udp("ipv4", 1);
      await passWhole(lab, concat(short, new Uint8Array(60 - short.length).fill(9)), short.length);
    });
    // Hardware takes what has the very offset that was asked for: the shortest packet ends at 5 words.
    if (PLANE === "doca") return;
    await t.step("packets shorter than the crypt offset", async () => {
      using _ = lab.connect(form("ipv4", { dstVip: "10.2.0.63", cryptOffset: 63 }));
      for (const size of [0, 1, 2, 3, 199, 223, 224, 225, 300]) {
        const at = { ...ETH, src: V4.src, dst: "10.2.0.63" };
        const frame = buildUdp(at, { src: 1, dst: 2 }, new Uint8Array(size));
        const wire = await passWhole(lab, frame);
        assert.equal(wire.cryptOffset, Math.min(63, Math.floor((28 + size) / 4)));
      }
    });
  });

  Deno.test("a wrong virtualization cookie is dropped and counted", async () => {
    await using lab = await PlaneLab.open();
    await lab.install(PIPES);
    for (const cryptOffset of [0, 1, 2, 7]) {
      using _ = lab.connect(form("ipv4", { vc: COOKIE, sentVc: 8n, cryptOffset }));
      const before = lab.b.plane.counters();
      lab.a.host.send(udp("ipv4"));
      await eventually(
        () => lab.b.plane.counters()["rx-no-sa"] === (before["rx-no-sa"] ?? 0n) + 1n,
        { what: `rx-no-sa at crypt offset ${cryptOffset}`, everyMs: 2 },
      );
      assert.equal(lab.b.plane.counters()["host-tx-packets"], before["host-tx-packets"]);
    }
  });

  Deno.test("a packet that was sealed with another crypt offset is dropped and counted", async () => {
    await using lab = await PlaneLab.open();
    await lab.install(PIPES);
    const counter = PLANE === "doca" ? "rx-no-sa" : "rx-crypt-offset";
    for (const [asked, sent] of [[5, 63], [5, 6], [5, 4], [5, 0], [0, 1]] as const) {
      using _ = lab.connect(form("ipv4", { cryptOffset: asked, sentCryptOffset: sent }));
      const before = lab.b.plane.counters();
      lab.a.host.send(udp("ipv4", 300));
      await eventually(
        () => lab.b.plane.counters()[counter] === (before[counter] ?? 0n) + 1n,
        { what: `${counter} at ${sent} where ${asked} was asked for`, everyMs: 2 },
      );
      assert.equal(lab.b.plane.counters()["host-tx-packets"], before["host-tx-packets"]);
    }
  });

  Deno.test("a VLAN-tagged uplink carries tagged PSP, and takes no other", async () => {
    await using lab = await PlaneLab.open({ uplinkVlan: 42 });
    await lab.install(PIPES);
    using _ = lab.connect(form("ipv4"));
    lab.a.host.send(udp("ipv4"));
    const [tagged] = await lab.wire.take(1, "the wire", (p) => p.outgoing);
    assert.ok(tagged);
    assert.equal(tagged.subarray(12, 18).toHex(), "8100" + "002a" + "0800");
    // The stand-in's ports know no tags on what comes in, so that there is nothing more to see.
    if (PLANE === "doca") return;
    const [out] = await lab.b.host.take(1, "the far workload", (p) => !p.outgoing);
    assert.equal(out?.subarray(14).toHex(), udp("ipv4").subarray(14).toHex());
    const before = lab.b.plane.counters()["uplink-rx-packets"];
    // Untagged, and with another tag: not this port's. The right one after them shows that they had no effect.
    lab.wire.send(concat(tagged.subarray(0, 12), tagged.subarray(16)));
    const foreign = tagged.slice();
    foreign[15] = 43;
    lab.wire.send(foreign);
    lab.wire.send(tagged);
    const replayed = await lab.b.host.take(1, "the far workload", (p) => !p.outgoing);
    assert.equal(replayed.length, 1);
    assert.equal(lab.b.plane.counters()["uplink-rx-packets"], (before ?? 0n) + 1n);
    assert.deepEqual(lab.b.host.drain().filter((p) => !p.outgoing), []);
  });
});

/** A packet of a is caught on the wire, marked CE in its outer header, and sent on. */
async function congest(
  lab: PlaneLab,
  { inner, arrives }: { readonly inner: number; readonly arrives: number | undefined },
): Promise<void> {
  const { wire } = await pass(lab, withTos(udp("ipv4"), inner));
  assert.equal(wire.ecn, COPIES ? inner : 0);
  // The same again, as a router would have marked it: PSP has no replay protection.
  lab.a.host.send(withTos(udp("ipv4"), inner));
  const [frame] = await lab.wire.take(1, "the wire", (p) => p.outgoing);
  await lab.b.host.take(1, "the far workload", (p) => !p.outgoing);
  assert.ok(frame);
  frame[15] = ((frame[15] ?? 0) & ~3) | 3;
  const seen = lab.b.plane.counters()["rx-packets"] ?? 0n;
  lab.wire.send(mended(frame));
  await eventually(() => (lab.b.plane.counters()["rx-packets"] ?? 0n) > seen, {
    what: "the marked packet to be opened",
    everyMs: 2,
  });
  if (arrives === undefined) {
    await eventually(() => (lab.b.plane.counters()["rx-bad-inner"] ?? 0n) > 0n, {
      what: "a CE mark on a packet that is not ECN capable to be refused",
      everyMs: 2,
    });
    assert.deepEqual(lab.b.host.drain().filter((p) => !p.outgoing), []);
    return;
  }
  const [out] = await lab.b.host.take(1, "the marked packet", (p) => !p.outgoing);
  assert.equal((out?.[15] ?? 0) & 3, arrives);
}
