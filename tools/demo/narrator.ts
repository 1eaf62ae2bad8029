// SPDX-License-Identifier: Apache-2.0

/** What the demo says on the terminal: sections, facts, progress of long work, and proofs. */

const WIDTH = 96;

/** Writes to the terminal; plain lines when it is none. */
export class Narrator {
  readonly #live = Deno.stdout.isTerminal();
  readonly #colour = this.#live && !Deno.noColor;
  #failed = 0;
  #proven = 0;

  /** Proofs that failed so far. */
  get failed(): number {
    return this.#failed;
  }

  title(text: string): void {
    this.#line("");
    this.#line(this.#paint(text, "1"));
    this.#line("=".repeat(Math.min(text.length, WIDTH)));
  }

  section(text: string): void {
    this.#line("");
    this.#line(this.#paint(text, "1"));
  }

  /** Text as it is, indented. */
  text(text: string): void {
    for (const line of text.split("\n")) this.#line(`  ${line}`);
  }

  fact(label: string, value: string): void {
    this.#line(`  ${label.padEnd(26)} ${value}`);
  }

  /** One line of the final verdict: what was to be shown, and how it was. */
  proof(ok: boolean, claim: string, evidence: string): void {
    if (ok) this.#proven++;
    else this.#failed++;
    const mark = ok ? this.#paint("proved", "32") : this.#paint("FAILED", "31;1");
    this.#line(`  ${mark}  ${claim}`);
    this.#line(`          ${this.#paint(evidence, "2")}`);
  }

  /** The last line. */
  verdict(seconds: number): void {
    const text = this.#failed === 0
      ? this.#paint(`All ${this.#proven} proofs hold`, "32;1")
      : this.#paint(`${this.#failed} of ${this.#failed + this.#proven} proofs FAILED`, "31;1");
    this.#line("");
    this.#line(`${text}, after ${seconds.toFixed(1)} s.`);
  }

  /** Runs long work under a line that shows how far it is; `report` takes 0 to 1. */
  async during<T>(
    label: string,
    work: (report: (share: number) => void) => Promise<T>,
  ): Promise<T> {
    const start = performance.now();
    const show = (share: number | undefined) => {
      if (!this.#live) return;
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      const bar = share === undefined
        ? ""
        : `${"#".repeat(Math.round(share * 30)).padEnd(30, ".")} `;
      this.#write(`\r\x1b[K  ${label.padEnd(26)} ${bar}${seconds} s`);
    };
    let share: number | undefined;
    const ticker = setInterval(() => show(share), 250);
    show(undefined);
    try {
      const result = await work((now) => share = now);
      const ms = performance.now() - start;
      this.#clear();
      this.fact(label, `done in ${(ms / 1000).toFixed(1)} s`);
      return result;
    } catch (error) {
      this.#clear();
      throw error;
    } finally {
      clearInterval(ticker);
    }
  }

  #clear(): void {
    if (this.#live) this.#write("\r\x1b[K");
  }

  #line(text: string): void {
    this.#write(`${text}\n`);
  }

  #write(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }

  #paint(text: string, style: string): string {
    return this.#colour ? `\x1b[${style}m${text}\x1b[0m` : text;
  }
}

/** "104,857,600". */
export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** An SPI as the wire has it. */
export function spiText(spi: number): string {
  return `0x${spi.toString(16).padStart(8, "0")}`;
}
