// Entry of a Web Worker: owns the sessions of one thread and exposes them through comlink. It decides nothing; what to
// run, in which order and with which parameters is the pool's and the trainer's business.

import { expose } from "comlink";
import { GenerationGraph } from "./generation_graph.ts";
import type { Padding } from "./kv_cache.ts";
import type { GenerationSetup, ModelWorker } from "./protocol.ts";
import { type AdaptedGraph, answerAll, ServingSession } from "./serving_session.ts";
import type { StockSession } from "./stock_session.ts";
import { TrainingSessions } from "./training_sessions.ts";

let lifeline: MessagePort | undefined;
let training: TrainingSessions | undefined;
let generation: { model: AdaptedGraph; padding: Padding } | undefined;
let serving: { session: ServingSession; adapted: GenerationSetup; graph?: Promise<GenerationGraph> } | undefined;
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
    generation = { model: { graph, adapter: graph.base }, padding };
    return padding;
  },
  setAdapter(tensors) {
    const { graph } = generation!.model;
    generation!.model = { graph, adapter: graph.adapter(tensors) };
  },
  generate(requests, options) {
    return answerAll(generation!.model, generation!.padding, requests, options);
  },
  serve(port, adapted) {
    const { model, padding } = generation!;
    // Thrown outside of any call: whoever watches this worker takes it for dead and starts another.
    const die = (error: unknown) => reportError(error);
    serving = { session: new ServingSession(model, padding, (step) => port.postMessage(step), die), adapted };
  },
  async loadAdapter(key, tensors) {
    const graph = await (serving!.graph ??= GenerationGraph.open(serving!.adapted));
    serving!.session.loadAdapter(key, { graph, adapter: graph.adapter(tensors) });
  },
  dropAdapter(key) {
    serving!.session.dropAdapter(key);
  },
  admit(sequences) {
    serving!.session.admit(sequences);
  },
  drop(ids) {
    serving!.session.drop(ids);
  },
  async release() {
    await serving?.session.stop();
    const adapted = (await serving?.graph)?.release();
    await Promise.all([training?.release(), generation?.model.graph.release(), adapted, stock?.release()]);
  },
};

expose(worker);
