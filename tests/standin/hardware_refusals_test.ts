// SPDX-License-Identifier: Apache-2.0

/**
 * `psp-agent doctor --hardware` where the device refuses one thing, once: each function of DOCA's and DPDK's that the
 * questions use, at its first use and at its last, and what completions say. The report names it, the other questions are
 * asked all the same, nothing stays, and no interface has changed.
 */
import assert from "node:assert/strict";
import { hostReport, type Library, openLibrary } from "../../ffi/library.ts";
import { parseConfig } from "../../src/config/load.ts";
import { askHardware } from "../../src/doctor/hardware.ts";
import { parseReport, thisMachine } from "../../src/doctor/machine.ts";
import { type Answer, reportText } from "../../src/doctor/probe.ts";
import { systemClock } from "../../src/model/clock.ts";
import { inOwnNamespace, ip } from "../support/own_namespace.ts";
import { PLANE, STANDIN_LIBRARY } from "../support/standin.ts";
import { StandinHooks } from "../support/standin_hooks.ts";

const PCI = "0000:03:00.0";

/**
 * What a device may refuse without a question's answer being no: what is given back is gone, and the plane finds another way. The
 * trace of the calls has them, but for counters, which are read again.
 */
const LIVED_WITH = new Set([
  "doca_devinfo_destroy_list",
  "doca_devinfo_rep_destroy_list",
  "doca_devinfo_get_iface_name",
  "doca_devinfo_rep_get_iface_name",
  "doca_devinfo_is_equal_pci_addr",
  "doca_devinfo_rep_is_equal_pci_addr",
  "doca_devinfo_rep_get_pci_func_type",
  "doca_dpdk_get_rep_vf_index",
  "doca_dev_close",
  "doca_dev_rep_close",
  "doca_flow_cfg_destroy",
  "doca_flow_port_cfg_destroy",
  "doca_flow_pipe_cfg_destroy",
  "doca_flow_port_stop",
  "doca_flow_get_target",
  "doca_flow_port_update_default_miss",
  "doca_flow_resource_query_entry",
  "doca_flow_resource_query_pipe_miss",
  "doca_flow_crypto_psp_spi_key_wipe",
  "doca_flow_crypto_psp_spi_key_bulk_free",
  "rte_flow_isolate",
  "rte_eth_dev_info_get",
  "rte_eth_dev_get_mtu",
  "rte_eth_link_get_nowait",
  "rte_eth_dev_stop",
  "rte_eth_dev_close",
  "rte_thread_register",
  // A root that may not count what it leaves to the default leads to a pipe that does.
  "doca_flow_pipe_cfg_set_miss_counter",
  // The way to the kernel, which an isolated port leaves to it by itself.
  "doca_flow_pipe_control_add_entry",
  // What does not go is tried again, or goes with its pipe; a key that is to end ends with its id.
  "doca_flow_entries_process",
  "doca_flow_pipe_remove_entry",
  "remove",
  "remove_lost",
  "doca_flow_shared_resource_set_cfg",
  "doca_flow_port_shared_resource_set_cfg",
]);

/** What the report has instead of the name. */
const NAMES: Readonly<Record<string, string>> = {
  add: "doca_flow_entries_process",
  add_lost: "doca_flow_entries_process",
  remove: "doca_flow_entries_process",
  remove_lost: "entry_remove",
  update: "doca_flow_entries_process",
  update_lost: "doca_flow_entries_process",
  doca_devinfo_is_equal_pci_addr: "there is no DOCA device",
  doca_devinfo_rep_is_equal_pci_addr: "no representor",
  doca_devinfo_rep_get_pci_func_type: "plane.dpdk_representor",
  doca_dpdk_get_rep_vf_index: "plane.dpdk_representor",
};

await inOwnNamespace(import.meta.url, async () => {
  await ip("link add host2 type veth peer name host3");
  for (const name of ["host2", "host3"]) await ip(`link set ${name} up`);

  Deno.test("whatever is refused once is named, the rest is asked, and nothing stays", async () => {
    assert.equal(PLANE, "doca", "This needs PSP_PLANE=doca");
    Deno.env.set("PSP_DOCA_EAL", "--no-huge -m 128");
    Deno.env.set("DOCA_STANDIN_PCI", `${PCI}=up0`);
    const trace = await Deno.makeTempFile({ prefix: "psp-refusals-" });
    Deno.env.set("PSP_DOCA_TRACE", trace);
    try {
      using library = openLibrary(STANDIN_LIBRARY);
      using hooks = new StandinHooks();
      await sweep({ library, hooks, trace });
    } finally {
      await Deno.remove(trace);
    }
  });
});

