// SPDX-License-Identifier: Apache-2.0

/**
 * What attackers send, as a program in the namespace that they stand in: `generator.ts <task as JSON>`. Frames of one kind at a
 * rate, out of one interface, or, for "listen", a port that takes connections and answers nothing. Says at its end how
 * many frames the kernel took.
 */
import * as net from "node:net";
import { PacketSocket } from "../../tests/support/packet_socket.ts";
import { udpFrame } from "../../tests/support/frames.ts";

/** What it is to do. */
export interface Task {
  readonly kind: FrameKind | "listen";
  readonly device: string;
  /** Frames a second. */
  readonly rate: number;
  readonly seconds: number;
  /** Of whom it stands for, and whom it sends to. */
  readonly srcMac: string;
  readonly dstMac: string;
  readonly src: string;
  /** An address, or the first of those that are scanned. */
  readonly dst: string;
}

/** Kinds of frames. */
export type FrameKind = "scan" | "dhcp" | "arp" | "solicit" | "psp";

/** Different frames of a kind; they come again when all were sent. */
const VARIANTS = 16_384;
/** Frames between two looks at the clock. */
const BATCH = 64;
export const LISTEN_PORT = 7999;

type Octets = Uint8Array<ArrayBuffer>;

const FRAMES: Readonly<Record<FrameKind, (task: Task, i: number) => Octets>> = {
  /** UDP to one address after the other. */
  scan: (task: Task, i: number) =>
    udpFrame(
      { ...task, dst: addressAt(task.dst, i), srcPort: 1024 + i, dstPort: 9 },
      new Uint8Array(64),
    ),
  /** DHCPDISCOVER, RFC 2131, of a machine that nobody has seen before. */
  dhcp: (task: Task) => {
    const payload = new Uint8Array(300);
    payload.set([1, 1, 6, 0]);
    payload.set(random(4), 4);
    const mac = stranger();
    payload.set(mac, 28);
    payload.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
    const frame = udpFrame({
      ...task,
      dstMac: "ff:ff:ff:ff:ff:ff",
      src: "0.0.0.0",
      dst: "255.255.255.255",
      srcPort: 68,
      dstPort: 67,
    }, payload);
    frame.set(mac, 6);
    return frame;
  },
  /** ARP, RFC 826: who has the gateway? */
  arp: (task: Task, i: number) => {
    const frame = new Uint8Array(60);
    const mac = stranger();
    frame.fill(0xff, 0, 6);
    frame.set(mac, 6);
    frame.set([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1], 12);
    frame.set(mac, 22);
    frame.set(octetsOf(addressAt(task.src, i)), 28);
    frame.set(octetsOf(task.dst), 38);
    return frame;
  },
  /** A router solicitation, RFC 4861, 4.1. */
  solicit: () => {
    const frame = new Uint8Array(70);
    frame.set([0x33, 0x33, 0, 0, 0, 2]);
    frame.set(stranger(), 6);
    frame.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 58, 255, 0xfe, 0x80], 12);
    frame.set(random(8), 30);
    frame.set([0xff, 0x02], 38);
    frame[53] = 2;
    frame[54] = 133;
    frame.set([1, 1], 62);
    frame.set(frame.subarray(6, 12), 64);
    new DataView(frame.buffer).setUint16(56, icmp6Checksum(frame));
    return frame;
  },
  /** PSP with an SPI, an IV and octets that mean nothing, from anywhere. */
  psp: (task: Task) => {
    const payload = random(120);
    payload.set([4, 1, 5, 0x04 | 0x01]);
    const src = octetsOf(task.src);
    src.set(random(1), 3);
    const port = 49_152 + (random(2)[0] ?? 0);
    return udpFrame({ ...task, src: [...src].join("."), srcPort: port, dstPort: 1000 }, payload);
  },
};

function random(n: number): Octets {
  return crypto.getRandomValues(new Uint8Array(n));
}

/** The MAC of one station, administered locally. */
function stranger(): Octets {
  const mac = random(6);
  mac[0] = 2;
  return mac;
}

function octetsOf(address: string): Octets {
  return new Uint8Array(address.split(".").map(Number));
}

/** The i-th IPv4 address from `first` on. */
function addressAt(first: string, i: number): string {
  const bits = octetsOf(first).reduce((sum, octet) => sum * 256 + octet, 0) + i;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
}

/** RFC 4443, 2.3: over the pseudo header and the message, whose own field is 0. */
function icmp6Checksum(frame: Octets): number {
  const view = new DataView(frame.buffer);
  let sum = view.getUint16(18) + 58;
  for (let at = 22; at < frame.length; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function send(task: Task, build: (task: Task, i: number) => Octets): number {
  const frames = Array.from({ length: VARIANTS }, (_, i) => build(task, i));
  using socket = new PacketSocket(task.device);
  const start = performance.now();
  const total = task.rate * task.seconds;
  let sent = 0;
  for (let now = start; now - start < task.seconds * 1000; now = performance.now()) {
    const due = Math.min(total, (now - start) / 1000 * task.rate, sent + BATCH);
    for (; sent < due; sent++) {
      const frame = frames[sent % VARIANTS];
      if (frame !== undefined) socket.send(frame);
    }
  }
  return sent;
}

/** Until its standard input ends. */
async function listen(): Promise<void> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.resume();
  });
  server.listen(LISTEN_PORT, "127.0.0.1");
  for await (const _ of Deno.stdin.readable) { /* until it ends */ }
}

if (import.meta.main) {
  const task = JSON.parse(Deno.args[0] ?? "") as Task;
  if (task.kind === "listen") await listen();
  else console.log(send(task, FRAMES[task.kind]));
  Deno.exit(0);
}
