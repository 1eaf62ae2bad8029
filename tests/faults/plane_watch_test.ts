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
  await eventually(() => h1.said(said).length > 0, { what: "forwarding to be noticed" });
  await eventually(async () => await h1.counter("kernel-forwards") > 0, {
    what: "it to be counted",
  });
  await set(0);
  const over = "The kernel does not forward packets of workloads any more";
  await eventually(() => h1.said(over).length > 0, { what: "its end to be noticed" });
});

story("an interface that goes down and comes back is said", {}, async ({ world, start }) => {
  const h1 = await start("h1");
  const { kind = "soft", host } = JSON.parse(await Deno.readTextFile(h1.configPath)).plane;
  if (kind !== "soft") return;
  await world.mustRun("h1", ["ip", "link", "set", host, "down"]);
  await eventually(() => h1.said("An interface is down: nothing passes").length > 0, {
    what: "an interface that is down to be noticed",
  });
  await world.mustRun("h1", ["ip", "link", "set", host, "up"]);
  await eventually(() => h1.said("An interface is up again").length > 0, {
    what: "an interface that is up again to be noticed",
  });
});
