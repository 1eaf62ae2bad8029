// SPDX-License-Identifier: Apache-2.0

/** The file's capabilities as the image sets them, with more and with fewer granted by who starts it. */
import assert from "node:assert/strict";
import { formOf, inTemporary, ROOT } from "./run_alone.ts";

const DOCKERFILE = Deno.readTextFileSync(`${ROOT}Dockerfile`);
/** Nobody's user and group. */
const NOBODY = 65_534;

/** What doctor says of capabilities when the file has `capabilities` and the process may have `granted`. */
async function doctorSays(capabilities: string, granted: readonly string[]): Promise<string> {
  let said = "";
  await inTemporary(async (dir) => {
    const [binary, state] = [`${dir}/psp-agent`, `${dir}/state`];
    await Deno.copyFile(`${ROOT}build/bin/psp-agent`, binary);
    await Deno.mkdir(state);
    await Deno.chown(state, NOBODY, NOBODY);
    await Deno.chmod(dir, 0o711);
    await new Deno.Command("setcap", { args: [capabilities, binary] }).output();
    const bounding = ["-all", ...granted.map((name) => name.replace("cap_", "+"))].join(",");
    const { stdout, stderr } = await new Deno.Command("setpriv", {
      args: [
        `--reuid=${NOBODY}`,
        `--regid=${NOBODY}`,
        "--clear-groups",
        "--inh-caps=-all",
        `--bounding-set=${bounding}`,
        binary,
        "doctor",
      ],
      clearEnv: true,
      env: { STATE_DIRECTORY: state },
    }).output();
    const text = new TextDecoder().decode(stdout);
    said = /^.*capabilities: .*$/m.exec(text)?.[0] ?? text + new TextDecoder().decode(stderr);
  });
  return said;
}

// The Dockerfile builds this form, whatever could be built here.
if (formOf() === "self-extracting") {
  Deno.test("the image's file starts with all of its capabilities, and with fewer where fewer are granted", async () => {
    const [, words = ""] = /setcap (\S+bind_service\S+) /.exec(DOCKERFILE) ?? [];
    const all = words.replace(/\+.*/, "").split(",");
    assert.equal(all.length, 3, words);
    assert.match(await doctorSays(words, all), /^(ok|warning) +capabilities: /);
    const fewer = all.filter((name) => name !== "cap_net_admin");
    const said = await doctorSays(words, fewer);
    assert.match(said, /capabilities: .*CAP_NET_RAW/);
    // Why they are not effective ones: then it would not start at all.
    assert.doesNotMatch(await doctorSays(words.replace("+p", "+ep"), fewer), /capabilities: /);
  });
}

Deno.test("the image's program is the form that hands its capabilities on", () => {
  assert.match(DOCKERFILE, /^RUN .*FORM=self-extracting tools\/binary\/build\.sh/m);
});
