// The peer: transformers.js' own generate in a bare process, nothing of ours around it. Both ends of the conversation are
// here: the parent spawns this program again, and every line that it then writes is a question, answered by a JSON line.

import process from "node:process";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const setupSchema = z.object({
  folder: z.string(),
  dtype: z.string(),
  /** Of the session; null leaves it to ONNX Runtime, which takes every core. */
  threads: z.int().positive().nullable(),
  tokens: z.int().positive(),
  /** Tokens that would end an answer. */
  eosTokenIds: z.array(z.int()),
});

/** What the peer runs. */
export type BareSetup = z.infer<typeof setupSchema>;

const answerSchema = z.object({ text: z.string(), seconds: z.number(), cpuSeconds: z.number() });

/** An answer and what it took: wall time, and processor time of all threads. */
export type BareAnswer = z.infer<typeof answerSchema>;

/** The child's end: answers questions until there are no more. */
export async function answerBare(json: string): Promise<void> {
  const { AutoModelForCausalLM, AutoTokenizer } = await import("@huggingface/transformers");
  const { folder, dtype, threads, tokens, eosTokenIds } = setupSchema.parse(JSON.parse(json));
  const tokenizer = await AutoTokenizer.from_pretrained(folder, { local_files_only: true });
  const model = await AutoModelForCausalLM.from_pretrained(folder, {
    dtype: dtype as "fp32",
    device: "cpu",
    local_files_only: true,
    session_options: { logSeverityLevel: 3, ...(threads === null ? {} : { intraOpNumThreads: threads }) },
  });
  for await (const content of createInterface({ input: process.stdin })) {
    const started = performance.now(), used = process.cpuUsage();
    const inputs = tokenizer.apply_chat_template([{ role: "user", content }], {
      add_generation_prompt: true,
      return_dict: true,
    }) as { input_ids: { dims: number[] } };
    const output = await model.generate(
      {
        ...inputs,
        max_new_tokens: tokens,
        min_new_tokens: tokens,
        do_sample: false,
        eos_token_id: eosTokenIds,
      } as Parameters<typeof model.generate>[0],
    );
    const ids = (output as { tolist(): bigint[][] }).tolist()[0]!.slice(inputs.input_ids.dims[1]);
    const text = tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
    const { user, system } = process.cpuUsage(used);
    const answer: BareAnswer = {
      text,
      seconds: (performance.now() - started) / 1000,
      cpuSeconds: (user + system) / 1e6,
    };
    console.log(JSON.stringify(answer));
  }
}

export interface BareProcess {
  ask(question: string): Promise<BareAnswer>;
  stop(): Promise<void>;
}

/** Starts the peer. @param program path of the command that calls `answerBare` for the sub-command `bare` */
export function startBare(program: string, setup: BareSetup): BareProcess {
  const config = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--config", config, program, "bare", JSON.stringify(setup)],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const questions = child.stdin.getWriter(), encoder = new TextEncoder();
  const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]();
  return {
    async ask(question) {
      await questions.write(encoder.encode(`${question}\n`));
      const { done, value } = await lines.next();
      if (done) throw new Error(`transformers.js ended with exit code ${(await child.status).code}`);
      return answerSchema.parse(JSON.parse(value));
    },
    async stop() {
      await questions.close().catch(() => {});
      await child.status;
    },
  };
}
