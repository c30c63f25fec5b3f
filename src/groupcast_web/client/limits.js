// The client's limits.

/** @typedef {{ readonly [name in keyof typeof LIMITS]: number }} Limits */

/** All limits of ChatClient and its parts. */
export const LIMITS = Object.freeze({
  // For the handshake and for each request; without an answer the connection counts as dead.
  replyTimeoutMs: 15_000,
  // API Gateway closes a connection after ten idle minutes, and browsers run a hidden page's timers up to a minute
  // late. Pings are spread evenly: a million quiet connections send a steady 1,961 a second.
  pingIntervalMs: 510_000,
  // A ping within this share of the interval after a push is skipped.
  recentPush: 0.04,
  // Full jitter: each delay is uniform between 0 and a ceiling that doubles from base to max.
  reconnectBaseMs: 500,
  reconnectMaxMs: 30_000,
  // Lambda polls each stream shard four times a second, so messages are reordered within about a second. Each
  // client waits between one and two times this long, so that members do not all ask at once.
  gapWaitMs: 1_000,
  // Ten seconds for sendMessage and two for the index: a message that is missing by then was never written. A void
  // from the service ends the wait. Each client waits up to a quarter longer, to spread requests.
  holeTimeoutMs: 12_000,
  // The most history requests for one gap before that time.
  gapRequests: 2,
  // The service's: a connection's groups, and the characters of a group's name.
  groups: 50,
  groupIdChars: 128,
  // Messages shown to a newcomer, per history request, and held back behind a gap.
  backlog: 50,
  historyPage: 100,
  pendingMessages: 2_000,
  // Own messages of one group waiting for their ack.
  unsent: 100,
  // The time for one request, or one own message, including retries. A message's time runs only while the group is
  // joined: messages written without a connection wait for one.
  callTimeoutMs: 60_000,
  // API Gateway closes with 1009 after a WebSocket frame over 32 KB. It accepts larger messages in several
  // frames, but a browser cannot split a message into frames.
  frameBytes: 32 * 1024,
  // The most history pages that one search for earlier messages reads if they contain only voids.
  historyPages: 10,
  // A token is renewed between one and two times this long before it expires.
  renewMarginMs: 60_000,
  // The wait after a renewal that failed or got no fresher token; up to twice this long.
  renewRetryMs: 5_000,
  // Initial handshakes with a token that may fail. Browsers hide the reason; after so many, blame the token.
  handshakeAttempts: 3,
});
