// SPDX-License-Identifier: Apache-2.0

/** A Dockerfile's stages, and their commands run in roots made by debootstrap: as near as one gets without an engine. */
import assert from "node:assert/strict";
import { join } from "node:path";

const ROOT = new URL("../../", import.meta.url).pathname;

export interface Instruction {
  readonly word: string;
  readonly rest: string;
}

export interface Stage {
  readonly name: string;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile, its arguments filled in. Throws for what it does not know. */
export function parseDockerfile(text: string, args: Readonly<Record<string, string>>): Stage[] {
  const values: Record<string, string> = {};
  const stages: { name: string; base: string; instructions: Instruction[] }[] = [];
  const lines = text.split("\n").filter((line) => !line.startsWith("#")).join("\n")
    .replaceAll(/\\\n\s*/g, " ").split("\n").filter((line) => line.trim() !== "");
  for (const line of lines) {
    const [, word = "", rest = ""] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (word === "ARG") {
      const [name = "", value = ""] = rest.split("=");
      values[name] = args[name] ?? value;
    } else if (word === "FROM") {
      const filled = rest.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
      const [, base = "", name = ""] = /^(\S+) AS (\S+)$/.exec(filled) ?? [];
      stages.push({ name, base, instructions: [] });
    } else {
      const known = ["RUN", "COPY", "WORKDIR", "USER", "ENV", "VOLUME"];
      assert.ok([...known, "HEALTHCHECK", "ENTRYPOINT", "CMD"].includes(word), line);
      stages.at(-1)?.instructions.push({ word, rest });
    }
  }
  return stages;
}

/** Stage by stage, roots under `dir`. Returns where the last one is. */
export async function buildStages(stages: readonly Stage[], dir: string): Promise<string> {
  const roots = new Map<string, string>();
  let last = "";
  for (const { name, base, instructions } of stages) {
    const below = roots.get(base);
    if (instructions.length === 0) {
      // A name for an image; one that nobody could pull is used by nobody here.
      if (base.startsWith("debian:")) roots.set(name, await debian(dir));
      continue;
    }
    last = join(dir, name);
    roots.set(name, last);
    await must("rm", ["-rf", last]);
    await must("cp", ["-a", below ?? await debian(dir), last]);
    await run(instructions, { root: last, roots });
  }
  return last;
}

async function run(
  instructions: readonly Instruction[],
  { root, roots }: { readonly root: string; readonly roots: ReadonlyMap<string, string> },
): Promise<void> {
  let workdir = "/";
  for (const { word, rest } of instructions) {
    if (word === "WORKDIR") {
      workdir = rest;
      await Deno.mkdir(root + workdir, { recursive: true });
    } else if (word === "COPY") {
      const [, from, source = "", target = ""] = /^(?:--from=(\S+) )?(\S+) (\S+)$/.exec(rest) ?? [];
      const to = target.startsWith("/") ? root + target : join(root + workdir, target);
      if (from !== undefined) await copy(`${roots.get(from)}${source}`, to);
      else if (source === ".") await copyContext(to);
      else await copy(`${ROOT}${source}`, to);
    } else if (word === "RUN") {
      await inRoot(root, ["/bin/sh", "-c", `cd ${workdir} && ${rest}`]);
    }
  }
}

/** Runs a command in a root, with the network and the certificates of this machine. */
export async function inRoot(
  root: string,
  argv: readonly string[],
  options: { readonly user?: string; readonly env?: readonly string[] } = {},
): Promise<string> {
  const user = options.user === undefined ? [] : [`--userspec=${options.user}`];
  const script =
    `mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount --rbind /sys "$0/sys"; ` +
    'root=$0; exec "$@"';
  return await must("unshare", [
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-ec",
    script,
    root,
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND=noninteractive",
    "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
    ...options.env ?? [],
    "chroot",
    ...user,
    root,
    ...argv,
  ]);
}

async function copy(source: string, target: string): Promise<void> {
  const { isDirectory } = await Deno.stat(source);
  await Deno.mkdir(isDirectory ? target : join(target, ".."), { recursive: true });
  await must("cp", ["-aL", isDirectory ? `${source}/.` : source, target]);
}

/** The build context, without what .dockerignore names. */
async function copyContext(target: string): Promise<void> {
  const ignored = (await Deno.readTextFile(`${ROOT}.dockerignore`)).split("\n")
    .filter((line) => line !== "" && !line.includes("*"));
  const exclude = ignored.map((name) => `--exclude=./${name}`).join(" ");
  await must("sh", ["-ec", `tar -C "$0" ${exclude} -cf - . | tar -C "$1" -xf -`, ROOT, target]);
}

/** A minimal Debian with this machine's way to its packages, made once. */
async function debian(dir: string): Promise<string> {
  const root = join(dir, "debian");
  const stamp = join(root, ".done");
  try {
    await Deno.stat(stamp);
    return root;
  } catch {
    await must("rm", ["-rf", root]);
  }
  await Deno.mkdir(dir, { recursive: true });
  await must("debootstrap", ["--variant=minbase", "--include=ca-certificates", "bookworm", root]);
  const keep = ["/etc/apt/apt.conf.d", "/etc/apt/sources.list", "/etc/apt/sources.list.d"];
  keep.push("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/usr/local/share/ca-certificates");
  keep.push(`${Deno.env.get("HOME") ?? ""}/.npmrc`, "/usr/etc/npmrc");
  for (const path of keep) {
    const script =
      '[ ! -e "$0" ] || { mkdir -p "$(dirname "$1")"; rm -rf "$1"; cp -aL "$0" "$1"; }';
    await must("sh", ["-ec", script, path, root + path]);
  }
  await Deno.writeTextFile(stamp, "");
  return root;
}

async function must(program: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = new TextDecoder().decode(stdout);
  const tail = (text + new TextDecoder().decode(stderr)).trim().split("\n").slice(-15).join("\n");
  if (!success) throw new Error(`Cannot run ${program} ${args.slice(-3).join(" ")}:\n${tail}`);
  return text;
}
