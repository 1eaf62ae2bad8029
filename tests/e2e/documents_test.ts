// SPDX-License-Identifier: Apache-2.0

/**
 * What an operator reads is run as it stands: the commands of README.md ("Use it") and of docs/install.md, in their
 * order, on machines that are mount namespaces of their own. Then everything that reached a host is searched for
 * private keys: a host has its own, and no other, least of all the CA's.
 */
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { dirname, join } from "node:path";
import { requireRoot, run } from "../support/netns.ts";

const ROOT = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");
/** Where a command runs unless its document says "on h1": where the CA is made. */
const KEEPER = "ca";
const HOSTS = ["h1", "h2", "node-1", "node-2"] as const;
/** Not a host, but whoever has its images has what is here. */
const ENGINE = "docker";

/** A block of commands, or a file to write. */
interface Block {
  readonly document: string;
  readonly machine: string;
  /** Absent: commands. */
  readonly file?: string;
  readonly text: string;
}

/** A private key somewhere. */
interface Found {
  readonly machine: string;
  readonly path: string;
  /** The id of its owner; "ca". */
  readonly key: string;
}

Deno.test("the documents' commands work as they stand, and hand each host its own key and no other", async () => {
  await using stage = await Stage.open();
  const failures: string[] = [];
  const found: Found[] = [];
  for (const block of [...blocksOf("README.md", "## Use it"), ...blocksOf("docs/install.md")]) {
    failures.push(...await stage.play(block));
    found.push(...await stage.search());
  }
  const strays = found.filter(({ machine, key }) => machine !== key);
  assert.deepEqual({ strays: lines(strays), failures }, { strays: [], failures: [] });
  // Each host that they set up was handed its own.
  const own = new Set(found.map(({ machine }) => machine));
  assert.deepEqual([...own].sort(), ["h1", "h2", "node-1"]);
});

Deno.test("the smallest configuration of the last release starts with the files that it made", async () => {
  await using stage = await Stage.open();
  const play = (text: string, file?: string) =>
    stage.play({ document: "a test", machine: "h1", text, ...file === undefined ? {} : { file } });
  // Everything side by side, as it was then.
  const made = await play(`psp-agent pki init --dir new
psp-agent pki issue --dir new --id h1
mkdir -m 0700 pki
mv new/ca/ca.crt new/ca/ca.key new/h1/h1.crt new/h1/h1.key pki/`);
  await play(LAST_SMALLEST, "peers.json");
  const started = await play(`psp-agent check --config peers.json
psp-agent --config peers.json
psp-agent status`);
  assert.deepEqual([...made, ...started], []);
});

/** README.md's of the last release. */
const LAST_SMALLEST = `{
  "id": "h1",
  "pip": "192.0.2.1", // outer address of this host
  "plane": { "uplink": "p0", "host": "pf0vf0" }, // towards the other hosts, towards the workloads
  "vips": ["10.1.0.0/24"], // workloads on this host
  "rpc": { "tls": { "cert": "pki/h1.crt", "key": "pki/h1.key", "ca": "pki/ca.crt" } },
  "peers": [{ "id": "h2", "svc_address": "192.0.2.2:7443", "vips": ["10.2.0.0/24"] }]
}
`;

