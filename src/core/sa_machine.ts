// SPDX-License-Identifier: Apache-2.0

/**
 * The life of a tunnel as one pure function. Program receive, then advertise, then switch transmit,
 * then retire the old: the effects come in that order and no other.
 */
import {
  close,
  closedByPeer,
  confirmed,
  forgotten,
  lost,
  peerBack,
  peerRestarted,
  rekey,
  rotated,
  tick,
} from "./sa_aging.ts";
import {
  answered,
  asked,
  gaveUp,
  miss,
  offered,
  offeredAgain,
  wanted,
  withdrawn,
} from "./sa_opening.ts";
import type { Closed, Context, Event, State, Step } from "./sa_state.ts";

/** A tunnel that nobody has asked for yet. */
export const CLOSED: Closed = { kind: "closed", rx: [] };

/** What the state becomes and what is to be done. Changes nothing, asks nobody. */
export function step<K>(state: State, event: Event<K>, context: Context): Step<K> {
  switch (event.type) {
    case "miss":
      return miss(state, event.flow, context);
    case "wanted":
      return wanted(state, context);
    case "offered":
      return offered(state, event.rx);
    case "answered":
      return answered(state, event, context);
    case "withdrawn":
      return withdrawn(state, event, context);
    case "offered_again":
      return offeredAgain(state, event.spi, context);
    case "refused":
      return gaveUp(state, { ...event, maybe: false }, context);
    case "unanswered":
      return gaveUp(state, event, context);
    case "asked":
      return asked(state, event, context);
    case "tick":
      return tick(state, event, context);
    case "confirmed":
      return confirmed(state, event.spi);
    case "forgotten":
      return forgotten(state, event.spi);
    case "lost":
      return lost(state, event.spi, context);
    case "rekey":
      return rekey(state);
    case "rotated":
      return rotated(state, event.generation, context);
    case "peer_restarted":
      return peerRestarted(state, context);
    case "peer_back":
      return peerBack(state);
    case "closed_by_peer":
      return closedByPeer(state, context);
    case "close":
      return close(state, event.reason);
    default:
      return event satisfies never;
  }
}
