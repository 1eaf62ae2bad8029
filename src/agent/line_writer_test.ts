// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { LineWriter } from "./line_writer.ts";

/** A reader that takes what it is let take. */
function reader() {
  const texts: string[] = [];
  const gate = Promise.withResolvers<void>();
  let most = Infinity;
  return {
    texts,
    write: async (octets: Uint8Array) => {
      await gate.promise;
      const taken = octets.subarray(0, most);
      texts.push(new TextDecoder().decode(taken));
      return taken.length;
    },
    open: (each = Infinity) => {
      most = each;
      gate.resolve();
    },
    break: () => gate.reject(new Deno.errors.BrokenPipe()),
  };
}

const gap = (lost: number) => `lost ${lost}\n`;

Deno.test("lines come out whole and in order, however few octets are taken at a time", async () => {
  const { texts, write, open } = reader();
  const writer = new LineWriter({ write, gap });
  for (const line of ["a\n", "bcd\n", "efghi\n"]) writer.write(line);
  open(3);
  await writer.flush(1000);
  assert.equal(texts.join(""), "a\nbcd\nefghi\n");
  assert.equal(writer.lost, 0);
});

Deno.test("a reader that does not read costs lines alone, and is told how many", async () => {
  const { texts, write, open } = reader();
  const writer = new LineWriter({ write, gap, maxOctets: 10 });
  for (let i = 0; i < 8; i++) writer.write(`${i}abc\n`);
  assert.equal(writer.lost, 6);
  await writer.flush(0);
  assert.deepEqual(texts, []);
  open();
  await writer.flush(1000);
  assert.equal(texts.join(""), "0abc\n1abc\nlost 6\n");
  writer.write("next\n");
  await writer.flush(1000);
  assert.equal(texts.join(""), "0abc\n1abc\nlost 6\nnext\n");
});

Deno.test("without a reader lines are dropped, and nothing else happens", async () => {
  const one = reader();
  const writer = new LineWriter({ write: one.write, gap, maxOctets: 10 });
  writer.write("a\n");
  one.break();
  await writer.flush(1000);
  for (let i = 0; i < 100; i++) {
    writer.write("abc\n");
    await writer.flush(1000);
  }
  assert.equal(writer.lost, 0);
});
