// SPDX-License-Identifier: Apache-2.0

/**
 * h1 calls whoever answers at a port, as an agent and as its command line: `PORT FOLDER TOKEN_FILE`. Prints the
 * code of each error, or "answered".
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { ExchangeError } from "../../src/model/exchange.ts";
import { toConnect } from "../../src/rpc/exchange_errors.ts";
import { createRpcClient } from "../../src/rpc/client.ts";
import { peerAddresses } from "../support/peer_addresses.ts";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";
import { CALL, MAX_BYTES, request, TRUST } from "./lab.ts";

const [port = "", dir = "", tokenFile] = Deno.args;
const address = `127.0.0.1:${port}`;
const files = { cert: `${dir}/h1.crt`, key: `${dir}/h1.key`, ca: `${dir}/ca.crt` };
using tls = new TlsStore(files, { pollMs: 0 });
using client = createRpcClient({
  id: "h1",
  peers: peerAddresses({ id: "h2", svcAddress: address }),
  trust: TRUST,
  tls,
  maxMessageBytes: MAX_BYTES,
});
const told = (call: Promise<unknown>) =>
  call.then(() => "answered", (error) => {
    const found = error instanceof ExchangeError ? toConnect(error) : ConnectError.from(error);
    return Code[found.code];
  });
const asker = openStatusClient({ address, tls: files, tokenFile });
console.log(await told(client.newTunnel("h2", request(), CALL)), await told(asker.status()));
