"use strict";

// Derives parts of the template from the functions of serverless.yml, so that a new route is declared only once:
// roles, permissions to call functions, route limits, alarms over all routes, and the list of actions. Pure.

// The IAM statements under a function's `allow`, in addition to those for its log and traces. Effect is Allow.
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
// X-Ray has no resource-level permissions.
const TRACES = {
  Effect: "Allow",
  Action: ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
  Resource: "*",
};
const VERSION = "2012-10-17";
// CloudWatch's "Limits that apply to alarms based on metric math expressions".
const ALARM_METRICS_MAX = 10;
// A $disconnect cannot be refused.
const UNLIMITED = "$disconnect";

// [{ name, key, authorizer }]: a function, its route, and the name of its authorizer, if any.
function routesOf(functions) {
  return Object.entries(functions).flatMap(([name, { events = [] }]) =>
    events
      .filter(({ websocket }) => websocket)
      .map(({ websocket }) => ({ name, key: websocket.route, authorizer: websocket.authorizer?.name })),
  );
}

// The actions that frames may name, in the order of the file.
function actionsOf(functions) {
  return routesOf(functions)
    .map(({ key }) => key)
    .filter((key) => !key.startsWith("$"));
}

// A function's permissions for a customer's key: DynamoDB and SQS use the key with the rights of their caller, and
// only sending to a queue generates a data key.
function keyStatements(allow, keyArn) {
  const actions = allow.flatMap(({ Action }) => Action);
  const needs = { "kms:Decrypt": /^(dynamodb|sqs):/, "kms:GenerateDataKey": /^sqs:SendMessage$/ };
  return Object.entries(needs)
    .filter(([, calls]) => keyArn && actions.some((action) => calls.test(action)))
    .map(([Action]) => ({ Action, Resource: keyArn }));
}

// The role of a function, which only Lambda can assume. `keyArn` is the customer's key, if there is one.
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

// For each function, the ARN that may call it: its own route, or the API's authorizers.
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

// A stage's RouteSettings, in which `EachRoute` is replaced by an entry for every route that can be limited.
function routeSettingsOf(functions, { EachRoute, ...others }) {
  const limited = routesOf(functions).filter(({ key }) => EachRoute && key !== UNLIMITED);
  return { ...Object.fromEntries(limited.map(({ key }) => [key, EachRoute])), ...others };
}

// Splits an alarm over more metrics than CloudWatch allows into NAME, NAME2, NAME3 …, each over some of the metrics, with
// the same threshold.
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
