// The project's tasks as deno.json has them, for programs that start one in a process of its own: with exactly the task's
// permissions. It starts nothing.

import { fileURLToPath } from "node:url";
import { z } from "zod";

const root = fileURLToPath(new URL("../", import.meta.url));
const configurationSchema = z.object({ tasks: z.record(z.string(), z.object({ command: z.string() })) });

/** The arguments after `deno` of a task: run, permissions, and the script's absolute path. @throws for no such task */
export function taskArguments(task: string): string[] {
  const { tasks } = configurationSchema.parse(JSON.parse(Deno.readTextFileSync(`${root}deno.json`)));
  const [program, ...rest] = tasks[task]?.command.split(" ") ?? [];
  if (program !== "deno") throw new Error(`deno.json has no task "${task}" that runs deno.`);
  return rest.map((argument) => argument.startsWith("scripts/") ? root + argument : argument);
}
