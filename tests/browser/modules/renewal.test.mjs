// ChatClient with somebody signed in: tokens of connections, renewed in time, and the end of a session.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { LIMITS } from "../../../src/groupcast_web/client/limits.js";
import { Renewal } from "../../../src/groupcast_web/client/renewal.js";
import { ACCOUNT_LIMITS, Account } from "../../../src/groupcast_web/page/account.js";
import {
  error,
  FakeSocket,
  joined,
  joinedMany,
  listeners,
  message,
  newClient,
  pass,
  settle,
  socket,
} from "./fakes.mjs";

const HOUR_MS = 3_600_000;
// random() is 0.5: a token is renewed one and a half margins before its end.
const DUE_MS = HOUR_MS - LIMITS.renewMarginMs * 1.5;

/**
 * A client whose grants are these, the last one for ever: a token, which lives an hour, or an Error to throw.
 * `asked` holds, for each, whether a fresh one was wanted.
 */
function newSignedIn(...given) {
  const asked = [];
  const grant = async (wantsFresh = false) => {
    asked.push(wantsFresh);
    const one = given.length > 1 ? given.shift() : given[0];
    if (one instanceof Error) throw one;
    return { token: one, endsAt: Date.now() + HOUR_MS };
  };
  // Pings and looks into the history would want their answers all the while.
  const limits = { backlog: 0, pingIntervalMs: 24 * HOUR_MS, gapWaitMs: 24 * HOUR_MS };
  const made = newClient(limits, { name: undefined, grant });
  return { ...made, asked };
}

async function joinedSignedIn(...given) {
  const made = newSignedIn(...given);
  made.client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  return made;
}

function renewed(groups = ["g"]) {
  return { type: "renewed", groups, expiresAt: "2025-01-01T00:00:00.000Z" };
}

function ended(isTemporary = false) {
  return Object.assign(new Error("it has ended"), { isTemporary });
}

test("the token travels as a subprotocol, and each connection asks for one", async () => {
  await joinedSignedIn("one", "two");
  assert.deepEqual(socket().protocols, ["groupcast.v1", "bearer.one"]);
  assert.equal(socket().url, "ws://gateway/dev");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  assert.deepEqual(socket().protocols, ["groupcast.v1", "bearer.two"]);
});

test("a token is renewed on the open connection before it ends, and then the next", async () => {
  const { told } = await joinedSignedIn("one", "two", "three");
  await pass(DUE_MS - 1);
  assert.deepEqual(socket().asked("renew"), []);
  await pass(1);
  assert.deepEqual(
    socket()
      .asked("renew")
      .map((frame) => frame.token),
    ["two"],
  );
  await socket().answer("renew", renewed());
  await pass(DUE_MS);
  assert.deepEqual(
    socket()
      .asked("renew")
      .map((frame) => frame.token),
    ["two", "three"],
  );
  assert.deepEqual([FakeSocket.made.length, socket().asked("joinGroup").length, told.rest], [1, 1, []]);
});

test("a rate-limited renewal is repeated after its delay", async () => {
  const { told } = await joinedSignedIn("one", "two");
  await pass(DUE_MS);
  await socket().answer("renew", error("RateLimited", { retryAfterMs: 400 }));
  await pass(399);
  assert.equal(socket().asked("renew").length, 1);
  await pass(1);
  await socket().answer("renew", renewed());
  assert.deepEqual([socket().asked("renew").length, FakeSocket.made.length, told.rest], [2, 1, []]);
});

