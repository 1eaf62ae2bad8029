// SPDX-License-Identifier: Apache-2.0

/** What two agents agree on: the version, the cookie, the crypt offset; and what they refuse. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { type PspOnWire, readPsp } from "../support/psp_wire.ts";
import { sniff } from "../support/sniff.ts";
import { PLANE } from "../support/standin.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

/** Starts both with a change each, pings, and returns a PSP packet of each direction. */
async function exchanged(
  { world, start }: Stage,
  change: Readonly<Record<"h1" | "h2", (config: PeersJson) => void>>,
): Promise<Record<"h1" | "h2", PspOnWire>> {
  await Promise.all([start("h1", { change: change.h1 }), start("h2", { change: change.h2 })]);
  const at = { device: "uplink", count: 1 };
  const from = (host: "h1" | "h2") =>
    sniff(world, { ...at, in: "h1", filter: `udp dst port 1000 and src ${world.host(host).pip}` });
  const [h1, h2] = await Promise.all([from("h1"), from("h2")]);
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(received, 1, text);
  const [a, b] = (await Promise.all([h1(), h2()])).map(([frame]) => frame && readPsp(frame));
  assert.ok(a && b);
  return { h1: a, h2: b };
}

const versions = (...names: string[]) => (config: PeersJson) => {
  config.psp = { ...config.psp, versions: names };
};

const AGREED = [
  { h1: ["aes-gcm-256", "aes-gcm-128"], h2: ["aes-gcm-128", "aes-gcm-256"], version: 1 },
  { h1: ["aes-gcm-128", "aes-gcm-256"], h2: ["aes-gcm-256", "aes-gcm-128"], version: 0 },
  { h1: ["aes-gcm-256", "aes-gcm-128"], h2: ["aes-gcm-128"], version: 0 },
  { h1: ["aes-gmac-256", "aes-gcm-256"], h2: ["aes-gcm-256"], version: 1 },
  { h1: ["aes-gmac-128"], h2: ["aes-gmac-128", "aes-gcm-256"], version: 2 },
] as const;

for (const { h1, h2, version } of AGREED) {
  const gmac = [...h1, ...h2].find((name) => name.startsWith("aes-gmac"));
  if (PLANE === "doca" && gmac !== undefined) {
    story(`${gmac} is refused: hardware has no GMAC`, {}, async ({ launch }) => {
      const agent = await launch("h1", { change: versions(...h1) });
      assert.equal((await agent.ended()).code, 3);
      assert.match(agent.logText(), new RegExp(`"${gmac}" is not there in hardware`));
    });
    continue;
  }
  story(`${h1.join(", ")} meets ${h2.join(", ")}: version ${version}`, {}, async (stage) => {
    const wire = await exchanged(stage, { h1: versions(...h1), h2: versions(...h2) });
    assert.deepEqual([wire.h1.version, wire.h2.version], [version, version]);
  });
}

/** A list that has something in common with the other host's, one that has not, and that host's (soft: the default). */
const APART = PLANE === "doca"
  ? { some: ["aes-gcm-128", "aes-gcm-256"], none: ["aes-gcm-128"], other: ["aes-gcm-256"] }
  : {
    some: ["aes-gmac-128", "aes-gcm-128"],
    none: ["aes-gmac-128", "aes-gmac-256"],
    other: ["aes-gcm-256", "aes-gcm-128"],
  };

story("without a version in common both lists are named", {}, async ({ world, start }) => {
  const [h1, h2] = await Promise.all([
    start("h1", { change: versions(...APART.some) }),
    start("h2", PLANE === "doca" ? { change: versions(...APART.other) } : {}),
  ]);
  // What remains in common is taken: no GMAC.
  assert.equal((await ping(world, { in: "v1", to: world.vip("h2") })).received, 1);
  await h1.end("SIGTERM");
  const alone = await start("h1", { change: versions(...APART.none) });
  const { received } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 });
  assert.equal(received, 0);
  const refused = () => alone.logText();
  const lists = new RegExp(`${APART.none.join(", ")}.*${APART.other.join(", ")}`);
  await eventually(() => lists.test(refused()), {
    what: "the refusal to name both lists",
    describe: refused,
  });
  assert.ok(await h2.counter("refused-version") > 0);
});

story("a virtualization cookie of each host's own is sent and checked", {}, async (stage) => {
  const cookie = (vc: string) => (config: PeersJson) => {
    for (const peer of config.peers) peer.vc = vc;
  };
  // What h2 receives from h1 carries what h2 asked for.
  const wire = await exchanged(stage, { h1: cookie("0x1111"), h2: cookie("0x2222") });
  assert.deepEqual([wire.h1.vc, wire.h2.vc], [0x2222n, 0x1111n]);
  assert.deepEqual([wire.h1.cryptOffset, wire.h2.cryptOffset], [7, 7]);
});

story("one host's cookie is nothing to the other", {}, async (stage) => {
  const wire = await exchanged(stage, {
    h1: () => {},
    h2: ({ peers }) => peers.forEach((peer) => peer.vc = "0x2222"),
  });
  assert.deepEqual([wire.h1.vc, wire.h2.vc], [0x2222n, undefined]);
  assert.deepEqual([wire.h1.cryptOffset, wire.h2.cryptOffset], [7, 5]);
});

story("the crypt offset is the receiver's to configure", {}, async (stage) => {
  // A ping of 84 octets is 21 words: in software a packet may be shorter than its crypt offset.
  const asked = PLANE === "soft" ? 63 : 21;
  const wire = await exchanged(stage, {
    h1: (config) =>
      config.psp = {
        crypt_offset: { ipv4: 0, ipv6: 0 },
        max_crypt_offset: { ipv4: 63, ipv6: 63 },
      },
    h2: (config) => config.psp = { crypt_offset: { ipv4: asked, ipv6: asked } },
  });
  assert.deepEqual([wire.h1.cryptOffset, wire.h2.cryptOffset], [21, 0]);
});
