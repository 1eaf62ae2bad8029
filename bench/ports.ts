// SPDX-License-Identifier: Apache-2.0

/**
 * A host of many tenants: how long an agent takes to start with 256 ports in 64 networks, 1,000 vips each, what it holds,
 * and what it costs while nothing happens. Usage: PORTS=256 NETWORKS=64 VIPS=1000 bench/ports.ts
 */
import { ip } from "../tests/support/own_namespace.ts";
import { inNamespace } from "../tests/support/bench_lab.ts";
import { AGENT_BIN } from "../tests/support/agent_process.ts";
import { eventually } from "../tests/support/wait.ts";
import { ranS } from "./lib/cpu.ts";
import { memoryMib } from "./lib/memory.ts";
import { positive } from "./lib/options.ts";

const IDLE_S = 10;

interface Size {
  readonly ports: number;
  readonly networks: number;
  readonly vips: number;
}

function address(n: number): string {
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

/** Ports are dealt out to the networks in turn; within a network each has so many addresses of its own. */
function configuration({ ports, networks, vips }: Size, dir: string): object {
  const of = (network: number) =>
    Array.from({ length: ports }, (_, i) => i).filter((i) => i % networks === network);
  return {
    id: "h1",
    pip: "127.0.0.1",
    state_dir: `${dir}/state`,
    vips: [],
    networks: Array.from({ length: networks }, (_, n) => ({
      name: `tenant${n}`,
      vc: n + 1,
      ports: of(n).map((i) => `p${i}`),
      vips: ["10.0.0.0/8"],
    })),
    plane: {
      uplink: "up0",
      host: Array.from({ length: ports }, (_, i) => `p${i}`),
      ports: Array.from({ length: ports }, (_, i) => ({
        name: `p${i}`,
        vips: Array.from(
          { length: vips },
          (_, v) => `${address(Math.floor(i / networks) * vips + v)}@tenant${i % networks}`,
        ),
      })),
    },
    rpc: { listen: "127.0.0.1:7443", insecure: true },
    status: { socket: `${dir}/agent.sock` },
    log: { format: "json" },
    peers: [{
      id: "h2",
      svc_address: "127.0.0.2:7443",
      vips: Array.from({ length: networks }, (_, n) => `11.0.0.0/8@tenant${n}`),
    }],
  };
}

async function measure(size: Size, dir: string): Promise<string> {
  for (let i = 0; i < size.ports; i++) {
    await ip(`link add p${i} type veth peer name q${i}`);
    await ip(`link set p${i} up`);
    await ip(`link set q${i} up`);
  }
  const path = `${dir}/peers.json`;
  await Deno.writeTextFile(path, JSON.stringify(configuration(size, dir)));
  const startMs = performance.now();
  const child = new Deno.Command(AGENT_BIN, {
    args: ["--config", path],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let log = "";
  const reading = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (text) => void (log += text) }),
  );
  try {
    await eventually(() => log.includes('"Ready"'), {
      what: "the agent to be ready",
      deadlineMs: 120_000,
      everyMs: 10,
      describe: () => log.slice(-4000),
    });
    const readyMs = performance.now() - startMs;
    const startedS = ranS([child.pid]);
    await new Promise((resolve) => setTimeout(resolve, IDLE_S * 1000));
    const idle = 100 * (ranS([child.pid]) - startedS) / IDLE_S;
    return `${size.ports} ports, ${size.networks} networks, ${size.vips} vips a port: ready after ` +
      `${(readyMs / 1000).toFixed(2)} s (${startedS.toFixed(2)} s of CPU), ` +
      `${memoryMib(child.pid).toFixed(0)} MiB, idle ${idle.toFixed(1)} % of a processor`;
  } finally {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself, and its log says why.
    }
    await child.status;
    await reading;
    for (let i = 0; i < size.ports; i++) await ip(`link del p${i}`);
  }
}

if (import.meta.main) {
  await inNamespace(import.meta.url, async () => {
    const full = {
      ports: positive("PORTS", 256),
      networks: positive("NETWORKS", 64),
      vips: positive("VIPS", 1000),
    };
    for (const size of [{ ports: 1, networks: 1, vips: 1 }, full]) {
      const dir = await Deno.makeTempDir();
      try {
        console.log(await measure(size, dir));
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    }
  });
}
