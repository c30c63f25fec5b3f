// What the client never goes beyond.

/** Every bound that ChatClient and what it is made of keep. */
export const LIMITS = Object.freeze({
  // The handshake and each request; no answer in this time means that the connection is dead.
  replyTimeoutMs: 15_000,
  // API Gateway closes after ten idle minutes.
  pingIntervalMs: 240_000,
  // Full jitter: each delay is uniform between 0 and a ceiling that doubles from base to max.
  reconnectBaseMs: 500,
  reconnectMaxMs: 30_000,
  // The stream is polled four times a second and shard, so messages change places within about a second.
  // Each client waits between one and two times this long, so that a crowd does not ask all at once.
  gapWaitMs: 1_000,
  // sendMessage's ten seconds, and two for the index: what is missing by then was never written.
  holeTimeoutMs: 12_000,
  // Messages that a newcomer sees, that one history frame brings, and that wait behind a gap.
  backlog: 50,
  historyPage: 100,
  pendingMessages: 2_000,
  // Own messages waiting for their ack, and how often one is sent before it counts as failed.
  unsent: 100,
  sendAttempts: 4,
  // The longest that a RateLimited may have one wait before it is sent again.
  retryAfterMaxMs: 10_000,
  // A token is renewed between one and two times this long before it ends.
  renewMarginMs: 60_000,
  // After a renewal that failed, or found no fresher token; up to twice as long.
  renewRetryMs: 5_000,
  // Handshakes with a token that may fail before the first one that works. A browser does not tell why one
  // failed; so often, it is the token.
  handshakeAttempts: 3,
});
