// ChatClient on a fake WebSocket and a fake clock: joining, resuming, filling gaps, sending once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LIMITS } from "../../../src/groupcast_web/client/limits.js";
import { QueueFull } from "../../../src/groupcast_web/client/outbox.js";
import { ConnectionLost, TooLarge } from "../../../src/groupcast_web/client/outstanding.js";
import {
  error,
  FakeSocket,
  history,
  hole,
  joined,
  joinedClient,
  message,
  newClient,
  pass,
  pong,
  push,
  settle,
  socket,
} from "./fakes.mjs";

// random() is 0.5: a gap waits one and a half times its limit.
const GAP_MS = LIMITS.gapWaitMs * 1.5;
const HOLE_MS = LIMITS.holeTimeoutMs * 1.125;
// … and the first ping comes in the middle of the first interval.
const FIRST_PING_MS = LIMITS.pingIntervalMs / 2;

// Joined, and done with the look at history that follows.
async function quietClient(limits) {
  const made = await joinedClient(0, limits);
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  return made;
}

function ack(messageId, seq = 1) {
  return { type: "ack", messageId, groupId: "g", seq, createdAt: "2025-01-01T00:00:00.000Z" };
}

test("it connects under its name, joins, and reports it", async () => {
  const { client, told } = newClient();
  client.open();
  assert.equal(new URL(socket().url).searchParams.get("name"), "앤 & co");
  assert.equal(new URL(socket().url).pathname, "/dev");
  await socket().open();
  assert.deepEqual(socket().sent, [{ action: "joinGroup", id: "1", groupId: "g", add: true }]);
  await socket().answer("joinGroup", joined(0));
  assert.deepEqual(told.states, [{ phase: "connecting" }, { phase: "connected", lastSeq: 0, userId: null }]);
});

