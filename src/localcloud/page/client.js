// The chat's protocol in a browser: one membership in one group that survives lost connections.
// No DOM in here; node runs it as it is.

import { Connection, ConnectionLost, ServerError } from "./connection.js";
import { GroupLog } from "./log.js";

/** Every bound the client keeps. */
export const LIMITS = Object.freeze({
  // The handshake and each request; no answer in this time means that the connection is dead.
  replyTimeoutMs: 15_000,
  // API Gateway closes after ten idle minutes.
  pingIntervalMs: 240_000,
  // Full jitter: each delay is uniform between 0 and a ceiling that doubles from base to max.
  reconnectBaseMs: 500,
  reconnectMaxMs: 30_000,
  // The stream is polled four times a second and shard, so messages change places within about a second.
  // Each client waits between one and two times this long, so that a crowd does not ask all at once.
  gapWaitMs: 1_000,
  // sendMessage's ten seconds, and two for the index: what is missing by then was never written.
  holeTimeoutMs: 12_000,
  // Messages that a newcomer sees, that one history frame brings, and that wait behind a gap.
  backlog: 50,
  historyPage: 100,
  pendingMessages: 2_000,
  // Own messages waiting for their ack, and how often one is sent before it counts as failed.
  unsent: 100,
  sendAttempts: 4,
});

const SUBPROTOCOL = "groupcast.v1";
// Error codes after which joining is tried again, on a new connection.
const PASSING = new Set(["Conflict", "InternalError", "RateLimited"]);

/** As many own messages as `LIMITS.unsent` wait already. */
export class QueueFull extends Error {}

