// SPDX-License-Identifier: Apache-2.0

/**
 * What docs/operations.md shows of a command's output is what the command prints: two hosts are brought to where the
 * document has them, each command is given as it stands there, and both outputs are compared in shape, which is all
 * but numbers, times, SPIs and the widths of columns.
 */
import assert from "node:assert/strict";
import { AGENT_BIN, socketOf } from "../support/agent_process.ts";
import { run } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const DOCUMENT = new URL("../../docs/operations.md", import.meta.url).pathname;

/** One command of the document, and what it is said to print. */
interface Shown {
  readonly command: string;
  readonly output: readonly string[];
}

/** What is shown of it are some lines of more, in their order. */
const EXCERPTS = ["psp-agent doctor", "psp-agent events"] as const;

story("operations.md shows what its commands print", {}, async (stage) => {
  // The document speaks of the plane in software.
  if (PLANE !== "soft") return;
  const { world, startBoth } = stage;
  const { h2 } = await startBoth({ change: (config) => config.status.admin = true });
  const shown = outputsOf(await Deno.readTextFile(DOCUMENT));
  const failures: string[] = [];
  const played = new Set<string>();
  const play = async (which: (command: string) => boolean) => {
    for (const one of shown.filter(({ command }) => which(command))) {
      failures.push(...await differs(stage, one));
      played.add(one.command);
    }
  };

  const well = /^psp-agent (status|explain|ping|tunnels|sas|rotate --plan)\b/;
  assert.equal((await ping(world, { in: "v1", to: world.vip("h2") }, { count: 3 })).received, 3);
  await play((command) => well.test(command));
  await prepareFiles(stage);
  // What tests are configured with is louder. Of the core's steps none is to be missed.
  await printed(stage, "psp-agent log-level info");
  await play((command) => command.startsWith("psp-agent log-level debug --category core"));
  await play((command) => /^psp-agent (config diff|rekey|close)\b/.test(command));

  // "While h2's agent is down".
  await h2.end("SIGKILL");
  await ping(world, { in: "v1", to: world.vip("h2") }, { count: 10, wait: 1 });
  await eventually(async () => /failing/.test(await printed(stage, "psp-agent peers")), {
    what: "h2 to be missed",
  });
  await play((command) => /^psp-agent (drops|events|doctor)\b/.test(command));
  const [warning = ""] = (await printed(stage, "psp-agent status")).split("\n");
  const told = /^! peer-failing: .*$/m.exec(await Deno.readTextFile(DOCUMENT))?.[0] ?? "none";
  if (!fits(told, warning)) failures.push(`status, while h2 is down:\n- ${told}\n+ ${warning}`);

  assert.deepEqual(shown.filter(({ command }) => !played.has(command)), [], "nobody plays these");
  assert.equal(failures.join("\n"), "");
});

Deno.test("the comparison sees another word, another column and another line", () => {
  const line = "h2    10.1.0.1   up     0x33dc7413   3  2s  in 56m5s  -";
  assert.ok(fits(line, "h2 10.1.0.1  up 0x0000000a 12345 1h2m in 7s  -"));
  for (const other of ["h2 10.1.0.1 down 0x33dc7413 3 2s in 56m5s -", `${line} more`]) {
    assert.ok(!fits(line, other), other);
  }
  assert.ok(!fits("10.1.0.1", "10.1.0.2"), "addresses are no numbers");
  assert.ok(fits("Cannot reach peer ...", "Cannot reach peer h2: no route"));
  assert.ok(isWithin(["a", "c"], ["a", "b", "c"]));
  assert.ok(!isWithin(["c", "a"], ["a", "b", "c"]));
});

/** The commands of every block that begins with one. */
function outputsOf(markdown: string): Shown[] {
  const blocks = [...markdown.matchAll(/^```\n(\$ [^]*?)^```$/gm)].map(([, text = ""]) => text);
  return blocks.flatMap((block) =>
    block.split(/^\$ /m).filter((part) => part !== "").map((part) => {
      const [command = "", ...output] = part.trimEnd().split("\n");
      return { command, output };
    })
  );
}