interface Lab {
  readonly library: Library;
  readonly hooks: StandinHooks;
  readonly trace: string;
}

async function sweep(lab: Lab): Promise<void> {
  const { hooks } = lab;
  hooks.refuse("");
  const before = interfaces(lab.library);
  const whole = await ask(lab);
  const uses = hooks.uses();
  assert.ok(uses.size > 40, `${uses.size} functions`);
  const ids = whole.map(({ id }) => id);
  const usual = new Set(nos(whole));
  const failures: string[] = [];
  for (const [call, n] of uses) {
    for (const use of new Set([1, n])) {
      hooks.refuse(`${call}/${use}`);
      const answers = await ask(lab);
      const wrong = judge({ call, answers, ids, usual, refused: hooks.refused() });
      const left = hooks.left();
      if (left !== "") wrong.push(`it leaves ${left}`);
      if (interfaces(lab.library) !== before) wrong.push("an interface has changed");
      for (const one of wrong) failures.push(`${call}, use ${use} of ${n}: ${one}`);
    }
  }
  assert.deepEqual(failures, []);
}

/** What is wrong with a report. */
function judge({ call, answers, ids, usual, refused }: {
  readonly call: string;
  readonly answers: readonly Answer[];
  /** Of all questions. */
  readonly ids: readonly string[];
  /** Those that are answered with no on any machine without such a device. */
  readonly usual: ReadonlySet<string>;
  readonly refused: number;
}): string[] {
  const wrong: string[] = [];
  const no = nos(answers).filter((id) => !usual.has(id));
  // What is waited for until something has happened is not used as often each time.
  if (refused === 0) return no.length > 0 ? [`nothing was refused, and ${no} are no`] : [];
  if (no.length === 0 && !LIVED_WITH.has(call)) wrong.push("no answer is no");
  const text = reportText(answers, []);
  if (no.length > 0 && !text.includes(NAMES[call] ?? call)) {
    wrong.push(
      `the report does not name it: ${
        answers.filter(({ id }) => no.includes(id)).map(({ id, saw }) => `${id} ${saw}`).join("; ")
      }`,
    );
  }
  const asked = new Set(answers.map(({ id }) => id));
  const missing = ids.filter((id) => !asked.has(id));
  const ends = no.includes("B1") || no.includes("E0");
  if (missing.length > 0 && !ends) wrong.push(`not asked: ${missing}`);
  if (!no.includes("B1") && answers.at(-1)?.id !== "I3") wrong.push("it ends early");
  return wrong;
}

function nos(answers: readonly Answer[]): readonly string[] {
  return answers.filter(({ verdict }) => verdict === "no").map(({ id }) => id);
}

/** Everything but what needs a workload and a far end. */
async function ask({ library, trace }: Lab): Promise<readonly Answer[]> {
  await Deno.truncate(trace);
  let at = 0;
  const { config } = parseConfig(
    JSON.stringify({
      id: "h1",
      pip: "192.0.2.1",
      vips: ["10.1.0.0/24"],
      plane: { kind: "doca", pci: PCI, representor: ["host0", "host2"] },
      rpc: { insecure: true },
      peers: [],
    }),
    "/etc/psp-agent/peers.json",
  );
  const { plane } = config;
  assert.ok(plane.kind === "doca");
  return await askHardware({
    config,
    plane,
    library,
    machine: () =>
      thisMachine({
        report: parseReport(hostReport(library)),
        descriptorLimit: library.descriptorLimit,
        keyExchange: undefined,
      }),
    calls: () => {
      const lines = Deno.readTextFileSync(trace).split("\n").slice(0, -1);
      const fresh = lines.slice(at);
      at = lines.length;
      return fresh;
    },
    waitMs: 0,
    clock: systemClock(),
    say: () => {},
  });
}

/** Name, state and MTU of each. */
function interfaces(library: Library): string {
  return hostReport(library).split("\n").filter((line) => line.startsWith("interface ")).join("\n");
}
