// SPDX-License-Identifier: Apache-2.0

/** `psp-agent doctor --hardware` */
import { hostReport, type Library, openLibrary } from "../../ffi/library.ts";
import { offline } from "../../ffi/offline.ts";
import { ConfigError } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { systemClock } from "../model/clock.ts";
import { VERSION } from "../model/version.ts";
import { askHardware, type HardwareOptions } from "../doctor/hardware.ts";
import { parseReport, thisMachine } from "../doctor/machine.ts";
import { reportText } from "../doctor/probe.ts";
import { openSoftPlane } from "../plane/plane_setup.ts";
import { err, EXIT, type ExitCode, json, out } from "./io.ts";
import { shimPath } from "./shim.ts";

/** What the command line says. */
export interface HardwareArgs {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly library: string | undefined;
  /** "UPLINK,HOST": interfaces of this machine for a software plane at the far end. */
  readonly far: string | undefined;
  /** How long the workload may take to send a packet. */
  readonly waitMs: number;
}

const TRACE = "PSP_DOCA_TRACE";

/** Asks the device what nobody knows yet, and prints a report to be pasted. 1: an answer is no. */
export async function doctorHardware(args: HardwareArgs): Promise<ExitCode> {
  if (args.config === undefined) {
    throw new ConfigError('Cannot ask the hardware: name a configuration with plane.kind "doca"');
  }
  const { config } = await loadConfig(args.config, { files: "told" });
  const { plane } = config;
  if (plane.kind !== "doca") {
    throw new ConfigError(`Cannot ask the hardware: ${args.config} has plane.kind "${plane.kind}"`);
  }
  using trace = new TraceFile();
  using library = openLibrary(
    shimPath({ library: args.library ?? plane.library, kind: "doca" }),
  );
  using soft = args.far === undefined ? undefined : openLibrary(shimPath({ kind: "soft" }));
  const answers = await askHardware({
    config,
    plane,
    library,
    machine: () =>
      thisMachine({
        report: parseReport(hostReport(library)),
        descriptorLimit: library.descriptorLimit,
        keyExchange: undefined,
      }),
    calls: () => trace.next(),
    ...soft === undefined || args.far === undefined ? {} : { openFar: farEnd(soft, args.far) },
    waitMs: args.waitMs,
    clock: systemClock(),
    say: err,
  });
  const head: [string, string][] = [
    ["agent", `psp-agent ${VERSION}, ${Deno.build.arch}, Linux ${Deno.osRelease()}`],
    ["shim", library.version],
    ["device", `${plane.pci}, representor ${[plane.representor].flat().join(", ")}`],
    ["at", new Date().toISOString()],
  ];
  out(args.json ? json({ head: Object.fromEntries(head), answers }) : reportText(answers, head));
  return answers.some(({ verdict }) => verdict === "no") ? EXIT.failure : EXIT.ok;
}

function farEnd(soft: Library, text: string): NonNullable<HardwareOptions["openFar"]> {
  const [uplink = "", host = "", ...more] = text.split(",");
  if (uplink === "" || host === "" || more.length > 0) {
    throw new ConfigError(
      `Cannot use "${text}" as the far end: write two interfaces, such as "p1,t0"`,
    );
  }
  return () => ({
    plane: openSoftPlane(soft, { uplink, host }),
    crypto: offline(soft),
  });
}

/** Where the plane writes its calls: a file of our own unless somebody has named one. */
class TraceFile implements Disposable {
  readonly #path: string;
  readonly #own: boolean;
  /** Octets that were read. */
  #at: number;

  constructor() {
    const named = Deno.env.get(TRACE);
    this.#own = named === undefined || named === "";
    this.#path = this.#own ? Deno.makeTempFileSync({ prefix: "psp-calls-" }) : named ?? "";
    this.#at = this.#own ? 0 : this.#read().length;
    if (this.#own) Deno.env.set(TRACE, this.#path);
  }

  /** Whole lines since the last time. */
  next(): readonly string[] {
    const octets = this.#read().subarray(this.#at);
    const end = octets.lastIndexOf(0x0a) + 1;
    this.#at += end;
    const text = new TextDecoder().decode(octets.subarray(0, end));
    return text.split("\n").filter((line) => line !== "");
  }

  [Symbol.dispose](): void {
    if (!this.#own) return;
    Deno.env.delete(TRACE);
    Deno.removeSync(this.#path);
  }

  #read(): Uint8Array {
    try {
      return Deno.readFileSync(this.#path);
    } catch {
      return new Uint8Array(0);
    }
  }
}
