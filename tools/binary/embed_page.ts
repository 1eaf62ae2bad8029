// SPDX-License-Identifier: Apache-2.0

/** Puts the page into the bundle, where src/rpc/page.ts looks for it: `embed_page.ts DIRECTORY PAGE.HTML`. */
const [directory = "", page = ""] = Deno.args;
const mark = JSON.stringify("{{page}}");
const text = JSON.stringify(Deno.readTextFileSync(page));

let found = 0;
for (const { name } of Deno.readDirSync(directory)) {
  if (!name.endsWith(".js")) continue;
  const path = `${directory}/${name}`;
  const parts = Deno.readTextFileSync(path).split(mark);
  if (parts.length === 1) continue;
  found += parts.length - 1;
  Deno.writeTextFileSync(path, parts.join(text));
}
if (found !== 1) throw new Error(`The page has ${found} places in the program, not one`);
