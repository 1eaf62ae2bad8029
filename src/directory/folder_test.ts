// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { SourceChanges } from "./combined.ts";
import { openFolder } from "./folder.ts";
import type { Source } from "./source.ts";

const RULES = {
  id: "h1",
  pip: "192.0.2.1",
  psp: { mode: "tunnel" as const },
  rpc: { listen: "192.0.2.1:7443" },
  hasVc: false,
};

/** A directory of drop-in files, and what a reader of it makes of them. */
class Lab implements AsyncDisposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "psp-peers-d-" });
  /** Peers by their place, as changes have left them. */
  readonly seen = new Map<string, readonly string[]>();
  readonly said: string[] = [];
  changes = 0;
  folder: Source | undefined;

  async open(): Promise<Source> {
    const say = (message: string, fields: object = {}) =>
      this.said.push(`${message} ${JSON.stringify(fields).replaceAll(this.dir, "")}`);
    return this.folder = await openFolder({
      path: `${this.dir}/peers.d`,
      rules: RULES,
      log: { debug: say, info: say, warn: say, error: say },
      wallMs: () => 5,
      pollMs: 20,
      sweepMs: 200,
      debounceMs: 10,
      onChanges: (changes) => this.#take(changes),
    });
  }

  write(name: string, text: unknown): void {
    Deno.mkdirSync(`${this.dir}/peers.d`, { recursive: true });
    const content = typeof text === "string" ? text : JSON.stringify(text);
    Deno.writeTextFileSync(`${this.dir}/peers.d/${name}`, content);
  }

  /** Until what was seen is this: vips by "file#peer". */
  async until(expected: Readonly<Record<string, string>>): Promise<void> {
    const now = () =>
      Object.fromEntries([...this.seen].map(([at, vips]) => [at, vips.join()]).sort());
    const want = JSON.stringify(Object.fromEntries(Object.entries(expected).sort()));
    for (let i = 0; JSON.stringify(now()) !== want; i++) {
      if (i > 500) assert.deepEqual(now(), expected);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #take({ put, removed }: SourceChanges): void {
    this.changes += put.length + removed.length;
    const name = (where: string) => where.replace(`${this.dir}/peers.d/`, "");
    for (const where of removed) assert.ok(this.seen.delete(name(where)), `${where} was not there`);
    for (const { where, peer } of put) this.seen.set(name(where), peer.vips);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder?.[Symbol.asyncDispose]();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

const peer = (id: string, ...vips: string[]) => ({ id, svc_address: `${id}.example:7443`, vips });

Deno.test("files of one peer or of many come, change and go", async () => {
  await using lab = new Lab();
  lab.write("h2.json", peer("h2", "10.2.0.0/24"));
  lab.write("rack.json", [peer("h3", "10.3.0.0/24"), peer("h4", "10.4.0.0/24")]);
  lab.write("README", "not a record");
  lab.write(".hidden.json", "nor this");
  const folder = await lab.open();
  const first = { "h2.json#h2": "10.2.0.0/24", "rack.json#h3": "10.3.0.0/24" };
  await lab.until({ ...first, "rack.json#h4": "10.4.0.0/24" });
  assert.deepEqual(folder.state(), {
    isCurrent: true,
    currentAtMs: 5,
    lastError: "",
    records: 3,
    skipped: 0,
    problems: [],
  });
  lab.write("rack.json", [peer("h3", "10.3.1.0/24")]);
  await lab.until({ "h2.json#h2": "10.2.0.0/24", "rack.json#h3": "10.3.1.0/24" });
  lab.write(".new", peer("h5", "10.5.0.0/24"));
  Deno.renameSync(`${lab.dir}/peers.d/.new`, `${lab.dir}/peers.d/h2.json`);
  await lab.until({ "h2.json#h5": "10.5.0.0/24", "rack.json#h3": "10.3.1.0/24" });
  Deno.removeSync(`${lab.dir}/peers.d/rack.json`);
  await lab.until({ "h2.json#h5": "10.5.0.0/24" });
});

Deno.test("a bad record is left out, named and counted; what stood there before stays", async () => {
  await using lab = new Lab();
  lab.write("a.json", [peer("h2", "10.2.0.0/24"), { id: "h3", vips: ["10.3.0.0/24"] }]);
  lab.write("b.json", "{ not json");
  lab.write("self.json", peer("h1", "10.1.0.0/24"));
  lab.write("vc.json", { ...peer("h4", "10.4.0.0/24"), vc: 7 });
  lab.write("own.json", { ...peer("h6", "10.6.0.0/24"), svc_address: "192.0.2.1:7443" });
  const folder = await lab.open();
  await lab.until({ "a.json#h2": "10.2.0.0/24" });
  const { skipped, problems } = folder.state();
  assert.equal(skipped, 4);
  assert.match(problems.join("\n"), /\/a\.json:1:\d+: \[1\]\.svc_address: is missing/);
  assert.match(problems.join("\n"), /\/b\.json:1:3: is not JSON/);
  assert.match(problems.join("\n"), /\/vc\.json:1:\d+: vc: needs a peer with a vc/);
  assert.match(problems.join("\n"), /\/own\.json:1:\d+: svc_address: .* is where this host itself/);
  assert.equal(
    lab.said.filter((line) => line.startsWith("A record of the directory is left out")).length,
    4,
  );

  lab.write("a.json", [{ ...peer("h2"), vips: ["nonsense"] }]);
  await lab.until({ "a.json#h2": "10.2.0.0/24" });
  while (folder.state().problems.every((text) => !text.includes("nonsense"))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  lab.write("a.json", [peer("h2", "10.2.9.0/24")]);
  await lab.until({ "a.json#h2": "10.2.9.0/24" });
  assert.equal(folder.state().skipped, 3);
});

Deno.test("a ConfigMap is exchanged by turning a link, and what says the same is not read as new", async () => {
  await using lab = new Lab();
  const dir = `${lab.dir}/peers.d`;
  const version = (n: number, files: Readonly<Record<string, object>>) => {
    Deno.mkdirSync(`${dir}/..v${n}`, { recursive: true });
    for (const [name, value] of Object.entries(files)) {
      Deno.writeTextFileSync(`${dir}/..v${n}/${name}`, JSON.stringify(value));
    }
    Deno.symlinkSync(`..v${n}`, `${dir}/..data_tmp`);
    Deno.renameSync(`${dir}/..data_tmp`, `${dir}/..data`);
    for (const name of Object.keys(files)) {
      try {
        Deno.symlinkSync(`..data/${name}`, `${dir}/${name}`);
      } catch {
        // It is there already.
      }
    }
    for (const { name } of Deno.readDirSync(dir)) {
      if (name.endsWith(".json") && !(name in files)) Deno.removeSync(`${dir}/${name}`);
      if (name.startsWith("..v") && name !== `..v${n}`) {
        Deno.removeSync(`${dir}/${name}`, { recursive: true });
      }
    }
  };
  version(1, { "h2.json": peer("h2", "10.2.0.0/24"), "h3.json": peer("h3", "10.3.0.0/24") });
  await lab.open();
  await lab.until({ "h2.json#h2": "10.2.0.0/24", "h3.json#h3": "10.3.0.0/24" });
  const before = lab.changes;
  version(2, { "h2.json": peer("h2", "10.2.0.0/24"), "h4.json": peer("h4", "10.4.0.0/24") });
  await lab.until({ "h2.json#h2": "10.2.0.0/24", "h4.json#h4": "10.4.0.0/24" });
  version(3, { "h2.json": peer("h2", "10.2.1.0/24"), "h4.json": peer("h4", "10.4.0.0/24") });
  await lab.until({ "h2.json#h2": "10.2.1.0/24", "h4.json#h4": "10.4.0.0/24" });
  assert.equal(lab.changes - before, 3, "one came, one went, one changed");
});

Deno.test("a directory that is not there is said once, and read when it comes", async () => {
  await using lab = new Lab();
  const folder = await lab.open();
  assert.deepEqual([folder.state().isCurrent, folder.state().lastError], [false, "no such file"]);
  lab.write("h2.json", peer("h2", "10.2.0.0/24"));
  await lab.until({ "h2.json#h2": "10.2.0.0/24" });
  assert.equal(folder.state().isCurrent, true);
  Deno.removeSync(`${lab.dir}/peers.d`, { recursive: true });
  while (folder.state().isCurrent) await new Promise((resolve) => setTimeout(resolve, 20));
  await lab.until({ "h2.json#h2": "10.2.0.0/24" });
  assert.equal(lab.said.filter((line) => line.includes("cannot be read")).length, 2);
});

Deno.test("very many files are read in the time of a start", async () => {
  await using lab = new Lab();
  for (let i = 0; i < 3000; i++) {
    lab.write(`h${i}.json`, peer(`p${i}`, `11.0.${i >> 8}.${i & 255}`));
  }
  const began = performance.now();
  const folder = await lab.open();
  assert.equal(folder.state().records, 3000);
  console.log(`    3,000 files in ${(performance.now() - began).toFixed(0)} ms`);
  const one = performance.now();
  lab.write("h7.json", peer("p7", "11.9.9.9"));
  while (lab.seen.get("h7.json#p7")?.join() !== "11.9.9.9/32") {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  console.log(
    `    one changed after ${(performance.now() - one).toFixed(0)} ms, 10 of them quiet time`,
  );
});
