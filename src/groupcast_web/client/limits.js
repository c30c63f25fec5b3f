// What the client never goes beyond.

/** @typedef {{ readonly [name in keyof typeof LIMITS]: number }} Limits */

/** Every bound that ChatClient and what it is made of keep. */
export const LIMITS = Object.freeze({
  // The handshake and each request; no answer in this time means that the connection is dead.
  replyTimeoutMs: 15_000,
  // API Gateway closes after ten idle minutes, and a browser runs a hidden page's timers up to a minute late.
  // Connections ping at times of their own, so that a million quiet ones send 1,961 pings a second, always.
  pingIntervalMs: 510_000,
  // After a push within this share of the interval a ping would find nothing, and is left out.
  recentPush: 0.04,
  // Full jitter: each delay is uniform between 0 and a ceiling that doubles from base to max.
  reconnectBaseMs: 500,
  reconnectMaxMs: 30_000,
  // The stream is polled four times a second and shard, so messages change places within about a second.
  // Each client waits between one and two times this long, so that a crowd does not ask all at once.
  gapWaitMs: 1_000,
  // sendMessage's ten seconds, and two for the index: what is missing by then was never written. A void that
  // the service sends ends the wait earlier. Each client waits up to a quarter longer, to spread a crowd.
  holeTimeoutMs: 12_000,
  // How often history is asked about one gap before that time.
  gapRequests: 2,
  // Messages that a newcomer sees, that one history frame brings, and that wait behind a gap.
  backlog: 50,
  historyPage: 100,
  pendingMessages: 2_000,
  // Own messages waiting for their ack.
  unsent: 100,
  // The time for one request, and for one own message, with every attempt it takes. A message's time runs
  // only while the group is joined: what is written without a connection waits for one.
  callTimeoutMs: 60_000,
  // API Gateway closes with 1009 after a WebSocket frame over 32 KB. It accepts larger messages in several
  // frames, but a browser cannot split a message into frames.
  frameBytes: 32 * 1024,
  // Pages of history that one look for earlier messages may read, where all they hold is void.
  historyPages: 10,
  // A token is renewed between one and two times this long before it ends.
  renewMarginMs: 60_000,
  // After a renewal that failed, or found no fresher token; up to twice as long.
  renewRetryMs: 5_000,
  // Handshakes with a token that may fail before the first one that works. A browser does not tell why one
  // failed; so often, it is the token.
  handshakeAttempts: 3,
});
