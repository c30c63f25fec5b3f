// Own messages on their way: one at a time, in their order, each until it is acknowledged or has failed.

import { ConnectionLost } from "./outstanding.js";
import { backoffMs, pause, waitMs } from "./retrying.js";

// Error codes after which a message is sent again.
const PASSING = new Set(["InternalError", "RateLimited"]);

/** As many own messages as `limits.unsent` wait already. */
export class QueueFull extends Error {}

/** A queue of own messages. */
export class Outbox {
  #limits;
  #transport;
  #tell;
  #now;
  #random;
  // Oldest first. One is sent at a time, so that they keep their order.
  #unsent = [];
  // messageId → { messageId, message, error }
  #failed = new Map();
  #isSending = false;

  /**
   * `transport.isReady()`, `transport.send({ message, messageId })` and `transport.rejoin()` reach the
   * service, `transport.check({ message, messageId })` throws TooLarge; `tell({ messageId, message, status,
   * seq, reason })` is told pending, sent (with the ack's `seq`) and failed (with a `reason`).
   */
  constructor({ limits, transport, tell, now, random }) {
    this.#limits = limits;
    this.#transport = transport;
    this.#tell = tell;
    this.#now = now;
    this.#random = random;
  }

  /** Queue a message and return its id. Throws QueueFull, TooLarge. */
  add(message) {
    const entry = { messageId: crypto.randomUUID(), message };
    this.#transport.check(entry);
    this.#enqueue(entry);
    return entry.messageId;
  }

  /**
   * Queue a failed message again, under the same id: should it have arrived after all, it is not doubled.
   * Throws QueueFull, and TooLarge where it failed with that.
   */
  retry(messageId) {
    const entry = this.#failed.get(messageId);
    if (entry === undefined) return;
    if (entry.error.code === "TooLarge") throw entry.error;
    this.#enqueue(entry);
    this.#failed.delete(messageId);
  }

  /** Forget a failed message. */
  discard(messageId) {
    this.#failed.delete(messageId);
  }

  /** Own messages with these ids (a Set) came back: they have arrived, whether their acks came or not. */
  arrived(ids) {
    this.#unsent = this.#unsent.filter((entry) => !ids.has(entry.messageId));
    for (const id of ids) this.#failed.delete(id);
  }

  /** Send what waits, as long as the transport is ready. */
  async pump() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#transport.isReady() && this.#unsent.length > 0) await this.#transmit(this.#unsent[0]);
    this.#isSending = false;
  }

  #enqueue({ messageId, message }) {
    if (this.#unsent.length >= this.#limits.unsent) {
      throw new QueueFull(`${this.#limits.unsent} messages are waiting to be sent. Wait for them first.`);
    }
    const leftMs = this.#limits.callTimeoutMs;
    this.#unsent.push({ messageId, message, leftMs, attempt: 0, wasLost: false, hasRejoined: false });
    this.#tell({ messageId, message, status: "pending" });
    this.pump();
  }

  async #transmit(entry) {
    const { messageId, message } = entry;
    const startedAt = this.#now();
    try {
      const { seq } = await this.#transport.send({ message, messageId });
      this.#settle(entry, { status: "sent", seq });
    } catch (error) {
      entry.leftMs -= this.#now() - startedAt;
      if (error.code === "NotInGroup" && !entry.hasRejoined) {
        entry.hasRejoined = true;
        await this.#transport.rejoin();
      } else {
        await this.#waitOrFail(entry, error);
      }
    }
  }

  async #waitOrFail(entry, error) {
    const delayMs = this.#delayMs(entry, error);
    entry.leftMs -= delayMs;
    if (entry.leftMs > 0) {
      await pause(delayMs);
    } else {
      const reason = error instanceof ConnectionLost ? "no answer from the server" : error.message;
      this.#failed.set(entry.messageId, { ...entry, error });
      this.#settle(entry, { status: "failed", reason });
    }
  }

  // Infinity: it is not sent again.
  #delayMs(entry, error) {
    if (error instanceof ConnectionLost) {
      // Once at once, then with backoff: it may be this message that ends each connection.
      if (entry.wasLost) return backoffMs(entry.attempt++, this.#limits, this.#random);
      entry.wasLost = true;
      return 0;
    }
    return PASSING.has(error.code) ? waitMs(error, entry.attempt++, this.#limits, this.#random) : Infinity;
  }

  #settle(entry, outcome) {
    const index = this.#unsent.indexOf(entry);
    if (index === -1) return;
    this.#unsent.splice(index, 1);
    this.#tell({ messageId: entry.messageId, message: entry.message, ...outcome });
  }
}
