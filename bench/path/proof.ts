// SPDX-License-Identifier: Apache-2.0

/** That the figures are of what they say: a sample of the wire under psp-agent, read frame by frame. */
import { payload, PayloadSearch } from "../../tests/support/payload.ts";
import type { Contender } from "./contenders.ts";
import type { Lab } from "./lab.ts";
import { checkedCopy, reach } from "./load.ts";

/** Octets of the copy that is captured. */
const SAMPLE = 16 << 20;
/** Ethernet and 1,500 octets of IP. */
const FRAME_MAX = 1514;

/** What was seen. */
export interface Proof {
  readonly frames: number;
  readonly pspFrames: number;
  /** The longest frame: above 1,514 octets it is a super-frame. */
  readonly longest: number;
  /** Frames that the capture could not keep. */
  readonly lost: number;
}

/**
 * Copies a payload through the agent and looks at every frame that arrived at either uplink. Throws when one is neither
 * PSP, nor of the control channel, nor of neighbour discovery; when a piece of the payload is in clear; and, behind the
 * bridge, when a frame is longer than the wire's.
 */
export async function proveWire(lab: Lab, agent: Contender): Promise<Proof> {
  const { world } = lab;
  await using _running = await agent.start(lab);
  const route = { lab, address: lab.address("gateways") };
  await reach(route);
  await using capture = await world.capture();
  const seed = crypto.randomUUID();
  await checkedCopy(route, SAMPLE, seed);
  const report = await capture.stop(new PayloadSearch(payload(seed, SAMPLE)));
  let longest = 0;
  for (const { data } of capture.frames()) longest = Math.max(longest, data.length);
  const fault = report.foreign > 0
    ? `${report.foreign} frames are not PSP: ${report.examples.join("; ")}`
    : report.payloadHits !== 0
    ? `${report.payloadHits} pieces of the payload are in clear`
    : report.psp.bytes < SAMPLE
    ? `only ${report.psp.bytes} octets of PSP for ${SAMPLE} of payload`
    : lab.wire === "bridge" && longest > FRAME_MAX
    ? `a frame of ${longest} octets came through the bridge`
    : undefined;
  if (fault !== undefined) throw new Error(`Cannot trust the wire (${lab.wire}): ${fault}`);
  return { frames: report.frames, pspFrames: report.psp.frames, longest, lost: report.lost };
}
