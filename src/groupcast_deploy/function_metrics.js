"use strict";

// Metrics derived from the functions of serverless.yml: those of all routes for their joint alarms, and those of all
// functions for the dashboard.

const logicalId = (name) => `${name[0].toUpperCase()}${name.slice(1)}LambdaFunction`;

// An alarm has at most 10 metrics; for more, the plugin makes several alarms (derived.js).
function alarmMetrics(routes, metricName) {
  const metrics = routes.map((name, index) => {
    const dimensions = [{ Name: "FunctionName", Value: { Ref: logicalId(name) } }];
    const metric = { Namespace: "AWS/Lambda", MetricName: metricName, Dimensions: dimensions };
    return {
      Id: `m${index + 1}`,
      ReturnData: false,
      MetricStat: { Metric: metric, Period: 60, Stat: "Sum" },
    };
  });
  // A function without invocations has no data; FILL keeps its gap from hiding the others' data.
  const total = { Id: "total", Expression: "SUM(FILL(METRICS(), 0))", Label: metricName, ReturnData: true };
  return [total, ...metrics];
}

// JSON for the dashboard's body, in which CloudFormation inserts the functions' names.
function dashboardMetrics(functions, metricName) {
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
    routeErrors: alarmMetrics(routes, "Errors"),
    routeThrottles: alarmMetrics(routes, "Throttles"),
    errorLines: dashboardMetrics(names, "Errors"),
    throttleLines: dashboardMetrics(names, "Throttles"),
  };
};
