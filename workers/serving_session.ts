// Answers many sequences side by side, token by token: reads prompts, decodes one token for everyone, tells what came of
// it, lets messages in, goes on. Sequences under one adapter are a batch that others join and leave between steps. It
// knows token ids only: no text, no queue, no other workers.

import { setImmediate } from "node:timers";
import type { GenerationGraph, GraphResult } from "./generation_graph.ts";
import { type Cache, disposeCache, type Feeds, gatherRows, type Padding } from "./kv_cache.ts";
import type { FinishReason, GenerationOptions, GenerationRequest, ServingSequence, ServingStep } from "./protocol.ts";
import { Sampler } from "./sampling.ts";

/** A graph and the adapter that it is fed: what a batch is answered by. */
export interface AdaptedGraph {
  graph: GenerationGraph;
  adapter: Feeds;
}

/** A sequence that is being answered. */
interface Running extends ServingSequence {
  sampler: Sampler;
  /** What it began with, even where another adapter has taken the key since. */
  model: AdaptedGraph;
  /** The last token, which is not yet in the cache. */
  last: number;
  generated: number;
  over: boolean;
}

/** Sequences under one adapter, each with its row of the cache: row by row when it decodes, else as prompts were read. */
interface Batch {
  model: AdaptedGraph;
  members: { sequence: Running; row: number }[];
  cache: Cache;
}

/** Prompt tokens that are read before those under way get their next token, so that long prompts do not hold them up. */
const promptTokensPerStep = 512;

export class ServingSession {
  #sequences = new Map<number, Running>();
  #waiting: Running[] = [];
  #batches: Batch[] = [];
  #adapters = new Map<string, AdaptedGraph>();
  /** The loop, while it runs. */
  #loop: Promise<void> | undefined;

  /** @param tell is given every step's outcome, and the error that ended the loop */
  constructor(
    readonly base: AdaptedGraph,
    readonly padding: Padding,
    readonly tell: (step: ServingStep) => void,
    readonly fail: (error: unknown) => void,
  ) {}

  loadAdapter(key: string, model: AdaptedGraph): void {
    this.#adapters.set(key, model);
  }

  dropAdapter(key: string): void {
    this.#adapters.delete(key);
  }

  /** Takes sequences in. Those of one call with equal prompts have it read once. */
  admit(sequences: readonly ServingSequence[]): void {
    for (const sequence of sequences) {
      const model = sequence.adapter === undefined ? this.base : this.#adapters.get(sequence.adapter);
      if (!model) throw new Error(`The adapter ${sequence.adapter} is not loaded.`);
      const sampler = new Sampler(sequence.sampling, sequence.topLogProbs);
      const running = { ...sequence, sampler, model, last: -1, generated: 0, over: false };
      this.#sequences.set(sequence.id, running);
      this.#waiting.push(running);
    }
    this.#loop ??= this.#run();
  }

  /** Gives sequences up. */
  drop(ids: readonly number[]): void {
    for (const id of ids) {
      const sequence = this.#sequences.get(id);
      if (sequence) sequence.over = true;
      this.#sequences.delete(id);
    }
    this.#waiting = this.#waiting.filter(({ over }) => !over);
  }

