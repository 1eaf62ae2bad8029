// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { NO_LOG } from "../../tests/support/no_log.ts";
import { openLeaseStore } from "./lease_store.ts";

const LEASE = { address: "10.1.0.2", mac: "02:00:00:00:00:01", untilMs: 1_795_704_008_933 };

async function inDirectory(fn: (path: string) => void): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    fn(`${dir}/leases.db`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("leases are found again by the next start, each in its network", () =>
  inDirectory((path) => {
    {
      using store = openLeaseStore({ path, log: NO_LOG });
      store.book("").put(LEASE);
      store.book("blue").put({ ...LEASE, mac: "02:00:00:00:00:02" });
      store.book("").put({ ...LEASE, address: "10.1.0.3" });
    }
    using store = openLeaseStore({ path, log: NO_LOG });
    assert.deepEqual(store.book("").all(), [{ ...LEASE, address: "10.1.0.3" }], "one for each MAC");
    assert.equal(store.book("blue").all()[0]?.mac, "02:00:00:00:00:02");
    store.book("blue").remove("10.1.0.3");
    assert.equal(store.book("").all().length, 1);
    store.book("").remove("10.1.0.3");
    assert.deepEqual(store.book("").all(), []);
  }));

Deno.test("a file that is no database costs the leases, and nothing else", () =>
  inDirectory((path) => {
    Deno.writeTextFileSync(path, "nonsense ".repeat(1000));
    const said: string[] = [];
    using store = openLeaseStore({ path, log: { warn: (message) => said.push(message) } });
    assert.deepEqual(store.book("").all(), []);
    store.book("").put(LEASE);
    assert.deepEqual(store.book("").all(), [LEASE]);
    assert.deepEqual(said, ["The leases of the last run are lost"]);
  }));

Deno.test("without a place for it there are no leases to keep", () => {
  using store = openLeaseStore({ path: "/proc/none/leases.db", log: NO_LOG });
  store.book("").put(LEASE);
  assert.deepEqual(store.book("").all(), []);
});
