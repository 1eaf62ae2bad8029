// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { openLibrary } from "../../ffi/library.ts";
import { type Offline, offline } from "../../ffi/offline.ts";
import { libraryPath } from "../../tests/support/library.ts";
import { ipPacket, udpDatagram } from "./build.ts";
import type { CapturedPacket } from "./capture.ts";
import { readCapture, writeCapture } from "./format.ts";
import { parseFrame, put16 } from "./frame.ts";
import { parseKeys } from "./keys.ts";
import { openCapture, type OpenOptions } from "./open.ts";
import { sealCapture, type SealOptions } from "./seal.ts";

const K0 = "34448a064292601b11a0978f56a2d34cf3fc35ede1a6bc04f8db3e5243a2b0ca";
const K1 = "563952565d3a78ae773ec1b779f2f2d99f4a7f53a6fbb9b07d5b71f39364d739";
const MASTER = JSON.stringify({ mk0: K0, mk1: K1 });
const OUTER = { src: "192.0.2.1", dst: "192.0.2.2" };
const L2 = Uint8Array.fromHex("0200000000020200000000018100000508" + "00");

function test(name: string, fn: (crypto: Offline) => void): void {
  Deno.test(name, () => {
    using library = openLibrary(libraryPath());
    fn(offline(library));
  });
}

function packet(payload: Uint8Array, options: { v6?: boolean; opts?: boolean } = {}) {
  const datagram = udpDatagram(payload, { srcPort: 5000, dstPort: 5001 });
  return ipPacket(datagram, {
    ...(options.v6 ? { src: "fd00::1", dst: "fd00::2" } : { src: "10.0.0.1", dst: "10.0.0.2" }),
    ttl: 64,
    ...(options.opts ? { ipv4Options: Uint8Array.of(1, 1, 1, 0) } : {}),
  });
}

function capture(packets: readonly Uint8Array<ArrayBuffer>[], link: "ethernet" | "ip" = "ip") {
  const list = packets.map((data, i): CapturedPacket => ({
    link,
    timeNs: BigInt(i) * 1000n,
    data,
    originalLength: data.length,
  }));
  return writeCapture(list, { link, nanoseconds: true });
}

function seal(crypto: Offline, file: Uint8Array<ArrayBuffer>, options: Partial<SealOptions> = {}) {
  const keys = parseKeys(MASTER);
  return sealCapture(file, { crypto, keys, spi: 0x12345678, outer: OUTER, ...options });
}

function open(crypto: Offline, file: Uint8Array<ArrayBuffer>, options: Partial<OpenOptions> = {}) {
  return openCapture(file, { crypto, keys: parseKeys(MASTER), ...options });
}

function data(file: Uint8Array<ArrayBuffer>): string[] {
  return readCapture(file).packets.map((p) => p.data.toHex());
}

test("what is sealed is opened again, whatever the options", (crypto) => {
  fc.assert(
    fc.property(
      fc.record({
        payload: fc.uint8Array({ maxLength: 1400 }),
        v6: fc.boolean(),
        opts: fc.boolean(),
        mode: fc.constantFrom("tunnel" as const, "transport" as const),
        version: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
        cryptOffset: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
        vc: fc.option(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { nil: undefined }),
        firstIv: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        outer6: fc.boolean(),
        spi: fc.constantFrom(1, 0x12345678, 0x9a345678, 0xffffffff),
        port: fc.constantFrom(1000, 4000),
      }),
      ({ payload, v6, opts, outer6, cryptOffset, vc, ...rest }) => {
        const input = [packet(payload, { v6, opts })];
        const sealed = seal(crypto, capture(input), {
          ...rest,
          ...(cryptOffset === undefined ? {} : { cryptOffset }),
          ...(vc === undefined ? {} : { vc }),
          ...(outer6 ? { outer: { src: "2001:db8::1", dst: "2001:db8::2" } } : {}),
        });
        assert.equal(sealed.results[0]?.verdict, "ok", sealed.results[0]?.reason);
        const opened = open(crypto, sealed.file, { versions: [0, 1, 2, 3], port: rest.port });
        assert.equal(opened.results[0]?.verdict, "ok", opened.results[0]?.reason);
        assert.deepEqual(data(opened.file), input.map((ip) => ip.toHex()));
      },
    ),
    { numRuns: 60 },
  );
});