Deno.test("the search finds a key in every form that it may travel in", async () => {
  await using stage = await Stage.open();
  const [ca, h2] = [await newKey(), await newKey()];
  await write(stage.home(KEEPER, "pki/ca/ca.key"), ca.pem);
  await write(stage.home(KEEPER, "pki/h2/h2.key"), h2.pem);
  assert.deepEqual(await stage.search(), []);

  const octets = (text: string) => new TextEncoder().encode(text);
  const base64 = (data: Uint8Array) => data.toBase64();
  const forms: Readonly<Record<string, string | Uint8Array>> = {
    "ca.key": ca.pem,
    "bundle.pem": `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${ca.pem}`,
    "ca.der": ca.der,
    "sec1.der": new Uint8Array(ca.key.export({ type: "sec1", format: "der" })),
    "sec1.pem": String(ca.key.export({ type: "sec1", format: "pem" })),
    "der.base64": base64(ca.der),
    "der.url": ca.der.toBase64({ alphabet: "base64url", omitPadding: true }),
    "secret.yaml": `data:\n  ca.key: ${base64(octets(ca.pem))}\n`,
    "shifted.yaml": `data: ${base64(octets(`?${ca.pem}`))}`,
    "shifted-again.yaml": `data: ${base64(octets(`??${ca.pem}`))}`,
    "string.json": JSON.stringify({ "ca.key": ca.pem }),
    "block.yaml": `stringData:\n  ca.key: |\n${ca.pem.replaceAll(/^/gm, "    ")}`,
    "key.jwk": JSON.stringify(ca.key.export({ format: "jwk" })),
    "der.hex": ca.der.toHex(),
    "openssl.txt": ca.der.toHex().toUpperCase().replaceAll(/..(?=.)/g, "$&:"),
    "context.tar": new Uint8Array([...new Uint8Array(513), ...octets(ca.pem)]),
  };
  for (const [name, content] of Object.entries(forms)) {
    await write(stage.path("h1", `var-lib/${name}`), content);
    assert.deepEqual(lines(await stage.search()), [`ca's on h1: var-lib/${name}`]);
  }
  await write(stage.path("h1", "etc/psp-agent/x"), h2.pem);
  await write(stage.path("h2", "etc/psp-agent/x"), h2.pem);
  await write(stage.path(KEEPER, "etc/psp-agent/x"), ca.pem);
  await write(stage.path(ENGINE, "x"), ca.pem);
  assert.deepEqual(lines(await stage.search()).sort(), [
    "ca's on ca: etc/psp-agent/x",
    "ca's on docker: x",
    "h2's on h1: etc/psp-agent/x",
    "h2's on h2: etc/psp-agent/x",
  ]);
});

Deno.test("what a command is told to hand over reaches the hosts of the stage", async () => {
  await using stage = await Stage.open();
  const { pem } = await newKey();
  await write(stage.home(KEEPER, "pki/ca.key"), pem);
  const at = async (text: string) => {
    assert.deepEqual(await stage.play({ document: "a test", machine: KEEPER, text }), [], text);
    return lines(await stage.search()).map((line) => line.replace(/cluster\/\w+/, "cluster"))
      .sort();
  };
  const everywhere = HOSTS.map((host) => `ca's on ${host}: cluster/pki/ca.key`);
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["kubectl create secret generic x --from-file=pki/", everywhere],
    ["kubectl create secret generic x --from-file pki", everywhere],
    ["kubectl create configmap x --from-file=y=pki", everywhere],
    ["helm install x deploy/kubernetes/psp-agent --set-file y=pki", everywhere],
    ["scp -r pki root@h1:", ["ca's on h1: root/pki/ca.key"]],
    ["scp pki/ca.key h2:/etc/psp-agent.key", ["ca's on h2: etc/psp-agent.key"]],
    ["ssh root@h1 'cat pki/ca.key > /etc/issue.d-key'", ["ca's on h1: etc/issue.d-key"]],
    ["install -m 0600 pki/ca.key /usr/local/bin/x", ["ca's on ca: usr-local/bin/x"]],
    ["docker build -t psp-agent .", []],
    ["cp pki/ca.key notes && docker build -t psp-agent .", ["ca's on docker: notes"]],
  ];
  for (const [text, expected] of table) assert.deepEqual(await at(text), expected, text);
  // Neither from the machine that runs the test, nor onto it.
  await assert.rejects(Deno.stat("/etc/issue.d-key"), Deno.errors.NotFound);
});

function lines(found: readonly Found[]): string[] {
  return found.map(({ machine, path, key }) => `${key}'s on ${machine}: ${path}`);
}

// ---- the documents ----------------------------------------------------------------------------------

/**
 * The blocks of a document, or of one of its sections, fenced or indented. The paragraph before a block says where it
 * is for ("on h1"), and for a file its name; without one it is for where the last one was.
 */
