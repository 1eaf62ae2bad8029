// SPDX-License-Identifier: Apache-2.0

/** What the agent is allowed stands in one table, and everything that allows it something allows that and no more. */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

function read(path: string): string {
  return Deno.readTextFileSync(ROOT + path);
}

/** The section of docs/install.md. */
const SECTION = /^## Rights\n(.*?)^## /ms.exec(read("docs/install.md"))?.[1] ?? "";

/** Rows of its tables, cell by cell, without heads. */
const ROWS = SECTION.split("\n").filter((line) => /^\| (?!-|right |device )/.test(line))
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));

/** "NET_RAW" and so on. */
const RIGHTS = ROWS.flatMap(([first = ""]) => /^`CAP_(\w+)`$/.exec(first)?.[1] ?? []);

Deno.test("every right, device and setting of the table says what it is for, and how it goes without", () => {
  assert.ok(RIGHTS.length > 0 && ROWS.length > RIGHTS.length);
  for (const cells of ROWS) {
    assert.equal(cells.length, 3, cells.join());
    const [, purpose = "", without = ""] = cells;
    assert.ok(purpose !== "" && without !== "", cells.join());
  }
});

Deno.test("unit, manifests, chart and image give the rights of the table and no others", () => {
  const sorted = (names: readonly string[]) =>
    names.map((name) => name.toUpperCase().replace(/^CAP_/, "")).toSorted();
  const wanted = sorted(RIGHTS);
  const lists: [string, RegExp, string | RegExp][] = [
    ["deploy/systemd/psp-agent.service", /^AmbientCapabilities=(.*)$/gm, " "],
    ["deploy/systemd/psp-agent.service", /^CapabilityBoundingSet=(.*)$/gm, " "],
    ["deploy/kubernetes/daemonset.yaml", /add: \[("NET[^\]]*)\]/g, ", "],
    ["deploy/kubernetes/static-pod.yaml", /add: \[("NET[^\]]*)\]/g, ", "],
    ["deploy/kubernetes/psp-agent/templates/daemonset.yaml", /add: \[("NET[^\]]*)\]/g, ", "],
    ["Dockerfile", /setcap (\S+)\+p /g, ","],
    ["Dockerfile", /^# docker run .*?((?: --cap-add \S+)+)$/gm, / ?--cap-add /],
    ["docs/install.md", /setcap (\S+)\+ep/g, ","],
  ];
  for (const [file, pattern, separator] of lists) {
    const found = [...read(file).matchAll(pattern)];
    assert.equal(found.length, 1, `${file}: ${pattern}`);
    const names = (found[0]?.[1] ?? "").replaceAll('"', "").split(separator).filter((n) =>
      n !== ""
    );
    assert.deepEqual(sorted(names), wanted, `${file}: ${pattern}`);
  }
});

Deno.test("whatever gives rights says where the table is", () => {
  const files = ["README.md", "Dockerfile", "deploy/systemd/psp-agent.service"];
  const folder = "deploy/kubernetes/";
  for (const name of ["daemonset.yaml", "static-pod.yaml", "psp-agent/templates/daemonset.yaml"]) {
    files.push(folder + name);
  }
  for (const file of files) assert.match(read(file), /docs\/install\.md/, file);
});
