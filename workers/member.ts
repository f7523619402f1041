// One worker thread as its pool sees it: a remote face, a promise that tells of its death, and an end. It does not know
// what the worker computes, nor what follows a death.

import { MessageChannel } from "node:worker_threads";
import { type Remote, transfer, wrap } from "comlink";
import type { ModelWorker } from "./protocol.ts";

export interface Member {
  name: string;
  remote: Remote<ModelWorker>;
  /** Rejects when the thread dies, of an error or without a word. */
  death: Promise<never>;
  /** Ends the thread. */
  end: () => void;
}

/** How long an error may take to arrive after the thread's end was noticed, in milliseconds. */
const lastWords = 100;

/**
 * Starts a thread and watches over it. An error comes as an event; an end without one (`self.close()`, an exit) has no
 * event in Deno, but it closes the far end of a port that the worker holds. A ping would not do: a worker is deaf while
 * ONNX Runtime computes.
 */
export function startMember(url: URL, name: string): Member {
  const thread = new Worker(url, { type: "module", name });
  const remote = wrap<ModelWorker>(thread);
  const { port1: lifeline, port2 } = new MessageChannel();
  const death = new Promise<never>((_, reject) => {
    thread.addEventListener("error", (event) => {
      event.preventDefault();
      reject(new Error(event.message || "it died"));
    });
    thread.addEventListener("messageerror", () => reject(new Error("a message to it could not be read")));
    lifeline.on("close", () => setTimeout(() => reject(new Error("it ended without a word")), lastWords));
  });
  death.catch(() => {});
  // Without start there is no close event either.
  lifeline.start();
  const held = port2 as unknown as MessagePort;
  remote.hold(transfer(held, [held])).catch(() => {});
  const end = () => {
    thread.terminate();
    lifeline.close();
  };
  return { name, remote, death, end };
}
