// SPDX-License-Identifier: Apache-2.0

/** Each question can be answered with no, and the ones after it are asked all the same. */
import assert from "node:assert/strict";
import type { Plane } from "../../ffi/plane.ts";
import { parseConfig } from "../config/load.ts";
import { installTopology } from "../pipes/install.ts";
import { buildTopology } from "../pipes/topology.ts";
import { FlowTable } from "../plane/flow_table.ts";
import { StepClock } from "../../tests/support/flow_lab.ts";
import { FakePlane } from "../../tests/support/fake_plane.ts";
import { askEntries, askKeys, askRates } from "./hardware_keys.ts";
import { askMachine } from "./hardware_machine.ts";
import { askHeart, askOpened } from "./hardware_packets.ts";
import { askPipes, FORMS } from "./hardware_pipes.ts";
import { type Machine, parseReport } from "./machine.ts";
import { type Answer, Inquiry, NotAsked, reportText } from "./probe.ts";

type Verdicts = Readonly<Record<string, Answer["verdict"]>>;

function verdicts({ answers }: Inquiry): Verdicts {
  return Object.fromEntries(answers.map(({ id, verdict }) => [id, verdict]));
}

/** Those that are not a yes. */
function others(inquiry: Inquiry): Verdicts {
  return Object.fromEntries(Object.entries(verdicts(inquiry)).filter(([, v]) => v !== "yes"));
}

const QUESTION = { id: "X1", asks: "Is it so?", yes: "it is", no: "it is not" };

Deno.test("an answer is yes, no or open, and has the calls that were made for it", async () => {
  const calls = [["a -> ok", "b -> DOCA_ERROR_FULL"], [], ["c -> ok"]];
  const inquiry = new Inquiry(() => calls.shift() ?? []);
  await inquiry.ask(QUESTION, () => "this");
  await inquiry.ask({ ...QUESTION, id: "X2" }, () => {
    throw new Error("that");
  });
  await inquiry.ask({ ...QUESTION, id: "X3" }, () => {
    throw new NotAsked("nobody here");
  });
  assert.deepEqual(
    inquiry.answers.map(({ verdict, saw, means, refused, calls }) => [
      verdict,
      saw,
      means,
      refused.length,
      calls,
    ]),
    [
      ["yes", "this", "it is", 1, 2],
      ["no", "that", "it is not", 0, 0],
      ["open", "nobody here", "not settled", 0, 1],
    ],
  );
  assert.equal(
    reportText(inquiry.answers, [["device", "none"]]),
    `psp-agent doctor --hardware
device     none
answers    1 yes, 1 no, 1 open

yes  X1   Is it so?
          saw:   this (2 calls)
          means: it is
          call:  b -> DOCA_ERROR_FULL
no   X2   Is it so?
          saw:   that
          means: it is not
open X3   Is it so?
          saw:   nobody here (1 calls)
          means: not settled
`,
  );
});

const CONFIG = parseConfig(
  `{"id":"h1","pip":"192.0.2.1","vips":["10.1.0.0/24"],"rpc":{"insecure":true},"peers":[],
    "plane":{"kind":"doca","pci":"03:00.0","representor":"pf0vf0"}}`,
  "/etc/psp-agent/peers.json",
).config;

const REPORT = `cap-eff 27000
memlock unlimited
verbs 1 1
hugepages-mb 64
interface p0 up 1600
hca 0000:03:00.0 mlx5_0 MT41692 32.39.1002 MT_0000000884
switch p0 b83fd2 p0
switch pf0vf0 b83fd2 pf0vf0
`;
const VERSION = "doca 0.1.0; DOCA 3.2.1, built with 3.2.0; DPDK 22.11";

