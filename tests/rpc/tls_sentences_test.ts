// SPDX-License-Identifier: Apache-2.0

/** What an operator is told about certificate, key and CA bundle: by `check`, `doctor` and the agent alike. */
import assert from "node:assert/strict";
import type { TlsFiles } from "../../src/config/config.ts";
import { examineTls } from "../../src/rpc/tls.ts";
import { clientAuth, keyPem, make, type Oddity, serverAuth } from "./certificates.ts";
import { DOMAIN, ears, Lab } from "./lab.ts";

const DAY_MS = 86_400_000;
const OWNER = { id: "h1", domain: DOMAIN };

/** The sentences, the laboratory's directory left out of them. */
function told(
  lab: Lab,
  files: TlsFiles,
  { nowMs = Date.now(), owner = OWNER } = {},
): { problems: string[]; warnings: string[] } {
  const { problems, warnings } = examineTls(files, { nowMs, owner });
  const bare = (text: string) => text.replaceAll(`${lab.dir}/`, "").replaceAll(/\d{4}-\S+Z/g, "T");
  return { problems: problems.map(bare), warnings: warnings.map(({ text }) => bare(text)) };
}

Deno.test("each problem of TLS files has its sentence", async () => {
  using lab = await Lab.make(["h1", "h2"]);
  await lab.issue("several", { dns: ["h1"] });
  await lab.issue("foreign", { domain: "example.net" });
  const [h1, h2] = [lab.files("h1"), lab.files("h2")];
  const write = (name: string, text: string) => {
    Deno.writeTextFileSync(`${lab.dir}/${name}`, text);
    return `${lab.dir}/${name}`;
  };
  const nonsense = write(
    "nonsense",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
  );
  const own = '"spiffe://example.org/psp/h1"';
  const table: [TlsFiles, string[]][] = [
    [h1, []],
    [{ ...h1, cert: `${lab.dir}/none` }, ['certificate "none" cannot be read: no such file']],
    [{ ...h1, key: lab.dir }, [`key "${lab.dir}" cannot be read: it is not a file`]],
    [{ ...h1, ca: write("empty", " \r\n") }, ['CA bundle "empty" is empty']],
    [{ ...h1, cert: h1.key }, ['"ca/h1.key" holds a private key, not a certificate']],
    [{ ...h1, ca: write("text", "x") }, [
      '"text" holds no PEM certificate ("-----BEGIN CERTIFICATE-----")',
    ]],
    [{ ...h1, cert: nonsense }, ['certificate 1 in "nonsense" cannot be read']],
    [{ ...h1, key: h2.key }, ['key "ca/h2.key" does not match certificate "ca/h1.crt"']],
    [{ ...h1, key: h1.cert }, [
      'key "ca/h1.crt" cannot be read as a PEM private key without passphrase',
    ]],
    [h2, [
      `certificate "ca/h2.crt" is not that of this host, ${own}: it names ` +
      '"spiffe://example.org/psp/h2"; name this host\'s own certificate, or correct "id" or "domain"',
    ]],
    [lab.files("foreign"), [
      `certificate "ca/foreign.crt" is not that of this host, ${own}: it names ` +
      '"spiffe://example.net/psp/foreign"; name this host\'s own certificate, or correct "id" or ' +
      '"domain"',
    ]],
    [lab.files("several"), [
      `certificate "ca/several.crt" is not that of this host, ${own}: it names several ` +
      '("spiffe://example.org/psp/several", "h1"), and may name only one',
    ]],
    [{ ...h1, cert: h1.ca, key: h1.ca.replace(".crt", ".key") }, [
      `certificate "ca/ca.crt" is not that of this host, ${own}: its subject alternative names ` +
      'need that URI, or the DNS name "h1"',
    ]],
  ];
  for (const [files, expected] of table) assert.deepEqual(told(lab, files).problems, expected);
  assert.deepEqual(told(lab, h1, { nowMs: Date.now() + 91 * DAY_MS }).problems, [
    'certificate "ca/h1.crt" expired on T: issue a new one, or set the clock (now is T)',
  ]);
  assert.deepEqual(told(lab, h1, { nowMs: Date.now() - DAY_MS }).problems, [
    'certificate "ca/h1.crt" is not valid before T: wait, or set the clock (now is T)',
  ]);
});

Deno.test("a key that TLS has no signature for is a problem before anybody connects", async () => {
  using lab = await Lab.make(["h1"]);
  const made = await make({ kind: "RSA 1024", uri: `spiffe://${DOMAIN}/psp/h1` });
  const files = { ...lab.files("h1"), cert: `${lab.dir}/weak.crt`, key: `${lab.dir}/weak.key` };
  Deno.writeTextFileSync(files.cert, made.pem);
  Deno.writeTextFileSync(files.key, await keyPem(made));
  assert.deepEqual(told(lab, files).problems, [
    'key "weak.key" is RSA of 1024 bits, with which no connection comes about: use ECDSA on P-256, ' +
    "P-384 or P-521, Ed25519, or RSA of 2048 bits",
  ]);
});

