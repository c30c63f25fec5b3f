// Renews the token of an open connection in time. Uses no DOM.

/** @import { Connection } from "./connection.js" */
/** @import { Limits } from "./limits.js" */

import { record } from "./frames.js";
import { asError, ConnectionLost, ServerError } from "./outstanding.js";
import { retried } from "./retrying.js";
import { fitsSubprotocol } from "./token.js";

// Delays have 32 bits: a timer with a longer one would fire immediately.
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const TOKEN_REFUSED = "The chat no longer accepts your sign-in. Sign in again.";

/**
 * Returns a token and its expiry in milliseconds since 1970; with `wantsFresh`, preferably another token than before.
 * Its rejection is final unless the error's `isTemporary` is true.
 * @typedef {(wantsFresh: boolean) => Promise<{ token: string, endsAt: number }>} Grant
 */

/** Gets tokens and renews the current one in time. Calls `ended(error)` when it cannot get another. */
export class Renewal {
  #grant;
  #limits;
  #random;
  #on;
  /** @type {Connection | null} */
  #connection = null;
  /** The token in use. @type {string | null} */
  #token = null;
  // When to renew it, in milliseconds since 1970.
  #dueAt = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * `on.renewed` gets the connection's groups according to the service, after each renewal.
   * @param {{ grant: Grant, limits: Limits, random: () => number, on: {
   *   ended: (error: Error) => void,
   *   renewed: (connection: Connection, groupIds: string[]) => void,
   * } }} options
   */
  constructor({ grant, limits, random, on }) {
    this.#grant = grant;
    this.#limits = limits;
    this.#random = random;
    this.#on = on;
  }

  /**
   * A token to connect with, or null if there is none now; with `isSuspect`, preferably another one.
   * @param {boolean} isSuspect
   */
  async token(isSuspect) {
    try {
      this.#take(await this.#granted(isSuspect));
      return this.#token;
    } catch (error) {
      if (!isTemporary(error)) this.#on.ended(asError(error));
      return null;
    }
  }

  /**
   * Renew this connection's token until `stop`.
   * @param {Connection} connection
   */
  start(connection) {
    this.#connection = connection;
    this.look();
  }

  stop() {
    this.#connection = null;
    clearTimeout(this.#timer);
  }

  /** Check the clock, because timers run late after the machine has slept. */
  look() {
    if (this.#connection === null) return;
    const leftMs = this.#dueAt - Date.now();
    if (leftMs > LONGEST_TIMER_MS) this.#later(LONGEST_TIMER_MS, () => this.look());
    else this.#later(leftMs, () => this.#renew());
  }

  /** The token of this connection. */
  get currentToken() {
    return this.#token;
  }

  /** Renew now if there is a fresher token; returns whether it did. */
  async now() {
    const connection = this.#connection;
    try {
      const grant = await this.#granted(true);
      if (connection === null || connection !== this.#connection || grant.token === this.#token) return false;
      const renew = () => connection.request("renew", { token: grant.token });
      const renewed = await retried(renew, this.#limits, this.#random, connection.signal);
      this.#take(grant);
      this.look();
      this.#on.renewed(connection, renewed.groups);
      return true;
    } catch (error) {
      if (error instanceof ServerError) {
        if (error.code === "Forbidden") this.#on.ended(new Error(TOKEN_REFUSED));
      } else if (!(error instanceof ConnectionLost) && !isTemporary(error)) {
        this.#on.ended(asError(error));
      }
      return false;
    }
  }

  /** @param {boolean} wantsFresh */
  async #granted(wantsFresh) {
    const grant = await this.#grant(wantsFresh);
    if (!fitsSubprotocol(grant.token)) throw new Error("The token has characters that no token may have.");
    return grant;
  }

  /** @param {{ token: string, endsAt: number }} grant */
  #take({ token, endsAt }) {
    this.#token = token;
    // Users who signed in together must not renew together.
    this.#dueAt = endsAt - this.#limits.renewMarginMs * (1 + this.#random());
  }

  /**
   * @param {number} delayMs
   * @param {() => void} act
   */
  #later(delayMs, act) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, Math.max(0, delayMs));
  }

  async #renew() {
    const connection = this.#connection;
    if (await this.now()) return;
    // The connection stays valid until its token expires.
    if (connection !== null && connection === this.#connection) {
      this.#later(this.#limits.renewRetryMs * (1 + this.#random()), () => this.#renew());
    }
  }
}

/** @param {unknown} error */
function isTemporary(error) {
  return record(error)?.isTemporary === true;
}
