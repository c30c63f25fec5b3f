// The chat's own screen: the connection's state, the messages, and the box to write in.

/** @import { Message } from "../client/frames.js" */
/** @import { State } from "../client/options.js" */
/** @import { Own } from "../client/outbox.js" */
/** @import { ServerError } from "../client/outstanding.js" */
/** @import { Grant } from "../client/renewal.js" */

import { ChatClient } from "../client/client.js";
import { asError } from "../client/outstanding.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { $, $as } from "./elements.js";
import { MessageList } from "./view.js";

const NOTICE_MS = 6_000;
const HUSH_MS = 500;
const COUNTDOWN_MS = 250;

/**
 * One membership. `user` is null in stages without sign-in.
 * @typedef {{ client: ChatClient, conversation: Conversation, group: string, url: string, user: string | null,
 *   state: State, wasConnected: boolean, unseen: number }} Chat
 */

/** Shows one membership at a time, from `enter` to `close`. */
export class ChatScreen {
  #on;
  /** The membership on the screen, set by `enter`. @type {Chat | null} */
  #chat = null;
  /** @type {number | undefined} */
  #countdown;
  /** @type {number | undefined} */
  #noticeTimer;
  /** @type {number | undefined} */
  #renderTimer;
  #earlier = $as("earlier", HTMLButtonElement);
  #list = new MessageList($("viewport"), $("messages"), {
    retry: (id) => this.#attempt(() => this.#chat?.client.retry(id)),
    discard: (id) => {
      this.#chat?.client.discard(id);
      this.#chat?.conversation.removeOwn(id);
      this.#render();
    },
  });
  #composer = new Composer((text) => this.#send(text));

  /**
   * `on.joined` is called after joining, `on.left` after the user left, and `on.refused` or `on.signedOut` when the
   * client gave up; the screen is then closed.
   * @param {{ joined: () => void, left: () => void, refused: (error: ServerError) => void,
   *   signedOut: (error: Error) => void }} on
   */
  constructor(on) {
    this.#on = on;
    this.#listen();
  }

  /**
   * Join a group. `grant` is null in stages without sign-in; see ChatClient.
   * @param {{ url: string, group: string, name: string, grant: Grant | null }} membership
   */
  enter({ url, group, name, grant }) {
    /**
     * Ignores events of a previous membership.
     * @template {unknown[]} Values
     * @param {(chat: Chat, ...values: Values) => void} react
     * @returns {(...values: Values) => void}
     */
    const ifCurrent =
      (react) =>
      (...values) => {
        if (this.#chat?.client === client) react(this.#chat, ...values);
      };
    const client = new ChatClient({
      url,
      group,
      name: grant === null ? name : undefined,
      grant,
      on: {
        state: ifCurrent((chat, state) => this.#showState(chat, state)),
        messages: ifCurrent((chat, messages) => this.#showMessages(chat, messages)),
        own: ifCurrent((chat, own) => this.#showOwn(chat, own)),
        restarted: ifCurrent((chat) => {
          chat.conversation.clear();
          this.#render();
        }),
        refused: ifCurrent((_, error) => {
          this.close();
          this.#on.refused(error);
        }),
        signedOut: ifCurrent((_, error) => {
          this.close();
          this.#on.signedOut(error);
        }),
        error: ifCurrent((_, error) => {
          this.#notify(`The server says: ${error.message}`, true);
        }),
      },
    });
    const user = grant === null ? null : name;
    const conversation = new Conversation(name);
    /** @type {State} */
    const state = { phase: "connecting" };
    this.#chat = { client, conversation, group, url, user, state, wasConnected: false, unseen: 0 };
    $("title").textContent = group;
    $("welcome").hidden = true;
    $("chat").hidden = false;
    this.#composer.focus();
    this.#notify("");
    this.#render();
    client.open();
  }

  /** Leave the group, if any, and drop unsent messages. */
  close() {
    if (this.#chat === null) return;
    const { client } = this.#chat;
    this.#chat = null;
    clearInterval(this.#countdown);
    client.close();
    this.#list.render([]);
  }

  // -- connection ---------------------------------------------------------------------------------------

  /**
   * @param {Chat} chat
   * @param {State} state
   */
  #showState(chat, state) {
    chat.state = state;
    if (state.phase === "connected") chat.conversation.userId = state.userId;
    clearInterval(this.#countdown);
    const isReconnecting = state.phase === "reconnecting";
    if (isReconnecting) this.#countdown = setInterval(() => showStateText(chat), COUNTDOWN_MS);
    $("state").dataset.phase = state.phase;
    $("reconnect").hidden = !isReconnecting;
    $("state-spoken").textContent = stateText(chat, false);
    showStateText(chat);
    if (isReconnecting && !chat.wasConnected) {
      this.#notify(`No answer from ${chat.url}. Is the gateway running?`, true);
    } else if (state.phase === "connected" && !chat.wasConnected) {
      chat.wasConnected = true;
      this.#notify("");
      this.#on.joined();
    }
    this.#render();
  }

  // -- messages -----------------------------------------------------------------------------------------

  /**
   * @param {Chat} chat
   * @param {Message[]} messages
   */
  #showMessages(chat, messages) {
    const { conversation } = chat;
    const wasEmpty = conversation.firstSeq === null;
    conversation.append(messages);
    if (wasEmpty) hush();
    const others = messages.filter((message) => !conversation.isMine(message)).length;
    if (!wasEmpty && (document.hidden || !this.#list.isAtEnd)) chat.unseen += others;
    this.#render();
  }

  /**
   * @param {Chat} chat
   * @param {Own} own
   */
  #showOwn(chat, own) {
    chat.conversation.setOwn(own, Date.now());
    if (own.status === "pending") {
      chat.unseen = 0;
      this.#renderNow(true);
    } else {
      this.#render();
    }
  }

  // Draw several changes of one turn only once.
  #render() {
    this.#renderTimer ??= setTimeout(() => this.#renderNow(this.#list.isAtEnd), 0);
  }

  /** @param {boolean} followsEnd */
  #renderNow(followsEnd) {
    clearTimeout(this.#renderTimer);
    this.#renderTimer = undefined;
    if (this.#chat === null) return;
    const { conversation, state } = this.#chat;
    this.#list.render(conversation.rows(new Date()));
    $("empty").hidden = !(conversation.isEmpty && state.phase === "connected" && state.lastSeq === 0);
    $("earlier-box").hidden = !conversation.hasEarlier;
    if (followsEnd) this.#list.scrollToEnd();
    this.#showUnseen();
  }

  #showUnseen() {
    if (this.#chat === null) return;
    const isAtEnd = this.#list.isAtEnd;
    if (!document.hidden && isAtEnd) this.#chat.unseen = 0;
    const { unseen, group } = this.#chat;
    $("news").hidden = isAtEnd;
    const news = `${unseen} new ${unseen === 1 ? "message" : "messages"}`;
    $("news").textContent = unseen === 0 ? "↓ Latest" : `↓ ${news}`;
    document.title = unseen === 0 ? `${group} · groupcast` : `(${unseen}) ${group} · groupcast`;
  }

  async #showEarlier() {
    const chat = this.#chat;
    const firstSeq = chat?.conversation.firstSeq ?? null;
    if (chat === null || firstSeq === null) return;
    this.#earlier.disabled = true;
    try {
      const page = await chat.client.before(firstSeq);
      if (this.#chat !== chat) return;
      const viewport = $("viewport");
      const toEnd = viewport.scrollHeight - viewport.scrollTop;
      chat.conversation.prepend(firstSeq, page);
      hush();
      this.#renderNow(false);
      // Keep the visible messages in place.
      viewport.scrollTop = viewport.scrollHeight - toEnd;
    } catch (error) {
      if (this.#chat === chat) this.#notify(`Earlier messages did not load: ${asError(error).message}`, true);
    } finally {
      this.#earlier.disabled = false;
    }
  }

  // -- the rest -----------------------------------------------------------------------------------------

  /** @param {string} text */
  #send(text) {
    const chat = this.#chat;
    const isQueued = chat !== null && this.#attempt(() => chat.client.send(text));
    if (isQueued && chat.wasConnected) this.#notify("");
    return isQueued;
  }

  /** @param {() => void} action */
  #attempt(action) {
    try {
      action();
      return true;
    } catch (error) {
      this.#notify(asError(error).message, true);
      return false;
    }
  }

  /** @param {string} text */
  #notify(text, isError = false) {
    clearTimeout(this.#noticeTimer);
    $("notice").textContent = text;
    $("notice").classList.toggle("error", isError);
    if (text && !isError) this.#noticeTimer = setTimeout(() => this.#notify(""), NOTICE_MS);
  }

  async #copyInvite() {
    if (this.#chat === null) return;
    const link = new URL(location.pathname, location.href);
    link.searchParams.set("group", this.#chat.group);
    try {
      await navigator.clipboard.writeText(link.href);
      this.#notify("Invite link copied.");
    } catch {
      this.#notify(`Copying is not allowed here. The link is ${link.href}`);
    }
  }

  #listen() {
    const viewport = $("viewport");
    $("leave").addEventListener("click", () => {
      this.close();
      this.#on.left();
    });
    $("invite").addEventListener("click", () => this.#copyInvite());
    $("reconnect").addEventListener("click", () => this.#chat?.client.wake());
    this.#earlier.addEventListener("click", () => this.#showEarlier());
    $("news").addEventListener("click", () => {
      this.#list.scrollToEnd();
      this.#composer.focus();
    });
    // A phone's keyboard takes half of the screen: keep the end visible.
    let wasAtEnd = true;
    viewport.addEventListener(
      "scroll",
      () => {
        wasAtEnd = this.#list.isAtEnd;
        this.#showUnseen();
      },
      { passive: true },
    );
    new ResizeObserver(() => wasAtEnd && this.#list.scrollToEnd()).observe(viewport);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden || this.#chat === null) return;
      this.#showUnseen();
      this.#chat.client.wake();
    });
    addEventListener("online", () => this.#chat?.client.wake());
  }
}

/** @param {Chat} chat */
function showStateText(chat) {
  $("state-text").textContent = stateText(chat, true);
}

/**
 * @param {Chat} chat
 * @param {boolean} withTime
 */
function stateText({ state, user }, withTime) {
  if (state.phase === "connecting") return "Connecting…";
  if (state.phase === "connected") return user === null ? "Connected" : `Connected as ${user}`;
  if (state.phase === "offline") return "Offline";
  const seconds = Math.max(1, Math.ceil((state.retryAt - performance.now()) / 1_000));
  const what = navigator.onLine ? "Reconnecting" : "Offline, reconnecting";
  return withTime ? `${what} in ${seconds}\u00a0s` : what;
}

// A screen reader announces new messages, not pages of earlier ones.
function hush() {
  const viewport = $("viewport");
  viewport.setAttribute("aria-live", "off");
  setTimeout(() => viewport.setAttribute("aria-live", "polite"), HUSH_MS);
}
