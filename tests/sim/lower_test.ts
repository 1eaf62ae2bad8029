// SPDX-License-Identifier: Apache-2.0

/** A lowered function does what the one of the runtime does, whatever it is made of. */
import assert from "node:assert/strict";
import { lowered } from "./lower.ts";
import { drain, keepPending, type Pending, Promised } from "./promise.ts";

/** Functions of (wait, say): `wait` resolves with its number, or rejects where it is negative. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  "one after the other": "say(await wait(1)); say(await wait(2)); return 3;",
  "a failure": "say(await wait(1)); await wait(-1); say('never');",
  "a failure that is caught": "try { await wait(-1); say('no'); } catch (e) { say(e); } return 1;",
  "an end that is always reached":
    "try { say(await wait(1)); return 'out'; } finally { say('last'); }",
  "ends within ends": `try {
      try { await wait(-2); } finally { say(await wait(1)); }
    } catch (e) { say(e); await wait(-3); } finally { say('last'); }`,
  "loops": `for (let i = 0; i < 4; i++) {
      if (i === 1) continue;
      if (i === 3) break;
      say(await wait(i));
    }
    let n = 0;
    while (n < 3) n = await wait(n + 1);
    return n;`,
  "a loop over what is being changed": `const all = new Set([1, 2, 3]);
    for (const one of all) { all.delete(one); say(await wait(one)); }
    return all.size;`,
  "a thing that is disposed of": `const thing = { [Symbol.dispose]: () => say('gone') };
    { using _one = thing; say(await wait(1)); }
    return 2;`,
  "a thing that is disposed of on failure": `{ using _one = { [Symbol.dispose]: () => say('gone') };
      await wait(-1); }`,
  "conditions and parts": `const { a, ...rest } = { a: await wait(1), b: 2, c: 3 };
    say(a > 0 ? await wait(5) : 0); say(rest); say([...[1, 2], await wait(3)]); return rest?.b ?? 0;`,
  "switches":
    `switch (await wait(2)) { case 1: say(1); break; case 2: say(await wait(7)); default: say(8); }`,
  "functions within": `let n = 1; const more = () => { n += 1; return n; };
    say(await wait(more())); more(); return n;`,
};

type Wait = (n: number) => PromiseLike<number>;
type Say = (what: unknown) => void;
type Run = (wait: Wait, say: Say) => PromiseLike<unknown>;

/** What is said, and how it ends. */
function told(run: Run, wait: Wait): { said: unknown[]; end: PromiseLike<unknown> } {
  const said: unknown[] = [];
  const end = run(wait, (what) => said.push(what)).then(
    (value) => said.push(["returns", value]),
    (error) => said.push(["throws", error]),
  );
  return { said, end };
}

for (const [name, body] of Object.entries(FUNCTIONS)) {
  Deno.test(`lowered: ${name}`, async () => {
    const text = `export const run = async (wait, say) => {${body}};`;
    const load = async (source: string): Promise<Run> =>
      (await import(`data:text/javascript,${encodeURIComponent(source)}`)).run;
    const theirs = told(
      await load(text),
      (n) => n < 0 ? Promise.reject(n) : Promise.resolve(n),
    );
    await theirs.end;
    const make = lowered("run.ts", text);
    assert.ok(!/\basync\b/.test(make));
    const run = await load(make);
    const waits: (() => void)[] = [];
    const pending: Pending = { promises: new Set(), signals: new Set(), routines: new Set() };
    keepPending(pending);
    const ours = told(run, (n) =>
      new Promised((resolve, reject) => {
        waits.push(() => n < 0 ? reject(n) : resolve(n));
      }));
    for (const settle of waits) {
      settle();
      drain();
    }
    assert.deepEqual(ours.said, theirs.said);
    assert.equal(pending.routines.size, 0, "what has ended is not kept");
  });
}
