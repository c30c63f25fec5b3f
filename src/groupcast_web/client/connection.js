// One WebSocket to the gateway: matches replies to requests and passes pushes on.

/** @import { Action, Push, Replies, Reply } from "./frames.js" */
/** @import { Limits } from "./limits.js" */

import { answers, decode, encode } from "./frames.js";
import { ConnectionLost, Outstanding, ServerError } from "./outstanding.js";

const SUBPROTOCOL = "groupcast.v1";
// The close code for a frame that is too large.
const TOO_LARGE = 1009;

/**
 * The part of a WebSocket that the client uses.
 * @typedef {{
 *   send(data: string): void,
 *   close(): void,
 *   onopen: ((event: any) => void) | null,
 *   onmessage: ((event: any) => void) | null,
 *   onclose: ((event: any) => void) | null,
 *   onerror: ((event: any) => void) | null,
 * }} Socket
 */

/** @typedef {new (url: string, protocols: string[]) => Socket} SocketClass */

/**
 * The end of a connection. `isTooLarge`: the gateway closed because of a frame's size. `status`: the HTTP status that
 * refused the handshake, or null if there was none or the WebSocket hides it.
 * @typedef {{ wasOpen: boolean, isTooLarge: boolean, status: number | null }} End
 */

/**
 * The listeners of a connection: `lost` is called once, `error` for an error without a request.
 * @typedef {{
 *   opened: () => void,
 *   pushed: (push: Push) => void,
 *   lost: (end: End) => void,
 *   error: (error: ServerError) => void,
 * }} ConnectionListeners
 */

/** A connection from its handshake to its end. */
export class Connection {
  /** @type {Socket | null} */
  #socket;
  #on;
  #limits;
  #openTimer;
  #wasOpen = false;
  /** @type {number | null} */
  #status = null;
  #requests = new Outstanding();
  #ending = new AbortController();

  /**
   * Connect, as `name` or with `token`.
   * @param {{ WebSocket: SocketClass, url: string, name?: string, token: string | null, limits: Limits,
   *   on: ConnectionListeners }} options
   */
  constructor({ WebSocket, url, name, token, limits, on }) {
    this.#on = on;
    this.#limits = limits;
    // The subprotocol is the only header of a WebSocket that a browser lets a page set.
    this.#socket = new WebSocket(connectUrl(url, name), token ? [SUBPROTOCOL, `bearer.${token}`] : []);
    this.#socket.onopen = () => {
      clearTimeout(this.#openTimer);
      this.#wasOpen = true;
      on.opened();
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onerror = ({ message }) => {
      this.#status = statusIn(message);
    };
    this.#socket.onclose = ({ code }) => this.close(code === TOO_LARGE);
    this.#openTimer = setTimeout(() => this.close(), limits.replyTimeoutMs);
  }

  /** Aborted when the connection ends. */
  get signal() {
    return this.#ending.signal;
  }

  /**
   * Send a request; resolves with the reply. Rejects with ServerError, with TooLarge if the gateway refuses the
   * frame's size, or with ConnectionLost if no reply comes in time. The connection is then closed, since other
   * frames may be lost, too.
   * @template {Action} A
   * @param {A} action
   * @param {object} fields
   * @returns {Promise<Replies[A]>}
   */
  async request(action, fields = {}) {
    const socket = this.#socket;
    if (socket === null) throw new ConnectionLost("The connection is closed.");
    const { frame, sizeBytes } = encode(action, this.#requests.nextId, fields, this.#limits.frameBytes);
    /** @type {Promise<Reply>} */
    const answered = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.close(), this.#limits.replyTimeoutMs);
      this.#requests.add({ sizeBytes, resolve, reject, timer });
      socket.send(frame);
    });
    const reply = await answered;
    if (answers(action, reply)) return reply;
    throw new ServerError("InternalError", `${action} was answered with ${reply.type}.`);
  }

  /** Close, and reject all unanswered requests. */
  close(isTooLarge = false) {
    if (this.#socket === null) return;
    const socket = this.#socket;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
    clearTimeout(this.#openTimer);
    this.#ending.abort();
    this.#requests.end(isTooLarge);
    this.#on.lost({ wasOpen: this.#wasOpen, isTooLarge, status: this.#status });
  }

  /** @param {unknown} data */
  #receive(data) {
    const frame = decode(data);
    if (frame === null) return;
    const { id, body } = frame;
    if (!(body instanceof ServerError) && body.type === "messages") this.#on.pushed(body);
    else if (!this.#requests.answer(id, body) && body instanceof ServerError) this.#on.error(body);
  }
}

/**
 * @param {string} url
 * @param {string | undefined} name
 */
function connectUrl(url, name) {
  const full = new URL(url);
  if (name) full.searchParams.set("name", name);
  return full.href;
}

/**
 * The HTTP status that refused a handshake. The package ws reports it in this text; the WebSockets of browsers and
 * Node hide it.
 * @param {unknown} message
 */
function statusIn(message) {
  const found = /^Unexpected server response: (\d{3})$/.exec(String(message));
  return found && Number(found[1]);
}
