// Own messages on their way: one at a time, in their order, each until it is acknowledged or has failed.

import { ConnectionLost } from "./connection.js";

/** As many own messages as `limits.unsent` wait already. */
export class QueueFull extends Error {}

/** A queue of own messages. */
export class Outbox {
  #limits;
  #transport;
  #tell;
  // Oldest first. One is sent at a time, so that they keep their order.
  #unsent = [];
  #failed = new Map();
  #isSending = false;

  /**
   * `transport.isReady()`, `transport.send({ message, messageId })` and `transport.rejoin()` reach the
   * service; `tell({ messageId, message, status, reason })` is told pending, sent and failed.
   */
  constructor({ limits, transport, tell }) {
    this.#limits = limits;
    this.#transport = transport;
    this.#tell = tell;
  }

  /** Queue a message and return its id. Throws QueueFull. */
  add(message) {
    const entry = { messageId: crypto.randomUUID(), message, attempts: 0 };
    this.#enqueue(entry);
    return entry.messageId;
  }

  /** Queue a failed message again, under the same id: should it have arrived after all, it is not doubled. */
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

  /** Messages with these ids (a Set) came back: they have arrived, whether their acks came or not. */
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

  #enqueue(entry) {
    if (this.#unsent.length >= this.#limits.unsent) {
      throw new QueueFull(`${this.#limits.unsent} messages are waiting to be sent. Wait for them first.`);
    }
    this.#unsent.push(entry);
    this.#tell({ messageId: entry.messageId, message: entry.message, status: "pending" });
    this.pump();
  }

  async #transmit(entry) {
    const { messageId, message } = entry;
    entry.attempts += 1;
    const isLast = entry.attempts >= this.#limits.sendAttempts;
    try {
      await this.#transport.send({ message, messageId });
      this.#settle(entry, "sent");
    } catch (error) {
      if (error instanceof ConnectionLost) {
        if (isLast) this.#settle(entry, "failed", "no answer from the server");
      } else if (error.code === "NotInGroup" && !isLast) {
        await this.#transport.rejoin();
      } else if (error.retryAfterMs > 0 && !isLast) {
        await pause(Math.min(error.retryAfterMs, this.#limits.retryAfterMaxMs));
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
    this.#tell({ messageId: entry.messageId, message: entry.message, status, reason });
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
