// SPDX-License-Identifier: Apache-2.0

/**
 * The exchange between proto messages and domain objects, both ways, with every field checked on the way
 * in. A bad field is a `ConnectError` that names it: `invalid_argument` by default, whoever sent it.
 */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import ipaddr from "ipaddr.js";
import { ipv4Bits, macBytes, macText } from "../../ffi/address.ts";
import { Key } from "../../ffi/key.ts";
import { addressOf, inNetwork, isNetworkName, networkOf } from "../model/network.ts";
import {
  type CountQuestion,
  MAX_COUNTED_SPIS,
  MAX_TUNNELS_PER_REQUEST,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type PacketCount,
  type PacketQuestion,
  type TunnelOutcome,
} from "../model/exchange.ts";
import {
  isReservedSpi,
  PSP_VERSIONS,
  type PspMode,
  type PspParams,
  type PspVersion,
  type VipPair,
} from "../model/sa.ts";
import type { ExplainView } from "../model/status.ts";
import * as pb from "./gen/psp/v1/psp_pb.ts";
import type { ExplainResponse } from "./gen/psp/v1/status_pb.ts";
import * as tpb from "./gen/psp/v1/tunnel_pb.ts";
import { explainFromProto } from "./status_codec.ts";
import { SharedTexts } from "../model/shared_texts.ts";

/** Most SPIs or closed tunnels in one notice. */
const MAX_NOTICE_ITEMS = 4096;
/** 6 bits of the PSP header. */
const MAX_CRYPT_OFFSET = 63;
/** In the first octet of a MAC: multicast or broadcast. */
const GROUP_BIT = 1;
/** A peer's error text goes into status and log: short and printable. */
const MAX_ERROR_TEXT = 256;
/** Steps of a packet's way at a peer's end. */
const MAX_STEPS = 32;

const KEY_OCTETS: Readonly<Record<PspVersion, number>> = {
  "aes-gcm-128": 16,
  "aes-gcm-256": 32,
  "aes-gmac-128": 16,
  "aes-gmac-256": 32,
};

const MODES: readonly PspMode[] = ["tunnel", "transport"];

/** From the wire. Takes the key bytes over: they are zeros in `message` afterwards. */
export function requestFromProto(message: tpb.NewTunnelRequest): NewTunnelRequest {
  const { tunnels } = message;
  if (message.requestId.length !== 16) {
    throw bad("request_id", `${message.requestId.length} octets, 16 are needed`);
  }
  if (message.versionsAccepted.length < 1 || message.versionsAccepted.length > 16) {
    throw bad(
      "versions_accepted",
      `${message.versionsAccepted.length} entries, 1 to 16 are needed`,
    );
  }
  if (tunnels.length < 1 || tunnels.length > MAX_TUNNELS_PER_REQUEST) {
    throw bad("tunnels", `${tunnels.length} entries, 1 to ${MAX_TUNNELS_PER_REQUEST} are needed`);
  }
  const texts = new SharedTexts();
  return {
    bootEpoch: epoch(message.bootEpoch),
    requestId: message.requestId.toHex(),
    versionsAccepted: message.versionsAccepted.map((v, i) => version(v, `versions_accepted[${i}]`)),
    tunnels: tunnels.map((tunnel, i) => ({
      ...vipPair(tunnel, `tunnels[${i}]`),
      reverse: params(tunnel.reverseParams, { field: `tunnels[${i}].reverse_params`, texts }),
    })),
    ...message.ivCounts ? { ivCounts: true } : {},
  };
}

/** To the wire. Key bytes are copied: wipe the message (`wipeRequest`) when the call is over. */
export function requestToProto(request: NewTunnelRequest): tpb.NewTunnelRequest {
  return create(tpb.NewTunnelRequestSchema, {
    bootEpoch: request.bootEpoch,
    requestId: Uint8Array.fromHex(request.requestId),
    versionsAccepted: request.versionsAccepted.map(versionNumber),
    tunnels: request.tunnels.map(({ localVip, remoteVip, reverse }) =>
      create(tpb.TunnelRequestSchema, {
        localVip,
        remoteVip,
        reverseParams: paramsToProto(reverse),
      })
    ),
    ivCounts: request.ivCounts ?? false,
  });
}

