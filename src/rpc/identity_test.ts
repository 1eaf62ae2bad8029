// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { identify, peerIds, type Trust } from "./identity.ts";

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
