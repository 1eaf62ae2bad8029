// SPDX-License-Identifier: Apache-2.0

/** The judge of certificates, over odd ones. */
import assert from "node:assert/strict";
import { parseCertificate } from "../../src/rpc/certificate.ts";
import { ChainJudge, type Purpose, type Verdict } from "../../src/rpc/chain.ts";
import {
  clientAuth,
  codeSigning,
  cRLSign,
  DAY_MS,
  endlessOid,
  keyCertSign,
  keyEncipherment,
  type KeyKind,
  type Made,
  make,
  nameConstraints,
  type Oddity,
  serverAuth,
  unknown,
  withExtension,
} from "./certificates.ts";

interface Case {
  readonly sent: readonly Made[];
  readonly ca: readonly Made[];
  readonly purpose?: Purpose;
}

const both = [serverAuth, clientAuth];
const root = (oddity: Oddity = {}) => make({ ca: true, name: "root", ...oddity });
const middle = (by: Made, oddity: Oddity = {}) => make({ ca: true, name: "middle", by, ...oddity });

/** A CA, and a certificate by it that differs from a good one. */
const leafThat = (oddity: Oddity, purpose: Purpose = "client") => async (): Promise<Case> => {
  const ca = await root();
  return { sent: [await make({ by: ca, ...oddity })], ca: [ca], purpose };
};
/** A good certificate by a CA that differs from a good one. */
const caThat = (oddity: Oddity) => async (): Promise<Case> => {
  const ca = await root(oddity);
  return { sent: [await make({ by: ca })], ca: [ca] };
};
/** A good certificate by an intermediate that differs from a good one. */
const middleThat = (oddity: Oddity) => async (): Promise<Case> => {
  const ca = await root();
  const by = await middle(ca, oddity);
  return { sent: [await make({ by }), by], ca: [ca] };
};
const keyOf = (kind: KeyKind) => async (): Promise<Case> => {
  const ca = await root({ kind });
  const by = await middle(ca, { kind });
  return { sent: [await make({ by, kind }), by], ca: [ca] };
};

