// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { NO_LOG } from "../../tests/support/no_log.ts";
import type { PeerConfig } from "../config/config.ts";
import type { Entry } from "./combined.ts";
import { type Source, type SourceState, Texts } from "./source.ts";
import { Sources, type Told } from "./sources.ts";

const peer = (id: string, ...vips: string[]): PeerConfig => ({ id, svcAddress: `${id}:1`, vips });
const entry = (id: string, ...vips: string[]): Entry => ({
  where: `here#${id}`,
  peer: peer(id, ...vips),
  order: 0n,
});

/** A source that says what the test wants. */
class Fake implements Source {
  readonly name = "etcd";
  isOver = false;
  constructor(readonly told: Told) {}
  state(): SourceState {
    return { isCurrent: true, currentAtMs: 0, lastError: "", records: 0, skipped: 0, problems: [] };
  }
  judgeAgain(): void {}
  [Symbol.asyncDispose](): Promise<void> {
    this.isOver = true;
    return Promise.resolve();
  }
}

function lab() {
  const sources = new Sources(["10.1.0.0/24"], [peer("h2", "10.2.0.0/24")]);
  const said: string[] = [];
  sources.peers();
  sources.onChanges = ({ changed, removed }) =>
    said.push(`${changed.map(({ id, vips }) => `${id} ${vips}`)} -${removed}`);
  sources.begin();
  const open = (): Fake => {
    const made: Fake[] = [];
    sources.replace("etcd", (told) => {
      const source = new Fake(told);
      made.push(source);
      return source;
    });
    const [source] = made;
    assert.ok(source);
    return source;
  };
  const heard = () => said.splice(0);
  return { sources, open, heard };
}

Deno.test("what a source said goes on while another takes its place, until that has said everything", async () => {
  const l = lab();
  await using sources = l.sources;
  const first = l.open();
  first.told.onChanges({
    put: [entry("h3", "10.3.0.0/24"), entry("h4", "10.4.0.0/24")],
    removed: [],
  });
  assert.deepEqual(l.heard(), ["h3 10.3.0.0/24,h4 10.4.0.0/24 -"]);
  const second = l.open();
  assert.ok(first.isOver);
  assert.deepEqual(l.heard(), [], "nobody notices");
  // What it says again is no change, and the rest waits.
  second.told.onChanges({ put: [entry("h3", "10.3.0.0/24")], removed: [] });
  assert.deepEqual(l.heard(), []);
  first.told.onChanges({ put: [], removed: ["here#h3"] });
  first.told.onWhole();
  assert.deepEqual(l.heard(), [], "the old one has nothing to say any more");
  second.told.onWhole();
  assert.deepEqual(l.heard(), [" -h4"]);
  second.told.onWhole();
  second.told.onChanges({ put: [entry("h5", "10.5.0.0/24")], removed: [] });
  assert.deepEqual(l.heard(), ["h5 10.5.0.0/24 -"]);
  assert.deepEqual(sources.peers().map(({ id }) => id), ["h2", "h3", "h5"]);
});

Deno.test("a source that is there no more takes along what it said, and a file's peers stay", async () => {
  const l = lab();
  await using sources = l.sources;
  const source = l.open();
  source.told.onChanges({
    put: [entry("h3", "10.3.0.0/24"), entry("h2", "10.9.0.0/24")],
    removed: [],
  });
  l.heard();
  sources.replace("etcd", undefined);
  assert.ok(source.isOver);
  assert.deepEqual(l.heard(), [" -h3"]);
  assert.deepEqual(sources.views(0).map(({ name }) => name), ["file"]);
  source.told.onChanges({ put: [entry("h7", "10.7.0.0/24")], removed: [] });
  assert.deepEqual(l.heard(), []);
  sources.replace("etcd", undefined);
  const again = l.open();
  again.told.onChanges({ put: [entry("h3", "10.3.0.0/24")], removed: [] });
  assert.deepEqual(l.heard(), ["h3 10.3.0.0/24 -"]);
});

Deno.test("sources that have made room are waited for at the end", async () => {
  const l = lab();
  const end = Promise.withResolvers<void>();
  const first = l.open();
  first[Symbol.asyncDispose] = () => end.promise;
  l.open();
  let isOver = false;
  const over = l.sources[Symbol.asyncDispose]().then(() => isOver = true);
  await Promise.resolve();
  assert.equal(isOver, false);
  end.resolve();
  await over;
});

