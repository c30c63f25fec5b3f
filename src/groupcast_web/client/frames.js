// Encodes requests and decodes the service's frames, and checks their types. Pure. See groupcast_client/frames.py.

import { ServerError, TooLarge } from "./outstanding.js";

/**
 * A message of a group's log. `seq` counts 1, 2, 3 … within the group and identifies the message there.
 * `createdAt` is ISO 8601. `userId` is the sender's id if the sender signed in.
 * @typedef {{ messageId: string, seq: number, sender: string, message: string, createdAt: string,
 *   userId?: string }} Message
 */

/**
 * A number in a group's log that will never have a message.
 * @typedef {{ seq: number, void: true }} Unwritten
 */

/** @typedef {Message | Unwritten} Entry */

/**
 * A group that was joined: its last number, and the messages after the number named in the request; `complete` if
 * these are all. `readSeq` is the last number that the user has read; guests have none.
 * @typedef {{ groupId: string, lastSeq: number, messages: Entry[], complete: boolean, readSeq?: number }} Joined
 */

/** A group that was refused. @typedef {{ groupId: string | null, error: { code: string, message: string } }} Refused */

/**
 * The replies by their requests' actions. `groups` of `pong` and `renewed` are the connection's groups according to
 * the service, in `pong` with their last numbers; `readSeqs` are the numbers that the user has read.
 * @typedef {{
 *   joinGroup: { type: "joined" } & (Joined | { groups: (Joined | Refused)[] }),
 *   leaveGroup: { type: "left", groupId: string | null },
 *   sendMessage: { type: "ack", messageId: string, groupId: string, seq: number, createdAt: string },
 *   history: { type: "history", groupId: string, messages: Entry[], complete: boolean },
 *   markRead: { type: "marked", groupId: string, readSeq: number },
 *   renew: { type: "renewed", groups: string[], expiresAt: string },
 *   ping: { type: "pong", groups: Record<string, number>, readSeqs?: Record<string, number> },
 * }} Replies
 */

/** @typedef {keyof Replies} Action */
/** @typedef {Replies[Action]} Reply */
/** @typedef {{ type: "messages", groupId: string, messages: Entry[] }} Push */

/**
 * A frame from the service; `id` is that of the request, null for a push.
 * @typedef {{ id: string | null, body: Reply | Push | ServerError }} Frame
 */

/** JSON before it is checked. @typedef {Record<string, unknown>} Unchecked */

/** @type {{ [A in Action]: Replies[A]["type"] }} */
const REPLY_TYPES = {
  joinGroup: "joined",
  leaveGroup: "left",
  sendMessage: "ack",
  history: "history",
  markRead: "marked",
  renew: "renewed",
  ping: "pong",
};

// For each type, a check of the fields that the client reads.
/** @type {Map<unknown, (frame: Unchecked) => boolean>} */
const CHECKS = new Map([
  ["joined", (frame) => ("groups" in frame ? isListOf(frame.groups, isResult) : isJoined(frame))],
  ["left", () => true],
  ["ack", (frame) => isSeq(frame.seq)],
  ["history", isPage],
  ["marked", (frame) => isSeq(frame.readSeq)],
  ["renewed", (frame) => isListOf(frame.groups, (group) => typeof group === "string")],
  ["pong", (frame) => areSeqs(frame.groups) && areSeqs(frame.readSeqs ?? {})],
  ["messages", (frame) => isListOf(frame.messages, isEntry)],
]);

const MALFORMED = "The reply is malformed.";

// API Gateway's own errors have no code. These are its default texts: forbidden, throttled, quota exhausted.
/** @type {Map<unknown, string>} */
const GATEWAY_CODES = new Map([
  ["Forbidden", "Forbidden"],
  ["Too Many Requests", "RateLimited"],
  ["Limit Exceeded", "RateLimited"],
]);

/**
 * A request's frame as text, and its size. Throws TooLarge above `limitBytes`.
 * @param {Action} action
 * @param {number} id
 * @param {object} fields
 * @param {number} limitBytes
 */
export function encode(action, id, fields, limitBytes) {
  const frame = JSON.stringify({ action, id: String(id), ...fields });
  const sizeBytes = new TextEncoder().encode(frame).length;
  if (sizeBytes > limitBytes) {
    const problem = `This takes ${sizeBytes} bytes as JSON, and a browser can send at most ${limitBytes}.`;
    throw new TooLarge(`${problem} Shorten it or send it in parts.`);
  }
  return { frame, sizeBytes };
}

