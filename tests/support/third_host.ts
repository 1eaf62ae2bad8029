// SPDX-License-Identifier: Apache-2.0

/** A third host for a world of two: all three hang on a switch, and an agent of its own runs there. */
import { issue, type PeersJson, peersJson, tlsOf } from "./agent_config.ts";
import { AGENT_BIN } from "./agent_process.ts";
import { FarNamespace } from "./far_namespace.ts";
import { kill } from "./netns.ts";
import { GATEWAY, GATEWAY_MAC, HOSTS } from "./plan.ts";
import { planeEnv } from "./standin.ts";
import { eventually } from "./wait.ts";
import type { World } from "./world.ts";

/** Outer address of the third host. */
export const H3_PIP = "192.168.77.3";
const WORKLOAD_MAC = "02:00:00:03:01:01";

/** Takes the two hosts of a world off their cable and puts all three on a switch. `vip`: what its workload has. */
export async function addThirdHost(world: World, vip: string): Promise<ThirdHost> {
  const [net, host, workload] = [
    world.own(await FarNamespace.make()),
    world.own(await FarNamespace.make()),
    world.own(await FarNamespace.make()),
  ];
  await net.ip("link add br0 type bridge");
  await net.ip("link set br0 up");
  const plug = async (port: string, end: string) => {
    await net.ip(`link add ${port} type veth peer name uplink address ${end}`);
    await net.ip(`link set ${port} master br0 up`);
  };
  await world.mustRun("h1", ["ip", "link", "del", "uplink"]);
  for (const [i, name] of HOSTS.entries()) {
    const { pip, uplinkMac, ns } = world.host(name);
    await plug(`s${i}`, `${uplinkMac} netns ${ns}`);
    await world.mustRun(name, ["ip", "addr", "add", `${pip}/24`, "dev", "uplink"]);
    await world.mustRun(name, ["ip", "link", "set", "uplink", "up"]);
  }
  await plug("s3", `02:00:00:00:77:03 netns ${host.pid}`);
  await host.ip(`addr add ${H3_PIP}/24 dev uplink`);
  await host.ip("link set uplink up");
  await host.ip("link set lo up");
  await host.ip(
    `link add host type veth peer name eth0 address ${WORKLOAD_MAC} netns ${workload.pid}`,
  );
  await host.ip("link set host up");
  await workload.ip("link set eth0 mtu 1412 up");
  await workload.ip(`addr add ${vip}/32 dev eth0`);
  await workload.ip(
    `neigh add ${GATEWAY.ipv4} lladdr ${GATEWAY_MAC} dev eth0 nud permanent`,
  );
  await workload.ip(`route add default via ${GATEWAY.ipv4} dev eth0 onlink src ${vip}`);
  await issue(world, "h3");
  return new ThirdHost(world, host);
}

/** The host and its agent. */
export class ThirdHost {
  readonly configPath: string;

  constructor(readonly world: World, readonly namespace: FarNamespace) {
    this.configPath = world.path("peers-h3.json");
  }

  /** Starts the agent, as h2's with another name and address, and waits until it is ready. Returns its pid. */
  async start(change: (config: PeersJson) => void): Promise<number> {
    const config = peersJson(this.world, "h2");
    Object.assign(config, {
      id: "h3",
      state_dir: this.world.path("state-h3"),
      pip: H3_PIP,
      rpc: { listen: `${H3_PIP}:7443`, tls: tlsOf(this.world, "h3") },
    });
    change(config);
    await Deno.writeTextFile(this.configPath, JSON.stringify(config));
    const [program, ...args] = [...this.namespace.enter, AGENT_BIN, "--config", this.configPath];
    const child = new Deno.Command(program ?? "", {
      args,
      env: planeEnv(),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let log = "";
    const reading = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
      new WritableStream({ write: (text) => void (log += text) }),
    );
    this.world.own({
      async [Symbol.asyncDispose]() {
        kill(child.pid, "SIGKILL");
        await child.status;
        await reading;
      },
    });
    await eventually(() => log.includes('"Ready"'), {
      what: "agent h3 to be ready",
      describe: () => log,
    });
    return child.pid;
  }

  /** How many tunnels are up there. */
  async tunnelsUp(): Promise<number> {
    const [program, ...args] = [...this.namespace.enter, AGENT_BIN, "status", "--json"];
    const { stdout } = await new Deno.Command(program ?? "", {
      args: [...args, "--config", this.configPath],
    }).output();
    return JSON.parse(new TextDecoder().decode(stdout)).tunnels.up;
  }
}
