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
    assert.equal((Deno.statSync(h1.key).mode ?? 0) & 0o777, 0o600);
    assert.equal((Deno.statSync(`${dir}/ca.key`).mode ?? 0) & 0o777, 0o600);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("nothing is overwritten without force", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    await pkiInit({ dir });
    const before = Deno.readTextFileSync(`${dir}/ca.key`);
    await assert.rejects(pkiInit({ dir }), /ca\.crt": it exists already \(--force/);
    assert.equal(Deno.readTextFileSync(`${dir}/ca.key`), before);
    await pkiInit({ dir, force: true });
    assert.notEqual(Deno.readTextFileSync(`${dir}/ca.key`), before);
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
    await pkiInit({ dir: `${dir}/other` });
    Deno.copyFileSync(`${dir}/other/ca.key`, `${dir}/ca.key`);
    await assert.rejects(issue(), /: ca\.key does not match ca\.crt$/);
    Deno.writeTextFileSync(`${dir}/ca.key`, "nothing");
    await assert.rejects(issue(), /: ca\.key is not a PEM private key/);
    Deno.writeTextFileSync(`${dir}/ca.crt`, "nothing");
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
