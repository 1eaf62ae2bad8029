// SPDX-License-Identifier: Apache-2.0

/** What an agent does while a store is slow, away for long, or not what it was; tests/directory has the real one. */
import assert from "node:assert/strict";
import { NO_LOG } from "../../tests/support/no_log.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import type { KnownDirectory, KnownRecord } from "../model/known_directory.ts";
import { type KvBatch, type KvChange, KvError, type KvStore } from "../model/kv.ts";
import { openEtcdSource } from "./etcd.ts";

const PREFIX = "/p/";

/** A store in memory, which can be away. */
class FakeStore implements KvStore {
  readonly items = new Map<string, { value: string; createRevision: bigint }>();
  revision = 1n;
  cluster = 7n;
  compactedAt = 0n;
  isAway = false;
  calls = 0;
  readonly #log: { revision: bigint; change: KvChange }[] = [];
  readonly #wake = new Set<() => void>();

  set(id: string, value: string | undefined): void {
    this.revision++;
    const key = PREFIX + id;
    const createRevision = this.items.get(key)?.createRevision ?? this.revision;
    if (value === undefined) this.items.delete(key);
    else this.items.set(key, { value, createRevision });
    this.#log.push({ revision: this.revision, change: { key, value, createRevision } });
    for (const wake of this.#wake) wake();
  }

  /** Another store, or an older copy of this one, without one of its keys. */
  replace(of: { cluster: bigint; revision: bigint }, without: string): void {
    Object.assign(this, of, { compactedAt: 0n });
    this.items.delete(PREFIX + without);
    this.#log.length = 0;
  }

  go(isAway: boolean): void {
    this.isAway = isAway;
    for (const wake of this.#wake) wake();
  }

  // deno-lint-ignore require-await
  async range({ after, limit }: Parameters<KvStore["range"]>[0]): ReturnType<KvStore["range"]> {
    this.#call();
    const all = [...this.items].sort(([a], [b]) => a < b ? -1 : 1)
      .filter(([key]) => after === undefined || key > after);
    return {
      items: all.slice(0, limit).map(([key, item]) => ({ key, ...item })),
      more: all.length > limit,
      revision: this.revision,
      cluster: this.cluster,
    };
  }

  async *watch(
    { fromRevision }: Parameters<KvStore["watch"]>[0],
    signal: AbortSignal,
  ): AsyncGenerator<KvBatch> {
    this.#call();
    if (fromRevision <= this.compactedAt) throw new KvError("compacted", "gone");
    let next = fromRevision;
    const of = { cluster: this.cluster };
    yield { ...of, changes: [], revision: this.revision };
    while (!signal.aborted) {
      this.#call();
      const found = this.#log.filter(({ revision }) => revision >= next);
      if (found.length > 0) {
        next = this.revision + 1n;
        yield { ...of, changes: found.map(({ change }) => change), revision: this.revision };
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wake.delete(wake);
          resolve();
        };
        this.#wake.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      });
    }
  }

  put = () => Promise.reject(new KvError("other", "not here"));
  grantLease = () => Promise.reject(new KvError("other", "not here"));
  keepLease = () => Promise.resolve(0);
  [Symbol.dispose](): void {}

  #call(): void {
    this.calls++;
    if (this.isAway) throw new KvError("unavailable", "it is away");
  }
}

/** What is known, in memory. */
class Memory implements KnownDirectory {
  readonly records = new Map<string, KnownRecord>();
  state = { cluster: 0n, revision: 0n, atMs: 0 };

  load() {
    return this.state.atMs === 0
      ? undefined
      : { ...this.state, records: [...this.records.values()] };
  }

