// SPDX-License-Identifier: Apache-2.0

/** The Dockerfile: its form always, its commands in fresh roots with PSP_SOAK=1 (minutes; root). */
import assert from "node:assert/strict";
import { buildStages, inRoot, parseDockerfile } from "./dockerfile.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const TEXT = Deno.readTextFileSync(`${ROOT}Dockerfile`);

Deno.test("the image's last stage runs the binary, not as root, and asks after its health", () => {
  const last = parseDockerfile(TEXT, {}).at(-1);
  const of = (word: string) => last?.instructions.filter((one) => one.word === word).at(-1)?.rest;
  assert.equal(of("USER"), "7443:7443");
  assert.deepEqual(JSON.parse(of("ENTRYPOINT") ?? ""), ["/usr/local/bin/psp-agent"]);
  assert.match(of("HEALTHCHECK") ?? "", /"psp-agent|\/psp-agent", "status"/);
  assert.equal(of("ENV"), "STATE_DIRECTORY=/var/lib/psp-agent");
  // Nothing of the build but the file.
  const copies = last?.instructions.filter(({ word }) => word === "COPY").map(({ rest }) => rest);
  assert.deepEqual(copies, ["--from=binary /src/build/bin/psp-agent /usr/local/bin/psp-agent"]);
});

Deno.test("with DOCA=1 the shim is built on the named base", () => {
  const stages = parseDockerfile(TEXT, { DOCA: "1", DOCA_BASE: "doca:devel" });
  const shim = stages.find(({ name }) => name === "shim");
  assert.equal(stages.find(({ name }) => name === shim?.base)?.base, "doca:devel");
});

Deno.test("the image for hardware stands on the named libraries, and is otherwise the other one", () => {
  const stages = parseDockerfile(TEXT, { DOCA: "1", DOCA_BASE: "b", DOCA_RUNTIME: "doca:rt" });
  const [hardware, soft] = ["runtime-doca", "runtime"].map((one) =>
    stages.find(({ name }) => name === one)
  );
  assert.equal(hardware?.base, "doca:rt");
  const words = ["COPY", "USER", "ENV", "VOLUME", "ENTRYPOINT", "CMD"];
  const of = (stage: typeof hardware | undefined) =>
    stage?.instructions.filter(({ word }) => words.includes(word));
  assert.deepEqual(of(hardware), of(soft));
  const base = stages.find(({ name }) => name === "base-1");
  const [shims] = base?.instructions ?? [];
  assert.equal(shims?.rest, "SHIMS=libpsp_dp_doca.so");
  const made = stages.find(({ name }) => name === "shim")?.instructions.at(-1)?.rest ?? "";
  assert.match(made, /for shim in \$SHIMS; do make -C c-shim "\$shim"/);
});

if (Deno.env.get("PSP_SOAK") === "1") {
  Deno.test("every stage's commands work in a fresh Debian, and the last one holds the agent", async () => {
    const root = await buildStages(parseDockerfile(TEXT, {}), `${ROOT}build/deploy`);
    const env = ["STATE_DIRECTORY=/var/lib/psp-agent", "HOME=/"];
    const run = (...args: string[]) =>
      inRoot(root, ["/usr/local/bin/psp-agent", ...args], { user: "7443:7443", env });
    assert.match(await run("version"), /^psp-agent /);
    assert.match(await run("doctor"), /^ok +capabilities: CAP_NET_RAW, CAP_NET_/m);
  });
}
