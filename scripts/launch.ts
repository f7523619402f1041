// `deno task NAME …` begins here: reads the arguments as the command does, computes what it may do, and becomes the
// command by exec(3), so that its process, its signals and its pipes are the ones that were started. It knows no command.

import { InputError } from "../shared/errors.ts";
import { openLibc } from "../shared/libc.ts";
import { chooseScratchFolder } from "../shared/scratch.ts";
import { type Command, runCommand } from "./command.ts";
import { type Needs, permissionFlags } from "./permissions.ts";

const [name, ...args] = Deno.args;
const { program, needs } = await import(new URL(`./commands/${name}.ts`, import.meta.url).href) as {
  program: Command;
  needs: Needs;
};

for (const command of program.commands.length > 0 ? program.commands : [program]) {
  command.action(() =>
    become([...permissionFlags(command, needs, chooseScratchFolder()), `${import.meta.dirname}/${name}.ts`, ...args])
  );
}
await runCommand(program, args);

/** Runs Deno in this process's place. @throws InputError where the system cannot */
function become(args: string[]): void {
  const libc = openLibc({
    umask: { parameters: ["u32"], result: "u32" },
    execv: { parameters: ["buffer", "buffer"], result: "i32" },
  });
  const words = [Deno.execPath(), "run", ...args].map((word) => new TextEncoder().encode(`${word}\0`));
  const list = new BigUint64Array(words.length + 1);
  words.forEach((word, index) => list[index] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(word)));
  // What is kept of people is for nobody else on this machine to read.
  if (needs.store) libc?.umask(0o077);
  libc?.execv(words[0]!, list);
  throw new InputError("The command cannot be started: this needs the C library of Linux or macOS (on Windows: WSL).");
}
