// The page: what is typed and clicked, what is shown, and what is remembered.

import { ChatClient } from "./client.js";
import { Conversation } from "./conversation.js";
import { MessageList } from "./view.js";

// 5,000 UTF-16 units are at most 15,000 bytes of UTF-8; the service takes 16 KiB.
const MAX_TEXT = 5_000;
const COUNT_FROM = 4_500;
const NOTICE_MS = 6_000;
const HUSH_MS = 500;
const STORE_KEY = "groupcast";

const $ = (id) => document.getElementById(id);
const params = new URLSearchParams(location.search);
const list = new MessageList($("viewport"), $("messages"), {
  retry: (id) => attempt(() => chat.client.retry(id)),
  discard: (id) => {
    chat.client.discard(id);
    chat.conversation.removeOwn(id);
    render();
  },
});

let config = null;
// The membership on the screen, or null; `join` makes it.
let chat = null;
let countdown;
let noticeTimer;
let renderTimer = null;

start();

async function start() {
  const stored = load();
  $("name").value = params.get("name") ?? stored.name ?? "";
  $("group").value = params.get("group") ?? stored.group ?? "";
  try {
    const response = await fetch("config.json");
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    config = await response.json();
  } catch (error) {
    showWelcome(`The page's settings did not load (${error.message}). Reload to try again.`);
    return;
  }
  const needsToken = config.auth !== "none";
  $("name-field").hidden = needsToken;
  $("token-field").hidden = !needsToken;
  if (params.get("group") && $("name").value.trim() && !needsToken) join();
  else showWelcome();
}

// -- joining and leaving --------------------------------------------------------------------------------

function showWelcome(problem = "") {
  $("chat").hidden = true;
  $("welcome").hidden = false;
  document.title = "groupcast";
  $("group-error").textContent = problem;
  const fields = [...$("join").querySelectorAll(".field:not([hidden]) input")];
  (fields.find((field) => !field.value) ?? $("group")).focus();
}

function submitJoin(event) {
  event.preventDefault();
  if (config === null) return;
  const fields = [...$("join").querySelectorAll(".field:not([hidden]) input")];
  for (const field of fields) complain(field, field.value.trim() ? "" : "Please fill this in.");
  const missing = fields.find((field) => !field.value.trim());
  if (missing) missing.focus();
  else join();
}

function complain(field, problem) {
  $(`${field.id}-error`).textContent = problem;
  field.setAttribute("aria-invalid", String(problem !== ""));
}

function join() {
  const [name, group] = [$("name").value.trim(), $("group").value.trim()];
  store({ name, group });
  // A reload comes back to the same place.
  history.replaceState(null, "", `?${new URLSearchParams(name ? { group, name } : { group })}`);
  const conversation = new Conversation(name);
  const mine = { conversation, group, state: {}, wasConnected: false, unseen: 0, hasEarlier: false };
  // What a membership that was left still has to say is of no interest.
  const ifCurrent = (react) => (value) => chat === mine && react(value);
  mine.client = new ChatClient({
    url: config.gatewayUrl,
    group,
    name,
    token: config.auth === "none" ? undefined : $("token").value.trim(),
    on: {
      state: ifCurrent(showState),
      messages: ifCurrent(showMessages),
      own: ifCurrent(showOwn),
      anew: ifCurrent(() => conversation.clear()),
      refused: ifCurrent((error) => leave(error.message)),
      trouble: ifCurrent((error) => notify(`The server says: ${error.message}`, true)),
    },
  });
  chat = mine;
  $("title").textContent = group;
  $("welcome").hidden = true;
  $("chat").hidden = false;
  $("text").focus();
  notify("");
  render();
  mine.client.open();
}

function leave(problem = "") {
  const { client } = chat;
  chat = null;
  clearInterval(countdown);
  client.close();
  list.render([]);
  history.replaceState(null, "", location.pathname);
  showWelcome(problem);
}

// -- connection -----------------------------------------------------------------------------------------

function showState(state) {
  chat.state = state;
  clearInterval(countdown);
  if (state.phase === "reconnecting") countdown = setInterval(showStateText, 250);
  $("state").dataset.phase = state.phase;
  $("reconnect").hidden = state.phase !== "reconnecting";
  $("state-spoken").textContent = stateText(state, false);
  showStateText();
  if (state.phase === "reconnecting" && !chat.wasConnected) {
    notify(`Nobody answers at ${config.gatewayUrl}. Is the gateway running?`, true);
  } else if (state.phase === "connected" && !chat.wasConnected) {
    chat.wasConnected = true;
    notify("");
  }
  render();
}

function showStateText() {
  $("state-text").textContent = stateText(chat.state, true);
}

function stateText({ phase, retryAt }, withTime) {
  if (phase === "connecting") return "Connecting…";
  if (phase === "connected") return "Connected";
  if (phase === "offline") return "Offline";
  const seconds = Math.max(1, Math.ceil((retryAt - performance.now()) / 1_000));
  const what = navigator.onLine ? "Reconnecting" : "Offline, reconnecting";
  return withTime ? `${what} in ${seconds}\u00a0s` : what;
}

// -- messages -------------------------------------------------------------------------------------------

function showMessages(messages) {
  const { conversation } = chat;
  const wasEmpty = conversation.firstSeq === null;
  conversation.append(messages);
  if (wasEmpty) {
    hush();
    chat.hasEarlier = conversation.firstSeq > 1;
  }
  const others = messages.filter((message) => !conversation.isMine(message)).length;
  if (!wasEmpty && (document.hidden || !list.isAtEnd)) chat.unseen += others;
  render();
}

