// Brings sequences to workers: a bounded queue, places that become free, workers that die and are replaced with every
// adapter that is in use. It knows sequences by their tokens; what they mean to whoever asked is not its business.

import { type Remote, transfer } from "comlink";
import { type Member, startMember } from "../../../workers/member.ts";
import { WorkerFailure } from "../../../workers/pool.ts";
import type {
  AdapterFeeds,
  DrawnToken,
  FinishReason,
  GenerationSetup,
  ModelWorker,
  ServingSequence,
  ServingStep,
} from "../../../workers/protocol.ts";

/** A sequence to be answered. Those of one call that share their prompt have the same array of ids. */
export interface Job extends ServingSequence {
  /** Whether anything of it was given out: if its worker dies it cannot be begun again. */
  given: () => boolean;
  /** Called before its first token, and again before its first token on another worker. */
  onBegin: () => void;
  onToken: (drawn: DrawnToken) => void;
  onEnd: (reason: FinishReason) => void;
  onFailure: (error: Error) => void;
}

export interface DispatcherSettings {
  workers: number;
  /** Sequences that a worker answers side by side. */
  places: number;
  /** The graph that answers without an adapter, and the one that does under any. */
  base: GenerationSetup;
  adapted: GenerationSetup;
  /** Adapters that a fresh worker must have. */
  adapters: () => Iterable<[key: string, { feeds: AdapterFeeds }]>;
  /** The module that workers run; tests give one that fails. */
  url?: URL;
}

/** A worker and the sequences that it holds. */
interface Slot {
  member: Member<ModelWorker>;
  ready: boolean;
  jobs: Map<number, { job: Job; lastTry: boolean }>;
  port: MessagePort | undefined;
}

type Waiting = { job: Job; lastTry: boolean };

/** How long to wait before another replacement is started where one failed, in milliseconds: doubled each time. */
const firstPause = 1000, longestPause = 30_000;

/** How long a stopping worker may compute on before it is ended all the same, in milliseconds. */
const stopPatience = 2000;

export class Dispatcher {
  #slots: Slot[] = [];
  #queue: Waiting[] = [];
  #spawned = 0;
  #stopped = false;
  #warnedOfPadding = false;
  tokensGenerated = 0;

  private constructor(readonly settings: DispatcherSettings, readonly warn: (sentence: string) => void) {}

  /** Starts the workers. @throws WorkerFailure where one cannot be set up */
  static async start(settings: DispatcherSettings, warn: (sentence: string) => void): Promise<Dispatcher> {
    const dispatcher = new Dispatcher(settings, warn);
    dispatcher.#slots = Array.from({ length: settings.workers }, () => dispatcher.#spawn());
    try {
      await Promise.all(dispatcher.#slots.map((slot) => dispatcher.#open(slot)));
    } catch (error) {
      await dispatcher.stop();
      throw new WorkerFailure(`A worker could not be started: ${(error as Error).message}`);
    }
    return dispatcher;
  }

  get active(): number {
    return this.#slots.reduce((sum, { jobs }) => sum + jobs.size, 0);
  }

  get queued(): number {
    return this.#queue.length;
  }

  get capacity(): number {
    return this.settings.workers * this.settings.places;
  }

  /** Takes sequences in, each to be answered as soon as there is a place. */
  submit(jobs: readonly Job[]): void {
    this.#queue.push(...jobs.map((job) => ({ job, lastTry: false })));
    this.#fill();
  }

  /** Gives sequences up; nothing more is heard of them. */
  drop(jobs: readonly Job[]): void {
    const ids = new Set(jobs.map(({ id }) => id));
    this.#queue = this.#queue.filter(({ job }) => !ids.has(job.id));
    for (const slot of this.#slots) {
      const held = [...ids].filter((id) => slot.jobs.delete(id));
      if (held.length > 0) this.#tell(slot, (worker) => worker.drop(held));
    }
    this.#fill();
  }

  /** Gives an adapter to every worker; one that dies over it is replaced by one that has it. */
  async loadAdapter(key: string, feeds: AdapterFeeds): Promise<void> {
    await Promise.all(
      this.#slots.filter(({ ready }) => ready).map((slot) =>
        this.#tell(slot, (worker) => Promise.race([worker.loadAdapter(key, feeds), slot.member.death]))
      ),
    );
  }

