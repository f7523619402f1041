// Which small changes to a file no test notices: each is made in a copy of the tree, and the file's tests are run there. It
// does not know what a change is like (mutations.ts), nor whether one that survives is a fault: some mean the same.

import { dirname, join, relative, resolve } from "node:path";
import { InputError, InterruptedError } from "../../shared/errors.ts";
import { type Reporter, withProgress } from "../../shared/progress.ts";
import { Random } from "../../shared/random.ts";
import { type Mutation, mutationsOf } from "./mutations.ts";

export interface MutantsOptions {
  /** The project's root. */
  root: string;
  /** Files to change, from the root. */
  files: readonly string[];
  /** Test files or folders, from the root; none takes the tests that import the file. */
  tests: readonly string[];
  /** Most changes that are tried of each file, drawn by the seed. */
  most: number | undefined;
  seed: number;
}

/** What became of a change: a test failed, all passed, or they did not end. */
export type Fate = "killed" | "survived" | "timed out";

export interface Mutant extends Omit<Mutation, "text"> {
  file: string;
  fate: Fate;
}

/** A test run may take so many times what it takes without a change, and some seconds more. */
const patience = 4, patienceSeconds = 20;

async function run(program: string, args: string[], cwd: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, cwd, stdin: "null" }).output();
  if (code !== 0) {
    throw new InputError(`${program} ${args[0]} ended with ${code}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout);
}

/** A copy of the tree as it stands, changes that are not committed included; packages and shared files are linked. */
async function withCopy<Result>(root: string, use: (copy: string) => Promise<Result>): Promise<Result> {
  const parent = await Deno.makeTempDir({ prefix: "prospect-mutants-" }), copy = join(parent, "tree");
  try {
    const listed = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], root);
    for (const path of listed.split("\0").filter((path) => path !== "")) {
      const to = join(copy, path);
      await Deno.mkdir(dirname(to), { recursive: true });
      // A file that was deleted and not yet committed is listed too.
      await Deno.copyFile(join(root, path), to).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
    await Deno.symlink(join(root, "node_modules"), join(copy, "node_modules"));
    await Deno.symlink(resolve(root, "../shared"), join(parent, "shared"));
    return await use(copy);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

/** Test files that import a file by its name. */
async function testsOf(root: string, file: string): Promise<string[]> {
  const listed = (await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "tests"], root))
    .split("\0").filter((path) => path.endsWith("_test.ts"));
  const found: string[] = [];
  for (const path of listed) {
    const text = await Deno.readTextFile(join(root, path)).catch(() => "");
    const imported = [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, target]) => join(dirname(path), target!));
    if (imported.includes(file)) found.push(path);
  }
  return found;
}

/** Runs tests in a tree. @returns whether they passed; undefined where they did not end in time */
async function pass(tree: string, tests: readonly string[], seconds?: number): Promise<boolean | undefined> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", "--quiet", "--fail-fast", ...tests],
    cwd: tree,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let late = false;
  const timer = seconds === undefined ? undefined : setTimeout(() => {
    late = true;
    process.kill("SIGKILL");
  }, 1000 * seconds);
  const { success } = await process.status;
  clearTimeout(timer);
  return late ? undefined : success;
}

/**
 * Tries the changes of each file.
 *
 * @param interrupted asked between changes
 * @throws InputError for a file that is not there, has no tests, or whose tests fail without a change
 * @throws InterruptedError
 */
export async function tryMutants(
  options: MutantsOptions,
  reporter: Reporter,
  interrupted: () => boolean,
): Promise<Mutant[]> {
  const { root, most, seed } = options, tried: Mutant[] = [];
  await withCopy(root, async (copy) => {
    for (const given of options.files) {
      const file = relative(root, resolve(root, given)), path = join(copy, file);
      const source = await Deno.readTextFile(path).catch(() => {
        throw new InputError(`${given}: there is no such file in the project.`);
      });
      const tests = options.tests.length > 0 ? options.tests : await testsOf(root, file);
      if (tests.length === 0) throw new InputError(`${given}: no test imports it; name some with --tests.`);
      const began = performance.now();
      if (!await pass(copy, tests)) {
        throw new InputError(`${given}: ${tests.join(", ")} do not pass without a change, so nothing can be learnt.`);
      }
      const limit = patienceSeconds + patience * (performance.now() - began) / 1000;
      const all = mutationsOf(source);
      const drawn = most === undefined || most >= all.length
        ? all
        : new Random(seed).shuffle([...all.keys()]).slice(0, most).sort((a, b) => a - b).map((i) => all[i]!);
      reporter.line(`${file}: ${drawn.length} of ${all.length} changes, ${tests.length} files of tests.`);
      await withProgress(reporter, { label: file, total: drawn.length, unit: "changes" }, async (advance) => {
        for (const { text, ...mutation } of drawn) {
          if (interrupted()) throw new InterruptedError("Interrupted; the tree itself was never changed.");
          await Deno.writeTextFile(path, text);
          const passed = await pass(copy, tests, limit);
          const fate = passed === undefined ? "timed out" : passed ? "survived" : "killed";
          tried.push({ file, ...mutation, fate });
          reporter.event("mutant", { file, ...mutation, fate });
          advance(1);
        }
      });
      await Deno.writeTextFile(path, source);
    }
  });
  return tried;
}
