// What is asked of the engine and what it gives: the words that routes and engine share. It runs nothing.

import type { Device } from "../../../shared/runtime/session.ts";
import { InputError } from "../../../shared/errors.ts";
import type { Message } from "../../../shared/feedback/row.ts";
import type { ChatTokenizer, RenderOptions } from "../../../shared/runtime/chat_tokenizer.ts";
import type { Prompt } from "../../../shared/runtime/read_prompt.ts";
import type { FilesVersion } from "../../../shared/runtime/kept_adapters.ts";
import type { FinishReason, Sampling } from "../../../workers/protocol.ts";

export type { Sampling };

/** One answer that is asked for. */
export interface AnswerRequest {
  promptIds: number[];
  /** An adapter's name; undefined is the base model. */
  adapter: string | undefined;
  sampling: Sampling;
  maxTokens: number;
  /** Texts that end the answer; not part of it. At most 4. */
  stop: string[];
  /** How many alternatives to report per token; undefined reports none. */
  topLogProbs: number | undefined;
}

/** A token and its log-prob: raw log-softmax of the model's logits, before temperature, penalties and bias. */
export interface Alternative {
  token: string;
  bytes: number[];
  logProb: number;
}

/** A token of an answer, with the likeliest tokens at its place, the likeliest first. */
export interface TokenLogProb extends Alternative {
  top: Alternative[];
}

/** A piece of an answer: text that is final (never half a character, never the beginning of a stop text). */
export interface AnswerPiece {
  text: string;
  /** Tokens that this piece completes; empty unless asked for. */
  tokens: TokenLogProb[];
  /** How many it completes, asked for or not. */
  completionTokens: number;
  /** Sum of their raw log-probs. */
  logProb: number;
}

/** How an answer ended. */
export interface AnswerEnd {
  finishReason: FinishReason;
  completionTokens: number;
  /** Sum of the raw log-probs of the tokens. */
  logProb: number;
}

/** Answers that have begun, or wait for a place. */
export interface Answers {
  /** sha-256 of the adapter that answers; undefined for the base model. */
  adapterVersion: string | undefined;
  /** One per request: its pieces, then its end. */
  answers: AsyncGenerator<AnswerPiece, AnswerEnd>[];
}

/** An adapter that answers may be asked of. */
export interface LoadedAdapter {
  name: string;
  /** sha-256 over its files. */
  version: string;
  /** When it was loaded, in milliseconds since 1970. */
  since: number;
}

/** How busy the engine is. Sequences are counted: a request for n answers is n of them. */
export interface EngineState {
  active: number;
  queued: number;
  /** Sequences that may be active at once. */
  capacity: number;
  tokensGenerated: number;
}

/** The queue has no room for what was asked; nothing has been computed. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";

  constructor(readonly retryAfterSeconds: number) {
    super(`All places are taken and the queue is full; try again in ${retryAfterSeconds} s.`);
  }
}

/** The engine is closing and takes no new answers. */
export class EngineClosedError extends Error {
  override readonly name = "EngineClosedError";

  constructor() {
    super("The engine is closing and takes no new answers.");
  }
}

/** An answer that nobody reads as fast as it comes, by far: it was given up. */
export class UnreadAnswerError extends Error {
  override readonly name = "UnreadAnswerError";

  constructor() {
    super("The answer came faster than it was read, and was given up.");
  }
}

/** Reads prompts for one model. */
export interface Prompts {
  /**
   * Ids of a conversation as its chat template writes it; by default it ends where the assistant begins.
   *
   * @throws PromptError
   * @throws QueueFullError
   */
  chat(messages: Message[], options?: RenderOptions): Promise<number[]>;
  /**
   * Ids of a text as it is.
   *
   * @throws PromptError
   * @throws QueueFullError
   */
  text(text: string): Promise<number[]>;
}

/** A prompt that cannot be read; `code` as OpenAI's errors have it, where they have one. */
export class PromptError extends InputError {
  constructor(message: string, readonly source: Prompt["source"], readonly code: string | null = null) {
    super(message);
  }
}

/** Answers requests with one base model and any number of adapters on it. */
export interface Engine {
  /** Name of the base model's folder and the hash of its files: `name@sha-256`. */
  readonly base: string;
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  /** Tokens that the model knows: their ids are below. */
  readonly vocabularySize: number;
  readonly tokenizer: ChatTokenizer;
  readonly prompts: Prompts;
  adapters(): LoadedAdapter[];
  /** Whether an adapter fits the model. @returns what its files are called by @throws InputError where it does not */
  checkAdapter(folder: string): Promise<FilesVersion>;
  /**
   * Loads or replaces an adapter, hot: answers under way keep the one they began with.
   *
   * @param version what its files are registered as
   * @throws UnusableAdapterError for other files
   * @throws InputError for an adapter that does not fit
   */
  setAdapter(name: string, folder: string, version: string): Promise<void>;
  removeAdapter(name: string): Promise<void>;
  /**
   * Answers requests; those of one call share their prompt's computation where they can. The adapter's version is fixed
   * here. When `signal` aborts, the generators throw its reason and the places are free at the next token; a generator
   * that is given up (`return`) frees its place alike.
   *
   * @throws QueueFullError before anything is computed, where the requests do not fit in the queue
   * @throws EngineClosedError once close was called
   * @throws InputError for an adapter that is not loaded, or a prompt that leaves no room for a token
   */
  answer(requests: AnswerRequest[], signal: AbortSignal): Answers;
  state(): EngineState;
  /** Refuses new answers, waits for those under way (at most `patience` ms), stops the workers. */
  close(patience: number): Promise<void>;
}

export interface EngineSettings {
  /** Folder or hub id; undefined is the embedded model. */
  model: string | undefined;
  dtype: string;
  device: Device | "auto";
  /** Undefined takes what was measured to be fastest. */
  workers: number | undefined;
  /** Sequences that may wait, beyond those active. */
  queue: number;
  /** Progress as JSON lines. */
  json: boolean;
}
