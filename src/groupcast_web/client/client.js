// A chat client that survives lost connections. Uses no DOM, and also runs in Node.

/** @import { Connection } from "./connection.js" */
/** @import { Push } from "./frames.js" */
/** @import { GroupListeners, Options, State } from "./options.js" */

import { Group } from "./group.js";
import { Joins } from "./joins.js";
import { LIMITS } from "./limits.js";
import { emit } from "./options.js";
import { ConnectionLost, ServerError } from "./outstanding.js";
import { Pings } from "./pings.js";
import { Session } from "./session.js";

/** The client is in `limits.groups` groups. */
export class TooManyGroups extends Error {}

/**
 * A connection and its groups: one of its own, if it is named in the options, and those of `group()`. Calls the
 * listeners in `on`.
 */
export class ChatClient {
  #options;
  #on;
  #limits;
  #session;
  #pings;
  /** Those of the open connection. @type {Joins | null} */
  #joins = null;
  /** By id, those that have not ended. @type {Map<string, Group>} */
  #groups = new Map();
  #own;
  #isClosed = false;

  /**
   * Throws TypeError for an invalid URL.
   * @param {Options} options
   */
  constructor({ url, group, name, grant, on = {}, limits = LIMITS, now, random, WebSocket }) {
    this.#options = { limits, now: now ?? (() => performance.now()), random: random ?? Math.random };
    this.#on = on;
    this.#limits = limits;
    this.#session = new Session({
      ...this.#options,
      url,
      name,
      grant,
      WebSocket: WebSocket ?? globalThis.WebSocket,
      on: {
        state: (state) => this.#showState(state),
        opened: (connection) => this.#opened(connection),
        lost: () => this.#lost(),
        pushed: (frame) => this.#pushed(frame),
        renewed: (groupIds) => this.#rejoinMissing(new Set(groupIds)),
        error: (error) => {
          if (!this.#isClosed) emit(on, "error", error);
        },
        refused: (error) => this.#end(error),
        signedOut: (error) => this.#signOut(error),
      },
    });
    this.#pings = new Pings({ ...this.#options, ping: () => this.#ping() });
    this.#own = group === undefined ? null : this.#add(group, { on });
  }

  /** Connect, join, and stay joined until `close`. */
  open() {
    return this.#session.open();
  }

  /** Leave all groups and close for good, without unsent messages. Calls no listener after the state offline. */
  close() {
    this.#end(null);
  }

  /** Check the connection now, because the machine woke up or its network came back. */
  wake() {
    this.#session.wake();
    this.#ping();
  }

  /**
   * Open another group on the same connection; before `open` or after. It is joined after the number `since`, or with
   * the last messages. Throws TooManyGroups, RangeError for an invalid name, ConnectionLost once the client is closed,
   * and Error for a group that is open.
   * @param {string} id
   * @param {{ since?: number | null, on?: GroupListeners }} [options]
   */
  group(id, { since = null, on = {} } = {}) {
    this.#raiseIfClosed();
    // The service would refuse the frame in which other groups join.
    if (!id.isWellFormed() || id === "" || [...id].length > this.#limits.groupIdChars) {
      throw new RangeError(`A group's name has 1 to ${this.#limits.groupIdChars} characters.`);
    }
    if (this.#groups.has(id)) throw new Error(`The group ${id} is already open.`);
    if (this.#groups.size >= this.#limits.groups) {
      throw new TooManyGroups(`A client is in at most ${this.#limits.groups} groups: leave one first.`);
    }
    return this.#add(id, { since, on });
  }

  /**
   * Send a message to the client's own group. See Group for this and the following methods.
   * @param {string} message
   */
  send(message) {
    return this.#ownGroup().send(message);
  }

  /** @param {string} messageId */
  retry(messageId) {
    this.#ownGroup().retry(messageId);
  }

  /** @param {string} messageId */
  discard(messageId) {
    this.#ownGroup().discard(messageId);
  }

  /**
   * @param {number} seq
   * @param {number} [limit]
   */
  before(seq, limit) {
    return this.#ownGroup().before(seq, limit);
  }

  // -- groups -------------------------------------------------------------------------------------------

  /**
   * @param {string} id
   * @param {{ since?: number | null, on: GroupListeners }} options
   */
  #add(id, { since, on }) {
    const session = this.#session;
    const group = new Group({
      ...this.#options,
      id,
      since,
      on,
      service: {
        get userId() {
          return session.userId;
        },
        request: (action, fields) => session.request(action, fields),
        rejoin: async (group) => this.#joins?.add([group]),
        left: (group) => this.#leave(group),
        refused: (group, error) => {
          if (this.#groups.get(group.id) === group) this.#joins?.leave(group.id);
          this.#refuse(group, error);
        },
      },
    });
    this.#groups.set(id, group);
    this.#joins?.add([group]);
    return group;
  }

  /** @param {Group} group */
  #leave(group) {
    this.#groups.delete(group.id);
    this.#joins?.leave(group.id);
  }

  /**
   * @param {Group} group
   * @param {ServerError} error
   */
  #refuse(group, error) {
    // It may have been left meanwhile, and opened again.
    if (this.#groups.get(group.id) !== group) return;
    if (group === this.#own && this.#groups.size === 1) {
      this.#end(error);
    } else {
      this.#groups.delete(group.id);
      group.end(error);
    }
  }

  /**
   * Join again the groups that the service has lost. If the right was withdrawn, they are refused with the reason.
   * @param {{ has: (groupId: string) => boolean }} groupIds
   */
  #rejoinMissing(groupIds) {
    const missing = [...this.#groups.values()].filter((group) => group.isJoined && !groupIds.has(group.id));
    if (missing.length > 0) this.#joins?.add(missing);
  }

  #ownGroup() {
    this.#raiseIfClosed();
    if (this.#own === null) throw new TypeError("This client has no group of its own; use group().");
    return this.#own;
  }

  #raiseIfClosed() {
    if (this.#isClosed) throw new ConnectionLost("The client is closed.");
  }

  // -- connection ---------------------------------------------------------------------------------------

  /** @param {State} state */
  #showState(state) {
    for (const group of this.#groups.values()) group.showState(state);
    if (this.#own === null && !this.#isClosed) emit(this.#on, "state", state);
  }

  /** @param {Connection} connection */
  #opened(connection) {
    this.#pings.start();
    this.#joins = new Joins({
      ...this.#options,
      connection,
      renew: () => this.#session.renew(),
      on: {
        joined: () => this.#session.proven(),
        refused: (group, error) => this.#refuse(group, error),
      },
    });
    this.#joins.add(this.#groups.values());
    if (this.#own === null) {
      emit(this.#on, "state", { phase: "connected", lastSeq: null, userId: this.#session.userId });
    }
  }

  #lost() {
    this.#joins = null;
    this.#pings.stop();
    for (const group of this.#groups.values()) group.lost();
  }

  /** @param {Push} frame */
  #pushed({ groupId, messages }) {
    // With several groups, a push to one says nothing about the others.
    if (this.#groups.size === 1 && this.#groups.has(groupId)) this.#pings.pushed();
    this.#groups.get(groupId)?.pushed(messages);
  }

  async #ping() {
    if (this.#joins === null) return;
    try {
      const { groups, readSeqs = {} } = await this.#session.request("ping");
      this.#session.proven();
      const lastSeqs = new Map(Object.entries(groups));
      const marks = new Map(Object.entries(readSeqs));
      for (const [groupId, lastSeq] of lastSeqs) {
        const group = this.#groups.get(groupId);
        if (group?.isJoined) group.heard(lastSeq, marks.get(groupId));
      }
      this.#rejoinMissing(lastSeqs);
    } catch (error) {
      // A lost connection is already being replaced; an error frame shows that it is alive.
      const { retryAfterMs } = error instanceof ServerError ? error : { retryAfterMs: 0 };
      if (retryAfterMs > 0 && this.#joins !== null) this.#pings.again(retryAfterMs);
    }
  }

  /** @param {ServerError | null} error */
  #end(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const groups = [...this.#groups.values()];
    const joined = groups.filter((group) => group.isJoined);
    // $disconnect leaves several groups at once; frames would leave them one by one.
    if (joined.length === 1) this.#session.request("leaveGroup", { groupId: joined[0].id }).catch(() => {});
    this.#session.close();
    for (const group of groups) group.end(error);
    if (this.#own !== null) return;
    emit(this.#on, "state", { phase: "offline" });
    if (error !== null) emit(this.#on, "refused", error);
  }

  /** @param {Error} error */
  #signOut(error) {
    if (this.#isClosed) return;
    this.#end(null);
    emit(this.#on, "signedOut", error);
  }
}
