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
 * Wait, or until the signal is aborted.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", end);
  });
}

/**
 * Await `ask()`, and repeat it after each RateLimited while all waits together are below `limits.callTimeoutMs`.
 * Rejects with the last error. The signal ends a wait.
 * @template Result
 * @param {() => Promise<Result>} ask
 * @param {Limits} limits
 * @param {() => number} random
 * @param {AbortSignal} signal
 */
export async function retried(ask, limits, random, signal) {
  let waitedMs = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== "RateLimited") throw error;
      const delayMs = waitMs(error, attempt, limits, random);
      waitedMs += delayMs;
      if (waitedMs >= limits.callTimeoutMs) throw error;
      await pause(delayMs, signal);
    }
  }
}
