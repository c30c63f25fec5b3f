// The message box.

import { $, $as } from "./elements.js";

// 5,000 UTF-16 units are at most 15,000 bytes of UTF-8; the service accepts 16 KiB.
const MAX_TEXT = 5_000;
const COUNT_FROM = 4_500;

/** Reads a text and counts the remaining characters; clears it if `send(text)` returns true. */
export class Composer {
  #field = $as("text", HTMLTextAreaElement);
  #send;

  /** @param {(text: string) => boolean} send */
  constructor(send) {
    this.#send = send;
    $("composer").addEventListener("submit", (event) => this.#submit(event));
    this.#field.addEventListener("keydown", onKey);
    this.#field.addEventListener("input", () => this.#showSize());
  }

  focus() {
    this.#field.focus();
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#field.value.trim();
    if (text === "" || text.length > MAX_TEXT || !this.#send(text)) return;
    this.#field.value = "";
    this.#showSize();
  }

  #showSize() {
    const field = this.#field;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    const left = MAX_TEXT - field.value.trim().length;
    const counter = $("counter");
    counter.classList.toggle("over", left < 0);
    counter.textContent = "";
    if (left < 0) counter.textContent = `${-left} characters too many`;
    else if (left < MAX_TEXT - COUNT_FROM) counter.textContent = `${left} characters left`;
    $as("send", HTMLButtonElement).disabled = left < 0;
  }
}

// Enter sends, and Shift+Enter breaks the line. The Enter that ends a composition (Korean, Japanese, Chinese) does
// neither. Safari reports that one after the composition, with the key code 229.
/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $as("composer", HTMLFormElement).requestSubmit();
}
