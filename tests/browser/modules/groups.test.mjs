// Several groups of one ChatClient, on a fake WebSocket and a fake clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TooManyGroups } from "../../../src/groupcast_web/client/client.js";
import { LIMITS } from "../../../src/groupcast_web/client/limits.js";
import { ConnectionLost } from "../../../src/groupcast_web/client/outstanding.js";
import { pause } from "../../../src/groupcast_web/client/retrying.js";
import {
  error,
  history,
  joined,
  joinedMany,
  listeners,
  message,
  newClient,
  pass,
  pong,
  push,
  settle,
  socket,
} from "./fakes.mjs";

// random() is 0.5, as in client.test.mjs.
const GAP_MS = LIMITS.gapWaitMs * 1.5;
const FIRST_PING_MS = LIMITS.pingIntervalMs / 2;
const RECONNECT_MS = LIMITS.reconnectBaseMs / 2;

function open(client, id, options = {}) {
  const { on, told } = listeners();
  return { group: client.group(id, { on, ...options }), told };
}

/** A client of its own group g and the groups a and b, all joined at 0, and everything told. */
async function clientOfThree(limits = {}) {
  const { client, told } = newClient({ backlog: 0, ...limits });
  const [a, b] = ["a", "b"].map((id) => open(client, id));
  client.open();
  await socket().open();
  await socket().answer("joinGroup", joinedMany(...["g", "a", "b"].map((id) => joined(0, [], true, id))));
  return { client, g: { told }, a, b };
}

/** As `clientOfThree`, after the look at history that follows each join. */
async function quietThree(limits) {
  const made = await clientOfThree(limits);
  await pass(GAP_MS);
  for (const { id } of socket().asked("history")) await socket().say({ ...history([]), id });
  return made;
}

/** Lose the connection, and open the next. */
async function reconnect() {
  await socket().drop();
  await pass(RECONNECT_MS);
  await socket().open();
}

function pushTo(groupId, ...seqs) {
  return { ...push(...seqs), groupId };
}

function phases({ told }) {
  return told.states.map(({ phase }) => phase);
}

test("groups are joined with one frame, and each has its own messages", async () => {
  const { g, a, b } = await clientOfThree();
  assert.deepEqual(socket().sent, [
    { action: "joinGroup", id: "1", groups: [{ groupId: "g" }, { groupId: "a" }, { groupId: "b" }] },
  ]);
  await socket().say(pushTo("a", 1, 2));
  await socket().say(pushTo("b", 1));
  await socket().say(pushTo("other", 1));
  assert.deepEqual([g.told.seqs, a.told.seqs, b.told.seqs], [[], [1, 2], [1]]);
  for (const one of [g, a, b]) assert.deepEqual(phases(one), ["connecting", "connected"]);
  assert.deepEqual([a.group.lastSeq, b.group.lastSeq], [2, 1]);
});

test("a group that is opened later is added, and those opened at once share a frame", async () => {
  const { client } = await clientOfThree();
  const later = open(client, "c", { since: 7 });
  await settle();
  assert.deepEqual(socket().asked("joinGroup").at(-1), {
    action: "joinGroup",
    id: "2",
    groupId: "c",
    since: 7,
    add: true,
  });
  open(client, "d");
  open(client, "e");
  await settle();
  assert.equal(socket().asked("joinGroup").length, 2, "the service refuses changes at the same time");
  await socket().answer("joinGroup", joined(8, [message(8)], true, "c"));
  assert.deepEqual([later.told.seqs, phases(later)], [[8], ["connected"]]);
  assert.deepEqual(socket().asked("joinGroup").at(-1).groups, [{ groupId: "d" }, { groupId: "e" }]);
});

