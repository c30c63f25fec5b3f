// A user of the user pool: signs in, and has an access token for whoever needs one. No DOM in here.
// Tokens are held in memory, for as long as the page is open; the password is not held at all.

import { record } from "../client/frames.js";
import { claimIn } from "../client/token.js";

// https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_InitiateAuth.html
const TARGET = "AWSCognitoIdentityProviderService.InitiateAuth";
const CONTENT_TYPE = "application/x-amz-json-1.1";

/** Every bound an account keeps. */
export const ACCOUNT_LIMITS = Object.freeze({
  // One call of the user pool.
  answerTimeoutMs: 15_000,
  // A token with less than this left is replaced before it is given away.
  spareMs: 120_000,
  // A token younger than this is as fresh as it gets: nobody makes the user pool give a new one.
  freshMs: 60_000,
});

const WRONG = "User name and password do not match. Check both and try again.";
const ASK = "Ask the person who runs this chat";
const TOO_OFTEN = "There were too many attempts. Wait a few minutes, then try again.";
const PROBLEMS = new Map([
  ["NotAuthorizedException", WRONG],
  ["UserNotFoundException", WRONG],
  ["UserNotConfirmedException", `This user is not confirmed yet. ${ASK} to confirm it.`],
  ["PasswordResetRequiredException", `The password of this user must be reset. ${ASK} for a new one.`],
]);
const PASSING = new Set(["TooManyRequestsException", "LimitExceededException"]);

/** @typedef {{ readonly [name in keyof typeof ACCOUNT_LIMITS]: number }} AccountLimits */

/** The part of `fetch` that an account uses. @typedef {(url: string, request: RequestInit) => Promise<Answer>} Fetch */
/** @typedef {{ ok: boolean, status: number, json: () => Promise<unknown> }} Answer */

/** The tokens of who is signed in. @typedef {{ token: string, endsAt: number, fetchedAt: number, refreshToken: string | null }} Tokens */

/** Signing in failed, or is over, with a sentence for the user. `isPassing`: the same may work later. */
export class SignInError extends Error {
  /** @param {string} message */
  constructor(message, isPassing = false) {
    super(message);
    this.isPassing = isPassing;
  }
}

/** One user, from `signIn` to `signOut`. */
export class Account {
  #options;
  /** Null while nobody is signed in. @type {(Tokens & { name: string }) | null} */
  #session = null;
  /** @type {Promise<void> | null} */
  #refreshing = null;

  /**
   * `url` is the user pool's API; `fetch`, `now` (milliseconds since 1970) and `limits` are for tests.
   * @param {{ url: string, clientId: string, fetch?: Fetch, now?: () => number, limits?: AccountLimits }} options
   */
  constructor({ url, clientId, fetch = defaultFetch, now = () => Date.now(), limits = ACCOUNT_LIMITS }) {
    this.#options = { url, clientId, fetch, now, limits };
  }

  /** The user's name as the chat shows it, or null. */
  get name() {
    return this.#session === null ? null : this.#session.name;
  }

  /**
   * Sign in. Rejects with SignInError.
   * @param {string} user
   * @param {string} password
   */
  async signIn(user, password) {
    const tokens = await this.#ask("USER_PASSWORD_AUTH", { USERNAME: user, PASSWORD: password });
    this.#session = { ...tokens, name: claimIn(tokens.token, "username") ?? user };
  }

  /** Forget who was signed in. */
  signOut() {
    this.#session = null;
  }

  /**
   * An access token and when it ends, as { token, endsAt } (milliseconds since 1970): the one in hand, or
   * another where that ends soon, or where `isFreshWanted` and it is not fresh. As long as the one in hand
   * has not ended, a user pool in trouble is no reason to be without. Rejects with SignInError.
   */
  async grant(isFreshWanted = false) {
    const former = this.#signedIn();
    const { limits, now } = this.#options;
    const isEnding = former.endsAt - now() < limits.spareMs;
    const isFresh = now() - former.fetchedAt < limits.freshMs;
    if (isEnding || (isFreshWanted && !isFresh)) {
      this.#refreshing ??= this.#refresh(former).finally(() => (this.#refreshing = null));
      try {
        await this.#refreshing;
      } catch (error) {
        const isGood = this.#session === former && former.endsAt > now();
        if (!(error instanceof SignInError) || !error.isPassing || !isGood) throw error;
      }
    }
    const { token, endsAt } = this.#signedIn();
    return { token, endsAt };
  }

