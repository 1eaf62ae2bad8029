// SPDX-License-Identifier: Apache-2.0

/** Names of interfaces by pattern: "*" stands for any characters, "?" for one. */

/** Whether a name has a wildcard in it. */
export function isPattern(name: string): boolean {
  return /[*?]/.test(name);
}

/** Whether an interface is called so; every other character stands for itself. */
export function matchesName(pattern: string, name: string): boolean {
  if (!isPattern(pattern)) return pattern === name;
  const [literal, ...rest] = pattern.replace(/\*+/g, "*").split("*");
  if (literal === undefined || !startsWith(name, literal)) return false;
  if (rest.length === 0) return name.length === literal.length;
  let at = literal.length;
  const last = rest.pop() ?? "";
  for (const part of rest) {
    while (at <= name.length && !startsWith(name.slice(at), part)) at++;
    if (at > name.length) return false;
    at += part.length;
  }
  return name.length - last.length >= at && startsWith(name.slice(name.length - last.length), last);
}

/** Whether a text begins with a literal whose "?" are any character. */
function startsWith(text: string, literal: string): boolean {
  return text.length >= literal.length &&
    [...literal].every((c, i) => c === "?" || c === text[i]);
}
