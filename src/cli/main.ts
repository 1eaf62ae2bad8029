// SPDX-License-Identifier: Apache-2.0

/** From the arguments to an exit code. */
import { bash, fish, zsh } from "@optique/core/completion";
import { or } from "@optique/core/constructs";
import { runParser } from "@optique/core/facade";
import { formatMessage, type Message, message, text } from "@optique/core/message";
import type { Parser } from "@optique/core/parser";
import { command } from "@optique/core/primitives";
import { nearest } from "../config/suggest.ts";
import { type Command, COMMANDS, type Group, RUN_WITHOUT_NAME, type Task } from "./commands.ts";
import { err, EXIT, type ExitCode, out, reportError } from "./io.ts";
import { examples } from "./options.ts";
import { VERSION } from "../model/version.ts";

/** Runs the command that the arguments name. Never throws; the result is for `Deno.exit`. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const task = parse(args);
    return typeof task === "number" ? task : await task();
  } catch (error) {
    return reportError(error);
  }
}

/** What is to be done, or the exit code when help, a script or an error was printed instead. */
function parse(args: readonly string[]): Task | ExitCode {
  let ended: ExitCode | undefined;
  const end = (code: ExitCode): Task => {
    ended = code;
    return () => Promise.resolve(code);
  };
  const task = runParser(
    or(...COMMANDS.map(toParser), RUN_WITHOUT_NAME),
    "psp-agent",
    args,
    {
      help: { option: { names: ["-h", "--help"] }, command: true, onShow: () => end(EXIT.ok) },
      version: {
        value: VERSION,
        option: { names: ["-V", "--version"] },
        onShow: () => end(EXIT.ok),
      },
      completion: { command: true, shells: { bash, zsh, fish }, onShow: () => end(EXIT.ok) },
      brief: message`Encrypts the traffic of tenants between hosts with PSP.`,
      footer: examples([
        "psp-agent --config peers.json",
        "psp-agent check --config peers.json",
        "psp-agent status",
      ]),
      usageLine: [{ type: "ellipsis" }],
      commandList: "top-level",
      termWidth: "auto",
      maxWidth: 100,
      aboveError: "none",
      stdout: (text) => out(`${text}\n`),
      stderr: () => {},
      onError: (_code, error) => {
        err(`psp-agent: ${explain(error, args)}`);
        return end(EXIT.usage);
      },
    },
  );
  return ended ?? task;
}

function toParser(entry: Command | Group): Parser<"sync", Task, unknown> {
  const options = { brief: [text(entry.brief)], footer: examples(entry.examples) };
  if ("parser" in entry) return command(entry.name, entry.parser, options);
  return command(entry.name, or(...entry.commands.map(toParser)), options);
}

/** The parser's own words as one sentence, with a suggestion for a mistyped command. */
function explain(error: Message, args: readonly string[]): string {
  const said = formatMessage(error, { quotes: true, colors: false }).replaceAll(/\s*\n\s*/g, " ");
  const [first = "", second = ""] = args;
  const group = COMMANDS.find((entry): entry is Group =>
    "commands" in entry && entry.name === first
  );
  if (args.length === 0) return "Nothing to do: name a configuration or a command (see --help)";
  const [word, known] = group ? [second, group.commands] : [first, COMMANDS];
  const names = known.map(({ name }) => name).concat(group ? [] : ["help", "completion"]);
  const where = group ? `psp-agent ${first} --help` : "psp-agent --help";
  if (word === "") return `Command "${first}" needs one of: ${names.join(", ")} (see ${where})`;
  if (!word.startsWith("-") && !names.includes(word)) {
    if (!group && /[./]/.test(word)) {
      return `Unknown command "${word}": did you mean --config ${word}? (see ${where})`;
    }
    const meant = nearest(word, names);
    return `Unknown command "${word}"${meant ? `: did you mean "${meant}"?` : ""} (see ${where})`;
  }
  // A file without the option that names it, where nothing else could be meant.
  const stray = /^Unexpected option or subcommand: `([^`]+)`/.exec(said)?.[1] ?? "";
  if (/[./]/.test(stray) && !stray.startsWith("-")) {
    return `Unexpected "${stray}": did you mean --config ${stray}?`;
  }
  return `${said.replace(/\.$/, "")} (see psp-agent ${words(args)}--help)`;
}

/** The words of the command that was given, each with a space after it. */
function words([first = "", second = ""]: readonly string[]): string {
  const entry = COMMANDS.find(({ name }) => name === first);
  if (entry === undefined) return "";
  const isSub = "commands" in entry && entry.commands.some(({ name }) => name === second);
  return isSub ? `${first} ${second} ` : `${first} `;
}
