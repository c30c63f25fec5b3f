// GroupLog: its main property, on random services; the Python tests cover its single rules.

import assert from "node:assert/strict";
import { test } from "node:test";

import { GroupLog } from "../../../src/groupcast_web/client/log.js";
import { hole, message } from "./fakes.mjs";

const RUNS = 2_000;
const HOLE_TIMEOUT_MS = 10_000;

const LIMITS = {
  backlog: 0,
  gapWaitMs: 1_000,
  gapRequests: 2,
  holeTimeoutMs: HOLE_TIMEOUT_MS,
  pendingMessages: 100,
};

// mulberry32: small, and the same on every machine.
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Numbers taken over time; some are holes, all others (some of them void) reach history within half the
// timeout, and members by none to three pushes.
function newService(random) {
  const service = [];
  let now = 0;
  for (let seq = 1; seq <= random() * 20; seq += 1) {
    now += [0, 100, 1_000, 5_000][Math.floor(random() * 4)];
    const isHole = random() < 0.15;
    const pushes = Array.from(
      { length: isHole ? 0 : Math.floor(random() * 4) },
      () => now + random() * 15_000,
    );
    const visibleAt = now + (random() * HOLE_TIMEOUT_MS) / 2;
    service.push({ seq, takenAt: now, isHole, isVoid: random() < 0.15, visibleAt, pushes });
  }
  return service;
}

function entryOf({ seq, takenAt, isVoid }) {
  return isVoid ? hole(seq) : message(seq, takenAt);
}

function page(service, since, now, size) {
  const found = service.filter((one) => one.seq > since && !one.isHole && one.visibleAt <= now);
  const messages = found.slice(0, size).map(entryOf);
  return [messages, found.length <= size];
}

// Everything at its time, a last join when all has happened, and on until the log wants nothing more.
function run(seed) {
  const random = randomFrom(seed);
  const service = newService(random);
  const size = 1 + Math.floor(random() * 7);
  const pendingMessages = [1, 2, 5, 100][Math.floor(random() * 4)];
  const limits = { ...LIMITS, backlog: 5, pendingMessages };
  const log = new GroupLog(limits);
  const events = service.flatMap((one) => one.pushes.map((at) => ({ at, one })));
  for (let count = random() * 4; count > 0; count -= 1) events.push({ at: random() * 60_000 });
  events.push({
    at: Math.max(0, ...events.map((event) => event.at), ...service.map((one) => one.visibleAt)),
  });
  events.sort((a, b) => a.at - b.at);
  const delivered = [];
  let first = null;
  for (let now = 0, steps = 0; ; steps += 1) {
    assert.ok(steps < 2_000, "it asks without end");
    const { wakeAt } = log;
    if (events.length > 0 && (wakeAt === null || events[0].at <= wakeAt)) {
      const { at, one } = events.shift();
      now = at;
      if (one !== undefined) {
        delivered.push(...log.pushed([entryOf(one)], now));
        continue;
      }
      const lastSeq = service.filter((taken) => taken.takenAt <= now).length;
      // A frame for several groups may have no room for this one.
      const isLeftOut = log.since !== null && log.since < lastSeq && random() < 0.3;
      const replayed = log.since === null ? [[], true] : page(service, log.since, now, size);
      const [messages, complete] = isLeftOut ? [[], false] : replayed;
      delivered.push(...log.joined(lastSeq, messages, complete, now));
      first ??= Math.max(1, lastSeq - limits.backlog + 1);
    } else if (wakeAt === null) {
      const expected = service.filter((one) => one.seq >= first && !one.isHole && !one.isVoid);
      return [delivered.map((one) => one.seq), expected.map((one) => one.seq)];
    } else {
      now = Math.max(now, wakeAt);
      const since = log.ask(now);
      if (random() < 0.2) log.failed(now);
      else delivered.push(...log.replied(...page(service, since, now, size), now));
    }
  }
}

test("each message comes once and in order, whatever is lost, duplicated, late or refused", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const [delivered, expected] = run(seed);
    assert.deepEqual(delivered, expected, `seed ${seed}`);
  }
});

