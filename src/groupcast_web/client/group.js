// One group of a client: its log, resumed after lost connections, and its own messages.

/** @import { Page } from "./follower.js" */
/** @import { Action, Entry, Joined, Message, Replies } from "./frames.js" */
/** @import { Limits } from "./limits.js" */
/** @import { Events, GroupEvents, GroupListeners, State } from "./options.js" */

import { Follower } from "./follower.js";
import { encode, isMessage } from "./frames.js";
import { emit } from "./options.js";
import { Outbox } from "./outbox.js";
import { ConnectionLost, ServerError } from "./outstanding.js";
import { retried } from "./retrying.js";

// The longest possible request id, to measure a frame before its id is known.
const LONGEST_ID = Number.MAX_SAFE_INTEGER;

/**
 * The way to the service. `userId` is that of the connection; `rejoin` joins the group again, `left` leaves it, and
 * `refused` ends it with the error.
 * @typedef {{
 *   readonly userId: string | null,
 *   request: <A extends Action>(action: A, fields: object) => Promise<Replies[A]>,
 *   rejoin: (group: Group) => Promise<void>,
 *   left: (group: Group) => void,
 *   refused: (group: Group, error: ServerError) => void,
 * }} Service
 */

/** A membership in one group, opened by `ChatClient.group`. Calls the listeners in `on`. */
export class Group {
  #id;
  #on;
  #service;
  #limits;
  #random;
  #follower;
  #outbox;
  #hasJoined = false;
  #hasEnded = false;
  /** @type {number | null} */
  #readSeq = null;
  // Ends the waits of retries.
  #ending = new AbortController();