Deno.test("records are judged anew when networks come and go: what is known of a peer is what remains of it", () => {
  let networks = [{ name: "red" }];
  const seen = new Map<string, string>();
  const texts = new Texts({
    rules: {
      id: "h1",
      pip: "192.0.2.1",
      psp: { mode: "tunnel" },
      rpc: { listen: "192.0.2.1:7443" },
      hasVc: true,
      get networks() {
        return networks;
      },
    },
    log: NO_LOG,
    onChanges: ({ put, removed }) => {
      for (const where of removed) seen.delete(where.replace(/.*#/, ""));
      for (const { peer } of put) seen.set(peer.id, peer.vips.join());
    },
  });
  const record = (id: string, ...vips: string[]) =>
    [id, { text: JSON.stringify({ id, svc_address: `${id}:1`, vips }), order: 1n }] as const;
  texts.take([
    record("h2", "10.2.0.1@red", "10.2.0.1@blue"),
    record("h3", "10.3.0.1@blue"),
    record("h4", "10.4.0.1"),
  ]);
  const state = () => [Object.fromEntries(seen), texts.state().skipped];
  assert.deepEqual(state(), [{ h2: "10.2.0.1/32@red", h4: "10.4.0.1/32" }, 1]);
  assert.match(texts.state().problems.join(), /h2:1:\d+: vips\[1\]: network "blue" is not known/);
  networks = [{ name: "red" }, { name: "blue" }];
  texts.judgeAgain();
  const all = { h2: "10.2.0.1/32@red,10.2.0.1/32@blue", h3: "10.3.0.1/32@blue", h4: "10.4.0.1/32" };
  assert.deepEqual([state(), texts.state().problems], [[all, 0], []]);
  networks = [{ name: "blue" }];
  texts.judgeAgain();
  assert.deepEqual(state(), [{ ...all, h2: "10.2.0.1/32@blue" }, 0]);
  networks = [];
  texts.judgeAgain();
  assert.deepEqual(state(), [{ h4: "10.4.0.1/32" }, 2]);
});

/** Once everybody who waits had a turn, some times over. */
async function turns(n = 20): Promise<void> {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("a large change of a source is made bit by bit, a prefix that moves in one step, and nothing before it", async () => {
  const l = lab();
  await using sources = l.sources;
  const source = l.open();
  const many = (owner: (i: number) => string) =>
    Array.from({ length: 400 }, (_, i) => entry(owner(i), `10.${8 + (i >> 8)}.${i & 255}.0/24`));
  source.told.onChanges({ put: many((i) => `p${i}`), removed: [] });
  await turns();
  const first = l.heard();
  assert.ok(first.length > 2, `in ${first.length} parts`);
  assert.equal(sources.peers().length, 401);
  sources.begin();

  // The first of each pair goes, and the second has its prefix as well.
  const put = Array.from({ length: 200 }, (_, i) =>
    entry(
      `p${2 * i + 1}`,
      ...[2 * i, 2 * i + 1].map((n) => `10.${8 + (n >> 8)}.${n & 255}.0/24`),
    ));
  source.told.onChanges({
    put,
    removed: Array.from({ length: 200 }, (_, i) => `here#p${2 * i}`),
  });
  // It is small, and comes after what was said before it.
  source.told.onChanges({ put: [entry("last", "10.99.0.0/24")], removed: [] });
  assert.deepEqual(l.heard(), []);
  await turns();
  const second = l.heard();
  assert.ok(second.length > 2, `in ${second.length} parts`);
  assert.equal(second.at(-1), "last 10.99.0.0/24 -");
  for (const part of second.slice(0, -1)) {
    const [changed = "", removed = ""] = part.split(" -");
    const [gained, gone] = [changed.match(/p\d+/g) ?? [], removed.match(/p\d+/g) ?? []];
    assert.deepEqual(
      gained.map((id) => Number(id.slice(1)) - 1).sort(),
      gone.map((id) => Number(id.slice(1))).sort(),
    );
  }
  assert.equal(sources.peers().length, 202);
});

Deno.test("while somebody changes the directory step by step, what sources say waits for the end of it", async () => {
  const l = lab();
  await using sources = l.sources;
  const source = l.open();
  const step = Promise.withResolvers<void>();
  const work = sources.alone(async () => {
    sources.file({ changed: [peer("h3", "10.3.0.0/24")], removed: [] });
    await step.promise;
    return "done";
  });
  source.told.onChanges({ put: [entry("h4", "10.3.0.0/24", "10.4.0.0/24")], removed: [] });
  await turns(2);
  assert.deepEqual(l.heard(), []);
  step.resolve();
  assert.equal(await work, "done");
  await turns(2);
  assert.deepEqual(l.heard(), ["h4 10.4.0.0/24 -"]);

  const failed: unknown[] = [];
  sources.onFailed = (cause) => failed.push(cause);
  sources.onChanges = () => {
    throw new Error("no room");
  };
  const held = sources.alone(() => Promise.reject(new Error("a step failed")));
  source.told.onChanges({ put: [entry("h5", "10.5.0.0/24")], removed: [] });
  await assert.rejects(held, /a step failed/);
  await turns(2);
  assert.deepEqual(failed.map(String), ["Error: no room"]);
});