/** From the wire; `asked` is the number of tunnels in the request. Takes the key bytes over. */
export function replyFromProto(message: tpb.NewTunnelResponse, asked: number): NewTunnelReply {
  const { tunnels } = message;
  if (tunnels.length !== 0 && tunnels.length !== asked) {
    throw bad("tunnels", `${tunnels.length} results for ${asked} tunnels`);
  }
  const texts = new SharedTexts();
  return {
    bootEpoch: epoch(message.bootEpoch),
    version: version(message.version, "version"),
    outcomes: tunnels.map((tunnel, i) => outcome(tunnel, { field: `tunnels[${i}]`, texts })),
    ...message.ivCounts ? { ivCounts: true } : {},
  };
}

/** To the wire. Key bytes are copied: wipe the message (`wipeReply`) once it is serialised. */
export function replyToProto(reply: NewTunnelReply): tpb.NewTunnelResponse {
  return create(tpb.NewTunnelResponseSchema, {
    bootEpoch: reply.bootEpoch,
    version: versionNumber(reply.version),
    tunnels: reply.outcomes.map((result) =>
      create(tpb.TunnelResultSchema, {
        outcome: result.ok
          ? { case: "params", value: paramsToProto(result.params) }
          : { case: "error", value: create(tpb.TunnelErrorSchema, errorText(result)) },
      })
    ),
    ivCounts: reply.ivCounts ?? false,
  });
}

/** From the wire. */
export function noticeFromProto(message: tpb.NotifyRequest): Notice {
  if (message.unknownSpis.length > MAX_NOTICE_ITEMS) {
    throw bad("unknown_spis", `${message.unknownSpis.length} entries, at most ${MAX_NOTICE_ITEMS}`);
  }
  if (message.closed.length > MAX_NOTICE_ITEMS) {
    throw bad("closed", `${message.closed.length} entries, at most ${MAX_NOTICE_ITEMS}`);
  }
  if (message.confirmedSpis.length > MAX_NOTICE_ITEMS) {
    const many = message.confirmedSpis.length;
    throw bad("confirmed_spis", `${many} entries, at most ${MAX_NOTICE_ITEMS}`);
  }
  return {
    bootEpoch: epoch(message.bootEpoch),
    unknownSpis: message.unknownSpis.map((value, i) => spi(value, `unknown_spis[${i}]`)),
    draining: message.draining,
    closed: message.closed.map((pair, i) => vipPair(pair, `closed[${i}]`)),
    confirmedSpis: message.confirmedSpis.map((value, i) => spi(value, `confirmed_spis[${i}]`)),
  };
}

/** To the wire. */
export function noticeToProto(notice: Notice): tpb.NotifyRequest {
  return create(tpb.NotifyRequestSchema, {
    bootEpoch: notice.bootEpoch,
    unknownSpis: [...notice.unknownSpis],
    draining: notice.draining,
    closed: notice.closed.map(({ localVip, remoteVip }) =>
      create(tpb.ClosedTunnelSchema, { localVip, remoteVip })
    ),
    confirmedSpis: [...notice.confirmedSpis ?? []],
  });
}

/** From the wire. */
export function questionFromProto(message: tpb.ExplainAtPeerRequest): PacketQuestion {
  const { versionsAccepted, cryptOffset, spi: given, bootEpoch, length, vc } = message;
  if (versionsAccepted.length > 16) {
    throw bad("versions_accepted", `${versionsAccepted.length} entries, at most 16 may be`);
  }
  const mode = MODES[message.mode - 1];
  if (mode === undefined) throw bad("mode", `${message.mode} is no mode, 1 and 2 are`);
  if (cryptOffset > MAX_CRYPT_OFFSET) {
    throw bad("crypt_offset", `${cryptOffset} is more than ${MAX_CRYPT_OFFSET}`);
  }
  return {
    ...vipPair(message, "question"),
    arrives: message.arrives,
    ...given === undefined ? {} : { sa: { spi: spi(given, "spi"), epoch: epoch(bootEpoch) } },
    ...length === 0 ? {} : { length },
    wish: {
      versions: versionsAccepted.map((v, i) => version(v, `versions_accepted[${i}]`)),
      mode,
      cryptOffset,
      ...vc === undefined ? {} : { vc },
    },
  };
}

