// Puts messages in order when pushes and replies are late, repeated or lost. Pure: no clock, no I/O.
// Same rules as groupcast_client/ordering.py; times are in milliseconds.

/** @import { Entry, Message } from "./frames.js" */

import { isMessage } from "./frames.js";

/**
 * @typedef {{ backlog: number, gapWaitMs: number, gapRequests: number, holeTimeoutMs: number,
 *   pendingMessages: number }} LogLimits
 */

/**
 * A history request and the log's state when it was sent.
 * @typedef {{ since: number, at: number, lastSeq: number, newestAt: number }} HistoryRequest
 */

/**
 * One member's view of a group's log: takes entries in any order, returns each message once, by `seq`.
 *
 * The methods that take entries return the messages that are now deliverable. At `wakeAt` the owner calls `ask`.
 * If that returns a number, the owner requests `history` with it as `since`, and passes the reply to `replied` or
 * reports an error with `failed`.
 *
 * After a gap has lasted `gapWaitMs`, history is requested at most `gapRequests` times with doubling waits, and
 * once more `holeTimeoutMs` after the number was first missed. If it is still missing then, it is a hole, whose
 * sender died before writing, and is skipped. Two kinds of numbers are skipped without that wait: voids, which the
 * service sends as { seq, void: true }, and those whose successor is older than the newest message by
 * `holeTimeoutMs` or more.
 */
export class GroupLog {
  #limits;
  /** @type {number | null} */
  #next = null;
  #lastSeq = 0;
  #newestAt = -Infinity;
  /**
   * Entries beyond a gap, by seq, in order of arrival.
   * @type {Map<number, { entry: Entry, arrivedAt: number }>}
   */
  #pending = new Map();
  /** The lowest number dropped since the last request because `#pending` was full. @type {number | null} */
  #droppedFrom = null;
  // The first gap: its first number, when it became the first gap, the history requests sent for it, and the
  // current wait.
  /** @type {number | null} */
  #hole = null;
  #holeAt = 0;
  #asked = 0;
  #waitMs;
  // The times of the next requests: for a gap, and after joining.
  /** @type {number | null} */
  #askAt = null;
  /** @type {number | null} */
  #settleAt = null;
  /** The `since` that continues an incomplete reply. @type {number | null} */
  #cursor = null;
  /** @type {HistoryRequest | null} */
  #request = null;

  /**
   * Continue after the number `since`, or start with up to `limits.backlog` messages from before the first join.
   * @param {LogLimits} limits
   * @param {number | null} since
   */
  constructor(limits, since = null) {
    this.#limits = limits;
    this.#waitMs = limits.gapWaitMs;
    if (since !== null) this.#next = since + 1;
  }

