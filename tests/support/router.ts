// SPDX-License-Identifier: Apache-2.0

/** A router between the two hosts, for what only the network between them can do. */
import { FarNamespace } from "./far_namespace.ts";
import { HOSTS } from "./plan.ts";
import type { World } from "./world.ts";

const ROUTER = { ipv4: "192.168.77.254", ipv6: "fd77::fe" } as const;

const IPV6_OFF = "/proc/sys/net/ipv6/conf/uplink/disable_ipv6";

/** Puts it between the hosts, each of which it knows by a link of its own: `r0` to h1, `r1` to h2. */
export async function separate(world: World): Promise<FarNamespace> {
  const router = world.own(await FarNamespace.make());
  const isIpv6 = world.host("h1").pip.includes(":");
  const [at, bits] = isIpv6 ? [ROUTER.ipv6, 128] as const : [ROUTER.ipv4, 32] as const;
  const nodad = isIpv6 ? "nodad" : "";
  await world.mustRun("h1", ["ip", "link", "del", "uplink"]);
  for (const [i, name] of HOSTS.entries()) {
    const { pip, uplinkMac, ns } = world.host(name);
    const end = `peer name uplink address ${uplinkMac} netns ${ns}`;
    await router.ip(`link add r${i} address 02:00:00:00:99:0${i} type veth ${end}`);
    await router.ip(`addr add ${at}/${bits} dev r${i} ${nodad}`.trim());
    await router.ip(`link set r${i} up`);
    await router.ip(`route add ${pip} dev r${i}`);
    const family = isIpv6 ? ["-6"] : [];
    const lines = [
      ["addr", "add", `${pip}/${bits}`, "dev", "uplink", ...nodad === "" ? [] : [nodad]],
      ["link", "set", "uplink", "up"],
      ["route", "add", at, "dev", "uplink"],
      ["route", "add", "default", "via", at, "dev", "uplink"],
    ];
    if (isIpv6) await world.mustRun(name, ["sh", "-c", `echo 0 > ${IPV6_OFF}`]);
    for (const line of lines) await world.mustRun(name, ["ip", ...family, ...line]);
  }
  const forwarding = isIpv6 ? "ipv6/conf/all/forwarding" : "ipv4/ip_forward";
  await router.run(["sh", "-c", `echo 1 > /proc/sys/net/${forwarding}`]);
  return router;
}
