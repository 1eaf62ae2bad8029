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

/** "NET_RAW" and so on, of a plane. */
function rightsOf(plane: "soft" | "doca"): string[] {
  return [
    ...new Set(ROWS.flatMap(([first = "", planes = ""]) => {
      const name = /^`CAP_(\w+)`$/.exec(first)?.[1];
      return name !== undefined && planes.split(", ").includes(plane) ? [name] : [];
    })),
  ];
}

Deno.test("every right, device and setting of the table says for which plane, for what, and how it goes without", () => {
  assert.ok(rightsOf("soft").length > 0 && ROWS.length > 10);
  for (const cells of ROWS) {
    assert.equal(cells.length, 4, cells.join());
    const [, planes = "", purpose = "", without = ""] = cells;
    assert.match(planes, /^(soft|doca|soft, doca)$/, cells.join());
    assert.ok(purpose !== "" && without !== "", cells.join());
  }
});

Deno.test("units, manifests, chart and images give their plane's rights of the table and no others", () => {
  const sorted = (names: readonly string[]) =>
    names.map((name) => name.toUpperCase().replace(/^CAP_/, "")).toSorted();
  const kubernetes = /add: \[("NET[^\]]*)\]/g;
  const lists: ["soft" | "doca", string, RegExp, string | RegExp][] = [];
  for (const [plane, name] of [["soft", "psp-agent"], ["doca", "psp-agent-doca"]] as const) {
    const unit = `deploy/systemd/${name}.service`;
    lists.push([plane, unit, /^AmbientCapabilities=(.*)$/gm, " "]);
    lists.push([plane, unit, /^CapabilityBoundingSet=(.*)$/gm, " "]);
    const end = plane === "soft" ? "" : "-doca";
    lists.push([plane, `deploy/kubernetes/daemonset${end}.yaml`, kubernetes, ", "]);
    lists.push([plane, `deploy/kubernetes/psp-agent/values${end}.yaml`, kubernetes, ", "]);
  }
  lists.push(
    ["soft", "deploy/kubernetes/static-pod.yaml", kubernetes, ", "],
    ["soft", "Dockerfile", /setcap (\S+bind_service)\+p /g, ","],
    ["doca", "Dockerfile", /setcap (\S+ipc_lock)\+p /g, ","],
    [
      "soft",
      "Dockerfile",
      /^#.*--cap-drop ALL((?: --cap-add (?!SYS_RAWIO)\w+)+)$/gm,
      / ?--cap-add /,
    ],
    [
      "doca",
      "Dockerfile",
      /^#.*--cap-drop ALL((?: --cap-add \w+)+ --cap-add IPC_LOCK)$/gm,
      / ?--cap-add /,
    ],
    ["soft", "docs/install.md", /setcap (\S+)\+ep/g, ","],
  );
  for (const [plane, file, pattern, separator] of lists) {
    const found = [...read(file).matchAll(pattern)];
    assert.equal(found.length, 1, `${file}: ${pattern}`);
    const names = (found[0]?.[1] ?? "").replaceAll('"', "").split(separator).filter((n) =>
      n !== ""
    );
    assert.deepEqual(sorted(names), sorted(rightsOf(plane)), `${file}: ${pattern}`);
  }
});

Deno.test("what the plane in hardware asks for is what the table gives it", () => {
  const source = read("c-shim/psp/rights.c");
  const asked = [...source.matchAll(/\{CAP_\w+, "CAP_(\w+)"\}/g)].map(([, name = ""]) => name);
  assert.equal(asked.length, 3);
  assert.deepEqual([...asked, "IPC_LOCK"].toSorted(), rightsOf("doca").toSorted());
});

Deno.test("whatever gives rights says where the table is", () => {
  const files = ["README.md", "Dockerfile", "c-shim/doca/device.c"];
  for (const name of ["psp-agent", "psp-agent-doca"]) files.push(`deploy/systemd/${name}.service`);
  const folder = "deploy/kubernetes/";
  for (
    const name of [
      "daemonset.yaml",
      "daemonset-doca.yaml",
      "static-pod.yaml",
      "psp-agent/templates/daemonset.yaml",
    ]
  ) {
    files.push(folder + name);
  }
  for (const file of files) assert.match(read(file), /docs\/install\.md/, file);
});