test("an invalid URL is refused before anything connects", () => {
  assert.throws(() => newClient({}, { url: "gateway/dev" }), TypeError);
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

test("pushes are reported once and in order", async () => {
  const { told } = await joinedClient();
  await socket().say(push(2, 3));
  await socket().say(push(1, 2));
  await socket().say(push(3, 4, 1));
  assert.deepEqual(told.seqs, [1, 2, 3, 4]);
});

test("pushes of another group, unknown frames and invalid JSON are ignored", async () => {
  const { told } = await joinedClient();
  await socket().say({ ...push(1), groupId: "other" });
  await socket().say({ type: "typing" });
  await socket().say("nonsense");
  await socket().say("null");
  assert.deepEqual([told.seqs, told.rest], [[], []]);
});

test("an invalid push is ignored, and an invalid reply ends its request", async () => {
  const { client, told } = await joinedClient();
  await socket().say({ ...push(1), messages: undefined });
  await socket().say({ ...push(1), messages: [{ ...message(1), createdAt: "yesterday" }] });
  await socket().say(push(1));
  assert.deepEqual([told.seqs, told.rest], [[1], []]);
  const asking = assert.rejects(client.before(9), { code: "InternalError", message: /malformed/ });
  await socket().answer("history", { ...history([]), complete: undefined });
  await asking;
});

test("a reply of another type is an error of the service", async () => {
  const { client } = await joinedClient();
  const asking = assert.rejects(client.before(9), { code: "InternalError", message: /answered with ack/ });
  await socket().answer("history", ack("id-1"));
  await asking;
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
    assert.ok(waitedMs <= HOLE_MS, "it waits too long");
    await pass(100);
    if (socket().asked("history").length === asked) continue;
    asked += 1;
    await socket().answer("history", history([message(2)]));
  }
  assert.equal(waitedMs, HOLE_MS);
  assert.equal(socket().asked("history").length, 1 + LIMITS.gapRequests + 1);
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

test("after a lost connection it rejoins from its last message", async () => {
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
  assert.deepEqual(
    delays,
    ceilings.map((ceiling) => ceiling / 2),
  );
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await socket().drop();
  assert.equal(told.states.at(-1).retryAt - Date.now(), LIMITS.reconnectBaseMs / 2);
});

test("opening twice or after closing makes no connection", async () => {
  const { client, told } = await joinedClient();
  client.open();
  await settle();
  assert.equal(FakeSocket.made.length, 1);
  client.close();
  client.open();
  await settle();
  assert.deepEqual([FakeSocket.made.length, told.states.at(-1).phase], [1, "offline"]);
});

for (const status of [401, 403]) {
  test(`a handshake that a gateway refuses with ${status} is final if the WebSocket reveals it`, async () => {
    const { told } = await joinedClient();
    await socket().drop();
    await pass(LIMITS.reconnectBaseMs / 2);
    await socket().refuse(status);
    assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
    assert.equal(told.states.at(-1).phase, "offline");
    await pass(LIMITS.reconnectMaxMs);
    assert.equal(FakeSocket.made.length, 2);
  });
}

for (const status of [null, 429, 500]) {
  test(`a handshake that fails with the status ${status} is tried again`, async () => {
    const { told } = await joinedClient();
    await socket().drop();
    await pass(LIMITS.reconnectBaseMs / 2);
    await socket().refuse(status);
    assert.deepEqual([told.rest, told.states.at(-1).phase], [[], "reconnecting"]);
    await pass(LIMITS.reconnectMaxMs);
    assert.equal(FakeSocket.made.length, 3);
  });
}

test("a handshake that hangs is given up", async () => {
  const { client, told } = newClient();
  client.open();
  await pass(LIMITS.replyTimeoutMs);
  assert.equal(socket().isClosed, true);
  assert.equal(told.states.at(-1).phase, "reconnecting");
});

test("waking up connects without waiting for the next attempt", async () => {
  const { client } = await joinedClient();
  await socket().drop();
  client.wake();
  assert.equal(FakeSocket.made.length, 2);
  await pass(LIMITS.reconnectBaseMs);
  assert.equal(FakeSocket.made.length, 2, "the attempt that was planned does not come on top");
});

test("a ping keeps the connection from being idle", async () => {
  await quietClient();
  await pass(FIRST_PING_MS - GAP_MS);
  assert.equal(socket().asked("ping").length, 1);
  await socket().answer("ping", pong({ g: 0 }));
  await pass(LIMITS.pingIntervalMs - 1);
  assert.equal(socket().asked("ping").length, 1);
  await pass(1);
  assert.equal(socket().asked("ping").length, 2);
});

test("a pong that names no group makes it join again", async () => {
  const { told } = await joinedClient();
  await socket().say(push(1));
  await pass(FIRST_PING_MS);
  await socket().answer("ping", pong({}));
  assert.equal(socket().asked("joinGroup").at(-1).since, 1);
  await socket().answer("joinGroup", joined(2, [message(2)]));
  assert.deepEqual(told.seqs, [1, 2]);
});

test("a connection unknown to the service is replaced", async () => {
  const { told } = await joinedClient();
  await socket().say(push(1));
  await pass(FIRST_PING_MS);
  await socket().answer("ping", pong({}));
  await socket().answer("joinGroup", error("Conflict"));
  await pass(LIMITS.reconnectBaseMs / 2);
  assert.equal(FakeSocket.made.length, 2);
  await socket().open();
  assert.equal(socket().asked("joinGroup")[0].since, 1);
  await socket().answer("joinGroup", joined(3, [message(2), message(3)]));
  assert.deepEqual(told.seqs, [1, 2, 3]);
});

test("a stale pong changes nothing", async () => {
  const { told } = await quietClient();
  await socket().say(push(1, 2, 3));
  await pass(FIRST_PING_MS);
  await socket().answer("ping", pong({ g: 1 }));
  await pass(HOLE_MS);
  assert.equal(socket().asked("joinGroup").length, 1);
  assert.equal(socket().asked("history").length, 1, "the look that follows a join");
  await socket().say(push(4));
  assert.deepEqual([told.seqs, told.rest], [[1, 2, 3, 4], []]);
});

test("a pong tells a quiet client of missed messages", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await pass(FIRST_PING_MS - GAP_MS);
  await socket().answer("ping", pong({ g: 1 }));
  await pass(GAP_MS);
  await socket().answer("history", history([message(1)]));
  assert.deepEqual(told.seqs, [1]);
});

test("a ping without a pong is a dead connection", async () => {
  const { told } = await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await pass(FIRST_PING_MS - GAP_MS);
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
  assert.deepEqual(
    socket()
      .asked("sendMessage")
      .map((frame) => frame.message),
    ["a", "b"],
  );
});

test("an unacknowledged message is sent again after a reconnect, under the same id", async () => {
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
  assert.deepEqual(
    [told.own[id], told.own[later]],
    [
      ["pending", "sent"],
      ["pending", "sent"],
    ],
  );
});

test("an own message that comes back is not sent again, with or without its ack", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("once");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1, [message(1, 0, id)]));
  assert.equal(socket().asked("sendMessage").length, 0);
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("a message that comes back before its ack counts as sent, whatever happens to the connection", async () => {
  const { client, told } = await joinedClient(0, { callTimeoutMs: 1 });
  const id = client.send("once");
  await socket().say({ ...push(1), messages: [message(1, 0, id)] });
  assert.deepEqual(told.own[id], ["pending", "sent"]);
  await pass(1);
  await socket().drop();
  await settle();
  client.retry(id);
  assert.deepEqual(told.own[id], ["pending", "sent"], "there is nothing to retry");
});

test("a message that failed and came back has arrived", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("once");
  await socket().answer("sendMessage", error("Forbidden"));
  await socket().say({ ...push(1), messages: [message(1, 0, id)] });
  assert.deepEqual(told.own[id], ["pending", "failed", "sent"]);
});

