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

/** Connections of one party, the one that did something last at the end. */
type Party<T> = Map<T, Guest>;

/** The connections of a listener. A party's own are looked through when it comes, all of them only in a full house. */
export class ConnectionShares<T extends object> {
  /** Others apply to whoever comes next. */
  limits: ShareLimits;
  readonly #guests = new Map<T, Guest>();
  /** Those that have proved something, by identity. */
  readonly #proven = new Map<string, Party<T>>();
  /** Those that have not, by address. */
  readonly #unproven = new Map<string, Party<T>>();
  #unprovenSize = 0;

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
    const guest = { address, identity, requests: 0 };
    this.#guests.set(connection, guest);
    this.#join(connection, guest);
    return room;
  }

  leave(connection: T): void {
    const guest = this.#guests.get(connection);
    if (guest === undefined) return;
    this.#guests.delete(connection);
    this.#part(connection, guest);
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
    // Taken out and put back: the order is that of the last request.
    this.#part(connection, guest);
    this.#join(connection, guest);
    return guest.requests === 0;
  }

  isIdle(connection: T): boolean {
    return this.#guests.get(connection)?.requests === 0;
  }

  /** It has proved who it is after it came, such as by a token. */
  prove(connection: T, identity: string): void {
    const guest = this.#guests.get(connection);
    if (guest === undefined || guest.identity !== undefined) return;
    this.#part(connection, guest);
    guest.identity = identity;
    this.#join(connection, guest);
  }

  isProven(connection: T): boolean {
    return this.#guests.get(connection)?.identity !== undefined;
  }

  #join(connection: T, guest: Guest): void {
    const { parties, name } = this.#placeOf(guest);
    const party = parties.get(name);
    if (party === undefined) parties.set(name, new Map([[connection, guest]]));
    else party.set(connection, guest);
    if (guest.identity === undefined) this.#unprovenSize++;
  }

  #part(connection: T, guest: Guest): void {
    const { parties, name } = this.#placeOf(guest);
    const party = parties.get(name);
    party?.delete(connection);
    if (party?.size === 0) parties.delete(name);
    if (guest.identity === undefined) this.#unprovenSize--;
  }

  #placeOf({ identity, address }: Guest): {
    readonly parties: Map<string, Party<T>>;
    readonly name: string;
  } {
    return identity === undefined
      ? { parties: this.#unproven, name: address }
      : { parties: this.#proven, name: identity };
  }

  #room(address: string, identity: string | undefined): Room<T> {
    const { total, reserve, idlePerAddress, perIdentity } = this.limits;
    const share = (evict: T | undefined): Room<T> => evict && { evict, why: "share" };
    if (identity !== undefined) {
      const own = this.#proven.get(identity);
      if (own !== undefined && own.size >= perIdentity) return share(oldest(own));
    } else {
      const own: Party<T> = this.#unproven.get(address) ?? new Map();
      const idle = new Map([...own].filter(([, { requests }]) => requests === 0));
      if (idle.size >= idlePerAddress) return share(oldest(idle));
      if (this.#unprovenSize >= total - reserve) return crowd([this.#unproven], address);
    }
    if (this.#guests.size < total) return undefined;
    // Whoever has proved something comes before those who have not, then before those who have more.
    if (identity !== undefined && this.#unprovenSize > 0) return crowd([this.#unproven], "");
    return crowd([this.#proven, this.#unproven], identity ?? address);
  }
}

/** Of the party with the most. "full" when nobody has more than the one that it would be for `newcomer`. */
function crowd<T>(all: readonly ReadonlyMap<string, Party<T>>[], newcomer: string): Room<T> {
  let most: Party<T> = new Map();
  let party = "";
  for (const parties of all) {
    for (const [name, own] of parties) {
      if (own.size > most.size) [party, most] = [name, own];
    }
  }
  const evict = oldest(most);
  const [first] = most.values();
  // One that has a single connection keeps it, unless it is idle or the newcomer is the same.
  const spared = most.size <= 1 && party !== newcomer && first?.requests !== 0;
  return evict === undefined || spared ? "full" : { evict, why: "crowd" };
}

/** The idle first, of these the one that has been so for longest. */
function oldest<T>(guests: Party<T>): T | undefined {
  for (const [connection, { requests }] of guests) if (requests === 0) return connection;
  const [first] = guests.keys();
  return first;
}
