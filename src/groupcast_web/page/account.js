// A user of the user pool: signs in and provides access tokens. Uses no DOM.
// Tokens stay in memory while the page is open; the password is never stored.

import { record } from "../client/frames.js";
import { claimIn } from "../client/token.js";

// https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_InitiateAuth.html
const TARGET = "AWSCognitoIdentityProviderService.InitiateAuth";
const CONTENT_TYPE = "application/x-amz-json-1.1";

/** The limits of an account. */
export const ACCOUNT_LIMITS = Object.freeze({
  // For one call of the user pool.
  answerTimeoutMs: 15_000,
  // A token with less time left than this is replaced before use.
  spareMs: 120_000,
  // A token younger than this counts as fresh, so that the user pool is not asked too often.
  freshMs: 60_000,
});

const WRONG = "User name and password do not match. Check both and try again.";
const ASK = "Ask the person who runs this chat";
const TOO_OFTEN = "Too many attempts. Wait a few minutes, then try again.";
const PROBLEMS = new Map([
  ["NotAuthorizedException", WRONG],
  ["UserNotFoundException", WRONG],
  ["UserNotConfirmedException", `This user is not confirmed yet. ${ASK} to confirm it.`],
  ["PasswordResetRequiredException", `The password of this user must be reset. ${ASK} for a new one.`],
]);
const TEMPORARY = new Set(["TooManyRequestsException", "LimitExceededException"]);

/** @typedef {{ readonly [name in keyof typeof ACCOUNT_LIMITS]: number }} AccountLimits */

/** The part of `fetch` that an account uses. @typedef {(url: string, request: RequestInit) => Promise<Answer>} Fetch */
/** @typedef {{ ok: boolean, status: number, json: () => Promise<unknown> }} Answer */

/** The signed-in user's tokens. @typedef {{ token: string, endsAt: number, fetchedAt: number, refreshToken: string | null }} Tokens */

/** Sign-in failed or has ended; the message is for the user. With `isTemporary`, a retry may work later. */
export class SignInError extends Error {
  /** @param {string} message */
  constructor(message, isTemporary = false) {
    super(message);
    this.isTemporary = isTemporary;
  }
}

/** One user, from `signIn` to `signOut`. */
export class Account {
  #options;
  /** Null without a signed-in user. @type {(Tokens & { name: string }) | null} */
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

  /** The user's name in the chat, or null. */
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

  /** Forget the user and their tokens. */
  signOut() {
    this.#session = null;
  }

  /**
   * An access token and its expiry, as { token, endsAt } (milliseconds since 1970). Returns the current token, or a
   * new one if that expires soon or, with `wantsFresh`, is not fresh. If the user pool fails, returns the current
   * token until it expires. Rejects with SignInError.
   */
  async grant(wantsFresh = false) {
    const former = this.#signedIn();
    const { limits, now } = this.#options;
    const isEnding = former.endsAt - now() < limits.spareMs;
    const isFresh = now() - former.fetchedAt < limits.freshMs;
    if (isEnding || (wantsFresh && !isFresh)) {
      this.#refreshing ??= this.#refresh(former).finally(() => (this.#refreshing = null));
      try {
        await this.#refreshing;
      } catch (error) {
        const isGood = this.#session === former && former.endsAt > now();
        if (!(error instanceof SignInError) || !error.isTemporary || !isGood) throw error;
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
    throw new SignInError("The sign-in service returned no token. Try again later.", true);
  }
  const refreshToken = typeof RefreshToken === "string" ? RefreshToken : null;
  // By this machine's clock, even if it is wrong: only differences matter.
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
  if (TEMPORARY.has(code)) return new SignInError(TOO_OFTEN, true);
  if (status >= 500) return inTrouble(status);
  if (flow === "REFRESH_TOKEN_AUTH") return new SignInError("Your session has ended. Sign in again.");
  // Cognito uses this code for many reasons: https://docs.aws.amazon.com/cognito/latest/developerguide/authentication.html
  if (/disabled/i.test(said)) return new SignInError(`This user is disabled. ${ASK} to enable it.`);
  if (/attempts exceeded/i.test(said)) return new SignInError(TOO_OFTEN, true);
  return new SignInError(PROBLEMS.get(code) ?? `The sign-in service refused: ${said || `HTTP ${status}`}`);
}

/** @param {number} status */
function inTrouble(status) {
  return new SignInError(`The sign-in service failed (HTTP ${status}). Try again later.`, true);
}

/** @param {unknown} challenge */
function challengeText(challenge) {
  if (challenge === "NEW_PASSWORD_REQUIRED") {
    return `Your password is temporary, and this page cannot change it. ${ASK} for a permanent one.`;
  }
  return `Your sign-in requires another step (${challenge ?? "unknown"}), which this page does not support.`;
}