test("another user's message with the same id is not one's own", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("once");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1, [{ ...message(1, 0, id), userId: "u2" }]));
  assert.deepEqual(told.seqs, [1]);
  assert.equal(socket().asked("sendMessage")[0].messageId, id);
  await socket().answer("sendMessage", ack(id, 2));
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("a send without an ack closes the connection, and fails when its time is up", async () => {
  const { client, told } = await joinedClient(0, { callTimeoutMs: 2 * LIMITS.replyTimeoutMs });
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
  await socket().answer("sendMessage", error("Forbidden"));
  assert.deepEqual([told.own[id], told.reasons], [["pending", "failed"], ["said Forbidden"]]);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").at(-1).messageId, id);
  await socket().answer("sendMessage", ack(id));
  assert.deepEqual(told.own[id], ["pending", "failed", "pending", "sent"]);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").length, 2, "what was sent is not sent again");
});

test("a rate-limited message stays pending for the given delay, and is sent before the next", async () => {
  const { client, told } = await joinedClient();
  const ids = ["a", "b"].map((text) => client.send(text));
  await socket().answer("sendMessage", error("RateLimited", { retryAfterMs: 70 }));
  await pass(69);
  assert.equal(socket().asked("sendMessage").length, 1);
  assert.deepEqual(told.own[ids[0]], ["pending"]);
  await pass(1);
  await socket().answer("sendMessage", ack(ids[0]));
  assert.deepEqual(
    socket()
      .asked("sendMessage")
      .map((frame) => frame.messageId),
    [ids[0], ids[0], ids[1]],
  );
  assert.deepEqual(told.own[ids[0]], ["pending", "sent"]);
});

test("a message that stays rate-limited fails when its time is up", async () => {
  const { client, told } = await quietClient();
  const id = client.send("hello");
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await socket().answer("sendMessage", error("RateLimited", { retryAfterMs: 20_000 }));
    await pass(20_000);
  }
  assert.equal(socket().asked("sendMessage").length, 3);
  assert.deepEqual([told.own[id], told.reasons], [["pending", "failed"], ["said RateLimited"]]);
});

const GATEWAY_ERROR = { connectionId: "c=", requestId: "r" };
for (const failure of [
  error("InternalError"),
  error("RateLimited"),
  { message: "Internal server error", ...GATEWAY_ERROR },
  { message: "Too Many Requests", ...GATEWAY_ERROR },
]) {
  test(`a message that failed with "${failure.message}" is sent again under its id, with backoff`, async () => {
    const { client, told } = await joinedClient();
    const id = client.send("hello");
    for (const delayMs of [250, 500, 1_000]) {
      const asked = socket().asked("sendMessage");
      await socket().say(failure.type ? { ...failure, id: asked.at(-1).id } : failure);
      await pass(delayMs - 1);
      assert.equal(socket().asked("sendMessage").length, asked.length);
      await pass(1);
      assert.equal(socket().asked("sendMessage").length, asked.length + 1);
    }
    await socket().answer("sendMessage", ack(id));
    assert.deepEqual([told.own[id], told.rest], [["pending", "sent"], []]);
    assert.equal(
      new Set(
        socket()
          .asked("sendMessage")
          .map((frame) => frame.messageId),
      ).size,
      1,
    );
  });
}

