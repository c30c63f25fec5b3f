// The chat's protocol in a browser: one membership in one group that survives lost connections.
// No DOM in here; node runs it as it is.

import { Connection, encode } from "./connection.js";
import { LIMITS } from "./limits.js";
import { GroupLog, isMessage } from "./log.js";
import { Outbox } from "./outbox.js";
import { ConnectionLost, ServerError } from "./outstanding.js";
import { Pings } from "./pings.js";
import { Renewal } from "./renewal.js";
import { backoffMs, pause, retried, waitMs } from "./retrying.js";
import { claimIn } from "./token.js";

// Error codes after which joining is tried again, on a new connection.
const PASSING = new Set(["Conflict", "InternalError"]);
// As long as the id of a request can get: a frame is measured before its id is known.
const LONGEST_ID = Number.MAX_SAFE_INTEGER;

/**
 * A member of one group. What happens is told to the functions of `on`, all optional:
 *
 * - `state({ phase, lastSeq, userId, retryAt })`: phase is connecting, connected (and joined; the group's last
 *   number is `lastSeq`, and `userId` is null for a guest), reconnecting (next try at `retryAt`, on the clock of `now`) or offline (closed, for good).
 * - `messages(list)`: messages of the log, each once, by `seq`.
 * - `own({ messageId, message, status, seq, reason })`: status is pending, sent (acknowledged, with its `seq`)
 *   or failed (for this `reason`).
 * - `anew()`: the group's log began anew; what was shown of it is history.
 * - `refused(error)`: joining was refused with a ServerError; the client is closed.
 * - `signedOut(error)`: there is no token, or it is not taken; the client is closed.
 * - `trouble(error)`: a ServerError that belongs to no request.
 */
export class ChatClient {
  #options;
  #on;
  #limits;
  #log;
  #connection = null;
  #isJoined = false;
  #isClosed = false;
  #attempt = 0;
  // This connection joined the group: after it, delays start short again.
  #isProven = false;
  #userId = null;
  #outbox;
  #renewal;
  #isOpening = false;
  #failedHandshakes = 0;
  #hasBeenOpen = false;
  #retryTimer;
  #pings;
  #logTimer;

