// The requests of one connection that wait for their replies. The same rules as groupcast_client/outstanding.py.

/** @import { Reply } from "./frames.js" */

/**
 * A request that waits: the size of its frame, and the timer that gives it up.
 * @typedef {{ sizeBytes: number, resolve: (reply: Reply) => void, reject: (error: Error) => void,
 *   timer: ReturnType<typeof setTimeout> }} Request
 */

/** An error frame; `code` is one of the wire contract's. `retryAfterMs` comes with RateLimited, else it is 0. */
export class ServerError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A message is over the service's limit, or its frame over the gateway's: sending it again does not help. */
export class TooLarge extends ServerError {
  /** @param {string} message */
  constructor(message) {
    super("TooLarge", message);
  }
}

/** The connection ended, or was given up, before the reply came. */
export class ConnectionLost extends Error {}

/**
 * What was caught, as an Error.
 * @param {unknown} caught
 */
export function asError(caught) {
  return caught instanceof Error ? caught : new Error(String(caught));
}

/**
 * Finds the request that an answer belongs to. Each request gets one answer.
 *
 * API Gateway's own errors carry no id. Such an error belongs to one of the requests that were open when it
 * came. Once only as many of those are left as such errors came, the errors are theirs.
 */
export class Outstanding {
  #lastId = 0;
  /** By id, ascending. @type {Map<number, Request>} */
  #open = new Map();
  /**
   * Errors without an id, each with the last id given out before it; never more than open requests.
   * @type {{ lastId: number, error: ServerError }[]}
   */
  #errors = [];

  /** The id of the next request. */
  get nextId() {
    return this.#lastId + 1;
  }

  /**
   * Add the request of `nextId`.
   * @param {Request} request
   */
  add(request) {
    this.#lastId += 1;
    this.#open.set(this.#lastId, request);
  }

  /**
   * Give an answer to its request; false where it belongs to none.
   * @param {string | null} id
   * @param {Reply | ServerError} answer
   */
  answer(id, answer) {
    let isKnown = true;
    if (id !== null) {
      isKnown = this.#settle(Number(id), answer);
    } else if (answer instanceof ServerError && this.#errors.length < this.#open.size) {
      this.#errors.push({ lastId: this.#lastId, error: answer });
    } else {
      isKnown = false;
    }
    this.#blame();
    return isKnown;
  }

  /**
   * Reject what waits with ConnectionLost. `isTooLarge`: the gateway closed because of a frame's size. That
   * was the largest frame that it has not answered. It is TooLarge, so that nobody sends it again.
   * @param {boolean} isTooLarge
   */
  end(isTooLarge) {
    if (isTooLarge) this.#refuseLargest();
    for (const id of [...this.#open.keys()]) this.#settle(id, new ConnectionLost("The connection was lost."));
  }

  #refuseLargest() {
    if (this.#open.size === 0) return;
    const [id, { sizeBytes }] = [...this.#open].reduce(larger);
    const problem = `The gateway closed the connection because of these ${sizeBytes} bytes.`;
    this.#settle(id, new TooLarge(`${problem} Shorten the message or send it in parts.`));
  }

  #blame() {
    for (let count = this.#errors.length; count > 0; count -= 1) {
      const { lastId } = this.#errors[count - 1];
      const suspects = [...this.#open.keys()].filter((id) => id <= lastId);
      if (suspects.length > count) continue;
      const errors = this.#errors.splice(0, count);
      for (const [index, id] of suspects.entries()) this.#settle(id, errors[index].error);
      return;
    }
  }

  /**
   * @param {number} id
   * @param {Reply | Error} answer
   */
  #settle(id, answer) {
    const request = this.#open.get(id);
    if (request === undefined) return false;
    this.#open.delete(id);
    clearTimeout(request.timer);
    if (answer instanceof Error) request.reject(answer);
    else request.resolve(answer);
    return true;
  }
}

/**
 * @param {[number, Request]} one
 * @param {[number, Request]} other
 */
function larger(one, other) {
  return other[1].sizeBytes > one[1].sizeBytes ? other : one;
}