/** To the wire. */
export function questionToProto(question: PacketQuestion): tpb.ExplainAtPeerRequest {
  const { localVip, remoteVip, arrives, sa, length = 0, wish } = question;
  return create(tpb.ExplainAtPeerRequestSchema, {
    localVip,
    remoteVip,
    arrives,
    ...sa === undefined ? {} : { spi: sa.spi, bootEpoch: sa.epoch },
    length,
    versionsAccepted: wish.versions.map(versionNumber),
    mode: MODES.indexOf(wish.mode) + 1,
    cryptOffset: wish.cryptOffset,
    ...wish.vc === undefined ? {} : { vc: wish.vc },
  });
}

/** From the wire: SPIs of a question of what has come with them. */
export function countQuestionFromProto(
  { spis, unanswered }: tpb.CountPacketsRequest,
): CountQuestion {
  if (spis.length === 0 || spis.length > MAX_COUNTED_SPIS) {
    throw bad("spis", `${spis.length} entries, 1 to ${MAX_COUNTED_SPIS} may be`);
  }
  return { spis: spis.map((value, i) => spi(value, `spis[${i}]`)), unanswered };
}

/** From the wire: the answer of a peer that was asked for so many. */
export function countsFromProto(
  { counts }: tpb.CountPacketsResponse,
  asked: number,
): readonly PacketCount[] {
  if (counts.length > asked) {
    throw bad("counts", `${counts.length} entries, at most ${asked} may be`);
  }
  return counts.map(({ spi, packets, bytes }) => ({ spi, packets, bytes }));
}

/** What a peer says of a packet: bounded, and fit to be shown. */
export function peerExplainFromProto(message: ExplainResponse): ExplainView {
  if (message.steps.length > MAX_STEPS) {
    throw bad("steps", `${message.steps.length} entries, at most ${MAX_STEPS} may be`);
  }
  const view = explainFromProto(message);
  return {
    verdict: view.verdict,
    ...view.counter === undefined ? {} : { counter: printable(view.counter) },
    steps: view.steps.map(({ at, verdict, text }) => ({
      at: printable(at),
      verdict,
      text: printable(text),
    })),
  };
}

/** Zero-fills the key bytes of a message that was sent. */
export function wipeRequest(message: tpb.NewTunnelRequest): void {
  for (const tunnel of message.tunnels) tunnel.reverseParams?.key.fill(0);
}

/** Zero-fills the key bytes of a message that was sent. */
export function wipeReply(message: tpb.NewTunnelResponse): void {
  for (const tunnel of message.tunnels) {
    if (tunnel.outcome.case === "params") tunnel.outcome.value.key.fill(0);
  }
}

/** An address as the wire may carry it, in canonical text. Throws `ConnectError` naming `field`. */
export function address(value: string, field: string): string {
  if (ipv4Bits(value) !== undefined) return value;
  const strict = ipaddr.IPv4.isValidFourPartDecimal(value) || ipaddr.IPv6.isValid(value);
  if (value.length > 45 || !strict || value.includes("%")) {
    throw bad(field, "an IPv4 or IPv6 address is needed");
  }
  const parsed = ipaddr.parse(value);
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()) {
    throw bad(field, "an IPv4-mapped address is ambiguous, write the IPv4 address");
  }
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

/** An address with its network, "10.1.0.7@blue"; an agent that knows no networks takes it for no address. */
function vip(value: string, field: string): string {
  const network = networkOf(value);
  if (network === "" && !value.includes("@")) return address(value, field);
  if (!isNetworkName(network)) throw bad(field, 'a name of a network is needed after "@"');
  return inNetwork(address(addressOf(value), field), network);
}

/** The version as the wire numbers it. */
export function versionNumber(value: PspVersion): pb.PspVersion {
  return PSP_VERSIONS.indexOf(value) + 1;
}

/** The version of a number on the wire. Throws `ConnectError` naming `field`. */
export function version(value: pb.PspVersion, field: string): PspVersion {
  const name = PSP_VERSIONS[value - 1];
  if (name === undefined) throw bad(field, `${value} is no PSP version, 1 to 4 are`);
  return name;
}

/** Where a part of a message stands, and the texts that its other parts have: each tunnel keeps them, and they are equal. */
interface Part {
  readonly field: string;
  readonly texts: SharedTexts;
}

