// Runs every measurement in a process of its own, so that peak memory is its own and nothing is warm from before. Both
// ends of the conversation are here: the parent spawns this program again with a job as its argument, the child answers
// in JSON lines. It does not know what the numbers are for.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { InputError } from "../../../shared/errors.ts";
import { measureWork, type StepWork } from "./flops.ts";
import { measureGemmPeak } from "./gemm.ts";
import { stepSettingsSchema } from "./settings.ts";
import { measureSteps, type StepMeasurement } from "./steps.ts";

const jobSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("steps"), settings: stepSettingsSchema }),
  z.object({ kind: z.literal("work"), settings: stepSettingsSchema }),
  z.object({ kind: z.literal("gemm"), workers: z.number(), seconds: z.number() }),
]);

/** A measurement. */
export type Job = z.infer<typeof jobSchema>;

const results = {
  steps: z.object({
    tokensPerSecond: z.number(),
    secondsPerStep: z.number(),
    peakBytes: z.number(),
    residentBytes: z.number(),
  }),
  work: z.object({ flops: z.number(), operators: z.array(z.object({ operator: z.string(), share: z.number() })) }),
  gemm: z.object({ flopsPerSecond: z.number() }),
};

/** What a kind of job answers. */
export interface JobResults {
  steps: StepMeasurement;
  work: StepWork;
  gemm: { flopsPerSecond: number };
}

/** The child's end: does the job that the parent wrote as an argument and prints the answer. */
export async function answerJob(text: string): Promise<void> {
  const job = jobSchema.parse(JSON.parse(text));
  const say = (line: Record<string, unknown>) => console.log(JSON.stringify(line));
  const measure = async (): Promise<JobResults[keyof JobResults]> => {
    switch (job.kind) {
      case "steps":
        return await measureSteps(job.settings, () => say({ step: true }));
      case "work":
        return await measureWork(job.settings);
      case "gemm":
        return { flopsPerSecond: await measureGemmPeak(job.workers, job.seconds) };
    }
  };
  say({ result: await measure() });
}

/** Calls back with every line of a stream that holds a JSON object; other lines are passed over. */
export async function readJsonLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onObject: (object: Record<string, unknown>) => void,
): Promise<void> {
  let rest = "";
  const take = (line: string) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return;
    }
    if (typeof value === "object" && value !== null) onObject(value as Record<string, unknown>);
  };
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  take(rest);
}

/**
 * Does a job in a new process.
 *
 * @param program path of the command that calls `answerJob` for the sub-command `job`
 * @throws InputError when the child found its input unusable (it has said why on stderr)
 */
export async function runJob<Kind extends Job["kind"]>(
  program: string,
  job: Job & { kind: Kind },
  onStep: () => void = () => {},
): Promise<JobResults[Kind]> {
  const config = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  // Who may run programs may do anything; only with that said does Deno let a program read /proc/self/status.
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--config", config, program, "job", JSON.stringify(job)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let result: unknown;
  await readJsonLines(child.stdout, (object) => {
    if (object.step === true) onStep();
    if (object.result !== undefined) result = object.result;
  });
  const { code } = await child.status;
  if (code === InputError.exitCode) throw new InputError("That model or these settings cannot be measured.");
  if (code !== 0 || result === undefined) throw new Error(`the measurement "${job.kind}" ended with exit code ${code}`);
  return results[job.kind].parse(result) as JobResults[Kind];
}