  #restart() {
    this.#lastSeq = 0;
    this.#newestAt = -Infinity;
    this.#pending = new Map();
    this.#droppedFrom = null;
    this.#hole = null;
    this.#holeAt = 0;
    this.#asked = 0;
    this.#waitMs = this.#limits.gapWaitMs;
    this.#askAt = null;
    this.#settleAt = null;
    this.#cursor = null;
    this.#request = null;
  }

  /** The last number delivered or skipped, to join with. Null before the first join. */
  get since() {
    return this.#next === null ? null : this.#next - 1;
  }

  /** The last number known; 0 before the first join. */
  get lastSeq() {
    return this.#lastSeq;
  }

  /** The time of the next call of `ask`, unless new entries change it; null for none. */
  get wakeAt() {
    if (this.#next === null || this.#request !== null) return null;
    const times = [this.#askAt, this.#settleAt].filter((at) => at !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /**
   * Whether the last number in a reply to joinGroup means that the log was restarted: it is shorter than the part that
   * had been read when the request was sent.
   * @param {number} lastSeq
   */
  isRestart(lastSeq, since = this.since) {
    return since !== null && lastSeq < since;
  }

  /**
   * Take the reply to joinGroup, which was sent with `since` unless that was null. Pushes may have come after it.
   * @param {number} lastSeq
   * @param {Entry[]} entries
   * @param {boolean} complete
   * @param {number} now
   */
  joined(lastSeq, entries, complete, now, since = this.since) {
    /** @type {Message[]} */
    let delivered;
    if (since !== null && !this.isRestart(lastSeq, since)) {
      this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
      this.#startRequest(since, now);
      delivered = this.replied(entries, complete, now);
      // The entries did not fit the reply.
      if (!complete && this.#hole !== null) this.#askAt = now;
    } else {
      delivered = this.#begin(lastSeq, entries, now);
    }
    // The fan-out reads an eventually consistent index, so a message sent just after the join can miss the new
    // member. If it is the last one, it leaves no visible gap: request history once more.
    this.#settleAt = now + this.#limits.gapWaitMs;
    return delivered;
  }

  /**
   * Take a push. Entries that arrive before the reply to joinGroup are kept.
   * @param {Entry[]} entries
   * @param {number} now
   */
  pushed(entries, now) {
    this.#take(entries, now);
    return this.#drain(now);
  }

  /**
   * Take the group's last number from a pong; all missing numbers up to it form a gap.
   * @param {number} lastSeq
   * @param {number} now
   */
  heard(lastSeq, now) {
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
    this.#drain(now);
  }

  /**
   * The `since` of a due history request, or null; `replied` or `failed` must follow.
   * @param {number} now
   */
  ask(now) {
    const wakeAt = this.wakeAt;
    if (this.#next === null || wakeAt === null || wakeAt > now) return null;
    if (this.#cursor !== null) return this.#startRequest(this.#cursor, now);
    this.#asked += 1;
    return this.#startRequest(this.#next - 1, now);
  }

  /**
   * Take the reply to the request from `ask`.
   * @param {Entry[]} entries
   * @param {boolean} complete
   * @param {number} now
   */
  replied(entries, complete, now) {
    const request = this.#request;
    const hole = this.#hole;
    this.#request = null;
    this.#take(entries, now);
    const delivered = this.#drain(now);
    if (request === null) return delivered;
    const last = Math.max(request.since, ...entries.map((entry) => entry.seq));
    // Do not continue after an incomplete page without entries: it would be requested endlessly.
    const isPartial = !complete && last > request.since;
    let shownTo = complete ? request.lastSeq : last;
    if (this.#droppedFrom !== null) shownTo = Math.min(shownTo, this.#droppedFrom - 1);
    const newestAt = Math.max(request.newestAt, ...entries.filter(isMessage).map(createdMs));
    while (this.#isFinal(request, shownTo, newestAt)) delivered.push(...this.#skip(shownTo, now));
    if (isPartial && this.#droppedFrom === null) {
      this.#cursor = last;
      this.#askAt = now;
    } else if (hole !== null && this.#hole === hole) {
      this.#askLater(now);
    }
    return delivered;
  }

  /**
   * Report that the request from `ask` failed; it is repeated after `retryAfterMs` at the earliest.
   * @param {number} now
   * @param {number} retryAfterMs
   */
  failed(now, retryAfterMs = 0) {
    this.#request = null;
    this.#askAt = Math.max(this.#askLater(now), now + retryAfterMs);
  }

  /**
   * @param {number} lastSeq
   * @param {Entry[]} entries
   * @param {number} now
   */
  #begin(lastSeq, entries, now) {
    if (this.#next === null) {
      this.#next = Math.max(1, lastSeq - this.#limits.backlog + 1);
    } else {
      this.#next = 1;
      this.#restart();
    }
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
    for (const seq of this.#pending.keys()) if (seq < this.#next) this.#pending.delete(seq);
    const delivered = this.pushed(entries, now);
    if (this.#hole !== null) this.#askAt = now;
    return delivered;
  }

  /**
   * @param {number} since
   * @param {number} now
   */
  #startRequest(since, now) {
    this.#request = { since, at: now, lastSeq: this.#lastSeq, newestAt: this.#newestAt };
    this.#askAt = this.#settleAt = this.#cursor = this.#droppedFrom = null;
    return since;
  }

  /** @param {number} now */
  #askLater(now) {
    this.#waitMs = Math.min(this.#waitMs * 2, this.#limits.holeTimeoutMs);
    const askAt = now + this.#waitMs;
    // Never postpone the last request, which may declare the number a hole.
    const oldAt = this.#missedAt() + this.#limits.holeTimeoutMs;
    const isLast = oldAt < askAt || this.#asked >= this.#limits.gapRequests;
    this.#askAt = now < oldAt && isLast ? oldAt : askAt;
    return this.#askAt;
  }

  /**
   * @param {Entry[]} entries
   * @param {number} now
   */
  #take(entries, now) {
    for (const entry of entries) {
      const { seq } = entry;
      this.#lastSeq = Math.max(this.#lastSeq, seq);
      if (isMessage(entry)) this.#newestAt = Math.max(this.#newestAt, createdMs(entry));
      if (this.#pending.has(seq) || (this.#next !== null && seq < this.#next)) continue;
      if (this.#pending.size < this.#limits.pendingMessages || seq === this.#next) {
        this.#pending.set(seq, { entry, arrivedAt: now });
      } else {
        this.#droppedFrom = Math.min(seq, this.#droppedFrom ?? seq);
      }
    }
  }

  /** @param {number} now */
  #drain(now) {
    /** @type {Message[]} */
    const delivered = [];
    if (this.#next === null) return delivered;
    let arrival = this.#pending.get(this.#next);
    for (; arrival !== undefined; arrival = this.#pending.get(this.#next)) {
      this.#pending.delete(this.#next);
      if (isMessage(arrival.entry)) delivered.push(arrival.entry);
      this.#next += 1;
    }
    if (this.#next <= this.#lastSeq && this.#hole !== this.#next) {
      this.#hole = this.#next;
      this.#holeAt = now;
      this.#asked = 0;
      this.#waitMs = this.#limits.gapWaitMs;
      this.#askAt = now + this.#waitMs;
    } else if (this.#next > this.#lastSeq && this.#hole !== null) {
      this.#hole = this.#askAt = this.#cursor = null;
    }
    return delivered;
  }

  // The first gap is missed since the first arrival beyond it.
  #missedAt() {
    for (const { arrivedAt } of this.#pending.values()) return arrivedAt;
    return this.#holeAt;
  }

  /**
   * @param {HistoryRequest} request
   * @param {number} shownTo
   * @param {number} newestAt
   */
  #isFinal(request, shownTo, newestAt) {
    if (this.#hole === null || this.#hole <= request.since || this.#hole > shownTo) return false;
    if (request.at >= this.#missedAt() + this.#limits.holeTimeoutMs) return true;
    const written = [...this.#pending.values()].map(({ entry }) => entry).filter(isMessage);
    if (written.length === 0) return false;
    const successor = written.reduce((one, other) => (other.seq < one.seq ? other : one));
    return newestAt - createdMs(successor) >= this.#limits.holeTimeoutMs;
  }

  /**
   * @param {number} shownTo
   * @param {number} now
   */
  #skip(shownTo, now) {
    // Skip no further than the last reply covers.
    this.#next = Math.min(shownTo + 1, ...this.#pending.keys());
    return this.#drain(now);
  }
}

/** @param {Message} message */
function createdMs(message) {
  return Date.parse(message.createdAt);
}
