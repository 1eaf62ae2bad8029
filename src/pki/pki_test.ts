// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { pkiInit, pkiIssue } from "./pki.ts";
import { subjectAltNames } from "./san.ts";

Deno.test("init and issue make a CA, a certificate it signed, and its key", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir });
    const h1 = await pkiIssue({
      dir,
      id: "h1",
      domain: "example.org",
      ips: ["192.0.2.1", "2001:db8::1"],
      dns: ["h1.example.org"],
      days: 30,
    });
    const ca = new X509Certificate(Deno.readTextFileSync(h1.ca));
    const cert = new X509Certificate(Deno.readTextFileSync(h1.cert));
    const key = createPrivateKey(Deno.readTextFileSync(h1.key));
    assert.ok(cert.checkIssued(ca));
    assert.ok(cert.verify(ca.publicKey));
    assert.ok(cert.checkPrivateKey(key));
    assert.ok(ca.ca);
    assert.ok(!cert.ca);
    assert.deepEqual(subjectAltNames(new Uint8Array(cert.raw)), {
      uris: ["spiffe://example.org/psp/h1"],
      dns: ["h1.example.org"],
    });
    assert.match(cert.subjectAltName ?? "", /2001:db8:0*:|2001:DB8/i);
    assert.match(Deno.readTextFileSync(h1.key), /^-----BEGIN PRIVATE KEY-----\n/);
    const mode = (path: string) => (Deno.statSync(`${dir}/${path}`).mode ?? 0) & 0o777;
    assert.deepEqual(["ca", "ca/ca.key", "h1", "h1/h1.key"].map(mode), [
      0o700,
      0o600,
      0o700,
      0o600,
    ]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a host's folder has its own three files, and the CA's key is in the CA's alone", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    const ca = await pkiInit({ dir });
    for (const id of ["h1", "h2"]) await pkiIssue({ dir, id, domain: "example.org" });
    const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    const files = (path: string) =>
      [...Deno.readDirSync(path)].filter(({ isSymlink }) => !isSymlink);
    assert.deepEqual(files(dir).map(({ name }) => name).sort(), ["ca", "h1", "h2"]);
    assert.deepEqual(names(`${dir}/ca`), ["ca.crt", "ca.key"]);
    assert.deepEqual(names(`${dir}/h1`), ["ca.crt", "h1.crt", "h1.key"]);
    assert.equal(ca.key, `${dir}/ca/ca.key`);
    assert.equal(Deno.readTextFileSync(`${dir}/h1/ca.crt`), Deno.readTextFileSync(ca.cert));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("what the last release wrote side by side is found there by links, the CA's key is not", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir });
    const issue = () => pkiIssue({ dir, id: "h1", domain: "example.org", force: true });
    await issue();
    const { cert, key, ca, notes } = await issue();
    const read = (path: string) => Deno.readTextFileSync(path);
    assert.equal(read(`${dir}/h1.crt`), read(cert));
    assert.equal(read(`${dir}/h1.key`), read(key));
    assert.equal(read(`${dir}/ca.crt`), read(ca));
    assert.throws(() => read(`${dir}/ca.key`), Deno.errors.NotFound);
    assert.deepEqual(notes, []);
    const links = [...Deno.readDirSync(dir)].filter(({ isSymlink }) => isSymlink);
    assert.deepEqual(links.map(({ name }) => name).sort(), ["ca.crt", "h1.crt", "h1.key"]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("the CA may be named by its folder or by the one above it", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir: `${dir}/pki` });
    for (const caDir of [`${dir}/pki`, `${dir}/pki/ca`]) {
      const issued = await pkiIssue({
        dir: `${dir}/out`,
        caDir,
        id: "h1",
        domain: "example.org",
        force: true,
      });
      assert.equal(issued.cert, `${dir}/out/h1/h1.crt`);
      assert.deepEqual(issued.notes, []);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("nothing is overwritten without force", async () => {
  const dir = Deno.makeTempDirSync();
  const issue = (more: { force?: boolean } = {}) =>
    pkiIssue({ dir, id: "h1", domain: "example.org", ...more });
  try {
    const { key } = await pkiInit({ dir });
    const before = Deno.readTextFileSync(key);
    await assert.rejects(pkiInit({ dir }), /ca\/ca\.crt": it exists already \(--force/);
    assert.equal(Deno.readTextFileSync(key), before);
    const h1 = await issue();
    const own = Deno.readTextFileSync(h1.key);
    await assert.rejects(issue(), /h1\/h1\.crt": it exists already \(--force/);
    assert.equal(Deno.readTextFileSync(h1.key), own);
    await issue({ force: true });
    assert.notEqual(Deno.readTextFileSync(h1.key), own);
    await pkiInit({ dir, force: true });
    assert.notEqual(Deno.readTextFileSync(key), before);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

/** What the last release made: everything side by side in `dir`. */
async function flatPki(dir: string, ids: readonly string[]): Promise<void> {
  const ca = await pkiInit({ dir });
  for (const id of ids) {
    const { cert, key } = await pkiIssue({ dir, id, domain: "example.org" });
    Deno.renameSync(cert, `${dir}/${id}.crt`);
    Deno.renameSync(key, `${dir}/${id}.key`);
    Deno.removeSync(`${dir}/${id}`, { recursive: true });
  }
  Deno.renameSync(ca.key, `${dir}/ca.key`);
  Deno.renameSync(ca.cert, `${dir}/ca.crt`);
  Deno.removeSync(`${dir}/ca`);
}

Deno.test("the CA of the last release signs on, and issue says how to put its key apart", async () => {
  const dir = Deno.makeTempDirSync();
  const read = (path: string) => Deno.readTextFileSync(`${dir}/${path}`);
  try {
    await flatPki(dir, ["h1"]);
    const before = [read("ca.key"), read("h1.key"), read("h1.crt")];
    const h2 = await pkiIssue({ dir, id: "h2", domain: "example.org" });
    assert.ok(new X509Certificate(read("h2/h2.crt")).verify(
      new X509Certificate(read("ca.crt")).publicKey,
    ));
    const [note, ...others] = h2.notes;
    assert.match(note ?? "", /^the CA's key lies beside what hosts get: mkdir .* && cp .* && mv /);
    assert.deepEqual(others, []);
    // No second CA beside the one that signed what is in use, not even with force.
    for (const force of [false, true]) {
      await assert.rejects(
        pkiInit({ dir, force }),
        /it has one of the last release, ".*\/ca\.key".*name another --dir/,
      );
    }
    assert.deepEqual([read("ca.key"), read("h1.key"), read("h1.crt")], before);

    // What the note says, as it says it.
    const [, command = ""] = /: (mkdir .*)$/.exec(note ?? "") ?? [];
    const { success } = await new Deno.Command("sh", { args: ["-c", command] }).output();
    assert.ok(success, command);
    assert.equal(read("ca/ca.key"), before[0]);
    assert.throws(() => Deno.statSync(`${dir}/ca.key`), Deno.errors.NotFound);
    // A configuration may name it.
    assert.equal(read("ca.crt"), read("ca/ca.crt"));
    assert.deepEqual((await pkiIssue({ dir, id: "h3", domain: "example.org" })).notes, []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("files of the last release are renewed with the folder, when force says so", async () => {
  const dir = Deno.makeTempDirSync();
  const read = (path: string) => Deno.readTextFileSync(`${dir}/${path}`);
  try {
    await flatPki(dir, ["h1"]);
    const before = [read("h1.key"), read("h1.crt")];
    const again = { dir, id: "h1", domain: "example.org" };
    await assert.rejects(pkiIssue(again), /\/h1\.crt": it exists already \(--force/);
    assert.deepEqual([read("h1.key"), read("h1.crt")], before);
    assert.throws(() => Deno.statSync(`${dir}/h1/h1.key`), Deno.errors.NotFound);

    const { notes } = await pkiIssue({ ...again, force: true });
    assert.match(
      notes[1] ?? "",
      /h1\.crt" and ".*h1\.key" were renewed, too: once no configuration/,
    );
    assert.notEqual(read("h1.key"), before[0]);
    assert.deepEqual([read("h1.key"), read("h1.crt")], [read("h1/h1.key"), read("h1/h1.crt")]);
    assert.equal((Deno.statSync(`${dir}/h1.key`).mode ?? 0) & 0o777, 0o600);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("two CAs in one directory are not chosen between", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir });
    Deno.copyFileSync(`${dir}/ca/ca.key`, `${dir}/ca.key`);
    await assert.rejects(
      pkiIssue({ dir, id: "h1", domain: "example.org" }),
      /between two CAs: ".*\/ca\/ca\.key" and ".*\/ca\.key"; move away the one/,
    );
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("names that cannot be an identity are refused, all at once", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await assert.rejects(
      pkiIssue({ dir, id: "../h1", domain: "Example.org", ips: ["1.2.3"], dns: ["a b"] }),
      /id "\.\.\/h1" is not one.*domain "Example\.org".*ip "1\.2\.3".*dns "a b"/,
    );
    for (const id of ["", "-x", ".x", "x.", "x".repeat(129)]) {
      await assert.rejects(
        pkiIssue({ dir, id, domain: "example.org" }),
        /is not one: use 1 to 128/,
      );
    }
    await assert.rejects(
      pkiIssue({ dir, id: "ca", domain: "example.org", force: true }),
      /id "ca" would take the place of the CA's own files/,
    );
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a CA that cannot sign is one sentence, and nothing is made for it", async () => {
  const dir = Deno.makeTempDirSync();
  const issue = (more: { nowMs?: number } = {}) =>
    pkiIssue({ dir: `${dir}/new`, caDir: dir, id: "h1", domain: "example.org", ...more });
  try {
    await assert.rejects(issue(), /ca\.crt: no such file \(psp-agent pki init makes one\)$/);
    await pkiInit({ dir, days: 10 });
    await assert.rejects(issue({ nowMs: Date.now() + 11 * 86_400_000 }), /ca\.crt expired on/);
    const other = await pkiInit({ dir: `${dir}/other` });
    Deno.copyFileSync(other.key, `${dir}/ca/ca.key`);
    await assert.rejects(issue(), /: ca\.key does not match ca\.crt$/);
    Deno.writeTextFileSync(`${dir}/ca/ca.key`, "nothing");
    await assert.rejects(issue(), /: ca\.key is not a PEM private key/);
    Deno.writeTextFileSync(`${dir}/ca/ca.crt`, "nothing");
    await assert.rejects(issue(), /: ca\.crt is not a PEM certificate$/);
    assert.throws(() => Deno.statSync(`${dir}/new`), Deno.errors.NotFound);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a certificate cut short at any octet never reads as one with names", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir });
    const paths = await pkiIssue({ dir, id: "h1", domain: "example.org" });
    const der = new Uint8Array(new X509Certificate(Deno.readTextFileSync(paths.cert)).raw);
    for (let n = 0; n < der.length; n++) {
      assert.throws(() => subjectAltNames(der.subarray(0, n)), RangeError);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
