// A ChatClient's options and listeners.

/** @import { SocketClass } from "./connection.js" */
/** @import { Message } from "./frames.js" */
/** @import { Limits } from "./limits.js" */
/** @import { Own } from "./outbox.js" */
/** @import { ServerError } from "./outstanding.js" */
/** @import { Grant } from "./renewal.js" */

/**
 * connecting, connected (and joined; `lastSeq` is the group's last number, null for a client without a group of its
 * own, and `userId` is null for a guest), reconnecting (the next attempt is at `retryAt`, on the clock of `now`) or
 * offline (closed or left for good).
 * @typedef {{ phase: "connecting" } | { phase: "connected", lastSeq: number | null, userId: string | null }
 *   | { phase: "reconnecting", retryAt: number } | { phase: "offline" }} State
 */

/**
 * The listeners of a group, all optional:
 *
 * - `state(state)`: the state of the connection, or of the group on it, has changed.
 * - `messages(list)`: messages of the log, each once, in order of `seq`.
 * - `own(own)`: an own message is pending, sent (acknowledged or received, with its `seq`) or failed (with a `reason`).
 * - `restarted()`: the group's log was restarted; messages shown before belong to the old log.
 * - `refused(error)`: joining or reading the group was refused, or the handshake, if the WebSocket reports its status;
 *   the group has ended. The client is closed if it was the client's own group and the only one, or the handshake.
 * @typedef {{ [E in keyof GroupEvents]?: (...values: GroupEvents[E]) => void }} GroupListeners
 */

/**
 * The listeners of a client, all optional: those of its own group, and
 *
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
 * }} GroupEvents
 */

/** @typedef {GroupEvents & { signedOut: [error: Error], error: [error: ServerError] }} Events */

/**
 * `group` is the client's own group; without it, the client has only those of `group()`. `name` is used in stages
 * without sign-in; in others, `grant` provides tokens. `WebSocket` may be another class, such as that of the package
 * ws, which reports the status of a refused handshake. `now` and `random` are for tests.
 * @typedef {{
 *   url: string,
 *   group?: string,
 *   name?: string,
 *   grant?: Grant | null,
 *   on?: Listeners,
 *   limits?: Limits,
 *   now?: () => number,
 *   random?: () => number,
 *   WebSocket?: SocketClass,
 * }} Options
 */

/**
 * Call a listener. Reports its error as uncaught, without stopping the client.
 * @template {keyof Events} E
 * @param {Listeners} on
 * @param {E} event
 * @param {Events[E]} values
 */
export function emit(on, event, ...values) {
  try {
    on[event]?.(...values);
  } catch (error) {
    setTimeout(() => {
      throw error;
    }, 0);
  }
}
