// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Config, ConfigError, toFile } from "./config.ts";
import { loadConfig, parseConfig, parsePlain } from "./load.ts";
import { Slices } from "../model/slices.ts";
import { problems, SMALLEST } from "../../tests/support/config_text.ts";

Deno.test("the smallest file gets every default", () => {
  const { config, warnings } = parseConfig(JSON.stringify(SMALLEST), "/etc/psp/peers.json");
  const expected: Config = {
    id: "h1",
    domain: "psp-agent.local",
    stateDir: "/var/lib/psp-agent",
    pip: "192.0.2.1",
    gatewayMac: "02:50:53:50:00:01",
    vips: [{ vip: "10.1.0.0/24", dns: [] }],
    peers: [{ id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/24"] }],
    plane: {
      kind: "soft",
      uplink: "p0",
      host: "pf0vf0",
      backend: "auto",
      hostGuard: "auto",
      maxEntries: 524_288,
      uplinkVlan: 0,
    },
    psp: {
      versions: ["aes-gcm-256", "aes-gcm-128"],
      mode: "tunnel",
      sampleRateLog2: 0,
      sampleBytes: 128,
      copyDscp: true,
      mssClamp: true,
      replayWindow: 4096,
      ttl: 64,
    },
    hold: { packetsPerFlow: 64, bytes: 16_777_216, flows: 16_384 },
    rpc: {
      listen: "192.0.2.1:7443",
      tls: { cert: "/etc/psp/h1.crt", key: "/etc/psp/h1.key", ca: "/etc/ca.crt" },
      insecure: false,
      requirePq: false,
      timeoutMs: 2000,
      attempts: 4,
      maxConnections: 256,
      handshakeTimeoutMs: 5000,
      maxMessageBytes: 131_072,
      peerRate: 50,
      peerBurst: 200,
    },
    status: { listen: "127.0.0.1:7480", admin: false, origins: [] },
    tunnel: {
      onDemand: true,
      restore: true,
      lifeMs: 3_600_000,
      lifePackets: 2n ** 34n,
      idleMs: 600_000,
      graceMs: 5000,
      backOffMs: 1000,
      backOffMaxMs: 60_000,
    },
    rotation: { intervalMs: 86_400_000 },
    security: { deny: [] },
    log: { level: "info", format: "text" },
    directory: {},
  };
  assert.deepEqual(config, expected);
  assert.deepEqual(warnings, []);
});

Deno.test("rpc.listen defaults to the host's own address, IPv6 in brackets", () => {
  const { tls } = SMALLEST.rpc;
  const listen = (pip: string) =>
    parseConfig(JSON.stringify({ ...SMALLEST, pip, rpc: { tls } }), "f").config.rpc.listen;
  assert.equal(listen("192.0.2.1"), "192.0.2.1:7443");
  assert.equal(listen("2001:DB8::1"), "[2001:db8::1]:7443");
});

Deno.test("everything that is wrong is reported at once, with its place", () => {
  const text = `{
  // a comment
  "id": "h 1",
  "pip": "192.0.2.256",
  "plane": { "uplink": "p0", "hosts": "pf0vf0" },
  "vips": ["10.1.0.0/24", "10.1.0.300"],
  "tunnel": { "life": "10 minutes", "idel": "5m" },
  "psp": { "versions": ["aes-gcm-265"], "ttl": 0, "mss_clamp": "yes", },
  "rpc": [],
  "peers": [
    { "id": "h2", "svc_address": "192.0.2.2", "vips": [] },
    7,
  ],
  "nonsense": 1,
}`;
  assert.deepEqual(problems(text), [
    'peers.json:3:3: id: "h 1" is not an id: use letters, digits, ".", "-" and "_", such as "h1"',
    'peers.json:4:3: pip: "192.0.2.256" is not an address: write it like "192.0.2.1" or "2001:db8::1"',
    'peers.json:5:12: plane.host: is missing: the interface towards the workloads, such as "pf0vf0"',
    'peers.json:5:30: plane.hosts: is not a known key: did you mean "host"?',
    'peers.json:6:27: vips[1]: "10.1.0.300" is not an address or prefix: write it like "10.1.0.0/24" or "fd00:1::/64"',
    'peers.json:7:15: tunnel.life: "10 minutes" is not a duration: write "10m", "1h30m", "500ms" or a number of seconds',
    'peers.json:7:37: tunnel.idel: is not a known key: did you mean "idle"?',
    'peers.json:8:25: psp.versions[0]: "aes-gcm-265" is not known: did you mean "aes-gcm-256"? Known: "aes-gcm-128", "aes-gcm-256", "aes-gmac-128", "aes-gmac-256"',
    "peers.json:8:41: psp.ttl: 0 is not a whole number from 1 to 255",
    'peers.json:8:51: psp.mss_clamp: "yes" is not true or false',
    'peers.json:9:3: rpc: a list is not an object: write { "listen": ..., "tls": ... }',
    'peers.json:11:19: peers[0].svc_address: "192.0.2.2" is not "host:port": write it like "192.0.2.1:7443", "[2001:db8::1]:7443" or "h2.example:7443"',
    "peers.json:11:47: peers[0].vips: is empty: name at least 1",
    'peers.json:12:5: peers[1]: 7 is not an object: write { "id": ..., "svc_address": ... }',
    "peers.json:14:3: nonsense: is not a known key: known here: id, domain, state_dir, pip, gateway_mac, vips, networks, plane, psp, hold, rpc, status, tunnel, rotation, security, log, directory, peers",
  ]);
});

Deno.test("what is missing says what belongs there", () => {
  assert.deepEqual(problems("{}"), [
    'peers.json:1:1: id: is missing: this host\'s name in its certificate, such as "h1"',
    'peers.json:1:1: pip: is missing: this host\'s own address towards the other hosts, such as "192.0.2.1"',
    'peers.json:1:1: vips: is missing: what lives on this host, such as ["10.1.0.0/24"]',
    'peers.json:1:1: plane: is missing: its interfaces, such as { "uplink": "p0", "host": "pf0vf0" }',
  ]);
});

Deno.test("text that is not JSON is reported with its place", () => {
  assert.deepEqual(problems('{\n  "id": h1,\n  "pip" "x"\n'), [
    "peers.json:2:9: is not JSON: a word that is not true, false, null, a number or text in quotes",
    'peers.json:3:9: is not JSON: a ":" is expected between key and value',
    'peers.json:4:1: is not JSON: a "}" is missing',
  ]);
  assert.deepEqual(problems("{ 'id': 1 }"), [
    "peers.json:1:3: is not JSON: text stands between double quotes",
  ]);
  for (const nothing of ["", " \r\n", "\uFEFF", "// nothing\n/* at all */"]) {
    assert.match(problems(nothing).join(), /^peers\.json:1:1: is empty: /);
  }
  assert.match(problems("[".repeat(100_000))[0] ?? "", /nested deeper than 32 levels/);
});

Deno.test("numbers beyond 2^53 are taken as they stand, and never printed rounded", () => {
  const withVc = (vc: string) =>
    JSON.stringify({ ...SMALLEST, peers: [{ ...SMALLEST.peers[0], vc: "VC" }] })
      .replace('"VC"', vc);
  const vc = (text: string) => parseConfig(withVc(text), "f").config.peers[0]?.vc;
  assert.equal(vc("9007199254740993"), 9_007_199_254_740_993n);
  assert.equal(vc("18446744073709551615"), 2n ** 64n - 1n);
  assert.equal(vc('"0xffffffffffffffff"'), 2n ** 64n - 1n);
  const wrong = (text: string) => problems(withVc(text))[0]?.replace(/^.*vc: /, "");
  assert.equal(
    wrong("18446744073709551617"),
    '18446744073709551617 is not a whole number from 0 to 18446744073709551615 ("0x..." in quotes too)',
  );
  assert.match(wrong("-9007199254740993") ?? "", /^-9007199254740993 is not a whole number/);
  assert.match(wrong("1.5") ?? "", /^1\.5 is not a whole number/);
  assert.match(
    problems(
      JSON.stringify({ ...SMALLEST, psp: { ttl: 0 } }).replace(":0}", ":9007199254740993}"),
    )[0] ?? "",
    /ttl: 9007199254740993 is not a whole number from 1 to 255$/,
  );
});

Deno.test("a key that stands twice is a problem", () => {
  const text = JSON.stringify(SMALLEST).replace("{", '{"pip": "192.0.2.9",\n');
  assert.deepEqual(problems(text), ["peers.json:2:11: pip: stands there twice: remove one"]);
});

Deno.test("__proto__ is a key like any other unknown one", () => {
  const text = JSON.stringify(SMALLEST).replace("{", '{"__proto__": {"domain": "evil"},');
  assert.match(problems(text)[0] ?? "", /__proto__: is not a known key/);
});

Deno.test("the printed configuration loads as the same one", async () => {
  const example = await Deno.readTextFile(new URL("../../examples/peers.json", import.meta.url));
  const doca = {
    kind: "doca",
    pci: "03:00.0",
    representor: "pf0vf0",
    hugepages_mb: 64,
    library: "x.so",
  };
  const texts = [
    example,
    JSON.stringify(SMALLEST),
    JSON.stringify({ ...SMALLEST, plane: doca }),
    JSON.stringify({
      ...SMALLEST,
      psp: { crypt_offset: { ipv4: 0, ipv6: 63 } },
      tunnel: { life: 90.5, life_packets: "0x3000000000000000" },
      peers: [{ ...SMALLEST.peers[0], vc: "18446744073709551615" }],
      status: { listen: "[::]:1", tls: SMALLEST.rpc.tls, token_file: "t" },
    }),
  ];
  for (const text of texts) {
    const { config } = parseConfig(text, "/etc/psp/peers.json");
    const printed = JSON.stringify(toFile(config), null, 2);
    assert.deepEqual(parseConfig(printed, "/elsewhere/f.json").config, config);
  }
});

Deno.test("a file that cannot be read is one sentence", async () => {
  await assert.rejects(loadConfig("/nonexistent/peers.json"), {
    name: "ConfigError",
    message: 'Cannot read configuration "/nonexistent/peers.json": no such file',
  });
});

Deno.test("a file of another kind is one sentence; a mark of UTF-8 and ends of lines do not matter", async () => {
  const file = await Deno.makeTempFile();
  const load = async (bytes: Uint8Array) => {
    await Deno.writeFile(file, bytes);
    return await loadConfig(file, { files: "told" });
  };
  const text = JSON.stringify(SMALLEST, null, 2);
  const utf16 = new Uint8Array([0xff, 0xfe, ...[...text].flatMap((c) => [c.charCodeAt(0), 0])]);
  try {
    for (const bytes of [utf16, new Uint8Array([0x1f, 0x8b, 8, 0]), new Uint8Array([0x7b, 0])]) {
      await assert.rejects(load(bytes), {
        message: `Cannot read configuration "${file}": it is not text in UTF-8`,
      });
    }
    const marked = new TextEncoder().encode(`\uFEFF${text.replaceAll("\n", "\r\n")}`);
    assert.equal((await load(marked)).config.id, "h1");
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("files that the configuration names must be there, or are warned about", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, JSON.stringify(SMALLEST));
    await assert.rejects(loadConfig(file), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.problems.length, 3);
      assert.match(
        error.problems[0] ?? "",
        /: rpc\.tls\.cert: cannot read ".*h1\.crt": no such file$/,
      );
      return true;
    });
    assert.equal((await loadConfig(file, { files: "told" })).unreadable.length, 3);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("no text makes loading throw anything but ConfigError", () => {
  // 100,000 files in `make faults`.
  const runs = Deno.env.has("PSP_SOAK") ? 12_500 : 150;
  const survive = (text: string) => {
    try {
      const { config } = parseConfig(text, "f.json");
      parseConfig(JSON.stringify(toFile(config)), "f.json");
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
    }
  };
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom("h1", "10.0.0.0/8", "::/0", "1h", "0x10", "[::1]:80", -0, 1e308, 2 ** 53),
  );
  const keys = Object.keys(SMALLEST);
  fc.assert(fc.property(fc.string(), survive), { numRuns: runs });
  fc.assert(fc.property(fc.json(), survive), { numRuns: runs });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...keys), value)), (changes) => {
      survive(JSON.stringify({ ...SMALLEST, ...Object.fromEntries(changes) }));
    }),
    { numRuns: 2 * runs },
  );
  const example = JSON.stringify(SMALLEST);
  fc.assert(
    fc.property(fc.nat(example.length), fc.string({ maxLength: 3 }), fc.nat(5), (at, text, cut) => {
      survive(example.slice(0, at) + text + example.slice(at + cut));
    }),
    { numRuns: 4 * runs },
  );
});