/** What it is; "good", or the reason and a part of the sentence. */
const ROWS: Readonly<Record<string, readonly [is: string, of: () => Promise<Case>]>> = {
  "by the CA": ["good", leafThat({})],
  "by an intermediate": ["good", middleThat({})],
  "by the CA, called": ["good", leafThat({}, "server")],
  "without key usages, extended or not": [
    "good",
    leafThat({ usage: "absent", extended: "absent" }),
  ],
  "without basic constraints": ["good", leafThat({ ca: "absent" })],
  "a CA without key usages": ["good", caThat({ usage: "absent" })],
  "an extension that is not critical": ["good", leafThat({ extra: [unknown(false)] })],
  "P-384 keys": ["good", keyOf("P-384")],
  "RSA keys": ["good", keyOf("RSA")],
  "Ed25519 keys": ["good", keyOf("Ed25519")],
  "a P-521 key that signs nothing": ["good", leafThat({ kind: "P-521" })],
  "keys of two kinds": ["good", async () => {
    const ca = await root({ kind: "RSA" });
    const by = await middle(ca, { kind: "Ed25519" });
    return { sent: [await make({ by, kind: "P-384" }), by], ca: [ca] };
  }],
  "intermediates in any order, and others among them": ["good", async () => {
    const [ca, other] = [await root(), await root()];
    const upper = await middle(ca, { name: "upper" });
    const lower = await middle(upper, { name: "lower" });
    return { sent: [await make({ by: lower }), other, upper, lower], ca: [other, ca] };
  }],
  "two CAs of one name": ["good", async () => {
    const [one, two] = [await root(), await root()];
    return { sent: [await make({ by: one })], ca: [two, one] };
  }],
  "two certificates of one CA, one of them over": ["good", async () => {
    const ca = await root();
    const old = await root({ keys: ca.keys, untilMs: -1000 });
    return { sent: [await make({ by: ca })], ca: [old, ca] };
  }],
  "path length that is just enough": ["good", async () => {
    const ca = await root({ pathLength: 1 });
    const by = await middle(ca, { pathLength: 0 });
    return { sent: [await make({ by }), by], ca: [ca] };
  }],
  "an intermediate that is in the CA file itself": ["good", async () => {
    const by = await middle(await root());
    return { sent: [await make({ by })], ca: [by] };
  }],
  "self-signed, and in the CA file itself": ["good", async () => {
    const own = await make();
    return { sent: [own], ca: [own] };
  }],
  "in the CA file itself, and over": ["certificate-expired: it expired", async () => {
    const own = await make({ untilMs: -2000 });
    return { sent: [own], ca: [own] };
  }],

  "nothing": ["certificate-unreadable", async () => ({ sent: [], ca: [await root()] })],
  "over": ["certificate-expired: it expired", leafThat({ untilMs: -2000 })],
  "not valid yet": ["certificate-early: it is not valid before", leafThat({ fromMs: 5000 })],
  "an intermediate that is over": [
    "certificate-expired: the certificate of its CA",
    middleThat({
      untilMs: -2000,
    }),
  ],
  "an intermediate that is not valid yet": ["certificate-early", middleThat({ fromMs: 5000 })],
  "a CA that is over": [
    "certificate-expired: the certificate of its CA",
    caThat({
      untilMs: -2000,
    }),
  ],
  "for servers only, of a caller": [
    "certificate-unfit: it is not for a client",
    leafThat({
      extended: [serverAuth],
    }),
  ],
  "for clients only, of one who is called": [
    "certificate-unfit: it is not for a server",
    leafThat({
      extended: [clientAuth],
    }, "server"),
  ],
  "for code": ["certificate-unfit", leafThat({ extended: [codeSigning] })],
  "an intermediate for code": ["certificate-unfit", middleThat({ extended: [codeSigning] })],
  "an intermediate for both": ["good", middleThat({ extended: both })],
  "not for signatures": [
    "certificate-unfit: it is not for signatures",
    leafThat({
      usage: keyEncipherment,
    }),
  ],
  "by one that is not a CA": [
    "certificate-unfit: the certificate of its CA is not that of a CA",
    middleThat({
      ca: false,
      usage: keyCertSign,
    }),
  ],
  "by one without basic constraints": ["certificate-unfit", middleThat({ ca: "absent" })],
  "by another host's certificate": ["certificate-unfit", async () => {
    const ca = await root();
    const by = await make({ by: ca, name: "h2" });
    return { sent: [await make({ by }), by], ca: [ca] };
  }],
  "by a CA file's certificate that is not a CA": ["certificate-unfit", caThat({ ca: false })],
  "by a CA that may sign lists only": [
    "certificate-unfit: the certificate of its CA is not for issuing",
    caThat({
      usage: cRLSign,
    }),
  ],
  "path length of the CA exceeded": [
    "certificate-unfit: the certificate of its CA allows fewer",
    async () => {
      const ca = await root({ pathLength: 0 });
      const by = await middle(ca);
      return { sent: [await make({ by }), by], ca: [ca] };
    },
  ],
  "path length of an intermediate exceeded": ["certificate-unfit", async () => {
    const ca = await root();
    const upper = await middle(ca, { name: "upper", pathLength: 0 });
    const lower = await middle(upper, { name: "lower" });
    return { sent: [await make({ by: lower }), lower, upper], ca: [ca] };
  }],
  "self-signed": ["certificate-untrusted: no CA of the file", async () => ({
    sent: [await make()],
    ca: [await root()],
  })],
  "the CA's own": ["certificate-unfit: it is that of a CA", async () => {
    const ca = await root();
    return { sent: [ca], ca: [ca] };
  }],
  "by another CA, which it sends along": ["certificate-untrusted: no CA of the file", async () => {
    const other = await root({ name: "other" });
    return { sent: [await make({ by: other }), other], ca: [await root()] };
  }],
  "by a CA of the same name with another key": [
    "certificate-untrusted: its signature is not",
    async () => {
      const other = await root();
      return { sent: [await make({ by: other }), other], ca: [await root()] };
    },
  ],
  "an intermediate that is missing": ["certificate-untrusted: no CA of the file", async () => {
    const ca = await root();
    return { sent: [await make({ by: await middle(ca) })], ca: [ca] };
  }],
  "two that sign each other": ["certificate-untrusted", async () => {
    const one = await root({ name: "one" });
    const two = await middle(one, { name: "two" });
    const again = await make({ ca: true, name: "one", by: two, keys: one.keys });
    return { sent: [await make({ by: two }), two, again], ca: [await root()] };
  }],
  "its signature changed": ["certificate-untrusted: its signature is not", async () => {
    const ca = await root();
    return { sent: [changed(await make({ by: ca }), -1)], ca: [ca] };
  }],
  "its name changed": ["certificate-untrusted: its signature is not", async () => {
    const ca = await root();
    const leaf = await make({ by: ca });
    const at = new TextDecoder("latin1").decode(leaf.der).indexOf("psp/h1") + 5;
    return { sent: [changed(leaf, at)], ca: [ca] };
  }],
  "an intermediate's signature changed": ["certificate-untrusted", async () => {
    const ca = await root();
    const by = await middle(ca);
    return { sent: [await make({ by }), changed(by, -1)], ca: [ca] };
  }],
  "an unknown critical extension": [
    "certificate-unfit: it has a critical extension that is not known here (1.3.6.1.4.1.99999.1)",
    leafThat({ extra: [unknown(true)] }),
  ],
  "an unknown critical extension of an intermediate": [
    "certificate-unfit",
    middleThat({
      extra: [unknown(true)],
    }),
  ],
  "critical name constraints of an intermediate": [
    "certificate-unfit: the certificate of its CA has a critical extension that is not known here (2.5.29.30)",
    middleThat({
      extra: [nameConstraints(true)],
    }),
  ],
  "an extension twice": [
    "certificate-unreadable",
    leafThat({ extra: [unknown(false), unknown(false)] }),
  ],
  "signed with a P-521 key": [
    "certificate-untrusted: its signature cannot be relied on: the key of its CA is on the curve",
    keyOf("P-521"),
  ],
  "signed with a short RSA key": [
    "certificate-untrusted: its signature cannot be relied on: the key of its CA is RSA of 1024 bits",
    keyOf("RSA 1024"),
  ],
};

