// SPDX-License-Identifier: Apache-2.0

/** The page as the listener serves it. */

/** Builds it where it is missing or older than its sources. */
export async function buildPage(): Promise<void> {
  const root = new URL("../../", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(`${root}tools/page.sh`, { stdin: "null" })
    .output();
  if (code !== 0) throw new Error(`tools/page.sh: ${new TextDecoder().decode(stderr)}`);
}
