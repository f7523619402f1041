// One worker thread as its owner sees it: a remote face, a promise that tells of its death, and an end. It does not know
// what the worker computes, nor what follows a death.

import { MessageChannel } from "node:worker_threads";
import { type Remote, transfer, wrap } from "comlink";

/** What every worker's face has for its owner to notice the thread's end. */
export interface Lifeline {
  /** Keeps a port for as long as the worker lives: its closing tells the owner that the worker has ended. */
  hold(port: MessagePort): void;
}

export interface Member<Face extends Lifeline> {
  name: string;
  remote: Remote<Face>;
  /** Resolves once the thread has loaded its module and answers. */
  ready: Promise<void>;
  /** Rejects when the thread dies, of an error or without a word. */
  death: Promise<never>;
  /** Ends the thread, once it is idle: Deno ends none in the midst of a computation. */
  end: () => void;
}

/** How long an error may take to arrive after the thread's end was noticed, in milliseconds. */
const lastWords = 100;

/**
 * Starts a thread and watches over it. An error comes as an event; an end without one (`self.close()`, an exit) has no
 * event in Deno, but it closes the far end of a port that the worker holds. A ping would not do: a worker is deaf while
 * it computes.
 *
 * @param permissions what the thread may do, at most what this one may; default: the same
 */
export function startMember<Face extends Lifeline>(
  url: URL,
  name: string,
  permissions: Deno.PermissionOptions = "inherit",
): Member<Face> {
  const thread = new Worker(url, { type: "module", name, deno: { permissions } });
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
  const ready = wrap<Lifeline>(thread).hold(transfer(held, [held]));
  ready.catch(() => {});
  const end = () => {
    thread.terminate();
    lifeline.close();
  };
  return { name, remote: wrap<Face>(thread), ready, death, end };
}