  /**
   * @param {{ id: string, since?: number | null, on: GroupListeners, service: Service, limits: Limits,
   *   now: () => number, random: () => number }} options
   */
  constructor({ id, since = null, on, service, limits, now, random }) {
    this.#id = id;
    this.#on = on;
    this.#service = service;
    this.#limits = limits;
    this.#random = random;
    this.#follower = new Follower({
      since,
      limits,
      now,
      random,
      history: (after) => this.#request("history", { since: after, limit: limits.historyPage }),
      deliver: (messages) => this.#deliver(messages),
      refused: (error) => (error.code === "NotInGroup" ? this.#rejoin() : service.refused(this, error)),
    });
    this.#outbox = new Outbox({
      limits,
      transport: {
        isReady: () => this.#follower.isJoined,
        check: ({ message, messageId }) => {
          encode("sendMessage", LONGEST_ID, { groupId: id, message, messageId }, limits.frameBytes);
        },
        send: (fields) => this.#request("sendMessage", fields),
        rejoin: () => this.#rejoin(),
      },
      tell: (own) => this.#tell("own", own),
      now,
      random,
      signal: this.#ending.signal,
    });
  }

  get id() {
    return this.#id;
  }

  /** The number of the group's last message, as far as it is known; null before the first join. */
  get lastSeq() {
    return this.#hasJoined ? this.#follower.lastSeq : null;
  }

  /**
   * The last number that the user has read, on any device, as far as it is known; null for a guest and before the first
   * join.
   */
  get readSeq() {
    return this.#readSeq;
  }

  /**
   * Send a message and return its id. Throws QueueFull, TooLarge if it exceeds a frame, and ConnectionLost once the
   * group has ended.
   * @param {string} message
   */
  send(message) {
    this.#raiseIfEnded();
    return this.#outbox.add(message);
  }

  /**
   * Retry a failed message with the same id, so that it cannot be stored twice. Throws as `send` does, and
   * TooLarge if it failed with that.
   * @param {string} messageId
   */
  retry(messageId) {
    this.#raiseIfEnded();
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
   * One page of the log: messages after `since`, or the last ones before `before`, at most `limit` and 200. Rejects
   * with ServerError or ConnectionLost.
   * @param {{ since?: number, before?: number, limit?: number }} [range]
   * @returns {Promise<Page>}
   */
  async history({ since, before, limit = this.#limits.historyPage } = {}) {
    const { messages, complete } = await this.#call("history", { since, before, limit });
    return { messages, complete };
  }

  /**
   * Messages before a number, oldest first; `complete` if there are no earlier ones. Rejects with ServerError or
   * ConnectionLost.
   * @param {number} seq
   */
  async before(seq, limit = this.#limits.backlog) {
    /** @type {Page} */
    let page = { messages: [], complete: false };
    for (let pages = 0, before = seq; pages < this.#limits.historyPages; pages += 1) {
      page = await this.history({ before, limit });
      if (page.complete || page.messages.length === 0 || page.messages.some(isMessage)) break;
      before = page.messages[0].seq;
    }
    return { messages: page.messages.filter(isMessage), complete: page.complete };
  }

  /**
   * Note that the user has read the messages up to `seq`; returns `readSeq`, which may be further on. Rejects with
   * ServerError (Forbidden for a guest) or ConnectionLost.
   * @param {number} seq
   */
  async markRead(seq) {
    if (this.#readSeq === null || seq > this.#readSeq) {
      this.#read((await this.#call("markRead", { seq })).readSeq);
    }
    return this.#readSeq ?? seq;
  }

  /** Leave the group for good, without unsent messages. Calls no listener after the state offline. */
  leave() {
    if (this.#hasEnded) return;
    this.#service.left(this);
    this.end();
  }

  // -- called by the client -------------------------------------------------------------------------

  /** @internal */
  get isJoined() {
    return this.#follower.isJoined;
  }

  /** The `since` to join with, null for none. @internal */
  get since() {
    return this.#follower.since;
  }

  /**
   * @param {State} state
   * @internal
   */
  showState(state) {
    this.#tell("state", state);
  }

  /** The connection is not in the group. @internal */
  lost() {
    this.#follower.stop();
  }

  /**
   * Take the result of joining after `since`.
   * @param {Joined} result
   * @param {number | null} since
   * @internal
   */
  joined(result, since) {
    if (this.#hasEnded) return;
    const { lastSeq, readSeq } = result;
    this.#hasJoined = true;
    this.#read(readSeq);
    this.#follower.start();
    this.#tell("state", { phase: "connected", lastSeq, userId: this.#service.userId });
    if (this.#follower.isRestart(lastSeq, since)) this.#tell("restarted");
    this.#follower.replayed(result, since);
    this.#outbox.pump();
  }

  /**
   * @param {Entry[]} entries
   * @internal
   */
  pushed(entries) {
    this.#follower.pushed(entries);
  }

  /**
   * Take the numbers in a pong.
   * @param {number} lastSeq
   * @param {number | undefined} readSeq
   * @internal
   */
  heard(lastSeq, readSeq) {
    this.#read(readSeq);
    this.#follower.heard(lastSeq);
  }

  /**
   * End for good, without a frame.
   * @param {ServerError | null} error
   * @internal
   */
  end(error = null) {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.lost();
    this.#ending.abort();
    emit(this.#on, "state", { phase: "offline" });
    if (error !== null) emit(this.#on, "refused", error);
  }

  // -- the rest -------------------------------------------------------------------------------------

  /** @param {Message[]} messages */
  #deliver(messages) {
    // Another user may have used the same id.
    const { userId } = this.#service;
    this.#outbox.arrived(messages.filter((message) => (message.userId ?? null) === userId));
    this.#tell("messages", messages);
  }

  /**
   * Send a request, again after RateLimited, and once more after joining again if the service lost the membership.
   * @template {Action} A
   * @param {A} action
   * @param {object} fields
   * @returns {Promise<Replies[A]>}
   */
  async #call(action, fields) {
    const ask = () =>
      retried(() => this.#request(action, fields), this.#limits, this.#random, this.#ending.signal);
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== "NotInGroup") throw error;
      await this.#rejoin();
      return ask();
    }
  }

  /**
   * @template {Action} A
   * @param {A} action
   * @param {object} fields
   * @returns {Promise<Replies[A]>}
   */
  async #request(action, fields) {
    this.#raiseIfEnded();
    return this.#service.request(action, { groupId: this.#id, ...fields });
  }

  async #rejoin() {
    if (!this.#hasEnded) await this.#service.rejoin(this);
  }

  #raiseIfEnded() {
    if (this.#hasEnded) throw new ConnectionLost("The group has ended.");
  }

  /** @param {number | undefined} readSeq */
  #read(readSeq) {
    if (readSeq !== undefined) this.#readSeq = Math.max(readSeq, this.#readSeq ?? 0);
  }

  /**
   * @template {keyof GroupEvents} E
   * @param {E} event
   * @param {Events[E]} values
   */
  #tell(event, ...values) {
    if (!this.#hasEnded) emit(this.#on, event, ...values);
  }
}
