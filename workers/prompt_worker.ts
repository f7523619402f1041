// Entry of a sandboxed worker that reads prompts: a stranger's template and tokenizer meet strangers' texts here. It knows
// the files that it is given, and opens none.

import { type ChatTokenizer, createChatTokenizer } from "../shared/runtime/chat_tokenizer.ts";
import { type Prompt, type ReadPrompt, readPrompt } from "../shared/runtime/read_prompt.ts";
import type { TokenizerFiles } from "../shared/runtime/tokenizer_files.ts";
import { exposeBounded } from "./bounded.ts";

let opened: { tokenizer: ChatTokenizer; contextLength: number } | undefined;

/** The face of the worker. */
const functions = {
  /** Comes before all else. */
  open(files: TokenizerFiles, contextLength: number): void {
    opened = { tokenizer: createChatTokenizer(files), contextLength };
  },
  read(prompt: Prompt): ReadPrompt {
    const { tokenizer, contextLength } = opened!;
    return readPrompt(tokenizer, prompt, contextLength);
  },
};

export type PromptWorker = typeof functions;

exposeBounded(functions);
