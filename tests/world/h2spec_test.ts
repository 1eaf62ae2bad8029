// SPDX-License-Identifier: Apache-2.0

/**
 * The public conformance suite for HTTP/2, h2spec, against a status listener. What fails is the runtime's; that list
 * is kept here, and a change either way is looked at: one failure more is a regression, one less is to be noted.
 *
 * Whether the runtime still knows a stream that has just ended decides what it answers, so cases that send on such a
 * stream fail in one run and pass in the next: those of section 5.1 are left out, and of the others one counts as
 * changed only when each of several runs says so.
 */
import assert from "node:assert/strict";
import { Lab } from "../rpc/lab.ts";
import { world } from "../rpc/status_lab.ts";

const SUITE = new URL("../../build/world/bin/h2spec", import.meta.url).pathname;
/** Seconds that the suite waits for an answer; a silent server costs that for each case. */
const PATIENCE = "4";

const FAILING: readonly string[] = [
  "http2/5.1.1: Sends stream identifier that is numerically smaller than previous",
  "http2/5.3.1: Sends PRIORITY frame that depend on itself",
  "http2/6.3: Sends a PRIORITY frame with 0x0 stream identifier",
  "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
];

/** Cases that send on a stream that has ended. */
const UNSTEADY = /^http2\/5\.1: (closed|half closed \(remote\)): /;

/** Further runs of a section whose result is not the known one. */
const AGAIN = 4;

Deno.test("h2spec over clear text: its failures are those that are known", async () => {
  await using w = await world();
  await hold(w.server.address.port);
});

Deno.test("h2spec over TLS: the same", async () => {
  using lab = await Lab.make(["h1"]);
  const tokenFile = `${lab.dir}/token`;
  Deno.writeTextFileSync(tokenFile, "0123456789abcdef");
  await using w = await world({ tls: lab.files("h1"), tokenFile });
  await hold(w.server.address.port, "--tls", "--insecure");
});

/** Holds the suite's failures against the known ones. */
async function hold(port: number, ...options: string[]): Promise<void> {
  const first = await run(port, options);
  assert.ok(first.tests >= 140, first.said);
  let changed = difference(first.failed);
  for (let i = 0; i < AGAIN && changed.length > 0; i++) {
    const sections = [...new Set(changed.map((name) => name.slice(0, name.indexOf(":"))))];
    const again = difference((await run(port, [...options, ...sections])).failed);
    changed = changed.filter((name) => again.includes(name));
  }
  assert.deepEqual(changed, [], "these fail, or pass, against what is known, in each run");
}

/** Names that failed and are not known to fail, or are known to and did not; sorted. */
function difference(failed: readonly string[]): string[] {
  return [
    ...failed.filter((name) => !FAILING.includes(name) && !UNSTEADY.test(name)),
    ...FAILING.filter((name) => !failed.includes(name)),
  ].sort();
}

/** One run of the suite, or of some of its sections: how many cases, and "section: title" of each that failed. */
async function run(
  port: number,
  options: readonly string[],
): Promise<{ tests: number; failed: string[]; said: string }> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const { stdout, stderr } = await new Deno.Command(SUITE, {
      args: ["-p", `${port}`, "-P", "/healthz", "-o", PATIENCE, "-j", report, ...options],
    }).output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    const tests = Number(/^(\d+) tests, \d+ passed/m.exec(said)?.[1]);
    const failed: string[] = [];
    const cases =
      /<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([^]*?)<\/testcase>)/g;
    let seen = 0;
    for (const [, suite, title, inner = ""] of Deno.readTextFileSync(report).matchAll(cases)) {
      seen += 1;
      if (/<(failure|error)/.test(inner)) failed.push(`${suite}: ${title}`);
    }
    assert.equal(seen, tests, `the report has each case: ${said}`);
    return { tests, failed, said };
  } finally {
    await Deno.remove(report);
  }
}
