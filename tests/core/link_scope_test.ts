// SPDX-License-Identifier: Apache-2.0

/** What workloads say to their own link opens no tunnel and is not worth a line in the log. */
import assert from "node:assert/strict";
import { isLinkScope } from "../../src/model/vip.ts";

Deno.test("multicast, broadcast, link-local and unspecified addresses stay on their link", () => {
  for (
    const vip of [
      "224.0.0.251",
      "239.1.2.3",
      "255.255.255.255",
      "169.254.1.1",
      "0.0.0.0",
      "ff02::16",
      "ff05::2",
      "fe80::1",
      "::",
    ]
  ) assert.equal(isLinkScope(vip), true, vip);
  for (const vip of ["10.1.0.5", "192.0.2.1", "fd00::1", "2001:db8::1", "fec0::1", "1.2.3.4"]) {
    assert.equal(isLinkScope(vip), false, vip);
  }
});