test("frames name their group, and a message waits for no other group's", async () => {
  const { client, g, a } = await clientOfThree();
  const ids = [client.send("to g"), a.group.send("to a")];
  assert.deepEqual(
    socket()
      .asked("sendMessage")
      .map(({ groupId, message }) => [groupId, message]),
    [
      ["g", "to g"],
      ["a", "to a"],
    ],
  );
  await socket().answer("sendMessage", { type: "ack", messageId: ids[1], groupId: "a", seq: 1 });
  assert.deepEqual(a.told.own, { [ids[1]]: ["pending", "sent"] });
  assert.deepEqual(g.told.own, { [ids[0]]: ["pending"] });
  const page = a.group.history({ since: 3, limit: 2 });
  assert.deepEqual(socket().asked("history").at(-1), {
    action: "history",
    id: "4",
    groupId: "a",
    since: 3,
    limit: 2,
  });
  await socket().answer("history", history([message(4)], false));
  assert.deepEqual(await page, { messages: [message(4)], complete: false });
});

test("after a lost connection one frame resumes all groups, and a refused one ends alone", async () => {
  const { client, g, a, b } = await clientOfThree();
  await socket().say(pushTo("a", 1, 2));
  await socket().say(pushTo("b", 1));
  await reconnect();
  assert.deepEqual(socket().sent, [
    {
      action: "joinGroup",
      id: "1",
      groups: [
        { groupId: "g", since: 0 },
        { groupId: "a", since: 2 },
        { groupId: "b", since: 1 },
      ],
    },
  ]);
  const refusal = { groupId: "a", error: { code: "Forbidden", message: "It is private." } };
  await socket().answer("joinGroup", joinedMany(joined(0), refusal, joined(2, [message(2)], true, "b")));
  assert.deepEqual([a.told.rest, phases(a).at(-1)], [[["refused", "Forbidden"]], "offline"]);
  assert.throws(() => a.group.send("late"), ConnectionLost);
  assert.deepEqual([b.told.seqs, b.told.rest, g.told.rest], [[1, 2], [], []]);
  client.send("hello");
  assert.equal(socket().asked("sendMessage").length, 1);
  assert.equal(socket().asked("leaveGroup").length, 0);
  await reconnect();
  assert.deepEqual(
    socket().sent[0].groups.map(({ groupId }) => groupId),
    ["g", "b"],
  );
});

test("history brings what the reply had no room for, at once and to the end", async () => {
  const { a } = await clientOfThree();
  await socket().say(pushTo("a", 2));
  await pass(LIMITS.holeTimeoutMs * 2);
  await reconnect();
  await socket().answer(
    "joinGroup",
    joinedMany(joined(0), joined(3, [], false, "a"), joined(0, [], true, "b")),
  );
  await pass(0);
  const [asked] = socket().asked("history");
  assert.deepEqual([asked.groupId, asked.since], ["a", 0]);
  await socket().answer("history", history([message(1), message(2)], false));
  await pass(0);
  assert.equal(socket().asked("history").at(-1).since, 2);
  await socket().answer("history", history([message(3)]));
  assert.deepEqual(a.told.seqs, [1, 2, 3]);
});

test("NotInGroup joins that one group again, for a message, a gap and a question", async () => {
  const { g, a } = await quietThree();
  const id = a.group.send("hello");
  await socket().answer("sendMessage", error("NotInGroup"));
  assert.deepEqual(socket().asked("joinGroup").at(-1), {
    action: "joinGroup",
    id: "6",
    groupId: "a",
    since: 0,
    add: true,
  });
  await socket().answer("joinGroup", joined(0, [], true, "a"));
  await socket().answer("sendMessage", { type: "ack", messageId: id, groupId: "a", seq: 1 });
  assert.deepEqual(a.told.own[id], ["pending", "sent"]);

  await socket().say(pushTo("a", 2));
  await pass(GAP_MS);
  await socket().answer("history", error("NotInGroup"));
  assert.equal(socket().asked("joinGroup").length, 3);
  await socket().answer("joinGroup", joined(2, [message(1), message(2)], true, "a"));
  assert.deepEqual(a.told.seqs, [1, 2]);

  const asking = a.group.before(2);
  await socket().answer("history", error("NotInGroup"));
  await socket().answer("joinGroup", joined(2, [], true, "a"));
  await socket().answer("history", history([message(1)]));
  assert.deepEqual((await asking).messages, [message(1)]);
  const refused = assert.rejects(a.group.before(2), { code: "NotInGroup" });
  await socket().answer("history", error("NotInGroup"));
  await socket().answer("joinGroup", joined(2, [], true, "a"));
  await socket().answer("history", error("NotInGroup"));
  await refused;
  assert.equal(g.told.states.length, 2, "the other groups stay as they are");
});