/**
 * A member of one group. What happens is told to the functions of `on`, all optional:
 *
 * - `state({ phase, lastSeq, retryAt })`: phase is connecting, connected (and joined; the group's last number
 *   is `lastSeq`), reconnecting (next try at `retryAt`, on the clock of `now`) or offline (closed, for good).
 * - `messages(list)`: messages of the log, each once, by `seq`.
 * - `own({ messageId, message, status, reason })`: status is pending, sent (acknowledged) or failed.
 * - `anew()`: the group's log began anew; what was shown of it is history.
 * - `refused(error)`: joining was refused with a ServerError; the client is closed.
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
  // Own messages on their way, oldest first. One is sent at a time, so that they keep their order.
  #unsent = [];
  #failed = new Map();
  #isSending = false;
  #retryTimer;
  #pingTimer;
  #logTimer;

  /** `now`, `random` and `WebSocket` stand in for the browser's in tests. */
  constructor({ url, group, name, token, on = {}, limits = LIMITS, now, random, WebSocket }) {
    this.#options = {
      url: connectUrl(url, name),
      protocols: token ? [SUBPROTOCOL, `bearer.${token}`] : [],
      group,
      now: now ?? (() => performance.now()),
      random: random ?? Math.random,
      WebSocket: WebSocket ?? globalThis.WebSocket,
    };
    this.#on = on;
    this.#limits = limits;
    const gapWaitMs = limits.gapWaitMs * (1 + this.#options.random());
    this.#log = new GroupLog({ ...limits, gapWaitMs });
  }

  /** Connect, join, and stay so until `close`. */
  open() {
    clearTimeout(this.#retryTimer);
    this.#tell("state", { phase: "connecting" });
    const connection = new Connection({
      ...this.#options,
      replyTimeoutMs: this.#limits.replyTimeoutMs,
      on: {
        opened: () => this.#join(connection),
        pushed: (frame) => this.#pushed(frame),
        lost: () => this.#lost(),
        trouble: (error) => this.#tell("trouble", error),
      },
    });
    this.#connection = connection;
  }

  /** Leave the group and close, for good. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    if (this.#isJoined) this.#connection.request("leaveGroup").catch(() => {});
    this.#connection?.close();
    this.#tell("state", { phase: "offline" });
  }

  /** The machine woke up, or its network came back: look at the connection now instead of later. */
  wake() {
    if (this.#isClosed) return;
    if (this.#connection === null) this.open();
    else if (this.#isJoined) this.#ping();
  }

  /** Send a message and return its id. Throws QueueFull. */
  send(message) {
    const entry = { messageId: crypto.randomUUID(), message, attempts: 0 };
    this.#enqueue(entry);
    return entry.messageId;
  }

  /** Send a failed message again, under the same id: should it have arrived after all, it is not doubled. */
  retry(messageId) {
    const entry = this.#failed.get(messageId);
    if (entry === undefined) return;
    this.#enqueue({ ...entry, attempts: 0 });
    this.#failed.delete(messageId);
  }

  /** Forget a failed message. */
  discard(messageId) {
    this.#failed.delete(messageId);
  }

  /** Messages before a number, oldest first, as { messages, complete }. Rejects with the errors above. */
  before(seq, limit = this.#limits.backlog) {
    return this.#request("history", { before: seq, limit });
  }

  // -- connection ---------------------------------------------------------------------------------------

  #lost() {
    this.#connection = null;
    this.#isJoined = false;
    clearTimeout(this.#logTimer);
    clearInterval(this.#pingTimer);
    if (!this.#isClosed) this.#reconnectLater();
  }

  #reconnectLater() {
    const { reconnectBaseMs, reconnectMaxMs } = this.#limits;
    const ceilingMs = Math.min(reconnectMaxMs, reconnectBaseMs * 2 ** this.#attempt);
    const delayMs = this.#options.random() * ceilingMs;
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.open(), delayMs);
    this.#tell("state", { phase: "reconnecting", retryAt: this.#options.now() + delayMs });
  }

  async #join(connection) {
    this.#isJoined = false;
    let joined;
    try {
      const since = this.#log.since ?? undefined;
      joined = await connection.request("joinGroup", { groupId: this.#options.group, since });
    } catch (error) {
      if (error instanceof ServerError && !PASSING.has(error.code)) this.#refuse(error);
      else connection.close();
      return;
    }
    this.#attempt = 0;
    this.#isJoined = true;
    clearInterval(this.#pingTimer);
    this.#pingTimer = setInterval(() => this.#ping(), this.#limits.pingIntervalMs);
    this.#tell("state", { phase: "connected", lastSeq: joined.lastSeq });
    if (this.#log.isAnew(joined.lastSeq)) this.#tell("anew");
    this.#deliver(this.#log.joined(joined.lastSeq, joined.messages, joined.complete, this.#options.now()));
    this.#pump();
  }

  #refuse(error) {
    this.close();
    this.#tell("refused", error);
  }

  async #ping() {
    try {
      const pong = await this.#request("ping");
      if (pong.groupId !== this.#options.group) {
        await this.#join(this.#connection);
      } else if (pong.lastSeq != null) {
        this.#log.heard(pong.lastSeq, this.#options.now());
        this.#tend();
      }
    } catch {
      // A lost connection is being replaced already; an error frame says that it is alive.
    }
  }

  // -- what comes in ------------------------------------------------------------------------------------

  #pushed(frame) {
    if (frame.groupId !== this.#options.group) return;
    this.#deliver(this.#log.pushed(frame.messages, this.#options.now()));
  }

  #deliver(messages) {
    if (messages.length > 0) {
      const ids = new Set(messages.map((message) => message.messageId));
      // An own message that comes back has arrived, whether its ack came or not.
      this.#unsent = this.#unsent.filter((entry) => !ids.has(entry.messageId));
      for (const id of ids) this.#failed.delete(id);
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
      this.#log.failed(this.#options.now());
      this.#tend();
    }
  }

  // -- what goes out ------------------------------------------------------------------------------------

  #enqueue(entry) {
    if (this.#unsent.length >= this.#limits.unsent) {
      throw new QueueFull(`${this.#limits.unsent} messages are waiting to be sent. Wait for them first.`);
    }
    this.#unsent.push(entry);
    this.#tell("own", { messageId: entry.messageId, message: entry.message, status: "pending" });
    this.#pump();
  }

  async #pump() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#isJoined && this.#unsent.length > 0) await this.#transmit(this.#unsent[0]);
    this.#isSending = false;
  }

  async #transmit(entry) {
    const { messageId, message } = entry;
    entry.attempts += 1;
    const isLast = entry.attempts >= this.#limits.sendAttempts;
    try {
      await this.#request("sendMessage", { message, messageId });
      this.#settle(entry, "sent");
    } catch (error) {
      if (error instanceof ConnectionLost) {
        if (isLast) this.#settle(entry, "failed", "no answer from the server");
      } else if (error.code === "NotInGroup" && !isLast) {
        await this.#join(this.#connection);
      } else {
        this.#settle(entry, "failed", error.message);
      }
    }
  }

  #settle(entry, status, reason) {
    const index = this.#unsent.indexOf(entry);
    if (index === -1) return;
    this.#unsent.splice(index, 1);
    if (status === "failed") this.#failed.set(entry.messageId, entry);
    this.#tell("own", { messageId: entry.messageId, message: entry.message, status, reason });
  }

  #request(action, fields) {
    if (this.#connection === null) return Promise.reject(new ConnectionLost("There is no connection."));
    return this.#connection.request(action, fields);
  }

  #tell(event, value) {
    this.#on[event]?.(value);
  }
}

function connectUrl(url, name) {
  const full = new URL(url);
  if (name) full.searchParams.set("name", name);
  return full.href;
}
