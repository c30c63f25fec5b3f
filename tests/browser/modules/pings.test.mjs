// Ping times of connections, on a fake clock. The same cases as test_pings.py of the Python client.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { LIMITS } from "../../../src/groupcast_web/client/limits.js";
import { Pings } from "../../../src/groupcast_web/client/pings.js";

const INTERVAL_MS = LIMITS.pingIntervalMs;
const MINUTE_MS = 60_000;
// API Gateway's.
const IDLE_MS = 10 * MINUTE_MS;
// serverless.yml: requestsPerSecond.
const ROUTE_PER_SECOND = 2_000;
const MILLION = 1_000_000;
const STEP_MS = 250;

/** Connections whose first pings are spread evenly, and the times of all pings. */
function connections(count) {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  return Array.from({ length: count }, (_, number) => {
    const pingedAt = [];
    const ping = () => pingedAt.push(Date.now());
    const random = () => (number + 0.5) / count;
    const pings = new Pings({ ping, limits: LIMITS, now: () => Date.now(), random });
    pings.start();
    return { pings, pingedAt };
  });
}

/** Let the clock run. Within one tick node's fake Date stands at its end. */
function run(ms) {
  for (const end = Date.now() + ms; Date.now() < end; ) mock.timers.tick(Math.min(STEP_MS, end - Date.now()));
}

for (const pushedAtMs of [null, 1_000, INTERVAL_MS * 1.5]) {
  test(`a million quiet members fit the quota, with a push to all at ${pushedAtMs}`, () => {
    const slices = 17;
    const members = connections(17 * 20);
    if (pushedAtMs !== null) {
      run(pushedAtMs);
      for (const { pings } of members) pings.pushed();
    }
    run(4 * INTERVAL_MS);
    const rates = new Map();
    for (const at of members.flatMap(({ pingedAt }) => pingedAt)) {
      const slice = Math.floor(at / (INTERVAL_MS / slices));
      rates.set(slice, (rates.get(slice) ?? 0) + 1);
    }
    const perSecond = Math.max(...rates.values()) / (INTERVAL_MS / slices / 1_000);
    assert.ok((perSecond * MILLION) / members.length < ROUTE_PER_SECOND);
  });
}

for (const everyMs of [7_000, 19_000, 60_000, 300_000, 550_000]) {
  test(`no connection is idle for too long, with a push every ${everyMs} ms`, () => {
    const members = connections(50);
    const pushes = [];
    while (Date.now() < 6 * INTERVAL_MS) {
      run(everyMs);
      pushes.push(Date.now());
      for (const { pings } of members) pings.pushed();
    }
    run(2 * INTERVAL_MS);
    for (const { pingedAt } of members) {
      const aliveAt = [0, ...pushes, ...pingedAt].sort((one, other) => one - other);
      const pauses = aliveAt.slice(1).map((at, index) => at - aliveAt[index]);
      assert.ok(Math.max(...pauses) <= IDLE_MS - MINUTE_MS, "a hidden page's timers are a minute late");
    }
  });
}

test("a busy group pings nothing", () => {
  const [{ pings, pingedAt }] = connections(1);
  while (Date.now() < 5 * INTERVAL_MS) {
    run(10_000);
    pings.pushed();
  }
  assert.deepEqual(pingedAt, []);
});

test("a ping is repeated only before the next, which it does not move", () => {
  const [{ pings, pingedAt }] = connections(1);
  run(INTERVAL_MS / 2);
  pings.again(5_000);
  run(5_000);
  pings.again(INTERVAL_MS);
  run(INTERVAL_MS);
  const first = INTERVAL_MS / 2;
  assert.deepEqual(pingedAt, [first, first + 5_000, first + INTERVAL_MS]);
});

test("a connection that ended pings no more", () => {
  const [{ pings, pingedAt }] = connections(1);
  pings.stop();
  run(3 * INTERVAL_MS);
  assert.deepEqual(pingedAt, []);
});