/** What a command prints otherwise than is shown: nothing, or both. */
async function differs(stage: Stage, { command, output }: Shown): Promise<string[]> {
  const real = (await printed(stage, command)).trimEnd().split("\n");
  const isSame = EXCERPTS.some((name) => command.startsWith(name))
    ? isWithin(output, real)
    : output.length === real.length && output.every((line, i) => fits(line, real[i] ?? ""));
  if (isSame) return [];
  return [command, ...output.map((line) => `- ${line}`), ...real.map((line) => `+ ${line}`)];
}

/** As a shell on h1 would, with the files where the document has them. */
async function printed({ world }: Stage, command: string): Promise<string> {
  const args = command.split(" ").slice(1)
    .map((word) => word === "/etc/psp-agent/peers.json" ? world.path("peers-h1.json") : word)
    .map((word) => word === "new.json" ? world.path("new.json") : word);
  if (command.includes("config diff")) args[args.indexOf("--config") + 1] = world.path("old.json");
  const env = { PSP_AGENT_SOCKET: socketOf(world, "h1") };
  const { stdout, stderr } = await run([AGENT_BIN, ...args], { ns: world.ns("h1"), env });
  return stdout + stderr;
}

/** Two configurations that differ as the document says. */
async function prepareFiles({ world }: Stage): Promise<void> {
  const text = await Deno.readTextFile(world.path("peers-h1.json"));
  for (const [name, vc, life] of [["old", 7, "1h"], ["new", 9, "30m"]] as const) {
    const config = JSON.parse(text);
    config.tunnel.life = life;
    config.plane.host = ["host", "host2"];
    config.networks = [{ name: "blue", vc, ports: ["host2"] }];
    await Deno.writeTextFile(world.path(`${name}.json`), JSON.stringify(config));
  }
}

/** Whether lines are shaped like some of many, in their order. */
function isWithin(shown: readonly string[], real: readonly string[]): boolean {
  let at = 0;
  return shown.every((line) => {
    while (at < real.length && !fits(line, real[at] ?? "")) at++;
    return at++ < real.length;
  });
}

/** Whether both lines have one shape. "..." stands for anything. */
function fits(shown: string, real: string): boolean {
  const [start = "", ...rest] = shapeOf(shown).split("...");
  const text = shapeOf(real);
  if (rest.length === 0) return text === start;
  return text.startsWith(start) && rest.every((part) => text.includes(part));
}

function shapeOf(line: string): string {
  const addresses: string[] = [];
  return line
    .replaceAll(/\d+(?:\.\d+){3}(?:\/\d+)?(?::\d+)?/g, (address) => `@${addresses.push(address)}@`)
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replaceAll(/\b0x[0-9a-f]{8}\b/g, "SPI")
    .replaceAll(/\b(?:\d+(?:d|h|ms|m|s))+\b/g, "SPAN")
    .replaceAll(/\b\d+(?:\.\d+)? (?:ms|s)\b/g, "SPAN")
    .replaceAll(/(?<![@\d.])\b\d+(?:\.\d+)*\b(?!@)/g, "N")
    .replaceAll(/\((?:vaes|ipsec-mb|openssl)\)/g, "(BACKEND)")
    .replaceAll(/@(\d+)@/g, (_, i) => addresses[Number(i) - 1] ?? "")
    .replaceAll(/ +/g, " ").trim();
}

Deno.test("a command works in a directory that was removed", async () => {
  const dir = await Deno.makeTempDir();
  const script = `cd "$1" && rmdir "$1" && exec "$2" version`;
  const { code, stdout, stderr } = await run(["sh", "-c", script, "sh", dir, AGENT_BIN]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^psp-agent /);
});
