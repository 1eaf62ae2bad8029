// SPDX-License-Identifier: Apache-2.0

/** tools/deps.sh: what it installs; another apt that holds a lock is waited for; whatever else apt says is the end. */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

/** apt-get as a script: what it says, and how often before it succeeds. Deno as one that has all it needs. */
async function install(
  { says = "", times = 0, packages = "net nosuch /nosuch/file\n", args = ["net"] }: {
    readonly says?: string;
    readonly times?: number;
    readonly packages?: string;
    readonly args?: readonly string[];
  },
): Promise<{ readonly code: number; readonly said: string; readonly calls: string[] }> {
  const dir = await Deno.makeTempDir({ prefix: "psp-deps-" });
  try {
    const script = (name: string, text: string) =>
      Deno.writeTextFile(`${dir}/bin/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    await Deno.mkdir(`${dir}/bin`);
    await Deno.mkdir(`${dir}/tools`);
    await Deno.copyFile(`${ROOT}tools/deps.sh`, `${dir}/tools/deps.sh`);
    await Deno.writeTextFile(`${dir}/tools/debian-packages.txt`, packages);
    for (const lock of ["deno.lock", "tools/gen.lock"]) {
      await Deno.writeTextFile(`${dir}/${lock}`, "");
    }
    await script("id", "echo 0");
    await script("deno", "echo deno 2.9.6");
    await Deno.writeTextFile(`${dir}/calls`, "");
    await script(
      "apt-get",
      `echo "$*" >>${dir}/calls
[ "$(wc -l <${dir}/calls)" -gt ${times} ] || { echo "${says}"; exit 100; }`,
    );
    const { code, stderr } = await new Deno.Command(`${dir}/tools/deps.sh`, {
      args: [...args],
      env: { PATH: `${dir}/bin:/usr/bin:/bin`, PSP_APT_PAUSE: "0" },
      stdin: "null",
    }).output();
    const calls = (await Deno.readTextFile(`${dir}/calls`)).split("\n").filter((line) =>
      line !== ""
    );
    return { code, said: new TextDecoder().decode(stderr), calls };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("without a name every group of the list is installed but bench, and no other name is known", async () => {
  const packages = [
    "# group package brings",
    "net one /nosuch/1",
    "new two /nosuch/2",
    "bench three /nosuch/3",
    "",
  ]
    .join("\n");
  const all = await install({ packages, args: [] });
  assert.equal(all.code, 0, all.said);
  assert.match(all.calls.at(-1) ?? "", / one two$/);
  const named = await install({ packages, args: ["bench"] });
  assert.match(named.calls.at(-1) ?? "", / three$/);
  const wrong = await install({ packages, args: ["benches"] });
  assert.deepEqual([wrong.code, wrong.calls], [1, []]);
  assert.match(wrong.said, /nothing is called "benches"/);
});

Deno.test("another update that holds the lock of the lists is waited for, and said once", async () => {
  const says =
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1234 (apt-get)";
  const { code, said, calls } = await install({ says, times: 3 });
  assert.equal(code, 0, said);
  assert.equal(said.match(/Waiting for another apt to end/g)?.length, 1, said);
  const words = calls.map((line) =>
    line.split(" ").find((word) => /^(update|install)$/.test(word))
  );
  assert.deepEqual(words, ["update", "update", "update", "update", "install"]);
});

Deno.test("what apt refuses otherwise is the end, with its words", async () => {
  const { code, said, calls } = await install({
    says: "E: The repository is not signed",
    times: 9,
  });
  assert.equal(code, 1);
  assert.equal(calls.length, 1);
  assert.match(
    said,
    /not signed\n.*Cannot install what is needed: apt-get could not install: nosuch/s,
  );
});
