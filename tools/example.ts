// SPDX-License-Identifier: Apache-2.0

/** Writes src/config/example.ts, so that the program has examples/peers.json in it: a binary has no such file. */
const ROOT = new URL("../", import.meta.url);

/** The module with the text in it. */
export function exampleModule(text: string): string {
  const quoted = text.replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("${", "\\${");
  return `// SPDX-License-Identifier: Apache-2.0

/** Written by tools/example.ts from examples/peers.json. */

/** A configuration with every key, and what each is for. */
export const EXAMPLE = \`${quoted}\`;
`;
}

if (import.meta.main) {
  const text = await Deno.readTextFile(new URL("examples/peers.json", ROOT));
  await Deno.writeTextFile(new URL("src/config/example.ts", ROOT), exampleModule(text));
}
