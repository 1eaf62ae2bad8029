// SPDX-License-Identifier: Apache-2.0

/**
 * `psp-agent doctor --hardware`: turns what nobody has tried on a device into facts, one question at a time, going on after a
 * refusal. Nothing stays installed. Stages: A the machine, B opening, C pipes, D keys, E entries, F packets in, G packets
 * out, H speed, I closing. docs/doca.md says which claim each settles.
 */
import type { DataPlane } from "../../ffi/data_plane.ts";
import type { Library } from "../../ffi/library.ts";
import type { Plane, PlaneEvent } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import { FlowTable } from "../plane/flow_table.ts";
import { hostInterfaces } from "../plane/host_ports.ts";
import { LEAST, openWithin, type Sizes } from "../plane/sizes.ts";
import { docaSizes, openPlane } from "../plane/plane_setup.ts";
import { type InstalledTopology, installTopology } from "../pipes/install.ts";
import { buildTopology } from "../pipes/topology.ts";
import { askEntries, askKeys, askRates } from "./hardware_keys.ts";
import { askMachine } from "./hardware_machine.ts";
import { askHeart, askOpened, type Far } from "./hardware_packets.ts";
import { askPipes, FORMS, SEVERAL } from "./hardware_pipes.ts";
import type { Machine } from "./machine.ts";
import { type Answer, Inquiry, No, NotAsked } from "./probe.ts";

type Doca = Extract<Config["plane"], { readonly kind: "doca" }>;

export interface HardwareOptions {
  readonly config: Config;
  readonly plane: Doca;
  /** The shim of plane "doca". */
  readonly library: Library;
  /** The machine as it is at this moment. */
  readonly machine: () => Machine;
  /** Lines of the plane's trace that were not returned yet. */
  readonly calls: () => readonly string[];
  /** Opens the far end; absent: there is none. */
  readonly openFar?: () => { readonly plane: Plane; readonly crypto: Far["crypto"] };
  readonly waitMs: number;
  readonly clock: Clock;
  /** Hears what is waited for. */
  readonly say: (text: string) => void;
}

/** Asks everything. Never throws for what the device does. */
export async function askHardware(options: HardwareOptions): Promise<readonly Answer[]> {
  const { config, plane: doca, library, machine, clock, say } = options;
  const inquiry = new Inquiry(options.calls);
  const before = machine();
  const hosts = hostInterfaces(doca, new Set(before.report?.interfaces.keys()));
  await askMachine(inquiry, {
    machine: before,
    config,
    hosts,
    plane: doca,
    version: library.version,
  });
  const plane = await askOpen(inquiry, { ...options, hosts });
  if (plane === undefined) return inquiry.answers;
  await askUnchanged(inquiry, { id: "B2", when: "opening", before, now: machine() });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => plane.close());
  const handles = hosts.map((_, i) => plane.ports.host + i);
  await askPipes(inquiry, plane, handles);
  await askKeys(inquiry, plane);
  const stands = await askInstalled(inquiry, plane, { ...options, handles });
  if (stands !== undefined) {
    const flows = stack.use(stands.flows);
    await askEntries(inquiry, { plane, flows, pip: config.pip });
    await askRates(inquiry, { plane, flows });
    const events: PlaneEvent[] = [];
    const reading = read(plane, events);
    await inquiry.ask({
      id: "F0",
      asks: "Does the plane run?",
      yes: "what hardware sends to the CPU is looked at",
      no: "no packet comes to the CPU: what follows is no fault of the pipes",
    }, () => {
      plane.start();
      return `${plane.granted().workers} readers`;
    });
    const far = farEnd(options, stack);
    const packets = {
      plane,
      hosts: handles,
      flows,
      events,
      clock,
      pip: config.pip,
      far,
      waitMs: options.waitMs,
    };
    await askOpened(inquiry, packets);
    say(`Waiting ${options.waitMs / 1000} s for a packet of the workload: ping through the agent`);
    await askHeart(inquiry, packets);
    await flows[Symbol.asyncDispose]();
    attempt(() => stands.installed.remove());
    await plane.close();
    await reading;
  }
  await stack.disposeAsync();
  await askUnchanged(inquiry, { id: "I1", when: "closing", before, now: machine() });
  await askAgain(inquiry, { ...options, hosts });
  await askUnchanged(inquiry, { id: "I3", when: "closing again", before, now: machine() });
  return inquiry.answers;
}

const TUNNEL = FORMS[0][1];

/** The pipes of an agent with these host ports. */
function install(plane: Plane, handles: readonly number[]): InstalledTopology {
  return handles.length > 1
    ? installTopology(plane, buildTopology(SEVERAL), { hosts: handles })
    : installTopology(plane, buildTopology(TUNNEL));
}

/** Whether the pipes that were asked for one by one stand together. */
async function askInstalled(
  inquiry: Inquiry,
  plane: Plane,
  { clock, config, handles }: HardwareOptions & { readonly handles: readonly number[] },
): Promise<{ readonly installed: InstalledTopology; readonly flows: FlowTable } | undefined> {
  let stands: { readonly installed: InstalledTopology; readonly flows: FlowTable } | undefined;
  await inquiry.ask({
    id: "E0",
    asks:
      "Do the pipes of an agent stand together, with the entries that they have from the start?",
    yes: "what is asked of entries and packets is asked on them",
    no: "entries, packets and speed could not be asked for: stages E to H are missing",
  }, () => {
    const installed = install(plane, handles);
    stands = { installed, flows: flowTable(plane, { installed, clock, pip: config.pip }) };
    return [...installed.pipes.keys()].join(", ");
  });
  return stands;
}

