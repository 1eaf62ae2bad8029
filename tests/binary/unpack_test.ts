// SPDX-License-Identifier: Apache-2.0

/** The self-extracting form unpacks once, whole, for its user alone, wherever it may. */
import assert from "node:assert/strict";
import { formOf, inTemporary, ROOT, runAlone } from "./run_alone.ts";

const BINARY = `${ROOT}build/bin/psp-agent`;
const isSelfExtracting = formOf() === "self-extracting";

/** Only where this form was built; the compiled form has src/cli/embedded_shim_test.ts. */
function unpacking(name: string, fn: (cache: string) => Promise<void>): void {
  if (isSelfExtracting) Deno.test(name, () => inTemporary(fn));
}

async function start(cache: string) {
  const { code, stderr } = await new Deno.Command(BINARY, {
    args: ["version"],
    clearEnv: true,
    env: { PSP_AGENT_CACHE: cache },
    stdin: "null",
  }).output();
  return { code, err: new TextDecoder().decode(stderr) };
}

/** The one directory that holds the files. */
function unpacked(cache: string): string {
  const names = [...Deno.readDirSync(cache)].map(({ name }) => name).filter((n) => n !== ".lock");
  assert.equal(names.length, 1, names.join(" "));
  return `${cache}/${names[0]}`;
}

unpacking("many that start at once unpack once", async (cache) => {
  const all = await Promise.all(Array.from({ length: 6 }, () => start(cache)));
  assert.deepEqual(all, all.map(() => ({ code: 0, err: "" })));
  for (const { name } of Deno.readDirSync(unpacked(cache))) {
    const { mode, isFile } = Deno.statSync(`${unpacked(cache)}/${name}`);
    assert.ok(isFile, name);
    assert.equal((mode ?? 0) & 0o077, 0, name);
  }
});

