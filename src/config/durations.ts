// SPDX-License-Identifier: Apache-2.0

/** Spans of time as people write them: "10m", "1h30m", "500ms", or a number of seconds. */

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000], ["ms", 1]] as const;

/** Milliseconds of "1h30m" or of a number of seconds. Throws `RangeError` with what would be right. */
export function parseDuration(input: unknown): number {
  const wrong = () =>
    new RangeError(
      `${quote(input)} is not a duration: write "10m", "1h30m", "500ms" or a number of seconds`,
    );
  if (typeof input === "number") {
    const ms = Math.round(input * 1000);
    if (input < 0 || !Number.isSafeInteger(ms)) throw wrong();
    return ms;
  }
  if (typeof input !== "string" || input.length > 64) throw wrong();
  // Each unit once, the larger one first; a bare number in quotes has no unit and is refused.
  const parts = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(
    input.trim(),
  );
  if (!parts || parts.slice(1).every((part) => part === undefined)) throw wrong();
  const ms = UNITS.reduce((sum, [, unit], i) => sum + Number(parts[i + 1] ?? 0) * unit, 0);
  if (!Number.isSafeInteger(ms)) throw wrong();
  return ms;
}

/** The shortest text that `parseDuration` reads back as the same number: 5,400,000 is "1h30m". */
export function formatDuration(ms: number): string {
  let rest = ms;
  let text = "";
  for (const [unit, size] of UNITS) {
    const n = Math.floor(rest / size);
    if (n > 0) text += `${n}${unit}`;
    rest -= n * size;
  }
  return text || "0s";
}

/** A value as it stood in the file, short enough for an error message. */
export function quote(input: unknown): string {
  if (input === undefined) return "nothing";
  if (Array.isArray(input)) return "a list";
  if (typeof input === "object" && input !== null) return "an object";
  const text = typeof input === "string" ? JSON.stringify(input) : String(input);
  return text.length > 60 ? `${text.slice(0, 56)}..."` : text;
}
