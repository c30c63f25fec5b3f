// The types of a ChatClient's options.

/** @import { SocketClass } from "./connection.js" */
/** @import { Message } from "./frames.js" */
/** @import { Limits } from "./limits.js" */
/** @import { Own } from "./outbox.js" */
/** @import { ServerError } from "./outstanding.js" */
/** @import { Grant } from "./renewal.js" */

/**
 * connecting, connected (and joined; `lastSeq` is the group's last number, and `userId` is null for a guest),
 * reconnecting (the next attempt is at `retryAt`, on the clock of `now`) or offline (closed for good).
 * @typedef {{ phase: "connecting" } | { phase: "connected", lastSeq: number, userId: string | null }
 *   | { phase: "reconnecting", retryAt: number } | { phase: "offline" }} State
 */

/**
 * The listeners, all optional:
 *
 * - `state(state)`: the connection's state has changed.
 * - `messages(list)`: messages of the log, each once, in order of `seq`.
 * - `own(own)`: an own message is pending, sent (acknowledged or received, with its `seq`) or failed (with a `reason`).
 * - `restarted()`: the group's log was restarted; messages shown before belong to the old log.
 * - `refused(error)`: joining was refused, or the handshake, if the WebSocket reports its status; the client
 *   is closed.
 * - `signedOut(error)`: there is no token, or the service refuses it; the client is closed.
 * - `error(error)`: an error without a request.
 * @typedef {{ [E in keyof Events]?: (...values: Events[E]) => void }} Listeners
 */

/**
 * @typedef {{
 *   state: [state: State],
 *   messages: [messages: Message[]],
 *   own: [own: Own],
 *   restarted: [],
 *   refused: [error: ServerError],
 *   signedOut: [error: Error],
 *   error: [error: ServerError],
 * }} Events
 */

/**
 * `name` is used in stages without sign-in; in others, `grant` provides tokens. `WebSocket` may be another class, such
 * as that of the package ws, which reports the status of a refused handshake. `now` and `random` are for tests.
 * @typedef {{
 *   url: string,
 *   group: string,
 *   name?: string,
 *   grant?: Grant | null,
 *   on?: Listeners,
 *   limits?: Limits,
 *   now?: () => number,
 *   random?: () => number,
 *   WebSocket?: SocketClass,
 * }} Options
 */

export {};
