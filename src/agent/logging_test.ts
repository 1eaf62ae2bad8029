// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import type { LogFields } from "../model/log.ts";
import { limitWarnings, type LogOptions, openLogs } from "./logging.ts";

function capture(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const logs = openLogs({ level: "info", format: "text", write, wallMs: () => 0, ...options });
  return { logs, log: logs.of("agent"), lines };
}

Deno.test("a text line has time, level, sentence and facts", () => {
  const { log, lines } = capture();
  log.warn("Peer is unreachable", {
    peer: "h2",
    attempt: 3,
    reason: "timed out",
    epoch: 2n ** 63n,
  });
  assert.deepEqual(lines, [
    "1970-01-01T00:00:00.000Z warning Peer is unreachable " +
    'attempt=3 epoch=9223372036854775808 peer=h2 reason="timed out"\n',
  ]);
});

Deno.test("a JSON line is one object", () => {
  const { log, lines } = capture({ format: "json" });
  log.error("Cannot open the plane", { code: "ENODEV", spi: 7 });
  const { message, level, code, spi } = JSON.parse(lines[0] ?? "");
  assert.deepEqual([message, level, code], ["Cannot open the plane", "ERROR", "ENODEV"]);
  assert.equal(spi, "0x00000007", "as it is read and typed everywhere");
  assert.equal(lines[0]?.indexOf("\n"), (lines[0]?.length ?? 0) - 1);
});

Deno.test("a line for the journal begins with its priority, whatever its form", () => {
  for (const format of ["text", "json"] as const) {
    const { log, lines } = capture({ format, level: "debug", priority: (level) => `<${level}>` });
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]("a");
    assert.deepEqual(lines.map((line) => /^<\w+>(?=[{1])/.exec(line)?.[0]), [
      "<debug>",
      "<info>",
      "<warning>",
      "<error>",
    ]);
  }
});

Deno.test("levels below the configured one are not written", () => {
  const { log, lines } = capture({ level: "warning" });
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  assert.equal(lines.length, 2);
});

Deno.test("a category has a level of its own, until the configuration says something else", () => {
  const { logs, lines } = capture({ level: "warning", format: "json" });
  const [core, rpc] = [logs.of("core"), logs.of("rpc")];
  logs.setLevel("core", "debug");
  core.debug("a");
  rpc.info("b");
  logs.setLevel(undefined, "error");
  core.warn("c");
  rpc.error("d");
  assert.deepEqual(new Set(Object.values(logs.levels())), new Set(["error"]));
  logs.follow({ level: "info", format: "json" });
  core.info("e");
  core.debug("f");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ message, logger }) => [message, logger]),
    [["a", "psp-agent.core"], ["d", "psp-agent.rpc"], ["e", "psp-agent.core"]],
  );
  assert.equal(logs.levels().rpc, "info");
});

Deno.test("no key, no octets and no unlisted field reach a line", () => {
  const bytes = new Uint8Array(16).fill(0x4b);
  const odd = { cause: new Key(bytes), reason: bytes, secret: "x", peer: "h2" } as unknown;
  for (const format of ["text", "json"] as const) {
    const { log, lines } = capture({ format });
    log.info("Something", odd as LogFields);
    assert.match(lines[0] ?? "", /\[key\].*h2.*\[hidden\]/);
    assert.doesNotMatch(lines[0] ?? "", /secret|75|4b4b/i);
  }
});

Deno.test("text from outside cannot start a line or move the cursor", () => {
  const { log, lines } = capture();
  log.info("Refused", { reason: "a\nb\x1b[2J\x9b1m" });
  // deno-lint-ignore no-control-regex
  assert.match(lines[0] ?? "", /^[^\n\x1b\x9b]*\n$/);
});

Deno.test("a repeated message passes once per second and says how often it came", () => {
  const { log, lines } = capture();
  let t = 0;
  const limited = limitWarnings(log, { now: () => t });
  for (t = 0; t < 2500; t += 100) limited.warn("No peer owns the address", { vip: "10.9.0.1" });
  limited.warn("Another message");
  assert.deepEqual(lines.map((line) => /count=\d+/.exec(line)?.[0]), [
    undefined,
    "count=10",
    "count=10",
    undefined,
  ]);
});

Deno.test("lines of another peer, or for another reason, are not held back with it", () => {
  const { log, lines } = capture();
  const limited = limitWarnings(log, { now: () => 0 });
  for (let i = 0; i < 3; i++) {
    for (const peer of ["h2", "h3"]) {
      for (const reason of ["a", "b"]) limited.warn("A peer refused a tunnel", { peer, reason });
    }
  }
  assert.equal(lines.length, 4);
});

Deno.test("a peer that finds ever new reasons fills neither the log nor the memory", () => {
  const { log, lines } = capture();
  let t = 0;
  const limited = limitWarnings(log, { now: () => t });
  for (let i = 0; i < 5000; i++) limited.warn("Refused", { peer: "h2", reason: `r${i}` });
  assert.equal(lines.length, 17);
  t = 1000;
  for (let i = 0; i < 5000; i++) limited.warn("Refused", { peer: "h2", reason: `s${i}` });
  assert.equal(lines.length, 17 + 16);
  // Those of the first second that were not shown, and this one.
  assert.match(lines.at(-1) ?? "", /count=4984/);
});

Deno.test("the last lines are kept as they were written, without the priority, and no others", () => {
  const written: string[] = [];
  const logs = openLogs({
    level: "info",
    format: "text",
    write: (line) => written.push(line),
    priority: () => "<6>",
    wallMs: () => 0,
  });
  logs.of("core").debug("Not written");
  logs.of("core").info("A tunnel is up", { peer: "h2", spi: 7 });
  assert.deepEqual(logs.tail(), [
    "1970-01-01T00:00:00.000Z info A tunnel is up peer=h2 spi=0x00000007",
  ]);
  assert.deepEqual(written, logs.tail().map((line) => `<6>${line}\n`));
});
