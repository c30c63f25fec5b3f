// Stand-ins for the browser APIs of client.js, and for the service.

import { mock } from "node:test";

import { ChatClient } from "../../../src/groupcast_web/client/client.js";
import { LIMITS } from "../../../src/groupcast_web/client/limits.js";

/** A WebSocket whose other end is the test. */
export class FakeSocket {
  static made = [];
  sent = [];
  isClosed = false;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.made.push(this);
  }

  send(data) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.isClosed = true;
  }

  /** Frames of an action that the client sent on this socket. */
  asked(action) {
    return this.sent.filter((frame) => frame.action === action);
  }

  /** Complete the handshake. */
  async open() {
    this.onopen();
    await settle();
  }

  /** Say something to the client. */
  async say(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
    await settle();
  }

  /** Answer the last request of an action. */
  async answer(action, fields) {
    await this.say({ id: this.asked(action).at(-1).id, ...fields });
  }

  /** Refuse the handshake. Only some WebSockets tell the status. */
  async refuse(status = null) {
    this.onerror?.({ type: "error", message: status && `Unexpected server response: ${status}` });
    await this.drop();
  }

  /** Lose the connection, with a close code. */
  async drop(code = 1006) {
    this.onclose({ code });
    await settle();
  }
}

/** The latest socket. */
export function socket() {
  return FakeSocket.made.at(-1);
}

/** Let every promise that can go on do so. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Let the clock run. */
export async function pass(ms) {
  mock.timers.tick(ms);
  await settle();
}

export function message(seq, createdMs = 0, messageId = `id-${seq}`) {
  const createdAt = new Date(createdMs).toISOString();
  return { messageId, seq, sender: "bea", message: `text ${seq}`, createdAt };
}

/** A number of the log that will never have a message. */
export function hole(seq) {
  return { seq, void: true };
}

export function push(...seqs) {
  return { type: "messages", groupId: "g", messages: seqs.map((seq) => message(seq)) };
}

export function joined(lastSeq, messages = [], complete = true, groupId = "g") {
  return { type: "joined", groupId, lastSeq, messages, complete };
}

/** The reply to a joinGroup frame with several groups. */
export function joinedMany(...groups) {
  return { type: "joined", groups };
}

export function history(messages, complete = true) {
  return { type: "history", groupId: "g", messages, complete };
}

/** A pong that tells the last number of each group. */
export function pong(groups, readSeqs = {}) {
  return { type: "pong", groups, readSeqs };
}

/** The error frame of a code. */
export function error(code, fields = {}) {
  return { type: "error", code, message: `said ${code}`, requestId: "r", ...fields };
}

/** The listeners of a group, and everything that they are told, as in `newClient`. */
export function listeners() {
  const told = { seqs: [], own: {}, states: [], reasons: [], rest: [] };
  const on = {
    state: (state) => told.states.push(state),
    messages: (messages) => told.seqs.push(...messages.map((one) => one.seq)),
    own: ({ messageId, status, reason }) => {
      told.own[messageId] = [...(told.own[messageId] ?? []), status];
      if (reason) told.reasons.push(reason);
    },
    restarted: () => told.rest.push(["restarted"]),
    refused: (problem) => told.rest.push(["refused", problem.code]),
  };
  return { on, told };
}

/**
 * A client with random() = 0.5 and everything it tells in `told`: seqs, own (id → statuses), states,
 * reasons, and the rest as [event, value].
 */
export function newClient(limits = {}, options = {}) {
  FakeSocket.made = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const { on, told } = listeners();
  const client = new ChatClient({
    url: "ws://gateway/dev",
    group: "g",
    name: "앤 & co",
    limits: { ...LIMITS, ...limits },
    now: () => Date.now(),
    random: () => 0.5,
    WebSocket: FakeSocket,
    on: {
      ...on,
      signedOut: (problem) => told.rest.push(["signedOut", problem.message]),
      error: (problem) => told.rest.push(["error", problem.message]),
    },
    ...options,
  });
  return { client, told };
}

/** As `newClient`, connected and joined to a group whose last number is `lastSeq`, with no backlog. */
export async function joinedClient(lastSeq = 0, limits = {}) {
  const made = newClient({ backlog: 0, ...limits });
  made.client.open();
  await socket().open();
  await socket().answer("joinGroup", joined(lastSeq));
  return made;
}
