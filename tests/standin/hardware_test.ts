// SPDX-License-Identifier: Apache-2.0

/**
 * `psp-agent doctor --hardware` whole, on the stand-in: every question is asked, packets of a workload and of a far end
 * included, and a device that refuses something gets the rest asked all the same.
 */
import assert from "node:assert/strict";
import { AGENT_BIN } from "../support/agent_process.ts";
import { inOwnNamespace, ip } from "../support/own_namespace.ts";
import { PacketSocket } from "../support/packet_socket.ts";
import { PLANE, STANDIN_LIBRARY } from "../support/standin.ts";

const PCI = "0000:03:00.0";
/** What no machine without such a device and its SDK has. */
const OF_A_DEVICE = ["A1", "A2", "A3", "A5", "A7"];

interface Answer {
  readonly id: string;
  readonly verdict: string;
  readonly saw: string;
  readonly refused: readonly string[];
}

await inOwnNamespace(import.meta.url, async () => {
  await ip("link add far0 type veth peer name far1");
  await ip("link add host2 type veth peer name host3");
  for (const name of ["far0", "far1", "host2", "host3"]) await ip(`link set ${name} up`);

  Deno.test("every question that a device can answer is answered with yes, and nothing stays", async () => {
    const { code, answers, text, announced } = await hardware({
      far: true,
      waitS: 20,
      workload: true,
      representors: ["host0", "host2"],
    });
    assert.deepEqual(announced, [1, 1], "the frames of G5 and G7 reached the workloads");
    const not = answers.filter(({ verdict }) => verdict !== "yes");
    assert.deepEqual(
      not.filter(({ id }) => !OF_A_DEVICE.includes(id) && id !== "A8").map((
        { id, saw },
      ) => [id, saw]),
      [],
      text,
    );
    const stages = new Set(answers.map(({ id }) => id.charAt(0)));
    assert.deepEqual([...stages].sort().join(""), "ABCDEFGHI");
    // What is "no" here is so because there is no such device.
    assert.equal(code, 1);
    const ids = answers.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(answers.filter(({ id }) => id.startsWith("C")).length > 40);
  });

  Deno.test("without workload and far end those questions stay open", async () => {
    const { answers } = await hardware({ far: false, waitS: 1, workload: false });
    const open = answers.filter(({ verdict }) => verdict === "open").map(({ id }) => id);
    const alone = ["C5", "G6", "G7"];
    assert.deepEqual(
      open.filter((id) => !alone.includes(id)),
      ["A8", "F1", "F2", "F3", "G1", "G2", "G3", "G4"],
    );
    assert.deepEqual(open.filter((id) => alone.includes(id)), alone);
  });

  Deno.test("a device that refuses every ninth order has the rest asked, with the calls that it refused", async () => {
    const { answers, text } = await hardware({
      far: false,
      waitS: 1,
      workload: false,
      env: { DOCA_STANDIN_FAIL: "error/9" },
    });
    const refused = answers.filter(({ verdict, id }) => verdict === "no" && id.startsWith("C"));
    assert.ok(refused.length > 3, text);
    assert.ok(refused.some(({ refused }) => refused.some((line) => line.includes("entry_add"))));
    assert.ok(answers.some(({ id, verdict }) => id.startsWith("D") && verdict === "yes"), text);
    assert.equal(answers.at(-1)?.id, "I3");
  });

  Deno.test("with a workload and a far end, whatever the device refuses, the rest is asked", async () => {
    const refusals = [
      { DOCA_STANDIN_REFUSE: "doca_flow_crypto_psp_spi_key_wipe" },
      { DOCA_STANDIN_REFUSE: "update" },
      { DOCA_STANDIN_REFUSE: "doca_flow_resource_query_entry" },
    ];
    for (const env of refusals) {
      const { answers } = await hardware({ far: true, waitS: 5, workload: true, env });
      const ids = new Set(answers.map(({ id }) => id));
      for (const id of ["F1", "G1", "G2", "H1", "I1"]) {
        assert.ok(ids.has(id), `${Object.values(env)} ${id} of ${[...ids]}`);
      }
      assert.equal(answers.at(-1)?.id, "I3");
      // No interface has changed, and the plane opens again: nothing has stayed.
      assert.deepEqual(
        answers.filter(({ id, verdict }) => id.startsWith("I") && verdict !== "yes")
          .map(({ id, saw }) => [id, saw]),
        [],
      );
    }
  });

  Deno.test("a device that has less memory says how much it grants", async () => {
    const { answers } = await hardware({
      far: false,
      waitS: 1,
      workload: false,
      env: { DOCA_STANDIN_CAPACITY: "psp=600" },
    });
    const granted = answers.find(({ id }) => id === "I2");
    assert.equal(granted?.verdict, "yes");
    assert.match(granted?.saw ?? "", /^1024 entries, 512 ids, .* after 2 refusals: .*NO_MEMORY/);
  });

  Deno.test("a device that does not open ends it after that question, with a report", async () => {
    const { answers, code } = await hardware({
      far: false,
      waitS: 1,
      workload: false,
      env: { DOCA_STANDIN_PCI: "0000:09:00.0=up0" },
    });
    assert.equal(code, 1);
    assert.equal(answers.at(-1)?.id, "B1");
    assert.match(answers.at(-1)?.saw ?? "", /there is no DOCA device/);
  });
});

