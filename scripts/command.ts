// What all commands share: parsing with commander, exit codes, one clear sentence per failure, Ctrl-C. It does not know
// what any command does.

import process from "node:process";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { InputError, InterruptedError } from "../shared/errors.ts";
import type { Device } from "../shared/runtime/session.ts";

export { Command, Option };

/** An option that names a file or folder, which the command has to be let read, or write as well. */
export class PathOption extends Option {
  /** @param pathOf the path in an option's value, where that is not all of it */
  constructor(
    flags: string,
    description: string,
    readonly access: "read" | "write",
    readonly pathOf: (value: string) => string = (value) => value,
  ) {
    super(flags, description);
  }
}

/** `--model`, of every command that opens one. */
export const modelOption = () =>
  new PathOption("--model <folder|hub id>", "model in transformers.js layout; default: the embedded model", "read");

/** A command whose mistakes in arguments end with exit code 2. */
export function command(name: string, description: string): Command {
  return new Command(`deno task ${name}`)
    .description(description)
    .allowExcessArguments(false)
    .showHelpAfterError(false)
    .configureHelp({ sortOptions: false })
    .exitOverride();
}

/** Option parser for a number. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** Option parser for a whole number above 0. */
export function count(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

/** Option parser for a number of workers: as `count`, and no more than a machine could hold. */
export function workerCount(text: string): number {
  const value = count(text);
  if (value > 256) throw new InvalidArgumentError("It must be 256 or less.");
  return value;
}

/** Option parser for the seed of a random generator. */
export function seed(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 31) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 2147483647.");
  }
  return value;
}

/** Option parser for a number above 0. */
export function positive(text: string): number {
  const value = number(text);
  if (value <= 0) throw new InvalidArgumentError("It must be above 0.");
  return value;
}

/** Option parser for a number that is 0 or more. */
export function notNegative(text: string): number {
  const value = number(text);
  if (value < 0) throw new InvalidArgumentError("It must be 0 or more.");
  return value;
}

/** Option parser for a share, 0 to 1. */
export function share(text: string): number {
  const value = number(text);
  if (value < 0 || value > 1) throw new InvalidArgumentError("It must be from 0 to 1.");
  return value;
}

/** Option parser for a whole number that is 0 or more. */
export function wholeNumber(text: string): number {
  const value = number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError("It must be a whole number, 0 or more.");
  }
  return value;
}

/** Option parser for a number or the word `auto`. */
export function numberOrAuto(text: string): number | "auto" {
  return text === "auto" ? "auto" : number(text);
}

/** Option parser for a TCP port; 0 takes a free one. */
export function port(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
  }
  return value;
}

/** Option parser for an option that may be given several times. */
export function repeated(text: string, before: string[]): string[] {
  return [...before, text];
}

/** Option parser for a comma-separated list. */
export function list(text: string): string[] {
  return text.split(",").map((part) => part.trim()).filter((part) => part !== "");
}

/** Options of every command that opens a model. */
export function modelOptions(program: Command): Command {
  return program
    .addOption(modelOption())
    .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
    .option("--device <name>", "auto, cpu or webgpu", "auto");
}

/** Options of every command that scores rows. */
export function scoringOptions(program: Command): Command {
  return modelOptions(program)
    .option("--workers <n>", "threads, each with its own sessions; default: one per core, on webgpu 1", workerCount)
    .option("--tokens-per-micro-batch <n>", "memory against speed (default: 256, on webgpu 2048)", count)
    .option("--max-length <n>", "most tokens of prompt and completion", count, 1024);
}

/** The device that a `--device` stands for. @throws InputError */
export function device(name: string): Device {
  if (name === "auto" || name === "cpu") return "cpu";
  if (name === "webgpu") return "webgpu";
  throw new InputError(`--device cannot be "${name}": it is auto, cpu or webgpu.`);
}

/** The value of an option that has no default. @throws InputError naming it */
export function required(value: string | undefined, flag: string): string {
  if (value === undefined) throw new InputError(`${flag} is needed; see --help.`);
  return value;
}

/**
 * Signals within so many milliseconds are one press: npx and `deno task` pass on a Ctrl-C that the terminal has already
 * sent to every process of its group.
 */
const onePress = 1000;

/** Calls `first` at the first Ctrl-C or SIGTERM; a second press ends the program at once. */
function onStop(first: () => void): void {
  let pressed: number | undefined;
  const stop = () => {
    if (pressed === undefined) {
      pressed = performance.now();
      first();
    } else if (performance.now() - pressed > onePress) Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGTERM", stop);
}

/** True once Ctrl-C was pressed; a second press ends the program at once. */
export function watchInterrupt(): () => boolean {
  let interrupted = false;
  onStop(() => {
    interrupted = true;
    console.error("Stopping after this step; press Ctrl-C again to stop at once.");
  });
  return () => interrupted;
}

/** Resolves when a service is asked to end; a second press ends the program at once. */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => onStop(resolve));
}

/**
 * Parses the arguments and runs the command's action; ends the process with 0 done, 2 unusable input, 130 interrupted,
 * 1 anything else.
 */
export async function runCommand(program: Command, args: readonly string[] = Deno.args): Promise<never> {
  try {
    await program.parseAsync(args, { from: "user" });
    await flush();
    Deno.exit(0);
  } catch (error) {
    if (error instanceof CommanderError) {
      Deno.exit(error.exitCode === 0 ? 0 : 2);
    }
    if (error instanceof InputError || error instanceof InterruptedError) {
      console.error(error.message);
      Deno.exit(error instanceof InputError ? 2 : 130);
    }
    console.error(Deno.env.get("PROSPECT_DEBUG") ? error : `Failed: ${(error as Error).message}`);
    Deno.exit(1);
  }
}

/** Waits until what was written to a pipe has left. */
function flush(): Promise<void> {
  return new Promise((resolve) => process.stdout.write("", () => resolve()));
}
