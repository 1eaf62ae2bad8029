// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/load.ts";
import { configFindings, machineFindings } from "./checks.ts";
import { type Machine, parseReport } from "./machine.ts";

/** A machine that an agent likes. */
const REPORT = `page-size 4096
cap-eff 3400
rmem-max 212992
wmem-max 212992
guard 0
interface lo up 65536
interface p0 up 9000
interface vf0 up 1500
`;

function machine(change: Partial<Machine> = {}, report = REPORT): Machine {
  return {
    report: parseReport(report),
    descriptorLimit: 1024,
    keyExchange: "X25519",
    exists: (path) => path === "/run/chrony",
    checkDatabase: () => "ok",
    kernel: () => "6.12.1",
    addresses: () => ["192.0.2.1"],
    nowMs: () => Date.UTC(2026, 5, 1),
    ...change,
  };
}

const CONFIG: Config = parseConfig(
  `{"id":"h1","pip":"192.0.2.1","vips":["10.1.0.0/24"],"plane":{"uplink":"p0","host":"vf0"},
    "rpc":{"insecure":true},"peers":[]}`,
  "/etc/psp-agent/peers.json",
).config;

const PEER: Config["peers"][number] = { id: "h2", svcAddress: "192.0.2.2:7443", vips: [] };

const all = (m: Machine) => [...machineFindings(m), ...configFindings(m, CONFIG)];

Deno.test("a good machine has nothing wrong", () => {
  const wrong = all(machine()).filter(({ verdict }) => verdict !== "ok");
  assert.deepEqual(wrong, []);
});

Deno.test("each thing that is wrong is found, with what to do", () => {
  const saying = (from: string, to: string) => machine({}, REPORT.replace(from, to));
  const table: [string, Machine, string, RegExp][] = [
    ["kernel", machine({ kernel: () => "4.4.0" }), "problem", /4\.18/],
    ["kernel", machine({ kernel: () => "5.15.0-1" }), "warning", /segmentation/],
    ["page size", saying("page-size 4096", "page-size 65536"), "problem", /4096/],
    ["capabilities", saying("cap-eff 3400", "cap-eff 0"), "problem", /AmbientCapabilities/],
    ["socket buffers", saying("cap-eff 3400", "cap-eff 2400"), "warning", /rmem_max/],
    ["clock", machine({ nowMs: () => 0 }), "problem", /set the clock/],
    ["clock", machine({ exists: () => false }), "warning", /chrony/],
    ['uplink "p0"', saying("interface p0", "interface p1"), "problem", /plane\.uplink/],
    ['host "vf0"', saying("vf0 up", "vf0 down"), "warning", /set vf0 up/],
    [
      "kernel forwarding",
      machine({}, REPORT.replace("guard 0", "guard 1") + "forwards vf0 3\n"),
      "problem",
      /^sysctl -w net\.ipv4\.conf\.vf0\.forwarding=0 net\.ipv6\.conf\.vf0\.disable_ipv6=1$/,
    ],
    ["ingress guard", saying("guard 0", "guard 1"), "warning", /CAP_NET_ADMIN/],
    ["ingress guard", saying("guard 0", "guard 2"), "warning", /5\.12/],
    ["ingress guard", saying("guard 0", "guard 3"), "warning", /require/],
    ["file descriptors", machine({ descriptorLimit: undefined }), "warning", /^$/],
    ["file descriptors", machine({ descriptorLimit: 256 }), "warning", /LimitNOFILE=440 /],
    ["MTU", saying("up 9000", "up 1500"), "warning", /1560/],
    ["addresses", machine({ addresses: () => [] }), "problem", /pip/],
    [
      "database",
      machine({ checkDatabase: () => "malformed", exists: () => true }),
      "problem",
      /move the file away/,
    ],
  ];
  for (const [what, given, verdict, advice] of table) {
    const finding = all(given).find((one) => one.what === what);
    assert.equal(finding?.verdict, verdict, `${what}: ${JSON.stringify(finding)}`);
    assert.match(finding?.advice ?? "", advice, what);
  }
});

