// The chat's own screen: the connection's state, the messages, and the box to write in.

import { ChatClient } from "../client/client.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { MessageList } from "./view.js";

const NOTICE_MS = 6_000;
const HUSH_MS = 500;
const COUNTDOWN_MS = 250;

const $ = (id) => document.getElementById(id);

/** Shows one membership at a time, from `enter` to `close`. */
export class ChatScreen {
  #on;
  // The membership on the screen, or null; `enter` makes it.
  #chat = null;
  #countdown;
  #noticeTimer;
  #renderTimer = null;
  #list = new MessageList($("viewport"), $("messages"), {
    retry: (id) => this.#attempt(() => this.#chat.client.retry(id)),
    discard: (id) => {
      this.#chat.client.discard(id);
      this.#chat.conversation.removeOwn(id);
      this.#render();
    },
  });
  #composer = new Composer((text) => this.#send(text));

  /**
   * `on.joined()` is called when the group let the user in, `on.left()` when the user left it,
   * `on.refused(error)` and `on.signedOut(error)` when the client gave up, with the screen closed.
   */
  constructor(on) {
    this.#on = on;
    this.#listen();
  }

  /** Join a group. `grant` is null where nobody signs in; see ChatClient. */
  enter({ url, group, name, grant }) {
    const conversation = new Conversation(name);
    const mine = { conversation, group, url, state: {}, wasConnected: false, unseen: 0, hasEarlier: false };
    mine.user = grant === null ? null : name;
    // What a membership that was left still has to say is of no interest.
    const ifCurrent = (react) => (value) => this.#chat === mine && react(value);
    const giveUp = (tell) => ifCurrent((error) => {
      this.close();
      tell(error);
    });
    mine.client = new ChatClient({
      url,
      group,
      name: grant === null ? name : undefined,
      grant,
      on: {
        state: ifCurrent((state) => this.#showState(state)),
        messages: ifCurrent((messages) => this.#showMessages(messages)),
        own: ifCurrent((own) => this.#showOwn(own)),
        anew: ifCurrent(() => conversation.clear()),
        refused: giveUp(this.#on.refused),
        signedOut: giveUp(this.#on.signedOut),
        trouble: ifCurrent((error) => this.#notify(`The server says: ${error.message}`, true)),
      },
    });
    this.#chat = mine;
    $("title").textContent = group;
    $("welcome").hidden = true;
    $("chat").hidden = false;
    this.#composer.focus();
    this.#notify("");
    this.#render();
    mine.client.open();
  }

  /** Leave the group, if there is one. What was not sent is forgotten. */
  close() {
    if (this.#chat === null) return;
    const { client } = this.#chat;
    this.#chat = null;
    clearInterval(this.#countdown);
    client.close();
    this.#list.render([]);
  }

  // -- connection ---------------------------------------------------------------------------------------

  #showState(state) {
    const chat = this.#chat;
    chat.state = state;
    if (state.phase === "connected") chat.conversation.userId = state.userId;
    clearInterval(this.#countdown);
    const isReconnecting = state.phase === "reconnecting";
    if (isReconnecting) this.#countdown = setInterval(() => this.#showStateText(), COUNTDOWN_MS);
    $("state").dataset.phase = state.phase;
    $("reconnect").hidden = !isReconnecting;
    $("state-spoken").textContent = stateText(chat, false);
    this.#showStateText();
    if (isReconnecting && !chat.wasConnected) {
      this.#notify(`Nobody answers at ${chat.url}. Is the gateway running?`, true);
    } else if (state.phase === "connected" && !chat.wasConnected) {
      chat.wasConnected = true;
      this.#notify("");
      this.#on.joined();
    }
    this.#render();
  }

  #showStateText() {
    $("state-text").textContent = stateText(this.#chat, true);
  }

  // -- messages -----------------------------------------------------------------------------------------

  #showMessages(messages) {
    const chat = this.#chat;
    const { conversation } = chat;
    const wasEmpty = conversation.firstSeq === null;
    conversation.append(messages);
    if (wasEmpty) {
      hush();
      chat.hasEarlier = conversation.firstSeq > 1;
    }
    const others = messages.filter((message) => !conversation.isMine(message)).length;
    if (!wasEmpty && (document.hidden || !this.#list.isAtEnd)) chat.unseen += others;
    this.#render();
  }

  #showOwn(own) {
    this.#chat.conversation.setOwn(own, Date.now());
    if (own.status === "pending") {
      this.#chat.unseen = 0;
      this.#renderNow(true);
    } else {
      this.#render();
    }
  }

  // Several changes in one turn are drawn once.
  #render() {
    this.#renderTimer ??= setTimeout(() => this.#renderNow(this.#list.isAtEnd), 0);
  }

  #renderNow(followsEnd) {
    clearTimeout(this.#renderTimer);
    this.#renderTimer = null;
    if (this.#chat === null) return;
    const { conversation, state, hasEarlier } = this.#chat;
    this.#list.render(conversation.rows(new Date()));
    $("empty").hidden = !(conversation.isEmpty && state.lastSeq === 0);
    $("earlier-box").hidden = !hasEarlier || conversation.isFull;
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
    $("earlier").disabled = true;
    try {
      const page = await chat.client.before(chat.conversation.firstSeq);
      const viewport = $("viewport");
      const toEnd = viewport.scrollHeight - viewport.scrollTop;
      chat.conversation.prepend(page.messages);
      if (this.#chat !== chat) return;
      hush();
      chat.hasEarlier = !page.complete && page.messages.length > 0;
      this.#renderNow(false);
      // What was in sight stays in sight.
      viewport.scrollTop = viewport.scrollHeight - toEnd;
    } catch (error) {
      if (this.#chat === chat) this.#notify(`Earlier messages did not load: ${error.message}`, true);
    } finally {
      $("earlier").disabled = false;
    }
  }

  // -- the rest -----------------------------------------------------------------------------------------

  #send(text) {
    const isQueued = this.#attempt(() => this.#chat.client.send(text));
    if (isQueued && this.#chat.wasConnected) this.#notify("");
    return isQueued;
  }

  #attempt(action) {
    try {
      action();
      return true;
    } catch (error) {
      this.#notify(error.message, true);
      return false;
    }
  }

  #notify(text, isError = false) {
    clearTimeout(this.#noticeTimer);
    $("notice").textContent = text;
    $("notice").classList.toggle("error", isError);
    if (text && !isError) this.#noticeTimer = setTimeout(() => this.#notify(""), NOTICE_MS);
  }

  async #copyInvite() {
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
    $("reconnect").addEventListener("click", () => this.#chat.client.wake());
    $("earlier").addEventListener("click", () => this.#showEarlier());
    $("news").addEventListener("click", () => {
      this.#list.scrollToEnd();
      this.#composer.focus();
    });
    // A keyboard on a phone takes half of the screen: the end stays in sight.
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

function stateText({ state: { phase, retryAt }, user }, withTime) {
  if (phase === "connecting") return "Connecting…";
  if (phase === "connected") return user === null ? "Connected" : `Connected as ${user}`;
  if (phase === "offline") return "Offline";
  const seconds = Math.max(1, Math.ceil((retryAt - performance.now()) / 1_000));
  const what = navigator.onLine ? "Reconnecting" : "Offline, reconnecting";
  return withTime ? `${what} in ${seconds}\u00a0s` : what;
}

// A screen reader reads out what is said now, not the pages of what was said before.
function hush() {
  const viewport = $("viewport");
  viewport.setAttribute("aria-live", "off");
  setTimeout(() => viewport.setAttribute("aria-live", "polite"), HUSH_MS);
}