async function hardware(
  { far, waitS, workload, env = {}, representors }: {
    readonly far: boolean;
    readonly waitS: number;
    readonly workload: boolean;
    /** Absent: "host0" alone. */
    readonly representors?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<{
  readonly code: number;
  readonly answers: readonly Answer[];
  readonly text: string;
  /** ARP announcements that the workloads of both representors got. */
  readonly announced: readonly number[];
}> {
  assert.equal(PLANE, "doca", "This needs PSP_PLANE=doca");
  const dir = await Deno.makeTempDir({ prefix: "psp-hardware-" });
  try {
    const config = `${dir}/peers.json`;
    await Deno.writeTextFile(
      config,
      JSON.stringify({
        id: "h1",
        pip: "192.0.2.1",
        vips: ["10.1.0.0/24"],
        plane: {
          kind: "doca",
          pci: PCI,
          representor: representors ?? "host0",
          library: STANDIN_LIBRARY,
        },
        rpc: { insecure: true },
        peers: [],
      }),
    );
    const child = new Deno.Command(AGENT_BIN, {
      args: [
        ...["doctor", "--hardware", "--json", "--config", config, "--wait", `${waitS}s`],
        ...far ? ["--far", "up1,far0"] : [],
      ],
      env: { PSP_DOCA_EAL: "--no-huge -m 128", DOCA_STANDIN_PCI: `${PCI}=up0`, ...env },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const sending = new AbortController();
    const ends = ["host1", "host3"];
    const sent = Promise.all(
      workload ? ends.map((end, i) => send(end, i + 1, sending.signal)) : [],
    );
    const { code, stdout, stderr } = await child.output();
    sending.abort();
    const announced = await sent;
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.match(text, /^\{/, text);
    const { answers } = JSON.parse(new TextDecoder().decode(stdout));
    return { code, answers, text, announced };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** An ARP request and a UDP packet now and then, as the n-th workload would send them. Returns how many announcements came. */
async function send(end: string, n: number, signal: AbortSignal): Promise<number> {
  using socket = new PacketSocket(end);
  const mac = [2, 0, 0, 0, 0, 0x10 + n];
  const [own, gateway] = [[10, 1, 0, n], [169, 254, 1, 1]];
  const arp = [0, 1, 8, 0, 6, 4, 0, 1, ...mac, ...own, 0, 0, 0, 0, 0, 0, ...gateway];
  const request = [...Array<number>(6).fill(0xff), ...mac, 8, 6, ...arp];
  const udp = [0x0f, 0xa0, 0x0f, 0xa1, 0, 12, 0, 0, 1, 2, 3, 4];
  const ipv4 = [0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, ...own, 10, 2, 0, 1, ...udp];
  const sum = checksum(ipv4.slice(0, 20));
  ipv4[10] = sum >> 8;
  ipv4[11] = sum & 0xff;
  const packet = [2, 0x50, 0x53, 0x50, 0, 1, ...mac, 8, 0, ...ipv4];
  let announced = 0;
  while (!signal.aborted) {
    socket.send(Uint8Array.from(request));
    socket.send(Uint8Array.from(packet));
    announced += announcements(socket);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return announced + announcements(socket);
}

/** ARP of 198.51.100.254. */
function announcements(socket: PacketSocket): number {
  return socket.drain().filter(({ frame, outgoing }) =>
    !outgoing && frame[12] === 8 && frame[13] === 6 && frame[28] === 198 && frame[31] === 254
  ).length;
}

function checksum(header: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += (header[i] ?? 0) << 8 | (header[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
