// Runs the project's commands as people do, in a process of their own and with exactly the permissions that the task in
// deno.json grants. It does not go through `deno task`, whose extra process would take the signals of the tests.

import { assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { taskArguments } from "../../shared/tasks.ts";
import { FIXTURES, SHARED } from "../feedback/shared_files.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A fixture's folder. */
export const fixture = (name: string): string => `${SHARED}/fixtures/${name}`;

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command that runs. */
export interface Running {
  process: Deno.ChildProcess;
  /** Resolves once `count` lines that hold `word` were written to stdout, or it ended. */
  sees(word: string, count: number): Promise<void>;
  ended: Promise<Ended>;
}

export interface TaskOptions {
  /** Folder of the reference cache. */
  cache: string;
  env?: Record<string, string>;
}

/** Starts a command. */
export function startTask(task: string, args: (string | number)[], { cache, env = {} }: TaskOptions): Running {
  const process = new Deno.Command(Deno.execPath(), {
    args: [...taskArguments(task), ...args.map(String)],
    cwd: root,
    env: { NO_COLOR: "1", PROSPECT_CACHE: cache, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let stdout = "", over = false;
  let waiting: { word: string; count: number; resolve: () => void }[] = [];
  const look = () => {
    waiting = waiting.filter(({ word, count, resolve }) => {
      if (!over && stdout.split(word).length - 1 < count) return true;
      resolve();
      return false;
    });
  };
  const readOut = async () => {
    for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
      stdout += text;
      look();
    }
    over = true;
    look();
  };
  const ended = Promise.all([process.status, new Response(process.stderr).text(), readOut()])
    .then(([{ code }, stderr]) => ({ code, stdout, stderr }));
  const sees = (word: string, count: number) =>
    new Promise<void>((resolve) => {
      waiting.push({ word, count, resolve });
      look();
    });
  return { process, sees, ended };
}

/** Runs a command to its end. */
export function runTask(task: string, args: (string | number)[], options: TaskOptions): Promise<Ended> {
  return startTask(task, args, options).ended;
}

/** Runs a command that must succeed. */
export async function succeed(task: string, args: (string | number)[], options: TaskOptions): Promise<Ended> {
  const ended = await runTask(task, args, options);
  assertEquals(ended.code, 0, `deno task ${task} ended with ${ended.code}: ${ended.stderr}`);
  return ended;
}

/** Hands out a new folder and removes it after. */
export async function withFolder(use: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A test over the fixtures, with a folder of its own; without fixtures it says so and passes. */
export function fixtureTest(sentence: string, use: (folder: string) => void | Promise<void>): void {
  Deno.test(sentence, async () => {
    if (!FIXTURES.every((name) => existsSync(fixture(name)))) return console.log(`skipped: no ${SHARED}/fixtures`);
    await withFolder(use);
  });
}

/** The objects of a JSON Lines file. */
export function readLines<Line = Record<string, unknown>>(path: string): Line[] {
  return parseLines(Deno.readTextFileSync(path)) as Line[];
}

/** The objects of a text with one JSON object a line. */
export function parseLines(text: string): Record<string, unknown>[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** A writable copy of a folder: the shared fixtures are read-only. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else {
      await Deno.copyFile(join(from, name), join(to, name));
      await Deno.chmod(join(to, name), 0o644);
    }
  }
}
