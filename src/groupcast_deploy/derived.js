"use strict";

// What follows from the functions of serverless.yml, so that a new route is written down once: roles, who may call
// a function, limits of routes, alarms over all of them, and the actions that a frame may name. Pure.

// Statements of a function's role beside its log and its traces, in IAM's words; Effect is Allow.
const ALLOW_SCHEMA = {
  type: "array",
  items: {
    type: "object",
    properties: {
      Action: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
      Resource: { anyOf: [{ type: "string" }, { type: "object" }] },
    },
    required: ["Action", "Resource"],
    additionalProperties: false,
  },
};
// X-Ray knows no resources.
const TRACES = {
  Effect: "Allow",
  Action: ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
  Resource: "*",
};
const VERSION = "2012-10-17";
// CloudWatch's "Limits that apply to alarms based on metric math expressions".
const ALARM_METRICS_MAX = 10;
// Nobody can turn a $disconnect away.
const UNLIMITED = "$disconnect";

// [{ name, key, authorizer }]: a function, its route, and the function that is asked before, if any.
function routesOf(functions) {
  return Object.entries(functions).flatMap(([name, { events = [] }]) =>
    events
      .filter(({ websocket }) => websocket)
      .map(({ websocket }) => ({ name, key: websocket.route, authorizer: websocket.authorizer?.name })),
  );
}

// What a frame's action may be, in the order of the file.
function actionsOf(functions) {
  return routesOf(functions)
    .map(({ key }) => key)
    .filter((key) => !key.startsWith("$"));
}

// What a customer's key must allow a function: DynamoDB and SQS use it with the rights of their caller, and only
// sending to a queue makes a data key.
function keyStatements(allow, keyArn) {
  const actions = allow.flatMap(({ Action }) => Action);
  const needs = { "kms:Decrypt": /^(dynamodb|sqs):/, "kms:GenerateDataKey": /^sqs:SendMessage$/ };
  return Object.entries(needs)
    .filter(([, calls]) => keyArn && actions.some((action) => calls.test(action)))
    .map(([Action]) => ({ Action, Resource: keyArn }));
}

// The role of a function, which Lambda alone can take on. `keyArn`: of the customer's key, if there is one.
function roleOf(name, allow, logGroup, keyArn) {
  const log = { "Fn::GetAtt": [logGroup, "Arn"] };
  return {
    Type: "AWS::IAM::Role",
    Properties: {
      AssumeRolePolicyDocument: {
        Version: VERSION,
        Statement: [
          { Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "lambda.amazonaws.com" } },
        ],
      },
      Policies: [
        {
          PolicyName: name,
          PolicyDocument: {
            Version: VERSION,
            Statement: [
              TRACES,
              { Effect: "Allow", Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: log },
              ...[...allow, ...keyStatements(allow, keyArn)].map((statement) => ({
                Effect: "Allow",
                ...statement,
              })),
            ],
          },
        },
      ],
    },
  };
}

// Where a function may be called from, by its name: its own route alone, or the authorizers.
function sourcesOf(functions) {
  return Object.fromEntries(
    routesOf(functions).flatMap(({ name, key, authorizer }) => [
      [name, sourceArn(`*/${key}`)],
      ...(authorizer ? [[authorizer, sourceArn("authorizers/*")]] : []),
    ]),
  );
}

function sourceArn(path) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: placeholders of CloudFormation
  const api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebsocketsApi}";
  return { "Fn::Sub": `${api}/${path}` };
}

// RouteSettings of a stage where `EachRoute` stands for every route that can be limited.
function routeSettingsOf(functions, { EachRoute, ...others }) {
  const limited = routesOf(functions).filter(({ key }) => EachRoute && key !== UNLIMITED);
  return { ...Object.fromEntries(limited.map(({ key }) => [key, EachRoute])), ...others };
}

// The alarms in place of one that sums up more metrics than CloudWatch takes: NAME, NAME2, NAME3 by name, each over some
// of the metrics, with the same threshold.
function alarmsOf(name, alarm) {
  const { Metrics = [] } = alarm.Properties;
  const metrics = Metrics.filter((query) => query.MetricStat);
  const results = Metrics.filter((query) => !query.MetricStat);
  const parts = {};
  for (let first = 0; first < metrics.length; first += ALARM_METRICS_MAX) {
    const part = [...results, ...metrics.slice(first, first + ALARM_METRICS_MAX)];
    const place = first / ALARM_METRICS_MAX + 1;
    parts[place === 1 ? name : `${name}${place}`] = {
      ...alarm,
      Properties: { ...alarm.Properties, Metrics: part },
    };
  }
  return parts;
}

module.exports = { ALLOW_SCHEMA, actionsOf, alarmsOf, roleOf, routeSettingsOf, sourcesOf };
