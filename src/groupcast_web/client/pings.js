// Schedules a connection's pings. Uses no DOM.

/** @import { Limits } from "./limits.js" */

/**
 * Calls `ping` every `limits.pingIntervalMs`, starting at a random time in the first interval. These times are
 * fixed: members of a group reconnect together and get the same pushes, but must not ping together.
 */
export class Pings {
  #ping;
  #limits;
  #now;
  #random;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #dueAt = 0;
  #pushedAt = -Infinity;

  /** @param {{ ping: () => void, limits: Limits, now: () => number, random: () => number }} options */
  constructor({ ping, limits, now, random }) {
    this.#ping = ping;
    this.#limits = limits;
    this.#now = now;
    this.#random = random;
  }

  /** Start for a new connection. */
  start() {
    this.#pushedAt = -Infinity;
    this.#dueAt = this.#now() + this.#random() * this.#limits.pingIntervalMs;
    this.#wait();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** Note a push: a ping soon after it is unnecessary and skipped. */
  pushed() {
    this.#pushedAt = this.#now();
  }

  /**
   * Ping once more after `delayMs`, unless the next ping comes first.
   * @param {number} delayMs
   */
  again(delayMs) {
    if (this.#now() + delayMs >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#wait();
      this.#ping();
    }, delayMs);
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#due(), Math.max(0, this.#dueAt - this.#now()));
  }

  #due() {
    const { pingIntervalMs, recentPush } = this.#limits;
    const now = this.#now();
    this.#dueAt = now + pingIntervalMs;
    this.#wait();
    if (now - this.#pushedAt >= pingIntervalMs * recentPush) this.#ping();
  }
}
