// Joins and leaves the groups of one connection, one frame at a time.

/** @import { Connection } from "./connection.js" */
/** @import { Joined } from "./frames.js" */
/** @import { Group } from "./group.js" */
/** @import { Limits } from "./limits.js" */

import { joinResults } from "./frames.js";
import { ServerError } from "./outstanding.js";
import { pause, waitMs } from "./retrying.js";

// Error codes that say nothing about a group: join again later, or on a new connection.
const TEMPORARY = new Set(["Conflict", "InternalError", "RateLimited"]);

/**
 * Changes which groups a connection is in. The service refuses frames that change a connection at the same time, so
 * each waits for the one before; groups that wait are joined with one frame.
 */
export class Joins {
  #connection;
  #limits;
  #random;
  #renew;
  #on;
  /** By groupId. @type {Map<string, Group>} */
  #toJoin = new Map();
  /** @type {Set<string>} */
  #toLeave = new Set();
  // Groups that are asked again with a fresher token.
  /** @type {WeakSet<Group>} */
  #askedAgain = new WeakSet();
  /** @type {Promise<void> | null} */
  #running = null;

  /**
   * `renew` returns whether there is a fresher token. `on.joined` is called before a group is joined, `on.refused` for
   * each group that the service refuses.
   * @param {{ connection: Connection, limits: Limits, random: () => number, renew: () => Promise<boolean>,
   *   on: { joined: () => void, refused: (group: Group, error: ServerError) => void } }} options
   */
  constructor({ connection, limits, random, renew, on }) {
    this.#connection = connection;
    this.#limits = limits;
    this.#random = random;
    this.#renew = renew;
    this.#on = on;
  }

  /**
   * Join groups, each after its last message. Resolves when they have joined or ended, or the connection is lost.
   * @param {Iterable<Group>} groups
   */
  add(groups) {
    for (const group of groups) {
      group.lost();
      this.#toJoin.set(group.id, group);
    }
    return this.#run();
  }

  /**
   * Leave a group.
   * @param {string} groupId
   */
  leave(groupId) {
    this.#toJoin.delete(groupId);
    this.#toLeave.add(groupId);
    this.#run();
  }

  #run() {
    this.#running ??= this.#change();
    return this.#running;
  }

  async #change() {
    // Groups that are opened together share a frame.
    await null;
    let attempt = 0;
    while (!this.#connection.signal.aborted && (this.#toLeave.size > 0 || this.#toJoin.size > 0)) {
      const [leaving] = this.#toLeave;
      const limited = await (leaving === undefined ? this.#join() : this.#leave(leaving));
      if (limited === null) {
        attempt = 0;
      } else {
        const delayMs = waitMs(limited, attempt, this.#limits, this.#random);
        await pause(Math.min(this.#limits.callTimeoutMs, delayMs), this.#connection.signal);
        attempt += 1;
      }
    }
    this.#running = null;
  }

  /**
   * Returns RateLimited, or null if the frame need not be repeated.
   * @param {string} groupId
   */
  async #leave(groupId) {
    try {
      await this.#connection.request("leaveGroup", { groupId });
    } catch (error) {
      if (isLimited(error)) return error;
    }
    this.#toLeave.delete(groupId);
    return null;
  }

  /** Returns RateLimited, or null if the frame need not be repeated. */
  async #join() {
    const wanted = [...this.#toJoin.values()].map((group) => ({ group, since: group.since }));
    /** @type {(Joined | ServerError)[]} */
    let results;
    try {
      results = await this.#ask(
        wanted.map(({ group, since }) => ({ groupId: group.id, since: since ?? undefined })),
      );
    } catch (error) {
      if (isLimited(error)) return error;
      this.#connection.close();
      return null;
    }
    /** @type {[Group, ServerError][]} */
    const refused = [];
    for (const [index, { group, since }] of wanted.entries()) {
      const result = results[index];
      if (result instanceof ServerError) refused.push([group, result]);
      else this.#joined(group, result, since);
    }
    await this.#askAgain(refused);
    return null;
  }

  /**
   * One result for each group. Rejects with a temporary error.
   * @param {{ groupId: string, since?: number }[]} groups
   * @returns {Promise<(Joined | ServerError)[]>}
   */
  async #ask(groups) {
    const fields = groups.length === 1 ? { ...groups[0], add: true } : { groups };
    try {
      const reply = await this.#connection.request("joinGroup", fields);
      return joinResults(
        reply,
        groups.map(({ groupId }) => groupId),
      );
    } catch (error) {
      if (!(error instanceof ServerError) || TEMPORARY.has(error.code)) throw error;
      return groups.map(() => error);
    }
  }

  /**
   * @param {Group} group
   * @param {Joined} result
   * @param {number | null} since
   */
  #joined(group, result, since) {
    this.#askedAgain.delete(group);
    this.#done(group);
    this.#on.joined();
    group.joined(result, since);
  }

  /**
   * Ask for the Forbidden groups once more if there is a fresher token, and report the others.
   * @param {[Group, ServerError][]} refused
   */
  async #askAgain(refused) {
    const forbidden = refused
      .filter(([group, { code }]) => code === "Forbidden" && !this.#askedAgain.has(group))
      .map(([group]) => group);
    const isRenewed = forbidden.length > 0 && (await this.#renew());
    for (const [group, error] of refused) {
      if (isRenewed && forbidden.includes(group)) {
        this.#askedAgain.add(group);
      } else {
        this.#done(group);
        this.#on.refused(group, error);
      }
    }
  }

  /** @param {Group} group */
  #done(group) {
    if (this.#toJoin.get(group.id) === group) this.#toJoin.delete(group.id);
  }
}

/**
 * @param {unknown} error
 * @returns {error is ServerError}
 */
function isLimited(error) {
  return error instanceof ServerError && error.code === "RateLimited";
}