test("a pong tells each group what it missed, and one that is missing joins again", async () => {
  const { g, a, b } = await quietThree();
  await pass(FIRST_PING_MS - GAP_MS);
  await socket().answer("ping", pong({ g: 0, a: 1, left: 7 }));
  assert.deepEqual(socket().asked("joinGroup").at(-1), {
    action: "joinGroup",
    id: "6",
    groupId: "b",
    since: 0,
    add: true,
  });
  await socket().answer("joinGroup", joined(1, [message(1)], true, "b"));
  await pass(GAP_MS);
  const asked = socket()
    .asked("history")
    .slice(3)
    .find(({ groupId }) => groupId === "a");
  await socket().say({ ...history([message(1)]), id: asked.id });
  assert.deepEqual([g.told.seqs, a.told.seqs, b.told.seqs], [[], [1], [1]]);
});

test("a group may be called like a property of objects", async () => {
  const { client } = newClient({ backlog: 0 }, { group: undefined });
  open(client, "constructor");
  client.open();
  await socket().open();
  await socket().answer("joinGroup", joined(0, [], true, "constructor"));
  await pass(FIRST_PING_MS);
  await socket().say({ ...pong({}), id: socket().asked("ping")[0].id });
  assert.equal(socket().asked("joinGroup").length, 2);
});

test("history that is forbidden ends the group, and the client if it was the only one", async () => {
  const { g, a, b } = await clientOfThree();
  await socket().say(pushTo("a", 2));
  await pass(GAP_MS);
  const asked = socket()
    .asked("history")
    .find(({ groupId }) => groupId === "a");
  await socket().say({ ...error("Forbidden"), id: asked.id });
  assert.deepEqual([a.told.rest, phases(a).at(-1)], [[["refused", "Forbidden"]], "offline"]);
  assert.deepEqual(
    socket()
      .asked("leaveGroup")
      .map(({ groupId }) => groupId),
    ["a"],
  );
  assert.deepEqual([g.told.rest, b.told.rest, socket().isClosed], [[], [], false]);

  const only = newClient({ backlog: 0 });
  only.client.open();
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(GAP_MS);
  await socket().answer("history", error("Forbidden"));
  assert.deepEqual(only.told.rest, [["refused", "Forbidden"]]);
  assert.equal(socket().isClosed, true);
});

test("the own group may end alone, while others go on", async () => {
  const { client, g, a } = await clientOfThree();
  await reconnect();
  const refusal = { groupId: "g", error: { code: "BadRequest", message: "no" } };
  await socket().answer("joinGroup", joinedMany(refusal, joined(0, [], true, "a"), joined(0, [], true, "b")));
  assert.deepEqual([g.told.rest, phases(g).at(-1)], [[["refused", "BadRequest"]], "offline"]);
  assert.throws(() => client.send("late"), ConnectionLost);
  await socket().say(pushTo("a", 1));
  assert.deepEqual([a.told.seqs, socket().isClosed], [[1], false]);
});

test("there is no room for one group more, and none for odd names; nothing is asked", async () => {
  const { client } = await clientOfThree({ groups: 4 });
  const { group } = open(client, "c");
  assert.throws(() => client.group("d"), TooManyGroups);
  assert.throws(() => client.group("a"), /already/);
  for (const name of ["", "x".repeat(129), "\ud800"]) assert.throws(() => client.group(name), RangeError);
  await settle();
  assert.deepEqual(
    socket()
      .asked("joinGroup")
      .map((frame) => frame.groupId),
    [undefined, "c"],
  );
  group.leave();
  assert.equal(client.group("😀".repeat(128)).lastSeq, null);
  client.close();
  assert.throws(() => client.group("e"), ConnectionLost);
});

