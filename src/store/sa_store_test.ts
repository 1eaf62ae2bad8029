// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "../config/config.ts";
import type { Log } from "../model/log.ts";
import { MIGRATIONS, openSaStore, type SaStore, SPI_BLOCK } from "./sa_store.ts";
import type { TunnelRecord } from "../model/sa_record.ts";
import { openStateDir } from "./state_dir.ts";

class TempDir implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "psp-store-" });
  readonly lines: string[] = [];

  open(): SaStore {
    const say = (message: string) => this.lines.push(message);
    const log: Log = { debug: say, info: say, warn: say, error: say };
    return openSaStore({ path: `${this.path}/agent.db`, log, wallMs: () => 1000 });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

function record(i: number): TunnelRecord {
  const sa = {
    spi: 0xfffffff0,
    version: "aes-gcm-256",
    epoch: 2n ** 63n + 5n,
    serial: 2n ** 64n - 1n,
    createdAtMs: 1_700_000_000_000,
    expiresAtMs: 0,
    packets: 2n ** 53n + 1n,
    bytes: 1n,
  } as const;
  return {
    localVip: `10.1.0.${i}`,
    remoteVip: "fd00::1",
    peer: "h2",
    openedAtMs: 5,
    tx: sa,
    rx: { ...sa, spi: i },
  };
}

Deno.test("a tunnel comes back as it was written, 64 bits and all", () => {
  using dir = new TempDir();
  using store = dir.open();
  store.put(record(1));
  assert.deepEqual(store.load(), []);
  assert.equal(store.flush(), true);
  assert.deepEqual(store.load(), [record(1)]);
});

Deno.test("the next run finds the tunnels lost", () => {
  using dir = new TempDir();
  const store = dir.open();
  store.put(record(1));
  store.put(record(2));
  store.remove(record(2));
  store.close();
  using next = dir.open();
  const { localVip, remoteVip, peer, tx, rx } = record(1);
  const { count, tunnels } = next.lost();
  assert.equal(count, 1);
  const endsAtMs = Math.max(tx.expiresAtMs, rx.expiresAtMs);
  assert.deepEqual([...Iterator.from(tunnels)], [{ localVip, remoteVip, peer, endsAtMs }]);
  assert.deepEqual(next.load(), [record(1)]);
  next.remove(record(1));
  next.flush();
  assert.deepEqual(next.load(), []);
});

Deno.test("to find what the last run left writes nothing, however many tunnels it is", () => {
  using dir = new TempDir();
  const store = dir.open();
  for (let i = 1; i <= 600; i++) store.put(record(i));
  store.close();
  using next = dir.open();
  const other = new DatabaseSync(`${dir.path}/agent.db`);
  const version = () => other.prepare("PRAGMA data_version").get()?.data_version;
  const before = version();
  assert.equal([...Iterator.from(next.lost().tunnels)].length, 600);
  assert.equal(version(), before);
  next.remove(record(1));
  next.flush();
  assert.notEqual(version(), before);
  other.close();
});

Deno.test("what the last run left is read as it was, peer by peer, whatever is written meanwhile", () => {
  using dir = new TempDir();
  const store = dir.open();
  const all = Array.from({ length: 600 }, (_, i) => ({ ...record(i + 1), peer: `h${i % 3}` }));
  for (const one of all) store.put(one);
  store.close();
  using next = dir.open();
  const { count, tunnels } = next.lost();
  assert.equal(count, 600);
  const read: string[] = [];
  for (let at = tunnels.next(); !at.done; at = tunnels.next()) {
    read.push(at.value.peer);
    if (read.length % 100 !== 0) continue;
    next.remove(at.value);
    next.put({ ...record(1000 + read.length), peer: "h0" });
    assert.equal(next.flush(), true);
  }
  assert.deepEqual(read, all.map(({ peer }) => peer).sort());
});

Deno.test("each run's boot epoch is greater than any before, whatever the wall clock says", () => {
  using dir = new TempDir();
  const epochs = [5000.7, 1000, 1000, 9000].map((wallMs) => {
    using store = dir.open();
    return store.reserveEpoch(wallMs);
  });
  assert.deepEqual(epochs, [5000n, 5001n, 5002n, 9000n]);
});

Deno.test("a run of IVs is greater than any before, also of a process that never closed, until none is left", () => {
  using dir = new TempDir();
  const first = dir.open();
  assert.equal(first.reserveIvRun(0), 1n);
  assert.equal(first.reserveIvRun(0.9), 2n);
  Deno.mkdirSync(`${dir.path}/copy`);
  for (const { name, isFile } of Deno.readDirSync(dir.path)) {
    if (isFile) Deno.copyFileSync(`${dir.path}/${name}`, `${dir.path}/copy/${name}`);
  }
  first.close();
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
  using copy = openSaStore({ path: `${dir.path}/copy/agent.db`, log, wallMs: () => 0 });
  assert.equal(copy.reserveIvRun(0), 3n);
  using last = openSaStore({ path: ":memory:", log, wallMs: () => 0 });
  // A new record begins anywhere in the lower half.
  assert.equal(last.reserveIvRun(1 - 2 ** -53), 2n ** 23n);
  using db = new DatabaseSync(`${dir.path}/copy/agent.db`);
  db.exec(`UPDATE high_water SET value = ${2 ** 24 - 2} WHERE name = 'iv-run'`);
  assert.equal(copy.reserveIvRun(0), 2n ** 24n - 1n);
  assert.throws(() => copy.reserveIvRun(0), {
    message: /^Cannot begin a run of IVs: all 16777215 .* Remove the state directory/,
  });
});

Deno.test("SPIs are reserved in blocks, and no run counts those of an earlier one again", () => {
  using dir = new TempDir();
  const marks: bigint[] = [];
  for (const n of [1, 10, 70_000]) {
    // Not closed properly: what was reserved is durable all the same.
    const store = dir.open();
    store.reserveSpis(n);
    store.reserveSpis(n);
    marks.push(store.spiHighWater);
    store.close();
  }
  assert.ok(marks.every((mark, i) => mark >= (marks[i - 1] ?? 0n) + SPI_BLOCK));
});

Deno.test("a reservation and a flush survive a process that never closed", () => {
  using dir = new TempDir();
  const store = dir.open();
  assert.equal(store.reserveEpoch(77), 77n);
  store.put(record(1));
  store.flush();
  Deno.mkdirSync(`${dir.path}/copy`);
  for (const { name, isFile } of Deno.readDirSync(dir.path)) {
    if (isFile) Deno.copyFileSync(`${dir.path}/${name}`, `${dir.path}/copy/${name}`);
  }
  store.close();
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
  using copy = openSaStore({ path: `${dir.path}/copy/agent.db`, log, wallMs: () => 0 });
  assert.equal(copy.reserveEpoch(0), 78n);
  assert.equal(copy.load().length, 1);
});

Deno.test("there is no column for a key", () => {
  assert.ok(!/key(?!\b)|secret/i.test(MIGRATIONS.join("").replaceAll("PRIMARY KEY", "")));
});

Deno.test("a corrupt database is set aside and a new one begun", () => {
  for (const damage of ["header", "middle"] as const) {
    using dir = new TempDir();
    const path = `${dir.path}/agent.db`;
    {
      using store = dir.open();
      for (let i = 0; i < 200; i++) store.put(record(i));
    }
    const bytes = Deno.readFileSync(path);
    if (damage === "header") bytes.fill(0x55, 0, 100);
    else bytes.fill(0x55, 4096);
    Deno.writeFileSync(path, bytes);
    {
      using store = dir.open();
      assert.deepEqual(store.load(), []);
      assert.ok(store.reserveEpoch(3) > 0n);
    }
    assert.ok(dir.lines.some((line) => line.includes("corrupt")), damage);
    assert.ok([...Deno.readDirSync(dir.path)].some(({ name }) => name.includes(".corrupt-")));
  }
});

Deno.test("a newer schema is refused with a sentence, and nothing is touched", () => {
  using dir = new TempDir();
  dir.open().close();
  const db = new DatabaseSync(`${dir.path}/agent.db`);
  db.exec("PRAGMA user_version = 99");
  db.close();
  assert.throws(() => dir.open(), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^Cannot use database ".*": its schema 99 is newer than/);
    return true;
  });
  assert.ok(![...Deno.readDirSync(dir.path)].some(({ name }) => name.includes("corrupt")));
});

