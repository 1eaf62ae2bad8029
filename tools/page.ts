// SPDX-License-Identifier: Apache-2.0

/** Script and style into the page: `tools/page.ts MAIN.JS PAGE.HTML`. tools/page.sh calls it. */
const [main = "", out = ""] = Deno.args;
const read = (path: string) => Deno.readTextFileSync(new URL(path, import.meta.url));

const style = read("../src/page/page.css").replaceAll(/\/\*[^]*?\*\//g, "").trim();
// Nothing in the script may end its element.
const script = Deno.readTextFileSync(main).replaceAll("</script", "<\\/script").trim();
const [before, between, after, ...more] = read("../src/page/page.html")
  .split(/(?=<\/style>)|(?=<\/script>)/);
if (before === undefined || between === undefined || after === undefined || more.length > 0) {
  throw new Error("page.html has not one place for the style and one for the script");
}
Deno.writeTextFileSync(out, [before, style, between, script, after].join(""));