test("a message that keeps failing fails within its time", async () => {
  const { client, told } = await quietClient();
  const id = client.send("hello");
  const startedAt = Date.now();
  while (told.own[id].length === 1) {
    await socket().answer("sendMessage", error("InternalError"));
    await pass(LIMITS.reconnectMaxMs);
  }
  assert.deepEqual(told.reasons, ["said InternalError"]);
  // 0.25 s, 0.5 s … 8 s, 15 s and 15 s lie between them; another 15 s would be too much.
  assert.equal(socket().asked("sendMessage").length, 9);
  assert.ok(Date.now() - startedAt <= 10 * LIMITS.reconnectMaxMs);
});

test("a message too large for a frame is refused at once, with or without a connection", async () => {
  const { client, told } = await joinedClient();
  const refused = {
    name: "Error",
    code: "TooLarge",
    message: /takes 32\d\d\d bytes .* send at most 32768\. Shorten it/,
  };
  assert.throws(() => client.send('"'.repeat(16_384)), refused);
  assert.throws(() => client.send("앤".repeat(10_900)), refused);
  assert.throws(() => client.send("x".repeat(32_680)), TooLarge);
  await socket().drop();
  assert.throws(() => client.send("\u0001".repeat(16_384)), TooLarge);
  assert.deepEqual([told.own, FakeSocket.made[0].asked("sendMessage")], [{}, []]);
});

test("the largest message that fits a frame is sent", async () => {
  const { client } = await joinedClient();
  client.send('"'.repeat(16_300));
  const [frame] = socket().asked("sendMessage");
  assert.equal(frame.message.length, 16_300);
});

test("a message whose frame the gateway refused is sent once, even if retried", async () => {
  const { client, told } = await joinedClient();
  const ids = ["x".repeat(20_000), "small"].map((text) => client.send(text));
  await socket().drop(1009);
  assert.deepEqual(told.own[ids[0]], ["pending", "failed"]);
  assert.match(told.reasons[0], /these 20\d\d\d bytes\. Shorten the message/);
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await socket().answer("sendMessage", ack(ids[1]));
  assert.throws(() => client.retry(ids[0]), TooLarge);
  assert.deepEqual(
    socket()
      .asked("sendMessage")
      .map((frame) => frame.message),
    ["small"],
  );
});

test("the frame that the gateway refused is the largest one without an answer", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("x".repeat(20_000));
  const lost = assert.rejects(client.before(9), { message: "The connection was lost." });
  await socket().drop(1009);
  await lost;
  assert.deepEqual(told.own[id], ["pending", "failed"]);
});

test("delays between attempts go on growing after a frame that was too large", async () => {
  const { client, told } = await joinedClient();
  const delays = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    client.send("x".repeat(20_000));
    await socket().drop(1009);
    const { retryAt } = told.states.at(-1);
    delays.push(retryAt - Date.now());
    await pass(retryAt - Date.now());
    await socket().open();
    await socket().answer("joinGroup", joined(0));
  }
  assert.deepEqual(delays, [250, 500, 1_000, 2_000]);
});

test("a message that ends every connection is sent more and more slowly", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("deadly");
  const startedAt = Date.now();
  let connections = 1;
  for (; told.own[id].length === 1; connections += 1) {
    while (socket().asked("sendMessage").length === 0) await pass(50);
    await socket().drop();
    await pass(LIMITS.reconnectBaseMs / 2);
    await socket().open();
    await socket().answer("joinGroup", joined(0));
    if (connections > 50) break;
  }
  assert.deepEqual(told.own[id], ["pending", "failed"]);
  // The first, one at once, then as many as above.
  assert.equal(connections, 11);
  assert.ok(Date.now() - startedAt > LIMITS.callTimeoutMs / 2);
});