test("catching up reads each page once, even with a hole in front of them all", () => {
  const log = new GroupLog(LIMITS);
  log.joined(0, [], true, 0);
  assert.deepEqual(log.joined(5, [message(2), message(3)], false, 0), []);
  assert.equal(log.ask(0), 3);
  log.replied([message(4), message(5)], true, 0);
  const delivered = log.pushed([message(1)], 500);
  assert.deepEqual(
    delivered.map((one) => one.seq),
    [1, 2, 3, 4, 5],
  );
});

test("a join without room for the group's messages skips none, and history is asked at once", () => {
  const log = new GroupLog(LIMITS);
  log.joined(0, [], true, 0);
  log.pushed([message(2)], 0);
  const now = 2 * HOLE_TIMEOUT_MS;
  assert.deepEqual([log.joined(3, [], false, now), log.wakeAt], [[], now]);
  assert.equal(log.ask(now), 0);
  assert.deepEqual(
    log.replied([message(1), message(2), message(3)], true, now).map((one) => one.seq),
    [1, 2, 3],
  );
});

test("pushes that overtake the reply of a join are no restart, and come once", () => {
  const log = new GroupLog(LIMITS, 5);
  const { since } = log;
  assert.equal(log.pushed([message(6), message(7)], 0).length, 2);
  assert.equal(log.isRestart(5, since), false);
  assert.deepEqual(log.joined(5, [], true, 0, since), []);
  assert.equal(log.since, 7);
});

test("a log that continues after a number asks for it in the first join, and knows a shorter log", () => {
  const log = new GroupLog(LIMITS, 7);
  assert.deepEqual([log.since, log.isRestart(7), log.isRestart(6)], [7, false, true]);
  assert.deepEqual(
    log.joined(9, [message(8), message(9)], true, 0).map((one) => one.seq),
    [8, 9],
  );
});

// A log with nothing read, in which 2 arrived without 1.
function logWithGap() {
  const log = new GroupLog(LIMITS);
  log.joined(0, [], true, 0);
  log.pushed([message(2)], 0);
  return log;
}

test("a gap is requested a few times, and once more when its number is final", () => {
  const log = logWithGap();
  const askedAt = [];
  let delivered = [];
  while (delivered.length === 0) {
    askedAt.push(log.wakeAt);
    assert.equal(log.ask(log.wakeAt), 0);
    delivered = log.replied([message(2)], true, askedAt.at(-1));
  }
  assert.deepEqual(askedAt, [1_000, 3_000, HOLE_TIMEOUT_MS]);
});

test("a void ends the wait at once, in a push and in history", () => {
  assert.deepEqual(
    logWithGap()
      .pushed([hole(1)], 100)
      .map((one) => one.seq),
    [2],
  );
  const log = logWithGap();
  assert.equal(log.ask(1_000), 0);
  assert.deepEqual(
    log.replied([hole(1), message(2), hole(3)], true, 1_000).map((one) => one.seq),
    [2],
  );
  assert.deepEqual([log.since, log.wakeAt], [3, null]);
});

test("a void after a hole does not date it", () => {
  const log = new GroupLog(LIMITS);
  log.joined(0, [], true, 0);
  const page = [hole(2), message(3, 0), message(4, HOLE_TIMEOUT_MS)];
  assert.deepEqual(
    log.joined(4, page, true, 0).map((one) => one.seq),
    [3, 4],
  );
});

test("a failed request is repeated when the service allows it, and in the end without a bound", () => {
  const log = logWithGap();
  log.ask(1_000);
  log.failed(1_000, 5_000);
  assert.equal(log.wakeAt, 6_000);
  const askedAt = [];
  for (let count = 0; count < 4; count += 1) {
    askedAt.push(log.wakeAt);
    log.ask(log.wakeAt);
    log.failed(askedAt.at(-1));
  }
  assert.deepEqual(askedAt, [6_000, 10_000, 18_000, 28_000]);
});
