// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { NextHop } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import type { TxSa } from "../model/sa.ts";
import { NextHops } from "./next_hops.ts";

const LOG = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;

Deno.test("an outer address that no SA uses any more is forgotten", () => {
  const asked: string[] = [];
  const hops = new NextHops({
    configured: () => undefined,
    query: (pip) => void asked.push(pip),
    log: LOG,
    changed: () => {},
    ask: () => {},
  });
  for (const pip of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
    hops.macFor({ peer: "h2", pip, mac: "02:00:00:00:00:02" } as TxSa);
  }
  asked.length = 0;
  hops.refresh(new Set(["192.0.2.3"]));
  assert.deepEqual(asked, ["192.0.2.3"]);
  asked.length = 0;
  hops.refresh(new Set(["192.0.2.1", "192.0.2.3"]));
  assert.deepEqual(asked, ["192.0.2.3"]);
});

const PIP = "192.0.2.9";
const [ROUTER, OTHER_ROUTER] = ["02:00:00:00:00:f1", "02:00:00:00:00:f2"] as const;
const [H2, H3] = [
  { peer: "h2", pip: PIP, mac: "02:00:00:00:00:02" } as TxSa,
  { peer: "h3", pip: PIP, mac: "02:00:00:00:00:03" } as TxSa,
];

/** Next hops over a kernel that answers as the test wants. */
function begin() {
  const kernel = {
    hop: undefined as NextHop | undefined,
    asked: 0,
    fails: false,
    changed: [] as string[],
    sought: [] as string[],
  };
  const hops = new NextHops({
    configured: () => undefined,
    query: () => {
      kernel.asked++;
      if (kernel.fails) throw new Error("netlink is busy");
      return kernel.hop;
    },
    log: LOG,
    changed: (pip) => kernel.changed.push(pip),
    ask: (address) => kernel.sought.push(address),
  });
  return { kernel, hops, refresh: () => hops.refresh(new Set([PIP])) };
}

function router(mac?: string): NextHop {
  return { viaGateway: true, address: "192.0.2.254", ...mac === undefined ? {} : { mac } };
}

const LINK: NextHop = { viaGateway: false, address: PIP, mac: "02:00:00:00:00:aa" };

Deno.test("two peers that name one address have their own MACs on the link", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = LINK;
  assert.deepEqual([hops.macFor(H2), hops.macFor(H3)], [H2.mac, H3.mac]);
  refresh();
  assert.deepEqual([hops.macFor(H2), hops.macFor(H3)], [H2.mac, H3.mac]);
  assert.deepEqual(kernel.changed, []);
});

Deno.test("while a router is being resolved, a peer never gets the MAC that another one named", () => {
  const { kernel, hops } = begin();
  kernel.hop = LINK;
  hops.macFor(H3);
  kernel.hop = router();
  assert.equal(hops.macFor(H2), H2.mac);
});

Deno.test("a peer that names the router's MAC as its own hides no change of the route", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = router(ROUTER);
  assert.equal(hops.macFor(H2), ROUTER);
  hops.macFor({ ...H3, mac: ROUTER });
  kernel.hop = LINK;
  refresh();
  assert.deepEqual(kernel.changed, [PIP]);
  assert.equal(hops.macFor(H2), H2.mac);
});

Deno.test("a router that is resolved between two SAs moves the first one too", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = router();
  assert.equal(hops.macFor(H2), H2.mac);
  kernel.hop = router(ROUTER);
  assert.equal(hops.macFor(H2), ROUTER);
  refresh();
  assert.deepEqual(kernel.changed, [PIP]);
  refresh();
  assert.deepEqual(kernel.changed, [PIP]);
});

function neighbour(mac?: string): NextHop {
  return { viaGateway: false, address: PIP, ...mac === undefined ? {} : { mac } };
}

const [NEW, NEWER] = ["02:00:00:00:00:0b", "02:00:00:00:00:0c"] as const;

Deno.test("a peer whose MAC changes on the link is followed, there and back", () => {
  const { kernel, hops, refresh } = begin();
  const at = (mac: string) => {
    kernel.hop = neighbour(mac);
    refresh();
    return hops.macFor(H2);
  };
  kernel.hop = neighbour(H2.mac);
  assert.equal(hops.macFor(H2), H2.mac);
  assert.equal(at(NEW), NEW);
  assert.deepEqual(kernel.changed, [PIP]);
  assert.equal(at(NEWER), NEWER);
  assert.equal(hops.macFor({ ...H2, mac: NEWER }), NEWER, "an exchange has told the newest");
  assert.equal(at(H2.mac), H2.mac);
  assert.equal(hops.macFor({ ...H2, mac: NEWER }), H2.mac);
  assert.equal(kernel.changed.length, 3);
  assert.equal(hops.counters()["next-hops-followed"], 3n);
});

Deno.test("a peer is followed whose neighbour had another MAC than the one it named", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = LINK;
  assert.equal(hops.macFor(H2), H2.mac);
  refresh();
  kernel.hop = { ...LINK, mac: "02:00:00:00:00:bb" };
  refresh();
  assert.deepEqual(kernel.changed, [PIP]);
  assert.equal(hops.macFor(H2), "02:00:00:00:00:bb");
  kernel.hop = { ...LINK, mac: "02:00:00:00:00:cc" };
  refresh();
  assert.equal(hops.macFor(H2), "02:00:00:00:00:cc");
  // A newer word is believed again.
  assert.equal(hops.macFor({ ...H2, mac: "02:00:00:00:00:dd" }), "02:00:00:00:00:dd");
});

