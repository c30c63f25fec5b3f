// The message list on the screen. Other users' text is only set through textContent.

/** @import { DayRow, MessageRow, Row } from "./conversation.js" */

import { hueOf } from "./conversation.js";

// Within this distance from the end, the list follows new messages.
const NEAR_END_PX = 80;
const TIME = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const STATUS_TEXT = { pending: "Sending…", sent: "Sent", failed: "Not sent" };

/** @typedef {{ retry: (messageId: string) => void, discard: (messageId: string) => void }} FailureListeners */

/** Shows rows of a Conversation in `list` (an ol), which scrolls inside `viewport`. */
export class MessageList {
  #viewport;
  #list;
  #on;
  /** By key. @type {Map<Row["key"], { row: Row, node: HTMLElement }>} */
  #shown = new Map();

  /**
   * `on` gets the user's choices for failed messages.
   * @param {HTMLElement} viewport
   * @param {HTMLElement} list
   * @param {FailureListeners} on
   */
  constructor(viewport, list, on) {
    this.#viewport = viewport;
    this.#list = list;
    this.#on = on;
  }

  get isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#viewport;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  scrollToEnd() {
    this.#viewport.scrollTop = this.#viewport.scrollHeight;
  }

  /**
   * Show these rows, and keep the nodes of unchanged ones.
   * @param {Row[]} rows
   */
  render(rows) {
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, { node }] of this.#shown) {
      if (keys.has(key)) continue;
      node.remove();
      this.#shown.delete(key);
    }
    const nodes = rows.map((row) => this.#nodeOf(row));
    let place = this.#list.firstChild;
    for (const node of nodes) {
      if (node === place) place = place.nextSibling;
      else this.#list.insertBefore(node, place);
    }
  }

  /** @param {Row} row */
  #nodeOf(row) {
    const shown = this.#shown.get(row.key);
    if (shown !== undefined && isSame(shown.row, row)) return shown.node;
    const node = row.kind === "day" ? dayNode(row) : this.#messageNode(row);
    shown?.node.replaceWith(node);
    this.#shown.set(row.key, { row, node });
    return node;
  }

  /** @param {MessageRow} row */
  #messageNode(row) {
    const node = element("li", `message ${row.mine ? "mine" : "theirs"}${row.isFirst ? " first" : ""}`);
    if (row.status) node.dataset.status = row.status;
    node.style.setProperty("--hue", String(hueOf(row.sender)));
    if (!row.mine) {
      node.append(avatar(row.sender));
      node.append(element("span", row.isFirst ? "sender" : "sender visually-hidden", row.sender));
    } else {
      node.append(element("span", "visually-hidden", "You"));
    }
    const text = element("p", "text", row.text);
    text.title = new Date(row.at).toLocaleString();
    node.append(text);
    if (row.isLast || row.status === "pending" || row.status === "failed") node.append(meta(row));
    if (row.status === "failed") node.append(this.#failure(row));
    return node;
  }

  /** @param {MessageRow} row */
  #failure(row) {
    const box = element("div", "failure");
    const messageId = String(row.key);
    const retry = button("Retry", () => this.#on.retry(messageId));
    const discard = button("Discard", () => this.#on.discard(messageId));
    box.append(element("span", "reason", row.reason ?? "no reason given"), retry, discard);
    return box;
  }
}

/**
 * @param {Row} one
 * @param {Row} other
 */
function isSame(one, other) {
  const values = new Map(Object.entries(one));
  return Object.entries(other).every(([name, value]) => values.get(name) === value);
}

/** @param {DayRow} row */
function dayNode(row) {
  const node = element("li", "day");
  const label = element("time", "", row.label);
  label.dateTime = row.at.slice(0, 10);
  node.append(label);
  return node;
}

/** @param {string} sender */
function avatar(sender) {
  const node = element("span", "avatar", [...sender][0]?.toUpperCase() ?? "?");
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** @param {MessageRow} row */
function meta(row) {
  const node = element("span", "meta");
  const time = element("time", "", TIME.format(new Date(row.at)));
  time.dateTime = row.at;
  node.append(time);
  if (row.status) node.append(element("span", "status", STATUS_TEXT[row.status]));
  return node;
}

/**
 * @param {string} label
 * @param {() => void} onClick
 */
function button(label, onClick) {
  const node = element("button", "link", label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 */
function element(tag, className, text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}
