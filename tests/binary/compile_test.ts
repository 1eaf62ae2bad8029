// SPDX-License-Identifier: Apache-2.0

/**
 * `deno compile` with the very flags of `make binary`, on a runtime that can be had from the npm registry:
 * Deno 2.7.11 and the denort inside a program that was made with it. For tests only: that runtime cannot
 * ask for client certificates, so it must not do mutual TLS.
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { elfEnd } from "../../tools/binary/denort.ts";
import type { PeersJson } from "../support/agent_config.ts";
import { HOSTS } from "../support/plan.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping, PSP_PING_OCTETS } from "../support/traffic.ts";
import { eventually, within } from "../support/wait.ts";
import { emulated } from "./emulated.ts";
import { inTemporary, ROOT, runAlone } from "./run_alone.ts";

type Arch = "x86_64" | "aarch64";

const PROGRAMS: Readonly<Record<Arch, string>> = {
  x86_64: "@stdy/cli-linux-x64@0.22.2",
  aarch64: "@stdy/cli-linux-arm64@0.22.2",
};

/** Built by the first test that needs it. */
const built = new Map<Arch, Promise<string>>();

/** The compiled agent of an architecture: a path under build/. */
function compiled(arch: Arch): Promise<string> {
  const there = built.get(arch);
  if (there !== undefined) return there;
  const made = compile(arch);
  built.set(arch, made);
  return made;
}

async function compile(arch: Arch): Promise<string> {
  const out = `${ROOT}build/binary/compile-test`;
  await Deno.mkdir(out, { recursive: true });
  const compiler = await npmFile("@deno/linux-x64-glibc@2.7.11", "deno");
  await Deno.chmod(compiler, 0o755);
  const program = await Deno.readFile(await npmFile(PROGRAMS[arch], "bin/steady"));
  const denort = `${out}/denort-${arch}`;
  await Deno.writeFile(denort, program.subarray(0, elfEnd(program)), { mode: 0o755 });
  const said = await must(`${ROOT}tools/binary/build.sh`, [arch], {
    DENORT_BIN: denort,
    COMPILER: compiler,
    FORM: "compile",
    OUT: out,
  });
  assert.match(said, new RegExp(`^psp-agent-${arch}: deno compile, `, "m"));
  return `${out}/psp-agent-${arch}`;
}

async function npmFile(name: string, file: string): Promise<string> {
  return (await must(`${ROOT}tools/binary/npm_file.sh`, [name, file], {})).trim();
}

async function must(program: string, args: string[], env: Record<string, string>): Promise<string> {
  const output = await new Deno.Command(program, { args, env }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(output.success, text(output.stdout) + text(output.stderr));
  return text(output.stdout);
}

Deno.test("the compiled agent says its version, checks a configuration and fits", async () => {
  const binary = await compiled("x86_64");
  assert.ok(Deno.statSync(binary).size < 120e6, `${Deno.statSync(binary).size} octets`);
  const { out } = await runAlone(["version"], { binary });
  assert.match(out, /\(Deno 2\.7\.11, linux x86_64\)/);
  await inTemporary(async (dir) => {
    const config = `${dir}/peers.json`;
    const small = {
      id: "h1",
      pip: "192.0.2.1",
      vips: ["10.1.0.1"],
      plane: { kind: "soft", uplink: "p0", host: "pf0vf0" },
      rpc: { insecure: true },
      peers: [{ id: "h2", svc_address: "192.0.2.2:7443", vips: ["10.2.0.0/24"] }],
    };
    await Deno.writeTextFile(config, JSON.stringify(small));
    const { code, out, err } = await runAlone(["check", "--config", config], { binary });
    assert.equal(code, 0, err);
    assert.equal(JSON.parse(out).id, "h1");
  });
});

Deno.test("its check refuses the TLS that its start would refuse", async () => {
  const binary = await compiled("x86_64");
  const config = `${ROOT}examples/peers.json`;
  const { code, out, err } = await runAlone(["check", "--config", config], { binary });
  assert.match(
    err,
    /^psp-agent: .*\/peers\.json:\d+:\d+: rpc\.tls: Cannot use TLS on Deno 2\.7\.11/m,
  );
  assert.deepEqual([code, out], [3, ""]);
});

Deno.test("its embedded shim is found wherever a file may be loaded from", async () => {
  const binary = await compiled("x86_64");
  const vectors = `${ROOT}tests/vectors/psp_packets.json`;
  const noexec = "mount -t tmpfs -o noexec none $root/tmp; mount -t tmpfs -o noexec none $root/run";
  const { code, out, err } = await runAlone(["selftest", "--vectors", vectors], {
    binary,
    home: "",
    setup: noexec,
  });
  assert.match(out, /^[1-9]\d* passed, 0 failed\n$/);
  assert.deepEqual([code, err], [0, ""]);
  const nowhere = await runAlone(["selftest", "--vectors", vectors], {
    binary,
    setup: `${noexec}; mount -o remount,ro none $root`,
  });
  assert.equal(nowhere.code, 1);
  assert.match(
    nowhere.err,
    /^psp-agent: Cannot extract the shim: [^\n]*\/tmp\/psp-agent-0 [^\n]*\n$/,
  );
});

story("the compiled agent opens a tunnel and keeps its record", {}, async ({ world, launch }) => {
  const env = { PSP_ALONE_BINARY: await compiled("x86_64") };
  const change = ({ rpc }: PeersJson) => {
    delete rpc.tls;
    rpc.insecure = true;
  };
  const [h1, h2] = await Promise.all(HOSTS.map((host) => launch(host, { env, change })));
  assert.ok(h1 && h2);
  // Not by /healthz: on this runtime HTTP/1 does not answer on a socket that was looked into.
  await eventually(() => h1.said("Ready").length + h2.said("Ready").length === 2, {
    what: "both agents to be ready",
  });
  const capture = await world.capture();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, {
    count: 5,
    interval: 0.05,
  });
  assert.equal(received, 5, text);
  const wire = await capture.stop();
  assertOnlyPsp(wire);
  // Octets, not frames: packets that waited together cross the wire as one frame.
  assert.ok(wire.psp.bytes >= 2 * 5 * PSP_PING_OCTETS, `${wire.psp.bytes} octets of PSP`);
  assert.equal((await h1.end("SIGTERM")).code, 0);
  using record = new DatabaseSync(`${world.path("state-h1")}/agent.db`, { readOnly: true });
  const { n } = record.prepare("SELECT count(*) AS n FROM tunnel").get() as { n: number };
  assert.equal(n, 1);
});

story("on a runtime that cannot ask for certificates it refuses TLS", {}, async (stage) => {
  const agent = await stage.launch("h1", { env: { PSP_ALONE_BINARY: await compiled("x86_64") } });
  const { code } = await within(agent.ended(), "the end of the agent");
  assert.notEqual(code, 0);
  assert.match(agent.logText(), /Cannot use TLS on Deno 2\.7\.11/);
});

Deno.test("it is compiled for aarch64 as well", async () => {
  const binary = await compiled("aarch64");
  await inTemporary(async (cache) => {
    const vectors = `${ROOT}tests/vectors/psp_packets.json`;
    const { code, out } = await emulated(binary, ["selftest", "--vectors", vectors], cache);
    assert.match(out, /^[1-9]\d* passed, 0 failed\n$/);
    assert.equal(code, 0);
  });
});
