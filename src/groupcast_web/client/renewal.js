// Keeps the token of an open connection from ending. No DOM in here.

import { ConnectionLost, ServerError } from "./outstanding.js";
import { retried } from "./retrying.js";

const NOT_TAKEN = "The chat does not take your sign-in any more. Sign in again.";

/** Asks for tokens and renews the one in use in time. `ended(error)` is told when there will be no other. */
export class Renewal {
  #grant;
  #limits;
  #random;
  #on;
  #connection = null;
  // The token in use, and when it ends, in milliseconds since 1970.
  #token = null;
  #endsAt = Infinity;
  #timer;

  /**
   * `grant(isFreshWanted)` resolves to { token, endsAt }; what it rejects with is for good unless its
   * `isPassing` is true. `on.renewed(connection, groupId)` is told the group after each renewal.
   */
  constructor({ grant, limits, random, on }) {
    this.#grant = grant;
    this.#limits = limits;
    this.#random = random;
    this.#on = on;
  }

  /** A token to connect with, or null where there is none now. With `isSuspect`, rather another one. */
  async token(isSuspect) {
    try {
      this.#take(await this.#grant(isSuspect));
      return this.#token;
    } catch (error) {
      if (!error.isPassing) this.#on.ended(error);
      return null;
    }
  }

  /** Keep this connection's token good, until `stop`. */
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
    // A crowd that signed in together does not renew together.
    const marginMs = this.#limits.renewMarginMs * (1 + this.#random());
    this.#later(this.#endsAt - marginMs - Date.now());
  }

  /** Renew now, if there is a fresher token, and tell whether that was done. */
  async now() {
    const connection = this.#connection;
    try {
      const grant = await this.#grant(true);
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
      } else if (!(error instanceof ConnectionLost) && !error.isPassing) {
        this.#on.ended(error);
      }
      return false;
    }
  }

  #take({ token, endsAt }) {
    this.#token = token;
    this.#endsAt = endsAt;
  }

  #later(delayMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#renew(), Math.max(0, delayMs));
  }

  async #renew() {
    const connection = this.#connection;
    if (await this.now()) return;
    // The connection is good until its token ends.
    if (connection !== null && connection === this.#connection) {
      this.#later(this.#limits.renewRetryMs * (1 + this.#random()));
    }
  }
}
