// The forms in front of the chat: signing in, and choosing a group.

const JOIN_LEAD = "Pick a group. Whoever joins the same group is in the chat.";

const $ = (id) => document.getElementById(id);

/** Asks for a user name and a password. */
export class SignInForm {
  #form = $("sign-in");
  #button = $("sign-in").querySelector("button");
  #isBusy = false;

  /** `signIn(user, password)` is awaited; the message of what it rejects with is shown. */
  constructor(signIn) {
    this.#form.addEventListener("submit", (event) => this.#submit(event, signIn));
  }

  /** Show the form with a problem, if there is one. */
  show(problem = "") {
    showForm(this.#form);
    $("sign-in-problem").textContent = problem;
    ($("user").value ? $("password") : $("user")).focus();
  }

  async #submit(event, signIn) {
    event.preventDefault();
    if (this.#isBusy || !isComplete(this.#form)) return;
    this.#setBusy(true);
    $("sign-in-problem").textContent = "";
    try {
      await signIn($("user").value.trim(), $("password").value);
      // Nobody needs it any more.
      $("password").value = "";
    } catch (error) {
      $("sign-in-problem").textContent = error.message;
      $("password").select();
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#form.setAttribute("aria-busy", String(isBusy));
    // A button that is disabled loses the focus.
    this.#button.setAttribute("aria-disabled", String(isBusy));
    this.#button.textContent = isBusy ? "Signing in…" : "Sign in";
  }
}

/** Asks for a group, and where nobody signs in for a name. */
export class JoinForm {
  #form = $("join");

  /** `join({ name, group })` is called when the form is complete. */
  constructor(join) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isComplete(this.#form)) join(this.values);
    });
  }

  get values() {
    return { name: $("name").value.trim(), group: $("group").value.trim() };
  }

  /** Fill in what is given. */
  fill({ name, group }) {
    if (name !== undefined) $("name").value = name;
    if (group !== undefined) $("group").value = group;
  }

  /** Show the form, for the user of this name if somebody has signed in, with a problem if there is one. */
  show(user, problem = "") {
    $("name-field").hidden = $("who").hidden = false;
    if (user === null) $("who").hidden = true;
    else $("name-field").hidden = true;
    $("who-name").textContent = user ?? "";
    if (user !== null) $("join-lead").textContent = JOIN_LEAD;
    showForm(this.#form);
    complain($("group"), problem);
    const empty = fieldsOf(this.#form).find((field) => !field.value);
    (empty ?? $("group")).focus();
    if (empty === undefined) $("group").select();
  }
}

function showForm(form) {
  $("chat").hidden = true;
  $("welcome").hidden = false;
  for (const each of $("welcome").children) each.hidden = each !== form;
  document.title = "groupcast";
  for (const field of fieldsOf(form)) complain(field, "");
}

function isComplete(form) {
  const fields = fieldsOf(form);
  for (const field of fields) complain(field, field.value.trim() ? "" : "Please fill this in.");
  const missing = fields.find((field) => !field.value.trim());
  missing?.focus();
  return missing === undefined;
}

function fieldsOf(form) {
  return [...form.querySelectorAll(".field:not([hidden]) input")];
}

function complain(field, problem) {
  $(`${field.id}-error`).textContent = problem;
  field.setAttribute("aria-invalid", String(problem !== ""));
}
