// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { KeptLease, LeaseBook } from "../model/lease.ts";
import { LEASE_S, Leases } from "./leases.ts";

const POOL = [{ vip: "10.1.0.0/28", dns: [] }];
const mac = (n: number) => `02:00:00:00:00:${n.toString(16).padStart(2, "0")}`;

function lab(book?: LeaseBook, vips = POOL) {
  const made = { now: 1_000_000 };
  return Object.assign(made, { leases: new Leases(vips, { wallMs: () => made.now, book }) });
}

/** As a client does: what it is offered, it takes. */
function get(leases: Leases, n: number): string | undefined {
  const offer = leases.offer(mac(n));
  return offer && leases.accept(mac(n), offer.address)?.address;
}

function memoryBook(): LeaseBook & { readonly kept: Map<string, KeptLease> } {
  const kept = new Map<string, KeptLease>();
  return {
    kept,
    all: () => [...kept.values()],
    put: (lease) => kept.set(lease.address, lease),
    remove: (address) => kept.delete(address),
  };
}

Deno.test("a pool of 14 serves 20 guests one after another, each of whom gives its address back", () => {
  const { leases } = lab();
  for (let n = 0; n < 20; n++) {
    const address = get(leases, n);
    assert.ok(address !== undefined, `guest ${n}`);
    assert.ok(leases.release(mac(n), address));
  }
});

Deno.test("a lease ends with its time, and nobody else has the address before", () => {
  const l = lab();
  const had = Array.from({ length: 14 }, (_, n) => get(l.leases, n));
  assert.equal(new Set(had).size, 14);
  assert.equal(get(l.leases, 14), undefined);
  l.now += LEASE_S * 1000 - 1;
  assert.equal(get(l.leases, 14), undefined);
  assert.equal(get(l.leases, 3), had[3], "renewed");
  l.now += 60_002;
  assert.ok(get(l.leases, 14) !== undefined);
  assert.equal(l.leases.accept(mac(15), had[3] ?? ""), undefined, "still its own");
});

Deno.test("an offer is a reservation of seconds", () => {
  const l = lab();
  for (let n = 0; n < 14; n++) assert.ok(l.leases.offer(mac(n)));
  assert.equal(l.leases.offer(mac(14)), undefined);
  l.now += 10_000;
  for (let n = 14; n < 28; n++) assert.ok(l.leases.offer(mac(n)), `guest ${n}`);
});

Deno.test("an address on which somebody else was found is left alone for a while", () => {
  const l = lab();
  const address = get(l.leases, 1) ?? "";
  assert.ok(l.leases.release(mac(1), address, { declined: true }));
  assert.notEqual(get(l.leases, 1), address);
  assert.equal(l.leases.accept(mac(2), address), undefined);
  l.now += 600_000;
  assert.equal(l.leases.accept(mac(2), address)?.address, address);
});

Deno.test("only who has an address can give it back", () => {
  const l = lab();
  const address = get(l.leases, 1) ?? "";
  assert.equal(l.leases.release(mac(2), address), false);
  assert.equal(l.leases.of(mac(1))?.address, address);
});

Deno.test("a client gets the address that it asks for where it is free, and never the gateway's", () => {
  const l = lab(undefined, [
    { vip: "10.1.0.0/28", gateway: "10.1.0.1", dns: [] } as typeof POOL[0],
  ]);
  assert.equal(l.leases.offer(mac(1), { asked: "10.1.0.9" })?.address, "10.1.0.9");
  assert.equal(l.leases.offer(mac(2), { asked: "10.1.0.9" })?.address, "10.1.0.2");
  for (const asked of ["10.1.0.1", "10.1.0.0", "10.1.0.15", "10.9.9.9"]) {
    assert.equal(l.leases.accept(mac(3), asked), undefined, asked);
  }
});

Deno.test("who uses an address without having asked keeps it, until nobody is there", () => {
  const l = lab();
  l.leases.use("10.1.0.1", mac(1));
  assert.equal(get(l.leases, 2), "10.1.0.2");
  assert.equal(l.leases.offer(mac(1))?.address, "10.1.0.1");
  l.leases.unuse("10.1.0.1");
  l.now += 10_000;
  assert.equal(l.leases.accept(mac(3), "10.1.0.1")?.address, "10.1.0.1");
  l.leases.unuse("10.1.0.1");
  assert.equal(l.leases.of(mac(3))?.address, "10.1.0.1", "a lease stays a lease");
});