  /** Gives everything up. @returns once nothing is computed any more */
  async stop(): Promise<void> {
    this.drop([...this.#sequences.keys()]);
    await this.#loop;
  }

  async #run(): Promise<void> {
    try {
      while (true) {
        if (this.#waiting.length === 0 && this.#batches.length === 0) break;
        const step: ServingStep = { tokens: [], ended: [], failed: [] };
        for (const batch of this.#batches) await this.#decode(batch, step);
        const read = await this.#readPrompts(step);
        this.#regroup(read);
        for (const { id } of [...step.ended, ...step.failed]) this.#sequences.delete(id);
        this.tell(step);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.#loop = undefined;
    }
  }

  /** Reads waiting prompts, up to a number of tokens a step, and draws their answers' first tokens. */
  async #readPrompts(step: ServingStep): Promise<Batch[]> {
    let room = promptTokensPerStep;
    const read: Batch[] = [];
    while (room > 0 && this.#waiting.length > 0) {
      const { group, prompts } = this.#nextGroup();
      room -= prompts.length * prompts[0]!.length;
      const { model } = group[0]!, { graph, adapter } = model;
      let result: GraphResult;
      try {
        result = await graph.read(prompts, adapter, this.padding);
      } catch (error) {
        step.failed.push(...group.map(({ id }) => ({ id, message: (error as Error).message })));
        continue;
      }
      const rowOf = new Map(prompts.map((prompt, row) => [prompt, row]));
      const members = group.map((sequence) => ({ sequence, row: rowOf.get(sequence.promptIds)! }));
      for (const { sequence, row } of members) if (!sequence.over) this.#draw(sequence, result.logitsOf(row), step);
      result.dispose();
      if (this.padding !== "none") read.push({ model, members, cache: result.cache });
      else read.push(...alone({ model, members, cache: result.cache }));
    }
    return read;
  }

  /** Takes the first waiting sequence and those that can be read with it: the same adapter, equally long prompts. */
  #nextGroup(): { group: Running[]; prompts: number[][] } {
    const [{ model, promptIds: { length } }] = this.#waiting as [Running, ...Running[]];
    const most = this.padding === "none" ? 1 : Math.max(1, Math.floor(promptTokensPerStep / length));
    const prompts = new Map<string, number[]>(), group: Running[] = [], others: Running[] = [];
    for (const sequence of this.#waiting) {
      const key = sequence.promptIds.join();
      const fits = sequence.model === model && sequence.promptIds.length === length &&
        (prompts.has(key) || prompts.size < most);
      if (!fits) {
        others.push(sequence);
        continue;
      }
      const promptIds = prompts.get(key) ?? sequence.promptIds;
      prompts.set(key, promptIds);
      sequence.promptIds = promptIds;
      group.push(sequence);
    }
    this.#waiting = others;
    return { group, prompts: [...prompts.values()] };
  }

  /** Lets sequences that were read join, and those that are over leave: one batch an adapter, where rows go together. */
  #regroup(read: Batch[]): void {
    const batches = [...this.#batches, ...read];
    const together = this.padding === "none"
      ? batches.map((batch) => [batch])
      : [...Map.groupBy(batches, ({ model }) => model).values()];
    this.#batches = together.flatMap((parts) => gather(parts, this.padding));
  }

  async #decode(batch: Batch, step: ServingStep): Promise<void> {
    const ids = batch.members.map(({ sequence }) => [sequence.last]), { graph, adapter } = batch.model;
    const result = await graph.run(ids, batch.cache, adapter, this.padding);
    disposeCache(batch.cache);
    batch.cache = result.cache;
    for (const { sequence, row } of batch.members) {
      if (!sequence.over) this.#draw(sequence, result.logitsOf(row), step);
    }
    result.dispose();
  }

  #draw(sequence: Running, logits: Float32Array, step: ServingStep): void {
    const { id, stopIds, maxTokens, sampler } = sequence, drawn = sampler.next(logits);
    const end = (reason: FinishReason) => {
      sequence.over = true;
      step.ended.push({ id, reason });
    };
    if (!Number.isFinite(drawn.logProb)) {
      // The draw would be whatever token comes first in the vocabulary.
      sequence.over = true;
      step.failed.push({ id, message: "The model's logits are not finite: try --dtype fp32, or another adapter." });
      return;
    }
    if (stopIds.includes(drawn.token)) return end("stop");
    step.tokens.push({ id, drawn });
    sequence.last = drawn.token;
    if (++sequence.generated >= maxTokens) end("length");
  }
}

/** Parts of one batch as one whose members are row by row in its cache; nothing where all are over. */
function gather(parts: Batch[], padding: Padding): Batch[] {
  const [{ model, cache, members }] = parts as [Batch, ...Batch[]];
  const orderly = cache.lengths.length === members.length && members.every(({ row }, i) => row === i);
  if (parts.length === 1 && orderly && members.every(({ sequence }) => !sequence.over)) return parts;
  const going = parts.flatMap(({ cache, members }) => members.map((member) => ({ ...member, cache })))
    .filter(({ sequence }) => !sequence.over);
  const gathered = going.length > 0 ? gatherRows(going, padding) : undefined;
  for (const { cache } of parts) disposeCache(cache);
  if (!gathered) return [];
  return [{ model, members: going.map(({ sequence }, row) => ({ sequence, row })), cache: gathered }];
}

/** A batch for each member. */
function alone({ model, members, cache }: Batch): Batch[] {
  const batches = members.map(({ sequence, row }) => ({
    model,
    members: [{ sequence, row: 0 }],
    cache: gatherRows([{ cache, row }], "none"),
  }));
  disposeCache(cache);
  return batches;
}

/** Answers all requests. @returns the answers' ids, in the order of the requests */
export function answerAll(
  model: AdaptedGraph,
  padding: Padding,
  requests: readonly GenerationRequest[],
  { temperature, stopIds }: GenerationOptions,
): Promise<number[][]> {
  return new Promise((resolve, reject) => {
    const answers: number[][] = requests.map(() => []);
    let left = requests.length;
    if (left === 0) return resolve(answers);
    const session = new ServingSession(model, padding, ({ tokens, ended, failed }) => {
      for (const { id, drawn } of tokens) answers[id]!.push(drawn.token);
      if (failed.length > 0) reject(new Error(failed[0]!.message));
      left -= ended.length;
      if (left === 0) resolve(answers);
    }, reject);
    session.admit(requests.map(({ promptIds, seed, maxNewTokens }, id) => ({
      id,
      promptIds,
      adapter: undefined,
      sampling: { temperature, topP: 1, frequencyPenalty: 0, presencePenalty: 0, logitBias: new Map(), seed },
      maxTokens: maxNewTokens,
      stopIds,
      topLogProbs: undefined,
    })));
  });
}