Deno.test("certificate and key are found in files as other tools write them", async () => {
  using lab = await Lab.make(["h1"]);
  const h1 = lab.files("h1");
  const how = { nowMs: Date.now(), owner: OWNER };
  const { material: plain } = examineTls(h1, how);
  assert.ok(plain);
  const [cert, key] = [Deno.readTextFileSync(h1.cert), Deno.readTextFileSync(h1.key)];
  const both = { ...h1, cert: `${lab.dir}/both.pem`, key: `${lab.dir}/both.pem` };
  const forms = [
    `\ufeff${cert}${key}`,
    `${key}${cert}`,
    `subject=/CN=h1\nissuer=/CN=ca\n\n${cert}Bag Attributes\n    friendlyName: h1\n${key}`,
    `${cert}${key}`.replaceAll("\n", "\r\n"),
  ];
  for (const text of forms) {
    Deno.writeTextFileSync(both.cert, text);
    const { material, problems } = examineTls(both, how);
    assert.deepEqual(problems, []);
    assert.equal(material?.cert, plain.cert);
    assert.equal(material?.key.replaceAll("\r", ""), plain.key);
  }
});

Deno.test("what works today but not for long, or for nobody, is a warning", async () => {
  using lab = await Lab.make(["h1"]);
  await lab.ca("other");
  const h1 = lab.files("h1");
  assert.deepEqual(told(lab, h1).warnings, []);
  assert.deepEqual(told(lab, h1, { nowMs: Date.now() + 80 * DAY_MS }).warnings, [
    'certificate "ca/h1.crt" expires on T, in 9 days: replace it; a running agent takes new files ' +
    "by itself",
  ]);
  assert.deepEqual(told(lab, { ...h1, ca: lab.files("h1", "other").ca }).warnings, [
    'certificate "ca/h1.crt" is not signed by a CA in "other/ca.crt": peers with the same bundle ' +
    "refuse it",
  ]);
  Deno.chmodSync(h1.key, 0o644);
  assert.deepEqual(told(lab, h1).warnings, [
    'key "ca/h1.key" may be read or written by every user (mode 0644): chmod 0600 it, or 0640 for ' +
    "its group",
  ]);
  Deno.chmodSync(h1.key, 0o640);
  assert.deepEqual(told(lab, h1).warnings, []);
});

Deno.test("a CA that ends before the certificate is what expires", async () => {
  using lab = await Lab.make([]);
  await lab.ca("short", 20);
  await lab.issue("h1", { ca: "short", days: 90 });
  const [warning] =
    told(lab, lab.files("h1", "short"), { nowMs: Date.now() + 10 * DAY_MS }).warnings;
  assert.match(warning ?? "", /^CA "short\/ca\.crt" expires on T, in 9 days/);
});

Deno.test("the store logs what is to be known once a day, and the end of a validity", async () => {
  using lab = await Lab.make(["h1"]);
  await lab.ca("other");
  Deno.chmodSync(lab.files("h1").key, 0o604);
  const events = ears();
  let now = Date.now();
  const options = { events, wallMs: () => now };
  const { cert, key } = lab.files("h1");
  Deno.copyFileSync(cert, `${lab.dir}/other/h1.crt`);
  Deno.copyFileSync(key, `${lab.dir}/other/h1.key`);
  using store = lab.store("h1", options, "other");
  store.reload();
  const messages = () => events.lines.map((line) => line.replace(/ \{.*/, ""));
  const once = [
    "warning The key of TLS is not safe from other users",
    "warning TLS certificate is not signed by the CA bundle",
  ];
  assert.deepEqual(messages(), once);
  now += DAY_MS;
  store.reload();
  assert.deepEqual(messages(), [...once, ...once]);
  now += 90 * DAY_MS;
  store.reload();
  store.reload();
  assert.deepEqual(messages().slice(4), [
    "error TLS certificate has expired: no peer takes it",
    "warning TLS files on disk cannot be used, the old ones stay in force",
  ]);
});

Deno.test("a certificate that peers will refuse, and a CA that proves nothing, are warnings", async () => {
  using lab = await Lab.make([]);
  const files = { cert: `${lab.dir}/crt`, key: `${lab.dir}/key`, ca: `${lab.dir}/cas` };
  const write = async (leaf: Oddity, ca: Oddity) => {
    const by = await make({ ca: true, untilMs: 90 * DAY_MS, ...ca });
    const made = await make({ by, untilMs: 90 * DAY_MS, ...leaf });
    Deno.writeTextFileSync(files.cert, made.pem);
    Deno.writeTextFileSync(files.key, await keyPem(made), { mode: 0o600 });
    Deno.writeTextFileSync(files.ca, by.pem);
  };
  const refused = 'certificate "crt" is refused by peers: ';
  const nobody = 'certificate 1 in "cas" proves nobody\'s identity: ';
  const unsigned = 'certificate "crt" is not signed by a CA in "cas": peers with the same bundle ' +
    "refuse it";
  const table: readonly (readonly [Oddity, Oddity, string[]])[] = [
    [{}, {}, []],
    [{ extended: [serverAuth] }, {}, [
      `${refused}it is not for a client (extended key usage clientAuth)`,
    ]],
    [{ extended: [clientAuth] }, {}, [
      `${refused}it is not for a server (extended key usage serverAuth)`,
    ]],
    [{}, { ca: false }, [
      `${nobody}it is not that of a CA (basic constraints)`,
      unsigned,
    ]],
    [{}, { kind: "P-521" }, [`${nobody}its key is on the curve secp521r1`, unsigned]],
  ];
  for (const [leaf, ca, warnings] of table) {
    await write(leaf, ca);
    assert.deepEqual(told(lab, files), { problems: [], warnings });
  }
  // The status listener is never a caller.
  await write({ extended: [serverAuth] }, {});
  assert.deepEqual(examineTls(files, { nowMs: Date.now() }).warnings, []);
});
