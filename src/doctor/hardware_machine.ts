// SPDX-License-Identifier: Apache-2.0

/** Stage A of `doctor --hardware`: the machine around the device, before anything is opened. */
import type { Config } from "../config/config.ts";
import { configFindings } from "./checks.ts";
import type { Machine } from "./machine.ts";
import { type Inquiry, No, NotAsked } from "./probe.ts";

type Doca = Extract<Config["plane"], { readonly kind: "doca" }>;

/** What a workload's 1500 octets need, over IPv6. */
const UPLINK_MTU = 1580;

/** Releases, device, switch, rights, MTU. `version`: of the shim. */
export async function askMachine(
  inquiry: Inquiry,
  { machine, config, hosts, plane, version }: {
    readonly machine: Machine;
    readonly config: Config;
    /** Representors. */
    readonly hosts: readonly string[];
    readonly plane: Doca;
    readonly version: string;
  },
): Promise<void> {
  const { report } = machine;
  await inquiry.ask({
    id: "A1",
    asks:
      "Are the DOCA that runs and the one that it was built with of one release, and is it a known one?",
    yes: "the library does what its headers said, as far as releases go",
    no:
      "install one release for both; of a release that is not known the differences are not known either",
  }, () => {
    const [, runs = "", built = ""] = /DOCA (\S+), built with ([^;,\s]+)/.exec(version) ?? [];
    if (runs === "") throw new NotAsked(`the shim is "${version}"`);
    const release = (text: string) => text.split(".").slice(0, 2).join(".");
    // The shim says so of a release whose differences c-shim/doca/compat.h does not know.
    if (release(runs) !== release(built) || /, newer than /.test(version)) throw new No(version);
    return version;
  });
  await inquiry.ask({
    id: "A2",
    asks: `Is ${plane.pci} a device of NVIDIA's driver?`,
    yes: "type, firmware and board are those of the report",
    no: "wrong address, NIC mode, or mlx5_ib is not loaded",
  }, () => {
    if (report === undefined) throw new NotAsked("the machine could not be read");
    const device = report.devices.get(plane.pci);
    const known = [...report.devices.keys()].join(", ") || "none";
    if (device === undefined) throw new No(`devices here: ${known}`);
    return device;
  });
  await inquiry.ask({
    id: "A3",
    asks: `${hosts.length === 1 ? "Is" : "Are"} ${hosts.join(", ")} of a switch (switchdev mode)?`,
    yes: "the e-switch is in switchdev mode",
    no: "devlink dev eswitch set pci/... mode switchdev, or the name is wrong",
  }, () => {
    if (report === undefined) throw new NotAsked("the machine could not be read");
    const { switches } = report;
    const ids = hosts.map((name) => switches.get(name));
    const others = [...switches].map(([name, of]) => `${name} of ${of}`).join(", ");
    if (ids.includes(undefined)) throw new No(`interfaces of switches: ${others || "none"}`);
    return `switch ${[...new Set(ids)].join(", ")}: ${others}`;
  });
  const whats = ["rights on the device", "files of the device", "locked memory", "hugepages"];
  const found = configFindings(machine, config).filter(({ what }) => whats.includes(what));
  for (const [i, { what, verdict, found: saw, advice }] of found.entries()) {
    await inquiry.ask({
      id: `A${4 + i}`,
      asks: `Are there ${what}?`,
      yes: "nothing to do",
      no: advice ?? "",
    }, () => {
      if (verdict !== "ok") throw new No(saw);
      return saw;
    });
  }
  await inquiry.ask({
    id: "A8",
    asks: `Does an uplink carry ${UPLINK_MTU} octets, which leave workloads 1500 over IPv6?`,
    yes: "workloads keep 1500",
    no: `ip link set p0 mtu ${UPLINK_MTU}, and the same on the way; else workloads get less`,
  }, () => {
    const uplinks = [...report?.interfaces ?? []].filter(([name]) => /^p\d$|uplink/.test(name));
    if (uplinks.length === 0) throw new NotAsked("no interface is called p0 or p1");
    const text = uplinks.map(([name, { mtu }]) => `${name}: ${mtu}`).join(", ");
    if (!uplinks.some(([, { mtu }]) => mtu >= UPLINK_MTU)) throw new No(text);
    return text;
  });
}
