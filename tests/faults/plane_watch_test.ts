// SPDX-License-Identifier: Apache-2.0

/** What happens around a running agent is said: the kernel begins to forward, an interface goes down. */
import { story } from "../support/story.ts";
import { eventually } from "../support/wait.ts";

story("forwarding that is switched on later is noticed", {}, async ({ world, start }) => {
  // Behind an ingress guard it would not matter.
  const h1 = await start("h1", { change: ({ plane }) => plane.host_guard = "off" });
  const { kind = "soft", host } = JSON.parse(await Deno.readTextFile(h1.configPath)).plane;
  // Hardware takes frames away from the kernel.
  if (kind !== "soft") return;
  const path = `/proc/sys/net/ipv4/conf/${host}/forwarding`;
  const set = (to: 0 | 1) => world.mustRun("h1", ["sh", "-c", `echo ${to} > ${path}`]);
  await set(1);
  const said = "The kernel forwards packets of workloads in clear text: set what reason says";
  await h1.heard(said);
  await eventually(async () => await h1.counter("kernel-forwards") > 0, {
    what: "it to be counted",
  });
  await set(0);
  const over = "The kernel does not forward packets of workloads any more";
  await h1.heard(over);
});

story("an interface that goes down and comes back is said", {}, async ({ world, start }) => {
  const h1 = await start("h1");
  const { kind = "soft", host } = JSON.parse(await Deno.readTextFile(h1.configPath)).plane;
  if (kind !== "soft") return;
  await world.mustRun("h1", ["ip", "link", "set", host, "down"]);
  await h1.heard("An interface is down: nothing passes");
  await world.mustRun("h1", ["ip", "link", "set", host, "up"]);
  await h1.heard("An interface is up again");
});
