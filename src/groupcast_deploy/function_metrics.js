"use strict";

// Metrics of functions as serverless.yml has them: of all routes for the alarms that watch them together, and of all
// functions for the dashboard.

const logicalId = (name) => `${name[0].toUpperCase()}${name.slice(1)}LambdaFunction`;

// An alarm takes 10 metrics at most: where there are more, the plugin makes several alarms (derived.js).
function alarmed(routes, metricName) {
  const metrics = routes.map((name, index) => {
    const dimensions = [{ Name: "FunctionName", Value: { Ref: logicalId(name) } }];
    const metric = { Namespace: "AWS/Lambda", MetricName: metricName, Dimensions: dimensions };
    return {
      Id: `m${index + 1}`,
      ReturnData: false,
      MetricStat: { Metric: metric, Period: 60, Stat: "Sum" },
    };
  });
  // A function that was not invoked has no data; filled, the gap does not hide the others' data.
  const total = { Id: "total", Expression: "SUM(FILL(METRICS(), 0))", Label: metricName, ReturnData: true };
  return [total, ...metrics];
}

// JSON for the dashboard's body, where CloudFormation puts in the functions' names.
function shown(functions, metricName) {
  return JSON.stringify(
    functions.map((name) => [
      "AWS/Lambda",
      metricName,
      "FunctionName",
      `\${${logicalId(name)}}`,
      { stat: "Sum", label: name },
    ]),
  );
}

module.exports = async ({ resolveConfigurationProperty }) => {
  const functions = await resolveConfigurationProperty(["functions"]);
  const names = Object.keys(functions);
  const routes = names.filter((name) => (functions[name].events ?? []).some((event) => event.websocket));
  return {
    routeErrors: alarmed(routes, "Errors"),
    routeThrottles: alarmed(routes, "Throttles"),
    errorLines: shown(names, "Errors"),
    throttleLines: shown(names, "Throttles"),
  };
};