for (const [what, [is, of]] of Object.entries(ROWS)) {
  Deno.test(`a certificate: ${what}`, async () => {
    const { sent, ca, purpose = "client" } = await of();
    const judge = new ChainJudge(ca.map(({ pem }) => pem));
    const ask = () => judge.judge(sent.map(({ der }) => der), { purpose, nowMs: Date.now() });
    // What is remembered says the same.
    for (const verdict of [ask(), ask()]) assert.ok(said(verdict).startsWith(is), said(verdict));
    // So does one for whom the signature was checked beside this thread.
    const other = new ChainJudge(ca.map(({ pem }) => pem));
    const octets = sent.map(({ der }) => der);
    const signed = await other.ahead(octets, purpose);
    const verdict = other.judge(octets, { purpose, nowMs: Date.now(), signed });
    assert.ok(said(verdict).startsWith(is), said(verdict));
  });
}

Deno.test("a signature of a CA is found out ahead, and of nobody else", async () => {
  const [ca, other] = [await root(), await root()];
  const leaf = await make({ by: ca });
  const find = (by: Made, { der }: Made) => new ChainJudge([by.pem]).ahead([der], "client");
  assert.equal((await find(ca, leaf))?.leaf, parseCertificate(leaf.der).fingerprint);
  assert.equal(await find(other, leaf), undefined);
  assert.equal(await find(ca, changed(leaf, -1)), undefined);
  assert.equal(await find(ca, await make({ name: "alone" })), undefined);
});

