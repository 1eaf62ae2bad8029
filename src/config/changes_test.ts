// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { Slices } from "../model/slices.ts";
import { APPLIES, changedKeys, inParts, LiveConfig, peerChanges, restartKeys } from "./changes.ts";
import type { PeerConfig } from "./config.ts";
import { parseConfig } from "./load.ts";
import { SMALLEST } from "../../tests/support/config_text.ts";

const configOf = (change: object) =>
  parseConfig(JSON.stringify({ ...SMALLEST, ...change }), "/etc/psp-agent/peers.json").config;

const TLS = { cert: "a.crt", key: "a.key", ca: "ca.crt" };

Deno.test("a changed key is live or waits for a start, by one table", () => {
  const before = configOf({});
  const cases: [change: object, live: string[], restart: string[]][] = [
    [{}, [], []],
    [{ tunnel: { life: "1h" } }, [], []],
    [{ tunnel: { life: "2h", on_demand: false } }, ["tunnel.life"], ["tunnel.on_demand"]],
    [{ security: { deny: ["h9"] }, log: { level: "debug" } }, ["security.deny", "log.level"], []],
    [{ vips: ["10.1.0.0/24", "10.9.0.0/24"] }, ["vips"], []],
    [{ rotation: { interval: "1h" }, psp: { ttl: 32 } }, ["rotation.interval"], [
      "psp.ttl",
    ]],
    [{ rpc: { tls: TLS, listen: "192.0.2.1:7444" } }, [
      "rpc.tls.cert",
      "rpc.tls.key",
      "rpc.tls.ca",
    ], ["rpc.listen"]],
    [{ rpc: { insecure: true } }, [], ["rpc.insecure", "rpc.tls"]],
    [{ status: { tls: TLS, origins: ["https://a.example"] } }, ["status.origins"], ["status.tls"]],
    [{ psp: { ttl: 1, max_crypt_offset: { ipv4: 1, ipv6: 1 } } }, ["psp.max_crypt_offset"], [
      "psp.ttl",
    ]],
    [{ plane: { uplink: "u9", host: "h9" } }, [], ["plane.uplink", "plane.host"]],
    // Other pipes would be needed.
    [{ plane: { ...SMALLEST.plane, host: ["h0", "tap*"] } }, [], ["plane.host"]],
    [{ directory: { dir: "peers.d" } }, ["directory.dir"], []],
  ];
  for (const [change, live, restart] of cases) {
    const after = configOf(change);
    assert.deepEqual([...restartKeys(before, after)].sort(), [...restart].sort());
    assert.deepEqual([...changedKeys(before, after)].sort(), [...live, ...restart].sort());
  }
  assert.equal(APPLIES.peers, "live");
});

Deno.test("peers that come, go and are others are told apart; their order is nothing", () => {
  const of = (id: string, ...vips: string[]) => ({ id, svcAddress: "a:1", vips });
  const before = [of("h2", "10.2.0.1/32"), of("h3", "10.3.0.1/32"), of("h4", "10.4.0.1/32")];
  const after = [of("h4", "10.4.0.1/32"), of("h3", "10.3.0.2/32"), of("h5", "10.5.0.1/32")];
  const { changed, removed } = peerChanges(before, after);
  assert.deepEqual([changed.map(({ id }) => id), removed], [["h3", "h5"], ["h2"]]);
});

Deno.test("whoever holds the view of a configuration reads what is in force", () => {
  const live = new LiveConfig(configOf({}));
  const { view } = live;
  const part: { readonly tunnel: { readonly lifeMs: number } } = view;
  assert.equal(part.tunnel.lifeMs, 3_600_000);
  live.replace(configOf({ tunnel: { life: "5m" } }));
  assert.equal(part.tunnel.lifeMs, 300_000);
  assert.equal(live.now.tunnel.lifeMs, 300_000);
  assert.deepEqual({ ...view }, live.now);
});

