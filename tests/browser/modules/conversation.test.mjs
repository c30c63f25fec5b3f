// The message list: own messages, grouping by sender, and days.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation, dayLabel, hueOf, SHOWN_LIMIT } from "../../../src/groupcast_web/page/conversation.js";

const NOON = new Date(2025, 5, 15, 12, 0, 0);
const MINUTE_MS = 60_000;

function said(seq, sender, minutes = 0) {
  const createdAt = new Date(NOON.getTime() + minutes * MINUTE_MS).toISOString();
  return { messageId: `id-${seq}`, seq, sender, message: `text ${seq}`, createdAt };
}

function texts(conversation) {
  return conversation
    .rows(NOON)
    .filter((row) => row.kind === "message")
    .map((row) => row.text);
}

test("own messages stand below the log until they come back in it", () => {
  const conversation = new Conversation("ann");
  conversation.setOwn({ messageId: "id-2", message: "text 2", status: "pending" }, NOON.getTime());
  conversation.append([said(1, "bea")]);
  assert.deepEqual(texts(conversation), ["text 1", "text 2"]);
  conversation.append([said(2, "ann"), said(3, "bea")]);
  assert.deepEqual(texts(conversation), ["text 1", "text 2", "text 3"]);
  const own = conversation.rows(NOON).find((row) => row.key === "id-2");
  assert.deepEqual([own.mine, own.status], [true, "sent"]);
});

test("the name the service gives is learned from the first own message", () => {
  const conversation = new Conversation("  ann ");
  conversation.setOwn({ messageId: "id-1", message: "text 1", status: "pending" }, NOON.getTime());
  conversation.append([said(1, "ann"), said(2, "ann")]);
  assert.equal(conversation.isMine(said(2, "ann")), true);
});

test("the same id from another user is another message", () => {
  const conversation = new Conversation("ann");
  conversation.userId = "u1";
  conversation.setOwn({ messageId: "id-1", message: "mine", status: "pending" }, NOON.getTime());
  const other = { ...said(1, "ann"), userId: "u2", messageId: "id-1" };
  const own = { ...said(2, "ann"), userId: "u1", messageId: "id-1", message: "mine" };
  conversation.append([other]);
  assert.deepEqual(texts(conversation), ["text 1", "mine"]);
  conversation.append([own]);
  assert.deepEqual(texts(conversation), ["text 1", "mine"]);
  const rows = conversation.rows(NOON).filter((row) => row.kind === "message");
  assert.deepEqual(
    rows.map((row) => row.mine),
    [false, true],
  );
  assert.equal(new Set(rows.map((row) => row.key)).size, 2);
});

test("signed-in users are distinguished by id, whatever their names", () => {
  const conversation = new Conversation("ann");
  conversation.userId = "u1";
  assert.equal(conversation.isMine({ ...said(1, "аnn"), userId: "u1" }), true);
  assert.equal(conversation.isMine({ ...said(1, "ann"), userId: "u2" }), false);
});

test("an ack's number decides which message is one's own", () => {
  const conversation = new Conversation("ann");
  const own = { messageId: "id-1", message: "mine" };
  conversation.setOwn({ ...own, status: "pending" }, NOON.getTime());
  conversation.setOwn({ ...own, status: "sent", seq: 2 }, NOON.getTime());
  conversation.append([{ ...said(1, "eve"), messageId: "id-1" }]);
  assert.deepEqual(texts(conversation), ["text 1", "mine"]);
  conversation.append([{ ...said(2, "ann"), messageId: "id-1", message: "mine" }]);
  assert.deepEqual(texts(conversation), ["text 1", "mine"]);
});

test("an ack that comes after its message adds nothing", () => {
  const conversation = new Conversation("ann");
  conversation.userId = "u1";
  const own = { messageId: "id-1", message: "text 1" };
  conversation.setOwn({ ...own, status: "pending" }, NOON.getTime());
  // A message from before user ids were stored.
  conversation.append([said(1, "ann")]);
  conversation.setOwn({ ...own, status: "sent", seq: 1 }, NOON.getTime());
  assert.deepEqual(texts(conversation), ["text 1"]);
});

