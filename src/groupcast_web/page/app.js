// The page: shows the screens, signs users in and out, and remembers the last group.

/** @import { ServerError } from "../client/outstanding.js" */

import { record } from "../client/frames.js";
import { asError } from "../client/outstanding.js";
import { Account } from "./account.js";
import { ChatScreen } from "./chatscreen.js";
import { all } from "./elements.js";
import { JoinForm, SignInForm } from "./forms.js";

const STORE_KEY = "groupcast";
// By the service's rule, the names of private groups begin like this.
const PRIVATE_PREFIX = "private-";

const signOutButtons = all(".sign-out", HTMLButtonElement);
const signInForm = new SignInForm(signIn);
const joinForm = new JoinForm(join);
const screen = new ChatScreen({
  joined: () => store(joinForm.values),
  left: () => showJoin(),
  refused,
  signedOut: (error) => signOut(error.message),
});

/** `pool` is null in stages without sign-in. @typedef {{ gatewayUrl: string, pool: { url: string, clientId: string } | null }} Config */

/** @type {Config | null} */
let config = null;
/** Null in stages without sign-in. @type {Account | null} */
let account = null;

start();

async function start() {
  const stored = load();
  const params = new URLSearchParams(location.search);
  joinForm.fill({ name: params.get("name") ?? stored.name, group: params.get("group") ?? stored.group });
  try {
    const response = await fetch("config.json");
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    config = configOf(await response.json());
  } catch (error) {
    joinForm.show(null, `The page's settings did not load (${asError(error).message}). Reload to try again.`);
    return;
  }
  if (config.pool !== null) {
    account = new Account(config.pool);
    signInForm.show();
  } else if (params.get("group") && joinForm.values.name) {
    join(joinForm.values);
  } else {
    joinForm.show(null);
  }
}

/**
 * Throws TypeError if this is not a valid config.json.
 * @param {unknown} json
 * @returns {Config}
 */
function configOf(json) {
  const { gatewayUrl, auth, cognitoUrl: url, clientId } = record(json) ?? {};
  if (typeof gatewayUrl === "string" && URL.canParse(gatewayUrl)) {
    if (auth === "none") return { gatewayUrl, pool: null };
    if (typeof url === "string" && typeof clientId === "string")
      return { gatewayUrl, pool: { url, clientId } };
  }
  throw new TypeError("they are not complete");
}

// -- signing in and out ---------------------------------------------------------------------------------

/**
 * @param {string} user
 * @param {string} password
 */
async function signIn(user, password) {
  await account?.signIn(user, password);
  for (const button of signOutButtons) button.hidden = false;
  // The group of an invite link, or the one that was open when the session ended.
  const group = new URLSearchParams(location.search).get("group");
  joinForm.fill({ group: group ?? undefined });
  if (group) join(joinForm.values);
  else joinForm.show(account?.name ?? null);
}

function signOut(problem = "") {
  screen.close();
  account?.signOut();
  signInForm.show(problem);
}

// -- joining and leaving --------------------------------------------------------------------------------

/** @param {{ name: string, group: string }} values */
function join({ name, group }) {
  if (config === null) return;
  const user = account;
  // A reload returns to the same group.
  setPlace(user === null ? { group, name } : { group });
  screen.enter({
    url: config.gatewayUrl,
    group,
    name: user?.name ?? name,
    grant: user === null ? null : (wantsFresh) => user.grant(wantsFresh),
  });
}

function showJoin(problem = "") {
  setPlace({});
  joinForm.show(account?.name ?? null, problem);
}

/** @param {ServerError} error */
function refused(error) {
  const { group } = joinForm.values;
  const isPrivate = error.code === "Forbidden" && group.startsWith(PRIVATE_PREFIX);
  // One press of Enter returns to the previous group.
  joinForm.fill({ group: load().group });
  showJoin(isPrivate ? privateText(group) : `You cannot join “${group}”: ${error.message}`);
}

/** @param {string} group */
function privateText(group) {
  const who = account?.name ? `${account.name} is` : "you are";
  return `“${group}” is private, and ${who} not a member. Ask to be let in, or join another group.`;
}

/** @param {Record<string, string>} params */
function setPlace(params) {
  const query = new URLSearchParams(params).toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

// -- remembering ----------------------------------------------------------------------------------------

/**
 * The remembered form values; none if storage is disabled. Tokens and passwords are never stored.
 * @returns {{ name?: string, group?: string }}
 */
function load() {
  try {
    return JSON.parse(localStorage.getItem(STORE_KEY) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** @param {{ name: string, group: string }} values */
function store(values) {
  try {
    localStorage.setItem(STORE_KEY, JSON.stringify(values));
  } catch {
    // Storage is disabled.
  }
}

for (const button of signOutButtons) {
  button.hidden = true;
  button.addEventListener("click", () => {
    setPlace({});
    signOut();
  });
}
