// Entry of a Web Worker: owns the sessions of one thread and exposes them through comlink. It decides nothing; what to
// run, in which order and with which parameters is the pool's and the trainer's business.

import { expose } from "comlink";
import { GenerationSession } from "./generation_session.ts";
import type { ModelWorker } from "./protocol.ts";
import type { StockSession } from "./stock_session.ts";
import { TrainingSessions } from "./training_sessions.ts";

let lifeline: MessagePort | undefined;
let training: TrainingSessions | undefined;
let generation: GenerationSession | undefined;
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
    generation = await GenerationSession.open(setup);
  },
  setAdapter(tensors) {
    generation!.setAdapter(tensors);
  },
  generate(requests, options) {
    return generation!.generate(requests, options);
  },
  async release() {
    await Promise.all([training?.release(), generation?.release(), stock?.release()]);
  },
};

expose(worker);