Deno.test("what a device asks for is looked at where the plane is in hardware, and nowhere else", () => {
  const HARDWARE = `${REPORT}memlock 65536
verbs 2 1
hugepages-mb 64
`;
  const whats = [
    "rights on the device",
    "files of the device",
    "locked memory",
    "hugepages",
  ];
  const { config } = parseConfig(
    `{"id":"h1","pip":"192.0.2.1","vips":["10.1.0.0/24"],"rpc":{"insecure":true},"peers":[],
      "plane":{"kind":"doca","pci":"03:00.0","representor":"pf0vf0"}}`,
    "/etc/psp-agent/peers.json",
  );
  const look = (report: string) =>
    configFindings(machine({}, report), config).filter(({ what }) => whats.includes(what));
  const good = HARDWARE.replace("cap-eff 3400", "cap-eff 27000");
  assert.deepEqual(
    look(good).map(({ what, verdict }) => [what, verdict]),
    whats.map((w) => [w, "ok"]),
  );
  assert.ok(!configFindings(machine({}, good), CONFIG).some(({ what }) => whats.includes(what)));
  const table: [string, string, string, RegExp][] = [
    ["rights on the device", "27000", "3000", /no CAP_SYS_RAWIO$/],
    ["rights on the device", "27000", "20000", /no CAP_NET_RAW, no CAP_NET_ADMIN$/],
    ["files of the device", "verbs 2 1", "verbs 0 0", /there is no \/dev\/infiniband/],
    ["files of the device", "verbs 2 1", "verbs 2 0", /0 of 2 files/],
    ["locked memory", "27000", "23000", /at most 64 KiB, no CAP_IPC_LOCK/],
    ["hugepages", "hugepages-mb 64", "hugepages-mb 0", /0 MiB are free/],
    ["hugepages", "hugepages-mb 64\n", "", /0 MiB are free/],
  ];
  for (const [what, from, to, found] of table) {
    const finding = look(good.replace(from, to)).find((one) => one.what === what);
    assert.equal(finding?.verdict, "problem", `${what}, ${to}`);
    assert.match(finding?.found ?? "", found);
    assert.match(finding?.advice ?? "", /docs\/(install|doca)\.md/);
  }
  const unlimited = good.replace("27000", "23000").replace("memlock 65536", "memlock unlimited");
  assert.ok(look(unlimited).every(({ verdict }) => verdict === "ok"));
});

Deno.test("a guard that is required or switched off is judged so, and forwarding with it", () => {
  const verdicts = (hostGuard: "auto" | "require" | "off", guard: 0 | 1) => {
    const { plane } = CONFIG;
    assert.ok(plane.kind === "soft");
    const config = { ...CONFIG, plane: { ...plane, hostGuard } };
    const report = REPORT.replace("guard 0", `guard ${guard}`) + "forwards vf0 1\n";
    const findings = configFindings(machine({}, report), config);
    return ["ingress guard", "kernel forwarding"].map((what) =>
      findings.find((finding) => finding.what === what)?.verdict
    );
  };
  assert.deepEqual(verdicts("auto", 0), ["ok", "ok"]);
  assert.deepEqual(verdicts("require", 0), ["ok", "ok"]);
  assert.deepEqual(verdicts("off", 0), ["warning", "problem"]);
  assert.deepEqual(verdicts("auto", 1), ["warning", "problem"]);
  assert.deepEqual(verdicts("require", 1), ["problem", "problem"]);
});

Deno.test("capabilities are for raw sockets, and for the PSP port", () => {
  const found = (mask: string) =>
    machineFindings(machine({}, REPORT.replace("cap-eff 3400", `cap-eff ${mask}`)))
      .find(({ what }) => what === "capabilities")?.found;
  assert.equal(found("2400"), "CAP_NET_RAW, CAP_NET_BIND_SERVICE");
  assert.equal(found("3000"), "CAP_NET_RAW, CAP_NET_ADMIN");
  assert.equal(found("2000"), "no CAP_NET_BIND_SERVICE");
  assert.equal(found("1000"), "no CAP_NET_RAW");
});

Deno.test("descriptors and connections are compared with the number of peers", () => {
  const peers = Array.from({ length: 300 }, (_, i) => ({
    ...PEER,
    id: `p${i}`,
    svcAddress: `192.0.2.2:${i + 1}`,
  }));
  const found = (descriptorLimit: number) =>
    new Map(
      configFindings(machine({ descriptorLimit }), { ...CONFIG, peers }).map((
        one,
      ) => [one.what, one]),
    );
  assert.equal(found(1024).get("file descriptors")?.verdict, "ok");
  assert.equal(found(690).get("file descriptors")?.verdict, "warning");
  assert.equal(found(600).get("file descriptors")?.verdict, "problem");
  assert.equal(found(1024).get("connections")?.verdict, "warning");
  assert.match(found(1024).get("connections")?.advice ?? "", /rpc\.max_connections: 600/);
});

Deno.test("each port takes descriptors for each worker", () => {
  const plane = (ports: number, workers: number) => ({
    ...CONFIG.plane,
    host: Array.from({ length: ports }, (_, i) => `vf${i}`),
    workers,
  });
  const advice = (ports: number, workers: number) =>
    configFindings(machine({ descriptorLimit: 256 }), {
      ...CONFIG,
      plane: plane(ports, workers) as Config["plane"],
    }).find(({ what }) => what === "file descriptors")?.advice ?? "";
  assert.match(advice(1, 1), /LimitNOFILE=440 /);
  assert.match(advice(255, 1), /LimitNOFILE=948 /);
  assert.match(advice(255, 4), /LimitNOFILE=2484 /);
});

Deno.test("a key exchange that is not post-quantum is a problem where that is required", () => {
  const found = (keyExchange: string | undefined, requirePq: boolean) =>
    configFindings(machine({ keyExchange }), { ...CONFIG, rpc: { ...CONFIG.rpc, requirePq } })
      .find(({ what }) => what === "key exchange");
  assert.deepEqual(
    [found("X25519", false), found("X25519MLKEM768", true)].map((one) => one?.verdict),
    ["ok", "ok"],
  );
  for (const other of ["X25519", undefined]) assert.equal(found(other, true)?.verdict, "problem");
  assert.match(found("X25519", false)?.found ?? "", /not post-quantum/);
});
