// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { join } from "node:path";
import { extractShim, usualPlaces } from "./embedded_shim.ts";

function inTemporary(name: string, use: (dir: string) => void): void {
  Deno.test(name, () => {
    const dir = Deno.makeTempDirSync();
    try {
      Deno.writeTextFileSync(join(dir, "libpsp_dp_soft.so"), "octets of a shim");
      use(dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

const fine = () => {};

inTemporary("the shim is extracted for its user alone, whole, once", (dir) => {
  const source = join(dir, "libpsp_dp_soft.so");
  const places = [join(dir, "new", "place")];
  const path = extractShim(source, { places, probe: fine });
  assert.equal(Deno.readTextFileSync(path), "octets of a shim");
  assert.equal((Deno.statSync(path).mode ?? 0) & 0o077, 0);
  assert.equal((Deno.statSync(join(path, "..")).mode ?? 0) & 0o077, 0);
  const { mtime } = Deno.statSync(path);
  assert.equal(extractShim(source, { places, probe: fine }), path);
  assert.deepEqual(Deno.statSync(path).mtime, mtime);
});

inTemporary("a copy that somebody changed is replaced", (dir) => {
  const source = join(dir, "libpsp_dp_soft.so");
  const places = [join(dir, "place")];
  const path = extractShim(source, { places, probe: fine });
  Deno.writeTextFileSync(path, "OCTETS OF A SHIM");
  extractShim(source, { places, probe: fine });
  assert.equal(Deno.readTextFileSync(path), "octets of a shim");
});

inTemporary("nothing is used below a directory that another user can exchange", (dir) => {
  const source = join(dir, "libpsp_dp_soft.so");
  const [home, good] = [join(dir, "home"), join(dir, "good")];
  for (const path of [home, good]) Deno.mkdirSync(path);
  Deno.chmodSync(home, 0o777);
  const places = [join(home, ".cache", "psp-agent")];
  const refused = { message: /others can exchange a directory of its path/ };
  assert.throws(() => extractShim(source, { places, probe: fine }), refused);
  assert.deepEqual([...Deno.readDirSync(home)], []);
  // A link in such a directory may mean another place tomorrow: what it means today is used.
  Deno.symlinkSync(good, join(home, "link"));
  const path = extractShim(source, { places: [join(home, "link", "place")], probe: fine });
  assert.ok(path.startsWith(`${good}/place/`), path);
});

inTemporary("what versions before have left is removed, and nothing else", (dir) => {
  const place = join(dir, "place");
  const old = join(place, `shim-${"0".repeat(24)}`);
  Deno.mkdirSync(old, { recursive: true });
  Deno.chmodSync(place, 0o700);
  Deno.writeTextFileSync(join(place, "somebody's"), "");
  extractShim(join(dir, "libpsp_dp_soft.so"), { places: [place], probe: fine });
  assert.throws(() => Deno.statSync(old), Deno.errors.NotFound);
  assert.ok(Deno.statSync(join(place, "somebody's")).isFile);
});

inTemporary(
  "a place where nothing can be loaded, or that is open to others, is passed over",
  (dir) => {
    const [noexec, open, good] = ["noexec", "open", "good"].map((name) => join(dir, name));
    assert.ok(noexec && open && good);
    Deno.mkdirSync(open);
    Deno.chmodSync(open, 0o777);
    const probe = (path: string) => {
      if (path.startsWith(noexec)) throw new Error("failed to map segment from shared object");
    };
    const source = join(dir, "libpsp_dp_soft.so");
    const path = extractShim(source, { places: [noexec, open, good], probe });
    assert.ok(path.startsWith(good));
    assert.throws(() => extractShim(source, { places: [noexec, open], probe }), {
      message: /noexec \(failed to map.*\); .*open \(others can write to it\)/,
    });
  },
);

Deno.test("the places come in one order, and a named one is the only one", () => {
  const from = (variables: Record<string, string>) => usualPlaces((name) => variables[name]);
  assert.deepEqual(from({ PSP_AGENT_CACHE: "/cache", HOME: "/root" }), ["/cache"]);
  assert.deepEqual(from({ HOME: "", XDG_CACHE_HOME: "relative", STATE_DIRECTORY: "/a:/b" }), [
    "/a/program",
    "/var/lib/psp-agent/program",
    "/run/psp-agent/program",
    `/tmp/psp-agent-${Deno.uid()}`,
  ]);
});
