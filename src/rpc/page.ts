// SPDX-License-Identifier: Apache-2.0

/** The page of the status listener, with the headers that keep it to itself. It has no secret: its calls do. */
import { createHash } from "node:crypto";

/** In a binary: the page itself, put here by tools/binary/bundle.sh. */
const EMBEDDED = "{{page}}";
/** In the sources: where `make page` puts it. */
const BUILT = new URL("../../build/page/page.html", import.meta.url);

/** What is answered to `GET /`. */
export interface Page {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** undefined: it was not built. */
export function openPage(): Page | undefined {
  const body = EMBEDDED.startsWith("<") ? EMBEDDED : read(BUILT);
  if (body === undefined) return undefined;
  return {
    body,
    headers: { "content-security-policy": policy(body), "referrer-policy": "no-referrer" },
  };
}

/** Its own script and style, calls to where it came from, and nothing else. */
function policy(body: string): string {
  const hashes = (element: string) =>
    [...body.matchAll(new RegExp(`<${element}[^>]*>([^]*?)</${element}>`, "g"))]
      .map(([, text = ""]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`)
      .join(" ");
  return [
    "default-src 'none'",
    `script-src ${hashes("script")}`,
    `style-src ${hashes("style")}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function read(url: URL): string | undefined {
  try {
    return Deno.readTextFileSync(url);
  } catch {
    return undefined;
  }
}
