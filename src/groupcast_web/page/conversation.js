// What the list of messages shows, as values. Pure: no DOM, no clock.

/** Messages kept on the page; the oldest go first. */
export const SHOWN_LIMIT = 2_000;
// Messages of one sender within this time stand together under one name.
const TOGETHER_MS = 5 * 60 * 1_000;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** The messages of one group on one page: the log's, by `seq`, and own ones on their way below them. */
export class Conversation {
  // What the service calls us: learned from the first own message, for it tidies names.
  #self;
  // By seq, ascending.
  #log = [];
  // messageId → row, in the order of sending.
  #own = new Map();
  // messageId → seq of messages sent from here; null until it is known.
  #ownSeqs = new Map();

  /** The id of the user who looks on; null for a guest. */
  userId = null;

  constructor(self) {
    this.#self = self;
  }

  /** The number of the first message held, or null. */
  get firstSeq() {
    return this.#log.length === 0 ? null : this.#log[0].seq;
  }

  get isFull() {
    return this.#log.length >= SHOWN_LIMIT;
  }

  get isEmpty() {
    return this.#log.length === 0 && this.#own.size === 0;
  }

  isMine(message) {
    if (message.userId !== undefined) return message.userId === this.userId;
    return this.#isSent(message) || message.sender === this.#self;
  }

  /** Add messages that came after all others. */
  append(messages) {
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

  /** Add messages from before all others. */
  prepend(messages) {
    const before = this.firstSeq ?? Infinity;
    this.#log.unshift(...messages.filter((message) => message.seq < before));
  }

  /** Add an own message on its way, or what became of it. `now` is in milliseconds since 1970. */
  setOwn({ messageId, message, status, seq, reason }, now) {
    const at = this.#own.get(messageId)?.at ?? new Date(now).toISOString();
    this.#ownSeqs.set(messageId, seq ?? this.#ownSeqs.get(messageId) ?? null);
    if (seq !== undefined && this.#log.some((shown) => shown.seq === seq)) {
      this.#own.delete(messageId);
      return;
    }
    // What is sent again goes below what was sent since.
    if (status === "pending") this.#own.delete(messageId);
    const row = { key: messageId, mine: true, sender: this.#self, text: message, at, status };
    this.#own.set(messageId, { ...row, reason: reason ?? null });
  }

  removeOwn(messageId) {
    this.#own.delete(messageId);
  }

  /** Forget the log; own messages on their way stay. */
  clear() {
    this.#log = [];
  }

  /**
   * The rows of the list as of `now` (a Date), oldest first: { key, kind: "day", at, label } and
   * { key, kind: "message", mine, sender, isFirst, isLast, text, at, status, reason }.
   * `at` is ISO 8601; `isFirst` and `isLast` are the ends of a run of one sender.
   */
  rows(now) {
    const rows = [];
    let last = null;
    for (const one of this.#all()) {
      const isNewDay = last === null || dayOf(last) !== dayOf(one);
      const row = { ...one, kind: "message", isFirst: isNewDay || !belongTogether(last, one), isLast: true };
      if (isNewDay) rows.push(dayRow(one, now));
      else if (!row.isFirst) last.isLast = false;
      rows.push(row);
      last = row;
    }
    return rows;
  }

  // An id alone says nothing: another user may use the same one.
  #isSent({ messageId, seq, userId }) {
    const ownSeq = this.#ownSeqs.get(messageId);
    if (ownSeq === null) return (userId ?? null) === this.userId;
    return ownSeq === seq;
  }

  #all() {
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

function dayRow(first, now) {
  const label = dayLabel(new Date(first.at), now);
  return { key: `day of ${first.key}`, kind: "day", at: first.at, label };
}

function dayOf(row) {
  return new Date(row.at).toDateString();
}

function belongTogether(one, next) {
  const apartMs = Date.parse(next.at) - Date.parse(one.at);
  return one.sender === next.sender && one.mine === next.mine && apartMs <= TOGETHER_MS;
}

/** "Today", "Yesterday", or the date, of a day seen from `now` (both Date). */
export function dayLabel(day, now, locale) {
  const days = Math.round((midnight(now) - midnight(day)) / DAY_MS);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = day.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat(locale, { weekday: "long", month: "long", day: "numeric", year }).format(day);
}

/** A hue for a name, 0 to 359: the same on every page. */
export function hueOf(name) {
  // FNV-1a, spread over steps that are easy to tell apart.
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return ((hash >>> 0) % 15) * 24;
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}
