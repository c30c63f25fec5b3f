// ChatClient on a fake WebSocket and a fake clock: joining, resuming, filling gaps, sending once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LIMITS } from "../../../src/localcloud/page/limits.js";
import { QueueFull } from "../../../src/localcloud/page/outbox.js";
import {
  FakeSocket,
  error,
  history,
  joined,
  joinedClient,
  message,
  newClient,
  pass,
  push,
  settle,
  socket,
} from "./fakes.mjs";

// random() is 0.5: a gap waits one and a half times its limit.
const GAP_MS = LIMITS.gapWaitMs * 1.5;

function ack(messageId, seq = 1) {
  return { type: "ack", messageId, groupId: "g", seq, createdAt: "2025-01-01T00:00:00.000Z" };
}

test("it connects under its name, joins, and says so", async () => {
  const { client, told } = newClient();
  client.open();
  assert.equal(new URL(socket().url).searchParams.get("name"), "앤 & co");
  assert.equal(new URL(socket().url).pathname, "/dev");
  await socket().open();
  assert.deepEqual(socket().sent, [{ action: "joinGroup", id: "1", groupId: "g" }]);
  await socket().answer("joinGroup", joined(0));
  assert.deepEqual(told.states, [{ phase: "connecting" }, { phase: "connected", lastSeq: 0 }]);
});

test("a newcomer gets the last messages without waiting", async () => {
  const { client, told } = newClient({ backlog: 2 });
  client.open();
  await socket().open();
  await socket().answer("joinGroup", joined(9));
  await pass(0);
  assert.equal(socket().asked("history")[0].since, 7);
  await socket().answer("history", history([message(8), message(9)]));
  assert.deepEqual(told.seqs, [8, 9]);
});

test("pushes are told once and in order", async () => {
  const { told } = await joinedClient();
  await socket().say(push(2, 3));
  await socket().say(push(1, 2));
  await socket().say(push(3, 4, 1));
  assert.deepEqual(told.seqs, [1, 2, 3, 4]);
});

test("pushes of another group, unknown frames and what is not JSON are ignored", async () => {
  const { told } = await joinedClient();
  await socket().say({ ...push(1), groupId: "other" });
  await socket().say({ type: "typing" });
  await socket().say("nonsense");
  await socket().say("null");
  assert.deepEqual([told.seqs, told.rest], [[], []]);
});

test("a gap waits, then history fills it", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await socket().say(push(3));
  await pass(GAP_MS - 1);
  assert.equal(socket().asked("history").length, 1);
  await pass(1);
  assert.equal(socket().asked("history").at(-1).since, 0);
  await socket().answer("history", history([message(1), message(2), message(3)]));
  assert.deepEqual(told.seqs, [1, 2, 3]);
});

test("a hole that history does not fill is skipped after its time, not before", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await socket().say(push(2));
  let waitedMs = 0;
  for (let asked = 1; told.seqs.length === 0; waitedMs += 100) {
    assert.ok(waitedMs <= LIMITS.holeTimeoutMs, "it waits too long");
    await pass(100);
    if (socket().asked("history").length === asked) continue;
    asked += 1;
    await socket().answer("history", history([message(2)]));
  }
  assert.equal(waitedMs, LIMITS.holeTimeoutMs);
  assert.deepEqual(told.seqs, [2]);
});

test("a history that fails is asked again", async () => {
  const { told } = await joinedClient();
  await socket().say(push(2));
  await pass(GAP_MS);
  await socket().answer("history", error("RateLimited"));
  await pass(2 * GAP_MS);
  await socket().answer("history", history([message(1)]));
  assert.deepEqual(told.seqs, [1, 2]);
});

test("after a lost connection it joins again from the last message on", async () => {
  const { told } = await joinedClient();
  await socket().say(push(1, 2));
  await socket().drop();
  assert.equal(told.states.at(-1).phase, "reconnecting");
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  assert.equal(socket().asked("joinGroup")[0].since, 2);
  await socket().answer("joinGroup", joined(4, [message(3), message(4)]));
  assert.deepEqual(told.seqs, [1, 2, 3, 4]);
  assert.equal(told.states.at(-1).phase, "connected");
});

