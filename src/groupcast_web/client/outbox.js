// Sends own messages one at a time, in order, each until it is acknowledged or has failed.

/** @import { Message } from "./frames.js" */
/** @import { Limits } from "./limits.js" */

import { asError, ConnectionLost, ServerError, TooLarge } from "./outstanding.js";
import { backoffMs, pause, waitMs } from "./retrying.js";

// Error codes after which a message is retried.
const TEMPORARY = new Set(["InternalError", "RateLimited"]);

/** @typedef {{ messageId: string, message: string }} Text */

/**
 * An own message that is being sent: its remaining time, and the outcome of its attempts.
 * @typedef {Text & { leftMs: number, attempt: number, wasLost: boolean, hasRejoined: boolean }} Unsent
 */

/**
 * The state of an own message: `seq` comes with sent, `reason` with failed.
 * @typedef {Text & { status: "pending" | "sent" | "failed", seq?: number, reason?: string }} Own
 */

/**
 * The way to the service. `check` throws TooLarge.
 * @typedef {{
 *   isReady: () => boolean,
 *   check: (text: Text) => void,
 *   send: (text: Text) => Promise<{ seq: number }>,
 *   rejoin: () => Promise<void>,
 * }} Transport
 */

/** `limits.unsent` own messages are already waiting. */
export class QueueFull extends Error {}

/** A queue of own messages. */
export class Outbox {
  #limits;
  #transport;
  #tell;
  #now;
  #random;
  #signal;
  /** Oldest first; sent one at a time, to keep their order. @type {Unsent[]} */
  #unsent = [];
  /** By messageId. @type {Map<string, Text & { error: Error }>} */
  #failed = new Map();
  #isSending = false;

  /**
   * `signal` ends waits for the next attempt.
   * @param {{ limits: Limits, transport: Transport, tell: (own: Own) => void, now: () => number,
   *   random: () => number, signal: AbortSignal }} options
   */
  constructor({ limits, transport, tell, now, random, signal }) {
    this.#limits = limits;
    this.#transport = transport;
    this.#tell = tell;
    this.#now = now;
    this.#random = random;
    this.#signal = signal;
  }

  /**
   * Queue a message and return its id. Throws QueueFull or TooLarge.
   * @param {string} message
   */
  add(message) {
    const entry = { messageId: crypto.randomUUID(), message };
    this.#transport.check(entry);
    this.#enqueue(entry);
    return entry.messageId;
  }

  /**
   * Queue a failed message again with the same id, so that it cannot be stored twice. Throws QueueFull, and
   * TooLarge if it failed with that.
   * @param {string} messageId
   */
  retry(messageId) {
    const entry = this.#failed.get(messageId);
    if (entry === undefined) return;
    if (entry.error instanceof TooLarge) throw entry.error;
    this.#enqueue(entry);
    this.#failed.delete(messageId);
  }

  /**
   * Forget a failed message.
   * @param {string} messageId
   */
  discard(messageId) {
    this.#failed.delete(messageId);
  }

  /**
   * Mark received messages of this user as sent, even without an ack.
   * @param {Message[]} messages
   */
  arrived(messages) {
    for (const { messageId, seq } of messages) {
      const entry = this.#unsent.find((one) => one.messageId === messageId);
      if (entry !== undefined) this.#settle(entry, { status: "sent", seq });
      const failed = this.#failed.get(messageId);
      if (failed === undefined) continue;
      this.#failed.delete(messageId);
      this.#tell({ messageId, message: failed.message, status: "sent", seq });
    }
  }

  /** Send waiting messages while the transport is ready. */
  async pump() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#transport.isReady() && this.#unsent.length > 0) await this.#transmit(this.#unsent[0]);
    this.#isSending = false;
  }

  /** @param {Text} text */
  #enqueue({ messageId, message }) {
    if (this.#unsent.length >= this.#limits.unsent) {
      throw new QueueFull(`${this.#limits.unsent} messages are waiting to be sent. Wait for those first.`);
    }
    const leftMs = this.#limits.callTimeoutMs;
    this.#unsent.push({ messageId, message, leftMs, attempt: 0, wasLost: false, hasRejoined: false });
    this.#tell({ messageId, message, status: "pending" });
    this.pump();
  }

  /** @param {Unsent} entry */
  async #transmit(entry) {
    const { messageId, message } = entry;
    const startedAt = this.#now();
    try {
      const { seq } = await this.#transport.send({ message, messageId });
      this.#settle(entry, { status: "sent", seq });
    } catch (error) {
      entry.leftMs -= this.#now() - startedAt;
      if (error instanceof ServerError && error.code === "NotInGroup" && !entry.hasRejoined) {
        entry.hasRejoined = true;
        await this.#transport.rejoin();
      } else {
        await this.#waitOrFail(entry, asError(error));
      }
    }
  }

  /**
   * @param {Unsent} entry
   * @param {Error} error
   */
  async #waitOrFail(entry, error) {
    const delayMs = this.#delayMs(entry, error);
    entry.leftMs -= delayMs;
    if (entry.leftMs > 0) {
      await pause(delayMs, this.#signal);
    } else if (this.#unsent.includes(entry)) {
      const reason = error instanceof ConnectionLost ? "no answer from the server" : error.message;
      this.#failed.set(entry.messageId, { ...entry, error });
      this.#settle(entry, { status: "failed", reason });
    }
  }

  /**
   * The delay before the next attempt; Infinity for none.
   * @param {Unsent} entry
   * @param {Error} error
   */
  #delayMs(entry, error) {
    if (error instanceof ConnectionLost) {
      // Repeat immediately once, then with backoff: this message may be what breaks the connections.
      if (entry.wasLost) return backoffMs(entry.attempt++, this.#limits, this.#random);
      entry.wasLost = true;
      return 0;
    }
    if (!(error instanceof ServerError) || !TEMPORARY.has(error.code)) return Infinity;
    return waitMs(error, entry.attempt++, this.#limits, this.#random);
  }

  /**
   * @param {Unsent} entry
   * @param {{ status: "sent", seq: number } | { status: "failed", reason: string }} outcome
   */
  #settle(entry, outcome) {
    const index = this.#unsent.indexOf(entry);
    if (index === -1) return;
    this.#unsent.splice(index, 1);
    this.#tell({ messageId: entry.messageId, message: entry.message, ...outcome });
  }
}