test("a forbidden request is retried after a rate-limited renewal", async () => {
  const { client, told } = await joinedSignedIn("one", "two");
  const id = client.send("hello");
  await socket().answer("sendMessage", error("Forbidden"));
  await socket().answer("renew", error("RateLimited", { retryAfterMs: 400 }));
  await pass(400);
  await socket().answer("renew", renewed());
  await socket().answer("sendMessage", { type: "ack", messageId: id, groupId: "g", seq: 1 });
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("own messages that come back are recognised by the token's user id", async () => {
  const token = `e30.${btoa(JSON.stringify({ sub: "u1" }))}.c`;
  const { client, told } = await joinedSignedIn(token, token);
  const id = client.send("once");
  assert.equal(told.states.at(-1).userId, "u1");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(1, [{ ...message(1, 0, id), userId: "u1" }]));
  assert.equal(socket().asked("sendMessage").length, 0);
});

test("a machine that slept renews when it wakes", async () => {
  const { client } = await joinedSignedIn("one", "two");
  // The timers of a sleeping machine stand still, its clock does not.
  const clock = Date.now;
  Date.now = () => clock() + HOUR_MS;
  try {
    client.wake();
    await pass(0);
  } finally {
    Date.now = clock;
  }
  assert.deepEqual(
    socket()
      .asked("renew")
      .map((frame) => frame.token),
    ["two"],
  );
});

test("a temporarily failing renewal is repeated on the same connection", async () => {
  const { told } = await joinedSignedIn("one", ended(true), "two");
  await pass(DUE_MS);
  assert.equal(socket().asked("renew").length, 0);
  await pass(LIMITS.renewRetryMs * 1.5);
  await socket().answer("renew", error("InternalError"));
  await pass(LIMITS.renewRetryMs * 1.5);
  await socket().answer("renew", renewed());
  assert.deepEqual([socket().asked("renew").length, FakeSocket.made.length, told.rest], [2, 1, []]);
});

test("a token that ends in a month is not renewed at once", async () => {
  const asked = [];
  const grant = async (wantsFresh) => {
    asked.push(wantsFresh);
    return { token: "one", endsAt: Date.now() + 31 * 24 * HOUR_MS };
  };
  // The real timers: a fake one can wait for longer.
  mock.timers.reset();
  const renewal = new Renewal({ grant, limits: LIMITS, random: () => 0.5, on: {} });
  await renewal.token(false);
  renewal.start({});
  await new Promise((resolve) => setTimeout(resolve, 50));
  renewal.stop();
  assert.deepEqual(asked, [false]);
});

test("an unsendable token ends the session, at first and in a renewal", async () => {
  const { client, told } = newSignedIn("one\n");
  client.open();
  await settle();
  assert.equal(FakeSocket.made.length, 0);
  assert.match(told.rest[0][1], /characters that no token may have/);

  const again = await joinedSignedIn("one", "two,three");
  await pass(DUE_MS);
  assert.deepEqual(socket().asked("renew"), []);
  assert.match(again.told.rest[0][1], /characters that no token may have/);
});

test("a grant that rejects with nothing ends the session", async () => {
  let grants = 0;
  const grant = async () => {
    if (grants > 0) throw undefined;
    grants += 1;
    return { token: "one", endsAt: Date.now() + HOUR_MS };
  };
  const { client, told } = newClient(
    { backlog: 0, pingIntervalMs: 24 * HOUR_MS },
    { name: undefined, grant },
  );
  client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(DUE_MS);
  assert.deepEqual(told.rest, [["signedOut", "undefined"]]);
});

test("a signed-in user whom the gateway refuses with 403 is refused, and one with 401 gets another token", async () => {
  const { told, asked } = await joinedSignedIn("one", "two");
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().refuse(401);
  await pass(LIMITS.reconnectMaxMs);
  assert.deepEqual(asked, [false, false, true]);
  await socket().refuse(403);
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
});

test("no renewal outlives its connection", async () => {
  await joinedSignedIn("one", "two", "three");
  const [first] = FakeSocket.made;
  await socket().drop();
  await pass(LIMITS.reconnectBaseMs / 2);
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(DUE_MS);
  assert.deepEqual(first.asked("renew"), []);
  assert.deepEqual(
    socket()
      .asked("renew")
      .map((frame) => frame.token),
    ["three"],
  );
});

test("an ended session closes for good, however it is discovered", async () => {
  const { told } = await joinedSignedIn("one", ended());
  await pass(DUE_MS);
  assert.deepEqual(told.rest, [["signedOut", "it has ended"]]);
  assert.equal(told.states.at(-1).phase, "offline");

  const again = newSignedIn(ended());
  again.client.open();
  await settle();
  assert.deepEqual(again.told.rest, [["signedOut", "it has ended"]]);
  await pass(LIMITS.reconnectMaxMs);
  assert.equal(FakeSocket.made.length, 0);
});

test("a token that the service refuses ends the session", async () => {
  const { told } = await joinedSignedIn("one", "two");
  await pass(DUE_MS);
  await socket().answer("renew", error("Forbidden"));
  const [[event, sentence]] = told.rest;
  assert.equal(event, "signedOut");
  assert.match(sentence, /Sign in again/);
});

test("without a token at the moment it tries again later", async () => {
  const { client, told } = newSignedIn(ended(true), "one");
  client.open();
  await settle();
  assert.equal(told.states.at(-1).phase, "reconnecting");
  await pass(LIMITS.reconnectBaseMs / 2);
  assert.deepEqual(socket().protocols, ["groupcast.v1", "bearer.one"]);
});

test("waking up while a token is fetched makes no second connection", async () => {
  const { client } = newSignedIn("one");
  client.open();
  client.wake();
  await settle();
  assert.equal(FakeSocket.made.length, 1);
});

test("closing while a token is fetched makes no connection", async () => {
  const { client } = newSignedIn("one");
  client.open();
  client.close();
  await settle();
  assert.equal(FakeSocket.made.length, 0);
});

test("handshakes that fail ask for a fresh token, and from the start on end the session", async () => {
  const { client, told, asked } = newSignedIn("one");
  client.open();
  for (let attempt = 0; attempt < LIMITS.handshakeAttempts; attempt += 1) {
    await pass(LIMITS.reconnectMaxMs);
    await socket().drop();
  }
  assert.deepEqual(asked, [false, true, true]);
  assert.equal(told.rest.length, 1);
  assert.match(told.rest[0][1], /did not let you in/);
  assert.equal(told.states.at(-1).phase, "offline");
});

test("a failing user pool does not matter while the token is valid", async () => {
  const answers = [{ AccessToken: "one", ExpiresIn: 3_600, RefreshToken: "r" }];
  const account = new Account({
    url: "http://pool.test",
    clientId: "c",
    fetch: async () => {
      const result = answers.shift();
      const body = result ? { AuthenticationResult: result } : { __type: "TooManyRequestsException" };
      return { ok: Boolean(result), status: result ? 200 : 400, json: async () => body };
    },
  });
  const grant = (wantsFresh) => account.grant(wantsFresh);
  const { client, told } = newClient({ backlog: 0 }, { name: undefined, grant });
  await account.signIn("ann", "secret");
  client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  await pass(ACCOUNT_LIMITS.freshMs);
  // The connection, and then the handshake of the one after it.
  for (let made = 2; made <= 3; made += 1) {
    await socket().drop();
    await pass(LIMITS.reconnectMaxMs);
    assert.equal(FakeSocket.made.length, made);
    assert.deepEqual(socket().protocols, ["groupcast.v1", "bearer.one"]);
  }
  await socket().open();
  await socket().answer("joinGroup", joined(0));
  assert.equal(told.states.at(-1).phase, "connected");
  client.close();
});

test("after a first join, it waits for a gateway that does not answer", async () => {
  const { told } = await joinedSignedIn("one");
  for (let attempt = 0; attempt < 2 * LIMITS.handshakeAttempts; attempt += 1) {
    await socket().drop();
    await pass(LIMITS.reconnectMaxMs);
  }
  assert.deepEqual([told.rest, FakeSocket.made.length], [[], 1 + 2 * LIMITS.handshakeAttempts]);
});

test("without sign-in, it waits for a gateway that does not answer from the start", async () => {
  const { client, told } = newClient();
  client.open();
  for (let attempt = 0; attempt < 2 * LIMITS.handshakeAttempts; attempt += 1) {
    await socket().drop();
    await pass(LIMITS.reconnectMaxMs);
  }
  assert.deepEqual(told.rest, []);
});

test("a forbidden request is retried once with a fresher token", async () => {
  const { client, told } = await joinedSignedIn("one", "two");
  const id = client.send("hello");
  await socket().answer("sendMessage", error("Forbidden"));
  assert.equal(socket().asked("renew").length, 1);
  await socket().answer("renew", renewed());
  await socket().answer("sendMessage", { type: "ack", messageId: id, groupId: "g", seq: 1, createdAt: "" });
  assert.deepEqual(told.own[id], ["pending", "sent"]);
});

test("a join that stays forbidden is refused, after the freshest token has been tried", async () => {
  const { client, told } = newSignedIn("one", "two");
  client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", error("Forbidden"));
  await socket().answer("renew", renewed([]));
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
});

test("with no fresher token, forbidden is forbidden at once", async () => {
  const { client, told } = newSignedIn("one");
  client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
  assert.equal(socket().asked("renew").length, 0);
});

test("a right that a renewal lacks is discovered by joining", async () => {
  const { told } = await joinedSignedIn("one", "two");
  await pass(DUE_MS);
  await socket().answer("renew", renewed([]));
  assert.equal(socket().asked("joinGroup").length, 2);
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual(told.rest, [["refused", "Forbidden"]]);
});

test("a group that was only forgotten is joined again", async () => {
  const { told } = await joinedSignedIn("one", "two");
  await pass(DUE_MS);
  await socket().answer("renew", renewed([]));
  await socket().answer("joinGroup", joined(1, [message(1)]));
  assert.deepEqual([told.seqs, told.rest], [[1], []]);
});

test("a renewal that takes the right to one group ends that group alone", async () => {
  const { client, told } = newSignedIn("one", "two");
  const { on, told: other } = listeners();
  client.group("private-a", { on });
  client.open();
  await settle();
  await socket().open();
  await socket().answer("joinGroup", joinedMany(joined(0), joined(0, [], true, "private-a")));
  await pass(DUE_MS);
  await socket().answer("renew", renewed(["g"]));
  assert.equal(socket().asked("joinGroup").at(-1).groupId, "private-a");
  await socket().answer("joinGroup", error("Forbidden"));
  assert.deepEqual([other.rest, other.states.at(-1).phase], [[["refused", "Forbidden"]], "offline"]);
  assert.deepEqual([told.rest, socket().isClosed], [[], false]);
});

test("only the groups that are forbidden are joined again with a fresher token, once", async () => {
  const { client, told } = newSignedIn("one", "two", "three");
  const [a, b] = ["private-a", "private-b"].map((id) => {
    const { on, told } = listeners();
    client.group(id, { on });
    return told;
  });
  client.open();
  await settle();
  await socket().open();
  const refusals = ["private-a", "private-b"].map((groupId) => ({
    groupId,
    error: { code: "Forbidden", message: "It is private." },
  }));
  await socket().answer("joinGroup", joinedMany(joined(0), ...refusals));
  assert.equal(told.states.at(-1).phase, "connected", "the others do not wait");
  await socket().answer("renew", renewed(["g"]));
  assert.deepEqual(
    socket()
      .asked("joinGroup")
      .at(-1)
      .groups.map(({ groupId }) => groupId),
    ["private-a", "private-b"],
  );
  await socket().answer("joinGroup", joinedMany(joined(0, [], true, "private-a"), refusals[1]));
  assert.deepEqual([a.states.at(-1).phase, a.rest], ["connected", []]);
  assert.deepEqual([b.states.at(-1).phase, b.rest], ["offline", [["refused", "Forbidden"]]]);
  assert.deepEqual([socket().asked("renew").length, told.rest], [1, []]);
});