type WithHosts = HardwareOptions & { readonly hosts: readonly string[] };

async function askOpen(
  inquiry: Inquiry,
  { library, config, hosts }: WithHosts,
): Promise<DataPlane | undefined> {
  let plane: DataPlane | undefined;
  await inquiry.ask({
    id: "B1",
    asks: `Does the plane open, with ${LEAST.maxEntries} entries and ${LEAST.maxCryptoIds} ids?`,
    yes: "DPDK, device, representors, DOCA Flow, all ports and the transmit root work",
    no: "nothing else can be asked; docs/doca.md says what each sentence means",
  }, () => {
    plane = openPlane(library, config, { hosts, sizes: LEAST });
    return plane.version();
  });
  return plane;
}

/** Whether another opening in this process works, with the sizes of the configuration. */
async function askAgain(inquiry: Inquiry, options: WithHosts): Promise<void> {
  const { library, config, plane: doca, hosts } = options;
  const asked = docaSizes(config, doca);
  await inquiry.ask({
    id: "I2",
    asks: `Does it open again, with ${asked.maxEntries} entries and ${asked.maxCryptoIds} ids?`,
    yes:
      "the agent's sizes are granted, or what is said here; a plane can be opened twice in one process",
    no: "sizes can only be found by starting the agent anew with smaller ones",
  }, async () => {
    const refused: string[] = [];
    const open = async (sizes: Sizes) => {
      await using stack = new AsyncDisposableStack();
      const plane = stack.adopt(
        openPlane(library, config, { hosts, sizes }),
        (one) => one.close(),
      );
      const installed = install(plane, hosts.map((_, i) => plane.ports.host + i));
      const granted = plane.granted();
      installed.remove();
      return granted;
    };
    const granted = await openWithin(asked, {
      open,
      stepped: (error) => refused.push(error.message),
    });
    const { maxEntries, maxCryptoIds, actionsMemory } = granted;
    const mib = (actionsMemory / 2 ** 20).toFixed(0);
    const sizes = `${maxEntries} entries, ${maxCryptoIds} ids, ${mib} MiB for actions`;
    return refused.length === 0
      ? sizes
      : `${sizes}, after ${refused.length} refusals: ${refused[0]}`;
  });
}

/** MTU and state of every interface are as they were. */
function askUnchanged(
  inquiry: Inquiry,
  { id, when, before, now }: {
    readonly id: string;
    readonly when: string;
    readonly before: Machine;
    readonly now: Machine;
  },
): Promise<boolean> {
  return inquiry.ask({
    id,
    asks: `Are all interfaces as they were, after ${when}?`,
    yes: "the driver keeps the MTU that it is given, and the kernel's interfaces go on",
    no: "an interface of the kernel has changed: a black hole for what is larger",
  }, () => {
    const [was, is] = [before.report?.interfaces, now.report?.interfaces];
    if (was === undefined || is === undefined) throw new NotAsked("they cannot be read");
    const text = (one: { up: boolean; mtu: number } | undefined) =>
      one === undefined ? "gone" : `${one.up ? "up" : "down"} ${one.mtu}`;
    const changed = [...was].filter(([name, one]) => text(one) !== text(is.get(name)));
    if (changed.length > 0) {
      throw new No(
        changed.map(([name, one]) => `${name}: ${text(one)} -> ${text(is.get(name))}`).join(", "),
      );
    }
    return `${was.size} interfaces`;
  });
}

function flowTable(
  plane: Plane,
  { installed, clock, pip }: {
    readonly installed: InstalledTopology;
    readonly clock: Clock;
    readonly pip: string;
  },
): FlowTable {
  return new FlowTable({
    plane,
    installed,
    clock,
    localPip: pip,
    ttl: 64,
    copyDscp: false,
    gatewayMac: "02:50:53:50:00:01",
    nextHopMac: (sa) => sa.mac,
    placeOf: () => ({ mac: "ff:ff:ff:ff:ff:ff", port: plane.ports.host }),
    maxCryptoIds: plane.granted().maxCryptoIds,
  });
}

function farEnd(
  { openFar, clock, config, say }: HardwareOptions,
  stack: AsyncDisposableStack,
): Far | undefined {
  if (openFar === undefined) return undefined;
  try {
    const { plane, crypto } = openFar();
    stack.defer(() => plane.close());
    const installed = installTopology(plane, buildTopology(TUNNEL));
    const pip = config.pip.includes(":") ? "2001:db8::fe" : "192.0.2.254";
    const flows = stack.use(flowTable(plane, { installed, clock, pip }));
    plane.start();
    return { plane, flows, crypto };
  } catch (error) {
    say(`The far end cannot be opened: ${messageOf(error)}`);
    return undefined;
  }
}

async function read(plane: Plane, events: PlaneEvent[]): Promise<void> {
  for await (const batch of plane.events()) events.push(...batch);
}

/** What fails here has been asked before, pipe by pipe. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
