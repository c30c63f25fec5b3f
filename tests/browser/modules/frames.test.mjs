// Frames to text and back: valid ones are accepted, invalid ones refused.

import assert from "node:assert/strict";
import { test } from "node:test";

import { answers, decode, isMessage } from "../../../src/groupcast_web/client/frames.js";
import { TooLarge } from "../../../src/groupcast_web/client/outstanding.js";
import { error, history, hole, joined, message, push } from "./fakes.mjs";

function bodyOf(frame) {
  return decode(JSON.stringify(frame))?.body ?? null;
}

const FRAMES = [
  joined(3, [message(1), hole(2), { ...message(3), userId: "u1" }]),
  history([]),
  push(1),
  { type: "left", groupId: null },
  { type: "ack", messageId: "id-1", groupId: "g", seq: 1, createdAt: "2025-01-01T00:00:00.000Z" },
  { ...joined(0), readSeq: 7 },
  {
    type: "joined",
    groups: [joined(3, [message(1)], false), { groupId: null, error: { code: "BadRequest" } }],
  },
  { type: "marked", groupId: "g", readSeq: 7 },
  { type: "pong", groups: {}, connectionId: "c=" },
  { type: "pong", groups: { g: 7, h: 0 }, readSeqs: { g: 7 }, connectionId: "c=" },
  { type: "renewed", groups: ["g"], expiresAt: "2025-01-01T00:00:00.000Z" },
];

for (const frame of FRAMES) {
  test(`${JSON.stringify(frame)} is accepted unchanged`, () => {
    assert.deepEqual(decode(JSON.stringify({ ...frame, id: "7" })), { id: "7", body: { ...frame, id: "7" } });
    assert.equal(decode(JSON.stringify(frame)).id, null);
  });
}

const BROKEN = [
  "nonsense",
  null,
  [],
  7,
  { type: "typing" },
  { ...push(1), messages: undefined },
  { ...push(1), messages: [null] },
  { ...push(1), messages: [{ ...message(1), seq: "1" }] },
  { ...push(1), messages: [{ ...message(1), sender: null }] },
  { ...push(1), messages: [{ ...message(1), userId: 7 }] },
  { ...push(1), messages: [{ ...message(1), createdAt: "yesterday" }] },
  { ...joined(1), lastSeq: null },
  { ...joined(1), messages: {} },
  { ...history([]), complete: undefined },
  { type: "ack" },
  { ...joined(1), readSeq: "1" },
  { type: "joined", groups: {} },
  { type: "joined", groups: ["g"] },
  { type: "joined", groups: [{ groupId: "g", error: "no" }] },
  { type: "marked" },
  { type: "pong" },
  { type: "pong", groups: ["g"], readSeqs: [] },
  { type: "pong", groups: { g: "1" } },
  { type: "pong", groups: {}, readSeqs: { g: null } },
  { type: "renewed" },
  { type: "renewed", groups: [1] },
];

for (const frame of BROKEN) {
  test(`${JSON.stringify(frame)} is refused`, () => {
    assert.equal(bodyOf(frame), null);
  });
}

test("an invalid reply ends its request", () => {
  const { id, body } = decode(JSON.stringify({ ...joined(1), messages: {}, id: "7" }));
  assert.deepEqual([id, body.code], ["7", "InternalError"]);
});

test("each action has its reply", () => {
  assert.equal(answers("history", history([])), true);
  assert.equal(answers("joinGroup", history([])), false);
});

test("an error has its code and delay", () => {
  const limited = bodyOf(error("RateLimited", { retryAfterMs: 70 }));
  assert.deepEqual(
    [limited.code, limited.message, limited.retryAfterMs],
    ["RateLimited", "said RateLimited", 70],
  );
  assert.equal(bodyOf(error("RateLimited", { retryAfterMs: "soon" })).retryAfterMs, 0);
  assert.ok(bodyOf(error("TooLarge")) instanceof TooLarge);
});

for (const [text, code] of [
  ["Forbidden", "Forbidden"],
  ["Too Many Requests", "RateLimited"],
  ["Limit Exceeded", "RateLimited"],
  ["Internal server error", "InternalError"],
]) {
  test(`the gateway's "${text}" is ${code}`, () => {
    assert.equal(bodyOf({ message: text, connectionId: "c=", requestId: "r" }).code, code);
  });
}

test("a void is not a message", () => {
  assert.deepEqual([isMessage(message(1)), isMessage(hole(1))], [true, false]);
});
