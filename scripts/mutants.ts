// `deno task mutants FILE…`: which small changes to a file no test notices. Run by hand; thin: services/mutants.

import { fileURLToPath } from "node:url";
import { tryMutants } from "../services/mutants/mutants.ts";
import { createReporter } from "../shared/progress.ts";
import { command, count, list, runCommand, seed, watchInterrupt } from "./command.ts";

const program = command(
  "mutants",
  `Changes a file in small ways, one at a time, in a copy of the tree, and runs its tests on each. Prints the changes that
no test noticed, and ends with 1 where there are some: a test is missing there, or the change means the same.`,
)
  .argument("<files...>", "source files, from the project's root")
  .option(
    "--tests <paths>",
    "test files or folders, with commas between; default: those that import the file",
    list,
    [],
  )
  .option("--most <n>", "most changes of each file, drawn by --seed; default: all", count)
  .option("--seed <n>", "seed of that draw", seed, 1)
  .option("--json", "each change as a JSON line on stdout")
  .action(async (files: string[], options) => {
    const reporter = createReporter({ json: options.json === true });
    const root = fileURLToPath(new URL("../", import.meta.url));
    const tried = await tryMutants({ root, files, ...options, most: options.most }, reporter, watchInterrupt());
    const survivors = tried.filter(({ fate }) => fate === "survived");
    for (const { file, line, before, after } of survivors) {
      reporter.line(`${file}:${line} survived:\n  - ${before}\n  + ${after}`);
    }
    const said = `${tried.length - survivors.length} of ${tried.length} changes were noticed.`;
    if (survivors.length > 0) throw new Error(said);
    reporter.line(said);
  });

await runCommand(program);
