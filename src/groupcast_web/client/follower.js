// Follows a group's log: requests the messages that pushes and joins left out.

/** @import { Entry, Message } from "./frames.js" */
/** @import { Limits } from "./limits.js" */

import { GroupLog } from "./log.js";
import { ServerError } from "./outstanding.js";

/** A page of a log, oldest first; `complete` if it has no messages beyond. @typedef {{ messages: Entry[], complete: boolean }} Page */

// Error codes of `history` after which repeating it is useless.
const FINAL = new Set(["Forbidden", "NotInGroup"]);

/** Passes each message on once, in order of `seq`. Requests history only while it is joined. */
export class Follower {
  #limits;
  #now;
  #history;
  #deliver;
  #refused;
  #log;
  #isJoined = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * Continue after the number `since`, or start with the last messages. `history` requests a page after a number,
   * `deliver` takes the messages, and `refused` is called if the service does not let the client read them.
   * @param {{ since: number | null, limits: Limits, now: () => number, random: () => number,
   *   history: (since: number) => Promise<Page>, deliver: (messages: Message[]) => void,
   *   refused: (error: ServerError) => void }} options
   */
  constructor({ since, limits, now, random, history, deliver, refused }) {
    this.#limits = limits;
    this.#now = now;
    this.#history = history;
    this.#deliver = deliver;
    this.#refused = refused;
    const gapWaitMs = limits.gapWaitMs * (1 + random());
    const holeTimeoutMs = limits.holeTimeoutMs * (1 + random() / 4);
    this.#log = new GroupLog({ ...limits, gapWaitMs, holeTimeoutMs }, since);
  }

  get isJoined() {
    return this.#isJoined;
  }

  /** The `since` to join with, or null. */
  get since() {
    return this.#log.since;
  }

  /** The last number known; 0 before the first join. */
  get lastSeq() {
    return this.#log.lastSeq;
  }

  /**
   * Whether the result of joining after `since` means that the log was restarted.
   * @param {number} lastSeq
   * @param {number | null} since
   */
  isRestart(lastSeq, since) {
    return this.#log.isRestart(lastSeq, since);
  }

  /** Wait for the next join. */
  stop() {
    this.#isJoined = false;
    clearTimeout(this.#timer);
  }

  /** Note that the group is joined; `replayed` must follow. */
  start() {
    this.#isJoined = true;
  }

  /**
   * Take the result of joining after `since`.
   * @param {{ lastSeq: number } & Page} result
   * @param {number | null} since
   */
  replayed({ lastSeq, messages, complete }, since) {
    this.#pass(this.#log.joined(lastSeq, messages, complete, this.#now(), since));
  }

  /**
   * Take a push.
   * @param {Entry[]} entries
   */
  pushed(entries) {
    this.#pass(this.#log.pushed(entries, this.#now()));
  }

  /**
   * Take the group's last number from a pong.
   * @param {number} lastSeq
   */
  heard(lastSeq) {
    this.#log.heard(lastSeq, this.#now());
    this.#schedule();
  }

  /** @param {Message[]} messages */
  #pass(messages) {
    if (messages.length > 0) this.#deliver(messages);
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    const { wakeAt } = this.#log;
    if (!this.#isJoined || wakeAt === null) return;
    this.#timer = setTimeout(() => this.#fill(), Math.max(0, wakeAt - this.#now()));
  }

  async #fill() {
    const since = this.#log.ask(this.#now());
    if (since === null) {
      this.#schedule();
      return;
    }
    try {
      const page = await this.#history(since);
      this.#pass(this.#log.replied(page.messages, page.complete, this.#now()));
    } catch (error) {
      // After a lost connection, the next join requests the missing messages.
      if (!(error instanceof ServerError)) return;
      this.#log.failed(this.#now(), Math.min(error.retryAfterMs, this.#limits.callTimeoutMs));
      if (FINAL.has(error.code)) this.#refused(error);
      else this.#schedule();
    }
  }
}
