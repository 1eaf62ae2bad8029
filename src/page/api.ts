// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** The agent's own API, from a page that it served. The token is kept in memory only. */
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { StatusService } from "../rpc/gen/psp/v1/status_pb.ts";

let token = "";

/** What every call carries from now on. */
export function setToken(text: string): void {
  token = text.trim();
}

/** Calls to the host that served this page. */
export const api: Client<typeof StatusService> = createClient(
  StatusService,
  createConnectTransport({
    baseUrl: location.origin,
    useBinaryFormat: true,
    defaultTimeoutMs: 5000,
    interceptors: [(next) => (request) => {
      if (token !== "") request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    }],
  }),
);

/** Whether the agent wants to know who asks. */
export function wantsToken(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}

/** Why a call failed, for people. */
export function why(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Unavailable || /fetch/i.test(rawMessage)) return "The agent does not answer";
  if (code === Code.DeadlineExceeded) return "The agent does not answer in time";
  return rawMessage;
}
