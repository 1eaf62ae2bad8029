// SPDX-License-Identifier: Apache-2.0

/** A TCP proxy that can lose what it carries: stands between two agents on the control channel. */

/** Between which two addresses it stands. */
export interface ProxyOptions {
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly target: { readonly hostname: string; readonly port: number };
}

/**
 * `lose-reply`: passes the next request on, throws the reply to it away, and cuts that connection.
 * `lose-replies`: passes requests on and throws away whatever comes back; a connection that lost
 * something so is cut when that is over. `black-hole`: carries nothing any more, without closing. `refuse`: closes at once. `none`:
 * carries.
 */
export type ProxyFault = {
  readonly kind: "none" | "lose-reply" | "lose-replies" | "black-hole" | "refuse";
};

/** What a proxy has done. */
export interface ProxyStats {
  readonly connections: number;
  /** Replies lost so far. */
  readonly faults: number;
  /** Octets that came back and were passed on. */
  readonly returned: number;
}

/**
 * More than acknowledgements of HTTP/2 (a TLS record with WINDOW_UPDATE, PING or SETTINGS), less
 * than any reply.
 */
const REPLY_OCTETS = 120;

/** A listener and the connections that came to it. */
export class Proxy implements AsyncDisposable {
  readonly #options: ProxyOptions;
  readonly #listener: Deno.Listener;
  readonly #open = new Set<Deno.Conn>();
  readonly #work = new Set<Promise<void>>();
  #fault: ProxyFault["kind"] = "none";
  #connections = 0;
  #faults = 0;
  #returned = 0;

  private constructor(options: ProxyOptions, listener: Deno.Listener) {
    this.#options = options;
    this.#listener = listener;
    this.#keep(this.#accept());
  }

  static open(options: ProxyOptions): Proxy {
    return new Proxy(options, Deno.listen(options.listen));
  }

  fault({ kind }: ProxyFault): void {
    this.#fault = kind;
  }

  stats(): ProxyStats {
    return { connections: this.#connections, faults: this.#faults, returned: this.#returned };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) shut(conn);
    await Promise.all(this.#work);
  }

  #keep(work: Promise<void>): void {
    const kept = work.catch(() => {}).finally(() => this.#work.delete(kept));
    this.#work.add(kept);
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      this.#connections++;
      this.#keep(this.#carry(conn));
    }
  }

  async #carry(near: Deno.Conn): Promise<void> {
    this.#open.add(near);
    if (this.#fault === "refuse") return this.#end([near]);
    try {
      const far = await Deno.connect(this.#options.target);
      this.#open.add(far);
      const cut = () => this.#end([near, far]);
      await Promise.all([this.#pump(near, far, cut), this.#pump(far, near, cut, true)]);
    } finally {
      this.#end([near]);
    }
  }

  /** Copies until either side ends; `reply` marks the direction in which replies are lost. */
  async #pump(from: Deno.Conn, to: Deno.Conn, cut: () => void, reply = false): Promise<void> {
    const buffer = new Uint8Array(65_536);
    let lost = 0;
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        if (this.#fault === "black-hole") continue;
        if (this.#fault === "lose-reply" && reply) {
          lost += n;
          if (lost < REPLY_OCTETS) continue;
          this.#fault = "none";
          this.#faults++;
          return;
        }
        if (this.#fault === "lose-replies" && reply) {
          lost += n;
          continue;
        }
        // What is missing cannot be made up for.
        if (lost > 0) return;
        if (reply) this.#returned += n;
        for (let sent = 0; sent < n;) sent += await to.write(buffer.subarray(sent, n));
      }
    } catch {
      // The other direction was cut, or a peer reset: both end here.
    } finally {
      cut();
    }
  }

  #end(conns: readonly Deno.Conn[]): void {
    for (const conn of conns) {
      this.#open.delete(conn);
      shut(conn);
    }
  }
}

function shut(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // closed before
  }
}