test("delays between attempts double up to their bound, and start over after a join", async () => {
  const { told } = await joinedClient();
  const delays = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    await socket().drop();
    const { retryAt } = told.states.at(-1);
    delays.push(retryAt - Date.now());
    await pass(retryAt - Date.now());
  }
  const ceilings = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
  assert.deepEqual(delays, ceilings.map((ceiling) => ceiling / 2));
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await socket().drop();
  assert.equal(told.states.at(-1).retryAt - Date.now(), LIMITS.reconnectBaseMs / 2);
});

test("a handshake that hangs is given up", async () => {
  const { client, told } = newClient();
  client.open();
  await pass(LIMITS.replyTimeoutMs);
  assert.equal(socket().isClosed, true);
  assert.equal(told.states.at(-1).phase, "reconnecting");
});

test("a wake does not wait for the next attempt", async () => {
  const { client } = await joinedClient();
  await socket().drop();
  client.wake();
  assert.equal(FakeSocket.made.length, 2);
  await pass(LIMITS.reconnectBaseMs);
  assert.equal(FakeSocket.made.length, 2, "the attempt that was planned does not come on top");
});

test("a ping keeps the connection from being idle", async () => {
  await joinedClient();
  await pass(LIMITS.pingIntervalMs);
  assert.equal(socket().asked("ping").length, 1);
  assert.ok(LIMITS.pingIntervalMs < 10 * 60 * 1_000);
});

test("a pong that names no group makes it join again", async () => {
  const { told } = await joinedClient();
  await socket().say(push(1));
  await pass(LIMITS.pingIntervalMs);
  await socket().answer("ping", { type: "pong", groupId: null, lastSeq: null });
  assert.equal(socket().asked("joinGroup").at(-1).since, 1);
  await socket().answer("joinGroup", joined(2, [message(2)]));
  assert.deepEqual(told.seqs, [1, 2]);
});

test("a pong tells a quiet client what it missed", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await pass(LIMITS.pingIntervalMs);
  await socket().answer("ping", { type: "pong", groupId: "g", lastSeq: 1 });
  await pass(GAP_MS);
  await socket().answer("history", history([message(1)]));
  assert.deepEqual(told.seqs, [1]);
});

test("a ping without a pong is a dead connection", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await pass(LIMITS.pingIntervalMs);
  await pass(LIMITS.replyTimeoutMs);
  assert.equal(told.states.at(-1).phase, "reconnecting");
});

test("a message is pending, then acknowledged, under a UUID", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("안녕하세요");
  assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual(told.own[id], ["pending"]);
  const [frame] = socket().asked("sendMessage");
  assert.deepEqual([frame.message, frame.messageId], ["안녕하세요", id]);
  await socket().answer("sendMessage", ack(id));
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("messages go out one at a time, so that they keep their order", async () => {
  const { client } = await joinedClient();
  const ids = ["a", "b"].map((text) => client.send(text));
  assert.equal(socket().asked("sendMessage").length, 1);
  await socket().answer("sendMessage", ack(ids[0]));
  assert.deepEqual(socket().asked("sendMessage").map((frame) => frame.message), ["a", "b"]);
});

test("what has no ack is sent again after a reconnect, under the same id", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("once");
  await socket().drop();
  const later = client.send("later");
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  assert.equal(socket().asked("sendMessage").length, 0, "not before it has joined");
  await socket().answer("joinGroup", joined(0));
  assert.equal(socket().asked("sendMessage")[0].messageId, id);
  await socket().answer("sendMessage", ack(id));
  await socket().answer("sendMessage", ack(later));
  assert.deepEqual([told.own[id], told.own[later]], [["pending", "sent"], ["pending", "sent"]]);
});

test("an own message that comes back is not sent again, with or without its ack", async () => {
  const { client } = await joinedClient();
  const id = client.send("once");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1, [message(1, 0, id)]));
  assert.equal(socket().asked("sendMessage").length, 0);
});

test("a send without an ack closes the connection, and fails after its last attempt", async () => {
  const { client, told } = await joinedClient(0, { sendAttempts: 2 });
  const id = client.send("lost");
  await pass(LIMITS.replyTimeoutMs);
  assert.equal(FakeSocket.made[0].isClosed, true);
  assert.deepEqual(told.own[id], ["pending"]);
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(LIMITS.replyTimeoutMs);
  assert.deepEqual(told.own[id], ["pending", "failed"]);
  assert.deepEqual(told.reasons, ["no answer from the server"]);
});

