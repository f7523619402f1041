// Entry of a Web Worker: owns the sessions of one thread and exposes them through comlink. It decides nothing; what to
// run, in which order and with which parameters is the pool's and the trainer's business.

import { expose } from "comlink";
import { GenerationGraph } from "./generation_graph.ts";
import type { Feeds, Padding } from "./kv_cache.ts";
import type { ModelWorker } from "./protocol.ts";
import { answerAll, ServingSession } from "./serving_session.ts";
import type { StockSession } from "./stock_session.ts";
import { TrainingSessions } from "./training_sessions.ts";

let lifeline: MessagePort | undefined;
let training: TrainingSessions | undefined;
let generation: { graph: GenerationGraph; padding: Padding; adapter: Feeds } | undefined;
let serving: ServingSession | undefined;
let stock: StockSession | undefined;

const worker: ModelWorker = {
  hold(port) {
    lifeline?.close();
    lifeline = port;
  },
  async open(setup) {
    training = await TrainingSessions.open(setup);
  },
  score(batch, policy, version) {
    return training!.score(batch, policy, version);
  },
  gradient(batch, inputs, version, gradients) {
    return training!.gradient(batch, inputs, version, gradients);
  },
  async openStock(setup) {
    // transformers.js builds URLs on `location.origin`, which is "null" in a worker started from a file; without a
    // location it does not. Loaded only here, since most workers never need it.
    Object.defineProperty(globalThis, "location", { value: undefined, configurable: true });
    const { StockSession } = await import("./stock_session.ts");
    stock = await StockSession.open(setup);
  },
  scoreStock(sequence) {
    return stock!.score(sequence);
  },
  async openGeneration(setup) {
    const graph = await GenerationGraph.open(setup), padding = await graph.findPadding();
    generation = { graph, padding, adapter: graph.base };
    return padding;
  },
  setAdapter(tensors) {
    generation!.adapter = generation!.graph.adapter(tensors);
  },
  generate(requests, options) {
    const { graph, padding, adapter } = generation!;
    return answerAll(graph, padding, adapter, requests, options);
  },
  serve(port) {
    const { graph, padding } = generation!;
    // Thrown outside of any call: whoever watches this worker takes it for dead and starts another.
    const die = (error: unknown) => reportError(error);
    serving = new ServingSession(graph, padding, (step) => port.postMessage(step), die);
  },
  loadAdapter(key, tensors) {
    serving!.loadAdapter(key, generation!.graph.adapter(tensors));
  },
  dropAdapter(key) {
    serving!.dropAdapter(key);
  },
  admit(sequences) {
    serving!.admit(sequences);
  },
  drop(ids) {
    serving!.drop(ids);
  },
  async release() {
    await Promise.all([training?.release(), generation?.graph.release(), stock?.release()]);
  },
};

expose(worker);
