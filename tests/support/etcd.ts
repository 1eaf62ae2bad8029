// SPDX-License-Identifier: Apache-2.0

/** Debian's etcd on loopback, with TLS and certificates of its own, for one test. */
import * as net from "node:net";
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { type EtcdOptions, openEtcd } from "../../src/rpc/etcd_client.ts";
import type { KvStore } from "../../src/model/kv.ts";

/** Where it listens, and what a command line begins with that is to run there. */
export interface EtcdPlace {
  readonly address: string;
  readonly enter: readonly string[];
}

/** A server that can be stopped and started again on its data. */
export class EtcdServer implements AsyncDisposable {
  readonly dir: string;
  readonly port: number;
  readonly #peerPort: number;
  #child: Deno.ChildProcess | undefined;
  #data = 0;

  private constructor(
    dir: string,
    readonly place: EtcdPlace,
    [port, peerPort]: readonly [number, number],
  ) {
    this.dir = dir;
    this.port = port;
    this.#peerPort = peerPort;
  }

  /** Certificates for these ids besides the server's, and the server, running. */
  static async start(...ids: readonly string[]): Promise<EtcdServer> {
    return await EtcdServer.at({ address: "127.0.0.1", enter: [] }, ids);
  }

  /** The same where nobody else has a port: in a namespace. */
  static async at(place: EtcdPlace, ids: readonly string[]): Promise<EtcdServer> {
    const dir = await Deno.makeTempDir({ prefix: "psp-etcd-" });
    const ports = place.enter.length > 0
      ? [2379, 2380] as const
      : [await freePort(), await freePort()] as const;
    const server = new EtcdServer(dir, place, ports);
    const pki = `${dir}/pki`;
    await pkiInit({ dir: pki });
    await pkiIssue({
      dir: pki,
      id: "server",
      domain: "test",
      ips: [place.address],
      dns: ["localhost"],
    });
    for (const id of ["root", ...ids]) await pkiIssue({ dir: pki, id, domain: "test" });
    await server.begin();
    return server;
  }

  get endpoint(): string {
    return `https://${this.place.address}:${this.port}`;
  }

  /** The files of an id. */
  files(id: string): { readonly ca: string; readonly cert: string; readonly key: string } {
    const base = `${this.dir}/pki/${id}/${id}`;
    return { ca: `${this.dir}/pki/${id}/ca.crt`, cert: `${base}.crt`, key: `${base}.key` };
  }

  client(id: string, options: Partial<EtcdOptions> = {}): KvStore {
    return openEtcd({
      endpoints: [this.endpoint],
      tls: this.files(id),
      timeoutMs: 60_000,
      ...options,
    });
  }

  /** Starts it, on the data that it had, or on none. */
  async begin({ anew = false, certificates = true } = {}): Promise<void> {
    if (anew) this.#data++;
    const { ca, cert, key } = this.files("server");
    const peers = `http://127.0.0.1:${this.#peerPort}`;
    const args: Readonly<Record<string, string>> = {
      "name": "one",
      "data-dir": `${this.dir}/data${this.#data}`,
      "initial-cluster": `one=${peers}`,
      "initial-cluster-token": `token${this.#data}`,
      "initial-advertise-peer-urls": peers,
      "listen-peer-urls": peers,
      "listen-client-urls": this.endpoint,
      "advertise-client-urls": this.endpoint,
      "cert-file": cert,
      "key-file": key,
      // Without it nobody is asked for a certificate.
      ...certificates ? { "trusted-ca-file": ca, "client-cert-auth": "true" } : {},
      // Whoever asks with a password waits for as much work as this says.
      "bcrypt-cost": "4",
      "log-level": "error",
      "logger": "zap",
    };
    const command = [...this.place.enter, "etcd"];
    this.#child = new Deno.Command(command[0] ?? "", {
      args: [
        ...command.slice(1),
        ...Object.entries(args).map(([name, value]) => `--${name}=${value}`),
      ],
      env: { ETCD_UNSUPPORTED_ARCH: Deno.build.arch === "aarch64" ? "arm64" : "" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (let i = 0; !(await this.#answers()); i++) {
      if (i > 200) throw new Error("etcd does not answer (is etcd-server installed?)");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it; what it has stored stays. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    child?.kill("SIGKILL");
    await child?.status;
  }

  /** `etcdctl` as root, as docs/directory.md has it. Throws what it says when it fails. */
  async ctl(...args: readonly string[]): Promise<string> {
    const { ca, cert, key } = this.files("root");
    const command = [...this.place.enter, "etcdctl"];
    const { success, stdout, stderr } = await new Deno.Command(command[0] ?? "", {
      args: [
        ...command.slice(1),
        ...args,
        "--endpoints",
        this.endpoint,
        "--cacert",
        ca,
        "--cert",
        cert,
        "--key",
        key,
      ],
      env: { ETCDCTL_API: "3" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    if (!success) throw new Error(text(stderr));
    return text(stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.dir, { recursive: true });
  }

  async #answers(): Promise<boolean> {
    if (this.place.enter.length > 0) {
      return await this.ctl("get", "x").then(() => true, () => false);
    }
    using store = this.client("root", { timeoutMs: 2000 });
    try {
      await store.range({ prefix: "x", limit: 1 });
      return true;
    } catch (error) {
      // With users it answers that it does not know this one, which will do.
      return !/unavailable/.test((error as { failure?: string }).failure ?? "unavailable");
    }
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
