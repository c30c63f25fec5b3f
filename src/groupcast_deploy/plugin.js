"use strict";

// Prepares `osls package` and `osls deploy`. Checks all parameters first, builds the artifact (unless it is up to date)
// for the runtime and architecture in serverless.yml, and adds the derived resources to the template (derived.js).

const { execFile } = require("node:child_process");
const { existsSync } = require("node:fs");
const path = require("node:path");
const { promisify } = require("node:util");
const { ALLOW_SCHEMA, actionsOf, alarmsOf, roleOf, routeSettingsOf, sourcesOf } = require("./derived.js");
const { readParameters } = require("./parameters.js");

const BUILD_TIMEOUT_MS = 10 * 60 * 1000;
const SETUP_TIMEOUT_MS = 10 * 60 * 1000;
const NOT_PINNED =
  "groupcast deploys with the osls that package.json pins, the Serverless Framework's community fork: " +
  "run npm install, then npx serverless with the same arguments.";
const OPEN_TO_ALL =
  "AUTH is none: this stage has no sign-in, so anyone with the URL can read and write every group.";

class GroupcastPlugin {
  constructor(serverless, _options, { log, progress }) {
    if (!isPinned(serverless)) throw new serverless.classes.Error(NOT_PINNED);
    this.serverless = serverless;
    this.log = log;
    this.progress = progress.get("groupcast");
    this.warned = false;
    this.parameters = {};
    // ${typed:NAME} is ${param:NAME} as a number or a boolean, for properties that cannot be text.
    this.configurationVariablesSources = {
      typed: { resolve: ({ address }) => ({ value: this.parameters[address] ?? null }) },
      // ${derived:actions} lists the actions that frames can name.
      derived: {
        resolve: ({ address }) => ({
          value: address === "actions" ? actionsOf(serverless.configurationInput.functions).join(", ") : null,
        }),
      },
    };
    serverless.configSchemaHandler.defineFunctionProperties("aws", { properties: { allow: ALLOW_SCHEMA } });
    const prepare = async () => {
      this.warn();
      await this.build();
    };
    this.hooks = {
      "before:package:createDeploymentArtifacts": prepare,
      initialize: () => this.nameRoles(),
      "after:aws:package:finalize:mergeCustomProviderResources": () => {
        this.derive();
        this.checkRoles();
      },
      "before:deploy:deploy": () => this.warn(),
    };
  }

  // osls calls this before it resolves ${param:…}, so invalid parameters are reported first.
  asyncInit() {
    const { configurationInput, processedInput } = this.serverless;
    const { stage = "dev", param = [] } = processedInput.options;
    try {
      this.parameters = readParameters(configurationInput.params, stage, param);
    } catch (error) {
      throw new this.serverless.classes.Error(error.message);
    }
  }

  warn() {
    const { provider, functions } = this.serverless.service;
    const environments = [provider, ...Object.values(functions)].map((one) => one.environment ?? {});
    if (!this.warned && environments.some((environment) => environment.AUTH === "none")) {
      this.log.warning(OPEN_TO_ALL);
      this.warned = true;
    }
  }

  // Each function gets its own role, unless it names another.
  nameRoles() {
    for (const [name, settings] of Object.entries(this.serverless.service.functions)) {
      if (!("role" in settings)) settings.role = this.roleId(name);
    }
  }

  roleId(name) {
    return `${this.naming.getNormalizedFunctionName(name)}Role`;
  }

  get naming() {
    return this.serverless.getProvider("aws").naming;
  }

  derive() {
    const { functions, provider } = this.serverless.service;
    const { Resources } = provider.compiledCloudFormationTemplate;
    const { kmsKeyArn } = this.parameters;
    for (const [name, { role, allow = [] }] of Object.entries(functions)) {
      const logicalId = this.roleId(name);
      if (role === logicalId)
        Resources[logicalId] = roleOf(name, allow, this.naming.getLogGroupLogicalId(name), kmsKeyArn);
    }
    for (const [name, source] of Object.entries(sourcesOf(functions))) {
      Resources[this.naming.getLambdaWebsocketsPermissionLogicalId(name)].Properties.SourceArn = source;
    }
    for (const [name, resource] of Object.entries(Resources)) {
      if (resource.Type === "AWS::CloudWatch::Alarm") Object.assign(Resources, alarmsOf(name, resource));
    }
    const stage = Resources[this.naming.getWebsocketsStageLogicalId()]?.Properties;
    if (stage?.RouteSettings) stage.RouteSettings = routeSettingsOf(functions, stage.RouteSettings);
  }

  // osls accepts any resource name; CloudFormation would refuse the template only at deployment.
  checkRoles() {
    const { service, classes } = this.serverless;
    const { Resources } = service.provider.compiledCloudFormationTemplate;
    for (const [name, { role }] of Object.entries(service.functions)) {
      if (typeof role === "string" && !role.startsWith("arn:") && !(role in Resources)) {
        throw new classes.Error(`functions.${name}: its role ${role} is not a resource of the template`);
      }
    }
  }

  /** On a terminal osls shows it until the next one; elsewhere it would not show it at all. */
  tell(step) {
    if (process.stderr.isTTY) this.progress.update(step);
    else this.log.notice(step);
  }

  async build() {
    const { serviceDir, service } = this.serverless;
    const venv = path.join(serviceDir, ".venv");
    if (!existsSync(path.join(venv, ".ready"))) {
      // In a fresh clone after `npm install`.
      this.log.notice("setting up .venv (once)");
      await this.run("make", ["--silent", ".venv/.ready"], "Setting up .venv", SETUP_TIMEOUT_MS);
    }
    const { runtime, architecture = "x86_64" } = service.provider;
    const target = [
      "--runtime",
      runtime,
      "--architecture",
      architecture,
      "--output",
      service.package.artifact,
    ];
    const output = await this.run(
      path.join(venv, "bin", "python"),
      ["-m", "groupcast_deploy.artifact", ...target],
      `Building ${service.package.artifact} for ${runtime} on ${architecture}`,
      BUILD_TIMEOUT_MS,
    );
    // The lines before it are the steps.
    this.log.notice(output.split("\n").pop());
  }

  /** Runs a command, shows its output line by line and returns it. Throws its standard error if it fails. */
  async run(command, commandArguments, progress, timeout) {
    this.progress.update(progress);
    try {
      const options = { cwd: this.serverless.serviceDir, timeout };
      const running = promisify(execFile)(command, commandArguments, options);
      running.child.stdout.on("data", (text) => {
        for (const step of text.split("\n").filter((line) => line.endsWith("…"))) this.tell(step);
      });
      const { stdout } = await running;
      return stdout.trim();
    } catch (error) {
      const reason = error.code === "ENOENT" ? `${command} is not installed` : error.stderr || error.message;
      throw new this.serverless.classes.Error(reason.trim());
    } finally {
      this.progress.remove();
    }
  }
}

// Other versions and the commercial framework also load plugins, but generate different templates.
function isPinned(serverless) {
  try {
    return serverless instanceof require("serverless");
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND") return false;
    throw error;
  }
}

module.exports = GroupcastPlugin;
