// SPDX-License-Identifier: Apache-2.0

/** The machines of the protocol are functions: they keep nothing, wait for nothing, and use nothing that does. */
import assert from "node:assert/strict";

const CORE = new URL("../../src/core/", import.meta.url);

/** Each with what carries it out. */
const MACHINES: Readonly<Record<string, string>> = {
  "tunnel.ts": "tunnel_table.ts",
  "rotation.ts": "rotation_driver.ts",
  "notices.ts": "notices_driver.ts",
  "responder.ts": "responder_driver.ts",
  "initiator.ts": "initiator_driver.ts",
};
/** What they may use besides each other: functions and numbers. */
const PURE: ReadonlySet<string> = new Set(["limits.ts", "params.ts", "shares.ts", "work.ts"]);

const IMPERATIVE = /\b(async|await|Promise|class|Date|Math\.random|setTimeout|performance|Deno)\b/;

for (const [machine, driver] of Object.entries(MACHINES)) {
  Deno.test(`${machine} is pure, and ${driver} carries it out`, async () => {
    const text = await Deno.readTextFile(new URL(machine, CORE));
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    assert.doesNotMatch(code, IMPERATIVE);
    assert.doesNotMatch(
      code,
      /^(let|var|const \w+(: (?!Readonly)[^=]+)? = new (Map|Set)\()/m,
      "no state",
    );
    for (const [, names = "", from = ""] of code.matchAll(/^import ([^;]+?) from "([^"]+)"/gm)) {
      // The leaf holds types, addresses and keys.
      if (names.startsWith("type ") || /^\.\.\/(model|\.\.\/ffi)\//.test(from)) continue;
      const file = from.replace("./", "");
      assert.ok(file in MACHINES || PURE.has(file), `${machine} uses ${from}`);
    }
    const carrier = await Deno.readTextFile(new URL(driver, CORE));
    assert.match(carrier, new RegExp(`from "\\./${machine}"`));
  });
}
