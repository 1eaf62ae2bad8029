// SPDX-License-Identifier: Apache-2.0

/** Runs a test file again in a network namespace of its own, which goes when the process does. */
import assert from "node:assert/strict";

const INSIDE = "PSP_TEST_OWN_NAMESPACE";

/**
 * A new namespace inherits IPv4 forwarding, with which no plane opens. Its kernel speaks no IPv6: the solicitations and
 * reports that it sends for a minute after a link came up would be packets of a workload.
 */
const START =
  'echo 0 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; exec "$@"';

/**
 * Outside: one test that runs the file again inside. Inside: two veth pairs, up0-up1 and host0-host1, then
 * `define`, which registers the tests. Ignored without root.
 */
export async function inOwnNamespace(
  file: string,
  define: () => Promise<void> | void,
): Promise<void> {
  if (Deno.env.get(INSIDE) !== undefined) {
    await ip("link add up0 type veth peer name up1");
    await ip("link add host0 type veth peer name host1");
    for (const name of ["lo", "up0", "up1", "host0", "host1"]) await ip(`link set ${name} up`);
    return await define();
  }
  Deno.test({
    name: "in a network namespace of its own",
    ignore: Deno.uid() !== 0,
    async fn() {
      const deno = [Deno.execPath(), "test", "-A", "--quiet", "--no-check", "--frozen"];
      const { success, stdout, stderr } = await new Deno.Command("unshare", {
        args: ["--net", "sh", "-c", START, "sh", ...deno, new URL(file).pathname],
        env: { [INSIDE]: "1" },
      }).output();
      const text = [stdout, stderr].map((octets) => new TextDecoder().decode(octets)).join("\n");
      assert.ok(success, text);
    },
  });
}

/** `ip` with arguments separated by single spaces. Resolves with what it prints. */
export async function ip(args: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("ip", { args: args.split(" ") })
    .output();
  assert.ok(success, `ip ${args}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
