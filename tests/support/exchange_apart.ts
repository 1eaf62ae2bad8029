// SPDX-License-Identifier: Apache-2.0

/**
 * The answering host of an exchange bench in a process of its own: its own namespace, its own thread, its own
 * planes; a veth pair between. The process is the bench's own file, told by its arguments to answer.
 */
import { fileURLToPath } from "node:url";
import type { TunnelHandler } from "../../src/model/exchange.ts";
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { FarNamespace } from "./far_namespace.ts";
import { DOMAIN, ExchangeLab } from "./exchange_lab.ts";
import { ip } from "./own_namespace.ts";

/** Where the other process answers. */
export interface Apart extends AsyncDisposable {
  /** Its certificates, and those of whoever asks it. */
  readonly pki: string;
  /** "host:port" of a whole host. */
  readonly h2: string;
  /** "host:port" of a server with the handler that `answerApart` was given. */
  readonly bare: string;
}

const [NEAR, FAR] = ["198.51.100.1", "198.51.100.2"];
const ANSWER = "--answer=";

/** Starts `file` once more, over there. */
export async function openApart(file: string): Promise<Apart> {
  await using stack = new AsyncDisposableStack();
  const pki = stack.adopt(
    Deno.makeTempDirSync({ prefix: "psp-apart-" }),
    (path) => Deno.removeSync(path, { recursive: true }),
  );
  await pkiInit({ dir: pki });
  for (const id of ["h1", "h2"]) await pkiIssue({ dir: pki, id, domain: DOMAIN });
  const far = stack.use(await FarNamespace.make());
  await ip(`link add ctl0 type veth peer name ctl1 netns ${far.pid}`);
  await ip(`addr add ${NEAR}/24 dev ctl0`);
  await far.ip(`addr add ${FAR}/24 dev ctl1`);
  await ip("link set ctl0 up");
  await far.ip("link set ctl1 up");
  const [nsenter, ...enter] = far.enter;
  const deno = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", "--frozen"];
  const child = new Deno.Command(nsenter, {
    args: [...enter, ...deno, fileURLToPath(file), `${ANSWER}${pki}`],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  stack.defer(async () => {
    await child.stdin.close();
    await child.status;
  });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  stack.defer(() => lines.cancel());
  const { value = "" } = await lines.read();
  const [h2, bare] = value.trim().split(" ").map((port) => `${FAR}:${port}`);
  if (h2 === undefined || bare === undefined) throw new Error("The other process does not answer");
  const owned = stack.move();
  return { pki, h2, bare, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** True when this is the process that answers: it has done so until its standard input ended. */
export async function answerApart(bare: TunnelHandler): Promise<boolean> {
  const pki = Deno.args.find((arg) => arg.startsWith(ANSWER))?.slice(ANSWER.length);
  if (pki === undefined) return false;
  await using lab = await ExchangeLab.open({ pki, listen: "0.0.0.0" });
  await using server = await lab.serveBare(bare);
  console.log(lab.h2.server.address.port, server.address.port);
  for await (const _ of Deno.stdin.readable);
  return true;
}
