// The project's tasks as deno.json has them, for programs that start one in a process of its own: with exactly the task's
// permissions, those for the hub's hosts included. It starts nothing.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { hubHosts } from "./runtime/hub/endpoint.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const configurationSchema = z.object({ tasks: z.record(z.string(), z.object({ command: z.string() })) });

/** Where deno task's shell puts what scripts/hub_hosts.ts prints. */
const hosts = /\$\(deno run [^)]*\bscripts\/hub_hosts\.ts\)/;

/** The arguments after `deno` of a task: run, permissions, and the script's absolute path. @throws for no such task */
export function taskArguments(task: string): string[] {
  const { tasks } = configurationSchema.parse(JSON.parse(Deno.readTextFileSync(`${root}deno.json`)));
  const [program, ...rest] = tasks[task]?.command.replace(hosts, hubHosts().join()).split(" ") ?? [];
  if (program !== "deno") throw new Error(`deno.json has no task "${task}" that runs deno.`);
  return rest.map((argument) => argument.startsWith("scripts/") ? root + argument : argument);
}
