// SPDX-License-Identifier: Apache-2.0

/** A network namespace besides those of a world, which a process of ours holds open. */
import assert from "node:assert/strict";

const SETNS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

const CLONE_NEWNET = 0x40000000;

/** A network namespace that a process of ours holds open; it goes with it. */
export class FarNamespace implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async make(): Promise<FarNamespace> {
    const child = new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", "echo; exec cat"],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    // The line says that it is there.
    const reader = child.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    return new FarNamespace(child);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What a command line begins with that is to run over there. */
  get enter(): readonly [string, ...string[]] {
    return ["nsenter", "-t", `${this.pid}`, "-n"];
  }

  /** `ip` with arguments separated by single spaces, over there. */
  async ip(args: string): Promise<void> {
    await this.run(["ip", ...args.split(" ")]);
  }

  /** A command over there. */
  async run(argv: readonly string[]): Promise<void> {
    await command([...this.enter, ...argv]);
  }

  /** Calls `open` with this thread in the namespace: sockets that it makes belong there. */
  within<T>(open: () => T): T {
    using libc = Object.assign(Deno.dlopen("libc.so.6", SETNS), {
      [Symbol.dispose]: () => {},
    });
    const handle = (pid: string) =>
      libc.symbols.open(new TextEncoder().encode(`/proc/${pid}/ns/net\0`), 0);
    const home = handle("thread-self");
    const there = handle(`${this.pid}`);
    assert.ok(home >= 0 && there >= 0, "Cannot open the network namespaces");
    assert.equal(libc.symbols.setns(there, CLONE_NEWNET), 0, "Cannot enter the namespace");
    try {
      return open();
    } finally {
      assert.equal(libc.symbols.setns(home, CLONE_NEWNET), 0, "Cannot come back");
      libc.symbols.close(there);
      libc.symbols.close(home);
      libc.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.stdout.cancel();
    await this.#child.status;
  }
}

/** Runs it to its end; fails with what it said. */
export async function command(argv: readonly [string, ...string[]]): Promise<void> {
  const [program, ...args] = argv;
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${argv.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
