// SPDX-License-Identifier: Apache-2.0

/**
 * Odd certificates over real TLS, which openssl shows to the listener for peers and to the client of peers. None forges an
 * identity, none ends or holds up either; each refusal is counted and said, to its owner as far as TLS can.
 */
import assert from "node:assert/strict";
import { toJsonString } from "@bufbuild/protobuf";
import { NewTunnelRequestSchema } from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import { requestToProto } from "../../src/rpc/tunnel_codec.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";
import type { ExchangeError } from "../../src/model/exchange.ts";
import type { RpcServer } from "../../src/rpc/server.ts";
import {
  clientAuth,
  codeSigning,
  DAY_MS,
  keyPem,
  type Made,
  make,
  nameConstraints,
  type Oddity,
  serverAuth,
  unknown,
} from "../rpc/certificates.ts";
import { CALL, clientOf, ears, type Heard, recorder, request, start } from "../rpc/lab.ts";
import { eventually } from "../support/wait.ts";

const PATH = "/psp.v1.TunnelService/NewTunnel";
const BODY = toJsonString(NewTunnelRequestSchema, requestToProto(request()));
/** Far more than any of it takes: who is not done by then hangs. */
const HANGS_MS = 60_000;

/** What is shown: its own certificate first; the key may be another's. */
interface Shown {
  readonly sent: readonly Made[];
  readonly key?: Made;
}
type Making = (ca: Made, id: string) => Promise<Shown>;

const url = (id: string) => ({ type: "url" as const, value: `spiffe://example.org/psp/${id}` });
const dns = (value: string) => ({ type: "dns" as const, value });
const by = (oddity: (id: string) => Oddity): Making => async (ca, id) => ({
  sent: [await make({ by: ca, names: [url(id)], ...oddity(id) })],
});
/** By an intermediate that is odd. */
const below = (oddity: Oddity): Making => async (ca, id) => {
  const middle = await make({ ca: true, name: "middle", by: ca, ...oddity });
  return { sent: [await make({ by: middle, names: [url(id)] }), middle] };
};

/** Whether it is good, and what it is. Each says that it is the peer `id`, or tries to. */
const ROWS: Readonly<Record<string, readonly [isGood: boolean, of: Making]>> = {
  "as it should be": [true, by(() => ({}))],
  "over": [false, by(() => ({ fromMs: -2 * DAY_MS, untilMs: -DAY_MS }))],
  "not valid yet": [false, by(() => ({ fromMs: DAY_MS, untilMs: 2 * DAY_MS }))],
  "for code": [false, by(() => ({ extended: [codeSigning] }))],
  "for the other side": [false, async (ca, id) => ({
    sent: [
      await make({
        by: ca,
        names: [url(id)],
        extended: [id === "h2" ? clientAuth : serverAuth],
      }),
    ],
  })],
  "that of a CA": [false, by(() => ({ ca: true, extended: [serverAuth, clientAuth] }))],
  "without a name": [false, by(() => ({ names: [] }))],
  "of a common name alone": [false, by((id) => ({ names: [], name: id }))],
  "of an address": [false, by(() => ({ names: [{ type: "ip", value: "127.0.0.1" }] }))],
  "of another peer": [false, by(() => ({ names: [url("h9")] }))],
  "of another domain": [
    false,
    by((id) => ({ names: [{ type: "url", value: `spiffe://evil.org/psp/${id}` }] })),
  ],
  "of two peers": [false, by((id) => ({ names: [url(id), url("h3")] }))],
  "of one peer, twice": [true, by((id) => ({ names: [url(id), dns(id)] }))],
  "of thousands of names": [
    true,
    by((id) => ({ names: [url(id), ...Array.from({ length: 500 }, (_, i) => dns(`n${i}.org`))] })),
  ],
  "of a wildcard": [false, by(() => ({ names: [dns("*"), dns("*.example.org")] }))],
  "of a wildcard in a path": [false, by(() => ({ names: [url("*")] }))],
  "of a name that ends in NUL and more": [false, by((id) => ({ names: [url(`${id}\0.evil`)] }))],
  "of a DNS name with NUL": [false, by((id) => ({ names: [dns(`${id}\0.evil.org`)] }))],
  "of a path that climbs": [false, by((id) => ({ names: [url(`../psp/${id}`)] }))],
  "of a longer path": [false, by((id) => ({ names: [url(`${id}/x`)] }))],
  "of an escaped name": [false, by((id) => ({ names: [url(`%68${id.slice(1)}`)] }))],
  "with an unknown critical extension": [false, by(() => ({ extra: [unknown(true)] }))],
  "with an unknown extension": [true, by(() => ({ extra: [unknown(false)] }))],
  "that signs itself": [false, async (_ca, id) => ({ sent: [await make({ names: [url(id)] })] })],
  "by another CA of the same name": [false, async (ca, id) => {
    const { subject } = ca.certificate;
    const other = await make({ ca: true, name: subject.replace(/^CN=/, "") });
    return { sent: [await make({ by: other, names: [url(id)] }), other] };
  }],
  "by an intermediate": [true, below({})],
  "by a host": [false, below({ ca: false })],
  "by an intermediate that is over": [false, below({ fromMs: -2 * DAY_MS, untilMs: -DAY_MS })],
  "by an intermediate with name constraints": [false, below({ extra: [nameConstraints(true)] })],
  "at the end of ten": [false, async (ca, id) => {
    const chain = [ca];
    for (let i = 0; i < 10; i++) {
      chain.unshift(await make({ ca: true, name: `middle ${i}`, by: chain[0] as Made }));
    }
    return { sent: [await make({ by: chain[0] as Made, names: [url(id)] }), ...chain] };
  }],
  "signed with SHA-1": [false, below({ kind: "RSA with SHA-1" })],
  "of a short RSA key": [false, by(() => ({ kind: "RSA 1024" }))],
  "of an Ed25519 key": [true, by(() => ({ kind: "Ed25519" }))],
  "of a P-521 key": [true, by(() => ({ kind: "P-521" }))],
  "with the key of another": [false, async (ca, id) => ({
    sent: [await make({ by: ca, names: [url(id)] })],
    key: await make({ by: ca, names: [url("h9")] }),
  })],
};

