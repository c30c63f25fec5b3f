// The unanswered requests of one connection. Same rules as groupcast_client/outstanding.py.

/** @import { Reply } from "./frames.js" */

/**
 * An unanswered request, the size of its frame, and the timer of its timeout.
 * @typedef {{ sizeBytes: number, resolve: (reply: Reply) => void, reject: (error: Error) => void,
 *   timer: ReturnType<typeof setTimeout> }} Request
 */

/** An error frame; `code` is BadRequest, RateLimited … `retryAfterMs` is 0 except for RateLimited. */
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

/** A message is over the service's limit, or its frame over the gateway's; retrying does not help. */
export class TooLarge extends ServerError {
  /** @param {string} message */
  constructor(message) {
    super("TooLarge", message);
  }
}

/** The connection ended or timed out before the reply came. */
export class ConnectionLost extends Error {}

/**
 * A caught value as an Error.
 * @param {unknown} caught
 */
export function asError(caught) {
  return caught instanceof Error ? caught : new Error(String(caught));
}

/**
 * Matches answers to requests. Each request gets one answer.
 *
 * API Gateway's own errors have no id. Such an error belongs to one of the requests that were open when it
 * arrived. When no more of these are open than errors have arrived, the errors must be theirs.
 */
export class Outstanding {
  #lastId = 0;
  /** By id, ascending. @type {Map<number, Request>} */
  #open = new Map();
  /**
   * Errors without an id, each with the last request id before it; never more than open requests.
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
   * Pass an answer to its request; false if it belongs to none.
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
    this.#matchErrors();
    return isKnown;
  }

  /**
   * Reject all unanswered requests with ConnectionLost. With `isTooLarge` the gateway closed because of a frame's
   * size: the largest unanswered request is rejected with TooLarge instead, so that it is not retried.
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

  #matchErrors() {
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
