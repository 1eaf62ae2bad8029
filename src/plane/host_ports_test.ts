// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { FakePlane } from "../../tests/support/fake_plane.ts";
import { NO_LOG } from "../../tests/support/no_log.ts";
import { hasManyHosts, type PlaneConfig } from "../config/config.ts";
import { hostInterfaces, hostPort, HostPorts } from "./host_ports.ts";

function soft(host: string | readonly string[]): PlaneConfig {
  return {
    kind: "soft",
    uplink: "p0",
    host,
    maxEntries: 1024,
    backend: "auto",
    hostGuard: "auto",
    uplinkVlan: 0,
  };
}

function lab(host: string | readonly string[], opened: readonly string[] = []) {
  const plane = new FakePlane();
  const made = { plane, there: new Set(["lo", "p0"]), now: 0, removed: [] as string[] };
  const ports = new HostPorts({
    config: soft(host),
    opened,
    plane,
    interfaces: () => made.there,
    now: () => made.now,
    log: NO_LOG,
  });
  ports.onRemove = (port) => made.removed.push(port.interface);
  const names = () => ports.all().map((port) => port.interface);
  return Object.assign(made, { ports, names });
}

Deno.test("the interfaces of a list are its names that are there, and what its patterns find, each once", () => {
  const there = new Set(["p0", "tap1", "tap0", "vf0", "x"]);
  const rows: [string | readonly string[], boolean, readonly string[]][] = [
    ["vf0", false, ["vf0"]],
    ["tap*", true, ["tap0", "tap1"]],
    [["vf0", "tap*"], true, ["vf0", "tap0", "tap1"]],
    [["tap1", "tap*", "gone"], true, ["tap1", "tap0"]],
    [["*"], true, ["tap0", "tap1", "vf0", "x"]],
  ];
  for (const [host, many, expected] of rows) {
    assert.equal(hasManyHosts(soft(host)), many);
    assert.deepEqual(hostInterfaces(soft(host), there), expected);
  }
});

Deno.test("one name is opened with the plane and stays, whatever comes", () => {
  const { ports, plane, names, ...made } = lab("vf0", ["vf0"]);
  made.there.add("vf1");
  ports.tick();
  assert.deepEqual(names(), ["vf0"]);
  assert.equal(ports.get(plane.ports.host)?.interface, "vf0");
  assert.deepEqual(ports.missing(), []);
});

Deno.test("ports come as their interfaces do, and a pattern's go a while after theirs", () => {
  const l = lab(["vf0", "tap*"]);
  assert.deepEqual(l.ports.missing(), ["vf0"]);
  l.there.add("tap0").add("tap1");
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap0", "tap1"]);
  l.there.add("vf0");
  l.ports.tick();
  assert.deepEqual([l.names(), l.ports.missing()], [["tap0", "tap1", "vf0"], []]);
  for (const gone of ["tap0", "tap1", "vf0"]) l.there.delete(gone);
  l.ports.tick();
  l.now += 5000;
  l.there.add("tap1");
  l.ports.tick();
  l.now += 5000;
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap1", "vf0"], "one came back, and an exact name stays");
  assert.deepEqual(l.removed, ["tap0"]);
  l.there.add("tap0");
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap1", "vf0", "tap0"]);
  assert.deepEqual(l.ports.counters(), {
    "ports-added": 4n,
    "ports-removed": 1n,
    "ports-refused": 0n,
  });
});

Deno.test("an interface that the plane refuses is tried again later, and others are not kept waiting", () => {
  const l = lab(["tap*"]);
  l.there.add("tap0").add("tap1");
  l.plane.failNext("addPort", { code: "EBUSY" });
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap1"]);
  l.now += 9999;
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap1"]);
  l.now += 1;
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap1", "tap0"]);
  assert.equal(l.ports.counters()["ports-refused"], 1n);
});

Deno.test("a port that the plane does not let go is tried again", () => {
  const l = lab(["tap*"]);
  l.there.add("tap0");
  l.ports.tick();
  l.there.delete("tap0");
  l.ports.tick();
  l.now += 10_000;
  l.plane.failNext("removePort", { code: "EBUSY" });
  l.ports.tick();
  assert.deepEqual(l.names(), ["tap0"]);
  l.ports.tick();
  assert.deepEqual(l.names(), []);
});

Deno.test("a port has the limits of the first of plane.ports that names it, those that are said", () => {
  const plane: PlaneConfig = {
    ...soft(["tap*"]),
    ports: [
      { name: "tap7", vips: [], missesPerS: 10, exceptionsPerMac: 0, holdBytes: 65_536 },
      { name: "tap*", vips: [], missesPerS: 20 },
    ],
  } as PlaneConfig;
  const of = (name: string) => hostPort(name, { plane, networks: undefined });
  const common = { kind: "host", network: 0, guard: "auto" };
  assert.deepEqual(of("tap7"), {
    ...common,
    name: "tap7",
    miss: { perS: 10 },
    exceptionPerMac: { perS: "none" },
    holdBytes: 65_536,
  });
  assert.deepEqual(of("tap8"), { ...common, name: "tap8", miss: { perS: 20 } });
  assert.deepEqual(of("vf0"), { ...common, name: "vf0" });
});

