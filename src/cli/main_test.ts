// SPDX-License-Identifier: Apache-2.0

/**
 * The program as a user meets it: bin/psp-agent in a process of its own where the process matters, and else the same command
 * line in this one.
 */
import assert from "node:assert/strict";
import { runAgent } from "../agent/agent.ts";
import { openLogs } from "../agent/logging.ts";
import { toFile } from "../config/config.ts";
import { loadConfig, requireFiles } from "../config/load.ts";
import { SMALLEST } from "../../tests/support/config_text.ts";
import { pkiInit, pkiIssue } from "../pki/pki.ts";
import { COMMANDS } from "./commands.ts";
import { sentence } from "./io.ts";
import { main } from "./main.ts";
import { shimPath } from "./shim.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** What a command came to: its exit code, and what it printed. */
interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Where the program's permissions, environment or signals matter. */
async function agent(args: readonly string[], env: Record<string, string> = {}): Promise<Said> {
  const output = await new Deno.Command(`${ROOT}bin/psp-agent`, {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, out: decode(output.stdout), err: decode(output.stderr) };
}

/** One after the other: what is printed meanwhile is taken for the command's. */
async function inside(args: readonly string[]): Promise<Said> {
  using out = printed(Deno.stdout);
  using err = printed(Deno.stderr);
  const code = await main(args);
  return { code, out: out.text(), err: err.text() };
}

/** Keeps what is written to a stream, until it is disposed of. */
function printed(stream: object): Disposable & { text(): string } {
  let text = "";
  const writeSync = (bytes: Uint8Array) => {
    text += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  Object.defineProperty(stream, "writeSync", { configurable: true, value: writeSync });
  return {
    text: () => text,
    // The stream's own is its prototype's.
    [Symbol.dispose]: () => void Reflect.deleteProperty(stream, "writeSync"),
  };
}

/** Why an agent does not start with this file; "": it does. */
async function refused(path: string): Promise<string> {
  const logs = openLogs({ level: "error", format: "text", write: () => {} });
  try {
    const loaded = await loadConfig(path, { files: "told" });
    requireFiles(path, loaded);
    const { plane } = loaded.config;
    const config = { ...loaded.config, plane: { ...plane, library: shimPath(plane) } };
    await runAgent(config, {
      logs,
      signal: new AbortController().signal,
      onHangup: () => {},
      reload: () => Promise.resolve(config),
      logAs: () => {},
    });
    return "";
  } catch (error) {
    return sentence(error);
  }
}

async function withFile(text: string, use: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, text);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("version says who it is", async () => {
  const { code, out, err } = await agent(["version"]);
  assert.match(out, /^psp-agent \d+\.\d+\.\d+ \(Deno \d+\.\d+\.\d+, linux \w+\)\n$/);
  assert.deepEqual([code, err], [0, ""]);
  const { out: json } = await agent(["version", "--json"]);
  assert.equal(typeof JSON.parse(json).version, "string");
});

Deno.test("every command has help with examples that name it", async () => {
  const names = COMMANDS.flatMap((entry) => [
    [entry.name],
    ..."commands" in entry ? entry.commands.map(({ name }) => [entry.name, name]) : [],
  ]);
  for (const words of names) {
    const { code, out, err } = await inside([...words, "--help"]);
    const [usage, examples] = out.split("Examples:");
    assert.match(usage ?? "", new RegExp(`Usage: psp-agent ${words.join(" ")}`));
    assert.match(examples ?? "", new RegExp(`psp-agent ${words.join(" ")}`));
    assert.deepEqual([code, err], [0, ""], words.join(" "));
  }
});

Deno.test("help lists every command", async () => {
  const { out } = await inside(["--help"]);
  for (const { name, brief } of COMMANDS) {
    // A long one goes on in the next line.
    assert.match(out, new RegExp(`^  ${name} +${brief.replaceAll(" ", "\\s+")}$`, "m"));
  }
});

Deno.test("a usage error is one sentence and exit code 2", async () => {
  const table: [string[], RegExp][] = [
    [[], /Nothing to do: name a configuration or a command/],
    [["statsu"], /Unknown command "statsu": did you mean "status"\?/],
    [["zzz"], /Unknown command "zzz" \(see psp-agent --help\)/],
    [["peers.json"], /Unknown command "peers\.json": did you mean --config peers\.json\?/],
    [["check", "peers.json"], /Unexpected "peers\.json": did you mean --config peers\.json\?/],
    [["version", "x"], /subcommand: `x` \(see psp-agent version --help\)/],
    [["status", "-a", "h1"], /"h1" is not "host:port": write it like/],
    [["status", "-a", "h1:0"], /"h1:0" has no usable port/],
    [["tunnels", "--peer", ""], /ID must not be empty/],
    [["pki"], /Command "pki" needs one of: init, issue/],
    [["pki", "inti"], /Unknown command "inti": did you mean "init"\?/],
    [["check"], /Missing option `-c`\/`--config`/],
    [["--config"], /`--config` requires `FILE`/],
    [
      ["check", "--confg", "x"],
      /`--confg`: did you mean "--config"\? \(see psp-agent check --help\)/,
    ],
    [["--confg", "x"], /`--confg`: did you mean "--config"\?/],
    [["status", "--jsn"], /Unexpected option or subcommand: `--jsn`: did you mean "--json"\?/],
    [["explain", "a", "b", "--lenght", "9"], /`--lenght`: did you mean "--length"\?/],
    [["pki", "issue", "--dri", "x"], /`--dri`: did you mean "--dir"\?/],
    [["version", "--qqq"], /subcommand: `--qqq` \(see psp-agent version --help\)/],
    [["-o", "json", "status"], /Options of a command stand behind it: psp-agent status -o \.\.\./],
    [["peers", "--state", "upp"], /but got "upp": did you mean "up"\?/],
    [["events", "--kind", "tunel-opened"], /did you mean "tunnel-opened"\?/],
    [["status", "-o", "yaml"], /but got "yaml" \(see psp-agent status --help\)/],
    [["log-level", "debg"], /did you mean "debug"\?/],
    [
      ["pipes", "--topology", "n2n"],
      /"h2n", "n2h", and "all", but got "n2n": did you mean "/,
    ],
    [["show"], /psp-agent: TEXT is missing/],
    [["explain", "10.1.0.1"], /psp-agent: ADDRESS is missing/],
    [["help", "stauts"], /Unknown command "stauts": did you mean "status"\?/],
    [["help", "pki", "inti"], /Unknown command "inti": did you mean "init"\?/],
    [["ping", "10.2.0.1", "--timeout", "11"], /--timeout: at most 10s/],
    [["wait", "--timeout", "soon"], /"soon" is not a duration/],
    [["drops", "--vip", "x"], /"x" is not an address/],
    [
      ["pcap", "seal", "--keys", "k", "--spi", "xyz", "a", "b"],
      /8 hexadecimal digits, but got "xyz"/,
    ],
    [["pcap", "seal", "--keys", "k", "--spi", "1", "a", "b"], /--src and --dst/],
    [["samples", "--count", "0"], /greater than or equal to 1/],
  ];
  for (const [i, [args, expected]] of table.entries()) {
    const { code, out, err } = await (i === 0 ? agent : inside)(args);
    assert.match(err, expected);
    assert.match(err, /^psp-agent: [^\n]+\n$/, args.join(" "));
    assert.deepEqual([code, out], [2, ""], args.join(" "));
  }
});

Deno.test("check prints the effective configuration, loadable again, and warnings apart", async () => {
  const { code, out, err } = await agent(["check", "--config", "examples/peers.json"]);
  assert.equal(code, 0);
  assert.equal(err.trim().split("\n").filter((line) => line.startsWith("warning: ")).length, 3);
  const { config } = await loadConfig(`${ROOT}examples/peers.json`, { files: "told" });
  assert.deepEqual(JSON.parse(out), JSON.parse(JSON.stringify(toFile(config))));
  await withFile(out, async (path) => {
    assert.equal((await inside(["check", "--config", path])).out, out);
  });
});

Deno.test("check looks at certificates with the agent's eyes", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await pkiInit({ dir });
    for (const id of ["h1", "h2"]) await pkiIssue({ dir, id, domain: "psp-agent.local" });
    const path = `${dir}/peers.json`;
    const checked = async (tls: Record<string, string>) => {
      const config = { ...SMALLEST, rpc: { ...SMALLEST.rpc, tls } };
      await Deno.writeTextFile(path, JSON.stringify(config));
      const { code, err } = await inside(["check", "-c", path]);
      return [code, err.replaceAll(`${dir}/`, "").replace(/:1:\d+:/, ":1:C:")];
    };
    const good = { cert: "h1/h1.crt", key: "h1/h1.key", ca: "h1/ca.crt" };
    assert.deepEqual(await checked(good), [0, ""]);
    assert.deepEqual(await checked({ ...good, key: "h2/h2.key" }), [
      3,
      'psp-agent: Cannot use configuration peers.json:1:C: rpc.tls: key "h2/h2.key" does not ' +
      'match certificate "h1/h1.crt"\n',
    ]);
    assert.deepEqual(await checked({ ...good, key: "h3.key" }), [
      0,
      'warning: peers.json:1:C: rpc.tls.key: cannot read "h3.key": no such file; the agent does not ' +
      "start without it\n",
    ]);
    await Deno.chmod(`${dir}/h1/h1.key`, 0o644);
    const [code, err] = await checked(good);
    assert.equal(code, 0);
    assert.match(
      String(err),
      /^warning: peers\.json:1:C: rpc\.tls: key "h1\/h1\.key" may be read .*\n$/,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("check refuses what an agent refuses, at its place", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await pkiInit({ dir });
    await pkiIssue({ dir, id: "h1", domain: "psp-agent.local" });
    await pkiIssue({ dir, id: "h2", domain: "psp-agent.local" });
    await pkiIssue({ dir, id: "h3", domain: "other.example" });
    await Deno.writeTextFile(`${dir}/short`, "0123456789\n");
    await Deno.writeTextFile(`${dir}/garbage`, "no certificate\n");
    const tls = { cert: "h1/h1.crt", key: "h1/h1.key", ca: "h1/ca.crt" };
    const plane = { uplink: "nope0", host: "nope1" };
    const good = {
      ...SMALLEST,
      state_dir: "state",
      plane,
      rpc: { listen: "192.0.2.1:7443", tls },
      status: { socket: "agent.sock" },
    };
    const rpc = (changes: object) => ({ rpc: { ...good.rpc, tls: { ...tls, ...changes } } });
    const status = (changes: object) => ({ status: { ...good.status, ...changes } });
    /** What is wrong, the key whose place is told, and what both say of it. */
    const table: [object, string, RegExp][] = [
      [{ state_dir: "garbage/state" }, "state_dir", /a part of its path is not a directory/],
      [{ state_dir: "x".repeat(256) }, "state_dir", /the name is too long/],
      [{ state_dir: "/proc/psp" }, "state_dir", /the agent never writes there/],
      [{ plane: { ...plane, library: "none.so" } }, "plane.library", /none\.so": no such file/],
      [{ plane: { ...plane, uplink: "nope*" } }, "plane.uplink", /"nope\*" is a pattern/],
      [{ plane: { ...plane, host: "nope0" } }, "plane.host", /is the uplink too/],
      [{ rpc: { listen: "192.0.2.1:7443" } }, "rpc.tls", /is missing/],
      [{ rpc: { ...good.rpc, require_pq: true } }, "rpc.require_pq", /negotiates X25519 with/],
      [rpc({ key: "h2/h2.key" }), "rpc.tls", /does not match certificate/],
      [rpc({ cert: "h2/h2.crt", key: "h2/h2.key" }), "rpc.tls", /h2/],
      [rpc({ cert: "garbage" }), "rpc.tls", /garbage/],
      [rpc({ ca: "garbage" }), "rpc.tls", /garbage/],
      [
        rpc({ cert: "h3/h3.crt", key: "h3/h3.key" }),
        "rpc.tls",
        /other\.example/,
      ],
      [status({ token_file: "short" }), "status.token_file", /at least 16 characters/],
      [status({ listen: "0.0.0.0:7480" }), "status.listen", /reachable from outside/],
      [status({ metrics_listen: "127.0.0.1:7480" }), "status.metrics_listen", /are one port/],
      [status({ socket: `/tmp/${"s".repeat(120)}` }), "status.socket", /at most 107/],
      [status({ tls: { ...tls, key: "h2/h2.key" } }), "status.tls", /does not match/],
    ];
    const path = `${dir}/peers.json`;
    const write = async (config: object) => {
      const text = JSON.stringify(config, null, 2);
      await Deno.writeTextFile(path, text);
      return text;
    };
    await write(good);
    const fine = await agent(["check", "--config", path]);
    assert.deepEqual([fine.code, fine.err], [0, ""]);
    for (const [change, key, sentence] of table) {
      const text = await write({ ...good, ...change });
      // What the program may not write is its own affair: there it is the program that is asked.
      const isProcess = JSON.stringify(change).includes("/proc");
      const { code, err } = await (isProcess ? agent : inside)(["check", "--config", path]);
      assert.equal(code, 3, `${key}: ${err}`);
      assert.match(err, sentence);
      const [, line, named] = /peers\.json:(\d+):\d+: ([\w.]+): /.exec(err) ?? [];
      assert.equal(named, key, err);
      // A key that is missing has the place of what it is missing in.
      const there = key.split(".").findLast((part) => text.includes(`"${part}":`)) ?? "";
      assert.match(text.split("\n")[Number(line) - 1] ?? "", new RegExp(`"${there}":`), err);
      // Nothing of this machine is opened: there are no such interfaces.
      const why = isProcess
        ? (await agent(["run", "--once", "--config", path])).err
        : await refused(path);
      const late = ["status.token_file", "status.socket", "status.tls"].includes(key);
      assert.match(why, late ? /nope0/ : sentence, `${key}: an agent says otherwise`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a configuration that cannot be used is exit code 3 with every problem", async () => {
  await withFile('{ "id": "h1", "pipp": "x" }', async (path) => {
    for (const args of [["run", "-c", path], ["check", "-c", path], ["--config", path]]) {
      const { code, out, err } = await (args[0] === "run" ? agent : inside)(args);
      assert.equal(code, 3, args.join(" "));
      assert.equal(out, "");
      const [first, ...problems] = err.trimEnd().split("\n");
      assert.equal(first, `psp-agent: Cannot use configuration "${path}": 4 problems`);
      assert.match(problems.join("\n"), /:1:15: pipp: is not a known key: did you mean "pip"\?/);
    }
  });
  await withFile('{ "id": "h1" ', async (path) => {
    const { err } = await inside(["check", "-c", path]);
    assert.equal(
      err,
      `psp-agent: Cannot use configuration ${path}:1:14: is not JSON: a "}" is missing\n`,
    );
  });
  const { code, err } = await inside(["--config", "/nonexistent"]);
  assert.equal(code, 3);
  assert.equal(err, 'psp-agent: Cannot read configuration "/nonexistent": no such file\n');
});

Deno.test("of very many problems and warnings 50 are printed, and how many more there are", async () => {
  const base = { id: "h1", pip: "192.0.2.1", vips: ["10.1.0.0/24"] };
  const text = (change: (i: number) => object) =>
    JSON.stringify({
      ...base,
      plane: { uplink: "a", host: "b" },
      rpc: { insecure: true },
      peers: Array.from({ length: 120 }, (_, i) => ({
        id: `p${i}`,
        svc_address: `192.0.2.9:${1000 + i}`,
        vips: [`10.2.0.${i}`],
        ...change(i),
      })),
    });
  await withFile(text(() => ({ svc_address: "nowhere" })), async (path) => {
    const { code, err } = await inside(["check", "-c", path]);
    const lines = err.trimEnd().split("\n");
    assert.deepEqual([code, lines.length, lines.at(-1)], [3, 52, "  ... and 70 more"]);
  });
  await withFile(text(() => ({ svc_address: "192.0.2.9:7443" })), async (path) => {
    const { code, err } = await inside(["check", "-c", path]);
    const lines = err.trimEnd().split("\n");
    assert.deepEqual([code, lines.length, lines.at(-1)], [0, 51, "  ... and 70 more"]);
  });
});

Deno.test("a stack appears only on demand", async () => {
  const { err } = await agent(["check", "-c", "/nonexistent"], { PSP_AGENT_DEBUG: "1" });
  assert.match(err, /\n +at /);
});

Deno.test("an agent that does not answer is one sentence and exit code 4", async () => {
  for (const command of ["status", "tunnels", "rotate", "samples"]) {
    const { code, err } = await inside([command, "--address", "127.0.0.1:9"]);
    assert.equal(code, 4, command);
    assert.equal(
      err,
      'psp-agent: Cannot ask the agent at "127.0.0.1:9": nobody answers there: is the agent running, ' +
        "and is that its status.listen?\n",
      command,
    );
  }
});

Deno.test("a Unix socket where no agent answers is one sentence, which says why", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/agent.sock`;
    const asked = async () => {
      const { code, err } = await inside(["status", "--address", path]);
      assert.match(err, /^psp-agent: Cannot ask the agent at "[^"]+": [^\n]+\n$/);
      return [code, /": (?:there |nobody )?(.*?)[:\n]/.exec(err)?.[1]];
    };
    assert.deepEqual(await asked(), [4, "is no such socket"]);
    await Deno.writeTextFile(path, "");
    assert.deepEqual(await asked(), [4, "answers there"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a diagnosis without an agent is made at once, and has what can be had", async () => {
  const { code, out, err } = await inside(["diag", "--address", "127.0.0.1:9"]);
  assert.deepEqual([code, err], [0, ""]);
  const { status, metrics, doctor } = JSON.parse(out);
  assert.match(status.missing, /nobody answers there/);
  assert.deepEqual(metrics, status);
  assert.ok(doctor.some(({ what }: { readonly what: string }) => what === "kernel"));
});

Deno.test("a file that a command cannot use is named, in one sentence", async () => {
  await withFile("{}", async (path) => {
    const table: [string[], number, string][] = [
      [["status", "--token-file", "/nope"], 3, 'Cannot read token file "/nope": no such file'],
      [
        ["samples", "--pcapng", "/nope/x", "-a", "127.0.0.1:9"],
        1,
        'Cannot write "/nope/x": no such directory',
      ],
      [
        ["pcap", "open", "--keys", path, path],
        3,
        `Cannot read key file "${path}": it has neither "mk0" and "mk1" nor "sa"`,
      ],
      [
        ["selftest", "--vectors", path],
        3,
        `Cannot read vectors "${path}": the file holds no list of them`,
      ],
      [["config", "import", "/"], 3, 'Cannot import "/": it is a directory'],
      [
        ["pki", "init", "--dir", path],
        3,
        `Cannot make directory "${path}": something else is ` +
        "there under that name",
      ],
      [
        ["pki", "init", "--dir", "/proc/x"],
        3,
        'Cannot make directory "/proc/x": outside of what ' +
        "this process may use (see bin/psp-agent)",
      ],
    ];
    for (const [args, expected, sentence] of table) {
      // What it may write is said by its permissions.
      const { code, err } = await (args[0] === "pki" ? agent : inside)(args);
      assert.equal(err, `psp-agent: ${sentence}\n`);
      assert.equal(code, expected, sentence);
    }
  });
});

Deno.test("pki makes a CA and a certificate where it is told", async () => {
  const dir = await Deno.makeTempDir();
  try {
    assert.equal((await inside(["pki", "init", "--dir", dir])).code, 0);
    const { code, out } = await inside(["pki", "issue", "--dir", dir, "--id", "h1"]);
    assert.equal(code, 0);
    assert.equal(out, `${dir}/h1/h1.crt\n${dir}/h1/h1.key\nspiffe://psp-agent.local/psp/h1\n`);
    assert.equal((await inside(["pki", "init", "--dir", dir])).code, 3);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("pipes prints a flowchart of each part", async () => {
  const both = (await inside(["pipes"])).out;
  const out = (await inside(["pipes", "--topology", "h2n"])).out;
  const back = (await inside(["pipes", "--topology", "n2h", "--sampling"])).out;
  assert.match(both, /^flowchart LR\n/);
  assert.ok(both.includes("EGR_ACL") && both.includes("INGR_ACL"));
  assert.ok(out.includes("EGR_ACL") && !out.includes("PSP_DECRYPT") && !out.includes("kernel"));
  assert.ok(back.includes("INGR_SAMP") && !back.includes("EGR_ACL") && back.includes("kernel"));
});

Deno.test("completion scripts come for three shells, and know the commands", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, out } = await inside(["completion", shell]);
    assert.equal(code, 0);
    assert.match(out, /psp-agent/);
  }
  assert.match((await inside(["completion", "bash", "st"])).out, /^status$/m);
});

Deno.test("SIGUSR1 opens no inspector", async () => {
  const dir = await Deno.makeTempDir();
  const fifo = `${dir}/config`;
  try {
    await new Deno.Command("mkfifo", { args: [fifo] }).output();
    const child = new Deno.Command(`${ROOT}bin/psp-agent`, {
      args: ["check", "-c", fifo],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    // It is there once it reads.
    const writer = await Deno.open(fifo, { write: true });
    child.kill("SIGUSR1");
    await writer.write(new TextEncoder().encode("{}"));
    writer.close();
    const stderr = await new Response(child.stderr).text();
    assert.match(stderr, /Cannot use configuration/);
    assert.doesNotMatch(stderr, /[Dd]ebugger|inspect/);
    assert.equal((await child.status).code, 3);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
