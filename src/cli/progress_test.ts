// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Progress } from "./progress.ts";

Deno.test("what takes longer than a second says how far it is, once a second, and leaves nothing behind", () => {
  let now = 500;
  let said = "";
  let asked = 0;
  {
    using progress = new Progress({ write: (text) => said += text, now: () => now });
    for (let n = 0; n < 25; n++, now += 100) {
      progress.to(() => {
        asked++;
        return `${n} of 25`;
      });
    }
  }
  assert.equal(said, "\r10 of 25\x1b[K\r20 of 25\x1b[K\r\x1b[K");
  assert.equal(asked, 2);
});

Deno.test("what is over soon says nothing", () => {
  let said = "";
  {
    using progress = new Progress({ write: (text) => said += text, now: () => 0 });
    progress.to(() => "half");
  }
  assert.equal(said, "");
});
