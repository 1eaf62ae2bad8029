// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { identify, isDeniedCertificate, peerIds, type Trust } from "./identity.ts";

const TRUST: Trust = {
  domain: "example.org",
  peers: peerIds(["h2", "h3", "H4.example.org"]),
  deny: [],
};
const H2 = "spiffe://example.org/psp/h2";

const ROWS: readonly {
  readonly what: string;
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly deny?: readonly string[];
  /** "=h2": is that peer; else the reason. */
  readonly is: string;
}[] = [
  { what: "SPIFFE id of a peer", uris: [H2], is: "=h2" },
  { what: "the same one twice", uris: [H2, H2], is: "=h2" },
  { what: "beside a URI of another scheme", uris: ["https://h3/", H2], is: "=h2" },
  { what: "beside its own DNS name", uris: [H2], dns: ["h2"], is: "=h2" },
  {
    what: "beside a DNS name that is nobody's id",
    uris: [H2],
    dns: ["www.example.org"],
    is: "=h2",
  },
  { what: "DNS name of a peer, any case", dns: ["h4.EXAMPLE.org"], is: "=H4.example.org" },
  { what: "nothing", is: "no-identity" },
  { what: "only a strange DNS name", dns: ["h9.example.org"], is: "no-identity" },
  { what: "a wildcard is not a name", dns: ["*.example.org"], is: "no-identity" },
  { what: "another domain", uris: ["spiffe://example.com/psp/h2"], is: "foreign-domain" },
  { what: "domain as a prefix", uris: ["spiffe://example.org.evil/psp/h2"], is: "foreign-domain" },
  {
    what: "user info before the domain",
    uris: ["spiffe://x@example.org/psp/h2"],
    is: "foreign-domain",
  },
  { what: "another path", uris: ["spiffe://example.org/psq/h2"], is: "foreign-domain" },
  { what: "scheme in capitals", uris: ["SPIFFE://example.org/psp/h2"], is: "foreign-domain" },
  {
    what: "a foreign SPIFFE id beside a good DNS name",
    uris: ["spiffe://b/psp/h2"],
    dns: ["h2"],
    is: "foreign-domain",
  },
  { what: "deeper path", uris: [`${H2}/x`], is: "unknown-identity" },
  { what: "empty id", uris: ["spiffe://example.org/psp/"], is: "unknown-identity" },
  { what: "another case", uris: ["spiffe://example.org/psp/H2"], is: "unknown-identity" },
  // What is no printable ASCII is U+FFFD by then.
  { what: "NUL behind the id", uris: [`${H2}\ufffd`], is: "unknown-identity" },
  { what: "NUL and a domain behind it", dns: ["h2\ufffd.evil.example"], is: "no-identity" },
  { what: "dots of a path", uris: ["spiffe://example.org/psp/h9/../h2"], is: "unknown-identity" },
  { what: "a dot behind it", uris: [`${H2}.`], is: "unknown-identity" },
  { what: "a dot behind a DNS name", dns: ["h2."], is: "no-identity" },
  { what: "a query", uris: [`${H2}?`], is: "unknown-identity" },
  { what: "the DNS name of a peer in two cases", dns: ["h2", "H2"], is: "=h2" },
  { what: "percent encoding", uris: ["spiffe://example.org/psp/%68%32"], is: "unknown-identity" },
  {
    what: "somebody not configured",
    uris: ["spiffe://example.org/psp/h9"],
    is: "unknown-identity",
  },
  {
    what: "two SPIFFE ids",
    uris: [H2, "spiffe://example.org/psp/h3"],
    is: "contradictory-identity",
  },
  {
    what: "one of ours, one foreign",
    uris: [H2, "spiffe://b/psp/h2"],
    is: "contradictory-identity",
  },
  { what: "SPIFFE of one, DNS of another", uris: [H2], dns: ["h3"], is: "contradictory-identity" },
  { what: "two DNS names of peers", dns: ["h2", "h3"], is: "contradictory-identity" },
  { what: "denied by id", uris: [H2], deny: ["h2"], is: "denied-identity" },
  { what: "denied by SPIFFE id", uris: [H2], deny: [H2], is: "denied-identity" },
  { what: "denied by fingerprint", uris: [H2], deny: ["sha256:AABB"], is: "denied-identity" },
  {
    what: "denied by fingerprint with colons",
    uris: [H2],
    deny: ["SHA256:aa:bb"],
    is: "denied-identity",
  },
  { what: "another is denied", uris: [H2], deny: ["h3", "sha256:aabc", "sha256:"], is: "=h2" },
];

for (const row of ROWS) {
  Deno.test(`identity: ${row.what}`, () => {
    const presented = { uris: row.uris ?? [], dns: row.dns ?? [], fingerprint: "AA:BB" };
    const found = identify(presented, { ...TRUST, deny: row.deny ?? [] });
    assert.equal(found.ok ? `=${found.peer}` : found.reason, row.is);
  });
}

Deno.test("peers whose names are the same but for case are not told apart by a DNS name", () => {
  const trust = { ...TRUST, peers: peerIds(["h2", "H2"]) };
  const found = identify({ uris: [], dns: ["h2"], fingerprint: "" }, trust);
  assert.equal(found.ok ? found.peer : found.reason, "contradictory-identity");
  const byUri = identify({ uris: [H2], dns: [], fingerprint: "" }, trust);
  assert.deepEqual(byUri, { ok: true, peer: "h2" });
});

const LONG = "x".repeat(60_000);
const MANY = Array.from({ length: 4000 }, (_, i) => `spiffe://example.org/psp/h${i}`);

for (
  const [what, uris, deny] of [
    ["a name of 60,000 characters", [`spiffe://example.org/psp/${LONG}`]],
    ["the same, and denied", [`spiffe://example.org/psp/${LONG}`], ["sha256:aabb"]],
    ["a domain of as many", [`spiffe://${LONG}/psp/h2`]],
    ["4,000 names", MANY],
    ["long names, and many", MANY.map((uri) => uri + LONG)],
  ] as const
) {
  Deno.test(`what is said of a certificate stays short: ${what}`, () => {
    const trust = { ...TRUST, deny: deny ?? [] };
    const found = identify({ uris, dns: [], fingerprint: "AA:BB" }, trust);
    assert.ok(!found.ok);
    assert.ok(found.message.length < 4096, `${found.message.length} characters`);
    assert.ok((found.named ?? "").length < 256, "whom it names is kept");
  });
}

Deno.test("a certificate of many names and a long deny list are each looked through once", () => {
  let looks = 0;
  const counted = (list: readonly string[]): readonly string[] =>
    new Proxy(list, {
      get(target, key) {
        if (typeof key === "string" && /^\d+$/.test(key)) looks++;
        return Reflect.get(target, key);
      },
    });
  const n = 300;
  const names = Array.from({ length: n }, (_, i) => `spiffe://example.org/psp/a${i}`);
  const dns = Array.from({ length: n }, (_, i) => `A${i}.example`);
  const deny = Array.from({ length: n }, (_, i) => `b${i}`);
  const denies = (more: readonly string[]) =>
    isDeniedCertificate(
      { uris: counted(names), dns: counted(dns), fingerprint: "AA:BB" },
      { ...TRUST, deny: counted([...deny, ...more]) },
    );
  assert.equal(denies([]), false);
  assert.ok(looks < 10 * n, `${looks} looks`);
  for (const one of ["a299", "spiffe://example.org/psp/a0", "a7.EXAMPLE", "sha256:aabb"]) {
    assert.equal(denies([one]), true, one);
  }
});