test("the overhead is the specification's", (crypto) => {
  const file = capture([packet(new Uint8Array(100))]);
  const overhead = (options: Partial<SealOptions>) => {
    const [result] = seal(crypto, file, options).results;
    return (result?.size_out ?? 0) - (result?.size_in ?? 0);
  };
  const v6 = { outer: { src: "2001:db8::1", dst: "2001:db8::2" } };
  assert.equal(overhead({}), 60);
  assert.equal(overhead({ vc: 1n }), 68);
  assert.equal(overhead(v6), 80);
  assert.equal(overhead({ ...v6, vc: 1n }), 88);
  assert.equal(overhead({ mode: "transport" }), 40);
  assert.equal(overhead({ mode: "transport", vc: 1n }), 48);
});

test("the result of each packet says what it is", (crypto) => {
  const file = capture([packet(new Uint8Array(4)), packet(new Uint8Array(4))]);
  const sealed = seal(crypto, file, { firstIv: 255n, version: 1, spi: 0x9a345678 });
  assert.deepEqual(sealed.results[1], {
    index: 1,
    verdict: "ok",
    spi: "9a345678",
    iv: "0000000000000100",
    version: 1,
    size_in: 32,
    size_psp: 64,
    size_out: 92,
  });
  assert.deepEqual(open(crypto, sealed.file).results[1], {
    index: 1,
    verdict: "ok",
    spi: "9a345678",
    iv: "0000000000000100",
    version: 1,
    size_in: 92,
    size_psp: 64,
    size_out: 32,
  });
});

test("Ethernet headers with VLAN tags are kept, padding is not sealed", (crypto) => {
  const ip = packet(Uint8Array.of(1));
  const frame = Uint8Array.from([...L2, ...ip]);
  const sealed = seal(crypto, capture([Uint8Array.from([...frame, 0, 0, 0, 0])], "ethernet"));
  const [out] = readCapture(sealed.file).packets;
  assert.equal(out?.link, "ethernet");
  assert.equal(out?.data.subarray(0, 18).toHex(), L2.toHex());
  assert.deepEqual(data(open(crypto, sealed.file).file), [ip.toHex()]);
  assert.deepEqual(data(open(crypto, sealed.file, { output: "ethernet" }).file), [frame.toHex()]);
});

test("keys by SPI: the right one opens, the wrong length and an unknown SPI are told", (crypto) => {
  const keys = (spi: string, hex: string) => parseKeys(JSON.stringify({ sa: { [spi]: hex } }));
  const k = "96c22dc799198090b74b70ae468e4e30";
  const file = seal(crypto, capture([packet(new Uint8Array(4))])).file;
  const verdict = (of: ReturnType<typeof keys>) => open(crypto, file, { keys: of }).results[0];
  assert.equal(verdict(keys("12345678", k))?.verdict, "ok");
  assert.equal(verdict(keys("12345678", "00".repeat(16)))?.verdict, "icv");
  const unknown = verdict(keys("12345679", k));
  assert.equal(unknown?.verdict, "discard");
  assert.equal(unknown?.reason, "there is no key for SPI 12345678");
  assert.equal(verdict(keys("12345678", k + k))?.verdict, "discard");
  assert.throws(() => seal(crypto, file, { keys: keys("7", k) }), { name: "ConfigError" });
});

