// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { EXCHANGE_CODES, ExchangeError } from "../model/exchange.ts";
import { fromConnect, toConnect } from "./exchange_errors.ts";

Deno.test("every error of the exchange comes back as it was, under Connect's own name", () => {
  for (const code of EXCHANGE_CODES) {
    const error = new ExchangeError(code, "why");
    const sent = toConnect(error);
    const back = fromConnect(sent);
    assert.deepEqual([back.code, back.reason], [code, "why"]);
    // What status shows is what it always showed.
    assert.equal(error.message, sent.message);
  }
});

Deno.test("a code that no agent gives is internal", () => {
  for (const code of [Code.Unknown, Code.DataLoss, Code.OutOfRange, Code.AlreadyExists]) {
    assert.equal(fromConnect(new ConnectError("why", code)).code, "internal");
  }
  assert.equal(fromConnect(new Error("why")).message, "[internal] why");
});

Deno.test("what this host lacks is marked as its own, however deep it lies", () => {
  const lacks = (code: string) =>
    fromConnect(
      new ConnectError(
        "cannot reach",
        Code.Unavailable,
        undefined,
        undefined,
        new ConnectError(
          "no socket",
          Code.Unavailable,
          undefined,
          undefined,
          Object.assign(new Error("x"), { code }),
        ),
      ),
    );
  for (const code of ["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS"]) {
    assert.ok(lacks(code).local, code);
  }
  for (const code of ["ECONNREFUSED", "EHOSTUNREACH", "ETIMEDOUT", "ECONNRESET"]) {
    assert.ok(!lacks(code).local, code);
  }
});
