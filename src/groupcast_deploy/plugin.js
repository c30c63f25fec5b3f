"use strict";

// `osls package` and `osls deploy` need nothing before them: the artifact is built here, by the project's own
// builder, for the runtime and architecture that serverless.yml names. A builder that finds it up to date
// leaves it alone.

const { execFile } = require("node:child_process");
const { existsSync } = require("node:fs");
const path = require("node:path");
const { promisify } = require("node:util");

const BUILD_TIMEOUT_MS = 10 * 60 * 1000;
const OPEN_TO_ALL =
  "AUTH is none: nobody signs in, so anyone who has the URL can read and write every group.";

class GroupcastPlugin {
  constructor(serverless, _options, { log, progress }) {
    this.serverless = serverless;
    this.log = log;
    this.progress = progress.get("groupcast");
    this.warned = false;
    const prepare = async () => {
      this.warn();
      await this.build();
    };
    this.hooks = {
      "before:package:createDeploymentArtifacts": prepare,
      "before:deploy:deploy": () => this.warn(),
    };
  }

  warn() {
    const { provider, functions } = this.serverless.service;
    const environments = [provider, ...Object.values(functions)].map((one) => one.environment ?? {});
    if (!this.warned && environments.some((environment) => environment.AUTH === "none")) {
      this.log.warning(OPEN_TO_ALL);
      this.warned = true;
    }
  }

  async build() {
    const { serviceDir, service } = this.serverless;
    const python = path.join(serviceDir, ".venv", "bin", "python");
    if (!existsSync(python)) {
      throw new this.serverless.classes.Error("there is no .venv here: run make setup");
    }
    const { runtime, architecture = "x86_64" } = service.provider;
    const target = ["--runtime", runtime, "--architecture", architecture, "--output", service.package.artifact];
    this.progress.update(`Building ${service.package.artifact} for ${runtime} on ${architecture}`);
    try {
      const { stdout } = await promisify(execFile)(
        python,
        ["-m", "groupcast_deploy.artifact", ...target],
        { cwd: serviceDir, timeout: BUILD_TIMEOUT_MS },
      );
      this.log.notice(stdout.trim());
    } catch (error) {
      throw new this.serverless.classes.Error((error.stderr || error.message).trim());
    } finally {
      this.progress.remove();
    }
  }
}

module.exports = GroupcastPlugin;