test("leaving tells offline and no more, and the other groups go on", async () => {
  const { client, a, b } = await clientOfThree();
  a.group.send("unsent");
  a.group.leave();
  a.group.leave();
  await settle();
  assert.deepEqual(socket().asked("leaveGroup"), [{ action: "leaveGroup", id: "3", groupId: "a" }]);
  await socket().say(pushTo("a", 1));
  await socket().say(pushTo("b", 1));
  assert.deepEqual([a.told.seqs, phases(a).at(-1), a.told.rest], [[], "offline", []]);
  assert.deepEqual(b.told.seqs, [1]);
  await assert.rejects(a.group.before(1), ConnectionLost);

  const again = open(client, "a");
  await settle();
  assert.equal(socket().asked("joinGroup").length, 1, "not before it has left");
  await socket().answer("leaveGroup", error("RateLimited", { retryAfterMs: 50 }));
  await pass(50);
  await socket().answer("leaveGroup", { type: "left", groupId: "a" });
  await socket().answer("joinGroup", joined(1, [], true, "a"));
  assert.deepEqual(phases(again), ["connected"]);
});

test("a group that is left while it joins is left after that", async () => {
  const { client } = await clientOfThree();
  const { group, told } = open(client, "c");
  await settle();
  group.leave();
  await socket().answer("joinGroup", joined(3, [message(3)], true, "c"));
  assert.deepEqual([told.states, told.seqs], [[{ phase: "offline" }], []]);
  assert.equal(socket().asked("leaveGroup").at(-1).groupId, "c");
});

test("a refusal of a group that was left does not end the one opened since", async () => {
  const { client } = await clientOfThree();
  const { group } = open(client, "c");
  await settle();
  group.leave();
  const again = open(client, "c");
  await socket().answer("joinGroup", error("Forbidden"));
  await socket().answer("leaveGroup", error("NotInGroup"));
  await socket().answer("joinGroup", joined(0, [], true, "c"));
  await socket().say(pushTo("c", 1));
  assert.deepEqual([again.told.seqs, again.told.rest], [[1], []]);
});

test("a listener may leave its group and open it again", async () => {
  const { client } = newClient({ backlog: 0 });
  let opened = 0;
  const state = ({ phase }) => {
    if (phase !== "offline" || opened > 0) return;
    opened += 1;
    client.group("a", { on: { state } });
  };
  const group = client.group("a", { on: { state } });
  client.open();
  await socket().open();
  await socket().answer("joinGroup", joinedMany(joined(0), joined(0, [], true, "a")));
  group.leave();
  await settle();
  await socket().answer("leaveGroup", { type: "left", groupId: "a" });
  assert.equal(socket().asked("joinGroup").at(-1).groupId, "a");
});

test("a limited join is repeated for all groups when it may", async () => {
  const { client, told } = newClient({ backlog: 0 });
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("RateLimited", { retryAfterMs: 700 }));
  open(client, "a");
  await pass(700);
  assert.deepEqual(socket().asked("joinGroup").at(-1).groups, [{ groupId: "g" }, { groupId: "a" }]);
  await socket().answer("joinGroup", joinedMany(joined(0), joined(0, [], true, "a")));
  assert.equal(told.states.at(-1).phase, "connected");
});

for (const results of [[joined(0)], [joined(0, [], true, "a"), joined(0)]]) {
  test(`a reply about other groups (${results.map((one) => one.groupId)}) ends the connection`, async () => {
    const { client, told } = newClient({ backlog: 0 });
    open(client, "a");
    client.open();
    await socket().open();
    await socket().answer("joinGroup", joinedMany(...results));
    assert.deepEqual([told.rest, told.states.at(-1).phase], [[], "reconnecting"]);
  });
}

test("read marks move forward, here and on other devices", async () => {
  const { client } = newClient({ backlog: 0 });
  const { group } = open(client, "a");
  assert.deepEqual([group.readSeq, group.lastSeq], [null, null]);
  client.open();
  await socket().open();
  await socket().answer("joinGroup", joinedMany(joined(0), { ...joined(9, [], true, "a"), readSeq: 3 }));
  assert.deepEqual([group.readSeq, group.lastSeq], [3, 9]);
  const marking = group.markRead(5);
  assert.deepEqual(socket().asked("markRead"), [{ action: "markRead", id: "2", groupId: "a", seq: 5 }]);
  await socket().answer("markRead", { type: "marked", groupId: "a", readSeq: 6 });
  assert.deepEqual([await marking, group.readSeq, await group.markRead(6)], [6, 6, 6]);
  assert.equal(socket().asked("markRead").length, 1, "the mark is there already");
  await pass(FIRST_PING_MS);
  await socket().answer("ping", pong({ g: 0, a: 9 }, { g: 0, a: 8 }));
  assert.equal(group.readSeq, 8);
  client.wake();
  await socket().answer("ping", pong({ g: 0, a: 9 }, { g: 0, a: 7 }));
  assert.equal(group.readSeq, 8, "a pong may be slightly stale");
});

