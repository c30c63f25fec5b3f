// Delays and retries after temporary failures.

/** @import { Limits } from "./limits.js" */

import { ServerError } from "./outstanding.js";

/**
 * A wait with full jitter: uniform between 0 and a ceiling that doubles with each attempt (0, 1, 2 …).
 * @param {number} attempt
 * @param {Limits} limits
 * @param {() => number} random
 */
export function backoffMs(attempt, { reconnectBaseMs, reconnectMaxMs }, random) {
  return random() * Math.min(reconnectMaxMs, reconnectBaseMs * 2 ** attempt);
}

/**
 * The wait that the error asks for, or the backoff if it asks for none.
 * @param {ServerError} error
 * @param {number} attempt
 * @param {Limits} limits
 * @param {() => number} random
 */
export function waitMs(error, attempt, limits, random) {
  return error.retryAfterMs > 0 ? error.retryAfterMs : backoffMs(attempt, limits, random);
}

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Await `ask()`, and repeat it after each RateLimited while all waits together are below `limits.callTimeoutMs`.
 * Rejects with the last error.
 * @template Result
 * @param {() => Promise<Result>} ask
 * @param {Limits} limits
 * @param {() => number} random
 */
export async function retried(ask, limits, random) {
  let waitedMs = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== "RateLimited") throw error;
      const delayMs = waitMs(error, attempt, limits, random);
      waitedMs += delayMs;
      if (waitedMs >= limits.callTimeoutMs) throw error;
      await pause(delayMs);
    }
  }
}