Deno.test("a path that cannot be a database is one sentence", () => {
  using dir = new TempDir();
  Deno.mkdirSync(`${dir.path}/agent.db`);
  assert.throws(() => dir.open(), /^ConfigError: Cannot use database ".*": /);
});

Deno.test("a database that cannot be written costs no exception, only a line, and is tried again", () => {
  using dir = new TempDir();
  using store = dir.open();
  const other = new DatabaseSync(`${dir.path}/agent.db`);
  other.exec("DROP TABLE tunnel");
  store.put(record(1));
  assert.equal(store.flush(), false);
  assert.equal(store.flush(), false);
  assert.equal(dir.lines.filter((line) => line.startsWith("Cannot write")).length, 1);
  other.exec((MIGRATIONS[0] ?? "").split(";").find((s) => s.includes("TABLE tunnel")) ?? "");
  other.close();
  assert.equal(store.flush(), true);
  assert.equal(store.load().length, 1);
});

Deno.test("files are nobody else's to read", () => {
  using dir = new TempDir();
  Deno.chmodSync(dir.path, 0o755);
  using state = openStateDir(dir.path);
  using store = dir.open();
  store.put(record(1));
  store.flush();
  assert.equal((Deno.statSync(state.path).mode ?? 0) & 0o777, 0o700);
  for (const { name } of Deno.readDirSync(dir.path)) {
    assert.equal((Deno.statSync(`${dir.path}/${name}`).mode ?? 0) & 0o777, 0o600, name);
  }
});
