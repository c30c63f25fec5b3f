// What makes order out of pushes and replies that come late, twice or not at all. Pure: no clock, no I/O.
// The same rules as groupcast_client/ordering.py; times are in milliseconds.

/** @import { Entry, Message } from "./frames.js" */

import { isMessage } from "./frames.js";

/**
 * @typedef {{ backlog: number, gapWaitMs: number, gapRequests: number, holeTimeoutMs: number,
 *   pendingMessages: number }} LogLimits
 */

/**
 * What was known when history was asked.
 * @typedef {{ since: number, at: number, lastSeq: number, newestAt: number }} HistoryRequest
 */

/**
 * One group's log as one member gets it: fed in any order, it gives each message once, by `seq`.
 *
 * What is fed returns what may be delivered. Whenever `wakeAt` has come, the owner calls `ask`; a number it
 * returns is the `since` to send `history` with, and the answer goes to `replied`, or to `failed`.
 *
 * A gap waits `gapWaitMs` for its message, then history is asked, at most `gapRequests` times with doubling
 * waits, and once more `holeTimeoutMs` after the number was first missed. A number that even this answer lacks
 * is a hole: its sender died before writing. It is skipped. So is, without the wait, a number whose successor
 * was written that much earlier than the newest message, and a number that the service calls void: it sends
 * { seq, void: true } in the message's place.
 */
export class GroupLog {
  #limits;
  /** @type {number | null} */
  #next = null;
  #lastSeq = 0;
  #newestAt = -Infinity;
  /**
   * What lies beyond a gap, by seq. A Map keeps the order of arrival.
   * @type {Map<number, { entry: Entry, arrivedAt: number }>}
   */
  #pending = new Map();
  /** The lowest number that found `#pending` full since the last request. @type {number | null} */
  #droppedFrom = null;
  // The gap in front: its first number, since when it is in front, how often history was asked about it, and
  // how long to wait for it.
  /** @type {number | null} */
  #hole = null;
  #holeAt = 0;
  #asked = 0;
  #waitMs;
  // When to ask: about a gap, and once more after joining.
  /** @type {number | null} */
  #askAt = null;
  /** @type {number | null} */
  #settleAt = null;
  /** Where an incomplete reply goes on. @type {number | null} */
  #cursor = null;
  /** @type {HistoryRequest | null} */
  #request = null;

  /** @param {LogLimits} limits */
  constructor(limits) {
    this.#limits = limits;
    this.#waitMs = limits.gapWaitMs;
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

  /** The number to join with: all up to it was delivered. Null before the first join. */
  get since() {
    return this.#next === null ? null : this.#next - 1;
  }

  /** When `ask` has something to say, if nothing is fed before; null: not at all. */
  get wakeAt() {
    if (this.#next === null || this.#request !== null) return null;
    const times = [this.#askAt, this.#settleAt].filter((at) => at !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /**
   * Whether `joined` with this last number would start over: the log is shorter than what was read of it.
   * @param {number} lastSeq
   */
  isAnew(lastSeq) {
    return this.#next !== null && lastSeq < this.#next - 1;
  }

  /**
   * Feed the reply to joinGroup, which was sent with `since` unless that is null.
   * @param {number} lastSeq
   * @param {Entry[]} entries
   * @param {boolean} complete
   * @param {number} now
   */
  joined(lastSeq, entries, complete, now) {
    /** @type {Message[]} */
    let delivered;
    if (this.#next !== null && !this.isAnew(lastSeq)) {
      this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
      this.#startRequest(this.#next - 1, now);
      delivered = this.replied(entries, complete, now);
    } else {
      delivered = this.#begin(lastSeq, entries, now);
    }
    // The index that fan-out reads is eventually consistent: a message sent just after joining can miss
    // the new member, and if it was the last one, no gap ever shows. Looking once more finds it.
    this.#settleAt = now + this.#limits.gapWaitMs;
    return delivered;
  }

  /**
   * Feed a push; what comes before the reply to joinGroup is kept for it.
   * @param {Entry[]} entries
   * @param {number} now
   */
  pushed(entries, now) {
    this.#take(entries, now);
    return this.#drain(now);
  }

  /**
   * Feed the group's last number, as a pong tells it: what is missing up to it is a gap.
   * @param {number} lastSeq
   * @param {number} now
   */
  heard(lastSeq, now) {
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
    this.#drain(now);
  }

  /**
   * The `since` to send history with, if it is time to, else null; `replied` or `failed` must follow.
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
   * Feed the reply to what `ask` wanted.
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
    // An incomplete page without entries would be asked for again without end.
    const isPartial = !complete && last > request.since;
    let shownTo = isPartial ? last : request.lastSeq;
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
   * Say that what `ask` wanted was answered with an error: it is asked again, not before that time.
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
    // The request that may call it a hole is not put off, and the only one after the others.
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

  // The number in front is missed since the first arrival of one beyond it.
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
    // Only to the end of what history has shown.
    this.#next = Math.min(shownTo + 1, ...this.#pending.keys());
    return this.#drain(now);
  }
}

/** @param {Message} message */
function createdMs(message) {
  return Date.parse(message.createdAt);
}
