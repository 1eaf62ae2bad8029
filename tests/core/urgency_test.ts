// SPDX-License-Identifier: Apache-2.0

/** A request that is sent again waits as the work that it is by then. */
import assert from "node:assert/strict";
import { Scheduler } from "../../src/core/scheduler.ts";
import type { Work } from "../../src/core/work.ts";
import { world } from "../support/core_world.ts";

/** The kinds of work for which places were asked, until it is disposed of. */
function asking() {
  const works: Work[] = [];
  const own = Scheduler.prototype;
  const { enter } = own;
  own.enter = function (on, ...rest) {
    works.push(on.work);
    return enter.call(this, on, ...rest);
  };
  return { works, [Symbol.dispose]: () => void (own.enter = enter) };
}

Deno.test("the retries of a rotation wait as what it is, not as a held packet", async () => {
  using asked = asking();
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  asked.works.length = 0;
  w.network.weather.requestLoss = 1;
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  await w.clock.advance(8000);
  const exchanges = asked.works.filter((work) => work !== "notice" && work !== "warm");
  assert.ok(exchanges.length >= 3, exchanges.join(" "));
  // Its life may come to its end meanwhile.
  assert.ok(exchanges.every((work) => ["rotation", "rekey"].includes(work)), exchanges.join(" "));
});

Deno.test("the retries for a held packet wait as a held packet", async () => {
  using asked = asking();
  await using w = world();
  w.network.weather.requestLoss = 1;
  w.host(1).send(w.host(2));
  await w.clock.advance(3000);
  assert.ok(asked.works.length >= 2, asked.works.join(" "));
  assert.ok(asked.works.every((work) => work === "packet"), asked.works.join(" "));
});
