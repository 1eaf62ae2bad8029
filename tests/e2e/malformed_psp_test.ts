// SPDX-License-Identifier: Apache-2.0

/**
 * Malformed and foreign PSP packets at the uplink: counted under the kernel's names, none
 * delivered.
 */
import assert from "node:assert/strict";
import { type Outer, udpFrame } from "../support/frames.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { eventually } from "../support/wait.ts";

interface Vector {
  readonly name: string;
  readonly psp: string;
  readonly expect: string;
  readonly outer: { readonly vlan?: boolean; readonly cs?: number };
}

const COUNTERS = ["rx-auth-fail", "rx-error", "rx-bad"] as const;
type Counter = (typeof COUNTERS)[number];

/**
 * The vectors are sealed under keys that this agent does not have: what is authentic there fails
 * here. The DOCA plane has no counter for what is bad by its header alone, and looks at no UDP checksum.
 */
function expected({ expect }: Vector): Counter | "none" {
  switch (expect) {
    case "ok":
    case "icv":
    case "policy":
      return "rx-auth-fail";
    case "malformed":
    case "short":
      return "rx-error";
    case "udp-layer":
      return PLANE === "doca" ? "rx-auth-fail" : "rx-error";
    case "discard":
    case "reserved":
    case "ok-if-supported":
      return PLANE === "doca" ? "rx-error" : "rx-bad";
    default:
      return "none";
  }
}

story("malformed PSP packets are counted by kind, none is delivered", { mtu: 9400 }, async (s) => {
  const { world, start } = s;
  const h1 = await start("h1");
  const path = new URL("../vectors/psp_malformed.json", import.meta.url);
  const vectors = JSON.parse(await Deno.readTextFile(path)) as Vector[];
  const thrower = await world.worker("h2");
  const capture = await world.capture();
  const read = async () => {
    const { counters } = await h1.status();
    return Object.fromEntries(COUNTERS.map((name) => [name, counters[name] ?? 0]));
  };
  const outer: Outer = {
    dstMac: world.host("h1").uplinkMac,
    srcMac: world.host("h2").uplinkMac,
    src: world.host("h2").pip,
    dst: world.host("h1").pip,
    srcPort: 50_000,
    dstPort: 1000,
  };
  const wrong: string[] = [];
  for (const vector of vectors) {
    const want = expected(vector);
    const before = await read();
    const frame = udpFrame(
      { ...outer, vlan: vector.outer.vlan ? 7 : 0, checksum: vector.outer.cs ?? 0 },
      Uint8Array.fromHex(vector.psp),
    );
    const seen = await h1.counter("uplink-rx-packets");
    await thrower.frames("uplink", [frame]);
    // A frame of a VLAN that is not ours is not even counted: the next one shows that it had no
    // effect.
    if (vector.outer.vlan) continue;
    await eventually(async () => await h1.counter("uplink-rx-packets") > seen, {
      what: `"${vector.name}" to arrive`,
      everyMs: 5,
    });
    const grown = (now: Record<string, number>) =>
      COUNTERS.filter((name) => now[name] === (before[name] ?? 0) + 1);
    const after = await eventually(async () => {
      const now = await read();
      return (want === "none" || grown(now).length > 0) && now;
    }, { what: `a verdict on "${vector.name}" (${vector.expect})`, everyMs: 5 });
    const got = grown(after).join() || "none";
    if (got !== want) wrong.push(`"${vector.name}": ${got} instead of ${want}`);
  }
  assert.deepEqual(wrong, []);
  const { counters } = await h1.status();
  assert.equal(counters["rx-packets"], 0);
  assert.equal(counters["host-tx-packets"], 0);
  const wire = await capture.stop();
  assert.equal(wire.foreignAt.h2, 0, `the host answered: ${wire.examples.join("; ")}`);
});