Deno.test("a neighbour that is being resolved again has not moved", () => {
  const { kernel, hops, refresh } = begin();
  for (const mac of [H2.mac, undefined, H2.mac]) {
    kernel.hop = neighbour(mac);
    refresh();
    assert.equal(hops.macFor(H2), H2.mac);
  }
  assert.deepEqual(kernel.changed, []);
});

Deno.test("a peer that shares its address with one that moved keeps its own MAC", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = neighbour(H2.mac);
  hops.macFor(H2);
  kernel.hop = neighbour(NEW);
  refresh();
  assert.deepEqual([hops.macFor(H2), hops.macFor(H3)], [NEW, H3.mac]);
});

Deno.test("a route that is gone leaves the last router, and so does a kernel that cannot be asked", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = router(ROUTER);
  assert.equal(hops.macFor(H2), ROUTER);
  kernel.hop = undefined;
  refresh();
  assert.equal(hops.macFor(H2), ROUTER);
  kernel.fails = true;
  refresh();
  assert.equal(hops.macFor(H2), ROUTER);
  assert.deepEqual(kernel.changed, []);
  Object.assign(kernel, { fails: false, hop: router(OTHER_ROUTER) });
  refresh();
  assert.equal(hops.macFor(H2), OTHER_ROUTER);
});

Deno.test("of very many addresses each is asked for in its turn", () => {
  const asked = new Map<string, number>();
  const hops = new NextHops({
    configured: () => undefined,
    query: (pip) => {
      asked.set(pip, (asked.get(pip) ?? 0) + 1);
      return router(ROUTER);
    },
    log: LOG,
    changed: () => {},
    ask: () => {},
  });
  const pips = Array.from({ length: 600 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  for (const pip of pips) hops.macFor({ peer: "h2", pip, mac: H2.mac } as TxSa);
  asked.clear();
  for (let i = 0; i < 10; i++) hops.refresh(new Set(pips));
  assert.equal(asked.size, 600);
  assert.ok([...asked.values()].every((times) => times <= 2));
});

Deno.test("while no packet passes, the kernel is asked about fewer addresses, each in its turn all the same", () => {
  const asked = new Set<string>();
  let carried: bigint | undefined = 5n;
  const hops = new NextHops({
    configured: () => undefined,
    query: (pip) => {
      asked.add(pip);
      return router(ROUTER);
    },
    carried: () => carried,
    log: LOG,
    changed: () => {},
    ask: () => {},
  });
  const pips = Array.from({ length: 100 }, (_, i) => `10.0.0.${i}`);
  for (const pip of pips) hops.macFor({ peer: "h2", pip, mac: H2.mac } as TxSa);
  const looks = (times: number) => {
    asked.clear();
    for (let i = 0; i < times; i++) hops.refresh(new Set(pips));
    return asked.size;
  };
  assert.equal(looks(1), 64);
  assert.equal(looks(1), 8);
  assert.equal(looks(13), 100);
  carried = 6n;
  assert.equal(looks(1), 64);
  carried = undefined;
  assert.deepEqual([looks(1), looks(1)], [64, 64]);
});

Deno.test("an answer serves all SAs of an address until the kernel is asked again", () => {
  const { kernel, hops, refresh } = begin();
  kernel.hop = router(ROUTER);
  for (let i = 0; i < 5; i++) assert.equal(hops.macFor(H2), ROUTER);
  assert.equal(kernel.asked, 1);
  kernel.hop = router(OTHER_ROUTER);
  refresh();
  assert.deepEqual([kernel.asked, kernel.changed], [2, [PIP]]);
  assert.equal(hops.macFor(H2), OTHER_ROUTER);
  kernel.hop = router();
  refresh();
  assert.deepEqual([hops.macFor(H2), kernel.changed], [OTHER_ROUTER, [PIP]]);
});

Deno.test("where nothing arrives at the exchange's MAC its neighbour's is tried, and again in turn", () => {
  const { kernel, hops } = begin();
  kernel.hop = LINK;
  assert.equal(hops.macFor(H2), H2.mac);
  hops.doubt(PIP);
  assert.equal(hops.macFor(H2), LINK.mac);
  assert.deepEqual(kernel.changed, [PIP]);
  hops.doubt(PIP);
  assert.equal(hops.macFor(H2), H2.mac);
  hops.doubt(PIP);
  assert.equal(hops.macFor(H2), LINK.mac);
  // What is not there to be tried is not.
  kernel.hop = router(ROUTER);
  const routed = begin();
  routed.kernel.hop = router(ROUTER);
  routed.hops.macFor(H2);
  routed.hops.doubt(PIP);
  routed.hops.doubt("192.0.2.77");
  assert.equal(routed.hops.macFor(H2), ROUTER);
  assert.deepEqual(routed.kernel.changed, []);
});

Deno.test("behind an address from which nothing comes the router is sought, or on the link itself", () => {
  const { kernel, hops } = begin();
  hops.silent(PIP);
  kernel.hop = router("02:00:00:00:00:01");
  hops.silent(PIP);
  kernel.hop = LINK;
  hops.silent(PIP);
  kernel.fails = true;
  hops.silent(PIP);
  assert.deepEqual(kernel.sought, ["192.0.2.254", PIP]);
});
