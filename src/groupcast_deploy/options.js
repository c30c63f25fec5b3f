"use strict";

// Optional parts of the stack, each enabled by a parameter.

const NONE = {};
const KEY_ARN = /^arn:[^:]+:kms:[^:]+:[0-9]{12}:key\/[^*]+$/;
const CERTIFICATE_ARN = /^arn:[^:]+:acm:[^:]+:[0-9]{12}:certificate\/[^*]+$/;
// API Gateway developer guide, "Map API stages to a custom domain name for WebSocket APIs".
const BASE_PATH = /^[A-Za-z0-9$_.+!*'()-]{1,300}$/;

// osls prints an error's stack unless it is empty.
const refusal = (message) => Object.assign(new Error(message), { stack: "" });

const part = (file) => `\${file(src/groupcast_deploy/${file})}`;

async function read(resolveVariable, ...names) {
  return Promise.all(names.map((name) => resolveVariable(`param:${name}`)));
}

// CloudFormation would report this only in the middle of a deployment, and less clearly.
async function checkRegion(name, arn, resolveConfigurationProperty) {
  const region = await resolveConfigurationProperty(["provider", "region"]);
  const given = arn.split(":")[3];
  if (given !== region)
    throw refusal(`${name} is in ${given}, but the stage is in ${region}: they must be the same`);
}

async function customerKey({ resolveVariable, resolveConfigurationProperty }) {
  const [arn] = await read(resolveVariable, "kmsKeyArn");
  if (!arn) return NONE;
  if (!KEY_ARN.test(arn)) {
    throw refusal(`kmsKeyArn must be a key's ARN, not '${arn}': IAM cannot grant permissions on an alias`);
  }
  await checkRegion("kmsKeyArn", arn, resolveConfigurationProperty);
  return part("customer_key.yml");
}

async function ownDomain({ resolveVariable, resolveConfigurationProperty }) {
  const [domain, ...others] = await read(
    resolveVariable,
    "domainName",
    "certificateArn",
    "basePath",
    "hostedZoneId",
  );
  const [certificate, basePath] = others;
  if (!domain && others.some(Boolean))
    throw refusal("certificateArn, basePath and hostedZoneId need a domainName");
  if (!domain) return NONE;
  if (!certificate) throw refusal("domainName needs a certificateArn of a certificate in the stage's region");
  if (!CERTIFICATE_ARN.test(certificate))
    throw refusal(`certificateArn must be the ARN of a certificate in ACM, not '${certificate}'`);
  await checkRegion("certificateArn", certificate, resolveConfigurationProperty);
  if (basePath && !BASE_PATH.test(basePath)) {
    throw refusal(`basePath must be one path segment of letters, digits and $-_.+!*'(), not '${basePath}'`);
  }
  return part("own_domain.yml");
}

async function ownDomainRecord({ resolveVariable }) {
  const [zone] = await read(resolveVariable, "hostedZoneId");
  return zone ? part("own_domain_record.yml") : NONE;
}

async function apiMappingKey({ resolveVariable }) {
  const [basePath] = await read(resolveVariable, "basePath");
  return basePath || { Ref: "AWS::NoValue" };
}

module.exports = { customerKey, ownDomain, ownDomainRecord, apiMappingKey };
