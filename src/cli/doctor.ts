// SPDX-License-Identifier: Apache-2.0

/** `psp-agent doctor` */
import { hostReport, openLibrary } from "../../ffi/library.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { loadConfig, type Loaded } from "../config/load.ts";
import { configFindings, type Finding, machineFindings } from "../doctor/checks.ts";
import { etcdFindings } from "../doctor/etcd.ts";
import { livingFindings } from "../doctor/living.ts";
import { type HostReport, parseReport, thisMachine } from "../doctor/machine.ts";
import { ownKeyExchange } from "../rpc/key_exchange.ts";
import { examineCertificates, type Fault } from "./start_faults.ts";
import { EXIT, type ExitCode, json, out, sentence } from "./io.ts";
import { shimPath } from "./shim.ts";

/** What the command line says. */
export interface DoctorArgs {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly library: string | undefined;
}

/** One line for each thing that was looked at, and below it what to do. 1: something is a problem. */
export async function doctor(args: DoctorArgs): Promise<ExitCode> {
  const findings = await findingsOf(args);
  out(args.json ? json(findings) : findings.map(render).join(""));
  return findings.some(({ verdict }) => verdict === "problem") ? EXIT.failure : EXIT.ok;
}

/** All that was looked at, well or not. */
export async function findingsOf(args: Omit<DoctorArgs, "json">): Promise<readonly Finding[]> {
  const { loaded, finding } = await configuration(args.config);
  const config = loaded?.config;
  const { report, descriptorLimit, ...library } = shim(
    args.library ?? config?.plane.library,
    config,
  );
  const machine = thisMachine({
    report,
    descriptorLimit,
    keyExchange: await ownKeyExchange(),
  });
  const findings = [...machineFindings(machine), library.finding];
  if (finding !== undefined) findings.push(finding);
  if (loaded !== undefined) {
    const { config } = loaded;
    findings.push(...configFindings(machine, config), ...certificates(loaded, machine.nowMs()));
    const { etcd } = config.directory;
    if (etcd !== undefined) findings.push(...await etcdFindings(etcd));
    findings.push(...await livingFindings(config));
  }
  return findings;
}

async function configuration(
  file: string | undefined,
): Promise<{ readonly loaded?: Loaded; readonly finding?: Finding }> {
  if (file === undefined) return {};
  const what = "configuration";
  try {
    const loaded = await loadConfig(file, { files: "told" });
    const { warnings, unreadable } = loaded;
    if (unreadable.length > 0) {
      const found = [...unreadable.map(({ text }) => text), ...warnings].join("; ");
      const advice = "put the files there, readable for the agent's user, or name others";
      return { loaded, finding: { what, verdict: "problem", found, advice } };
    }
    if (warnings.length === 0) return { loaded, finding: { what, verdict: "ok", found: file } };
    return {
      loaded,
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
): {
  readonly finding: Finding;
  readonly report: HostReport | undefined;
  readonly descriptorLimit: number | undefined;
} {
  const what = "shim";
  try {
    const kind = config?.plane.kind ?? "soft";
    using open = openLibrary(shimPath({ library, kind }));
    return {
      finding: { what, verdict: "ok", found: open.version },
      report: parseReport(hostReport(open)),
      descriptorLimit: open.descriptorLimit,
    };
  } catch (error) {
    const advice = "use the program as it was built, or name a shim that fits it";
    const finding: Finding = { what, verdict: "problem", found: sentence(error), advice };
    return { finding, report: undefined, descriptorLimit: undefined };
  }
}

function certificates(loaded: Loaded, nowMs: number): Finding[] {
  const what = "certificate";
  if (loaded.config.rpc.tls === undefined) {
    const advice = "rpc.tls: psp-agent pki makes certificates for a trial";
    return [{ what, verdict: "warning", found: "none: keys travel in clear text", advice }];
  }
  const { problems, warnings, expiresAtMs } = examineCertificates(loaded, nowMs);
  const findings = [
    ...problems.map((fault): Finding => ({ what, verdict: "problem", found: worded(fault) })),
    ...warnings.map((fault): Finding => ({ what, verdict: "warning", found: worded(fault) })),
  ];
  if (findings.length > 0 || expiresAtMs === undefined) return findings;
  return [{ what, verdict: "ok", found: `valid until ${new Date(expiresAtMs).toISOString()}` }];
}

function worded({ key, text }: Fault): string {
  return `${key}: ${text}`;
}

function render({ what, verdict, found, advice }: Finding): string {
  return `${verdict.padEnd(7)}  ${what}: ${found}\n${advice ? `         ${advice}\n` : ""}`;
}