/** A lab whose CA makes anything. */
class OddLab implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "psp-odd-" });

  constructor(readonly ca: Made) {
    Deno.writeTextFileSync(`${this.dir}/ca.crt`, ca.pem);
  }

  async show(name: string, { sent: [leaf, ...more], key }: Shown) {
    assert.ok(leaf);
    const file = (end: string) => `${this.dir}/${name}.${end}`;
    Deno.writeTextFileSync(file("crt"), leaf.pem);
    Deno.writeTextFileSync(file("chain"), more.map(({ pem }) => pem).join("\n"));
    Deno.writeTextFileSync(file("key"), await keyPem(key ?? leaf));
    return { cert: file("crt"), chain: file("chain"), key: file("key"), ca: `${this.dir}/ca.crt` };
  }

  async store(id: string): Promise<TlsStore> {
    const shown = await this.show(id, { sent: [await make({ by: this.ca, names: [url(id)] })] });
    return new TlsStore(shown, { pollMs: 0 });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}

type Files = Awaited<ReturnType<OddLab["show"]>>;

/** Of openssl, that shows even what it would not have itself. */
const showing = ({ cert, chain, key, ca }: Files) => [
  ...["-cert", cert, "-key", key, "-CAfile", ca, "-tls1_3", "-cipher", "DEFAULT:@SECLEVEL=0"],
  ...(Deno.statSync(chain).size === 0 ? [] : ["-cert_chain", chain]),
];