  update(_: string, { put, removed, ...state }: Parameters<KnownDirectory["update"]>[1]): void {
    this.state = state;
    for (const record of put) this.records.set(record.key, record);
    for (const key of removed) this.records.delete(key);
  }
}

const value = (vip: string) => JSON.stringify({ svc_address: "x.example:1", vips: [vip] });

function lab(store = new FakeStore(), known = new Memory(), prefix = PREFIX) {
  const clock = new VirtualClock();
  const seen = new Map<string, string>();
  const open = () =>
    openEtcdSource({
      kv: store,
      prefix,
      leaseS: 600,
      known,
      clock,
      random: seededRandom(1),
      rules: {
        id: "h1",
        pip: "192.0.2.1",
        psp: { mode: "tunnel" },
        rpc: { listen: "192.0.2.1:7443" },
        hasVc: false,
      },
      log: NO_LOG,
      onChanges: ({ put, removed }) => {
        for (const where of removed) seen.delete(where.replace(/.*#/, ""));
        for (const { peer } of put) seen.set(peer.id, peer.vips.join());
      },
    });
  const ids = () => [...seen.keys()].sort().join();
  return { store, known, clock, seen, open, ids };
}

Deno.test("a day without the store is nothing; what changed meanwhile comes when it is back", async () => {
  const { store, clock, open, ids, known, seen } = lab();
  for (const id of ["h2", "h3", "h4"]) store.set(id, value(`10.0.0.${id.slice(1)}`));
  await using source = open();
  await clock.advance(1000);
  assert.deepEqual([ids(), source.state().isCurrent], ["h2,h3,h4", true]);
  store.go(true);
  await clock.advance(86_400_000);
  const { isCurrent, currentAtMs = 0, lastError } = source.state();
  assert.deepEqual([ids(), isCurrent, lastError], ["h2,h3,h4", false, "it is away"]);
  assert.ok(clock.wallMs() - currentAtMs >= 86_390_000, "its age is known");
  assert.ok(store.calls < 86_400 / 5, `${store.calls} calls in a day`);
  store.set("h3", value("10.0.9.3"));
  store.set("h5", value("10.0.0.5"));
  store.go(false);
  await clock.advance(20_000);
  assert.deepEqual([ids(), seen.get("h3")], ["h2,h3,h4,h5", "10.0.9.3/32"]);
  assert.equal(known.records.size, 4);
});

Deno.test("after an outage a record that is gone has its time to come back; at other times it goes at once", async () => {
  const { store, clock, open, ids, known } = lab();
  for (const id of ["h2", "h3", "h4"]) store.set(id, value(`10.0.0.${id.slice(1)}`));
  await using _source = open();
  await clock.advance(1000);
  store.set("h4", undefined);
  await clock.advance(10);
  assert.equal(ids(), "h2,h3");
  store.go(true);
  await clock.advance(900_000);
  // Everybody was cut off, and all leases ended.
  store.set("h2", undefined);
  store.set("h3", undefined);
  store.go(false);
  await clock.advance(20_000);
  assert.equal(ids(), "h2,h3");
  store.set("h2", value("10.0.0.2"));
  await clock.advance(60_000);
  assert.deepEqual([ids(), [...known.records.keys()]], ["h2", ["/p/h2"]]);
});

Deno.test("a store that was compacted, made anew, or restored from an older copy is read anew", async () => {
  const { store, clock, open, ids } = lab();
  store.set("h2", value("10.0.0.2"));
  store.set("h3", value("10.0.0.3"));
  await using _source = open();
  await clock.advance(1000);
  const again = async (change: () => void) => {
    store.go(true);
    await clock.advance(1000);
    change();
    store.go(false);
    await clock.advance(20_000);
  };
  await again(() => {
    store.set("h3", undefined);
    store.set("h4", value("10.0.0.4"));
    store.compactedAt = store.revision;
  });
  assert.equal(ids(), "h2,h4");
  await again(() => {
    store.replace({ cluster: 8n, revision: 2n }, "h4");
  });
  assert.equal(ids(), "h2");
  await again(() => store.replace({ cluster: 8n, revision: 1n }, "h2"));
  assert.equal(ids(), "");
});

Deno.test("what was known is there before the store has said a word", async () => {
  const first = lab();
  first.store.set("h2", value("10.0.0.2"));
  {
    await using _source = first.open();
    await first.clock.advance(1000);
  }
  first.store.go(true);
  const second = lab(first.store, first.known);
  await using source = second.open();
  assert.deepEqual([second.ids(), source.state().isCurrent], ["h2", false]);
});

Deno.test("what was known under another prefix is nothing, and is kept until the new one is read", async () => {
  for (const other of ["/", "/p/q/", "/other/"]) {
    const { store, known, clock, ids, open } = lab(new FakeStore(), new Memory(), other);
    const of = { cluster: 7n, revision: 90n, atMs: 1, removed: [] };
    known.update("etcd", {
      ...of,
      put: [{ key: "/p/h8", value: value("10.0.0.8"), order: 1n }],
    });
    store.isAway = true;
    store.items.set(`${other}h2`, { value: value("10.0.0.2"), createRevision: 2n });
    await using _ = open();
    await clock.advance(1000);
    assert.deepEqual([ids(), known.records.size], ["", 1], other);
    store.go(false);
    await clock.advance(20_000);
    assert.deepEqual([ids(), [...known.records.keys()]], ["h2", [`${other}h2`]], other);
  }
});
