// SPDX-License-Identifier: Apache-2.0

/** From the arguments to an exit code. */
import { bash, fish, zsh } from "@optique/core/completion";
import { or } from "@optique/core/constructs";
import { runParser } from "@optique/core/facade";
import { formatMessage, type Message, message, text } from "@optique/core/message";
import type { Parser } from "@optique/core/parser";
import { command } from "@optique/core/primitives";
import type { Usage } from "@optique/core/usage";
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
      stdout: (text) => out(`${text.replaceAll(/ +$/gm, "")}\n`),
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
  const said = formatMessage(error, { quotes: true, colors: false }).replaceAll(/\s*\n\s*/g, " ")
    // The library's own suggestions know no other command's options, and take "-o" for a mistyped "-c".
    .replace(/\.? Did you mean .*$/, "").replace(/\.$/, "");
  const [first = "", second = ""] = args[0] === "help" ? args.slice(1) : args;
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
  const behind = first.startsWith("-") && args.find((arg) => names.includes(arg));
  if (behind) return `Options of a command stand behind it: psp-agent ${behind} ${first} ...`;
  // A file without the option that names it, where nothing else could be meant.
  const stray = /^Unexpected option or subcommand: `([^`]+)`/.exec(said)?.[1] ?? "";
  if (/[./]/.test(stray) && !stray.startsWith("-")) {
    return `Unexpected "${stray}": did you mean --config ${stray}?`;
  }
  const missing = /^Expected an? `(\w+)`, but too few arguments/.exec(said)?.[1];
  const plain = missing === undefined ? said : `${missing} is missing`;
  const meant = meantBy(stray, said, args);
  return `${plain}${meant ? `: did you mean "${meant}"?` : ""} (see psp-agent ${
    words(args)
  }--help)`;
}

/** An option of this command that is spelt nearly so, or one of the words that its value may be. */
function meantBy(stray: string, said: string, args: readonly string[]): string | undefined {
  const choices = /Expected one of (.*), but got "([^"]*)"$/.exec(said);
  if (choices !== null) {
    const known = choices[1]?.matchAll(/"([^"]*)"/g) ?? [];
    return nearest(choices[2] ?? "", [...known].map(([, word = ""]) => word));
  }
  const { parser } = entryOf(args) ?? { parser: RUN_WITHOUT_NAME };
  return stray.startsWith("--") ? nearest(stray, optionsOf(parser.usage)) : undefined;
}

/** The long options in a usage, however deep. */
function optionsOf(usage: Usage): string[] {
  return usage.flatMap((term): string[] => {
    if (term.type === "option") return term.names.filter((name) => name.startsWith("--"));
    return "terms" in term ? optionsOf(term.terms.flat()) : [];
  });
}

/** The command that the first words name. */
function entryOf([first = "", second = ""]: readonly string[]): Command | undefined {
  const entry = COMMANDS.find(({ name }) => name === first);
  if (entry === undefined || "parser" in entry) return entry;
  return entry.commands.find(({ name }) => name === second);
}

/** The words of the command that was given, each with a space after it. */
function words([first = "", second = ""]: readonly string[]): string {
  const entry = COMMANDS.find(({ name }) => name === first);
  if (entry === undefined) return "";
  const isSub = "commands" in entry && entry.commands.some(({ name }) => name === second);
  return isSub ? `${first} ${second} ` : `${first} `;
}