function showOwn(own) {
  chat.conversation.setOwn(own, Date.now());
  if (own.status === "pending") {
    chat.unseen = 0;
    renderNow(true);
  } else {
    render();
  }
}

// A screen reader reads out what is said now, not the pages of what was said before.
function hush() {
  const viewport = $("viewport");
  viewport.setAttribute("aria-live", "off");
  setTimeout(() => viewport.setAttribute("aria-live", "polite"), HUSH_MS);
}

// Several changes in one turn are drawn once.
function render() {
  renderTimer ??= setTimeout(() => renderNow(list.isAtEnd), 0);
}

function renderNow(followsEnd) {
  clearTimeout(renderTimer);
  renderTimer = null;
  if (chat === null) return;
  const { conversation, state } = chat;
  list.render(conversation.rows(new Date()));
  $("empty").hidden = !(conversation.isEmpty && state.lastSeq === 0);
  $("earlier-box").hidden = !chat.hasEarlier || conversation.isFull;
  if (followsEnd) list.scrollToEnd();
  showUnseen();
}

function showUnseen() {
  if (chat === null) return;
  if (!document.hidden && list.isAtEnd) chat.unseen = 0;
  const { unseen, group } = chat;
  $("news").hidden = list.isAtEnd;
  $("news").textContent = unseen === 0 ? "↓ Latest" : `↓ ${unseen} new ${unseen === 1 ? "message" : "messages"}`;
  document.title = unseen === 0 ? `${group} · groupcast` : `(${unseen}) ${group} · groupcast`;
}

async function showEarlier() {
  const { client, conversation } = chat;
  $("earlier").disabled = true;
  try {
    const page = await client.before(conversation.firstSeq);
    const viewport = $("viewport");
    const toEnd = viewport.scrollHeight - viewport.scrollTop;
    conversation.prepend(page.messages);
    if (chat?.client !== client) return;
    hush();
    chat.hasEarlier = !page.complete && page.messages.length > 0;
    renderNow(false);
    // What was in sight stays in sight.
    viewport.scrollTop = viewport.scrollHeight - toEnd;
  } catch (error) {
    notify(`Earlier messages did not load: ${error.message}`, true);
  } finally {
    $("earlier").disabled = false;
  }
}

// -- writing --------------------------------------------------------------------------------------------

function submitText(event) {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text === "" || text.length > MAX_TEXT) return;
  if (!attempt(() => chat.client.send(text))) return;
  $("text").value = "";
  if (chat.wasConnected) notify("");
  showSize();
}

// Enter sends and Shift+Enter breaks the line; the Enter that ends a composition (Korean, Japanese, Chinese)
// does neither. Safari reports that one after the composition, with the key code 229.
function onKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $("composer").requestSubmit();
}

function showSize() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  const left = MAX_TEXT - field.value.trim().length;
  const counter = $("counter");
  counter.classList.toggle("over", left < 0);
  counter.textContent = "";
  if (left < 0) counter.textContent = `${-left} characters too many`;
  else if (left < MAX_TEXT - COUNT_FROM) counter.textContent = `${left} characters left`;
  $("send").disabled = left < 0;
}

function attempt(action) {
  try {
    action();
    return true;
  } catch (error) {
    notify(error.message, true);
    return false;
  }
}

// -- the rest -------------------------------------------------------------------------------------------

function notify(text, isError = false) {
  clearTimeout(noticeTimer);
  $("notice").textContent = text;
  $("notice").classList.toggle("error", isError);
  if (text && !isError) noticeTimer = setTimeout(() => notify(""), NOTICE_MS);
}

async function copyInvite() {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("group", chat.group);
  try {
    await navigator.clipboard.writeText(link.href);
    notify("Invite link copied.");
  } catch {
    notify(`Copying is not allowed here. The link is ${link.href}`);
  }
}

// Storage may be switched off; then nothing is remembered.
function load() {
  try {
    return JSON.parse(localStorage.getItem(STORE_KEY)) ?? {};
  } catch {
    return {};
  }
}

function store(values) {
  try {
    localStorage.setItem(STORE_KEY, JSON.stringify(values));
  } catch {
    // As above.
  }
}

$("join").addEventListener("submit", submitJoin);
$("composer").addEventListener("submit", submitText);
$("text").addEventListener("keydown", onKey);
$("text").addEventListener("input", showSize);
$("leave").addEventListener("click", () => leave());
$("invite").addEventListener("click", copyInvite);
$("reconnect").addEventListener("click", () => chat.client.wake());
$("earlier").addEventListener("click", showEarlier);
$("viewport").addEventListener("scroll", showUnseen, { passive: true });
$("news").addEventListener("click", () => {
  list.scrollToEnd();
  $("text").focus();
});
// A keyboard on a phone takes half of the screen: the end stays in sight.
let wasAtEnd = true;
$("viewport").addEventListener("scroll", () => (wasAtEnd = list.isAtEnd), { passive: true });
new ResizeObserver(() => wasAtEnd && list.scrollToEnd()).observe($("viewport"));
document.addEventListener("visibilitychange", () => {
  if (document.hidden || chat === null) return;
  showUnseen();
  chat.client.wake();
});
addEventListener("online", () => chat?.client.wake());
