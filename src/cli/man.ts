// SPDX-License-Identifier: Apache-2.0

/** `psp-agent man`: the manual page, from the same table as the help. */
import { formatMessage, type Message } from "@optique/core/message";
import { getDocPageSync } from "@optique/core/parser";
import { formatUsage, formatUsageTerm } from "@optique/core/usage";
import { type Command, COMMANDS, type Group } from "./commands.ts";
import { EXIT, type ExitCode, out } from "./io.ts";
import { VERSION } from "../model/version.ts";

/** Prints the page as roff. */
export function man(): ExitCode {
  out(manual());
  return EXIT.ok;
}

/** psp-agent(1). */
export function manual(): string {
  const commands = COMMANDS.flatMap((entry): [string, Command][] =>
    isGroup(entry)
      ? entry.commands.map((command) => [`${entry.name} ${command.name}`, command])
      : [[entry.name, entry]]
  );
  return [
    `.TH PSP\\-AGENT 1 "" "psp-agent ${VERSION}" "User Commands"`,
    ".SH NAME",
    "psp\\-agent \\- encrypts the traffic of tenants between hosts with PSP",
    ".SH SYNOPSIS",
    ".B psp\\-agent",
    "\\-\\-config FILE",
    ".br",
    ".B psp\\-agent",
    "COMMAND [OPTION]...",
    ".SH COMMANDS",
    ...commands.flatMap(([name, command]) => section(name, command)),
    ...AFTERWORD,
  ].map((line) => `${line}\n`).join("");
}

const AFTERWORD = [
  ".SH EXIT STATUS",
  ".TP",
  "0",
  "Done; for the agent: ended by SIGTERM or SIGINT.",
  ".TP",
  "1",
  "It could not be done; one sentence on stderr says why.",
  ".TP",
  "2",
  "The command line is wrong.",
  ".TP",
  "3",
  "The configuration is wrong.",
  ".TP",
  "4",
  "No agent answers.",
  ".TP",
  "5",
  "The agent answers, and what was asked about is not well.",
  ".SH SIGNALS",
  "SIGHUP reads certificates and the configuration again; so do a change of the file and psp\\-agent reload. What cannot",
  "be changed while the agent runs refuses all of the file, with its key; psp\\-agent config diff says which that is.",
  "SIGTERM and SIGINT end the agent, after it has told its peers.",
  ".SH ENVIRONMENT",
  ".TP",
  "PSP_AGENT_SHIM",
  "Another shim than the agent's own: a file, or its directory.",
  ".TP",
  "PSP_AGENT_CACHE",
  "Where the program unpacks its parts, instead of STATE_DIRECTORY, RUNTIME_DIRECTORY, XDG_CACHE_HOME,",
  "HOME/.cache, /var/lib/psp\\-agent, /run/psp\\-agent or /tmp.",
  ".TP",
  "PSP_AGENT_SOCKET",
  "Where the agent and its commands meet, where status.socket does not say, instead of /run/psp\\-agent/agent.sock.",
  ".TP",
  "PSP_AGENT_DEBUG",
  "1: stacks beside the sentences.",
  ".SH FILES",
  ".TP",
  "/etc/psp\\-agent/peers.json",
  "The configuration, as the systemd unit names it.",
  ".TP",
  "/var/lib/psp\\-agent",
  "The record of security associations; no keys.",
];

function section(name: string, { brief, examples, parser }: Command): string[] {
  const page = getDocPageSync(parser, []);
  const usage = formatUsage(`psp-agent ${name}`, page?.usage ?? [], {});
  return [
    `.SS psp\\-agent ${escape(name)}`,
    escape(brief),
    ".PP",
    escape(usage),
    ...(page?.sections ?? []).flatMap(({ entries }) =>
      entries.flatMap(({ term, description }) => [
        ".TP",
        escape(formatUsageTerm(term, {})),
        escape(text(description)),
      ])
    ),
    ".PP",
    examples.length === 1 ? "Example:" : "Examples:",
    ".nf",
    ...examples.map((line) => `  ${escape(line)}`),
    ".fi",
  ];
}

function isGroup(entry: Command | Group): entry is Group {
  return "commands" in entry;
}

function text(message: Message | undefined): string {
  return message === undefined ? "" : formatMessage(message, { colors: false, quotes: true });
}

/** A hyphen is a minus, a line never begins with a request. */
function escape(line: string): string {
  return line.replaceAll(/\s*\n\s*/g, " ").replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .replace(/^[.']/, "\\&$&");
}