function openssl(args: readonly string[], stdin: "piped" | "null"): Deno.ChildProcess {
  const child = new Deno.Command("openssl", {
    args: [...args],
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const hangs = setTimeout(() => child.kill("SIGKILL"), HANGS_MS);
  child.status.then(() => clearTimeout(hangs));
  return child;
}

/** One request, as its certificate lets it; what came. */
async function call(port: number, shown: Files): Promise<string> {
  const at = ["s_client", "-connect", `127.0.0.1:${port}`, "-alpn", "http/1.1", "-ign_eof"];
  const child = openssl([...at, ...showing(shown)], "piped");
  const writer = child.stdin.getWriter();
  const head = [
    "content-type: application/json",
    `content-length: ${BODY.length}`,
    "connection: close",
  ];
  const said = [`POST ${PATH} HTTP/1.1`, "host: h2", ...head, "", BODY].join("\r\n");
  await writer.write(new TextEncoder().encode(said)).catch(() => {});
  const { stdout, stderr, signal } = await child.output();
  await writer.close().catch(() => {});
  assert.equal(signal, null, "it hangs");
  const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
  return text(stdout) + text(stderr);
}

const REFUSALS = /^(certificate-|handshakes-failed|no-identity|foreign|contradictory|unknown-id)/;

function saidBy({ lines, refusals }: Heard): readonly string[] {
  return [...lines, ...refusals];
}

function refusals({ counts }: Heard): number {
  return [...counts].reduce((sum, [name, n]) => REFUSALS.test(name) ? sum + n : sum, 0);
}

Deno.test("a caller's odd certificate makes it nobody, and the others are answered as before", async (t) => {
  using lab = new OddLab(await make({ ca: true, name: "root" }));
  const events = ears();
  const handler = recorder();
  await using server = await start({
    tls: await lab.store("h2"),
    events,
    handler,
    admission: { pending: 1000, pendingPerAddress: 1000, ratePerS: 1000, burst: 1000 },
  });
  using good = clientOf(server, { id: "h3", tls: await lab.store("h3") });
  for (const [what, [isGood, of]] of Object.entries(ROWS)) {
    await t.step(what, async () => {
      const [before, heard] = [refusals(events), saidBy(events).length];
      handler.calls.length = 0;
      const answer = await call(server.address.port, await lab.show("odd", await of(lab.ca, "h1")));
      const callers = handler.calls.map(({ peer }) => peer);
      if (isGood) {
        assert.deepEqual(callers, ["h1"], answer);
        assert.equal(refusals(events), before);
      } else {
        assert.deepEqual(callers, []);
        // A key that is not the certificate's, it does not even take.
        if (!answer.startsWith("CONNECTED")) return assert.match(answer, /key values mismatch/);
        assert.doesNotMatch(answer, /HTTP\/1\.1 200/);
        await eventually(() => refusals(events) > before, { what: "it to be counted" });
        await eventually(() => saidBy(events).length > heard, { what: "it to be said" });
      }
      await good.newTunnel("h2", request(), CALL);
    });
  }
});

Deno.test("an odd certificate of one who is called gets no request, and the caller says why", async (t) => {
  using lab = new OddLab(await make({ ca: true, name: "root" }));
  const own = await lab.store("h1");
  for (const [what, [isGood, of]] of Object.entries(ROWS)) {
    await t.step(what, async () => {
      const shown = await lab.show("odd", await of(lab.ca, "h2"));
      const at = ["s_server", "-accept", "127.0.0.1:0", "-alpn", "h2", "-Verify", "9"];
      const child = openssl([...at, ...showing(shown)], "piped");
      try {
        const events = ears();
        const port = await acceptsAt(child);
        if (port === undefined) return assert.ok(!isGood, "openssl itself will not show it");
        const there = { address: { hostname: "127.0.0.1", port } } as RpcServer;
        using client = clientOf(there, { tls: own, events });
        const stop = new AbortController();
        const asked = client.newTunnel("h2", request(), { timeoutMs: 20_000, signal: stop.signal })
          .then(() => assert.fail("nobody answers there"), (error: ExchangeError) => error);
        if (isGood) {
          // openssl speaks no HTTP/2: who is believed is asked, and does not answer.
          await eventually(() => client.presented().has("h2"), { what: "it to be believed" });
          stop.abort();
          return void await asked;
        }
        const error = await asked;
        assert.match(error.code, /unauthenticated|unavailable/, error.message);
        assert.match(error.message, /Cannot (trust|reach) peer "h2".*: .{10}/);
        assert.equal(client.presented().get("h2"), undefined);
        assert.ok(refusals(events) + (events.counts.get("peer-unavailable") ?? 0) > 0);
      } finally {
        await ended(child);
      }
    });
  }
});

Deno.test("whose certificate is refused inside TLS is told so, and by which alert", async () => {
  using lab = new OddLab(await make({ ca: true, name: "root" }));
  const other = await make({ ca: true, name: "other" });
  const strange = await lab.show("strange", {
    sent: [await make({ by: other, names: [url("h1")] })],
  });
  const known = await lab.show("known", {
    sent: [await make({ by: lab.ca, names: [url("h2")] })],
  });
  const words = /its CA is not known there \(TLS alert unknown_ca\)/;
  // By a peer that is called.
  const at = ["s_server", "-accept", "127.0.0.1:0", "-alpn", "h2", "-verify_return_error"];
  const child = openssl([...at, "-Verify", "9", ...showing(known)], "piped");
  try {
    const port = await acceptsAt(child) ?? assert.fail("openssl does not listen");
    const events = ears();
    const there = { address: { hostname: "127.0.0.1", port } } as RpcServer;
    using client = clientOf(there, { tls: new TlsStore(strange, { pollMs: 0 }), events });
    await assert.rejects(client.newTunnel("h2", request(), CALL), (error: Error) => {
      assert.match(error.message, /Cannot reach peer "h2".*it refuses this host's certificate/);
      assert.match(error.message, words);
      return true;
    });
    // The call may end before its connection has.
    await eventually(() => events.lines.length > 0, { what: "it to be said" });
    assert.equal(events.counts.get("certificate-refused"), 1);
    assert.match(events.lines.join(), /A peer refuses this host's certificate .*"peer":"h2"/);
    assert.match(events.lines.join(), words);
  } finally {
    await ended(child);
  }
  // By a caller.
  const events = ears();
  await using server = await start({ tls: await lab.store("h2"), events });
  Deno.writeTextFileSync(`${lab.dir}/other.crt`, other.pem);
  const to = ["s_client", "-connect", `127.0.0.1:${server.address.port}`, "-verify_return_error"];
  const { signal } = await openssl([...to, "-CAfile", `${lab.dir}/other.crt`], "null").output();
  assert.equal(signal, null);
  await eventually(() => events.counts.has("certificate-refused"), { what: "it to be counted" });
  const [line = ""] = events.lines;
  assert.match(line, /A caller refuses this host's certificate .*"address":"[^"]*127\.0\.0\.1"/);
  assert.match(line, words);
});

async function ended(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch {
    // It has ended by itself.
  }
  await child.stdin.close().catch(() => {});
  await child.stdout.cancel().catch(() => {});
  await child.stderr.cancel().catch(() => {});
  await child.status;
}

/** Where s_server listens; undefined: it does not. */
async function acceptsAt(child: Deno.ChildProcess): Promise<number | undefined> {
  let text = "";
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })
  ) {
    text += chunk;
    const port = /^ACCEPT .*:(\d+)$/m.exec(text)?.[1];
    if (port !== undefined) return Number(port);
  }
  return undefined;
}
