// SPDX-License-Identifier: Apache-2.0

/** `psp-agent doctor` */
import { openLibrary } from "../../ffi/library.ts";
import { hostReport } from "../../ffi/machine.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { configFindings, type Finding, machineFindings } from "../doctor/checks.ts";
import { type HostReport, parseReport, thisMachine } from "../doctor/machine.ts";
import { loadTls } from "../rpc/tls.ts";
import { EXIT, type ExitCode, json, out, sentence } from "./io.ts";
import { shimPath } from "./shim.ts";

/** What the command line says. */
export interface DoctorArgs {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly library: string | undefined;
}

const DAY_MS = 86_400_000;
/** From here on a certificate's end is worth a word. */
const SOON_MS = 14 * DAY_MS;

/** One line for each thing that was looked at, and below it what to do. 1: something is a problem. */
export async function doctor(args: DoctorArgs): Promise<ExitCode> {
  const { config, finding } = await configuration(args.config);
  const { report, ...loaded } = shim(args.library ?? config?.plane.library, config);
  const machine = thisMachine(report);
  const findings = [...machineFindings(machine), loaded.finding];
  if (finding !== undefined) findings.push(finding);
  if (config !== undefined) {
    findings.push(...configFindings(machine, config), certificate(config, machine.nowMs()));
  }
  out(args.json ? json(findings) : findings.map(render).join(""));
  return findings.some(({ verdict }) => verdict === "problem") ? EXIT.failure : EXIT.ok;
}

async function configuration(
  file: string | undefined,
): Promise<{ readonly config?: Config; readonly finding?: Finding }> {
  if (file === undefined) return {};
  const what = "configuration";
  try {
    const { config, warnings } = await loadConfig(file, { files: "warn" });
    if (warnings.length === 0) return { config, finding: { what, verdict: "ok", found: file } };
    return {
      config,
      finding: { what, verdict: "warning", found: warnings.join("; "), advice: "psp-agent check" },
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const advice = "psp-agent check says where";
    return { finding: { what, verdict: "problem", found: error.message, advice } };
  }
}

/** The shim knows more of the machine than we may see. */
function shim(
  library: string | undefined,
  config: Config | undefined,
): { readonly finding: Finding; readonly report?: HostReport } {
  const what = "shim";
  try {
    const kind = config?.plane.kind ?? "soft";
    using open = openLibrary(shimPath({ library, kind }));
    return {
      finding: { what, verdict: "ok", found: open.version },
      report: parseReport(hostReport(open)),
    };
  } catch (error) {
    const advice = "use the program as it was built, or name a shim that fits it";
    return { finding: { what, verdict: "problem", found: sentence(error), advice } };
  }
}

function certificate({ rpc, id, domain }: Config, nowMs: number): Finding {
  const what = "certificate";
  if (rpc.tls === undefined) {
    const advice = "rpc.tls: psp-agent pki makes certificates for a trial";
    return { what, verdict: "warning", found: "none: keys travel in clear text", advice };
  }
  try {
    const { expiresAtMs } = loadTls(rpc.tls, nowMs, { id, domain });
    const found = `valid until ${new Date(expiresAtMs).toISOString()}`;
    if (expiresAtMs - nowMs > SOON_MS) return { what, verdict: "ok", found };
    return {
      what,
      verdict: "warning",
      found,
      advice: "replace the files; the agent reads them again",
    };
  } catch (error) {
    const advice = "psp-agent pki issue makes one; the clock may be wrong as well";
    return { what, verdict: "problem", found: sentence(error), advice };
  }
}

function render({ what, verdict, found, advice }: Finding): string {
  return `${verdict.padEnd(7)}  ${what}: ${found}\n${advice ? `         ${advice}\n` : ""}`;
}
