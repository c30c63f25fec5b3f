// Keeps one connection: replaces a lost one, and gets and renews its token.

/** @import { End } from "./connection.js" */
/** @import { Action, Push, Replies } from "./frames.js" */
/** @import { Limits } from "./limits.js" */
/** @import { Options, State } from "./options.js" */

import { Connection } from "./connection.js";
import { ConnectionLost, ServerError } from "./outstanding.js";
import { Renewal } from "./renewal.js";
import { backoffMs } from "./retrying.js";
import { claimIn } from "./token.js";

// HTTP statuses of a refused handshake: an invalid token (another may work), and a user without access.
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

/**
 * The listeners of a session: `state` gets connecting and reconnecting, `renewed` the connection's groups according to
 * the service. After `refused` and `signedOut` the owner must close the session.
 * @typedef {{
 *   state: (state: State) => void,
 *   opened: (connection: Connection) => void,
 *   lost: () => void,
 *   pushed: (push: Push) => void,
 *   renewed: (groupIds: string[]) => void,
 *   error: (error: ServerError) => void,
 *   refused: (error: ServerError) => void,
 *   signedOut: (error: Error) => void,
 * }} SessionListeners
 */

/** A connection from `open` to `close`, with pauses while there is none. */
export class Session {
  #options;
  #on;
  #limits;
  #renewal;
  /** @type {Connection | null} */
  #connection = null;
  #isOpen = false;
  #isClosed = false;
  #isOpening = false;
  #attempt = 0;
  #isProven = false;
  #failedHandshakes = 0;
  #hasBeenOpen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;

  /** The id of the user of the current token, null for a guest. @type {string | null} */
  userId = null;

  /**
   * Throws TypeError for an invalid URL.
   * @param {Required<Pick<Options, "url" | "limits" | "now" | "random" | "WebSocket">>
   *   & Pick<Options, "name" | "grant"> & { on: SessionListeners }} options
   */
  constructor({ url, grant, on, ...options }) {
    this.#options = { ...options, url: new URL(url).href };
    this.#on = on;
    this.#limits = options.limits;
    this.#renewal = grant
      ? new Renewal({
          ...this.#options,
          grant,
          on: { ended: on.signedOut, renewed: (_, groupIds) => on.renewed(groupIds) },
        })
      : null;
  }

  /** Connect, unless there is a connection or an attempt. */
  async open() {
    clearTimeout(this.#retryTimer);
    if (this.#isOpening || this.#isClosed || this.#connection !== null) return;
    this.#on.state({ phase: "connecting" });
    if (this.#isClosed) return;
    if (this.#renewal === null) {
      this.#connect(null);
      return;
    }
    this.#isOpening = true;
    const token = await this.#renewal.token(this.#failedHandshakes > 0);
    this.#isOpening = false;
    if (this.#isClosed) return;
    if (token === null) this.#reconnectLater();
    else this.#connect(token);
  }

  /** Close for good. */
  close() {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#renewal?.stop();
    this.#connection?.close();
  }

  /** Look at the clock now, and connect without waiting for the next attempt. */
  wake() {
    this.#renewal?.look();
    this.open();
  }

  /** Note that the service knows the connection: after losing it, delays start short again. */
  proven() {
    this.#isProven = true;
  }

  /** Renew the token now if there is a fresher one; returns whether it did. */
  async renew() {
    return (await this.#renewal?.now()) ?? false;
  }

  /**
   * Send a request; if it is Forbidden, renew the token and repeat it. The token may have expired, or the user may
   * have new rights.
   * @template {Action} A
   * @param {A} action
   * @param {object} [fields]
   * @returns {Promise<Replies[A]>}
   */
  async request(action, fields) {
    const connection = this.#connection;
    if (connection === null || !this.#isOpen) throw new ConnectionLost("There is no connection.");
    const token = this.#renewal?.currentToken;
    try {
      return await connection.request(action, fields);
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== "Forbidden") throw error;
      // Another request may have renewed the token meanwhile.
      if (this.#renewal?.currentToken === token && !(await this.renew())) throw error;
      return connection.request(action, fields);
    }
  }

  /** @param {string | null} token */
  #connect(token) {
    this.userId = token === null ? null : claimIn(token, "sub");
    const connection = new Connection({
      ...this.#options,
      token,
      on: {
        opened: () => this.#opened(connection),
        pushed: this.#on.pushed,
        lost: (end) => this.#lost(end),
        error: this.#on.error,
      },
    });
    this.#connection = connection;
  }

  /** @param {Connection} connection */
  #opened(connection) {
    this.#isOpen = true;
    this.#hasBeenOpen = true;
    this.#failedHandshakes = 0;
    this.#renewal?.start(connection);
    this.#on.opened(connection);
  }

  /** @param {End} end */
  #lost({ wasOpen, isTooLarge, status }) {
    this.#connection = null;
    this.#isOpen = false;
    this.#renewal?.stop();
    if (this.#isProven && !isTooLarge) this.#attempt = 0;
    this.#isProven = false;
    this.#on.lost();
    if (this.#isClosed) return;
    if (!wasOpen) this.#failedHandshakes += 1;
    if (status === FORBIDDEN || (status === UNAUTHORIZED && this.#renewal === null)) {
      this.#on.refused(
        new ServerError("Forbidden", `The gateway refused the connection with HTTP status ${status}.`),
      );
    } else if (
      this.#renewal &&
      !this.#hasBeenOpen &&
      this.#failedHandshakes >= this.#limits.handshakeAttempts
    ) {
      this.#on.signedOut(
        new Error("The chat did not let you in, or it is not running. Sign in to try again."),
      );
    } else {
      this.#reconnectLater();
    }
  }

  #reconnectLater() {
    const delayMs = backoffMs(this.#attempt, this.#limits, this.#options.random);
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.open(), delayMs);
    this.#on.state({ phase: "reconnecting", retryAt: this.#options.now() + delayMs });
  }
}
