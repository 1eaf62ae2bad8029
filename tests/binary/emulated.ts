// SPDX-License-Identifier: Apache-2.0

/** An aarch64 program on this machine: under qemu-user, or as it is where the machine is one. */
import type { AloneOutput } from "./run_alone.ts";

const QEMU = "/usr/bin/qemu-aarch64-static";

/** Runs it to its end with an environment of its own; `cache` is where it may unpack. */
export async function emulated(
  binary: string,
  args: readonly string[],
  cache: string,
): Promise<AloneOutput> {
  const native = Deno.build.arch === "aarch64";
  const { code, stdout, stderr } = await new Deno.Command(native ? binary : QEMU, {
    args: native ? [...args] : [binary, ...args],
    clearEnv: true,
    env: {
      PSP_AGENT_CACHE: cache,
      ...(native ? {} : { PSP_AGENT_EMULATOR: QEMU, QEMU_LD_PREFIX: "/usr/aarch64-linux-gnu" }),
    },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}