test("a message sent again goes to the end, a failed one keeps its place", () => {
  const conversation = new Conversation("ann");
  for (const id of ["a", "b"]) {
    conversation.setOwn({ messageId: id, message: id, status: "pending" }, NOON.getTime());
  }
  conversation.setOwn({ messageId: "a", message: "a", status: "failed", reason: "why" }, NOON.getTime());
  assert.deepEqual(texts(conversation), ["a", "b"]);
  conversation.setOwn({ messageId: "a", message: "a", status: "pending" }, NOON.getTime());
  assert.deepEqual(texts(conversation), ["b", "a"]);
  conversation.removeOwn("a");
  assert.deepEqual(texts(conversation), ["b"]);
});

test("one sender's messages stand together for a few minutes", () => {
  const conversation = new Conversation("ann");
  conversation.append([said(1, "bea"), said(2, "bea", 1), said(3, "cem", 2), said(4, "cem", 20)]);
  const ends = conversation
    .rows(NOON)
    .slice(1)
    .map((row) => [row.isFirst, row.isLast]);
  assert.deepEqual(ends, [
    [true, false],
    [false, true],
    [true, true],
    [true, true],
  ]);
});

test("a new day gets a row of its own", () => {
  const conversation = new Conversation("ann");
  conversation.append([said(1, "bea", -24 * 60), said(2, "bea")]);
  const kinds = conversation.rows(NOON).map((row) => row.label ?? row.text);
  assert.deepEqual(kinds, ["Yesterday", "text 1", "Today", "text 2"]);
});

test("days are named, near ones in words", () => {
  assert.equal(dayLabel(new Date(2025, 5, 15, 0, 1), NOON), "Today");
  assert.equal(dayLabel(new Date(2025, 5, 14, 23, 59), NOON), "Yesterday");
  assert.equal(dayLabel(new Date(2025, 5, 13), NOON, "en"), "Friday, June 13");
  assert.equal(dayLabel(new Date(2024, 11, 31), NOON, "en"), "Tuesday, December 31, 2024");
});

test("the oldest messages go when there are too many", () => {
  const conversation = new Conversation("ann");
  conversation.append(Array.from({ length: SHOWN_LIMIT + 5 }, (_, index) => said(index + 1, "bea")));
  assert.equal(conversation.firstSeq, 6);
  assert.equal(conversation.hasEarlier, false, "there is no room for them");
});

test("earlier messages go in front, and none twice", () => {
  const conversation = new Conversation("ann");
  conversation.append([said(5, "bea")]);
  assert.equal(conversation.hasEarlier, true);
  conversation.prepend(5, { messages: [said(3, "bea"), said(4, "bea")], complete: false });
  assert.equal(conversation.hasEarlier, true);
  conversation.prepend(3, { messages: [said(3, "bea")], complete: true });
  assert.deepEqual(texts(conversation), ["text 3", "text 4", "text 5"]);
  assert.equal(conversation.hasEarlier, false);
});

test("a restarted log has no earlier messages, also none of the old log", () => {
  const conversation = new Conversation("ann");
  conversation.append([said(50, "bea")]);
  conversation.clear();
  assert.equal(conversation.hasEarlier, false);
  conversation.prepend(50, { messages: [said(49, "bea")], complete: false });
  assert.deepEqual([conversation.firstSeq, conversation.hasEarlier], [null, false]);
  conversation.append([said(1, "bea")]);
  conversation.prepend(50, { messages: [said(49, "bea")], complete: false });
  assert.deepEqual([texts(conversation), conversation.hasEarlier], [["text 1"], false]);
});

test("a name has the same hue everywhere", () => {
  assert.equal(hueOf("민지"), hueOf("민지"));
  const hues = new Set(["ann", "bea", "cem", "dan", "eve", "민지", "하늘"].map(hueOf));
  assert.ok(hues.size > 3);
});
