// One WebSocket to the gateway: requests are matched with their replies, pushes handed on.

import { ConnectionLost, Outstanding, ServerError, TooLarge } from "./outstanding.js";

const SUBPROTOCOL = "groupcast.v1";
// The close code for a frame that is too large.
const TOO_LARGE = 1009;
// API Gateway's own errors have no code. These texts are its defaults for a throttled and a used-up quota.
const GATEWAY_CODES = new Map([
  ["Forbidden", "Forbidden"],
  ["Too Many Requests", "RateLimited"],
  ["Limit Exceeded", "RateLimited"],
]);

/** A connection from its handshake to its end, which is told once to `on.lost`. */
export class Connection {
  #socket;
  #on;
  #limits;
  #openTimer;
  #wasOpen = false;
  #requests = new Outstanding();

  /**
   * Connect, as `name` or with `token`. `on.opened()`, `on.pushed(frame)` and `on.lost(wasOpen, isTooLarge)`
   * are called, and `on.trouble(error)` with a ServerError that belongs to no request. `isTooLarge`: the
   * gateway closed because of a frame's size.
   */
  constructor({ WebSocket, url, name, token, limits, on }) {
    this.#on = on;
    this.#limits = limits;
    // A browser can set no header on a WebSocket, but this one.
    this.#socket = new WebSocket(connectUrl(url, name), token ? [SUBPROTOCOL, `bearer.${token}`] : []);
    this.#socket.onopen = () => {
      clearTimeout(this.#openTimer);
      this.#wasOpen = true;
      on.opened();
    };
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = ({ code }) => this.close(code === TOO_LARGE);
    this.#openTimer = setTimeout(() => this.close(), limits.replyTimeoutMs);
  }

  /**
   * Send a request; resolves with the reply. Rejects with ServerError, with TooLarge where the gateway does
   * not take the frame, or with ConnectionLost where nothing comes in time: the connection is closed then,
   * for nobody knows what else it has lost.
   */
  request(action, fields = {}) {
    if (this.#socket === null) return Promise.reject(new ConnectionLost("The connection is closed."));
    return new Promise((resolve, reject) => {
      const { frame, sizeBytes } = encode(action, this.#requests.nextId, fields, this.#limits.frameBytes);
      const timer = setTimeout(() => this.close(), this.#limits.replyTimeoutMs);
      this.#requests.add({ sizeBytes, resolve, reject, timer });
      this.#socket.send(frame);
    });
  }

  /** Close, and reject what still waits for a reply. */
  close(isTooLarge = false) {
    if (this.#socket === null) return;
    const socket = this.#socket;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(this.#openTimer);
    this.#requests.end(isTooLarge);
    this.#on.lost(this.#wasOpen, isTooLarge);
  }

  #receive(data) {
    const frame = parse(data);
    if (frame === null) return;
    if (frame.type === "messages") {
      this.#on.pushed(frame);
      return;
    }
    // API Gateway's own errors have no type and no id: { message, connectionId, requestId }.
    const isError = frame.type === "error" || frame.type === undefined;
    const answer = isError ? serverError(frame) : frame;
    if (!this.#requests.answer(frame.id, answer) && isError) this.#on.trouble(answer);
  }
}

/** The frame of a request, as { frame, sizeBytes }. Throws TooLarge where it is over `limitBytes`. */
export function encode(action, id, fields, limitBytes) {
  const frame = JSON.stringify({ action, id: String(id), ...fields });
  const sizeBytes = new TextEncoder().encode(frame).length;
  if (sizeBytes > limitBytes) {
    const problem = `This takes ${sizeBytes} bytes as JSON, and a browser can send ${limitBytes} at once.`;
    throw new TooLarge(`${problem} Shorten it or send it in parts.`);
  }
  return { frame, sizeBytes };
}

function connectUrl(url, name) {
  const full = new URL(url);
  if (name) full.searchParams.set("name", name);
  return full.href;
}

function serverError({ code, message, retryAfterMs }) {
  if (code === "TooLarge") return new TooLarge(String(message));
  return new ServerError(code ?? GATEWAY_CODES.get(message) ?? "InternalError", String(message), retryAfterMs);
}

function parse(data) {
  try {
    const frame = JSON.parse(data);
    return frame !== null && typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}
