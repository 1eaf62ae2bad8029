// SPDX-License-Identifier: Apache-2.0

/** A question to a device, what was seen, and what that means: how `doctor --hardware` asks and reports. */
import { messageOf } from "../model/errors.ts";

/** What is asked, under a number that documents refer to, and what either answer means. */
export interface Question {
  /** "C3": the third of its stage. */
  readonly id: string;
  readonly asks: string;
  readonly yes: string;
  readonly no: string;
}

/** "open": it could not be asked. */
export type Verdict = "yes" | "no" | "open";

export interface Answer {
  readonly id: string;
  readonly asks: string;
  readonly verdict: Verdict;
  /** Facts: one line. */
  readonly saw: string;
  readonly means: string;
  /** Calls to DOCA meanwhile that did not end in "ok", as the plane's trace has them. */
  readonly refused: readonly string[];
  /** All calls meanwhile. */
  readonly calls: number;
}

/** Thrown by a probe whose question cannot be asked here: why. */
export class NotAsked extends Error {
  override readonly name = "NotAsked";
}

/** Thrown by a probe that saw that the answer is no. */
export class No extends Error {
  override readonly name = "No";
}

/** Asks one question after the other, and goes on after every refusal. */
export class Inquiry {
  readonly answers: Answer[] = [];
  readonly #calls: () => readonly string[];

  /** `calls`: the lines of the trace that were not returned yet. */
  constructor(calls: () => readonly string[]) {
    this.#calls = calls;
  }

  /**
   * `look` returns what it saw, which makes the answer a yes, or throws: `NotAsked`, `No`, or what the plane throws, which is a no.
   * Returns whether it was a yes. Never throws.
   */
  async ask(question: Question, look: () => Promise<string> | string): Promise<boolean> {
    let verdict: Verdict = "yes";
    let saw: string;
    try {
      saw = await look();
    } catch (error) {
      verdict = error instanceof NotAsked ? "open" : "no";
      saw = messageOf(error);
    }
    const lines = this.#calls();
    const { id, asks, yes, no } = question;
    this.answers.push({
      id,
      asks,
      verdict,
      saw,
      means: verdict === "yes" ? yes : verdict === "no" ? no : "not settled",
      refused: lines.filter((line) => !line.endsWith("-> ok")),
      calls: lines.length,
    });
    return verdict === "yes";
  }
}

/** The report, to be pasted as it is. No key is in it: none is in an answer or in the trace. */
export function reportText(
  answers: readonly Answer[],
  head: readonly (readonly [string, string])[],
): string {
  const count = (verdict: Verdict) => answers.filter((one) => one.verdict === verdict).length;
  const lines = [
    "psp-agent doctor --hardware",
    ...head.map(([name, value]) => `${name.padEnd(10)} ${value}`),
    `${"answers".padEnd(10)} ${count("yes")} yes, ${count("no")} no, ${count("open")} open`,
    "",
  ];
  for (const { id, asks, verdict, saw, means, refused, calls } of answers) {
    lines.push(`${verdict.padEnd(4)} ${id.padEnd(4)} ${asks}`);
    lines.push(`          saw:   ${saw}${calls === 0 ? "" : ` (${calls} calls)`}`);
    lines.push(`          means: ${means}`);
    for (const call of refused) lines.push(`          call:  ${call}`);
  }
  return `${lines.join("\n")}\n`;
}
