// Account against a fake of the user pool's API: signing in, fresh tokens, and the user's messages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { claimIn } from "../../../src/groupcast_web/client/token.js";
import { ACCOUNT_LIMITS, Account, SignInError } from "../../../src/groupcast_web/page/account.js";

const HOUR_MS = 3_600_000;

function jwt(payload) {
  return `e30.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.c2ln`;
}

/** Tokens as InitiateAuth gives them; a refresh brings no new refresh token. */
function tokens(number, isFirst = number === 1) {
  const AccessToken = jwt({ username: "앤", number });
  const RefreshToken = isFirst ? { RefreshToken: "refresh-1" } : {};
  return { AuthenticationResult: { AccessToken, ExpiresIn: 3_600, TokenType: "Bearer", ...RefreshToken } };
}

function no(code, message = "said no", status = 400) {
  return { status, body: { __type: code, message } };
}

/** An account whose user pool gives these answers, in order; an Error is a network that fails. */
function newAccount(...answers) {
  const asked = [];
  const clock = { now: 1_000_000 };
  const account = new Account({
    url: "http://pool.test:5000",
    clientId: "client-1",
    now: () => clock.now,
    fetch: async (url, request) => {
      asked.push({ url, ...request, body: JSON.parse(request.body) });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      const { status = 200, body = answer } = answer;
      return {
        ok: status < 300,
        status,
        json: async () => {
          if (typeof body === "string") throw new SyntaxError("not JSON");
          return body;
        },
      };
    },
  });
  return { account, asked, clock };
}

async function signedIn(...answers) {
  const made = newAccount(tokens(1), ...answers);
  await made.account.signIn("ann", "secret");
  return made;
}

test("signing in is one call of InitiateAuth", async () => {
  const { account, asked } = await signedIn();
  const [{ url, method, headers, body, credentials }] = asked;
  assert.deepEqual([url, method, credentials], ["http://pool.test:5000/", "POST", "omit"]);
  assert.deepEqual(headers, {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
  });
  assert.deepEqual(body, {
    AuthFlow: "USER_PASSWORD_AUTH",
    ClientId: "client-1",
    AuthParameters: { USERNAME: "ann", PASSWORD: "secret" },
  });
  assert.equal(account.name, "앤");
});

test("the current token is used while it has time left, then another", async () => {
  const { account, asked, clock } = await signedIn(tokens(2));
  const first = await account.grant();
  assert.equal(first.endsAt, clock.now + HOUR_MS);
  clock.now += HOUR_MS - ACCOUNT_LIMITS.spareMs;
  assert.deepEqual(await account.grant(), first);
  clock.now += 1;
  const second = await account.grant();
  assert.notEqual(second.token, first.token);
  assert.equal(second.endsAt, clock.now + HOUR_MS);
  assert.deepEqual(asked[1].body, {
    AuthFlow: "REFRESH_TOKEN_AUTH",
    ClientId: "client-1",
    AuthParameters: { REFRESH_TOKEN: "refresh-1" },
  });
  assert.equal(account.name, "앤");
});

test("a fresh token is a new one, unless the current one is fresh", async () => {
  const { account, asked, clock } = await signedIn(tokens(2));
  const first = await account.grant(true);
  assert.equal(asked.length, 1);
  clock.now += ACCOUNT_LIMITS.freshMs;
  assert.notEqual((await account.grant(true)).token, first.token);
  assert.equal(asked.length, 2);
});

test("concurrent requests for a token share one call", async () => {
  const { account, asked, clock } = await signedIn(tokens(2), tokens(3));
  clock.now += HOUR_MS;
  const [one, other] = await Promise.all([account.grant(), account.grant(true)]);
  assert.deepEqual(one, other);
  assert.equal(asked.length, 2);
});

test("a replaced refresh token is used from then on", async () => {
  const second = tokens(2);
  second.AuthenticationResult.RefreshToken = "refresh-2";
  const { account, asked, clock } = await signedIn(second, tokens(3));
  for (let refresh = 0; refresh < 2; refresh += 1) {
    clock.now += HOUR_MS;
    await account.grant();
  }
  const used = asked.slice(1).map(({ body }) => body.AuthParameters.REFRESH_TOKEN);
  assert.deepEqual(used, ["refresh-1", "refresh-2"]);
});

test("after signing out there is no token, not even one that was being fetched", async () => {
  const { account, clock } = await signedIn(tokens(2));
  clock.now += HOUR_MS;
  const asking = account.grant();
  account.signOut();
  await assert.rejects(asking, SignInError);
  await assert.rejects(account.grant(), SignInError);
  assert.equal(account.name, null);
});