async function machine(report: string, version = VERSION): Promise<Inquiry> {
  const inquiry = new Inquiry(() => []);
  const { plane } = CONFIG;
  assert.ok(plane.kind === "doca");
  const here = {
    report: parseReport(report),
    addresses: () => [],
    exists: () => false,
  } as Partial<Machine> as Machine;
  await askMachine(inquiry, {
    machine: here,
    config: CONFIG,
    hosts: ["pf0vf0"],
    plane,
    version,
  });
  return inquiry;
}

Deno.test("the machine around a device: each thing that is wrong has its question", async () => {
  assert.deepEqual(others(await machine(REPORT)), {});
  const table: [string, string, string, Answer["verdict"]][] = [
    ["hca 0000:03:00.0", "hca 0000:04:00.0", "A2", "no"],
    ["switch pf0vf0", "switch pf1vf0", "A3", "no"],
    ["cap-eff 27000", "cap-eff 7000", "A4", "no"],
    ["verbs 1 1", "verbs 1 0", "A5", "no"],
    ["cap-eff 27000\nmemlock unlimited", "cap-eff 23000\nmemlock 65536", "A6", "no"],
    ["hugepages-mb 64", "hugepages-mb 0", "A7", "no"],
    ["up 1600", "up 1500", "A8", "no"],
    ["interface p0", "interface eth0", "A8", "open"],
  ];
  for (const [from, to, id, verdict] of table) {
    assert.deepEqual(others(await machine(REPORT.replace(from, to))), { [id]: verdict }, to);
  }
  for (
    const version of [
      VERSION.replace("built with 3.2.0", "built with 3.0.0"),
      VERSION.replace("built with 3.2.0", "built with 3.2.0, newer than 3.3"),
    ]
  ) {
    assert.deepEqual(others(await machine(REPORT, version)), { A1: "no" });
  }
  assert.deepEqual(others(await machine(REPORT, "soft 0.1.0")), { A1: "open" });
});

