// A chat client for one group that survives lost connections. Uses no DOM, and also runs in Node.

/** @import { End } from "./connection.js" */
/** @import { Action, Entry, Message, Push, Replies } from "./frames.js" */
/** @import { Events, Options } from "./options.js" */
/** @import { Grant } from "./renewal.js" */

import { Connection } from "./connection.js";
import { encode, isMessage } from "./frames.js";
import { LIMITS } from "./limits.js";
import { GroupLog } from "./log.js";
import { Outbox } from "./outbox.js";
import { ConnectionLost, ServerError } from "./outstanding.js";
import { Pings } from "./pings.js";
import { Renewal } from "./renewal.js";
import { backoffMs, pause, retried, waitMs } from "./retrying.js";
import { claimIn } from "./token.js";

// Error codes after which joining is retried on a new connection.
const TEMPORARY = new Set(["Conflict", "InternalError"]);
// HTTP statuses of a refused handshake: an invalid token (another may work), and a user without access.
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
// The longest possible request id, to measure a frame before its id is known.
const LONGEST_ID = Number.MAX_SAFE_INTEGER;

/** A member of one group. Calls the listeners in `on`. */
export class ChatClient {
  #options;
  #on;
  #limits;
  #log;
  /** @type {Connection | null} */
  #connection = null;
  #isJoined = false;
  #isClosed = false;
  #attempt = 0;
  // Whether this connection has joined the group: after it, delays start short again.
  #isProven = false;
  /** @type {string | null} */
  #userId = null;
  #outbox;
  #renewal;
  #isOpening = false;
  #failedHandshakes = 0;
  #hasBeenOpen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  #pings;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #logTimer;

