// SPDX-License-Identifier: Apache-2.0

/** One run of the binary in a root of its own; see the script beside this file. */

export interface AloneOptions {
  /** HOME in there; default "/home", which is empty. */
  readonly home?: string;
  /** Shell commands before the start; $root is the root. */
  readonly setup?: string;
  /** Its whole environment, besides HOME. No spaces in values. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another file than build/bin/psp-agent. */
  readonly binary?: string;
}

export interface AloneOutput {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The sources' root, with a slash at its end. */
export const ROOT: string = new URL("../../", import.meta.url).pathname;

/** Runs it to its end. Absolute paths among the arguments are there, with their directories. */
export async function runAlone(
  args: readonly string[],
  options: AloneOptions = {},
): Promise<AloneOutput> {
  const { home = "/home", setup = "", env = {}, binary } = options;
  const { code, stdout, stderr } = await new Deno.Command(`${ROOT}tests/binary/alone`, {
    args: [...args],
    cwd: "/",
    env: {
      PSP_ALONE_HOME: home,
      PSP_ALONE_SETUP: setup,
      PSP_ALONE_ENV: Object.entries(env).map(([name, value]) => `${name}=${value}`).join(" "),
      ...(binary === undefined ? {} : { PSP_ALONE_BINARY: binary }),
    },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** "self-extracting" or "deno compile": what make binary could build here. */
export function formOf(arch: string = Deno.build.arch): string {
  return Deno.readTextFileSync(`${ROOT}build/bin/psp-agent-${arch}.form`).trim();
}

/** A directory for the length of one test. */
export async function inTemporary(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "psp-binary-" });
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
