// `deno task serve`: gateway and trainer together. The trainer is a process of its own, so that whatever happens to it,
// answers go on; one that died is started again.

import { startGateway } from "../services/gateway/serve.ts";
import { type GatewayOptions, parseGatewaySettings } from "../services/gateway/settings.ts";
import { parseTrainerSettings, type TrainerOptions } from "../services/trainer/service/settings.ts";
import { taskArguments } from "../shared/tasks.ts";
import { device, runCommand, untilStopped } from "./command.ts";
import { program } from "./commands/serve.ts";

/** Longest wait before a trainer that keeps dying is started again, in milliseconds. */
const longestWait = 30_000;

program.action(async (options: GatewayOptions & TrainerOptions) => {
  device(options.device);
  const stopped = untilStopped();
  const settings = parseGatewaySettings(options);
  parseTrainerSettings(options);
  const running = await startGateway(settings);
  const trainer = keepTrainer(trainerArguments(options), running.gateway.log.error);
  console.log(`Listening on ${running.address} (console; API: ${running.address}/docs). Ctrl-C ends it.`);
  await stopped;
  await Promise.all([trainer.stop(), running.stop()]);
});

/** The trainer's own words of the options that both have. */
function trainerArguments(options: GatewayOptions & TrainerOptions): string[] {
  const flags: [string, string | number | undefined][] = [
    ["--data-dir", options.dataDir],
    ["--model", options.model],
    ["--dtype", options.dtype],
    ["--device", options.device],
    ["--train-workers", options.trainWorkers],
    ["--train-every", options.trainEvery],
    ["--train-cron", options.trainCron],
    ["--gate-length", options.gateLength],
    ["--gate-refusal", options.gateRefusal],
    ["--gate-agreement", options.gateAgreement],
  ];
  const given = flags.flatMap(([flag, value]) => value === undefined ? [] : [flag, String(value)]);
  return [...given, ...(options.autoPromote ? ["--auto-promote"] : []), "--follow-parent"];
}

/** Starts the trainer and starts it again whenever it ends, until it is stopped. */
function keepTrainer(
  args: string[],
  fail: (event: string, fields: Record<string, unknown>) => void,
): { stop(): Promise<void> } {
  let child: Deno.ChildProcess | undefined, stopping = false, waiting: (() => void) | undefined;
  const work = async () => {
    for (let wait = 500; !stopping; wait = Math.min(longestWait, wait * 2)) {
      const began = Date.now();
      child = new Deno.Command(Deno.execPath(), {
        args: [...taskArguments("trainer"), ...args],
        stdin: "piped",
        stdout: "null",
      })
        .spawn();
      const { code, signal } = await child.status;
      if (stopping) return;
      if (Date.now() - began > longestWait) wait = 500;
      fail("the trainer ended; it is started again", { code, signal, wait });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait);
        waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  const done = work();
  return {
    async stop() {
      stopping = true;
      waiting?.();
      // Not by a signal: a terminal's Ctrl-C reached it too, and a second one would end it in the midst of its step.
      await child?.stdin.close().catch(() => {});
      await done;
    },
  };
}

await runCommand(program);