test("an error frame fails the message; a retry uses the same id", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("hello");
  await socket().answer("sendMessage", error("RateLimited"));
  assert.deepEqual([told.own[id], told.reasons], [["pending", "failed"], ["said RateLimited"]]);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").at(-1).messageId, id);
  await socket().answer("sendMessage", ack(id));
  assert.deepEqual(told.own[id], ["pending", "failed", "pending", "sent"]);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").length, 2, "what was sent is not sent again");
});

test("a message over the limit stays pending as long as it is told, and goes out before the next", async () => {
  const { client, told } = await joinedClient();
  const ids = ["a", "b"].map((text) => client.send(text));
  await socket().answer("sendMessage", error("RateLimited", { retryAfterMs: 70 }));
  await pass(69);
  assert.equal(socket().asked("sendMessage").length, 1);
  assert.deepEqual(told.own[ids[0]], ["pending"]);
  await pass(1);
  await socket().answer("sendMessage", ack(ids[0]));
  assert.deepEqual(socket().asked("sendMessage").map((frame) => frame.messageId), [ids[0], ids[0], ids[1]]);
  assert.deepEqual(told.own[ids[0]], ["pending", "sent"]);
});

test("a message that is over the limit again and again fails, and no wait goes beyond its bound", async () => {
  const { client, told } = await joinedClient(0, { sendAttempts: 3 });
  const id = client.send("hello");
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await socket().answer("sendMessage", error("RateLimited", { retryAfterMs: 3_600_000 }));
    await pass(LIMITS.retryAfterMaxMs);
  }
  assert.equal(socket().asked("sendMessage").length, 3);
  assert.deepEqual(told.own[id], ["pending", "failed"]);
});

test("a discarded message cannot be retried", async () => {
  const { client } = await joinedClient();
  const id = client.send("hello");
  await socket().answer("sendMessage", error("RateLimited"));
  client.discard(id);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").length, 1);
});

test("an error without id, as API Gateway sends it, fails the only request", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("hello");
  await socket().say({ message: "Internal server error", connectionId: "c=", requestId: "r" });
  assert.deepEqual(told.own[id], ["pending", "failed"]);
  assert.deepEqual(told.reasons, ["Internal server error"]);
});

test("an error that belongs to no request is told", async () => {
  const { told } = await joinedClient();
  await socket().say({ message: "Forbidden", connectionId: "c=", requestId: "r" });
  assert.deepEqual(told.rest, [["trouble", "Forbidden"]]);
});

test("NotInGroup makes it join again and then send", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("hello");
  await socket().answer("sendMessage", error("NotInGroup"));
  await socket().answer("joinGroup", joined(0));
  assert.equal(socket().asked("sendMessage").at(-1).messageId, id);
  await socket().answer("sendMessage", ack(id));
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("the queue of unsent messages is bounded", async () => {
  const { client } = newClient({ unsent: 2 });
  client.open();
  client.send("a");
  client.send("b");
  assert.throws(() => client.send("c"), QueueFull);
  client.close();
});

test("a refused join closes for good and says why", async () => {
  const { client, told } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
  assert.equal(told.states.at(-1).phase, "offline");
  await pass(LIMITS.reconnectMaxMs);
  assert.equal(FakeSocket.made.length, 1);
});

test("a join that fails in passing is tried again", async () => {
  const { client, told } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("InternalError"));
  assert.equal(told.states.at(-1).phase, "reconnecting");
});

test("a log that began anew is told, and read from its start", async () => {
  const { told } = await joinedClient(50);
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1));
  await pass(0);
  await socket().answer("history", history([message(1)]));
  assert.deepEqual([told.rest, told.seqs], [[["anew"]], [1]]);
});

test("closing leaves the group and stops every timer", async () => {
  const { client, told } = await joinedClient();
  client.close();
  client.close();
  assert.equal(socket().asked("leaveGroup").length, 1);
  assert.equal(socket().isClosed, true);
  await pass(LIMITS.pingIntervalMs);
  assert.equal(FakeSocket.made.length, 1);
  assert.deepEqual(told.states.slice(2), [{ phase: "offline" }]);
});

test("earlier messages can be asked for", async () => {
  const { client } = await joinedClient(80);
  const asking = client.before(31, 30);
  await settle();
  const { before, limit } = socket().asked("history").at(-1);
  assert.deepEqual([before, limit], [31, 30]);
  await socket().answer("history", history([message(30)], false));
  assert.equal((await asking).complete, false);
});
