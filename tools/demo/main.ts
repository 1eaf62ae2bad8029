// SPDX-License-Identifier: Apache-2.0

/**
 * The demo: two hosts and two workloads in namespaces, an agent on each host, and the proof from a
 * capture of the wire between them. HOLD=1 leaves it all running until Ctrl-C. Exit code: 0 when
 * every proof holds, 1 when one fails, 2 when the demo itself cannot run, 130 after Ctrl-C.
 */
import { makePkiByCommand, STATUS } from "../../tests/support/agent_config.ts";
import { AGENT_BIN, socketOf, startAgents } from "../../tests/support/agent_process.ts";
import { openRelay } from "../../tests/support/ns_relay.ts";
import { requireRoot } from "../../tests/support/netns.ts";
import { messageOf } from "../../tests/support/wait.ts";
import { World } from "../../tests/support/world.ts";
import { Narrator } from "./narrator.ts";
import { type Demo, perform } from "./story.ts";

class Interrupted extends Error {}

async function main(): Promise<number> {
  const start = performance.now();
  const say = new Narrator();
  let held = false;
  using ctrlC = interruption();
  try {
    requireRoot();
    say.title("psp-agent: two hosts, one encrypted wire");
    say.section("The stage");
    await using world = await orInterrupted(
      say.during("namespaces", () => World.create()),
      ctrlC,
    );
    const all = async () => {
      await say.during("certificates", () => makePkiByCommand(world, AGENT_BIN));
      const agents = await say.during("agents", () => startAgents(world));
      await perform({ world, agents, say });
      say.verdict((performance.now() - start) / 1000);
      if (!Deno.env.get("HOLD")) return;
      // The page is in a namespace, and the browser is not.
      const [one, two] = await Promise.all(
        (["h1", "h2"] as const).map((host) =>
          openRelay({ ns: world.ns(host), to: STATUS, socket: world.path(`page-${host}`) })
            .then((relay) => world.own(relay))
        ),
      );
      printHints({ world, agents, say }, [one, two].map((relay) => `http://${relay?.address}/`));
      held = true;
      await new Promise<never>(() => setInterval(() => {}, 1 << 30));
    };
    await orInterrupted(all(), ctrlC);
    return say.failed === 0 ? 0 : 1;
  } catch (error) {
    if (error instanceof Interrupted) {
      say.text("\nStopped; everything is removed.");
      if (!held) return 130;
      return say.failed === 0 ? 0 : 1;
    }
    console.error(`\nThe demo cannot go on: ${messageOf(error)}`);
    return 2;
  }
}

interface Interruption extends Disposable {
  readonly promise: Promise<never>;
}

function interruption(): Interruption {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const listener = () => reject(new Interrupted());
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, listener);
  return {
    promise,
    [Symbol.dispose]() {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        Deno.removeSignalListener(signal, listener);
      }
    },
  };
}

/**
 * What `work` comes to, or `Interrupted` at once: what it left undone falls with the namespaces.
 */
function orInterrupted<T>(work: Promise<T>, { promise }: Interruption): Promise<T> {
  work.catch(() => {});
  return Promise.race([work, promise]);
}

/** Prints commands that can be pasted into another terminal. */
function printHints({ world, agents, say }: Demo, pages: readonly string[]): void {
  const inside = (name: string) => `ip netns exec ${world.ns(name)}`;
  const service = `http://${STATUS}/psp.v1.StatusService`;
  const commands: readonly (readonly [string, string])[] = [
    ["ping through the tunnel", `${inside("v1")} ping ${world.vip("h2")}`],
    ["and the other way", `${inside("v2")} ping ${world.vip("h1")}`],
    ["what is on the wire", `${inside("h1")} tcpdump -ni uplink`],
    ["what the tenant sees", `${inside("v1")} tcpdump -ni eth0`],
    ["ask an agent", `${AGENT_BIN} status --address ${socketOf(world, "h1")}`],
    [
      "what becomes of a packet",
      `${AGENT_BIN} explain ${world.vip("h1")} ${world.vip("h2")} --address ${
        socketOf(world, "h1")
      }`,
    ],
    [
      "the same with curl",
      `${inside("h2")} curl -s -H 'content-type: application/json' -d '{}' ${service}/ListTunnels`,
    ],
    ["throughput", `${inside("v2")} iperf3 -s -1 & ${inside("v1")} iperf3 -c ${world.vip("h2")}`],
    ["lose an agent", `kill -9 ${agents.h2.pid}`],
    [
      "and bring it back",
      `${inside("h2")} env PSP_AGENT_SOCKET=${
        socketOf(world, "h2")
      } ${AGENT_BIN} --config ${agents.h2.configPath}`,
    ],
  ];
  say.section("Held open: try this in another terminal. Ctrl-C here removes everything.");
  say.text(`The page of h1: ${pages[0]}\nThe page of h2: ${pages[1]}`);
  for (const [what, command] of commands) say.text(`# ${what}\n${command}`);
}

if (import.meta.main) Deno.exit(await main());
