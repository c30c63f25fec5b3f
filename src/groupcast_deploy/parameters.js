"use strict";

// Checks and types the parameters of serverless.yml: `--param` gives only text, and CloudFormation does not check
// free JSON such as RouteSettings. Bounds that functions check are the same in src/groupcast/settings.py. Pure.

const oneOf = (...choices) => ({
  allows: `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`,
  read: (text) => (choices.includes(text) ? text : null),
});
const whole = (low, high) => ({
  allows: `a whole number from ${low} to ${high}`,
  read: (text) =>
    /^\d{1,15}$/.test(text) && low <= Number(text) && Number(text) <= high ? Number(text) : null,
  low,
  high,
});
const flag = {
  allows: "true or false",
  read: (text) => ({ true: true, false: false })[text] ?? null,
};
const url = {
  allows: "an http or https URL",
  read: (text) => (/^https?:\/\/\S+$/.test(text) ? text : null),
};

const anyText = { allows: "any text", read: (text) => text };

const MILLION = 1_000_000;
const DAY_S = 86_400;
const RULES = {
  runtime: oneOf("python3.11", "python3.12", "python3.13", "python3.14"),
  architecture: oneOf("arm64", "x86_64"),
  auth: oneOf("cognito", "none"),
  tokenUse: oneOf("any", "access", "id"),
  accessTokenMinutes: whole(5, 1440), // Cognito's bounds
  adminCreateUserOnly: flag,
  messagesPerSecond: whole(1, 1000),
  messageBurst: whole(1, 10_000),
  groupMessagesPerSecond: whole(1, 10_000),
  groupBytesPerSecond: whole(1, 1024 ** 3),
  connectionsPerUser: whole(1, 100),
  retentionDays: whole(0, 3650),
  logLevel: oneOf("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
  requestsPerSecond: whole(1, MILLION),
  requestBurst: whole(1, MILLION),
  logRole: oneOf("own", "shared"),
  dataDeleted: oneOf("Delete", "Retain", "RetainExceptOnCreate"),
  dataReplaced: oneOf("Delete", "Retain"),
  deliveryAlarmMs: whole(1, DAY_S * 1000),
  offerAlarmSeconds: whole(1, DAY_S),
  managementEndpoint: url,
  delivery: oneOf("lanes", "stream"),
  postsPerSecond: whole(0, 10 * MILLION),
  postBurst: whole(1, 10 * MILLION),
  membersPerLane: whole(1, 10 * MILLION),
  deliveryConcurrency: whole(2, 1000), // SQS's bounds of an event source's MaximumConcurrency
  fanoutConcurrency: whole(1, 100_000),
  membersPageSize: whole(1, 10_000),
  frameBytes: whole(0, 128 * 1024),
  postWindow: whole(1, 512),
};
// Without a rule above, a parameter has the type of its default.
const COUNT = whole(0, 1000 * MILLION);
// A group's least limit for each token a second of a user: no member may use it up alone.
const GROUP_PER_TOKEN = { groupMessagesPerSecond: 3, groupBytesPerSecond: 3 * 1024 };

// Typed values by name, from a stage's `params` in serverless.yml and the NAME=VALUE of each --param. Throws an Error
// with one sentence about the first invalid value.
function readParameters(params, stage, given) {
  const defaults = params?.default ?? {};
  const found = { ...defaults, ...params?.[stage] };
  for (const pair of given) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined) throw new Error(`--param takes NAME=VALUE, not ${pair}`);
    found[name] = value.trimEnd();
  }
  const values = Object.fromEntries(
    Object.entries(found).map(([name, value]) => [name, readParameter(name, value, defaults)]),
  );
  for (const [name, least] of Object.entries(GROUP_PER_TOKEN)) checkGroup(name, values, least);
  return values;
}

function readParameter(name, value, defaults) {
  const rules = { ...Object.fromEntries(Object.entries(defaults).map(ruleOf)), ...RULES };
  if (!Object.hasOwn(rules, name)) {
    throw new Error(`unknown parameter ${name}; the parameters are ${Object.keys(rules).join(", ")}`);
  }
  const read = rules[name].read(String(value));
  if (read === null)
    throw new Error(`parameter ${name} is ${JSON.stringify(value)}: it must be ${rules[name].allows}`);
  return read;
}

const ruleOf = ([name, value]) => [name, typeof value === "number" ? COUNT : anyText];

function checkGroup(name, values, least) {
  const { messagesPerSecond } = values;
  if (values[name] < least * messagesPerSecond) {
    throw new Error(
      `parameter ${name} is ${values[name]}: ` +
        `with messagesPerSecond ${messagesPerSecond} it must be ${least * messagesPerSecond} or more`,
    );
  }
}

module.exports = { RULES, readParameters };
