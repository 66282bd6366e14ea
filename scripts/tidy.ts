// Checks the house rules that no linter checks: which room may import which, which file is the door of
// a package, who may touch time, chance and the outside, and how large things may grow. The rules are
// in tidy-rules.ts. Run as `node scripts/tidy.ts`, from the project's root; part of `npm run check`.

import { globSync, readFileSync } from 'node:fs';
import { checkProject } from './tidy-checks.ts';

const paths = globSync(['src/**/*.ts', 'test/**/*.ts', 'scripts/**/*.ts'])
  .map((path) => path.replaceAll('\\', '/'))
  .sort();
const report = checkProject(paths.map((path) => ({ path, text: readFileSync(path, 'utf8') })));

for (const problem of report.problems) console.error(problem);
console.error(
  `tidy: ${report.files} files, ${report.imports} imports, ${report.problems.length} problems`,
);
process.exitCode = report.problems.length === 0 ? 0 : 1;
