// The contents of the message list, as values. Pure: no DOM, no clock.

/** @import { Message } from "../client/frames.js" */
/** @import { Own } from "../client/outbox.js" */

/**
 * A line of the list. `key` is unique in the list, `at` is ISO 8601.
 * @typedef {{ key: string | number, kind: "day", at: string, label: string }} DayRow
 */

/**
 * A line's message. For own messages `key` is the messageId; for those of others `status` is null.
 * @typedef {{ key: string | number, mine: boolean, sender: string, text: string, at: string,
 *   status: Own["status"] | null, reason: string | null }} Said
 */

/**
 * `isFirst` and `isLast` mark the ends of a run of messages by one sender.
 * @typedef {Said & { kind: "message", isFirst: boolean, isLast: boolean }} MessageRow
 */

/** @typedef {DayRow | MessageRow} Row */

/** The most messages on the page; the oldest are dropped. */
export const SHOWN_LIMIT = 2_000;
// Messages of one sender within this time are grouped under one name.
const TOGETHER_MS = 5 * 60 * 1_000;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** The messages of one group: those of the log, by `seq`, and below them own unsent ones. */
export class Conversation {
  // Our name according to the service, which cleans names: learned from the first own message.
  #self;
  /** By seq, ascending. @type {Message[]} */
  #log = [];
  // Whether there are messages before the first one held.
  #hasEarlier = false;
  /** By messageId, in the order of sending. @type {Map<string, Said>} */
  #own = new Map();
  /** The numbers of messages sent from here, by messageId; null until it is known. @type {Map<string, number | null>} */
  #ownSeqs = new Map();

  /** The id of this user, null for a guest. @type {string | null} */
  userId = null;

  /** @param {string} self */
  constructor(self) {
    this.#self = self;
  }

  /** The number of the first message held, or null. */
  get firstSeq() {
    return this.#log.length === 0 ? null : this.#log[0].seq;
  }

  /** Whether there are messages before the first one, and room for them. */
  get hasEarlier() {
    return this.#hasEarlier && this.#log.length < SHOWN_LIMIT;
  }

  get isEmpty() {
    return this.#log.length === 0 && this.#own.size === 0;
  }

  /** @param {Message} message */
  isMine(message) {
    if (message.userId !== undefined) return message.userId === this.userId;
    return this.#isSent(message) || message.sender === this.#self;
  }

  /**
   * Add messages at the end.
   * @param {Message[]} messages
   */
  append(messages) {
    if (this.#log.length === 0 && messages.length > 0) this.#hasEarlier = messages[0].seq > 1;
    for (const message of messages) {
      if (this.#isSent(message)) {
        this.#self = message.sender;
        this.#ownSeqs.set(message.messageId, message.seq);
        this.#own.delete(message.messageId);
      }
      this.#log.push(message);
    }
    if (this.#log.length > SHOWN_LIMIT) this.#log.splice(0, this.#log.length - SHOWN_LIMIT);
  }

  /**
   * Add messages before the first one, unless the log was restarted since they were requested. `complete`: there are
   * no earlier ones.
   * @param {number} firstSeq
   * @param {{ messages: Message[], complete: boolean }} page
   */
  prepend(firstSeq, { messages, complete }) {
    if (this.firstSeq !== firstSeq) return;
    this.#log.unshift(...messages.filter((message) => message.seq < firstSeq));
    this.#hasEarlier = !complete && messages.length > 0;
  }

  /**
   * Add an own unsent message, or update its status. `now` is in milliseconds since 1970.
   * @param {Own} own
   * @param {number} now
   */
  setOwn({ messageId, message, status, seq, reason }, now) {
    const at = this.#own.get(messageId)?.at ?? new Date(now).toISOString();
    this.#ownSeqs.set(messageId, seq ?? this.#ownSeqs.get(messageId) ?? null);
    if (seq !== undefined && this.#log.some((shown) => shown.seq === seq)) {
      this.#own.delete(messageId);
      return;
    }
    // A retried message moves below those sent since.
    if (status === "pending") this.#own.delete(messageId);
    const row = { key: messageId, mine: true, sender: this.#self, text: message, at, status };
    this.#own.set(messageId, { ...row, reason: reason ?? null });
  }

  /** @param {string} messageId */
  removeOwn(messageId) {
    this.#own.delete(messageId);
  }

  /** Drop the log's messages; own unsent ones stay. */
  clear() {
    this.#log = [];
    this.#hasEarlier = false;
  }

  /**
   * The rows of the list as of `now`, oldest first.
   * @param {Date} now
   */
  rows(now) {
    /** @type {Row[]} */
    const rows = [];
    /** @type {MessageRow | null} */
    let last = null;
    for (const one of this.#all()) {
      /** @type {MessageRow} */
      const row = { ...one, kind: "message", isFirst: true, isLast: true };
      if (last === null || dayOf(last) !== dayOf(one)) {
        rows.push(dayRow(one, now));
      } else if (belongTogether(last, one)) {
        row.isFirst = false;
        last.isLast = false;
      }
      rows.push(row);
      last = row;
    }
    return rows;
  }

  /**
   * Compares user and id, since another user may have used the same id.
   * @param {Message} message
   */
  #isSent({ messageId, seq, userId }) {
    const ownSeq = this.#ownSeqs.get(messageId);
    if (ownSeq === null) return (userId ?? null) === this.userId;
    return ownSeq === seq;
  }

  /** @returns {Said[]} */
  #all() {
    /** @type {Said[]} */
    const log = this.#log.map((message) => {
      const mine = this.isMine(message);
      return {
        key: this.#isSent(message) ? message.messageId : message.seq,
        mine,
        sender: message.sender,
        text: message.message,
        at: message.createdAt,
        status: mine ? "sent" : null,
        reason: null,
      };
    });
    return [...log, ...this.#own.values()];
  }
}

/**
 * @param {Said} first
 * @param {Date} now
 * @returns {DayRow}
 */
function dayRow(first, now) {
  const label = dayLabel(new Date(first.at), now);
  return { key: `day of ${first.key}`, kind: "day", at: first.at, label };
}

/** @param {Said} row */
function dayOf(row) {
  return new Date(row.at).toDateString();
}

/**
 * @param {Said} one
 * @param {Said} next
 */
function belongTogether(one, next) {
  const apartMs = Date.parse(next.at) - Date.parse(one.at);
  return one.sender === next.sender && one.mine === next.mine && apartMs <= TOGETHER_MS;
}

/**
 * "Today", "Yesterday" or the date of a day, relative to `now`.
 * @param {Date} day
 * @param {Date} now
 * @param {string} [locale]
 */
export function dayLabel(day, now, locale) {
  const days = Math.round((midnight(now) - midnight(day)) / DAY_MS);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = day.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return day.toLocaleDateString(locale, { weekday: "long", month: "long", day: "numeric", year });
}

/**
 * A hue for a name, 0 to 359, the same on every page.
 * @param {string} name
 */
export function hueOf(name) {
  // FNV-1a, mapped to hues that are easy to distinguish.
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ Number(character.codePointAt(0)), 0x01000193);
  return ((hash >>> 0) % 15) * 24;
}

/** @param {Date} date */
function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
