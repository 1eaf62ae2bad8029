// SPDX-License-Identifier: Apache-2.0

/** The commands of the binary, where there is nothing but the binary. */
import assert from "node:assert/strict";
import { VERSION } from "../../src/model/version.ts";
import { limitMs } from "../support/scale.ts";
import { formOf, inTemporary, ROOT, runAlone } from "./run_alone.ts";

Deno.test("version says the version", async () => {
  const { code, out, err } = await runAlone(["version"]);
  assert.match(
    out,
    new RegExp(`^psp-agent ${VERSION.replaceAll(".", "\\.")} \\(Deno \\S+, linux \\w+\\)\n$`),
  );
  assert.deepEqual([code, err], [0, ""]);
});

Deno.test("check prints the effective configuration", async () => {
  const { code, out } = await runAlone(["check", "--config", `${ROOT}examples/peers.json`]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(out).id, "h1");
});

Deno.test("pki makes a CA and a certificate for its owner alone", async () => {
  await inTemporary(async (dir) => {
    assert.equal((await runAlone(["pki", "init", "--dir", dir])).code, 0);
    const { code, out } = await runAlone(["pki", "issue", "--dir", dir, "--id", "h1"]);
    assert.equal(code, 0);
    assert.match(out, /spiffe:\/\/psp-agent\.local\/psp\/h1/);
    assert.equal((Deno.statSync(`${dir}/h1/h1.key`).mode ?? 0) & 0o077, 0);
  });
});

Deno.test("the embedded shim passes the known answers with every backend", async () => {
  const vectors = [...Deno.readDirSync(`${ROOT}tests/vectors`)]
    .filter(({ name }) => name.endsWith(".json")).map(({ name }) => `${ROOT}tests/vectors/${name}`);
  const { code, out } = await runAlone(["selftest", "--backend", "all", "--vectors", ...vectors]);
  assert.match(out, /^[1-9]\d* passed, 0 failed\n$/);
  assert.equal(code, 0);
});

Deno.test("what cannot be done is one sentence and an exit code", async () => {
  const table: [string[], number, RegExp][] = [
    [["status", "--address", "127.0.0.1:9"], 4, /^psp-agent: Cannot ask the agent at .*\n$/],
    [["--config", "/no/such/file.json"], 3, /^psp-agent: .*no such file.*\n$/i],
    [["statsu"], 2, /^psp-agent: Unknown command "statsu".*\n$/],
  ];
  for (const [args, expected, sentence] of table) {
    const { code, err } = await runAlone(args);
    assert.equal(code, expected, args.join(" "));
    assert.match(err, sentence);
  }
});

Deno.test("what is given to the runtime by the environment changes nothing", async () => {
  const env = {
    DENO_V8_FLAGS: "--help",
    DENO_DIR: "/nowhere",
    NODE_OPTIONS: "--inspect",
    DENO_NO_PROMPT: "0",
    DENO_PERMISSION_BROKER_PATH: "/none",
  };
  const { code, out, err } = await runAlone(["version"], {
    env: formOf() === "deno compile" ? { DENO_DIR: "/nowhere" } : env,
  });
  assert.match(out, /^psp-agent /);
  assert.deepEqual([code, err], [0, ""]);
});

Deno.test("the file is small enough, and starts soon enough", async () => {
  await inTemporary(async (dir) => {
    const file = `${ROOT}build/bin/psp-agent`;
    const limit = formOf() === "deno compile" ? 120e6 : 50e6;
    assert.ok(Deno.statSync(file).size < limit, `${Deno.statSync(file).size} octets`);
    const times: number[] = [];
    for (let i = 0; i < 6; i++) {
      const begin = performance.now();
      const { success } = await new Deno.Command(file, {
        args: ["version"],
        clearEnv: true,
        env: { PSP_AGENT_CACHE: dir },
      }).output();
      assert.ok(success);
      times.push(performance.now() - begin);
    }
    const best = Math.min(...times.slice(1));
    console.log(
      `    version: ${Math.round(best)} ms, the first time ${Math.round(times[0] ?? 0)} ms`,
    );
    assert.ok(best < limitMs(300), `${best} ms`);
  });
});
