// When to try again what failed for now.

/** A wait with full jitter: uniform between 0 and a ceiling that doubles with each attempt (0, 1, 2 …). */
export function backoffMs(attempt, { reconnectBaseMs, reconnectMaxMs }, random) {
  return random() * Math.min(reconnectMaxMs, reconnectBaseMs * 2 ** attempt);
}

/** The wait that the error asks for, or the backoff where it asks for none. */
export function waitMs(error, attempt, limits, random) {
  return error.retryAfterMs > 0 ? error.retryAfterMs : backoffMs(attempt, limits, random);
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Await `ask()`, again after each RateLimited, as long as the waits stay below `limits.callTimeoutMs`.
 * Rejects with the last error.
 */
export async function retried(ask, limits, random) {
  let waitedMs = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (error.code !== "RateLimited") throw error;
      const delayMs = waitMs(error, attempt, limits, random);
      waitedMs += delayMs;
      if (waitedMs >= limits.callTimeoutMs) throw error;
      await pause(delayMs);
    }
  }
}
