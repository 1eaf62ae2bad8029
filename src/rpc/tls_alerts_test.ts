// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { certificateRefusal } from "./tls_alerts.ts";

Deno.test("an alert about a certificate is told by the standard's name", () => {
  assert.match(
    certificateRefusal("received fatal alert: UnknownCA") ?? "",
    /\(TLS alert unknown_ca\)$/,
  );
});

Deno.test("no other alert is about one, whatever its name", () => {
  for (const name of ["HandshakeFailure", "constructor", "toString", "__proto__", ""]) {
    assert.equal(certificateRefusal(`received fatal alert: ${name}`), undefined, name);
  }
});