function blocksOf(document: string, section?: string): Block[] {
  const blocks: Block[] = [];
  let open = section === undefined;
  let [lead, machine] = ["", KEEPER];
  for (const part of partsOf(Deno.readTextFileSync(join(ROOT, document)))) {
    if (part.kind === "heading") {
      [lead, machine] = ["", KEEPER];
      if (section !== undefined && part.text.startsWith("## ")) open = part.text === section;
    } else if (part.kind === "paragraph") {
      lead = part.text;
      machine = /\bon (h\d|node-\d)\b/i.exec(lead)?.[1] ?? KEEPER;
    } else if (open) {
      const file = part.language.startsWith("json") ? /`([\w.]+)`/.exec(lead)?.[1] : undefined;
      blocks.push({ document, machine, text: part.text, ...file === undefined ? {} : { file } });
    }
  }
  return blocks;
}

type Part =
  | { readonly kind: "heading"; readonly text: string }
  | { readonly kind: "paragraph"; readonly text: string }
  | { readonly kind: "block"; readonly language: string; readonly text: string };

function partsOf(markdown: string): Part[] {
  const parts: Part[] = [];
  // A fence, lines of four spaces with blank ones between, a heading, lines up to a blank one.
  const part =
    /^```(\w*)\n([^]*?)^```$|((?:^ {4}.*\n|^\n(?= {4}))+)|^(#+ .*)$|((?:^(?!```|#+ | {4}).+\n?)+)/gm;
  for (const [, language = "", fenced, indented, heading, text] of markdown.matchAll(part)) {
    if (heading !== undefined) parts.push({ kind: "heading", text: heading });
    else if (text !== undefined) parts.push({ kind: "paragraph", text });
    else {
      const block = fenced ?? indented?.replaceAll(/^ {4}/gm, "").trimStart() ?? "";
      parts.push({ kind: "block", language, text: block });
    }
  }
  return parts;
}

// ---- the stage ----------------------------------------------------------------------------------------

/**
 * Commands that need a cluster, another machine or a manager of services, or that would change this one. They note
 * what they were told, and what they hand over goes where it would go.
 */
const STAND_INS: Readonly<Record<string, string>> = {
  // As from another terminal: the agent stays, and the next command finds it ready.
  "psp-agent": `case \${1:-} in
--config | run)
	"$SOURCES/bin/psp-agent" "$@" >"$STAGE/agent.log" 2>&1 &
	until "$SOURCES/bin/psp-agent" status >/dev/null 2>&1; do
		kill -0 $! 2>/dev/null || { cat "$STAGE/agent.log" >&2; exit 1; }
		sleep 0.1
	done ;;
*) exec "$SOURCES/bin/psp-agent" "$@" ;;
esac`,
  make: `mkdir -p build/bin
for arch in x86_64 aarch64; do
	printf '#!/bin/sh\\nexec "%s/bin/psp-agent" "$@"\\n' "$STAGE" >build/bin/psp-agent-$arch
	chmod 0755 build/bin/psp-agent-$arch
done`,
  systemctl: "",
  sysctl: "",
  setcap: "",
  // What the API server is given reaches every node that runs the pods.
  kubectl: `last=
for word do
	case $word in
	--from-file=* | --from-env-file=* | --filename=* | --values=* | --set-file=*) file=\${word##*=} ;;
	*) case $last in
		-f | -k | --from-file | --from-env-file | --filename | --values | --set-file) file=\${word##*=} ;;
		*) file= ;;
		esac ;;
	esac
	last=$word
	[ -n "$file" ] || continue
	for host in ${HOSTS.join(" ")}; do
		cp -RL "$file" "$(mktemp -d "$STAGE/machines/$host/cluster/XXXXXX")/"
	done
done`,
  helm: `exec "$STAGE/bin/kubectl" "$@"`,
  // The context, as .dockerignore leaves it: the engine's, and so its images', if a COPY takes it.
  docker: `[ "$1" = build ] || exit 0
for context do :; done
set --
while read -r line; do
	case $line in
	"" | "#"*) ;;
	"**/"*) set -- "$@" --no-anchored --exclude="\${line#**/}" ;;
	*) set -- "$@" --anchored --exclude="./\${line%/}" ;;
	esac
done <"$context/.dockerignore"
tar -C "$context" "$@" -cf - . | tar -C "$STAGE/machines/${ENGINE}" -xf -`,
  scp: `for to do :; done
host=\${to%%:*} path=\${to#*:}
machine=$STAGE/machines/\${host#*@}
[ -d "$machine" ] || { echo "no such host: $to" >&2; exit 1; }
case $path in
/etc/* | /etc) path=$machine/etc\${path#/etc} ;;
/usr/local/*) path=$machine/usr-local\${path#/usr/local} ;;
/var/lib/*) path=$machine/var-lib\${path#/var/lib} ;;
/*) echo "a place that this stage has not: $path" >&2; exit 1 ;;
*) path=$machine/root/$path ;;
esac
set -- "$@" --
while [ "$1" != -- ]; do
	case $1 in -* | "$to") ;; *) cp -RL "$1" "$path" ;; esac
	shift
done`,
  ssh: `host=$1
shift
exec unshare --mount "$STAGE/enter" "\${host#*@}" "$*"`,
};

/** Runs $2 on the machine $1. Nothing is run unless all of that machine's directories are in place. */
const ENTER = `#!/bin/sh
set -eu
machine=$STAGE/machines/$1
mount --make-rprivate /
mount --bind "$machine/etc" /etc
mount --bind "$machine/usr-local" /usr/local
mount --bind "$machine/var-lib" /var/lib
[ "$(cat /etc/stage-of-a-test)" = "$1" ]
export HOME="$machine/root" PATH="$STAGE/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
cd "$HOME"
exec sh -ec "$2"
`;

/** The interfaces and the address that README.md's configuration names. */
const NETWORK = `set -e
ip link set lo up
ip link add p0 type veth peer name p0-far
ip link add pf0vf0 type veth peer name pf0vf0-far
for name in p0 p0-far pf0vf0 pf0vf0-far; do ip link set "$name" up; done
ip addr add 192.0.2.1/24 dev p0
for file in ipv4/ip_forward ipv6/conf/all/forwarding; do
	[ ! -e /proc/sys/net/$file ] || echo 0 >/proc/sys/net/$file
done
exec "$STAGE/enter" "$@"`;

/** Machines as directories, with what each has of its own. */
class Stage implements AsyncDisposable {
  readonly #dir: string;
  /** Files that were there before anything was done, and what they were then. */
  readonly #before = new Map<string, string>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(): Promise<Stage> {
    requireRoot();
    const stage = new Stage(await Deno.makeTempDir({ prefix: "psp-documents-" }));
    for (const machine of [KEEPER, ...HOSTS]) {
      for (const directory of ["root", "cluster", "var-lib", "usr-local/bin"]) {
        await Deno.mkdir(stage.path(machine, directory), { recursive: true });
      }
      await must(["cp", "-a", "/etc", stage.path(machine, "etc")]);
      await Deno.writeTextFile(stage.path(machine, "etc/stage-of-a-test"), machine);
    }
    await Deno.mkdir(stage.path(ENGINE, ""), { recursive: true });
    // The sources, as far as the documents name them.
    for (const name of ["deploy", "examples", "Dockerfile", ".dockerignore"]) {
      await must(["cp", "-a", join(ROOT, name), stage.home(KEEPER, name)]);
    }
    const programs = Object.entries(STAND_INS).map(([name, script]) =>
      [`bin/${name}`, `#!/bin/sh\nset -eu\n${script}\n`] as const
    );
    for (const [name, text] of [...programs, ["enter", ENTER]] as const) {
      await write(join(stage.#dir, name), text);
      await Deno.chmod(join(stage.#dir, name), 0o755);
    }
    for await (const [path, state] of stage.#files()) stage.#before.set(path, state);
    return stage;
  }

  path(machine: string, path: string): string {
    return join(this.#dir, "machines", machine, path);
  }

  home(machine: string, path: string): string {
    return this.path(machine, join("root", path));
  }

  /** Writes a block's file or runs its commands. Returns what went wrong. */
  async play({ document, machine, file, text }: Block): Promise<string[]> {
    if (file !== undefined) {
      await write(this.home(machine, file), text);
      return [];
    }
    const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const { code, stdout, stderr } = await run(
      ["unshare", ...namespaces, "sh", "-c", NETWORK, "sh", machine, text],
      { env: { STAGE: this.#dir, SOURCES: ROOT }, deadlineMs: 120_000 },
    );
    if (code === 0) return [];
    return [`${document}, on ${machine}: exit code ${code} of\n${text}${stdout}${stderr}`];
  }

  /** Private keys of the keeper's home that are where they came by what was played since the last search. */
  async search(): Promise<Found[]> {
    const keys = await this.#keys();
    const found: Found[] = [];
    for await (const [path, state] of this.#files()) {
      if (this.#before.get(path) === state) continue;
      this.#before.set(path, state);
      const [, machine = "", where = ""] = /^([^/]+)\/(.*)$/.exec(path) ?? [];
      // What is made there stays there.
      if (machine === KEEPER && where.startsWith("root/")) continue;
      const content = await Deno.readFile(this.path(machine, where));
      for (const [key, holds] of keys) {
        if (holds(content)) found.push({ machine, path: where, key });
      }
    }
    return found;
  }

  /** Of each private key that the keeper has: its name, and whether it is in something. */
  async #keys(): Promise<Map<string, (content: Uint8Array) => boolean>> {
    const keys = new Map<string, (content: Uint8Array) => boolean>();
    const known = new Set<string>();
    const paths = await Array.fromAsync(walk(this.home(KEEPER, "")));
    // A copy under another name is the same key.
    const named = paths.filter((path) => path.endsWith(".key"));
    for (const path of new Set([...named, ...paths])) {
      const text = await Deno.readTextFile(path).catch(() => "");
      if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) || known.has(text)) continue;
      known.add(text);
      keys.set(/([^/]+)\.key$/.exec(path)?.[1] ?? path, searchOf(text));
    }
    return keys;
  }

  /** Every file of every machine, from "machines/" on, and what tells that it has changed. */
  async *#files(): AsyncGenerator<readonly [string, string]> {
    const top = join(this.#dir, "machines");
    for await (const path of walk(top)) {
      const { size, ino, ctime } = await Deno.stat(path);
      yield [path.slice(top.length + 1), `${size} ${ino} ${ctime?.getTime()}`];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }
}

// ---- the search ------------------------------------------------------------------------------------

/**
 * Whether a P-256 private key is in something. Its 32 secret octets are what PKCS#8, SEC1 and a JWK have in common:
 * they are looked for as they are, in hexadecimal digits, and in base64 at each of the three places that they can have
 * in a group of it; and the text of the PEM file in base64, as a Secret has it.
 */
function searchOf(pem: string): (content: Uint8Array) => boolean {
  const secret = createPrivateKey(pem).export({ format: "jwk" }).d ?? "";
  const octets = Uint8Array.fromBase64(secret, { alphabet: "base64url" });
  assert.equal(octets.length, 32);
  const latin1 = new TextDecoder("latin1");
  const raw = latin1.decode(octets);
  const texts = [octets, new TextEncoder().encode(pem.trim())].flatMap(inBase64);
  return (content) => {
    const whole = latin1.decode(content);
    if (whole.includes(raw)) return true;
    const bare = whole.replaceAll(/\\[nr]|[\s:"'\\]/g, "");
    const base64 = bare.replaceAll("-", "+").replaceAll("_", "/");
    return texts.some((text) => base64.includes(text)) ||
      bare.toLowerCase().includes(octets.toHex());
  };
}

/** Base64 of octets that stand after 0, 1 or 2 others: the characters that are theirs alone. */
function inBase64(octets: Uint8Array): string[] {
  return [0, 1, 2].map((shift) => {
    const text = new Uint8Array([...new Uint8Array(shift), ...octets]).toBase64();
    const whole = Math.floor((shift + octets.length) * 8 / 6);
    return text.slice(Math.ceil(shift * 8 / 6), whole);
  });
}

async function newKey() {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const der = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const body = der.toBase64().replaceAll(/.{64}/g, "$&\n");
  const pem = `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`;
  return { der, pem, key: createPrivateKey(pem) };
}

async function* walk(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory) yield* walk(path);
    else if (isFile) yield path;
  }
}

async function write(path: string, content: string | Uint8Array): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await (typeof content === "string"
    ? Deno.writeTextFile(path, content)
    : Deno.writeFile(path, content));
}

async function must(argv: readonly string[]): Promise<void> {
  const { code, stderr } = await run(argv);
  assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
}