  /**
   * `name` counts where nobody signs in. Where one does, `grant` gives tokens, as Renewal has it. `now`,
   * `random` and `WebSocket` stand in for the browser's in tests.
   */
  constructor({ url, group, name, grant, on = {}, limits = LIMITS, now, random, WebSocket }) {
    this.#options = {
      url,
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
        rejoin: () => this.#join(this.#connection),
      },
      tell: (own) => this.#tell("own", own),
      now: this.#options.now,
      random: this.#options.random,
    });
    this.#pings = new Pings({ ...this.#options, limits, ping: () => this.#ping() });
    this.#renewal = grant ? this.#newRenewal(grant) : null;
  }

  /** Connect, join, and stay so until `close`. */
  async open() {
    clearTimeout(this.#retryTimer);
    if (this.#isOpening) return;
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

  /** Leave the group and close, for good. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#renewal?.stop();
    if (this.#isJoined) this.#connection.request("leaveGroup").catch(() => {});
    this.#connection?.close();
    this.#tell("state", { phase: "offline" });
  }

  /** The machine woke up, or its network came back: look at the connection now instead of later. */
  wake() {
    if (this.#isClosed) return;
    this.#renewal?.look();
    if (this.#connection === null) this.open();
    else if (this.#isJoined) this.#ping();
  }

  /** Send a message and return its id. Throws QueueFull; TooLarge for one that no frame can carry. */
  send(message) {
    return this.#outbox.add(message);
  }

  /**
   * Send a failed message again, under the same id: should it have arrived after all, it is not doubled.
   * Throws QueueFull, and TooLarge where it failed with that.
   */
  retry(messageId) {
    this.#outbox.retry(messageId);
  }

  /** Forget a failed message. */
  discard(messageId) {
    this.#outbox.discard(messageId);
  }

  /** Messages before a number, oldest first, as { messages, complete }. Rejects with the errors above. */
  async before(seq, limit = this.#limits.backlog) {
    let page = { messages: [{ seq }] };
    for (let pages = 0; pages < this.#limits.historyPages && page.messages.length > 0; pages += 1) {
      const before = page.messages[0].seq;
      const ask = () => this.#request("history", { before, limit });
      page = await retried(ask, this.#limits, this.#options.random);
      if (page.complete || page.messages.some(isMessage)) break;
    }
    return { messages: page.messages.filter(isMessage), complete: page.complete };
  }

  // -- connection ---------------------------------------------------------------------------------------

  #connect(token) {
    this.#userId = token === null ? null : claimIn(token, "sub");
    const connection = new Connection({
      ...this.#options,
      token,
      limits: this.#limits,
      on: {
        opened: () => this.#opened(connection),
        pushed: (frame) => this.#pushed(frame),
        lost: (wasOpen, isTooLarge) => this.#lost(wasOpen, isTooLarge),
        trouble: (error) => this.#tell("trouble", error),
      },
    });
    this.#connection = connection;
  }

  #opened(connection) {
    this.#hasBeenOpen = true;
    this.#failedHandshakes = 0;
    this.#renewal?.start(connection);
    this.#pings.start();
    this.#join(connection);
  }

  #lost(wasOpen, isTooLarge) {
    this.#connection = null;
    this.#isJoined = false;
    this.#renewal?.stop();
    clearTimeout(this.#logTimer);
    this.#pings.stop();
    if (this.#isProven && !isTooLarge) this.#attempt = 0;
    this.#isProven = false;
    if (this.#isClosed) return;
    if (!wasOpen) this.#failedHandshakes += 1;
    if (this.#renewal && !this.#hasBeenOpen && this.#failedHandshakes >= this.#limits.handshakeAttempts) {
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

  async #join(connection, attempt = 0) {
    this.#isJoined = false;
    let joined;
    try {
      const since = this.#log.since ?? undefined;
      joined = await this.#ask(connection, "joinGroup", { groupId: this.#options.group, since });
    } catch (error) {
      if (error.code === "RateLimited") await this.#joinLater(connection, attempt, error);
      else if (error instanceof ServerError && !PASSING.has(error.code)) this.#refuse(error);
      else connection.close();
      return;
    }
    this.#isProven = true;
    this.#isJoined = true;
    this.#tell("state", { phase: "connected", lastSeq: joined.lastSeq, userId: this.#userId });
    if (this.#log.isAnew(joined.lastSeq)) this.#tell("anew");
    this.#deliver(this.#log.joined(joined.lastSeq, joined.messages, joined.complete, this.#options.now()));
    this.#outbox.pump();
  }

  async #joinLater(connection, attempt, error) {
    const { callTimeoutMs } = this.#limits;
    await pause(Math.min(callTimeoutMs, waitMs(error, attempt, this.#limits, this.#options.random)));
    if (this.#connection === connection && !this.#isJoined) await this.#join(connection, attempt + 1);
  }

  #refuse(error) {
    if (this.#isClosed) return;
    this.close();
    this.#tell("refused", error);
  }

  #signOut(error) {
    if (this.#isClosed) return;
    this.close();
    this.#tell("signedOut", error);
  }

  #newRenewal(grant) {
    return new Renewal({
      grant,
      limits: this.#limits,
      random: this.#options.random,
      on: {
        ended: (error) => this.#signOut(error),
        // A right that was withdrawn shows in the answer to another join.
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
        await this.#join(this.#connection);
      } else if (pong.lastSeq != null) {
        this.#log.heard(pong.lastSeq, this.#options.now());
        this.#tend();
      }
    } catch (error) {
      // A lost connection is being replaced already; an error frame says that it is alive.
      if (error.retryAfterMs > 0 && this.#connection !== null) this.#pings.again(error.retryAfterMs);
    }
  }

  // -- what comes in ------------------------------------------------------------------------------------

  #pushed(frame) {
    this.#pings.pushed();
    if (frame.groupId !== this.#options.group) return;
    this.#deliver(this.#log.pushed(frame.messages, this.#options.now()));
  }

  #deliver(messages) {
    if (messages.length > 0) {
      // Somebody else may use the same id.
      const own = messages.filter((message) => (message.userId ?? null) === this.#userId);
      this.#outbox.arrived(new Set(own.map((message) => message.messageId)));
      this.#tell("messages", messages);
    }
    this.#tend();
  }

  #tend() {
    clearTimeout(this.#logTimer);
    const { wakeAt } = this.#log;
    if (!this.#isJoined || wakeAt === null) return;
    this.#logTimer = setTimeout(() => this.#fill(), Math.max(0, wakeAt - this.#options.now()));
  }

  async #fill() {
    const since = this.#log.ask(this.#options.now());
    if (since === null) {
      this.#tend();
      return;
    }
    try {
      const page = await this.#request("history", { since, limit: this.#limits.historyPage });
      this.#deliver(this.#log.replied(page.messages, page.complete, this.#options.now()));
    } catch (error) {
      // After a lost connection, joining asks anew.
      if (!(error instanceof ServerError)) return;
      const retryAfterMs = Math.min(error.retryAfterMs ?? 0, this.#limits.callTimeoutMs);
      this.#log.failed(this.#options.now(), retryAfterMs);
      this.#tend();
    }
  }

  // -- what goes out ------------------------------------------------------------------------------------

  #request(action, fields) {
    if (this.#connection === null) return Promise.reject(new ConnectionLost("There is no connection."));
    return this.#ask(this.#connection, action, fields);
  }

  // What is forbidden may be allowed with a fresher token: the one in use ended, or a right was given since.
  async #ask(connection, action, fields) {
    try {
      return await connection.request(action, fields);
    } catch (error) {
      if (this.#renewal === null || error.code !== "Forbidden") throw error;
      if (!(await this.#renewal.now())) throw error;
      return connection.request(action, fields);
    }
  }

  #tell(event, value) {
    this.#on[event]?.(value);
  }
}
