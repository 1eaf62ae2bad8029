// SPDX-License-Identifier: Apache-2.0

/**
 * The public conformance suite of Connect against the agent's own listener: Connect, gRPC and gRPC-Web over HTTP/2 and
 * HTTP/1.1, with TLS, with client certificates and in clear. What it can do stands in conformance.yaml; all of that must pass.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;
const SUITE = `${ROOT}build/world/bin/connectconformance`;
/** Cases that the suite has for what conformance.yaml says, less some that a newer one may drop. */
const LEAST_CASES = 1800;

Deno.test("Connect, gRPC and gRPC-Web as their conformance suite has them", async () => {
  const dir = await Deno.makeTempDir({ prefix: "psp-conformance-" });
  try {
    const descriptors = `${dir}/suite.pb`;
    await describe(descriptors);
    const server = [
      ...[Deno.execPath(), "run", "--no-check", "--quiet", "--cached-only", "--allow-all"],
      ...[`${ROOT}tests/world/conformance_server.ts`, descriptors],
    ];
    const { code, text } = await run(SUITE, [
      ...["--mode", "server", "--conf", `${ROOT}tests/world/conformance.yaml`],
      ...["--max-servers", "2", "--", ...server],
    ]);
    const failed = text.split("\n").filter((line) => line.startsWith("FAILED: "));
    assert.deepEqual(failed, [], text);
    assert.equal(code, 0, text);
    const passed = Number(/^(\d+) passed, 0 failed$/m.exec(text)?.[1]);
    assert.ok(passed >= LEAST_CASES, text);
    console.log(`    ${passed} cases`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

/** The suite's messages and its service, out of the module that it was built from. */
async function describe(path: string): Promise<void> {
  const cwd = `${ROOT}tests/world/conformance`;
  const go = ["list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance"];
  const found = await run("go", go, cwd);
  assert.equal(found.code, 0, found.text);
  const proto = `${found.text.trim()}/proto`;
  const under = "connectrpc/conformance/v1";
  const files = [...Deno.readDirSync(`${proto}/${under}`)].map(({ name }) => `${under}/${name}`);
  const { code, text } = await run("protoc", [
    ...["-I", proto, "--include_imports", `--descriptor_set_out=${path}`],
    ...files.filter((name) => name.endsWith(".proto")),
  ]);
  assert.equal(code, 0, text);
}

async function run(
  program: string,
  args: readonly string[],
  cwd = ROOT,
): Promise<{ readonly code: number; readonly text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd,
    stdin: "null",
  }).output();
  const decode = (octets: Uint8Array) => new TextDecoder().decode(octets);
  return { code, text: decode(stdout) + decode(stderr) };
}