test("only tokens are kept after signing in", async () => {
  const { account } = await signedIn();
  const seen = JSON.stringify(Object.entries(account)) + JSON.stringify(await account.grant());
  assert.ok(!seen.includes("secret") && !seen.includes("refresh-1"), seen);
});

const PROBLEMS = [
  [no("NotAuthorizedException", "Incorrect username or password."), /do not match/, false],
  [no("com.amazonaws#NotAuthorizedException"), /do not match/, false],
  [no("UserNotFoundException"), /do not match/, false],
  [no("NotAuthorizedException", "User is disabled."), /disabled/, false],
  [no("NotAuthorizedException", "Password attempts exceeded"), /Too many attempts/, true],
  [no("TooManyRequestsException"), /Too many attempts/, true],
  [no("UserNotConfirmedException"), /not confirmed/, false],
  [no("PasswordResetRequiredException"), /must be reset/, false],
  [no("InvalidParameterException", "USER_PASSWORD_AUTH is off"), /USER_PASSWORD_AUTH is off/, false],
  [no(undefined, undefined), /said no/, false],
  [no("InternalErrorException", "x", 500), /failed \(HTTP 500\)/, true],
  [{ status: 502, body: "<html>" }, /failed \(HTTP 502\)/, true],
  [{ status: 200, body: "<html>" }, /does not answer/, true],
  [{ status: 200, body: null }, /does not answer/, true],
  [{ status: 400, body: null }, /failed \(HTTP 400\)/, true],
  [{ AuthenticationResult: { AccessToken: "one" } }, /returned no token/, true],
  [new TypeError("Failed to fetch"), /does not answer/, true],
  [{ ChallengeName: "NEW_PASSWORD_REQUIRED", Session: "s" }, /temporary/, false],
  [{ ChallengeName: "SMS_MFA", Session: "s" }, /another step \(SMS_MFA\)/, false],
];

for (const [answer, sentence, isTemporary] of PROBLEMS) {
  test(`${JSON.stringify(answer.body ?? answer)} is told as ${sentence}`, async () => {
    const { account } = newAccount(answer);
    await assert.rejects(account.signIn("ann", "secret"), (error) => {
      assert.ok(error instanceof SignInError);
      assert.match(error.message, sentence);
      assert.ok(!error.message.includes("secret"));
      assert.equal(error.isTemporary, isTemporary);
      return true;
    });
    assert.equal(account.name, null);
  });
}

test("a refused refresh ends the session, a temporary failure does not", async () => {
  const { account, clock } = await signedIn(new TypeError("down"), tokens(2), no("NotAuthorizedException"));
  clock.now += HOUR_MS;
  await assert.rejects(account.grant(), { isTemporary: true });
  await account.grant();
  clock.now += HOUR_MS;
  await assert.rejects(account.grant(), { isTemporary: false, message: /session has ended/ });
});

const TEMPORARY_FAILURES = [no("TooManyRequestsException"), no("x", "x", 503), new TypeError("down")];

for (const trouble of TEMPORARY_FAILURES) {
  test(`after ${JSON.stringify(trouble.body ?? trouble)} the token in hand is given until it ends`, async () => {
    const { account, asked, clock } = await signedIn(trouble, trouble, trouble, tokens(2));
    const first = { token: tokens(1).AuthenticationResult.AccessToken, endsAt: clock.now + HOUR_MS };
    clock.now += ACCOUNT_LIMITS.freshMs;
    assert.deepEqual(await account.grant(true), first);
    clock.now = first.endsAt - 1;
    assert.deepEqual(await account.grant(), first);
    clock.now = first.endsAt;
    await assert.rejects(account.grant(), { isTemporary: true });
    assert.notEqual((await account.grant()).token, first.token);
    assert.equal(asked.length, 5);
  });
}

test("a refused refresh ends the session, whatever time the token has left", async () => {
  const { account, clock } = await signedIn(no("NotAuthorizedException"));
  clock.now += ACCOUNT_LIMITS.freshMs;
  await assert.rejects(account.grant(true), { isTemporary: false, message: /session has ended/ });
});

test("signing out during a failing refresh gives no token", async () => {
  const { account, clock } = await signedIn(new TypeError("down"), tokens(1));
  clock.now += ACCOUNT_LIMITS.freshMs;
  const asking = account.grant(true);
  account.signOut();
  await account.signIn("bob", "secret");
  await assert.rejects(asking, SignInError);
});

test("the name is read from a readable token only", () => {
  assert.equal(claimIn(jwt({ username: "민지 🙂" }), "username"), "민지 🙂");
  for (const token of ["", "opaque", "a.b.c", jwt({}), jwt(null)])
    assert.equal(claimIn(token, "username"), null);
});
