// SPDX-License-Identifier: Apache-2.0

/**
 * Every header form, through the pipes and entries of the agent on two real planes:
 * {inner v4, v6} x {outer v4, v6} x {tunnel, transport} x {version 0, 1} x {VC, none} x {crypt offset 0,
 * default, 63} x {sampling on, off}. In transport mode a packet keeps its own IP header, so that "outer" is
 * the family of the peers' pips alone. The DOCA plane refuses none of them; the flow label goes out as given.
 */
import assert from "node:assert/strict";
import { defaultCryptOffset } from "../../src/model/sa.ts";
import { buildUdp } from "../../src/exceptions/frame.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import type { Frame } from "../support/packet_socket.ts";
import { GATEWAY_MAC, PlaneLab, WORKLOAD_MAC } from "../support/plane_lab.ts";
import { type PspOnWire, readPsp } from "../support/psp_wire.ts";
import { PLANE } from "../support/standin.ts";
import { eventually } from "../support/wait.ts";

interface Group {
  readonly mode: "tunnel" | "transport";
  readonly vc: bigint | undefined;
  readonly sampling: boolean;
}

interface Case extends Group {
  readonly inner: "ipv4" | "ipv6";
  readonly outer: "ipv4" | "ipv6";
  readonly version: 0 | 1;
  readonly offset: 0 | "default" | 63;
}

const FAMILIES = ["ipv4", "ipv6"] as const;
const COOKIE = 0x0123_4567_89ab_cdefn;
/** Packets of each case: with one in two sampled, none or all of them sampled is a matter of 2^-31. */
const PACKETS = 32;
const VIPS = { ipv4: ["10.1.0.5", "10.2.0.7"], ipv6: ["fd01::5", "fd02::7"] } as const;
const OUTER_HEX = {
  ipv4: ["c0000201", "c0000202"],
  ipv6: ["fd770000000000000000000000000001", "fd770000000000000000000000000002"],
} as const;
const VIP_HEX = {
  ipv4: ["0a010005", "0a020007"],
  ipv6: ["fd010000000000000000000000000005", "fd020000000000000000000000000007"],
} as const;

const GROUPS: readonly Group[] = (["tunnel", "transport"] as const).flatMap((mode) =>
  [COOKIE, undefined].flatMap((vc) => [false, true].map((sampling) => ({ mode, vc, sampling })))
);

function cases(group: Group): readonly Case[] {
  return FAMILIES.flatMap((inner) =>
    FAMILIES.flatMap((outer) =>
      ([0, 1] as const).flatMap((version) =>
        ([0, "default", 63] as const).map((offset) => ({ ...group, inner, outer, version, offset }))
      )
    )
  );
}

/** Inner packets of one flow, each with a number in it, longer than 63 words. */
function packets({ inner }: Case): readonly Frame[] {
  const [src, dst] = VIPS[inner];
  return Array.from({ length: PACKETS }, (_, i) => {
    const payload = new Uint8Array(300 + i).fill(i);
    const at = { ethDst: GATEWAY_MAC, ethSrc: WORKLOAD_MAC, src, dst, ttl: 64 };
    return buildUdp(at, { src: 4000, dst: 5000 }, payload);
  });
}

function optionsOf({ mode, vc, sampling }: Group) {
  const sampleRateLog2 = sampling ? 1 : 0;
  const common = { onDemand: true, exceptions: true };
  return { mode, vc: vc !== undefined, sampling, sampleRateLog2, ...common };
}

