// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { ipPacket, udpDatagram } from "./build.ts";
import { get16, ipv4Checksum, parseFrame, parseUdp, PROTO, withL2, withPayload } from "./frame.ts";

const V4 = { src: "192.0.2.1", dst: "192.0.2.2", ttl: 64 };
const V6 = { src: "2001:db8::1", dst: "2001:db8::2", ttl: 64 };
const UDP = udpDatagram(Uint8Array.of(1, 2, 3), { srcPort: 5, dstPort: 1000 });
const MACS = Uint8Array.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);

function ethernet(type: readonly number[], rest: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...MACS, ...type, ...rest]);
}

Deno.test("VLAN tags, padding and IPv4 options are seen through", () => {
  const ip = ipPacket(UDP, { ...V4, ipv4Options: Uint8Array.of(1, 1, 1, 0) });
  const tags = [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0];
  const frame = parseFrame({
    link: "ethernet",
    data: ethernet(tags, Uint8Array.from([...ip, 0, 0, 0])),
  });
  assert.ok(frame.ok);
  assert.deepEqual(frame.ip, ip);
  assert.equal(frame.l2.length, 22);
  assert.equal(frame.headerLength, 24);
  const udp = parseUdp(frame);
  assert.ok(typeof udp !== "string");
  assert.deepEqual(udp.payload, Uint8Array.of(1, 2, 3));
  assert.equal(udp.dstPort, 1000);
  assert.equal(ipv4Checksum(ip.subarray(0, 24)), 0);
});

Deno.test("IPv6 extension headers are seen through, fragments are told", () => {
  const plain = ipPacket(UDP, V6);
  const extended = (fragmentField: number) => {
    const ext = [
      60,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      44,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      17,
      0,
      0,
      fragmentField,
      0,
      0,
      0,
      1,
    ];
    const ip = Uint8Array.from([...plain.subarray(0, 40), ...ext, ...UDP]);
    ip[6] = 0;
    ip[5] = ext.length + UDP.length;
    return parseFrame({ link: "ip", data: ip });
  };
  const whole = extended(0);
  assert.ok(whole.ok && !whole.fragment);
  assert.equal(whole.protocol, PROTO.UDP);
  assert.equal(whole.headerLength, 64);
  const udp = parseUdp(whole);
  assert.ok(typeof udp !== "string" && udp.dstPort === 1000);
  const rebuilt = withPayload(whole, { protocol: PROTO.TCP, payload: Uint8Array.of(9) });
  assert.equal(rebuilt[56], PROTO.TCP);
  assert.equal(get16(rebuilt, 4), 25);
  const first = extended(1);
  assert.ok(first.ok && first.fragment);
});

Deno.test("a UDP checksum is 0 or right, on both families", () => {
  for (const outer of [V4, V6]) {
    const ip = ipPacket(UDP, outer);
    const at = (outer === V4 ? 20 : 40) + 6;
    const ok = (checksum: number) => {
      const data = ip.slice();
      data[at] = checksum >> 8;
      data[at + 1] = checksum & 0xff;
      const frame = parseFrame({ link: "ip", data });
      const udp = frame.ok ? parseUdp(frame) : "";
      assert.ok(typeof udp !== "string");
      return udp.checksumOk;
    };
    assert.equal(ok(0), true);
    const right = Array.from({ length: 0xffff }, (_, i) => i + 1).filter(ok);
    assert.equal(right.length, 1);
  }
});

Deno.test("what is not IP, too short or contradictory has a verdict and a reason", () => {
  const ip = ipPacket(UDP, V4);
  const cases = [
    ["not ip", "ethernet", ethernet([8, 6], ip)],
    ["short", "ethernet", MACS],
    ["short", "ethernet", ethernet([8, 0], new Uint8Array(0))],
    ["malformed", "ethernet", ethernet([0x86, 0xdd], ip)],
    ["not ip", "ip", Uint8Array.of(0x55)],
    ["short", "ip", ip.subarray(0, 19)],
    ["short", "ip", ip.subarray(0, 30)],
    ["short", "ip", ipPacket(UDP, V6).subarray(0, 39)],
    ["malformed", "ip", Uint8Array.from([0x44, ...ip.subarray(1)])],
    ["not ip", "other", ip],
  ] as const;
  for (const [verdict, link, data] of cases) {
    const frame = parseFrame({ link, data: Uint8Array.from(data) });
    assert.ok(!frame.ok);
    assert.equal(frame.verdict, verdict, frame.reason);
  }
});

Deno.test("UDP lengths that contradict the packet are told", () => {
  for (const length of [7, UDP.length + 1]) {
    const datagram = UDP.slice();
    datagram[5] = length;
    const frame = parseFrame({ link: "ip", data: ipPacket(datagram, V4) });
    assert.ok(frame.ok && typeof parseUdp(frame) === "string");
  }
});

Deno.test("no octets make the parser throw", () => {
  fc.assert(fc.property(
    fc.constantFrom("ethernet" as const, "ip" as const),
    fc.constantFrom([], [8, 0, 0x45], [0x86, 0xdd, 0x60], [0x45], [0x60]),
    fc.uint8Array({ maxLength: 120 }),
    (link, start, rest) => {
      const octets = link === "ethernet" && start.length > 1
        ? [...MACS, ...start, ...rest]
        : [...start, ...rest];
      const frame = parseFrame({ link, data: Uint8Array.from(octets) });
      if (frame.ok) parseUdp(frame);
    },
  ));
});

Deno.test("an Ethernet header takes the EtherType of its packet", () => {
  const l2 = Uint8Array.from([...MACS, 0x81, 0, 0, 5, 8, 0]);
  assert.equal(withL2(l2, ipPacket(UDP, V6)).subarray(12, 18).toHex(), "8100000586dd");
  assert.equal(withL2(new Uint8Array(0), UDP), UDP);
});
