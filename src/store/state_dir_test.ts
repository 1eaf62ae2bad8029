// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { ConfigError } from "../config/config.ts";
import { DATABASES, openStateDir, type StateDir } from "./state_dir.ts";

class TempDir implements Disposable {
  readonly path = Deno.makeTempDirSync();
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Names below a directory, sorted; undefined: it is not there. */
function names(path: string): string[] | undefined {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
  } catch {
    return undefined;
  }
}

function modeOf(path: string): number {
  return (Deno.statSync(path).mode ?? 0) & 0o777;
}

function why(path: string): string {
  try {
    openStateDir(path)[Symbol.dispose]();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message.replace(/^Cannot use state directory "[^"]*": /, "");
  }
  return "";
}

Deno.test("a second agent on the same directory is refused, a later one is not", () => {
  using dir = new TempDir();
  {
    using _first = openStateDir(dir.path);
    assert.throws(() => openStateDir(dir.path), /another psp-agent holds its lock/);
  }
  openStateDir(dir.path)[Symbol.dispose]();
});

Deno.test("what a start made goes when the start fails, and stays when it does not", () => {
  using dir = new TempDir();
  const path = `${dir.path}/a/b`;
  const start = (then: (state: StateDir) => void) => {
    using state = openStateDir(path);
    assert.equal(modeOf(path), 0o700);
    Deno.writeTextFileSync(`${path}/agent.db`, "");
    Deno.writeTextFileSync(`${path}/agent.db-wal`, "");
    then(state);
  };
  start(() => {});
  assert.deepEqual(names(dir.path), []);
  start(() => Deno.writeTextFileSync(`${path}/foreign`, ""));
  assert.deepEqual(names(path), ["foreign"]);
  Deno.removeSync(`${dir.path}/a`, { recursive: true });
  start((state) => state.keep());
  assert.deepEqual(names(path), ["agent.db", "agent.db-wal", "lock"]);
  start(() => {});
  assert.deepEqual(names(path), ["agent.db", "agent.db-wal", "lock"], "an earlier start made them");
});

Deno.test("the mode becomes 0700, but never that of a directory which others use", () => {
  using dir = new TempDir();
  const isShared = () => {
    using state = openStateDir(dir.path);
    return state.isShared;
  };
  Deno.chmodSync(dir.path, 0o755);
  assert.equal(isShared(), false);
  assert.equal(modeOf(dir.path), 0o700, "an empty one");
  Deno.chmodSync(dir.path, 0o755);
  Deno.writeTextFileSync(`${dir.path}/foreign`, "");
  assert.equal(isShared(), true);
  assert.equal(modeOf(dir.path), 0o755);
  assert.equal(modeOf(`${dir.path}/lock`), 0o600);
  Deno.writeTextFileSync(`${dir.path}/agent.db`, "");
  assert.equal(isShared(), true);
  Deno.removeSync(`${dir.path}/foreign`);
  assert.equal(isShared(), false);
  assert.equal(modeOf(dir.path), 0o700, "one with nothing but a record");
});

Deno.test("a state directory that cannot be used is one sentence", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/file`, "");
  assert.equal(why(`${dir.path}/file`), "it is not a directory");
  assert.equal(why(`${dir.path}/file/x`), "a part of its path is not a directory");
  // By the kernel, or by the permissions of this process.
  assert.match(why("/proc/psp-agent"), /^(no directory can be made|the agent never writes) there/);
  assert.equal(why(`${dir.path}/${"x".repeat(300)}`), "the name is too long");
  assert.deepEqual(names(dir.path), ["file"]);
});

Deno.test("what leads elsewhere, or is no ordinary file, is not opened", () => {
  using dir = new TempDir();
  const state = `${dir.path}/state`;
  Deno.mkdirSync(state, { mode: 0o700 });
  Deno.writeTextFileSync(`${dir.path}/elsewhere`, "theirs");
  const databases = DATABASES.flatMap((db) => [db, `${db}-wal`, `${db}-shm`]);
  for (const name of ["lock", ...databases]) {
    Deno.symlinkSync(`${dir.path}/elsewhere`, `${state}/${name}`);
    assert.equal(why(state), `"${name}" in it is a link`);
    Deno.removeSync(`${state}/${name}`);
    Deno.symlinkSync(`${dir.path}/nowhere`, `${state}/${name}`);
    assert.equal(why(state), `"${name}" in it is a link`);
    Deno.removeSync(`${state}/${name}`);
    // Opening a pipe would wait for a writer for ever.
    new Deno.Command("mkfifo", { args: [`${state}/${name}`] }).outputSync();
    assert.equal(why(state), `"${name}" in it is not an ordinary file`);
    Deno.removeSync(`${state}/${name}`);
    Deno.mkdirSync(`${state}/${name}`);
    assert.equal(why(state), `"${name}" in it is not an ordinary file`);
    Deno.removeSync(`${state}/${name}`);
  }
  Deno.symlinkSync(state, `${dir.path}/link`);
  assert.equal(why(`${dir.path}/link`), "it is a link: name what it leads to");
  assert.deepEqual(names(dir.path), ["elsewhere", "link", "state"]);
  assert.equal(Deno.readTextFileSync(`${dir.path}/elsewhere`), "theirs");
  assert.equal(why(state), "");
});

Deno.test("a directory in which others can exchange files is refused", () => {
  using dir = new TempDir();
  const real = Deno.realPathSync(dir.path);
  const above = `${real}/above`;
  Deno.mkdirSync(`${above}/state`, { recursive: true, mode: 0o700 });
  Deno.writeTextFileSync(`${above}/state/foreign`, "");
  for (const mode of [0o770, 0o707, 0o1777]) {
    Deno.chmodSync(`${above}/state`, mode);
    assert.equal(why(`${above}/state`), "others can write to it");
  }
  Deno.removeSync(`${above}/state/foreign`);
  assert.equal(why(`${above}/state`), "", "one that holds nothing is shut");
  Deno.chmodSync(above, 0o777);
  assert.equal(
    why(`${above}/state`),
    `others can exchange a directory of its path, ${above}`,
  );
  assert.match(why(`${above}/new/state`), /^others can exchange/);
  assert.deepEqual(names(above), ["state"], "nothing is made there");
  Deno.chmodSync(above, 0o1777);
  assert.equal(why(`${above}/state`), "", "nobody else's name can be exchanged there");
});