async function run(lab: PlaneLab, c: Case): Promise<number> {
  const cryptOffset = c.offset === "default"
    ? defaultCryptOffset({ family: c.inner, vc: c.vc !== undefined, mode: c.mode })
    : c.offset;
  const [srcVip, dstVip] = VIPS[c.inner];
  const { mode, outer, version } = c;
  const vc = c.vc === undefined ? {} : { vc: c.vc };
  using flow = lab.connect({ srcVip, dstVip, outer, version, mode, cryptOffset, ...vc });
  const samples = lab.a.events.length + lab.b.events.length;
  const sent = packets(c);
  for (const frame of sent) lab.a.host.send(frame);
  const arrived = await lab.b.host.take(PACKETS, JSON.stringify(c, text), (p) => !p.outgoing);
  const wire = (await lab.wire.take(PACKETS, "the wire", (p) => p.outgoing)).map(readPsp);
  arrived.forEach((frame, i) => {
    assert.equal(frame.subarray(0, 12).toHex(), "020000000011" + "025053500001", "Ethernet");
    assert.equal(frame.subarray(14).toHex(), sent[i]?.subarray(14).toHex(), `packet ${i}`);
  });
  let marked = 0;
  wire.forEach((psp, i) => {
    assert.ok(psp, `frame ${i} is no PSP`);
    assertWire(psp, c, { i, spi: flow.spi, cryptOffset, sent: sent[i] ?? new Uint8Array() });
    if (psp.s) marked++;
  });
  if (!c.sampling) assert.equal(marked, 0, "sampled");
  else assert.ok(marked > 0 && marked < PACKETS, `${marked} of ${PACKETS} sampled`);
  const events = () => lab.a.events.length + lab.b.events.length - samples;
  await eventually(() => events() === 2 * marked, {
    what: `${marked} samples at each end`,
    describe: () => `${events()}`,
    everyMs: 2,
  });
  return marked;
}

function assertWire(
  psp: PspOnWire,
  c: Case,
  want: { i: number; spi: number; cryptOffset: number; sent: Frame },
): void {
  const transport = c.mode === "transport";
  const family = transport ? c.inner : c.outer;
  const [src, dst] = transport ? VIP_HEX[c.inner] : OUTER_HEX[c.outer];
  const clear = 4 * want.cryptOffset;
  const header = c.vc === undefined ? "" : c.vc.toString(16).padStart(16, "0");
  const l4 = 14 + (c.inner === "ipv4" ? 20 : 40);
  const plain = header + want.sent.subarray(transport ? l4 : 14).toHex();
  const { body, psp: _, ethDst: __, flowLabel, sourcePort, vc: seenVc, s: _s, ...rest } = psp;
  assert.deepEqual(rest, {
    family,
    vlan: undefined,
    src,
    dst,
    dscp: 0,
    ecn: 0,
    ttl: 64,
    udpChecksum: 0,
    nextHeader: transport ? 17 : c.inner === "ipv4" ? 4 : 41,
    extLength: c.vc === undefined ? 1 : 2,
    cryptOffset: want.cryptOffset,
    version: c.version,
    d: false,
    v: c.vc !== undefined,
    spi: want.spi,
    iv: BigInt(want.i + 1),
  });
  assert.ok(sourcePort >= 49152, `source port ${sourcePort}`);
  const labelled = PLANE === "soft" && family === "ipv6" && !transport;
  assert.equal(flowLabel !== 0, labelled, `flow label ${flowLabel}`);
  assert.equal(2 * body.length, plain.length, "length");
  assert.equal(body.subarray(0, clear).toHex(), plain.slice(0, 2 * clear), "the clear part");
  assert.notEqual(body.subarray(clear).toHex(), plain.slice(2 * clear), "the rest is not sealed");
  if (c.vc !== undefined && clear >= 8) assert.equal(seenVc, c.vc);
}

function text(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `0x${value.toString(16)}` : value;
}

// The entries of a form go as soon as its packets are through, and with them what they counted since the device
// refreshed its counters last (docs/doca.md): all of it is looked at here.
if (PLANE === "doca") Deno.env.set("DOCA_STANDIN_RELAX", "stale");

await inOwnNamespace(import.meta.url, () => {
  Deno.test("192 header forms go through the installed pipes", async (t) => {
    await using lab = await PlaneLab.open();
    let done = 0;
    for (const group of GROUPS) {
      await t.step(JSON.stringify(group, text), async () => {
        await lab.install(optionsOf(group));
        let marked = 0;
        for (const c of cases(group)) {
          marked += await run(lab, c);
          done++;
        }
        // 24 x 32 draws of one half: 384, and 83 is six times the standard deviation.
        if (group.sampling) assert.ok(Math.abs(marked - 384) < 83, `${marked} of 768 sampled`);
      });
    }
    assert.equal(done, 192);
    const [a, b] = [lab.a.plane.counters(), lab.b.plane.counters()];
    assert.equal(a["tx-packets"], BigInt(192 * PACKETS));
    assert.equal(b["rx-packets"], BigInt(192 * PACKETS));
    assert.equal(b["host-tx-packets"], BigInt(192 * PACKETS));
    for (const name of ["rx-no-sa", "rx-error", "rx-auth-fail", "rx-bad", "samples-lost"]) {
      assert.equal(b[name], 0n, name);
    }
  });
});
