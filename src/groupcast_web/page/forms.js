// The forms before the chat: sign-in, and the choice of a group.

import { asError } from "../client/outstanding.js";
import { $, $as, all } from "./elements.js";

const JOIN_LEAD = "Pick a group. Everyone who joins the same group is in the chat.";

/** Asks for a user name and a password. */
export class SignInForm {
  #form = $as("sign-in", HTMLFormElement);
  #button = all("button", HTMLButtonElement, this.#form)[0];
  #user = $as("user", HTMLInputElement);
  #password = $as("password", HTMLInputElement);
  #isBusy = false;

  /**
   * Awaits `signIn`, and shows the message of its rejection.
   * @param {(user: string, password: string) => Promise<void>} signIn
   */
  constructor(signIn) {
    this.#form.addEventListener("submit", (event) => this.#submit(event, signIn));
  }

  /** Show the form with a problem, if there is one. */
  show(problem = "") {
    showForm(this.#form);
    $("sign-in-problem").textContent = problem;
    (this.#user.value ? this.#password : this.#user).focus();
  }

  /**
   * @param {SubmitEvent} event
   * @param {(user: string, password: string) => Promise<void>} signIn
   */
  async #submit(event, signIn) {
    event.preventDefault();
    if (this.#isBusy || !isComplete(this.#form)) return;
    this.#setBusy(true);
    $("sign-in-problem").textContent = "";
    try {
      await signIn(this.#user.value.trim(), this.#password.value);
      // The password is no longer needed.
      this.#password.value = "";
    } catch (error) {
      $("sign-in-problem").textContent = asError(error).message;
      this.#password.select();
    } finally {
      this.#setBusy(false);
    }
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#form.setAttribute("aria-busy", String(isBusy));
    // A disabled button loses the focus.
    this.#button.setAttribute("aria-disabled", String(isBusy));
    this.#button.textContent = isBusy ? "Signing in…" : "Sign in";
  }
}

/** Asks for a group and, in stages without sign-in, for a name. */
export class JoinForm {
  #form = $as("join", HTMLFormElement);
  #name = $as("name", HTMLInputElement);
  #group = $as("group", HTMLInputElement);

  /**
   * `join` is called when the form is complete.
   * @param {(values: { name: string, group: string }) => void} join
   */
  constructor(join) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isComplete(this.#form)) join(this.values);
    });
  }

  get values() {
    return { name: this.#name.value.trim(), group: this.#group.value.trim() };
  }

  /**
   * Fill in the values that are given.
   * @param {{ name?: string, group?: string }} values
   */
  fill({ name, group }) {
    if (name !== undefined) this.#name.value = name;
    if (group !== undefined) this.#group.value = group;
  }

  /**
   * Show the form, with the name of a signed-in user and a problem, if any.
   * @param {string | null} user
   */
  show(user, problem = "") {
    $("name-field").hidden = $("who").hidden = false;
    if (user === null) $("who").hidden = true;
    else $("name-field").hidden = true;
    $("who-name").textContent = user ?? "";
    if (user !== null) $("join-lead").textContent = JOIN_LEAD;
    showForm(this.#form);
    complain(this.#group, problem);
    const empty = fieldsOf(this.#form).find((field) => !field.value);
    (empty ?? this.#group).focus();
    if (empty === undefined) this.#group.select();
  }
}

/** @param {HTMLFormElement} form */
function showForm(form) {
  $("chat").hidden = true;
  $("welcome").hidden = false;
  for (const each of all("form", HTMLFormElement, $("welcome"))) each.hidden = each !== form;
  document.title = "groupcast";
  for (const field of fieldsOf(form)) complain(field, "");
}

/** @param {HTMLFormElement} form */
function isComplete(form) {
  const fields = fieldsOf(form);
  for (const field of fields) complain(field, field.value.trim() ? "" : "Please fill this in.");
  const missing = fields.find((field) => !field.value.trim());
  missing?.focus();
  return missing === undefined;
}

/** @param {HTMLFormElement} form */
function fieldsOf(form) {
  return all(".field:not([hidden]) input", HTMLInputElement, form);
}

/**
 * @param {HTMLInputElement} field
 * @param {string} problem
 */
function complain(field, problem) {
  $(`${field.id}-error`).textContent = problem;
  field.setAttribute("aria-invalid", String(problem !== ""));
}