test("a discarded message cannot be retried", async () => {
  const { client } = await joinedClient();
  const id = client.send("hello");
  await socket().answer("sendMessage", error("Forbidden"));
  client.discard(id);
  client.retry(id);
  assert.equal(socket().asked("sendMessage").length, 1);
});

test("an error without id belongs to the unanswered request", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("hello");
  const asking = client.before(9);
  await socket().say({ message: "Internal server error", ...GATEWAY_ERROR });
  await pass(LIMITS.reconnectBaseMs);
  assert.equal(socket().asked("sendMessage").length, 1, "it may be the other request's");
  await socket().answer("history", history([]));
  await asking;
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().answer("sendMessage", ack(id));
  assert.equal(socket().asked("sendMessage").length, 2);
  assert.deepEqual([told.own[id], told.rest], [["pending", "sent"], []]);
});

test("errors without id are distinguished as far as the answers allow", async () => {
  const { client } = await joinedClient();
  const failed = [1, 3].map((seq) => assert.rejects(client.before(seq), { code: "InternalError" }));
  const answered = client.before(2);
  const ids = socket()
    .asked("history")
    .map((frame) => frame.id);
  await socket().say({ message: "Internal server error", ...GATEWAY_ERROR });
  await socket().say({ message: "Internal server error", ...GATEWAY_ERROR });
  await socket().say({ ...history([]), id: ids[2] });
  await Promise.all(failed);
  assert.equal((await answered).complete, true);
});

test("an error that belongs to no request is reported", async () => {
  const { told } = await joinedClient();
  await socket().say({ message: "Forbidden", connectionId: "c=", requestId: "r" });
  assert.deepEqual(told.rest, [["error", "Forbidden"]]);
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

test("a refused join closes for good with the reason", async () => {
  const { client, told } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
  assert.equal(told.states.at(-1).phase, "offline");
  await pass(LIMITS.reconnectMaxMs);
  assert.equal(FakeSocket.made.length, 1);
});

test("the gateway's own Forbidden is final, for the first join and for one after", async () => {
  const forbidden = { message: "Forbidden", ...GATEWAY_ERROR };
  const first = newClient();
  first.client.open();
  await socket().open();
  await socket().say(forbidden);
  assert.deepEqual(first.told.rest, [["refused", "Forbidden"]]);
  const { told } = await joinedClient();
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().say(forbidden);
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
  await pass(LIMITS.reconnectMaxMs);
  assert.equal(FakeSocket.made.length, 2);
});

test("a temporarily failing join is retried", async () => {
  const { client, told } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("InternalError"));
  assert.equal(told.states.at(-1).phase, "reconnecting");
});

test("a rate-limited join is retried on the same connection after its delay", async () => {
  const { client, told } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("RateLimited", { retryAfterMs: 700 }));
  await pass(699);
  assert.equal(socket().asked("joinGroup").length, 1);
  await pass(1);
  await socket().answer("joinGroup", error("RateLimited"));
  await pass(LIMITS.reconnectBaseMs);
  await socket().answer("joinGroup", joined(0));
  assert.equal(told.states.at(-1).phase, "connected");
  assert.equal(FakeSocket.made.length, 1);
});

test("a join that waits for its delay ends with its connection", async () => {
  const { client } = newClient();
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("RateLimited", { retryAfterMs: 5_000 }));
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(5_000);
  assert.equal(socket().asked("joinGroup").length, 1);
});

test("a rate-limited ping is repeated after its delay", async () => {
  await joinedClient();
  await pass(GAP_MS);
  await socket().answer("history", history([]));
  await pass(FIRST_PING_MS - GAP_MS);
  await socket().answer("ping", error("RateLimited", { retryAfterMs: 300 }));
  await pass(300);
  assert.equal(socket().asked("ping").length, 2);
  await socket().answer("ping", pong({ g: 0 }));
  await pass(LIMITS.pingIntervalMs - 301);
  assert.equal(socket().asked("ping").length, 2);
  await pass(1);
  assert.equal(socket().asked("ping").length, 3, "the next one is not put off");
});

