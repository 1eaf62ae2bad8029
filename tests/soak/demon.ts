// SPDX-License-Identifier: Apache-2.0

/** What a demon does to three hosts, one thing after the other: each leaves the world whole again. */
import { ip, kill, run } from "../support/netns.ts";
import { type HostNumber, type Lab, WRONG_CLOCKS_S } from "./lab.ts";

/** Who it is done to, and what chance says. */
export interface Turn {
  readonly lab: Lab;
  readonly host: HostNumber;
  /** Milliseconds that something is away. */
  readonly awayMs: number;
  /** What changes is to be another one each time. */
  readonly draw: number;
}

/** By name, what it does; it resolves when all is as it should be again. */
export const DEEDS: Readonly<Record<string, (turn: Turn) => Promise<void>>> = {
  "the uplink is down": async ({ lab, host, awayMs }) => {
    await ip(["link set uplink down"], lab.ns(`h${host}`));
    await rest(awayMs);
    await ip(["link set uplink up"], lab.ns(`h${host}`));
  },
  "the host port is down": async ({ lab, host, awayMs }) => {
    await ip(["link set vm0 down"], lab.ns(`h${host}`));
    await rest(awayMs);
    await ip(["link set vm0 up"], lab.ns(`h${host}`));
  },
  "the uplink is made anew": async ({ lab, host, awayMs }) => {
    await ip(["link del uplink"], lab.ns(`h${host}`));
    await rest(awayMs);
    await lab.plugUplink(host);
  },
  "the host port is made anew": async ({ lab, host, awayMs }) => {
    await ip(["link del vm0"], lab.ns(`h${host}`));
    await rest(awayMs);
    await lab.plugWorkload(host);
  },
  "the uplink has another MAC": async ({ lab, host }) => {
    await ip([`link set uplink address ${lab.newMac(`01:0${host}`)}`], lab.ns(`h${host}`));
  },
  "the workload has another MAC": async ({ lab, host }) => {
    await ip([`link set eth0 address ${lab.newMac(`02:0${host}`)}`], lab.ns(`w${host}`));
  },
  "the uplink carries less, and then more again": async ({ lab, host, awayMs, draw }) => {
    await ip([`link set uplink mtu ${1300 + draw % 200}`], lab.ns(`h${host}`));
    await rest(awayMs);
    await ip(["link set uplink mtu 1500"], lab.ns(`h${host}`));
  },
  "the outer address is away": async ({ lab, host, awayMs }) => {
    await ip([`addr del ${lab.pip(host)}/24 dev uplink`], lab.ns(`h${host}`));
    await rest(awayMs);
    await ip([lab.addPip(host)], lab.ns(`h${host}`));
  },
  "SIGHUP": async ({ lab, host }) => {
    for (let i = 0; i < 3; i++) signal(lab, host, "SIGHUP");
    await Promise.resolve();
  },
  "SIGSTOP": async ({ lab, host, awayMs }) => {
    signal(lab, host, "SIGSTOP");
    await rest(awayMs);
    signal(lab, host, "SIGCONT");
  },
  "SIGKILL": async ({ lab, host }) => {
    await lab.end(host, "SIGKILL");
    await lab.start(host);
  },
  "a restart": async ({ lab, host }) => {
    await lab.end(host, "SIGTERM");
    await lab.start(host);
  },
  "the disk is full": async ({ lab, host, awayMs }) => {
    const file = `${lab.dir}/state${host}/full`;
    await run(["dd", "if=/dev/zero", `of=${file}`, "bs=64k"]);
    await rest(awayMs);
    await Deno.remove(file);
  },
  "the clock is wrong": async ({ lab, host, awayMs, draw }) => {
    await lab.setClock(host, WRONG_CLOCKS_S[draw % WRONG_CLOCKS_S.length] ?? 0);
    await rest(awayMs);
    await lab.setClock(host, 0);
  },
  "a new certificate": async ({ lab, host }) => {
    await lab.certify(host);
    signal(lab, host, "SIGHUP");
  },
};

function signal(lab: Lab, host: HostNumber, name: Deno.Signal): void {
  const agent = lab.agents.get(host);
  if (agent !== undefined) kill(agent.pid, name);
}

/** How long something is away: what is tested here is time itself. */
export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
