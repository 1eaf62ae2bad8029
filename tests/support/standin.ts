// SPDX-License-Identifier: Apache-2.0

/**
 * Which data plane the agents of a test run: the soft one, or with PSP_PLANE=doca the DOCA plane on
 * its stand-in (c-shim/doca-standin), which `make -C c-shim doca-standin` builds.
 */
import type { PeersJson } from "./agent_config.ts";

/** What PSP_PLANE says. */
export const PLANE: "soft" | "doca" = Deno.env.get("PSP_PLANE") === "doca" ? "doca" : "soft";

const PCI = "0000:03:00.0";

/** The release of DOCA that the stand-in is built as: 3.0 unless PSP_STANDIN says "302" or "303". */
export const STANDIN_RELEASE: string = Deno.env.get("PSP_STANDIN") ?? "300";

const STANDIN = STANDIN_RELEASE === "300" ? "standin" : `standin-${STANDIN_RELEASE}`;

/** The DOCA plane with the stand-in behind it. */
export const STANDIN_LIBRARY: string =
  new URL(`../../build/shim/${STANDIN}/libpsp_dp_doca.so`, import.meta.url).pathname;

/** The `plane` section for a host's interfaces. */
export function planeSection(uplink: string, host: string | string[]): PeersJson["plane"] {
  if (PLANE === "soft") return { kind: "soft", uplink, host };
  if (uplink !== UPLINK) throw new Error(`The stand-in's device is "${UPLINK}", not "${uplink}"`);
  return { kind: "doca", pci: PCI, representor: host, library: STANDIN_LIBRARY, inspect: "all" };
}

const UPLINK = "uplink";

/** What an agent's environment needs for it: no hugepages, and which interface is the device. */
export function planeEnv(): Record<string, string> {
  if (PLANE === "soft") return {};
  return { PSP_DOCA_EAL: "--no-huge -m 128", DOCA_STANDIN_PCI: `${PCI}=${UPLINK}` };
}
