// The page: which screen is shown, who is signed in, and what is remembered.

import { Account } from "./account.js";
import { ChatScreen } from "./chatscreen.js";
import { JoinForm, SignInForm } from "./forms.js";

const STORE_KEY = "groupcast";
// Groups that only some may enter are called so, by the service's rule.
const PRIVATE_PREFIX = "private-";

const signInForm = new SignInForm(signIn);
const joinForm = new JoinForm(join);
const screen = new ChatScreen({
  joined: () => store(joinForm.values),
  left: () => showJoin(),
  refused,
  signedOut: (error) => signOut(error.message),
});

let config = null;
// Null where nobody needs to sign in.
let account = null;

start();

async function start() {
  const stored = load();
  const params = new URLSearchParams(location.search);
  joinForm.fill({ name: params.get("name") ?? stored.name, group: params.get("group") ?? stored.group });
  try {
    const response = await fetch("config.json");
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    config = await response.json();
  } catch (error) {
    joinForm.show(null, `The page's settings did not load (${error.message}). Reload to try again.`);
    return;
  }
  if (config.auth !== "none") {
    account = new Account({ url: config.cognitoUrl, clientId: config.clientId });
    signInForm.show();
  } else if (params.get("group") && joinForm.values.name) {
    join(joinForm.values);
  } else {
    joinForm.show(null);
  }
}

// -- signing in and out ---------------------------------------------------------------------------------

async function signIn(user, password) {
  await account.signIn(user, password);
  for (const button of document.querySelectorAll(".sign-out")) button.hidden = false;
  // An invite link, or the place that was left when the session ended.
  const group = new URLSearchParams(location.search).get("group");
  joinForm.fill({ group: group ?? undefined });
  if (group) join(joinForm.values);
  else joinForm.show(account.name);
}

function signOut(problem = "") {
  screen.close();
  account.signOut();
  signInForm.show(problem);
}

// -- joining and leaving --------------------------------------------------------------------------------

function join({ name, group }) {
  if (config === null) return;
  // A reload comes back to the same place.
  setPlace(account === null ? { group, name } : { group });
  screen.enter({
    url: config.gatewayUrl,
    group,
    name: account === null ? name : account.name,
    grant: account === null ? null : (isFreshWanted) => account.grant(isFreshWanted),
  });
}

function showJoin(problem = "") {
  setPlace({});
  joinForm.show(account === null ? null : account.name, problem);
}

function refused(error) {
  const { group } = joinForm.values;
  const isPrivate = error.code === "Forbidden" && group.startsWith(PRIVATE_PREFIX);
  // The way back to the group before is one press of Enter.
  joinForm.fill({ group: load().group });
  showJoin(isPrivate ? privateText(group) : `“${group}” did not let you in: ${error.message}`);
}

function privateText(group) {
  const who = account === null ? "you are" : `${account.name} is`;
  return `“${group}” is private, and ${who} not a member. Ask to be let in, or join another group.`;
}

function setPlace(params) {
  const query = new URLSearchParams(params).toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

// -- remembering ----------------------------------------------------------------------------------------

// Storage may be switched off; then nothing is remembered. Tokens and passwords never are.
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

for (const button of document.querySelectorAll(".sign-out")) {
  button.hidden = true;
  button.addEventListener("click", () => {
    setPlace({});
    signOut();
  });
}