Deno.test("ports and networks are live where ports come and go, and else what needs none of them", () => {
  const network = { name: "blue", vc: 7, ports: ["tap7"], vips: ["10.9.0.0/24"] };
  const soft = (host: unknown, ports: object[] = []) => ({ uplink: "p0", host, ports });
  const doca = (representor: unknown, ports: object[] = []) => ({
    kind: "doca",
    pci: "0000:03:00.0",
    representor,
    ports,
  });
  const rule = { name: "tap0", vips: ["10.1.0.7/32"] };
  const cases: [before: object, after: object, restart: string[], live: string[]][] = [
    [{ plane: soft(["tap*"]) }, { plane: soft(["tap*", "vf0"]) }, [], ["plane.host"]],
    [{ plane: soft("tap0") }, { plane: soft(["tap0"]) }, ["plane.host"], []],
    [{ plane: soft(["tap*"]) }, { plane: soft("tap0") }, ["plane.host"], []],
    [
      { plane: soft(["tap*"]) },
      { plane: soft(["tap*"], [{ ...rule, misses_per_s: 5 }]) },
      [],
      ["plane.ports[tap0]"],
    ],
    [
      { plane: soft(["tap*"], [rule]) },
      { plane: soft(["tap*"], [{ ...rule, vips: [], hold_flows: 100 }]) },
      [],
      ["plane.ports[tap0].vips", "plane.ports[tap0].hold_flows"],
    ],
    [{ plane: soft("tap0") }, { plane: soft("tap0", [rule]) }, [], ["plane.ports[tap0]"]],
    [
      { plane: soft("tap0", [rule]) },
      { plane: soft("tap0", [{ ...rule, misses_per_s: 5 }]) },
      ["plane.ports[tap0].misses_per_s"],
      [],
    ],
    [
      { plane: soft(["tap*"]) },
      { plane: soft(["tap*"]), networks: [network] },
      [],
      ["plane.host", "vips", "networks"],
    ],
    [
      { plane: soft("tap0") },
      { plane: soft("tap0"), networks: [network] },
      ["plane.host", "networks"],
      ["vips"],
    ],
    [
      { plane: soft("tap0") },
      { plane: soft("tap0"), networks: [{ ...network, ports: [] }] },
      [],
      ["vips", "networks"],
    ],
    [
      { plane: soft(["tap*"]), networks: [network] },
      {
        plane: soft(["tap*"]),
        networks: [{ ...network, vc: 8, policy: { deny: ["10.2.0.0/24"] } }],
      },
      [],
      ["networks[blue].vc", "networks[blue].policy.deny"],
    ],
    [
      { plane: doca(["tap0", "tap7"]) },
      { plane: doca(["tap0", "tap7"]), networks: [{ ...network, ports: [] }] },
      ["networks"],
      ["vips"],
    ],
    [
      { plane: doca(["tap0", "tap7"]), networks: [network] },
      { plane: doca(["tap0", "tap7"]), networks: [{ ...network, vc: 8 }] },
      [],
      ["networks[blue].vc"],
    ],
    [
      { plane: doca(["tap0", "tap7"]), networks: [network] },
      { plane: doca(["tap0", "tap7"]), networks: [{ ...network, ports: ["tap0"] }] },
      ["networks[blue].ports"],
      [],
    ],
    [
      { plane: doca(["tap0"], [rule]) },
      { plane: doca(["tap0"], [{ ...rule, mac: "02:00:00:00:00:07" }]) },
      [],
      ["plane.ports[tap0].mac"],
    ],
    [{ plane: doca(["tap0"]) }, { plane: doca(["tap0", "tap7"]) }, ["plane.representor"], []],
  ];
  for (const [was, is, restart, live] of cases) {
    const [before, after] = [configOf(was), configOf(is)];
    const what = `${JSON.stringify(was)} -> ${JSON.stringify(is)}`;
    assert.deepEqual([...restartKeys(before, after)].sort(), [...restart].sort(), what);
    assert.deepEqual([...changedKeys(before, after)].sort(), [...live, ...restart].sort(), what);
  }
});

Deno.test("the documentation lists the keys that wait for a start", async () => {
  const keys = (at: unknown, path: string): readonly string[] =>
    at === "restart"
      ? [`\`${path}\``]
      : typeof at === "string"
      ? []
      : Object.entries(at as object).flatMap(([key, part]) =>
        keys(part, path === "" ? key : `${path}.${key}`)
      );
  const text = await Deno.readTextFile(
    new URL("../../docs/operations.md", import.meta.url),
  );
  const [, listed = ""] = /<!-- restart:begin -->\s*([^]*?)\s*<!-- restart:end -->/.exec(text) ??
    [];
  assert.equal(listed.replaceAll(/\s+/g, " "), `${keys(APPLIES, "").join(", ")}.`);
});

Deno.test("a change in parts: whenever one has been made, each address has the owner of before or of after", async () => {
  const random = seededRandom(7);
  const pick = (n: number) => Math.floor(random.uniform() * n);
  const slices = new Slices({ pause: () => Promise.resolve() });
  for (let round = 0; round < 300; round++) {
    const draw = (): { own: string[]; peers: PeerConfig[] } => {
      const free = Array.from({ length: 24 }, (_, i) => `10.0.0.${i}/32`);
      const take = (n: number) =>
        Array.from({ length: n }, () => free.splice(pick(free.length), 1)[0] ?? "");
      const own = take(pick(3));
      const peers = Array.from({ length: 12 }, (_, i) => ({
        id: `p${i}`,
        svcAddress: `x:${1 + pick(2)}`,
        vips: take(pick(3)).filter((vip) => vip !== ""),
      }));
      return { own, peers: peers.filter(() => pick(6) > 0) };
    };
    const [was, is] = [draw(), draw()];
    const owners = ({ own, peers }: { own: readonly string[]; peers: readonly PeerConfig[] }) =>
      new Map([
        ...own.map((vip) => [vip, ""] as const),
        ...peers.flatMap(({ id, vips }) => vips.map((vip) => [vip, id] as const)),
      ]);
    const [before, after] = [owners(was), owners(is)];
    const parts = await inParts(peerChanges(was.peers, is.peers), {
      before: was.peers,
      vips: { before: was.own, after: is.own },
      most: 2,
      slices,
    });
    let now = { own: is.own, peers: was.peers };
    for (const { changed, removed } of parts) {
      const gone = new Set([...removed, ...changed.map(({ id }) => id)]);
      now = { ...now, peers: [...now.peers.filter(({ id }) => !gone.has(id)), ...changed] };
      const all = now.peers.flatMap(({ vips }) => vips);
      assert.equal(new Set([...all, ...now.own]).size, all.length + now.own.length, "two have one");
      const there = owners(now);
      for (const [vip, owner] of there) {
        assert.ok(owner === before.get(vip) || owner === after.get(vip), vip);
      }
      for (const [vip, owner] of before) {
        if (after.has(vip)) assert.ok(there.has(vip), `${vip}, ${owner}'s, has nobody`);
      }
    }
    const byId = (peers: readonly PeerConfig[]) => [...peers].sort((a, b) => a.id < b.id ? -1 : 1);
    assert.deepEqual(byId(now.peers), byId(is.peers));
  }
});
