// SPDX-License-Identifier: Apache-2.0

/** Ways that the exploration found to something that must not be: `make explore` prints such tests. */
import { told } from "../explore/story.ts";

Deno.test("a host that stops asks nobody: a request of its last moment was answered, and packets went to its end", async () => {
  await told({ packets: 2, lose: 1, delay: 1, restart: 1, stop: 1 }, [
    "packet h1 1",
    "stop h1",
    "lose 1",
    "time",
  ]);
});

Deno.test("a key that was spent while requests crossed is replaced: no packet passed any more, and nobody looked", async () => {
  await told({ packets: 2, exhaust: 1, lose: 1 }, [
    "packet h1 1",
    "packet h2 1",
    "deliver 1",
    "deliver 2",
    "lose 3",
    "exhaust h1",
  ]);
});

Deno.test("a key that was told of a minute late is received with for as long as it is sent with", async () => {
  await told({ packets: 1, delay: 1, outage: 1 }, [
    "packet h1 1",
    "deliver 1",
    "time",
    "outage again",
  ]);
});
