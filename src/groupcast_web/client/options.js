// The types of a ChatClient's options.

/** @import { SocketClass } from "./connection.js" */
/** @import { Message } from "./frames.js" */
/** @import { Limits } from "./limits.js" */
/** @import { Own } from "./outbox.js" */
/** @import { ServerError } from "./outstanding.js" */
/** @import { Grant } from "./renewal.js" */

/**
 * connecting, connected (and joined; the group's last number is `lastSeq`, and `userId` is null for a guest),
 * reconnecting (next try at `retryAt`, on the clock of `now`) or offline (closed, for good).
 * @typedef {{ phase: "connecting" } | { phase: "connected", lastSeq: number, userId: string | null }
 *   | { phase: "reconnecting", retryAt: number } | { phase: "offline" }} State
 */

/**
 * The functions that are told what happens, all optional:
 *
 * - `state(state)`: the connection has changed.
 * - `messages(list)`: messages of the log, each once, by `seq`.
 * - `own(own)`: an own message is pending, sent (acknowledged or come back, with its `seq`) or failed (for a `reason`).
 * - `anew()`: the group's log began anew; what was shown of it is history.
 * - `refused(error)`: joining was refused, or the handshake, where the WebSocket tells its status; the
 *   client is closed.
 * - `signedOut(error)`: there is no token, or it is not taken; the client is closed.
 * - `trouble(error)`: an error that belongs to no request.
 * @typedef {{ [E in keyof Events]?: (...values: Events[E]) => void }} Listeners
 */

/**
 * @typedef {{
 *   state: [state: State],
 *   messages: [messages: Message[]],
 *   own: [own: Own],
 *   anew: [],
 *   refused: [error: ServerError],
 *   signedOut: [error: Error],
 *   trouble: [error: ServerError],
 * }} Events
 */

/**
 * `name` counts where nobody signs in. Where one does, `grant` gives tokens. `WebSocket` may be another class, such as
 * that of the package ws, which tells the status of a refused handshake. `now` and `random` are for tests.
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