Deno.test("a signature that was found good for one certificate says nothing of another", async () => {
  const ca = await root();
  const [leaf, forged] = [await make({ by: ca }), changed(await make({ by: ca }), -1)];
  const judge = new ChainJudge([ca.pem]);
  const signed = await judge.ahead([leaf.der], "client");
  assert.ok(signed);
  const verdict = judge.judge([forged.der], { purpose: "client", nowMs: Date.now(), signed });
  assert.match(said(verdict), /^certificate-untrusted/);
});

Deno.test("a chain is good until its first certificate ends, and is judged anew then", async () => {
  const ca = await root({ untilMs: 3 * DAY_MS });
  const by = await middle(ca, { untilMs: 2 * DAY_MS });
  const leaf = await make({ by, untilMs: 3 * DAY_MS });
  const judge = new ChainJudge([ca.pem]);
  const at = (nowMs: number) => judge.judge([leaf.der, by.der], { purpose: "client", nowMs });
  const verdict = at(Date.now());
  const ends = parseCertificate(by.der).untilMs;
  assert.ok(verdict.ok);
  assert.equal(verdict.untilMs, ends);
  assert.equal(said(at(ends - 1)), "good");
  assert.match(said(at(ends)), /^certificate-expired/);
  assert.match(said(at(verdict.fromMs - 1)), /^certificate-early/);
  assert.equal(said(at(Date.now())), "good");
});

Deno.test("what is remembered for one purpose is not for the other", async () => {
  const ca = await root();
  const leaf = await make({ by: ca, extended: [clientAuth] });
  const judge = new ChainJudge([ca.pem]);
  const as = (purpose: Purpose) => judge.judge([leaf.der], { purpose, nowMs: Date.now() });
  assert.equal(said(as("client")), "good");
  assert.match(said(as("server")), /^certificate-unfit/);
});

Deno.test("many certificates of one name cost a bounded number of signatures", async () => {
  const ca = await root();
  const maze = await Promise.all(
    Array.from({ length: 10 }, () => make({ ca: true, name: "maze", keys: ca.keys })),
  );
  const [first] = maze;
  const leaf = await make({ ...(first ? { by: first } : {}) });
  const judge = new ChainJudge([(await root({ name: "other" })).pem]);
  const verdict = judge.judge([leaf, ...maze].map(({ der }) => der), {
    purpose: "client",
    nowMs: Date.now(),
  });
  assert.match(said(verdict), /^certificate-untrusted: too many/);
});

Deno.test("what is said of an object identifier without an end is short", async () => {
  const ca = await root();
  const { der } = await make({ by: ca });
  const verdict = new ChainJudge([ca.pem]).judge([withExtension(der, endlessOid(60_000))], {
    purpose: "client",
    nowMs: Date.now(),
  });
  assert.match(said(verdict), /^certificate-unfit: .* critical .*\(f{64}\.\.\., 60000 octets\)$/);
});

Deno.test("octets that are no certificate are refused with a sentence, whatever they are", async () => {
  const { der } = await make();
  for (let at = 0; at < der.length; at++) {
    for (const to of [0x00, 0x30, 0x80, 0xff]) {
      const bad = new Uint8Array(der);
      bad[at] = to;
      for (const octets of [bad, bad.subarray(0, at)]) {
        try {
          parseCertificate(octets);
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
          assert.match(error.message, /^Cannot read certificate: /);
        }
      }
    }
  }
});

function said(verdict: Verdict): string {
  return verdict.ok ? "good" : `${verdict.reason}: ${verdict.message}`;
}

/** One octet of it is another; below 0: counted from the end. */
function changed(made: Made, at: number): Made {
  const der = new Uint8Array(made.der);
  const index = at < 0 ? der.length + at : at;
  der[index] = (der[index] ?? 0) ^ 1;
  return { ...made, der };
}
