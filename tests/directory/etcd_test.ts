// SPDX-License-Identifier: Apache-2.0

/** The directory in a real etcd: reading, following, and everything that keeps an agent from both. */
import assert from "node:assert/strict";
import type { SourceChanges } from "../../src/directory/combined.ts";
import { openEtcdSource } from "../../src/directory/etcd.ts";
import type { Source } from "../../src/directory/source.ts";
import { systemClock } from "../../src/model/clock.ts";
import { KvError, type KvStore } from "../../src/model/kv.ts";
import { systemRandom } from "../../src/model/random.ts";
import { type DirectoryStore, openDirectoryStore } from "../../src/store/directory_store.ts";
import { etcdFindings } from "../../src/doctor/etcd.ts";
import { openEtcd } from "../../src/rpc/etcd_client.ts";
import { EtcdServer } from "../support/etcd.ts";

const PREFIX = "/psp-agent/peers/";
const LOG = { debug() {}, info() {}, warn() {}, error() {} };

/** A host's view of the directory: vips by id. */
class View implements AsyncDisposable {
  readonly seen = new Map<string, string>();
  readonly said: string[] = [];
  readonly source: Source;
  changes = 0;

  constructor(kv: KvStore, known: DirectoryStore, options: { own?: string; leaseS?: number } = {}) {
    const say = (message: string, { reason }: { reason?: unknown } = {}) =>
      this.said.push(`${message}: ${reason}`);
    const { own, leaseS = 60 } = options;
    this.source = openEtcdSource({
      kv,
      prefix: PREFIX,
      ...own === undefined ? {} : { own: () => own },
      leaseS,
      known,
      clock: systemClock(),
      random: systemRandom(),
      rules: {
        id: "h1",
        pip: "192.0.2.1",
        psp: { mode: "tunnel" },
        rpc: { listen: "192.0.2.1:7443" },
        hasVc: false,
      },
      log: { debug: say, info: say, warn: say, error: say },
      onChanges: ({ put, removed }: SourceChanges) => {
        this.changes += put.length + removed.length;
        for (const where of removed) this.seen.delete(where.replace(/.*#/, ""));
        for (const { peer } of put) this.seen.set(peer.id, peer.vips.join());
      },
    });
  }

  async until(what: string, holds: (view: View) => boolean): Promise<void> {
    for (let i = 0; !holds(this); i++) {
      if (i > 12_000) {
        assert.fail(`${what}: ${Deno.inspect([this.source.state(), this.said.slice(-5)])}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source[Symbol.asyncDispose]();
  }
}

const memory = () => openDirectoryStore({ path: ":memory:", log: LOG });

function record(i: number, vip = `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`): string {
  return JSON.stringify({ id: `p${i}`, svc_address: `p${i}.example:7443`, vips: [vip] });
}

/** Writes many records, as their hosts would, without leases. */
async function fill(store: KvStore, n: number): Promise<void> {
  for (let i = 0; i < n; i += 100) {
    await Promise.all(
      Array.from(
        { length: Math.min(100, n - i) },
        (_, j) => store.put({ key: `${PREFIX}p${i + j}`, value: record(i + j), lease: 0n }),
      ),
    );
  }
}

Deno.test("10,000 records are read page by page and followed; one that changes is known at once", async () => {
  await using etcd = await EtcdServer.start("h1");
  using writer = etcd.client("root");
  await fill(writer, 10_000);
  await writer.put({ key: "/psp-agent/peers0", value: "not under the prefix", lease: 0n });
  using known = memory();
  const began = performance.now();
  await using view = new View(etcd.client("h1"), known);
  await view.until("all of them", ({ seen }) => seen.size === 10_000);
  console.log(`    10,000 records applied after ${(performance.now() - began).toFixed(0)} ms`);
  await view.until("the state", ({ source }) => source.state().isCurrent);
  assert.deepEqual([view.source.state().records, view.source.state().skipped], [10_000, 0]);
  const times: number[] = [];
  for (let i = 0; i < 200; i++) {
    const vip = `12.0.${i >> 8}.${i & 255}`;
    const at = performance.now();
    await writer.put({ key: `${PREFIX}p${i}`, value: record(i, vip), lease: 0n });
    while (view.seen.get(`p${i}`) !== `${vip}/32`) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    times.push(performance.now() - at);
  }
  times.sort((a, b) => a - b);
  console.log(
    `    written to known: p50 ${times[100]?.toFixed(1)} ms, p99 ${times[197]?.toFixed(1)} ms`,
  );
  await etcd.ctl("del", `${PREFIX}p7`);
  await view.until("one less", ({ seen }) => !seen.has("p7") && seen.size === 9_999);
  assert.equal(known.load("etcd")?.records.length, 9_999);
});

Deno.test("records are judged like the file's, each bound to its key; a bad one is left out and named", async () => {
  await using etcd = await EtcdServer.start("h1");
  using writer = etcd.client("root");
  const put = (id: string, value: unknown) =>
    writer.put({
      key: PREFIX + id,
      value: typeof value === "string" ? value : JSON.stringify(value),
      lease: 0n,
    });
  const good = { svc_address: "x.example:7443", vips: ["10.5.0.0/24"] };
  await put("h2", good);
  await put("h3", { id: "h9", ...good });
  await put("h4", '/* h9 once more */ [{"id":"h9","svc_address":"x:1","vips":["10.6.0.1"]}]');
  await put("h5", "{ not json");
  await put("h6", { ...good, vips: ["10.6.0.0/99"] });
  await put("h1", { id: "h1", ...good });
  using known = memory();
  await using view = new View(etcd.client("h1"), known);
  await view.until(
    "what is good",
    ({ source }) => source.state().isCurrent && source.state().skipped === 4,
  );
  assert.deepEqual([...view.seen], [["h2", "10.5.0.0/24"]]);
  const { problems } = view.source.state();
  for (
    const wrong of [
      /peers\/h3:1:1: id: "h9" is not "h3", whose place this is/,
      /peers\/h4:1:1: id: "h9" is not "h4"/,
      /peers\/h5:1:3: is not JSON/,
      /peers\/h6:.*vips\[0\]: .*99/,
    ]
  ) assert.match(problems.join("\n"), wrong);
  await put("h2", "nonsense");
  await view.until("the fifth", ({ source }) => source.state().skipped === 5);
  assert.equal(view.seen.get("h2"), "10.5.0.0/24", "what stood there before stays");
});

Deno.test("etcd goes away and comes back, is restarted, compacted, and exchanged: what was known goes on", async () => {
  await using etcd = await EtcdServer.start("h1");
  using writer = etcd.client("root");
  await fill(writer, 100);
  using known = memory();
  await using view = new View(etcd.client("h1", { pingIntervalMs: 200 }), known);
  await view.until("all", ({ seen, source }) => seen.size === 100 && source.state().isCurrent);

  await etcd.stop();
  await view.until("that it is away", ({ source }) => !source.state().isCurrent);
  const { currentAtMs = 0, lastError } = view.source.state();
  assert.ok(Date.now() - currentAtMs < 10_000, "its age is known");
  assert.match(lastError, /127\.0\.0\.1/);
  assert.equal(view.seen.size, 100);
  const before = view.changes;
  await etcd.begin();
  await view.until("that it is back", ({ source }) => source.state().isCurrent);
  await writer.put({ key: `${PREFIX}p1`, value: record(1, "12.0.0.1"), lease: 0n });
  await view.until("a change", ({ seen }) => seen.get("p1") === "12.0.0.1/32");
  assert.equal(view.changes - before, 1, "nothing was read twice");

  // What happened meanwhile is gone by the time that the agent is back: it reads all anew.
  await view.source[Symbol.asyncDispose]();
  await etcd.ctl("del", `${PREFIX}p2`);
  await writer.put({ key: `${PREFIX}p3`, value: record(3, "12.0.0.3"), lease: 0n });
  const revision = (await writer.range({ prefix: PREFIX, limit: 1 })).revision;
  await etcd.ctl("compact", String(revision));
  await using again = new View(etcd.client("h1"), known);
  assert.equal(again.seen.size, 100, "at once, from what was known");
  await again.until(
    "what changed",
    ({ seen }) => seen.size === 99 && seen.get("p3") === "12.0.0.3/32",
  );
  assert.ok(again.said.some((line) => line.startsWith("The directory has gone on too far")));

  // A store made anew numbers its revisions anew.
  await etcd.stop();
  await etcd.begin({ anew: true });
  await fill(writer, 10);
  await again.until("the new store", ({ seen }) => seen.size === 10);
});

Deno.test("what was known is there at a start although etcd is not, with its age", async () => {
  await using etcd = await EtcdServer.start("h1");
  const path = `${etcd.dir}/directory.db`;
  using writer = etcd.client("root");
  await fill(writer, 20);
  {
    using known = openDirectoryStore({ path, log: LOG });
    await using view = new View(etcd.client("h1"), known);
    await view.until("all", ({ seen, source }) => seen.size === 20 && source.state().isCurrent);
  }
  await etcd.stop();
  using known = openDirectoryStore({ path, log: LOG });
  await using view = new View(etcd.client("h1"), known);
  const { isCurrent, currentAtMs = 0, records } = view.source.state();
  assert.deepEqual([view.seen.size, isCurrent, records], [20, false, 20]);
  assert.ok(Date.now() - currentAtMs < 60_000);
  await view.until("an error", ({ source }) => source.state().lastError !== "");
  assert.equal(view.seen.size, 20);
});

Deno.test("a host's own record lives as long as its lease, and is written again when it is lost", async () => {
  await using etcd = await EtcdServer.start("h1", "h2");
  using reader = etcd.client("root");
  const keys = async () =>
    (await reader.range({ prefix: PREFIX, limit: 10 })).items.map(({ key }) => key);
  using known = memory();
  const own = JSON.stringify({ id: "h1", svc_address: "192.0.2.1:7443", vips: ["10.1.0.0/24"] });
  await using view = new View(etcd.client("h1"), known, { own, leaseS: 4 });
  await view.until(
    "its record",
    ({ said }) => said.some((line) => line.startsWith("This host's own record is")),
  );
  assert.deepEqual(await keys(), [`${PREFIX}h1`]);
  await new Promise((resolve) => setTimeout(resolve, 6000));
  assert.deepEqual(await keys(), [`${PREFIX}h1`], "kept alive");
  await etcd.ctl("del", `${PREFIX}h1`);
  for (let i = 0; (await keys()).length === 0; i++) {
    assert.ok(i < 1200, "it is written again");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(view.seen.size, 0, "a host is not its own peer");
  await view.source[Symbol.asyncDispose]();
  for (let i = 0; (await keys()).length > 0; i++) {
    assert.ok(i < 1200, "a dead host disappears");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

Deno.test("a certificate of nobody, of another server, or for another name is refused, and says why", async () => {
  await using etcd = await EtcdServer.start("h1");
  await using other = await EtcdServer.start("h1");
  const fails = async (options: Parameters<EtcdServer["client"]>[1], why: RegExp) => {
    using client = etcd.client("h1", options);
    await assert.rejects(client.range({ prefix: PREFIX, limit: 1 }), (error: KvError) => {
      assert.ok(error instanceof KvError);
      assert.match(error.message, why);
      return true;
    });
  };
  await fails({ tls: other.files("h1") }, /unable to verify the first certificate/);
  await fails({ tls: { ca: etcd.files("h1").ca } }, /certificate|connection/i);
  await fails({
    tls: { ...etcd.files("h1"), cert: other.files("h1").cert, key: other.files("h1").key },
  }, /certificate|connection/i);
  await fails(
    { tls: { ...etcd.files("h1"), ca: "/no/such/ca.crt" } },
    /cannot read "\/no\/such\/ca.crt": no such file/,
  );
  await fails(
    { endpoints: [`https://[::1]:${etcd.port}`, `https://127.0.0.1:1`] },
    /127\.0\.0\.1:1|\[::1\]/,
  );
  // By its name "localhost" it is known; as ip6-localhost it is a stranger.
  using named = etcd.client("h1", { endpoints: [`https://localhost:${etcd.port}`] });
  assert.equal((await named.range({ prefix: PREFIX, limit: 1 })).items.length, 0);
});

Deno.test("several endpoints: one that is dead is passed over", async () => {
  await using etcd = await EtcdServer.start("h1");
  using client = etcd.client("h1", { endpoints: ["https://127.0.0.1:1", etcd.endpoint] });
  await client.put({ key: "x", value: "y", lease: 0n });
  assert.equal((await client.range({ prefix: "x", limit: 1 })).items[0]?.value, "y");
});

Deno.test("a host that writes another's record is refused by its role; a wrong password and a stranger too", async () => {
  await using etcd = await EtcdServer.start("h1", "h2", "h3");
  // As docs/directory.md says.
  await etcd.ctl("user", "add", "root", "--new-user-password", "secret-root");
  await etcd.ctl("user", "grant-role", "root", "root");
  for (const id of ["h1", "h2"]) {
    await etcd.ctl("role", "add", id);
    await etcd.ctl("role", "grant-permission", id, "--prefix", "read", PREFIX);
    await etcd.ctl("role", "grant-permission", id, "readwrite", PREFIX + id);
    await etcd.ctl("user", "add", id, "--new-user-password", `secret-${id}`);
    await etcd.ctl("user", "grant-role", id, id);
  }
  await etcd.ctl("auth", "enable");
  const refused = (error: KvError) => error instanceof KvError && error.failure === "refused";
  const store = (client: KvStore, id: string) =>
    client.put({ key: PREFIX + id, value: record(1), lease: 0n });

  using h1 = etcd.client("h1");
  await store(h1, "h1");
  await assert.rejects(store(h1, "h2"), refused);
  await assert.rejects(store(h1, "h10"), refused, "nor one that only begins like its own");
  using stranger = etcd.client("h3");
  await assert.rejects(stranger.range({ prefix: PREFIX, limit: 1 }), refused);

  // The doctor sees the same before an agent is started, and asks each endpoint by itself.
  const nobody = "https://127.0.0.1:1";
  const found = async (id: string, ...more: readonly string[]) =>
    (await etcdFindings({
      endpoints: [etcd.endpoint, ...more],
      prefix: PREFIX,
      tls: etcd.files(id),
      register: true,
      leaseMs: 600_000,
    }, openEtcd)).map(({ what, verdict, found }) => `${verdict} ${what}: ${found}`);
  const [good, away] = await found("h1", nobody);
  assert.match(
    good ?? "",
    /^ok etcd https:.*: records under "\/psp-agent\/peers\/", revision \d+$/,
  );
  assert.match(away ?? "", /^warning etcd https:\/\/127\.0\.0\.1:1: /);
  const [refusal, none] = await found("h3", nobody);
  assert.match(refusal ?? "", /^problem etcd https:.*permission denied/);
  assert.match(none ?? "", /^problem etcd /);

  // By password, without a certificate of its own.
  await etcd.stop();
  await etcd.begin({ certificates: false });
  const { ca } = etcd.files("h2");
  const file = `${etcd.dir}/password`;
  const byPassword = (user: string) => etcd.client("h2", { tls: { ca }, user, passwordFile: file });
  await Deno.writeTextFile(file, "secret-h2\n");
  using h2 = byPassword("h2");
  await store(h2, "h2");
  await assert.rejects(store(h2, "h1"), refused);
  assert.equal((await h2.range({ prefix: PREFIX, limit: 9 })).items.length, 2);
  await Deno.writeTextFile(file, "wrong");
  using wrong = byPassword("h2");
  await assert.rejects(store(wrong, "h2"), refused);

  // A source that is refused keeps what it knows, and says why.
  using known = memory();
  await using view = new View(wrong, known);
  await view.until(
    "the refusal",
    ({ source }) => /authentication failed/.test(source.state().lastError),
  );
  await Deno.writeTextFile(file, "secret-h2");
  await view.until("the right password", ({ source }) => source.state().isCurrent);
});
