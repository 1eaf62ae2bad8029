// SPDX-License-Identifier: Apache-2.0

/** Whether the servers of etcd that a configuration names would serve its agent: reached, believed, and read from. */
import type { Config } from "../config/config.ts";
import { KvError, type KvFailure, type KvStore } from "../model/kv.ts";
import { openEtcd } from "../rpc/etcd_client.ts";
import type { Finding } from "./checks.ts";

/** The section of the configuration. */
export type EtcdSection = NonNullable<Config["directory"]["etcd"]>;

/** An answer that takes longer is none: somebody waits for it. */
const TIMEOUT_MS = 3_000;

const ADVICE: Readonly<Record<KvFailure, (etcd: EtcdSection) => string>> = {
  unavailable: () => "directory.etcd.endpoints: is it running, and let through?",
  refused: ({ prefix, user }) =>
    `etcdctl role grant-permission ROLE read --prefix ${prefix}, for the role of ${
      user === undefined ? "this certificate" : `user "${user}"`
    }; docs/directory.md has the commands`,
  compacted: () => "ask again",
  other: () => "docs/directory.md says how it is set up",
};

/**
 * One finding for each endpoint, asked by itself: an agent goes on with the others where one is away, so that this is a
 * problem only where none serves. `open`: for tests.
 */
export async function etcdFindings(
  etcd: EtcdSection,
  open: typeof openEtcd = openEtcd,
): Promise<readonly Finding[]> {
  const looks = await Promise.all(etcd.endpoints.map((endpoint) => look(endpoint, etcd, open)));
  const none = looks.every(({ failure }) => failure !== undefined);
  return looks.map(({ endpoint, failure, found }): Finding => {
    const what = `etcd ${endpoint}`;
    if (failure === undefined) return { what, verdict: "ok", found };
    return { what, verdict: none ? "problem" : "warning", found, advice: ADVICE[failure](etcd) };
  });
}

async function look(
  endpoint: string,
  etcd: EtcdSection,
  open: typeof openEtcd,
): Promise<{ readonly endpoint: string; readonly failure?: KvFailure; readonly found: string }> {
  const { prefix, tls, user, passwordFile } = etcd;
  using store: KvStore = open({
    endpoints: [endpoint],
    tls,
    user,
    passwordFile,
    timeoutMs: TIMEOUT_MS,
  });
  try {
    const { items, revision } = await store.range({ prefix, limit: 1 });
    const records = items.length === 0 ? "no record yet" : "records";
    return { endpoint, found: `${records} under "${prefix}", revision ${revision}` };
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return { endpoint, failure: error.failure, found: error.message };
  }
}