Deno.test("where a client is, it gets an address that fits", () => {
  const l = lab();
  const fits = (address: string) => address === "10.1.0.7";
  assert.equal(l.leases.offer(mac(1), { fits })?.address, "10.1.0.7");
  assert.equal(l.leases.offer(mac(2), { fits }), undefined);
});

Deno.test("leases survive a restart, those that are over and those of other vips do not", () => {
  const book = memoryBook();
  const l = lab(book);
  const had = [1, 2, 3].map((n) => get(l.leases, n));
  l.leases.release(mac(2), had[1] ?? "");
  const again = lab(book);
  again.now = l.now + 1000;
  assert.deepEqual([1, 3].map((n) => get(again.leases, n)), [had[0], had[2]]);
  assert.equal(get(again.leases, 4), had[1]);
  const late = new Leases(POOL, { wallMs: () => l.now + 2 * LEASE_S * 1000, book });
  assert.equal(late.of(mac(1)), undefined);
  assert.equal(book.kept.size, 0);
});

Deno.test("two networks with equal ranges have nothing to do with one another", () => {
  const [blue, red] = [lab(), lab()];
  assert.equal(get(blue.leases, 1), get(red.leases, 2));
});

Deno.test("with other vips, leases within them go on", () => {
  const book = memoryBook();
  const l = lab(book);
  const address = get(l.leases, 1);
  const same = l.leases.renewed([...POOL, { vip: "10.9.0.0/28", dns: [] }]);
  assert.equal(same.of(mac(1))?.address, address);
  const others = l.leases.renewed([{ vip: "10.9.0.0/28", dns: [] }]);
  assert.equal(others.of(mac(1)), undefined);
  assert.equal(get(others, 1), "10.9.0.1");
});

Deno.test("a pool from which strangers have everything costs no more, and serves whoever comes when it is free", () => {
  let [nowMs, looks] = [0, 0];
  const wallMs = () => {
    looks++;
    return nowMs;
  };
  const vips = Array.from({ length: 5000 }, (_, i) => ({
    vip: `10.9.${i >> 8}.${i & 255}/32`,
    mac: macOf(100_000 + i),
    dns: [],
  }));
  const leases = new Leases([...vips, { vip: "10.8.0.0/16", dns: [] }], { wallMs });
  // A thousand a second for a minute, each a machine that nobody has seen before.
  let given = 0;
  for (let i = 0; i < 60_000; i++) {
    nowMs = i;
    if (leases.offer(macOf(i)) !== undefined) given++;
  }
  // All 4,096 that are tried, again and again: an offer lasts 10 s.
  assert.ok(given >= 5 * 4096, `${given}`);
  assert.ok(looks < 5 * 60_000, `${looks} looks at the clock`);
  // Who has an address of its own gets it whatever the others do.
  assert.equal(leases.offer(macOf(100_007))?.address, "10.9.0.7");
  nowMs += 11_000;
  assert.equal(leases.offer("02:ff:00:00:00:01")?.address, "10.8.0.1");
});

Deno.test("an address that does not fit one guest is kept for the next one whom it fits", () => {
  const leases = new Leases([{ vip: "10.8.0.0/24", dns: [] }]);
  const isEven = (address: string) => Number(address.split(".")[3]) % 2 === 0;
  assert.equal(leases.offer("02:00:00:00:00:0a", { fits: isEven })?.address, "10.8.0.2");
  assert.equal(leases.offer("02:00:00:00:00:0b", { fits: isEven })?.address, "10.8.0.4");
  assert.equal(leases.offer("02:00:00:00:00:0c")?.address, "10.8.0.1");
  assert.equal(leases.offer("02:00:00:00:00:0d")?.address, "10.8.0.3");
});

function macOf(i: number): string {
  return `02:00:${i.toString(16).padStart(8, "0").replace(/..(?!$)/g, "$&:")}`;
}