unpacking("who waits at a terminal is told what for, and nobody else is", async (cache) => {
  // Another process that is at it, for as long as its standard input is open.
  await using busy = await holding(`${cache}/.lock`);
  const waiting = new Deno.Command("script", {
    args: ["-qec", `${BINARY} version`, "/dev/null"],
    clearEnv: true,
    env: { PSP_AGENT_CACHE: cache, PATH: "/usr/bin:/bin", TERM: "dumb" },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const quiet = start(cache);
  let said = "";
  for await (const text of waiting.stdout.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (/another process unpacks: waiting for it/.test(said)) await busy.end();
  }
  assert.equal((await waiting.status).code, 0, said);
  assert.match(said, /psp-agent \d+\.\d+/);
  assert.deepEqual(await quiet, { code: 0, err: "" });
});

/** Holds a lock as a process that unpacks does. */
async function holding(path: string): Promise<AsyncDisposable & { end(): Promise<void> }> {
  const child = new Deno.Command("flock", {
    args: [path, "sh", "-c", "echo held; cat >/dev/null"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  let ended: Promise<void> | undefined;
  const end = () => ended ??= child.stdin.close().then(() => child.status).then(() => {});
  return {
    end,
    async [Symbol.asyncDispose]() {
      await end();
      await reader.cancel();
    },
  };
}

unpacking("nothing is written after that", async (cache) => {
  const look = () =>
    [...Deno.readDirSync(unpacked(cache))].map(({ name }) => {
      const { size, mtime, ino } = Deno.statSync(`${unpacked(cache)}/${name}`);
      return [name, size, mtime?.getTime(), ino].join(" ");
    }).sort();
  await start(cache);
  const before = look();
  await start(cache);
  assert.deepEqual(look(), before);
});

unpacking(
  "what a dead process left is removed, what was changed is unpacked again",
  async (cache) => {
    await Deno.mkdir(`${cache}/.unfinished`);
    await Deno.writeTextFile(`${cache}/.unfinished/psp-agent`, "half of it");
    assert.deepEqual(await start(cache), { code: 0, err: "" });
    const program = `${unpacked(cache)}/main.js`;
    const whole = Deno.statSync(program).size;
    for (
      const spoil of [
        () => Deno.writeTextFile(program, "Deno.exit(9)"),
        () => Deno.truncate(program, 10),
        () => Deno.chmod(program, 0o666),
        () => Deno.remove(program),
        () => Deno.remove(program).then(() => Deno.symlink("/etc/passwd", program)),
      ]
    ) {
      await spoil();
      assert.deepEqual(await start(cache), { code: 0, err: "" });
      assert.equal(Deno.lstatSync(program).size, whole);
      assert.equal((Deno.lstatSync(program).mode ?? 0) & 0o777, 0o600);
    }
  },
);

unpacking("an upgrade removes the version before, but not one that runs", async (cache) => {
  const [idle, busy] = [`${cache}/${"0".repeat(24)}`, `${cache}/${"1".repeat(24)}`];
  for (const dir of [idle, busy]) {
    await Deno.mkdir(dir);
    await Deno.writeTextFile(`${dir}/psp-agent`, "");
  }
  const holder = new Deno.Command("flock", { args: ["--shared", busy, "cat"], stdin: "piped" })
    .spawn();
  try {
    // The lock is there once flock has opened and locked it.
    for (let held = false; !held;) {
      held = !(await new Deno.Command("flock", { args: ["-n", busy, "true"] }).output()).success;
    }
    assert.equal((await start(cache)).code, 0);
    assert.throws(() => Deno.statSync(idle), Deno.errors.NotFound);
    assert.ok(Deno.statSync(busy).isDirectory);
  } finally {
    await holder.stdin.close();
    await holder.status;
  }
});

unpacking("a directory that others can write to, or that is theirs, is refused", async (cache) => {
  for (const [uid, mode] of [[0, 0o777], [65534, 0o700]] as const) {
    const dir = `${cache}/${mode}-${uid}`;
    await Deno.mkdir(dir);
    await Deno.chmod(dir, mode);
    await Deno.chown(dir, uid, uid);
    const { code, err } = await start(dir);
    assert.equal(code, 1);
    assert.match(
      err,
      /^psp-agent: Cannot start: .*(others can write to it|belongs to another user)/,
    );
  }
});

unpacking("nothing is used below a directory that another user can exchange", async (cache) => {
  const home = `${cache}/home`;
  for (const path of [home, `${home}/.cache`]) await Deno.mkdir(path, { mode: 0o755 });
  await Deno.chown(home, 65534, 65534);
  const { code, err } = await start(`${home}/.cache/psp-agent`);
  assert.equal(code, 1);
  assert.match(err, /^psp-agent: Cannot start: .*others can exchange a directory of its path/);
  assert.deepEqual([...Deno.readDirSync(`${home}/.cache`)], []);
  // The same as HOME: another place is taken, or it says why none.
  const foreign = await runAlone(["version"], {
    home: "/home",
    setup: "chown 65534 $root/home; mount -t tmpfs -o noexec none $root/tmp; " +
      "mount -t tmpfs -o noexec none $root/run; mount -t tmpfs -o noexec none $root/var",
  });
  assert.equal(foreign.code, 1);
  assert.match(foreign.err, /\/home\/\.cache\/psp-agent \(others can exchange a directory/);
});

unpacking(
  "the runtime uses the files that were looked at, whatever their names mean then",
  async (cache) => {
    await using agent = await running(cache);
    const words = (await processFile(agent.pid, "cmdline")).split("\0");
    const program = words.find((word) => word.endsWith("/main.js")) ?? "";
    const [, descriptor] = /^\/proc\/self\/fd\/(\d+)\/main\.js$/.exec(program) ?? [];
    assert.ok(descriptor, program);
    const { stdout } = await new Deno.Command("readlink", {
      args: [`/proc/${agent.pid}/fd/${descriptor}`],
    }).output();
    assert.equal(new TextDecoder().decode(stdout).trim(), unpacked(cache));
  },
);

unpacking("an empty HOME and a /tmp without programs do not keep it from starting", async () => {
  const noexec = "mount -t tmpfs -o noexec none $root/tmp; mount -t tmpfs -o noexec none $root/run";
  const { code, err } = await runAlone(["version"], { home: "", setup: noexec });
  assert.deepEqual([code, err], [0, ""]);
  // A unit with ProtectSystem=strict: only the state directory is left.
  const strict = await runAlone(["version"], {
    home: "/none",
    env: { STATE_DIRECTORY: "/var/lib/x" },
    setup:
      `${noexec}; mkdir $root/var/lib/x; mount -t tmpfs none $root/var/lib/x; mount -o remount,ro none $root`,
  });
  assert.deepEqual([strict.code, strict.err], [0, ""]);
});

unpacking("where there is no place at all it says which ones it tried", async () => {
  const { code, err } = await runAlone(["version"], {
    home: "/home",
    setup: "mount -t tmpfs -o noexec none $root/tmp; mount -o remount,ro none $root",
  });
  assert.equal(code, 1);
  assert.match(
    err,
    /^psp-agent: Cannot start: [^\n]*\/home\/\.cache\/psp-agent \(Read-only[^\n]*noexec[^\n]*\n$/,
  );
});

unpacking("the inspector's signal is blocked, and there are no core dumps", async (cache) => {
  await using agent = await running(cache);
  const blocked = /^SigBlk:\s*(\w+)$/m.exec(await processFile(agent.pid, "status"));
  assert.ok(BigInt(`0x${blocked?.[1]}`) & (1n << 9n), "SIGUSR1 is not blocked");
  const ignored = /^SigIgn:\s*(\w+)$/m.exec(await processFile(agent.pid, "status"));
  assert.ok(BigInt(`0x${ignored?.[1]}`) & (1n << 24n), "SIGXFSZ is not ignored");
  assert.match(await processFile(agent.pid, "limits"), /Max core file size\s+0\s+0/);
});

/** The agent, as soon as the launcher has become it; disposing ends it. */
async function running(cache: string): Promise<{ readonly pid: number } & AsyncDisposable> {
  await Deno.chmod(cache, 0o700);
  const child = new Deno.Command("sh", {
    args: ["-c", `exec "$0" status --watch --address 127.0.0.1:9`, BINARY],
    clearEnv: true,
    env: { PSP_AGENT_CACHE: cache, PATH: "/usr/bin:/bin" },
    stdout: "null",
    stderr: "null",
  }).spawn();
  const end = async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await child.status;
  };
  try {
    const deadline = performance.now() + 10_000;
    // The launcher has the same name, but not the program among its words.
    while (!(await processFile(child.pid, "cmdline")).includes("/main.js\0")) {
      assert.ok(performance.now() < deadline, "the launcher never became the agent");
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { pid: child.pid, [Symbol.asyncDispose]: end };
}

/** A file under /proc/<pid>. Deno keeps /proc to itself unless it has every permission. */
async function processFile(pid: number, name: string): Promise<string> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/${name}`] }).output();
  return new TextDecoder().decode(stdout);
}