function params(message: pb.PspParams | undefined, { field, texts }: Part): PspParams {
  if (message === undefined) throw bad(field, "it is missing");
  const name = version(message.version, `${field}.version`);
  const mode = MODES[message.mode - 1];
  if (mode === undefined) throw bad(`${field}.mode`, `${message.mode} is no mode, 1 and 2 are`);
  const octets = KEY_OCTETS[name];
  if (message.key.length !== octets) {
    throw bad(`${field}.key`, `${message.key.length} octets, ${name} needs ${octets}`);
  }
  if (message.mac.length !== 6) {
    throw bad(`${field}.mac`, `${message.mac.length} octets, 6 are needed`);
  }
  if (((message.mac[0] ?? 0) & GROUP_BIT) !== 0) {
    throw bad(`${field}.mac`, "a group address, that of one station is needed");
  }
  if (message.cryptOffset > MAX_CRYPT_OFFSET) {
    throw bad(`${field}.crypt_offset`, `${message.cryptOffset} is more than ${MAX_CRYPT_OFFSET}`);
  }
  const rest = {
    spi: spi(message.spi, `${field}.spi`),
    version: name,
    pip: texts.of(pip(message.pip, `${field}.pip`)),
    mac: texts.of(macText(message.mac)),
    ...(message.vc === undefined ? {} : { vc: message.vc }),
    cryptOffset: message.cryptOffset,
    mode,
    serial: message.serial,
    lifeS: message.lifeS,
  };
  if (message.key.every((b) => b === 0)) throw bad(`${field}.key`, "all zeros are no key");
  const own = new Uint8Array(message.key);
  message.key.fill(0);
  return { ...rest, key: new Key(own) };
}

/** The outer address of one host: a peer must not have us send to a group. */
function pip(value: string, field: string): string {
  const text = address(value, field);
  const range = rangeOf(text);
  if (range === "unspecified" || range === "multicast" || range === "broadcast") {
    throw bad(field, `it is ${range}, the address of one host is needed`);
  }
  return text;
}

/** As ipaddr.js names them; those of IPv4 that matter are told without it, for every SA has one. */
function rangeOf(text: string): string {
  const bits = ipv4Bits(text);
  if (bits === undefined) return ipaddr.parse(text).range();
  if (bits === 0xffffffff) return "broadcast";
  const first = bits >>> 24;
  return first === 0 ? "unspecified" : first >>> 4 === 0xe ? "multicast" : "unicast";
}

function paramsToProto(params: PspParams): pb.PspParams {
  return create(pb.PspParamsSchema, {
    spi: params.spi,
    version: versionNumber(params.version),
    key: new Uint8Array(params.key.reveal()),
    pip: params.pip,
    mac: macBytes(params.mac),
    ...(params.vc === undefined ? {} : { vc: params.vc }),
    cryptOffset: params.cryptOffset,
    mode: MODES.indexOf(params.mode) + 1,
    serial: params.serial,
    lifeS: params.lifeS,
  });
}

function outcome(result: tpb.TunnelResult, { field, texts }: Part): TunnelOutcome {
  switch (result.outcome.case) {
    case "params":
      return {
        ok: true,
        params: params(result.outcome.value, { field: `${field}.params`, texts }),
      };
    case "error":
      return { ok: false, ...errorText(result.outcome.value) };
    default:
      throw bad(field, "neither params nor error");
  }
}

function errorText(error: { code: string; message: string }): { code: string; message: string } {
  return {
    code: /^[a-z_]{1,32}$/.test(error.code) ? error.code : "unknown",
    message: printable(error.message),
  };
}

function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.slice(0, MAX_ERROR_TEXT).replaceAll(/[\x00-\x1f\x7f-\x9f]/g, " ");
}

function spi(value: number, field: string): number {
  if (isReservedSpi(value)) throw bad(field, `${value} is reserved`);
  return value >>> 0;
}

function epoch(value: bigint): bigint {
  if (value === 0n) throw bad("boot_epoch", "0 is no epoch");
  return value;
}

function vipPair(pair: { localVip: string; remoteVip: string }, field: string): VipPair {
  const localVip = vip(pair.localVip, `${field}.local_vip`);
  const remoteVip = vip(pair.remoteVip, `${field}.remote_vip`);
  if (localVip.includes(":") !== remoteVip.includes(":")) {
    throw bad(`${field}.remote_vip`, "both vips must be of one address family");
  }
  return { localVip, remoteVip };
}

function bad(field: string, why: string): ConnectError {
  return new ConnectError(`Field "${field}": ${why}`, Code.InvalidArgument);
}
