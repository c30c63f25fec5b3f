// GroupLog: the property that counts, on random services; its single rules are proven in Python.

import assert from "node:assert/strict";
import { test } from "node:test";

import { GroupLog } from "../../../src/localcloud/page/log.js";
import { message } from "./fakes.mjs";

const RUNS = 2_000;
const HOLE_TIMEOUT_MS = 10_000;

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

// Numbers taken over time; some are holes, all others reach history within half the timeout, and members
// by none to three pushes.
function newService(random) {
  const service = [];
  let now = 0;
  for (let seq = 1; seq <= random() * 20; seq += 1) {
    now += [0, 100, 1_000, 5_000][Math.floor(random() * 4)];
    const isHole = random() < 0.15;
    const pushes = Array.from({ length: isHole ? 0 : Math.floor(random() * 4) }, () => now + random() * 15_000);
    service.push({ seq, takenAt: now, isHole, visibleAt: now + (random() * HOLE_TIMEOUT_MS) / 2, pushes });
  }
  return service;
}

function page(service, since, now, size) {
  const found = service.filter((one) => one.seq > since && !one.isHole && one.visibleAt <= now);
  const messages = found.slice(0, size).map((one) => message(one.seq, one.takenAt));
  return [messages, found.length <= size];
}

// Everything at its time, a last join when all has happened, and on until the log wants nothing more.
function run(seed) {
  const random = randomFrom(seed);
  const service = newService(random);
  const size = 1 + Math.floor(random() * 7);
  const pendingMessages = [1, 2, 5, 100][Math.floor(random() * 4)];
  const limits = { backlog: 5, gapWaitMs: 1_000, holeTimeoutMs: HOLE_TIMEOUT_MS, pendingMessages };
  const log = new GroupLog(limits);
  const events = service.flatMap((one) => one.pushes.map((at) => ({ at, one })));
  for (let count = random() * 4; count > 0; count -= 1) events.push({ at: random() * 60_000 });
  events.push({ at: Math.max(0, ...events.map((event) => event.at), ...service.map((one) => one.visibleAt)) });
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
        delivered.push(...log.pushed([message(one.seq, one.takenAt)], now));
        continue;
      }
      const lastSeq = service.filter((taken) => taken.takenAt <= now).length;
      const [messages, complete] = log.since === null ? [[], true] : page(service, log.since, now, size);
      delivered.push(...log.joined(lastSeq, messages, complete, now));
      first ??= Math.max(1, lastSeq - limits.backlog + 1);
    } else if (wakeAt === null) {
      const expected = service.filter((one) => one.seq >= first && !one.isHole).map((one) => one.seq);
      return [delivered.map((one) => one.seq), expected];
    } else {
      now = Math.max(now, wakeAt);
      const since = log.ask(now);
      if (random() < 0.2) log.failed(now);
      else delivered.push(...log.replied(...page(service, since, now, size), now));
    }
  }
}

test("each message comes once and in order, whatever is lost, doubled, late or refused", () => {
  for (let seed = 0; seed < RUNS; seed += 1) {
    const [delivered, expected] = run(seed);
    assert.deepEqual(delivered, expected, `seed ${seed}`);
  }
});

test("catching up reads each page once, even with a hole in front of them all", () => {
  const limits = { backlog: 0, gapWaitMs: 1_000, holeTimeoutMs: HOLE_TIMEOUT_MS, pendingMessages: 100 };
  const log = new GroupLog(limits);
  log.joined(0, [], true, 0);
  assert.deepEqual(log.joined(5, [message(2), message(3)], false, 0), []);
  assert.equal(log.ask(0), 3);
  log.replied([message(4), message(5)], true, 0);
  const delivered = log.pushed([message(1)], 500);
  assert.deepEqual(delivered.map((one) => one.seq), [1, 2, 3, 4, 5]);
});