Deno.test("a pipe that is refused leaves out what forwards to it, and nothing else", async () => {
  const plane = new FakePlane();
  plane.failNext("createPipe", { pipe: "EGR_ACL" });
  const inquiry = new Inquiry(() => []);
  await askPipes(inquiry, plane, [2, 3]);
  const not = others(inquiry);
  const about = (id: string) => inquiry.answers.find((one) => one.id === id)?.asks ?? "";
  const [egress = "", root = "", entries = "", ...more] = Object.keys(not);
  assert.deepEqual(more, []);
  assert.match(about(egress), /pipe EGR_ACL \(tunnel/);
  assert.match(about(root), /pipe ROOT \(tunnel/);
  assert.match(about(entries), /entries of ROOT \(tunnel/);
  assert.deepEqual(Object.values(not), ["no", "open", "open"]);
  assert.deepEqual(plane.pipeNames(), []);
});

Deno.test("an entry that is refused is named, and the others of its pipe are asked for", async () => {
  const plane = new FakePlane();
  plane.failNext("addEntry", { pipe: "ROOT" });
  const inquiry = new Inquiry(() => []);
  await askPipes(inquiry, plane, [2, 3]);
  const [no] = inquiry.answers.filter(({ verdict }) => verdict !== "yes");
  assert.match(no?.asks ?? "", /entries of ROOT \(tunnel\)/);
  assert.match(no?.saw ?? "", /^arp: /);
  assert.equal(inquiry.answers.filter(({ verdict }) => verdict !== "yes").length, 1);
});

/** A plane with the pipes of a tunnel, and a table of flows on it. */
function lab() {
  const plane = new FakePlane();
  const installed = installTopology(plane, buildTopology(FORMS[0][1]));
  const clock = new StepClock();
  const flows = new FlowTable({
    plane,
    installed,
    clock,
    localPip: "192.0.2.1",
    ttl: 64,
    copyDscp: false,
    gatewayMac: "02:50:53:50:00:01",
    nextHopMac: (sa) => sa.mac,
    placeOf: () => ({ mac: "02:00:00:00:00:11", port: plane.ports.host }),
  });
  return { plane, flows, clock };
}

Deno.test("keys, entries and speed: each call that is refused answers its question with no", async () => {
  const table: [keyof Plane, string | undefined, string[]][] = [
    ["generateSpis", undefined, ["D1"]],
    ["setCrypto", undefined, ["D3"]],
    ["rotateMasterKey", undefined, ["D5"]],
    ["addEntry", "EGR_ACL", ["E1"]],
    ["addEntry", "INGR_ACL", ["E3"]],
    ["updateEntry", undefined, ["E2"]],
    ["removeEntry", undefined, ["E3"]],
  ];
  for (const [method, pipe, expected] of [["inject", undefined, []] as const, ...table]) {
    const { plane, flows } = lab();
    plane.failNext(method, pipe === undefined ? {} : { pipe });
    const inquiry = new Inquiry(() => []);
    await askKeys(inquiry, plane);
    await askEntries(inquiry, { plane, flows, pip: "192.0.2.1" });
    await askRates(inquiry, { plane, flows });
    const asked = Object.keys(verdicts(inquiry));
    assert.deepEqual(Object.keys(others(inquiry)), expected, `${String(method)} ${pipe}`);
    assert.ok(asked.includes("E7") && asked.includes("H3"));
  }
});

Deno.test("a rotation that leaves the top bit alone is seen", async () => {
  const { plane } = lab();
  plane.rotateMasterKey = () => {};
  const inquiry = new Inquiry(() => []);
  await askKeys(inquiry, plane);
  assert.deepEqual(others(inquiry), { D5: "no" });
});

/** A clock that runs on by itself: whatever is waited for has had its time. */
class Hurried extends StepClock {
  override sleep(ms: number): Promise<void> {
    return this.pass(ms);
  }
}

Deno.test("packets that do not arrive are a no with the counters, those that nobody sends stay open", async () => {
  const { plane, flows } = lab();
  const far = lab();
  const crypto = {
    backend: "auto" as const,
    seal: (_: unknown, packet: Uint8Array<ArrayBuffer>) => packet,
    unseal: () => assert.fail(),
    derive: () => assert.fail(),
    kbkdf: () => assert.fail(),
  };
  const common = {
    plane,
    flows,
    clock: new Hurried(),
    pip: "192.0.2.1",
    waitMs: 100,
    events: [],
    hosts: [2, 3],
  };
  const inquiry = new Inquiry(() => []);
  await askOpened(inquiry, { ...common, far: { ...far, crypto } });
  await askHeart(inquiry, { ...common, far: { ...far, crypto } });
  const open = { G1: "open", G2: "open", G3: "open", G4: "open", G6: "open", G7: "no" };
  assert.deepEqual(others(inquiry), { F1: "no", F2: "no", F3: "no", ...open });
  assert.match(inquiry.answers[0]?.saw ?? "", /^not opened: no counter has grown$/);
  assert.equal(far.plane.injected.length, 3);
});

Deno.test("a held packet that is gone, and one that does not leave, are a no", async () => {
  for (const [held, saw] of [[0, /no packet was held/], [1, /EGR_ACL counts none/]] as const) {
    const { plane, flows } = lab();
    plane.releaseHeld = () => held;
    const miss = {
      type: "miss",
      flow: 1,
      port: 2,
      network: 0,
      srcVip: "10.1.0.1",
      dstVip: "10.2.0.1",
      ethSrc: "02:00:00:00:00:11",
    } as const;
    const inquiry = new Inquiry(() => []);
    await askHeart(inquiry, {
      plane,
      flows,
      clock: new Hurried(),
      pip: "192.0.2.1",
      waitMs: 100,
      hosts: [2],
      events: [miss],
      far: undefined,
    });
    assert.deepEqual(others(inquiry), {
      G2: "no",
      G3: "open",
      G4: "open",
      G6: "open",
      G7: "open",
    });
    assert.match(inquiry.answers[1]?.saw ?? "", saw);
  }
});
