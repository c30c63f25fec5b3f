// One WebSocket to the gateway: requests are matched with their replies, pushes handed on.

const SUBPROTOCOL = "groupcast.v1";

/** An error frame; `code` is one of the wire contract's, `retryAfterMs` comes with RateLimited. */
export class ServerError extends Error {
  constructor(code, message, retryAfterMs = null) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The connection ended, or was given up, before the reply came. */
export class ConnectionLost extends Error {}

/** A connection from its handshake to its end, which is told once to `on.lost`. */
export class Connection {
  #socket;
  #on;
  #replyTimeoutMs;
  #openTimer;
  #wasOpen = false;
  #lastId = 0;
  // Requests without a reply: id → { resolve, reject, timer }.
  #requests = new Map();

  /**
   * Connect, as `name` or with `token`. `on.opened()`, `on.pushed(frame)` and `on.lost(wasOpen)` are called,
   * and `on.trouble(error)` with a ServerError that belongs to no request.
   */
  constructor({ WebSocket, url, name, token, replyTimeoutMs, on }) {
    this.#on = on;
    this.#replyTimeoutMs = replyTimeoutMs;
    // A browser can set no header on a WebSocket, but this one.
    this.#socket = new WebSocket(connectUrl(url, name), token ? [SUBPROTOCOL, `bearer.${token}`] : []);
    this.#socket.onopen = () => {
      clearTimeout(this.#openTimer);
      this.#wasOpen = true;
      on.opened();
    };
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = () => this.close();
    this.#openTimer = setTimeout(() => this.close(), replyTimeoutMs);
  }

  /**
   * Send a request; resolves with the reply. Rejects with ServerError, or with ConnectionLost where
   * nothing comes in time: the connection is closed then, for nobody knows what else it has lost.
   */
  request(action, fields = {}) {
    if (this.#socket === null) return Promise.reject(new ConnectionLost("The connection is closed."));
    this.#lastId += 1;
    const id = String(this.#lastId);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.close(), this.#replyTimeoutMs);
      this.#requests.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ action, id, ...fields }));
    });
  }

  /** Close, and reject what still waits for a reply. */
  close() {
    if (this.#socket === null) return;
    const socket = this.#socket;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(this.#openTimer);
    for (const { reject, timer } of this.#requests.values()) {
      clearTimeout(timer);
      reject(new ConnectionLost("The connection was lost."));
    }
    this.#requests.clear();
    this.#on.lost(this.#wasOpen);
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
    const error = isError ? serverError(frame) : null;
    const id = frame.id ?? (isError ? this.#soleRequest() : undefined);
    const request = this.#requests.get(id);
    if (request === undefined) {
      if (isError) this.#on.trouble(error);
      return;
    }
    this.#requests.delete(id);
    clearTimeout(request.timer);
    if (isError) request.reject(error);
    else request.resolve(frame);
  }

  // An error without an id can only be blamed on a sole request.
  #soleRequest() {
    return this.#requests.size === 1 ? this.#requests.keys().next().value : undefined;
  }
}

function connectUrl(url, name) {
  const full = new URL(url);
  if (name) full.searchParams.set("name", name);
  return full.href;
}

function serverError({ code, message, retryAfterMs }) {
  return new ServerError(code ?? "InternalError", String(message), retryAfterMs);
}

function parse(data) {
  try {
    const frame = JSON.parse(data);
    return frame !== null && typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}
