// The engine: one base model, any number of adapters on it, answered by workers. It checks what is asked, fixes the adapter's
// version, and joins tokens, texts and streams. It knows neither HTTP nor storage.

import { checkFile } from "../../../shared/compiler/check_file.ts";
import { compileBaseGeneration, compileGeneration } from "../../../shared/compiler/compile.ts";
import { InputError } from "../../../shared/errors.ts";
import { weightsFolder } from "../../../shared/onnx/external_data.ts";
import { createReporter } from "../../../shared/progress.ts";
import { checkDevice } from "../../../shared/runtime/gpu.ts";
import { contextLengthOf } from "../../../shared/runtime/model_sizes.ts";
import type { FilesVersion } from "../../../shared/runtime/kept_adapters.ts";
import { findModel, identityOf, type OpenModel, openModel } from "../../../shared/runtime/open_model.ts";
import { workersOn } from "../../../shared/runtime/session.ts";
import { readTokenizerFiles } from "../../../shared/runtime/tokenizer_files.ts";
import { AdapterShelf, readRegisteredAdapter, readServedAdapter } from "./adapter_shelf.ts";
import { AnswerStream } from "./answer_stream.ts";
import { AnswerText, type TextSettings } from "./answer_text.ts";
import {
  type AnswerRequest,
  type Answers,
  type Engine,
  EngineClosedError,
  type EngineSettings,
  type EngineState,
  type LoadedAdapter,
  type Prompts,
  QueueFullError,
  UnreadAnswerError,
} from "./answers.ts";
import { Dispatcher, type Job } from "./dispatcher.ts";
import { type PromptThreads, startPromptThreads } from "./prompt_threads.ts";
import { promptsOf } from "./prompts.ts";
import { readTokenBytes } from "./token_bytes.ts";

export * from "./answers.ts";

/**
 * Cores that one worker's sessions share. Against a worker a core, one on both cores of a machine gave a lone client 1.3
 * times the tokens a second and 16 clients as many, for half the packed weights (docs/LOG.md).
 */
const coresPerWorker = 8;

/** Sequences that a worker answers side by side. */
const placesPerWorker = 16;

/** Assumed of a model whose config does not say how long its context is. */
const assumedContextLength = 2048;

class ServingEngine implements Engine {
  readonly tokenizer;
  readonly vocabularySize;
  readonly prompts: Prompts;
  #closed = false;
  /** Tells `close` that a sequence has left. */
  #onLeave = () => {};
  #ids = 0;
  /** Adapters are loaded and removed one at a time. */
  #change: Promise<unknown> = Promise.resolve();
  /** How long an answer takes, in seconds, smoothed over the last ones. */
  #answerSeconds = 1;

  constructor(
    readonly model: OpenModel,
    readonly base: string,
    readonly contextLength: number,
    readonly queue: number,
    readonly promptThreads: PromptThreads,
    readonly dispatcher: Dispatcher,
    readonly shelf: AdapterShelf,
    readonly texts: Pick<TextSettings, "tokenizer" | "tokenBytes">,
  ) {
    this.tokenizer = model.tokenizer;
    this.vocabularySize = model.folder.config.vocab_size ?? Infinity;
    this.prompts = promptsOf(contextLength, promptThreads);
  }

  adapters(): LoadedAdapter[] {
    return this.shelf.named();
  }

  async checkAdapter(folder: string): Promise<FilesVersion> {
    return (await readServedAdapter(this.model, folder)).files;
  }

