// SPDX-License-Identifier: Apache-2.0

/**
 * Who may occupy a listener once its connections stand. Each party (an address, or an identity that was proved) has
 * a share of those that ask for nothing; whoever has proved nothing leaves a reserve to the others; and a full house
 * evicts, the idle before those at work, the party with the most first. Pure bookkeeping.
 */

/** The bounds of one listener. */
export interface ShareLimits {
  /** All connections. */
  readonly total: number;
  /** Of these, those that nobody can take who has proved nothing. */
  readonly reserve: number;
  /** Connections without a request of one address that has proved nothing. */
  readonly idlePerAddress: number;
  /** Connections of one identity. */
  readonly perIdentity: number;
}

/** What has to end so that a new connection may stay; "full": it must go itself. */
export type Room<T> =
  | { readonly evict: T; readonly why: "share" | "crowd" }
  | "full"
  | undefined;

interface Guest {
  readonly address: string;
  identity: string | undefined;
  /** Requests under way. */
  requests: number;
}

/** The connections of a listener, the one that did something last at the end. */
export class ConnectionShares<T extends object> {
  /** Others apply to whoever comes next. */
  limits: ShareLimits;
  readonly #guests = new Map<T, Guest>();

  constructor(limits: ShareLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.#guests.size;
  }

  has(connection: T): boolean {
    return this.#guests.has(connection);
  }

  /** A new connection of `address`, which has proved `identity`, or nothing. "full": it was not let in. */
  enter(connection: T, address: string, identity: string | undefined): Room<T> {
    const room = this.#room(address, identity);
    if (room === "full") return room;
    if (room !== undefined) this.leave(room.evict);
    this.#guests.set(connection, { address, identity, requests: 0 });
    return room;
  }

  leave(connection: T): void {
    this.#guests.delete(connection);
  }

  /** A request begins. */
  begin(connection: T): void {
    const guest = this.#guests.get(connection);
    if (guest !== undefined) guest.requests += 1;
  }

  /** A request is over. Whether the connection is without one now. */
  end(connection: T): boolean {
    const guest = this.#guests.get(connection);
    if (guest === undefined) return false;
    guest.requests = Math.max(0, guest.requests - 1);
    // Taken out and put back: the map's order is that of the last request.
    this.#guests.delete(connection);
    this.#guests.set(connection, guest);
    return guest.requests === 0;
  }

  isIdle(connection: T): boolean {
    return this.#guests.get(connection)?.requests === 0;
  }

  /** It has proved who it is after it came, such as by a token. */
  prove(connection: T, identity: string): void {
    const guest = this.#guests.get(connection);
    if (guest !== undefined) guest.identity ??= identity;
  }

  isProven(connection: T): boolean {
    return this.#guests.get(connection)?.identity !== undefined;
  }

  #room(address: string, identity: string | undefined): Room<T> {
    const { total, reserve, idlePerAddress, perIdentity } = this.limits;
    const share = (evict: T | undefined): Room<T> => evict && { evict, why: "share" };
    if (identity !== undefined) {
      const own = this.#those((guest) => guest.identity === identity);
      if (own.length >= perIdentity) return share(oldest(own));
    } else {
      const idle = this.#those((guest) =>
        guest.identity === undefined && guest.address === address && guest.requests === 0
      );
      if (idle.length >= idlePerAddress) return share(oldest(idle));
      const unproven = this.#those((guest) => guest.identity === undefined);
      if (unproven.length >= total - reserve) return crowd(unproven, address);
    }
    if (this.#guests.size < total) return undefined;
    const unproven = this.#those((guest) => guest.identity === undefined);
    // Whoever has proved something comes before those who have not, then before those who have more.
    if (identity !== undefined && unproven.length > 0) return crowd(unproven, "");
    return crowd(this.#those(() => true), identity ?? address);
  }

  #those(which: (guest: Guest) => boolean): [T, Guest][] {
    return [...this.#guests].filter(([, guest]) => which(guest));
  }
}

/** Of the party with the most. "full" when nobody has more than the one that it would be for `newcomer`. */
function crowd<T>(guests: readonly [T, Guest][], newcomer: string): Room<T> {
  const parties = Map.groupBy(guests, ([, { identity, address }]) => identity ?? address);
  let most: readonly [T, Guest][] = [];
  let party = "";
  for (const [name, own] of parties) {
    if (own.length > most.length) [party, most] = [name, own];
  }
  const evict = oldest(most);
  // One that has a single connection keeps it, unless it is idle or the newcomer is the same.
  const spared = most.length <= 1 && party !== newcomer && most[0]?.[1].requests !== 0;
  return evict === undefined || spared ? "full" : { evict, why: "crowd" };
}

/** The idle first, of these the one that has been so for longest. */
function oldest<T>(guests: readonly [T, Guest][]): T | undefined {
  return (guests.find(([, { requests }]) => requests === 0) ?? guests[0])?.[0];
}