/**
 * Decodes a frame; null for an unknown type or a malformed push. A malformed reply becomes an error, so that its
 * request does not wait.
 * @param {unknown} data
 * @returns {Frame | null}
 */
export function decode(data) {
  const frame = parse(data);
  if (frame === null) return null;
  const id = typeof frame.id === "string" ? frame.id : null;
  // API Gateway's own errors have no type and no id: { message, connectionId, requestId }.
  if (frame.type === "error" || frame.type == null) return { id, body: serverError(frame) };
  const check = CHECKS.get(frame.type);
  if (check === undefined) return null;
  if (!check(frame)) return id === null ? null : { id, body: new ServerError("InternalError", MALFORMED) };
  return { id, body: /** @type {Reply | Push} */ (/** @type {unknown} */ (frame)) };
}

/**
 * Whether a reply has the type that belongs to this action.
 * @template {Action} A
 * @param {A} action
 * @param {Reply} reply
 * @returns {reply is Replies[A]}
 */
export function answers(action, reply) {
  return reply.type === REPLY_TYPES[action];
}

/**
 * The results of a joinGroup request, in the order of the groups that it named. Throws ServerError if the reply has
 * other groups.
 * @param {Replies["joinGroup"]} reply
 * @param {string[]} groupIds
 * @returns {(Joined | ServerError)[]}
 */
export function joinResults(reply, groupIds) {
  const results = "groups" in reply ? reply.groups : [reply];
  const isComplete = results.length === groupIds.length;
  // The service does not repeat an invalid name.
  if (!isComplete || results.some((one, index) => !("error" in one) && one.groupId !== groupIds[index])) {
    throw new ServerError("InternalError", MALFORMED);
  }
  return results.map((one) => ("error" in one ? serverError(one.error) : one));
}

/**
 * Whether an entry of the log is a message, not a void.
 * @param {Entry} entry
 * @returns {entry is Message}
 */
export function isMessage(entry) {
  return !("void" in entry && entry.void);
}

/**
 * The value as a JSON object, or null for any other value.
 * @param {unknown} value
 * @returns {Unchecked | null}
 */
export function record(value) {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? /** @type {Unchecked} */ (value) : null;
}

/** @param {unknown} data */
function parse(data) {
  try {
    return record(JSON.parse(String(data)));
  } catch {
    return null;
  }
}

/** @param {Unchecked} frame */
function serverError({ code, message, retryAfterMs }) {
  if (code === "TooLarge") return new TooLarge(String(message));
  const known = typeof code === "string" ? code : (GATEWAY_CODES.get(message) ?? "InternalError");
  return new ServerError(known, String(message), typeof retryAfterMs === "number" ? retryAfterMs : 0);
}

/** @param {unknown} value */
function isResult(value) {
  const result = record(value);
  if (result === null) return false;
  return "error" in result ? typeof record(result.error)?.code === "string" : isJoined(result);
}

/** @param {Unchecked} frame */
function isJoined(frame) {
  return isSeq(frame.lastSeq) && isSeq(frame.readSeq ?? 0) && isPage(frame);
}

/** @param {Unchecked} frame */
function isPage({ messages, complete }) {
  return isListOf(messages, isEntry) && typeof complete === "boolean";
}

/**
 * @param {unknown} value
 * @param {(item: unknown) => boolean} isItem
 */
function isListOf(value, isItem) {
  return Array.isArray(value) && value.every(isItem);
}

/** @param {unknown} value */
function isEntry(value) {
  const item = record(value);
  if (item === null || !isSeq(item.seq)) return false;
  if (item.void) return true;
  const { messageId, sender, message, createdAt, userId } = item;
  const areTexts = [messageId, sender, message, userId ?? ""].every((one) => typeof one === "string");
  return areTexts && !Number.isNaN(Date.parse(String(createdAt)));
}

/** @param {unknown} value */
function isSeq(value) {
  return Number.isSafeInteger(value);
}

/** @param {unknown} value */
function areSeqs(value) {
  const seqs = record(value);
  return seqs !== null && Object.values(seqs).every(isSeq);
}
