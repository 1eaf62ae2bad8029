// SPDX-License-Identifier: Apache-2.0

/** An agent on hardware that lacks a right says which, and not that there is no device. */
import assert from "node:assert/strict";
import { story } from "../support/story.ts";
import { within } from "../support/wait.ts";

/** What is taken from root, and what the agent says then. */
const RIGHTS: readonly [string, RegExp][] = [
  ["net_raw", /: CAP_NET_RAW is missing: the device asks for it \(docs\/install\.md, "Rights"\)$/],
  ["net_admin", /: CAP_NET_ADMIN is missing: /],
  ["sys_rawio", /: CAP_SYS_RAWIO is missing: /],
  ["net_raw,-net_admin,-sys_rawio", /CAP_NET_RAW is missing, CAP_NET_ADMIN is missing, CAP_SYS_/],
];

story("the right that is missing is named", {}, async ({ launch }) => {
  for (const [without, says] of RIGHTS) {
    const h1 = await launch("h1", {
      wrap: ["setpriv", `--bounding-set=-${without}`, `--inh-caps=-${without}`],
      args: ["--once"],
    });
    const { code } = await within(h1.ended(), `the end of an agent without ${without}`);
    assert.equal(code, 1, h1.logText());
    assert.match(h1.logText().trim(), says, without);
  }
});

// No machine that runs these tests has such a device.
story("a device that is not found may be one without its files", {}, async ({ launch }) => {
  const h1 = await launch("h1", {
    args: ["--once"],
    env: { DOCA_STANDIN_PCI: "0000:09:00.0=uplink" },
  });
  await within(h1.ended(), "the end of an agent without a device");
  assert.match(
    h1.logText(),
    /there is no \/dev\/infiniband\/uverbs\* \(docs\/install\.md, "Rights"\): there is no DOCA device "0000:03:00\.0"/,
  );
});