  dropAdapter(key: string): void {
    for (const slot of this.#slots) if (slot.ready) this.#tell(slot, (worker) => worker.dropAdapter(key));
  }

  /** Ends all workers, after they have given back their sessions. What is under way fails. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const failed = [...this.#queue.splice(0), ...this.#slots.flatMap(({ jobs }) => [...jobs.values()])];
    for (const { job } of failed) job.onFailure(new WorkerFailure("The engine was stopped."));
    const slots = this.#slots.splice(0);
    let waited: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => waited = setTimeout(resolve, stopPatience));
    const released = slots.map(({ member: { remote, death } }) => Promise.race([remote.release(), death]));
    await Promise.race([late, Promise.allSettled(released)]);
    clearTimeout(waited);
    for (const { member, port } of slots) {
      port?.close();
      member.end();
    }
  }

  #spawn(): Slot {
    const url = this.settings.url ?? new URL("../../../workers/model_worker.ts", import.meta.url);
    return {
      member: startMember<ModelWorker>(url, `worker ${++this.#spawned}`),
      ready: false,
      jobs: new Map(),
      port: undefined,
    };
  }

  /** Sets a slot's worker up; from then on it takes sequences, and its death is its replacement's birth. */
  async #open(slot: Slot): Promise<void> {
    const { member: { remote, death, name } } = slot, { port1, port2 } = new MessageChannel();
    slot.port = port1;
    const orDeath = <Result>(work: Promise<Result>) => Promise.race([work, death]);
    const padding = await orDeath(remote.openGeneration(this.settings.base));
    await orDeath(remote.serve(transfer(port2, [port2]), this.settings.adapted));
    for (const [key, { feeds }] of this.settings.adapters()) await orDeath(remote.loadAdapter(key, feeds));
    if (padding === "none" && !this.#warnedOfPadding) {
      this.#warnedOfPadding = true;
      this.warn("Rows of this model do not go side by side with the same numbers as alone: answers take turns.");
    }
    port1.onmessage = ({ data }: MessageEvent<ServingStep>) => this.#onStep(slot, name, data);
    slot.ready = true;
    death.catch((error: Error) => this.#onDeath(slot, name, error));
    this.#fill();
  }

  /**
   * Says something to a worker; where that fails, it is as good as dead. Its death is watched elsewhere: a race against it
   * here would leave a little behind in that promise with each message.
   */
  async #tell(slot: Slot, say: (worker: Remote<ModelWorker>) => Promise<void>): Promise<void> {
    const { member } = slot;
    try {
      await say(member.remote);
    } catch (error) {
      this.#onDeath(slot, member.name, error as Error);
    }
  }

  /** Gives waiting sequences to workers with free places: the least busy first, sharers of a prompt together. */
  #fill(): void {
    const admitted = new Map<Slot, ServingSequence[]>();
    while (this.#queue.length > 0) {
      const free = this.#slots.filter(({ ready, jobs }) => ready && jobs.size < this.settings.places);
      if (free.length === 0) break;
      const slot = free.reduce((least, each) => each.jobs.size < least.jobs.size ? each : least);
      const { promptIds } = this.#queue[0]!.job;
      do {
        const waiting = this.#queue.shift()!, { job } = waiting;
        slot.jobs.set(job.id, waiting);
        job.onBegin();
        admitted.set(slot, [...admitted.get(slot) ?? [], sequenceOf(job)]);
      } while (this.#queue[0]?.job.promptIds === promptIds && slot.jobs.size < this.settings.places);
    }
    for (const [slot, sequences] of admitted) this.#tell(slot, (worker) => worker.admit(sequences));
  }

  #onStep(slot: Slot, name: string, { tokens, ended, failed }: ServingStep): void {
    if (slot.member.name !== name) return;
    for (const { id, drawn } of tokens) {
      const held = slot.jobs.get(id);
      if (!held) continue;
      this.tokensGenerated++;
      held.job.onToken(drawn);
    }
    for (const { id, reason } of ended) this.#leave(slot, id)?.onEnd(reason);
    for (const { id, message } of failed) {
      this.#leave(slot, id)?.onFailure(new WorkerFailure(`${name} could not read the prompt (${message}).`));
    }
    if (ended.length + failed.length > 0) this.#fill();
  }

  #leave(slot: Slot, id: number): Job | undefined {
    const held = slot.jobs.get(id);
    slot.jobs.delete(id);
    return held?.job;
  }

  /** What a dead worker held is tried once more, where nothing of it was given out; a fresh worker takes its place. */
  #onDeath(slot: Slot, name: string, error: Error): void {
    if (this.#stopped || slot.member.name !== name || !slot.ready) return;
    slot.ready = false;
    this.warn(`${name} failed (${error.message}); a fresh worker takes its place.`);
    slot.port?.close();
    slot.member.end();
    const held = [...slot.jobs.values()];
    slot.jobs.clear();
    const lost = held.filter(({ job, lastTry }) => lastTry || job.given());
    this.#queue.unshift(...held.filter((each) => !lost.includes(each)).map(({ job }) => ({ job, lastTry: true })));
    for (const { job } of lost) {
      job.onFailure(new WorkerFailure(`${name} failed (${error.message}) while it answered.`));
    }
    void this.#replace(slot);
    this.#fill();
  }

  async #replace(slot: Slot): Promise<void> {
    for (let pause = firstPause;; pause = Math.min(2 * pause, longestPause)) {
      slot.member = this.#spawn().member;
      try {
        return await this.#open(slot);
      } catch (error) {
        if (this.#stopped) return;
        const { member, port } = slot, why = (error as Error).message;
        this.warn(`${member.name} could not be set up (${why}); another is tried in ${pause / 1000} s.`);
        port?.close();
        member.end();
        if (!this.#slots.some(({ ready }) => ready)) {
          const failure = new WorkerFailure(`No worker is left: ${member.name} could not be set up (${why}).`);
          for (const { job } of this.#queue.splice(0)) job.onFailure(failure);
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (this.#stopped) return;
      }
    }
  }
}

/** What of a job its worker is told. */
function sequenceOf(job: Job): ServingSequence {
  const { id, promptIds, adapter, sampling, maxTokens, stopIds, topLogProbs } = job;
  return { id, promptIds, adapter, sampling, maxTokens, stopIds, topLogProbs };
}