  #signedIn() {
    if (this.#session === null) throw new SignInError("Nobody is signed in.");
    return this.#session;
  }

  /** @param {Tokens & { name: string }} former */
  async #refresh(former) {
    const { name, refreshToken } = former;
    const tokens = await this.#ask("REFRESH_TOKEN_AUTH", { REFRESH_TOKEN: refreshToken });
    if (this.#session !== former) throw new SignInError("Nobody is signed in.");
    this.#session = { ...tokens, name, refreshToken: tokens.refreshToken ?? refreshToken };
  }

  /**
   * @param {"USER_PASSWORD_AUTH" | "REFRESH_TOKEN_AUTH"} flow
   * @param {Record<string, string | null>} parameters
   * @returns {Promise<Tokens>}
   */
  async #ask(flow, parameters) {
    const { url, clientId, fetch, limits, now } = this.#options;
    let response;
    let answer;
    try {
      response = await fetch(new URL("/", url).href, {
        method: "POST",
        headers: { "Content-Type": CONTENT_TYPE, "X-Amz-Target": TARGET },
        body: JSON.stringify({ AuthFlow: flow, ClientId: clientId, AuthParameters: parameters }),
        credentials: "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(limits.answerTimeoutMs),
      });
      answer = record(await response.json());
      if (answer === null) throw new SyntaxError("no JSON object");
    } catch {
      if (response !== undefined && !response.ok) throw inTrouble(response.status);
      throw new SignInError("The sign-in service does not answer. Check your network and try again.", true);
    }
    if (!response.ok) throw problemOf(answer, response.status, flow);
    if (!answer.AuthenticationResult) throw new SignInError(challengeText(answer.ChallengeName));
    return tokensIn(record(answer.AuthenticationResult) ?? {}, now());
  }
}

/**
 * @param {Record<string, unknown>} result
 * @param {number} fetchedAt
 * @returns {Tokens}
 */
function tokensIn({ AccessToken, ExpiresIn, RefreshToken }, fetchedAt) {
  if (typeof AccessToken !== "string" || typeof ExpiresIn !== "number") {
    throw new SignInError("The sign-in service gave no token. Try again later.", true);
  }
  const refreshToken = typeof RefreshToken === "string" ? RefreshToken : null;
  // By the clock of this machine, right or wrong: only the difference counts.
  return { token: AccessToken, endsAt: fetchedAt + ExpiresIn * 1_000, fetchedAt, refreshToken };
}

/** @type {Fetch} */
function defaultFetch(url, request) {
  return globalThis.fetch(url, request);
}

/**
 * @param {Record<string, unknown>} answer
 * @param {number} status
 * @param {string} flow
 */
function problemOf(answer, status, flow) {
  const code = String(answer.__type ?? "").replace(/^.*#/, "");
  const said = String(answer.message ?? answer.Message ?? "");
  if (PASSING.has(code)) return new SignInError(TOO_OFTEN, true);
  if (status >= 500) return inTrouble(status);
  if (flow === "REFRESH_TOKEN_AUTH") return new SignInError("Your session has ended. Sign in again.");
  // One code for many reasons: https://docs.aws.amazon.com/cognito/latest/developerguide/authentication.html
  if (/disabled/i.test(said)) return new SignInError(`This user is disabled. ${ASK} to enable it.`);
  if (/attempts exceeded/i.test(said)) return new SignInError(TOO_OFTEN, true);
  return new SignInError(PROBLEMS.get(code) ?? `The sign-in service said no: ${said || `HTTP ${status}`}`);
}

/** @param {number} status */
function inTrouble(status) {
  return new SignInError(`The sign-in service is in trouble (HTTP ${status}). Try again later.`, true);
}

/** @param {unknown} challenge */
function challengeText(challenge) {
  if (challenge === "NEW_PASSWORD_REQUIRED") {
    return `Your password is a temporary one, which this page cannot change. ${ASK} for a lasting one.`;
  }
  return `Signing in takes one more step for you (${challenge ?? "unknown"}), which this page does not have.`;
}