  setAdapter(name: string, folder: string, version: string): Promise<void> {
    return this.#inTurn(async () => {
      const feeds = await readRegisteredAdapter(this.model, folder, name, version);
      const release = this.shelf.keep(version, feeds);
      try {
        await this.dispatcher.loadAdapter(version, feeds);
        this.shelf.name(name, version);
      } finally {
        release();
      }
    });
  }

  removeAdapter(name: string): Promise<void> {
    return this.#inTurn(() => Promise.resolve(this.shelf.remove(name)));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#change.then(change);
    this.#change = done.catch(() => {});
    return done;
  }

  answer(requests: AnswerRequest[], signal: AbortSignal): Answers {
    if (this.#closed) throw new EngineClosedError();
    signal.throwIfAborted();
    for (const request of requests) this.#check(request);
    const { active, queued, capacity } = this.dispatcher;
    if (active + queued + requests.length > capacity + this.queue) throw new QueueFullError(this.#retryAfter());
    const answering = shareVersions(requests, (name) => this.shelf.lease(name)).map(({ request, version, release }) =>
      this.#begin(request, version, release)
    );
    const abort = () => {
      this.dispatcher.drop(answering.map(({ job }) => job));
      for (const { stream, leave } of answering) {
        stream.abort(signal.reason);
        leave();
      }
    };
    signal.addEventListener("abort", abort, { once: true });
    let left = answering.length;
    for (const each of answering) each.onGone = () => --left === 0 && signal.removeEventListener("abort", abort);
    this.dispatcher.submit(answering.map(({ job }) => job));
    return {
      adapterVersion: answering[0]?.job.adapter,
      answers: answering.map(({ job, stream, leave }) =>
        stream.read(() => {
          this.dispatcher.drop([job]);
          leave();
        })
      ),
    };
  }

  /** Everything that one answer is made of, ready to be submitted. */
  #begin(request: AnswerRequest, version: string | undefined, release: () => void) {
    const { promptIds, sampling, topLogProbs, stop } = request, began = performance.now();
    const settings = { ...this.texts, stop, reportsTokens: topLogProbs !== undefined };
    let text = new AnswerText(settings), gone = false;
    const stream = new AnswerStream((piece) => text.describe(piece));
    const leave = () => {
      if (gone) return;
      gone = true;
      release();
      answering.onGone();
      this.#onLeave();
    };
    const end = (finishReason: "stop" | "length") => {
      stream.end({ finishReason, completionTokens: text.completionTokens, logProb: text.logProb });
      this.#answerSeconds += ((performance.now() - began) / 1000 - this.#answerSeconds) / 8;
      leave();
    };
    const job: Job = {
      id: this.#ids++,
      promptIds,
      adapter: version,
      sampling,
      maxTokens: Math.min(request.maxTokens, this.contextLength - promptIds.length),
      stopIds: this.tokenizer.eosTokenIds,
      topLogProbs,
      given: () => stream.given,
      onBegin: () => text = new AnswerText(settings),
      onToken: (drawn) => {
        const piece = text.push(drawn);
        if (piece && stream.full) {
          this.dispatcher.drop([job]);
          return job.onFailure(new UnreadAnswerError());
        }
        if (piece) stream.push(piece);
        if (!text.stopped) return;
        this.dispatcher.drop([job]);
        end("stop");
      },
      onEnd: (reason) => {
        const piece = text.end();
        if (piece) stream.push(piece);
        end(text.stopped ? "stop" : reason);
      },
      onFailure: (error) => {
        stream.fail(error);
        leave();
      },
    };
    const answering = { job, stream, leave, onGone: (): unknown => undefined };
    return answering;
  }

  /** @throws InputError for what cannot be answered */
  #check({ promptIds, maxTokens }: AnswerRequest): void {
    if (promptIds.length === 0) throw new InputError("The prompt is empty: it must have a token at least.");
    if (promptIds.length >= this.contextLength) {
      throw new InputError(
        `The prompt has ${promptIds.length} tokens, but the model's context is ${this.contextLength} tokens for prompt ` +
          `and answer together: shorten it.`,
      );
    }
    const unknown = promptIds.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocabularySize);
    if (unknown !== undefined) {
      throw new InputError(`The prompt has the token ${unknown}, which the model does not know.`);
    }
    if (!Number.isInteger(maxTokens) || maxTokens < 1) {
      throw new InputError(`An answer of ${maxTokens} tokens cannot be given: ask for 1 at least.`);
    }
  }

  /** When a place in the queue will be free, about: answers end evenly over the time that one takes. */
  #retryAfter(): number {
    return Math.min(60, Math.max(1, Math.ceil(this.#answerSeconds / this.dispatcher.capacity)));
  }

  state(): EngineState {
    const { active, queued, capacity, tokensGenerated } = this.dispatcher;
    return { active, queued, capacity, tokensGenerated };
  }

  async close(patience: number): Promise<void> {
    this.#closed = true;
    let late: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      late = setTimeout(resolve, patience);
      this.#onLeave = () => this.dispatcher.active + this.dispatcher.queued === 0 && resolve();
      this.#onLeave();
    });
    clearTimeout(late);
    await this.#change;
    this.promptThreads.end();
    await this.dispatcher.stop();
  }
}

