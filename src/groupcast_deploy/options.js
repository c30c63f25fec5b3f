"use strict";

// Parts of the stack that are there where a parameter is set.

const KEY_ARN = /^arn:[^:]+:kms:[^:]+:[0-9]{12}:key\/[^*]+$/;

const where = (parameter, file, check = () => {}) => async ({ resolveVariable }) => {
  const value = await resolveVariable(`param:${parameter}`);
  if (!value) return {};
  check(value);
  return `\${file(src/groupcast_deploy/${file})}`;
};

function checkKey(arn) {
  if (!KEY_ARN.test(arn)) {
    throw new Error(`kmsKeyArn must be a key's ARN, not '${arn}': IAM grants nothing on an alias`);
  }
}

module.exports = {
  customerKey: where("kmsKeyArn", "customer_key.yml", checkKey),
};