Deno.test("as many peers as a file may have are read, each with much to say", () => {
  const peers = Array.from({ length: 65_536 }, (_, i) => ({
    id: `${"host-of-a-long-name-".repeat(10)}${i}`,
    svc_address: `192.0.${2 + (i >> 14)}.${i & 255}:${1 + (i & 16_383)}`,
    vips: [`11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
  }));
  const text = JSON.stringify({ ...SMALLEST, peers });
  assert.equal(parseConfig(text, "f").config.peers.length, 65_536);
});

const parsedPlain = (text: string) =>
  parsePlain(text, "/etc/psp/peers.json", new Slices({ pause: () => Promise.resolve() }));

Deno.test("what is read in slices is what is read in one piece", async () => {
  const [peer] = SMALLEST.peers;
  const changes: object[] = [
    {},
    { networks: [{ name: "blue", vc: 7, ports: ["tap*"], vips: ["10.9.0.0/24"] }] },
    {
      peers: [
        { ...peer, vc: 9, next_hop_mac: "02:00:00:00:00:09", pip: "192.0.2.9" },
        { id: "h3", svc_address: "h3.example:1", vips: ["10.3.0.1", "fd03::/64"] },
      ],
      tunnel: { life: "5m" },
      directory: { dir: "peers.d" },
    },
    { plane: { kind: "doca", pci: "0000:03:00.0", representor: ["pf0vf0"] } },
  ];
  for (const change of changes) {
    for (const indent of [0, 2]) {
      const text = JSON.stringify({ ...SMALLEST, ...change }, null, indent);
      const plain = await parsedPlain(text);
      const whole = parseConfig(text, "/etc/psp/peers.json");
      assert.ok(plain, text);
      assert.deepEqual([plain.config, plain.warnings], [whole.config, whole.warnings]);
      assert.deepEqual(Object.keys(plain.config), Object.keys(whole.config));
      for (const key of ["rpc.tls.cert", "peers", "pip"]) {
        assert.equal(plain.place(key), whole.place(key));
      }
    }
  }
});

Deno.test("what has anything odd about it is left to those who look with care", async () => {
  const [peer] = SMALLEST.peers;
  const with_ = (change: object) => JSON.stringify({ ...SMALLEST, ...change });
  const plain = JSON.stringify(SMALLEST);
  const odd = [
    "",
    "[]",
    "7",
    plain.slice(1),
    `${plain}// the end`,
    plain.replace("{", '{"id":"h1",'),
    plain.replace('"id":"h2"', '"id":"h2","id":"h3"'),
    plain.replace('"h2"', '"\\u00682"'),
    with_({ more: 1 }),
    with_({ peers: {} }),
    with_({ peers: [{ ...peer, vips: [] }] }),
    with_({ peers: [{ ...peer, more: 1 }] }),
    with_({ peers: [peer, peer] }),
    with_({ peers: [{ ...peer, vc: 9007199254740993 }] }),
    with_({ peers: [{ ...peer, vips: ["10.2.0.0/24@blue"] }] }),
    // Warnings have their place too.
    with_({ peers: [] }),
    with_({ peers: [{ ...peer, vips: ["10.2.0.1/24"] }] }),
    with_({ peers: [{ ...peer, vips: ["0.0.0.0/0"] }] }),
    with_({ peers: [{ ...peer, id: "h1" }] }),
  ];
  for (const text of odd) assert.equal(await parsedPlain(text), undefined, text);
});
