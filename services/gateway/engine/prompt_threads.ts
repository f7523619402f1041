// The threads that read prompts, a short lane and a long one, each under a deadline. They keep a template that loops and
// a text that takes seconds from the thread that answers. It does not know which prompt is short.

import { InputError } from "../../../shared/errors.ts";
import type { TokenizerFiles } from "../../../shared/runtime/tokenizer_files.ts";
import type { PromptWorker } from "../../../workers/prompt_worker.ts";
import { DeadlineError, SandboxedWorker } from "../../../workers/sandboxed_worker.ts";
import type { Lane } from "./prompts.ts";

/** How long reading a prompt may take, in milliseconds. */
const usualDeadlines = { short: 5000, long: 10_000 };

/** How long opening a tokenizer may take, in milliseconds. */
const openingDeadline = 120_000;

/** Threads that read prompts of one model. */
export interface PromptThreads {
  short: Lane;
  long: Lane;
  end(): void;
}

/** Starts the short lane's thread; the long one's starts with the first long prompt. @throws InputError for broken files */
export async function startPromptThreads(
  files: TokenizerFiles,
  contextLength: number,
  deadlines = usualDeadlines,
): Promise<PromptThreads> {
  const start = (name: "short" | "long") => {
    const worker = new SandboxedWorker<PromptWorker>(
      new URL("../../../workers/prompt_worker.ts", import.meta.url),
      `${name} prompts`,
      { setUp: (call) => call("open", [files, contextLength], openingDeadline) },
    );
    const lane: Lane = async (prompt) => {
      try {
        return await worker.call("read", [prompt], deadlines[name]);
      } catch (error) {
        if (!(error instanceof DeadlineError)) throw error;
        const seconds = `${deadlines[name] / 1000} s`;
        throw new InputError(
          prompt.source === "chat"
            ? `The chat template and the tokenizer of ${files.name} take longer than ${seconds} for this conversation; ` +
              `shorten it, or use a model whose template ends.`
            : `The tokenizer of ${files.name} takes longer than ${seconds} for this prompt; shorten it.`,
        );
      }
    };
    return { worker, lane };
  };
  const short = start("short"), long = start("long");
  // The first prompt does not wait for the tokenizer.
  await short.lane({ source: "text", text: "" });
  const end = () => {
    short.worker.end();
    long.worker.end();
  };
  return { short: short.lane, long: long.lane, end };
}