/** The requests, each with the version of its adapter; equal prompts become one array, so that they can be seen to be. */
function shareVersions(
  requests: readonly AnswerRequest[],
  lease: (name: string) => { version: string; release: () => void },
): { request: AnswerRequest; version: string | undefined; release: () => void }[] {
  const prompts = new Map<string, number[]>(), leases: (() => void)[] = [];
  try {
    return requests.map((request) => {
      const key = request.promptIds.join(), promptIds = prompts.get(key) ?? request.promptIds;
      prompts.set(key, promptIds);
      if (request.adapter === undefined) {
        return { request: { ...request, promptIds }, version: undefined, release: () => {} };
      }
      const { version, release } = lease(request.adapter);
      leases.push(release);
      return { request: { ...request, promptIds }, version, release };
    });
  } catch (error) {
    for (const release of leases) release();
    throw error;
  }
}

/** The context's length as the model's config says it, or else an assumed one. */
function servedContextLength(config: Record<string, unknown>, warn: (sentence: string) => void): number {
  const said = contextLengthOf(config);
  if (said !== undefined) return said;
  warn(`The model's config.json does not say how long its context is; ${assumedContextLength} tokens are assumed.`);
  return assumedContextLength;
}

/**
 * Opens the model and starts the workers.
 *
 * @throws InputError where there is no such model, or one that cannot be served
 * @throws WorkerFailure where a worker cannot be started
 */
export async function startEngine(
  { model: asked, dtype, device, workers, queue, json }: EngineSettings,
  warn: (sentence: string) => void,
  url?: URL,
): Promise<Engine> {
  const found = await findModel(asked, dtype, { ...createReporter({ json }), warn });
  const model = openModel(found, dtype), { folder, path, tokenizer } = model;
  const cores = navigator.hardwareConcurrency, on = device === "auto" ? "cpu" : device;
  const size = on === "cpu" ? workers ?? Math.ceil(cores / coresPerWorker) : workersOn(on, workers);
  const threads = Math.max(1, Math.floor(cores / size));
  const place = { device: on, folder: weightsFolder(path), threads } as const;
  await checkDevice(model, place.device);
  const shelf: AdapterShelf = new AdapterShelf((version) => dispatcher.dropAdapter(version));
  const contextLength = servedContextLength(folder.config, warn);
  const graphs = { base: compileBaseGeneration(path), adapted: compileGeneration(path, folder.config) };
  await checkFile(path);
  const [prompts, answers] = await Promise.allSettled([
    startPromptThreads(readTokenizerFiles(folder), contextLength),
    Dispatcher.start({
      workers: size,
      places: placesPerWorker,
      base: { ...place, graph: graphs.base },
      adapted: { ...place, graph: graphs.adapted },
      adapters: () => shelf.versions(),
      ...(url ? { url } : {}),
    }, warn),
  ]);
  if (prompts.status === "rejected" || answers.status === "rejected") {
    if (prompts.status === "fulfilled") prompts.value.end();
    if (answers.status === "fulfilled") await answers.value.stop();
    throw prompts.status === "rejected" ? prompts.reason : (answers as PromiseRejectedResult).reason;
  }
  const dispatcher = answers.value;
  return new ServingEngine(
    model,
    await identityOf(model),
    contextLength,
    queue,
    prompts.value,
    dispatcher,
    shelf,
    { tokenizer, tokenBytes: readTokenBytes(folder.path) },
  );
}