  /**
   * Throws TypeError for an invalid URL.
   * @param {Options} options
   */
  constructor({ url, group, name, grant, on = {}, limits = LIMITS, now, random, WebSocket }) {
    this.#options = {
      url: new URL(url).href,
      group,
      name,
      now: now ?? (() => performance.now()),
      random: random ?? Math.random,
      WebSocket: WebSocket ?? globalThis.WebSocket,
    };
    this.#on = on;
    this.#limits = limits;
    const gapWaitMs = limits.gapWaitMs * (1 + this.#options.random());
    const holeTimeoutMs = limits.holeTimeoutMs * (1 + this.#options.random() / 4);
    this.#log = new GroupLog({ ...limits, gapWaitMs, holeTimeoutMs });
    this.#outbox = new Outbox({
      limits,
      transport: {
        isReady: () => this.#isJoined,
        check: ({ message, messageId }) => {
          encode("sendMessage", LONGEST_ID, { message, messageId }, limits.frameBytes);
        },
        send: (fields) => this.#request("sendMessage", fields),
        rejoin: () => this.#rejoin(),
      },
      tell: (own) => this.#tell("own", own),
      now: this.#options.now,
      random: this.#options.random,
    });
    this.#pings = new Pings({ ...this.#options, limits, ping: () => this.#ping() });
    this.#renewal = grant ? this.#newRenewal(grant) : null;
  }

  /** Connect, join, and stay joined until `close`. */
  async open() {
    clearTimeout(this.#retryTimer);
    if (this.#isOpening || this.#isClosed || this.#connection !== null) return;
    this.#tell("state", { phase: "connecting" });
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

  /** Leave the group and close for good, without unsent messages. Calls no listener after the state offline. */
  close() {
    this.#end(() => {});
  }

  /** @param {() => void} tellWhy */
  #end(tellWhy) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#renewal?.stop();
    if (this.#isJoined) this.#connection?.request("leaveGroup").catch(() => {});
    this.#connection?.close();
    this.#emit("state", { phase: "offline" });
    tellWhy();
  }

  /** Check the connection now, because the machine woke up or its network came back. */
  wake() {
    if (this.#isClosed) return;
    this.#renewal?.look();
    if (this.#connection === null) this.open();
    else if (this.#isJoined) this.#ping();
  }

  /**
   * Send a message and return its id. Throws QueueFull, TooLarge if it exceeds a frame, and ConnectionLost once the
   * client is closed.
   * @param {string} message
   */
  send(message) {
    if (this.#isClosed) throw new ConnectionLost("The client is closed.");
    return this.#outbox.add(message);
  }

  /**
   * Retry a failed message with the same id, so that it cannot be stored twice. Throws as `send` does, and
   * TooLarge if it failed with that.
   * @param {string} messageId
   */
  retry(messageId) {
    if (this.#isClosed) throw new ConnectionLost("The client is closed.");
    this.#outbox.retry(messageId);
  }

  /**
   * Forget a failed message.
   * @param {string} messageId
   */
  discard(messageId) {
    this.#outbox.discard(messageId);
  }

  /**
   * Messages before a number, oldest first; `complete` if there are no earlier ones. Rejects with ServerError or
   * ConnectionLost.
   * @param {number} seq
   */
  async before(seq, limit = this.#limits.backlog) {
    /** @type {{ messages: Entry[], complete: boolean }} */
    let page = { messages: [], complete: false };
    for (let pages = 0, before = seq; pages < this.#limits.historyPages; pages += 1) {
      const fields = { before, limit };
      page = await retried(() => this.#request("history", fields), this.#limits, this.#options.random);
      if (page.complete || page.messages.length === 0 || page.messages.some(isMessage)) break;
      before = page.messages[0].seq;
    }
    return { messages: page.messages.filter(isMessage), complete: page.complete };
  }

  // -- connection ---------------------------------------------------------------------------------------

  /** @param {string | null} token */
  #connect(token) {
    this.#userId = token === null ? null : claimIn(token, "sub");
    const connection = new Connection({
      ...this.#options,
      token,
      limits: this.#limits,
      on: {
        opened: () => this.#opened(connection),
        pushed: (frame) => this.#pushed(frame),
        lost: (end) => this.#lost(end),
        error: (error) => this.#tell("error", error),
      },
    });
    this.#connection = connection;
  }

  /** @param {Connection} connection */
  #opened(connection) {
    this.#hasBeenOpen = true;
    this.#failedHandshakes = 0;
    this.#renewal?.start(connection);
    this.#pings.start();
    this.#join(connection);
  }

  /** @param {End} end */
  #lost({ wasOpen, isTooLarge, status }) {
    this.#connection = null;
    this.#isJoined = false;
    this.#renewal?.stop();
    clearTimeout(this.#logTimer);
    this.#pings.stop();
    if (this.#isProven && !isTooLarge) this.#attempt = 0;
    this.#isProven = false;
    if (this.#isClosed) return;
    if (!wasOpen) this.#failedHandshakes += 1;
    if (status === FORBIDDEN || (status === UNAUTHORIZED && this.#renewal === null)) {
      this.#refuse(
        new ServerError("Forbidden", `The gateway refused the connection with HTTP status ${status}.`),
      );
    } else if (
      this.#renewal &&
      !this.#hasBeenOpen &&
      this.#failedHandshakes >= this.#limits.handshakeAttempts
    ) {
      this.#signOut(new Error("The chat did not let you in, or it is not running. Sign in to try again."));
    } else {
      this.#reconnectLater();
    }
  }

  #reconnectLater() {
    const delayMs = backoffMs(this.#attempt, this.#limits, this.#options.random);
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.open(), delayMs);
    this.#tell("state", { phase: "reconnecting", retryAt: this.#options.now() + delayMs });
  }

  /** @param {Connection} connection */
  async #join(connection, attempt = 0) {
    this.#isJoined = false;
    let joined;
    try {
      const since = this.#log.since ?? undefined;
      joined = await this.#ask(connection, "joinGroup", { groupId: this.#options.group, since });
    } catch (error) {
      if (!(error instanceof ServerError) || TEMPORARY.has(error.code)) connection.close();
      else if (error.code === "RateLimited") await this.#joinLater(connection, attempt, error);
      else this.#refuse(error);
      return;
    }
    this.#isProven = true;
    this.#isJoined = true;
    this.#tell("state", { phase: "connected", lastSeq: joined.lastSeq, userId: this.#userId });
    if (this.#log.isRestart(joined.lastSeq)) this.#tell("restarted");
    this.#deliver(this.#log.joined(joined.lastSeq, joined.messages, joined.complete, this.#options.now()));
    this.#outbox.pump();
  }

  async #rejoin() {
    if (this.#connection !== null) await this.#join(this.#connection);
  }

  /**
   * @param {Connection} connection
   * @param {number} attempt
   * @param {ServerError} error
   */
  async #joinLater(connection, attempt, error) {
    const { callTimeoutMs } = this.#limits;
    await pause(Math.min(callTimeoutMs, waitMs(error, attempt, this.#limits, this.#options.random)));
    if (this.#connection === connection && !this.#isJoined) await this.#join(connection, attempt + 1);
  }

  /** @param {ServerError} error */
  #refuse(error) {
    this.#end(() => this.#emit("refused", error));
  }

  /** @param {Error} error */
  #signOut(error) {
    this.#end(() => this.#emit("signedOut", error));
  }

  /** @param {Grant} grant */
  #newRenewal(grant) {
    return new Renewal({
      grant,
      limits: this.#limits,
      random: this.#options.random,
      on: {
        ended: (error) => this.#signOut(error),
        // If the right was withdrawn, joining again is refused with the reason.
        renewed: (connection, groupId) => {
          if (this.#isJoined && groupId !== this.#options.group) this.#join(connection);
        },
      },
    });
  }

  async #ping() {
    if (!this.#isJoined) return;
    try {
      const pong = await this.#request("ping");
      if (pong.groupId !== this.#options.group) {
        await this.#rejoin();
      } else if (pong.lastSeq != null) {
        this.#log.heard(pong.lastSeq, this.#options.now());
        this.#scheduleFill();
      }
    } catch (error) {
      // A lost connection is already being replaced; an error frame shows that it is alive.
      const { retryAfterMs } = error instanceof ServerError ? error : { retryAfterMs: 0 };
      if (retryAfterMs > 0 && this.#connection !== null) this.#pings.again(retryAfterMs);
    }
  }

  // -- receiving ------------------------------------------------------------------------------------

  /** @param {Push} frame */
  #pushed(frame) {
    this.#pings.pushed();
    if (frame.groupId !== this.#options.group) return;
    this.#deliver(this.#log.pushed(frame.messages, this.#options.now()));
  }

  /** @param {Message[]} messages */
  #deliver(messages) {
    if (messages.length > 0) {
      // Another user may have used the same id.
      this.#outbox.arrived(messages.filter((message) => (message.userId ?? null) === this.#userId));
      this.#tell("messages", messages);
    }
    this.#scheduleFill();
  }

  #scheduleFill() {
    clearTimeout(this.#logTimer);
    const { wakeAt } = this.#log;
    if (!this.#isJoined || wakeAt === null) return;
    this.#logTimer = setTimeout(() => this.#fill(), Math.max(0, wakeAt - this.#options.now()));
  }

  async #fill() {
    const since = this.#log.ask(this.#options.now());
    if (since === null) {
      this.#scheduleFill();
      return;
    }
    try {
      const page = await this.#request("history", { since, limit: this.#limits.historyPage });
      this.#deliver(this.#log.replied(page.messages, page.complete, this.#options.now()));
    } catch (error) {
      // After a lost connection, the next join requests the missing messages.
      if (!(error instanceof ServerError)) return;
      this.#log.failed(this.#options.now(), Math.min(error.retryAfterMs, this.#limits.callTimeoutMs));
      this.#scheduleFill();
    }
  }

  // -- sending ------------------------------------------------------------------------------------

  /**
   * @template {Action} A
   * @param {A} action
   * @param {object} [fields]
   */
  #request(action, fields) {
    if (this.#connection === null) return Promise.reject(new ConnectionLost("There is no connection."));
    return this.#ask(this.#connection, action, fields);
  }

  /**
   * Send a request; if it is Forbidden, renew the token and repeat it. The token may have expired, or the user may
   * have new rights.
   * @template {Action} A
   * @param {Connection} connection
   * @param {A} action
   * @param {object} [fields]
   * @returns {Promise<Replies[A]>}
   */
  async #ask(connection, action, fields) {
    try {
      return await connection.request(action, fields);
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== "Forbidden") throw error;
      if (!(await this.#renewal?.now())) throw error;
      return connection.request(action, fields);
    }
  }

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {Events[E]} values
   */
  #tell(event, ...values) {
    if (!this.#isClosed) this.#emit(event, ...values);
  }

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {Events[E]} values
   */
  #emit(event, ...values) {
    try {
      this.#on[event]?.(...values);
    } catch (error) {
      // Report the application's error as uncaught, without stopping the client.
      setTimeout(() => {
        throw error;
      }, 0);
    }
  }
}