test("a rate-limited history waits for its delay and delays no message", async () => {
  const { client, told } = await joinedClient();
  await socket().say(push(2));
  await pass(GAP_MS);
  await socket().answer("history", error("RateLimited", { retryAfterMs: 9_000 }));
  const id = client.send("hello");
  await socket().answer("sendMessage", ack(id, 3));
  assert.deepEqual(told.own[id], ["pending", "sent"]);
  await pass(8_999);
  assert.equal(socket().asked("history").length, 1);
  await pass(1);
  await socket().answer("history", history([message(1), message(2)]));
  assert.deepEqual(told.seqs, [1, 2]);
});

test("voids are known but not reported", async () => {
  const { told } = await joinedClient();
  await socket().say({ ...push(2), messages: [hole(1), message(2), hole(3)] });
  await socket().say(push(4));
  assert.deepEqual(told.seqs, [2, 4]);
  await pass(GAP_MS);
  assert.equal(socket().asked("history").at(-1).since, 4);
});

test("a restarted log is reported and read from its start", async () => {
  const { told } = await joinedClient(50);
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1));
  await pass(0);
  await socket().answer("history", history([message(1)]));
  assert.deepEqual([told.rest, told.seqs], [[["restarted"]], [1]]);
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

test("a client that is closed while it connects makes no connection", async () => {
  const state = ({ phase }) => phase === "connecting" && client.close();
  const { client } = newClient({}, { on: { state } });
  client.open();
  await settle();
  assert.equal(FakeSocket.made.length, 0);
});

test("nothing is reported after offline", async () => {
  const told = [];
  const on = Object.fromEntries(
    ["messages", "own", "restarted", "refused", "error"].map((event) => [event, () => told.push(event)]),
  );
  const state = ({ phase }) => {
    told.push(phase);
    if (phase === "connected") client.close();
  };
  const { client } = newClient({ callTimeoutMs: 1 }, { on: { ...on, state } });
  client.open();
  client.send("hello");
  await socket().open();
  await socket().answer("joinGroup", joined(1, [message(1)]));
  await pass(LIMITS.reconnectMaxMs);
  assert.deepEqual(told, ["connecting", "own", "connected", "offline"]);
});

test("a closed client accepts no message", async () => {
  const { client, told } = await joinedClient();
  const id = client.send("hello");
  await socket().answer("sendMessage", error("Forbidden"));
  client.close();
  assert.throws(() => client.send("late"), ConnectionLost);
  assert.throws(() => client.retry(id), ConnectionLost);
  assert.deepEqual(Object.keys(told.own), [id]);
});

test("a throwing listener is visible and does not stop the client", async () => {
  const messages = () => {
    throw new Error("a mistake of the page");
  };
  const { client } = newClient({ backlog: 1 }, { on: { messages } });
  client.open();
  client.send("hello");
  await socket().open();
  await socket().answer("joinGroup", joined(1, [message(1)]));
  assert.equal(socket().asked("sendMessage").length, 1);
  await assert.rejects(pass(1), /a mistake of the page/);
});

test("earlier messages can be requested", async () => {
  const { client } = await joinedClient(80);
  const asking = client.before(31, 30);
  await settle();
  const { before, limit } = socket().asked("history").at(-1);
  assert.deepEqual([before, limit], [31, 30]);
  await socket().answer("history", history([message(30)], false));
  assert.equal((await asking).complete, false);
});

test("a page with only voids is skipped", async () => {
  const { client } = await joinedClient(80);
  const asking = client.before(31, 2);
  await socket().answer("history", history([hole(29), hole(30)], false));
  assert.equal(socket().asked("history").at(-1).before, 29);
  await socket().answer("history", error("RateLimited", { retryAfterMs: 10 }));
  await pass(10);
  await socket().answer("history", history([message(27), hole(28)], false));
  const page = await asking;
  assert.deepEqual([page.messages.map((one) => one.seq), page.complete], [[27], false]);
});

test("a request for earlier messages ends, however many voids there are", async () => {
  const { client } = await joinedClient(8_000);
  const asking = client.before(8_000, 1);
  for (let seq = 7_999; socket().asked("history").at(-1).before === seq + 1; seq -= 1) {
    await socket().answer("history", history([hole(seq)], false));
  }
  assert.deepEqual(await asking, { messages: [], complete: false });
  assert.equal(socket().asked("history").length, LIMITS.historyPages);
});
