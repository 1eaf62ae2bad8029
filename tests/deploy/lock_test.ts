// SPDX-License-Identifier: Apache-2.0

/** tools/lock.sh: benches run alone, what is heavy runs side by side, and make may call make. */
import assert from "node:assert/strict";

const LOCK = new URL("../../tools/lock.sh", import.meta.url);

/** A tree with nothing in it but the script, as after a clone. */
class Tree implements AsyncDisposable {
  readonly dir: string;
  readonly order: string;

  constructor() {
    this.dir = Deno.makeTempDirSync({ prefix: "psp-lock-" });
    this.order = `${this.dir}/order`;
    Deno.mkdirSync(`${this.dir}/tools`);
    Deno.copyFileSync(LOCK, `${this.dir}/tools/lock.sh`);
  }

  /** Runs a shell command under the lock. */
  start(mode: "shared" | "exclusive", command: string): Held {
    return new Held(this.dir, [mode, "sh", "-c", command]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** A process that has the lock, waits for it, or was refused. */
class Held {
  readonly #child: Deno.ChildProcess;
  readonly #out: ReadableStreamDefaultReader<string>;
  readonly #err: ReadableStreamDefaultReader<string>;

  constructor(dir: string, args: readonly string[]) {
    this.#child = new Deno.Command(`${dir}/tools/lock.sh`, {
      args: [...args],
      // Whoever runs the tests may hold such a lock.
      env: { PSP_MACHINE_LOCK: "" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#out = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#err = this.#child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  }

  async out(): Promise<string> {
    return (await this.#out.read()).value ?? "";
  }

  async err(): Promise<string> {
    return (await this.#err.read()).value ?? "";
  }

  /** Ends a command that reads its standard input, and says with which code. */
  async end(): Promise<number> {
    await this.#child.stdin.close();
    const { code } = await this.#child.status;
    await Promise.all([this.#out.cancel(), this.#err.cancel()]);
    return code;
  }
}

Deno.test("what is heavy runs side by side", async () => {
  await using tree = new Tree();
  const [one, other] = [tree.start("shared", "echo in; cat"), tree.start("shared", "echo in; cat")];
  assert.deepEqual([await one.out(), await other.out()], ["in\n", "in\n"]);
  assert.deepEqual([await one.end(), await other.end()], [0, 0]);
});

for (
  const [first, second] of [
    ["shared", "exclusive"],
    ["exclusive", "shared"],
    ["exclusive", "exclusive"],
  ] as const
) {
  Deno.test(`${second} waits for ${first}, and says so`, async () => {
    await using tree = new Tree();
    const holds = tree.start(first, `echo in; cat; echo ${first} 1 >>${tree.order}`);
    assert.equal(await holds.out(), "in\n");
    const waits = tree.start(second, `echo ${second} 2 >>${tree.order}; echo in; cat`);
    assert.match(await waits.err(), /^Waiting for /);
    assert.equal(await holds.end(), 0);
    assert.equal(await waits.out(), "in\n");
    assert.equal(await waits.end(), 0);
    assert.equal(Deno.readTextFileSync(tree.order), `${first} 1\n${second} 2\n`);
  });
}

Deno.test("whatever runs under the lock may take it again", async () => {
  await using tree = new Tree();
  for (
    const [outer, inner] of [
      ["shared", "shared"],
      ["exclusive", "shared"],
      ["exclusive", "exclusive"],
    ] as const
  ) {
    const both = tree.start(outer, `${tree.dir}/tools/lock.sh ${inner} echo in`);
    assert.equal(await both.out(), "in\n");
    assert.equal(await both.end(), 0);
  }
});

Deno.test("a bench within what shares the machine is refused", async () => {
  await using tree = new Tree();
  const both = tree.start("shared", `${tree.dir}/tools/lock.sh exclusive echo in`);
  assert.match(await both.err(), /^Cannot bench: /);
  assert.equal(await both.end(), 2);
});