Deno.test("representors are those that the plane is opened with: named ones in any case, none later", () => {
  const hardware = (representor: string | readonly string[]): PlaneConfig => ({
    kind: "doca",
    pci: "0000:03:00.0",
    representor,
    cores: "0",
    mbufs: 8192,
    inspect: "off",
    uplinkVlan: 0,
  });
  const there = new Set(["p0", "pf0vf1", "pf0vf0"]);
  const rows: [string | readonly string[], boolean, readonly string[]][] = [
    ["pf0vf0", false, ["pf0vf0"]],
    [["pf0vf9", "pf0vf*"], true, ["pf0vf9", "pf0vf0", "pf0vf1"]],
  ];
  for (const [representor, many, expected] of rows) {
    assert.equal(hasManyHosts(hardware(representor)), many);
    assert.deepEqual(hostInterfaces(hardware(representor), there), expected);
  }
  const plane = new FakePlane();
  const ports = new HostPorts({
    config: hardware(["pf0vf*"]),
    opened: ["pf0vf0", "pf0vf1"],
    plane,
    interfaces: () => new Set([...there, "pf0vf2"]),
    now: () => 0,
    log: NO_LOG,
  });
  ports.tick();
  assert.deepEqual(ports.all().map((port) => port.interface), ["pf0vf0", "pf0vf1"]);
  assert.deepEqual(ports.missing(), []);
});

const network = (name: string, vc: bigint, ports: readonly string[]) => ({
  name,
  vc,
  ports,
  vips: [],
  dns: [],
  policy: { deny: [] },
});

Deno.test("ports follow the configuration: what it does not have goes, what it has otherwise is opened anew", () => {
  const l = lab(["vf0", "tap*"]);
  for (const name of ["vf0", "tap0", "tap1", "x0"]) l.there.add(name);
  l.ports.tick();
  const handles = () => new Map(l.ports.all().map((port) => [port.interface, port.handle]));
  const before = handles();
  const limits = { name: "tap1", vips: [], missesPerS: 5 };
  const next = { ...soft(["tap*", "x*"]), ports: [limits] } as PlaneConfig;
  l.ports.follow({ plane: next, networks: undefined });
  assert.deepEqual([...handles().keys()].sort(), ["tap0", "tap1", "x0"]);
  assert.deepEqual(l.removed, ["vf0", "tap1"]);
  assert.equal(handles().get("tap0"), before.get("tap0"), "another port notices nothing");
  assert.notEqual(handles().get("tap1"), before.get("tap1"));
  l.ports.follow({ plane: next, networks: undefined });
  assert.deepEqual(l.removed, ["vf0", "tap1"], "the same again is no change");
});

Deno.test("a port that comes into another network is another port; whichever networks come and go, others' ports stay", () => {
  const l = lab(["tap*"]);
  l.there.add("tap0").add("tap1");
  l.ports.tick();
  const plane = soft(["tap*"]);
  const networks = () => l.ports.all().map((port) => `${port.interface}@${port.network}`).sort();
  const [blue, red] = [network("blue", 7n, ["tap0"]), network("red", 8n, ["tap1"])];
  l.ports.follow({ plane, networks: [blue] });
  assert.deepEqual([networks(), l.removed], [["tap0@blue", "tap1@"], ["tap0"]]);
  // Another one before it changes nothing of the number that the plane knows it by.
  l.ports.follow({ plane, networks: [red, blue] });
  assert.deepEqual([networks(), l.removed], [["tap0@blue", "tap1@red"], ["tap0", "tap1"]]);
  l.ports.follow({ plane, networks: [red] });
  assert.deepEqual([networks(), l.removed], [["tap0@", "tap1@red"], ["tap0", "tap1", "tap0"]]);
});

Deno.test("a port that the plane does not let go at a change keeps no other from coming, and goes later", () => {
  const l = lab(["tap0", "tap1"]);
  for (const name of ["tap0", "tap1", "tap2"]) l.there.add(name);
  l.ports.tick();
  l.plane.failNext("removePort", { code: "EBUSY" });
  l.ports.follow({ plane: soft(["tap1", "tap2"]), networks: undefined });
  assert.deepEqual(l.names().sort(), ["tap0", "tap1", "tap2"]);
  l.ports.tick();
  assert.deepEqual(l.names().sort(), ["tap1", "tap2"]);
});

Deno.test("one name that the plane was opened with stays whatever the configuration says", () => {
  const l = lab("vf0", ["vf0"]);
  l.there.add("vf0").add("vf1");
  l.ports.follow({ plane: soft("vf1"), networks: undefined });
  assert.deepEqual([l.names(), l.removed], [["vf0"], []]);
});