test("a guest has no read mark", async () => {
  const { a } = await clientOfThree();
  const marking = assert.rejects(a.group.markRead(1), { code: "Forbidden" });
  await socket().answer("markRead", error("Forbidden"));
  await marking;
  assert.equal(a.group.readSeq, null);
});

test("a client without a group of its own tells the connection's state, and pings", async () => {
  const { client, told } = newClient({ backlog: 0 }, { group: undefined });
  client.open();
  await socket().open();
  assert.deepEqual(told.states, [
    { phase: "connecting" },
    { phase: "connected", lastSeq: null, userId: null },
  ]);
  assert.deepEqual(socket().sent, []);
  assert.throws(() => client.send("to nobody"), TypeError);
  await pass(FIRST_PING_MS);
  await socket().answer("ping", pong({}));
  await socket().drop();
  assert.equal(told.states.at(-1).retryAt - Date.now(), RECONNECT_MS);
  await pass(RECONNECT_MS);
  await socket().refuse(403);
  assert.deepEqual([told.states.at(-1).phase, told.rest], ["offline", [["refused", "Forbidden"]]]);
});

test("a group that is refused leaves a client without a group of its own open", async () => {
  const { client, told } = newClient({ backlog: 0 }, { group: undefined });
  const refused = open(client, "private");
  client.open();
  await socket().open();
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual([refused.told.rest, told.rest], [[["refused", "Forbidden"]], []]);
  assert.equal(socket().isClosed, false);
  open(client, "public");
  await settle();
  assert.equal(socket().asked("joinGroup").at(-1).groupId, "public");
});

test("closing ends all groups, and the gateway's 403 tells each the reason", async () => {
  const first = await clientOfThree();
  first.client.close();
  for (const one of [first.g, first.a, first.b]) {
    assert.deepEqual([phases(one).at(-1), one.told.rest], ["offline", []]);
  }
  const { g, a } = await clientOfThree();
  await socket().drop();
  await pass(RECONNECT_MS);
  await socket().refuse(403);
  for (const one of [g, a]) assert.deepEqual(one.told.rest, [["refused", "Forbidden"]]);
});

test("no wait outlives its group or the client", async () => {
  const { client, a, b } = await quietThree();
  const waits = [a, b].map(({ group }) => assert.rejects(group.before(9), ConnectionLost));
  for (const { id } of socket().asked("history").slice(-2)) {
    await socket().say({ ...error("RateLimited", { retryAfterMs: 50_000 }), id });
  }
  a.group.leave();
  await waits[0];
  client.close();
  await waits[1];
});

test("closing stops the timers of every wait", async () => {
  const waiting = new Set();
  const { client } = await quietThree();
  const { setTimeout: later, clearTimeout: stop } = globalThis;
  globalThis.setTimeout = (act, ms) => {
    const timer = later(() => {
      waiting.delete(timer);
      act();
    }, ms);
    waiting.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    waiting.delete(timer);
    stop(timer);
  };
  try {
    client.send("hello");
    await socket().answer("sendMessage", error("RateLimited", { retryAfterMs: 50_000 }));
    open(client, "c");
    await settle();
    await socket().answer("joinGroup", error("RateLimited", { retryAfterMs: 50_000 }));
    assert.equal(waiting.size, 2);
    client.close();
    await settle();
    assert.equal(waiting.size, 0);
  } finally {
    Object.assign(globalThis, { setTimeout: later, clearTimeout: stop });
  }
});

test("a pause ends with its signal, also one that was aborted before", async () => {
  const ending = new AbortController();
  newClient();
  const waiting = pause(50_000, ending.signal);
  ending.abort();
  await waiting;
  const late = pause(50_000, ending.signal);
  await pass(0);
  await late;
});
