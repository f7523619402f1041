// Another commit of the project as a tree of its own, ready to be run, and the tasks of a tree. It measures nothing.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../../shared/errors.ts";

/** This tree's folder. */
export const ownTree = fileURLToPath(new URL("../../", import.meta.url));

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(program: string, args: string[], options: Deno.CommandOptions = {}): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null", ...options }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";

/**
 * Checks a commit out beside this tree, with its packages, for as long as `use` takes.
 *
 * @param commit anything that git takes for one
 * @throws InputError where there is no such commit, or its packages cannot be had
 */
export async function withTree<Result>(commit: string, use: (folder: string) => Promise<Result>): Promise<Result> {
  const git = (...args: string[]) => run("git", ["-C", ownTree, ...args]);
  const found = await git("rev-parse", "--verify", "--quiet", "--end-of-options", `${commit}^{commit}`);
  if (found.code !== 0) {
    throw new InputError(`There is no commit "${commit}" here; git log lists those that there are.`);
  }
  const parent = await Deno.makeTempDir({ prefix: "prospect-guard-" }), folder = join(parent, "tree");
  try {
    const added = await git("worktree", "add", "--detach", folder, found.stdout.trim());
    if (added.code !== 0) throw new InputError(`${commit} cannot be checked out: ${lastLine(added.stderr)}`);
    const installed = await run(Deno.execPath(), ["install", "--quiet"], { cwd: folder });
    if (installed.code !== 0) {
      throw new InputError(`The packages of ${commit} cannot be installed: ${lastLine(installed.stderr)}`);
    }
    return await use(folder);
  } finally {
    await git("worktree", "remove", "--force", folder);
    await Deno.remove(parent, { recursive: true });
  }
}

/**
 * Runs a task of a tree to its end, with an empty cache. @returns wall seconds
 *
 * @param out a folder of its own for what the task writes
 * @throws Error with its last words
 */
export async function runTask(tree: string, task: string, args: string[], out: string): Promise<number> {
  const env = { PROSPECT_CACHE: join(out, "cache"), NO_COLOR: "1" };
  const started = performance.now();
  const { code, stderr } = await run(Deno.execPath(), ["task", "--cwd", tree, task, ...args], { env });
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) throw new Error(`deno task ${task} of ${tree} ended with ${code}: ${lastLine(stderr)}`);
  return seconds;
}
