// Keeps the token of an open connection from ending. No DOM in here.

/** @import { Connection } from "./connection.js" */
/** @import { Limits } from "./limits.js" */

import { record } from "./frames.js";
import { asError, ConnectionLost, ServerError } from "./outstanding.js";
import { retried } from "./retrying.js";
import { mayTravel } from "./token.js";

// Timers hold 32 bits: a longer one would fire at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const NOT_TAKEN = "The chat does not take your sign-in any more. Sign in again.";

/**
 * A token and when it ends, in milliseconds since 1970. With `isFreshWanted`, rather another than before. What it
 * rejects with is for good unless its `isPassing` is true.
 * @typedef {(isFreshWanted: boolean) => Promise<{ token: string, endsAt: number }>} Grant
 */

/** Asks for tokens and renews the one in use in time. `ended(error)` is told when there will be no other. */
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
   * `on.renewed` is told the group that the service counts the connection to after each renewal.
   * @param {{ grant: Grant, limits: Limits, random: () => number, on: {
   *   ended: (error: Error) => void,
   *   renewed: (connection: Connection, groupId: string | null) => void,
   * } }} options
   */
  constructor({ grant, limits, random, on }) {
    this.#grant = grant;
    this.#limits = limits;
    this.#random = random;
    this.#on = on;
  }

  /**
   * A token to connect with, or null where there is none now. With `isSuspect`, rather another one.
   * @param {boolean} isSuspect
   */
  async token(isSuspect) {
    try {
      this.#take(await this.#granted(isSuspect));
      return this.#token;
    } catch (error) {
      if (!isPassing(error)) this.#on.ended(asError(error));
      return null;
    }
  }

  /**
   * Keep this connection's token good, until `stop`.
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

  /** Look at the clock: a machine that slept finds its timers late. */
  look() {
    if (this.#connection === null) return;
    const leftMs = this.#dueAt - Date.now();
    if (leftMs > LONGEST_TIMER_MS) this.#later(LONGEST_TIMER_MS, () => this.look());
    else this.#later(leftMs, () => this.#renew());
  }

  /** Renew now, if there is a fresher token, and tell whether that was done. */
  async now() {
    const connection = this.#connection;
    try {
      const grant = await this.#granted(true);
      if (connection === null || connection !== this.#connection || grant.token === this.#token) return false;
      const renew = () => connection.request("renew", { token: grant.token });
      const renewed = await retried(renew, this.#limits, this.#random);
      this.#take(grant);
      this.look();
      this.#on.renewed(connection, renewed.groupId);
      return true;
    } catch (error) {
      if (error instanceof ServerError) {
        if (error.code === "Forbidden") this.#on.ended(new Error(NOT_TAKEN));
      } else if (!(error instanceof ConnectionLost) && !isPassing(error)) {
        this.#on.ended(asError(error));
      }
      return false;
    }
  }

  /** @param {boolean} isFreshWanted */
  async #granted(isFreshWanted) {
    const grant = await this.#grant(isFreshWanted);
    if (!mayTravel(grant.token)) throw new Error("The token holds characters that no token has.");
    return grant;
  }

  /** @param {{ token: string, endsAt: number }} grant */
  #take({ token, endsAt }) {
    this.#token = token;
    // A crowd that signed in together does not renew together.
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
    // The connection is good until its token ends.
    if (connection !== null && connection === this.#connection) {
      this.#later(this.#limits.renewRetryMs * (1 + this.#random()), () => this.#renew());
    }
  }
}

/** @param {unknown} error */
function isPassing(error) {
  return record(error)?.isPassing === true;
}
