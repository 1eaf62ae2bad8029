// SPDX-License-Identifier: Apache-2.0

/**
 * Network namespaces that vanish with the process that made them: a shell waits for the end of its
 * standard input, which comes when we close it or die in whatever way, and then removes everything.
 */
import { messageOf, PATIENCE_MS, within } from "./wait.ts";

/** What a command came to. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and how a command runs. */
export interface RunOptions {
  readonly ns?: string;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The command is killed after it; `PATIENCE_MS` by default. */
  readonly deadlineMs?: number;
}

/** Names and the temporary directory of one world. */
export interface Estate {
  /** "psp<pid>x<six hex digits>": what every name of ours starts with. */
  readonly prefix: string;
  readonly namespaces: readonly string[];
  readonly dir: string;
}

/** Throws one sentence unless namespaces can be made here. */
export function requireRoot(): void {
  if (Deno.uid() !== 0) {
    throw new Error(
      "Cannot make network namespaces: this needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)",
    );
  }
}

/** Runs a command to its end, in a namespace or not. Never throws for its exit code. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const child = spawn(argv, options);
  const deadlineMs = options.deadlineMs ?? PATIENCE_MS;
  const writer = child.stdin.getWriter();
  const feed = writer.write(new TextEncoder().encode(options.stdin ?? ""))
    .then(() => writer.close()).catch(() => {}); // the command need not read
  try {
    const output = await within(child.output(), `the end of: ${argv.join(" ")}`, deadlineMs);
    await feed;
    const decoder = new TextDecoder();
    return {
      code: output.code,
      stdout: decoder.decode(output.stdout),
      stderr: decoder.decode(output.stderr),
    };
  } catch (error) {
    kill(child.pid, "SIGKILL");
    await child.status;
    throw error;
  }
}

/** `run`, and an error with what the command said unless it ends with 0. */
export async function mustRun(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const output = await run(argv, options);
  if (output.code !== 0) {
    const said = (output.stderr || output.stdout).trim();
    throw new Error(`Cannot run "${argv.join(" ")}": exit code ${output.code}: ${said}`);
  }
  return output.stdout;
}

/** Starts a command with all three streams piped. `ip netns exec` keeps the process id. */
export function spawn(argv: readonly string[], options: RunOptions = {}): Deno.ChildProcess {
  const whole = options.ns === undefined ? argv : ["ip", "netns", "exec", options.ns, ...argv];
  const [program, ...args] = whole;
  if (program === undefined) throw new Error("Cannot run an empty command");
  return new Deno.Command(program, {
    args,
    env: { ...options.env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/**
 * Starts another file of this folder in a namespace: with every permission, and without a look at
 * the network.
 */
export function spawnHelper(
  file: string,
  { ns, args = [] }: { readonly ns: string; readonly args?: readonly string[] },
): Deno.ChildProcess {
  const quiet = ["--quiet", "--no-config", "--no-lock", "--no-remote"];
  return spawn([Deno.execPath(), "run", "-A", ...quiet, file, ...args], {
    ns,
    env: { DENO_NO_UPDATE_CHECK: "1" },
  });
}

/** Commands of ip(8), one a line, in a namespace or not. */
export async function ip(lines: readonly string[], ns?: string): Promise<void> {
  const where = ns === undefined ? [] : ["-n", ns];
  const output = await run(["ip", ...where, "-batch", "-"], { stdin: lines.join("\n") + "\n" });
  if (output.code === 0) return;
  throw new Error(`Cannot set up the network${ns ? ` in ${ns}` : ""}: ${output.stderr.trim()}`);
}

/** Kills by process id; a process that is gone already is fine. */
export function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (
      !(error instanceof Deno.errors.NotFound) && !/No such process|ESRCH/.test(messageOf(error))
    ) {
      throw error;
    }
  }
}

/** Process ids of everything that runs in a namespace. */
export async function pidsIn(ns: string): Promise<number[]> {
  const text = await mustRun(["ip", "netns", "pids", ns]);
  return text.split("\n").filter((line) => line !== "").map(Number);
}

/** Makes the namespaces (loopback up, IPv6 off) and the directory; disposal removes all of it. */
export async function makeEstate(estate: Estate): Promise<AsyncDisposable> {
  requireRoot();
  await removeStale();
  const reaper = startReaper(estate);
  try {
    await Deno.mkdir(estate.dir, { mode: 0o700 });
    await ip(estate.namespaces.map((ns) => `netns add ${ns}`));
    await Promise.all(estate.namespaces.map(async (ns) => {
      const off = ["all", "default"].map((which) =>
        `echo 1 > /proc/sys/net/ipv6/conf/${which}/disable_ipv6;` +
        `echo 0 > /proc/sys/net/ipv6/conf/${which}/accept_dad;` +
        `echo 0 > /proc/sys/net/ipv6/conf/${which}/accept_ra;` +
        `echo 0 > /proc/sys/net/ipv6/conf/${which}/router_solicitations`
      );
      // A new namespace inherits IPv4 forwarding, with which no agent would start.
      const still = "echo 0 > /proc/sys/net/ipv4/ip_forward";
      await mustRun(["sh", "-c", `${off.join(";")}; ${still}; ip link set lo up`], { ns });
    }));
    return reaper;
  } catch (error) {
    await reaper[Symbol.asyncDispose]();
    throw error;
  }
}

/** A directory name for a world: below TMPDIR, never of this source tree. */
export function estateDir(prefix: string): string {
  return `${Deno.env.get("TMPDIR") ?? "/tmp"}/${prefix}`;
}

function startReaper(estate: Estate): AsyncDisposable {
  const child = new Deno.Command("sh", {
    args: ["-c", REAPER, "reaper", estate.dir, ...estate.namespaces],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    [Symbol.asyncDispose]: async () => {
      if (!child.stdin.locked) await child.stdin.close();
      await child.status;
    },
  };
}

/** Ctrl-C reaches the whole process group: the reaper must outlive it. */
const REAPER = `
trap '' INT TERM HUP PIPE
cat >/dev/null
dir=$1; shift
for ns in "$@"; do
  for pid in $(ip netns pids "$ns"); do kill -9 "$pid"; done
  ip netns del "$ns"
done
rm -rf "$dir"
exit 0
`;

/** What a run left behind whose reaper died with it (a machine that ran out of memory, say). */
async function removeStale(): Promise<void> {
  await mustRun(["sh", "-c", STALE, "stale", estateDir("")]);
}

/**
 * In a shell, because Deno keeps /proc to itself unless it has every permission. Another run may do
 * the same now.
 */
const STALE = `
gone() {
  pid=\${1#psp} pid=\${pid%%x*}
  case $pid in ''|*[!0-9]*) return 1;; esac
  [ ! -d "/proc/$pid" ]
}
for ns in $(ip netns list | cut -d ' ' -f 1); do
  case $ns in psp[0-9]*x*-*) gone "$ns" || continue;; *) continue;; esac
  for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
  ip netns del "$ns" 2>/dev/null
done
for dir in "$1"psp[0-9]*x*; do
  if [ -d "$dir" ] && gone "\${dir##*/}"; then rm -rf "$dir"; fi
done
exit 0
`;