test("a bad packet does not stop the others", (crypto) => {
  const good = readCapture(seal(crypto, capture([packet(new Uint8Array(8))])).file).packets[0]
    ?.data;
  assert.ok(good);
  const change = (at: number, value: number) => {
    const copy = good.slice();
    copy[at] = value;
    return copy;
  };
  const udpOnly = packet(new Uint8Array(4));
  const cut = good.slice(0, 30);
  const wrongSum = good.slice();
  put16(wrongSum, 26, 0x1234);
  const fragment = change(6, 0x20);
  const input: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] = [
    ["ok", good],
    ["icv", change(good.length - 1, (good.at(-1) ?? 0) ^ 1)],
    ["malformed", change(29, 0)],
    ["reserved", Uint8Array.from([...good.subarray(0, 32), 0, 0, 0, 0, ...good.subarray(36)])],
    ["discard", change(31, 0x3d)],
    ["short", cut],
    ["udp-layer", wrongSum],
    ["not psp", udpOnly],
    ["not psp", fragment],
    ["not psp", Uint8Array.of(0)],
    ["short", new Uint8Array(0)],
    ["ok", good],
  ];
  const { results, file } = open(crypto, capture(input.map(([, octets]) => octets)));
  assert.deepEqual(results.map(({ verdict }) => verdict), input.map(([verdict]) => verdict));
  assert.deepEqual(results.map(({ index }) => index), input.map((_, i) => i));
  for (const { verdict, reason } of results) assert.equal(reason === undefined, verdict === "ok");
  assert.equal(data(file).length, 2);
});

test("the D bit is policy: authentic, and not written", (crypto) => {
  const sealed = seal(crypto, capture([packet(new Uint8Array(8))]), { d: true });
  const opened = open(crypto, sealed.file);
  assert.equal(opened.results[0]?.verdict, "policy");
  assert.equal(data(opened.file).length, 0);
});

test("packets that cannot be sealed take no IV", (crypto) => {
  const tiny = packet(new Uint8Array(0));
  const fragment = packet(new Uint8Array(4));
  fragment[6] = 0x20;
  const icmp = packet(new Uint8Array(4));
  icmp[9] = 1;
  const good = packet(new Uint8Array(200));
  const file = capture([tiny, Uint8Array.of(1), fragment, icmp, good]);
  const sealed = seal(crypto, file, { mode: "transport", cryptOffset: 20 });
  assert.deepEqual(sealed.results.map(({ verdict }) => verdict), [
    "malformed",
    "malformed",
    "policy",
    "policy",
    "ok",
  ]);
  assert.equal(sealed.results[4]?.iv, "0000000000000001");
});

test("an IV is never used twice", (crypto) => {
  const file = capture([packet(new Uint8Array(4)), packet(new Uint8Array(4))]);
  const sealed = seal(crypto, file, { firstIv: (1n << 64n) - 1n });
  assert.equal(sealed.results[0]?.verdict, "ok");
  assert.equal(sealed.results[1]?.reason, "there is no IV left");
});

test("options that do not fit are refused before any packet", (crypto) => {
  const file = capture([]);
  const cases: readonly Partial<SealOptions>[] = [
    { spi: 0 },
    { spi: 0x80000000 },
    { cryptOffset: 64 },
    { firstIv: -1n },
    { vc: 1n << 64n },
    { outer: { src: "192.0.2.1", dst: "::1" } },
    { outer: { src: "h1", dst: "h2" } },
    { outer: { ...OUTER, ttl: 0 } },
    { port: 65536 },
  ];
  for (const options of cases) {
    assert.throws(
      () => seal(crypto, file, options),
      { name: "ConfigError" },
      JSON.stringify(options, String),
    );
  }
});

test("packets of one flow have one UDP source port, and it is not the only one", (crypto) => {
  const inputs = [
    packet(Uint8Array.of(1)),
    packet(Uint8Array.of(2)),
    packet(Uint8Array.of(1), { v6: true }),
  ];
  const ports = readCapture(seal(crypto, capture(inputs)).file).packets.map((p) => {
    const frame = parseFrame(p);
    assert.ok(frame.ok);
    return (frame.ip[20] ?? 0) << 8 | (frame.ip[21] ?? 0);
  });
  assert.equal(ports[0], ports[1]);
  assert.notEqual(ports[0], ports[2]);
  assert.ok(ports.every((port) => port >= 49152));
});

test("the rest of a damaged file is told", (crypto) => {
  const file = capture([packet(new Uint8Array(4)), packet(new Uint8Array(4))]);
  const sealed = seal(crypto, file.slice(0, file.length - 1));
  assert.equal(sealed.results.length, 1);
  assert.equal(sealed.problem, "the file ends within packet 1");
});
