// A gateway as people run it: a process of its own on the embedded model, asked over real HTTP.

import { assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { type Running, startTask } from "../commands/run_task.ts";

export interface GatewayProcess {
  address: string;
  running: Running;
  /** Ends it as an operator does and checks that it ends well. */
  stop(): Promise<void>;
}

/** A bias that keeps the embedded model from ending its answer. */
export async function neverEnding(): Promise<Record<string, number>> {
  const options = { dtype: "auto", onRemark: () => {}, onProgress: () => {} };
  const { eosTokenIds } = loadChatTokenizer(await resolveModelFolder(embeddedModelFolder, options));
  return Object.fromEntries(eosTokenIds.map((id) => [id, -100]));
}

/** A port that nobody listens on. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

export interface ProcessOptions {
  args?: (string | number)[];
  /** A free one unless told. */
  port?: number;
  env?: Record<string, string>;
}

/** Starts a gateway over `folder`, and does not wait for it. */
export function launchGateway(folder: string, { args = [], port = freePort(), env = {} }: ProcessOptions = {}) {
  const all = ["--port", port, "--data-dir", join(folder, "data"), "--workers", 1, ...args];
  const running = startTask("gateway", all, { cache: join(folder, "cache"), env });
  return { address: `http://127.0.0.1:${port}`, running };
}

/** Starts a gateway over `folder` and waits until its model answers. */
export async function startGatewayProcess(folder: string, options: ProcessOptions = {}): Promise<GatewayProcess> {
  const { address, running } = launchGateway(folder, options);
  await untilReady(address, running);
  return {
    address,
    running,
    async stop() {
      running.process.kill("SIGTERM");
      const { code, stderr } = await running.ended;
      assertStrictEquals(code, 0, stderr.split("\n").slice(-5).join("\n"));
    },
  };
}

/** Resolves once the model answers. @throws Error with what it said, where it ends instead */
export async function untilReady(address: string, { ended }: Running): Promise<void> {
  let over: { code: number; stderr: string } | undefined;
  ended.then((end) => over = end);
  const patience = Date.now() + 120_000;
  while (!over && Date.now() < patience) {
    const ready = await fetch(`${address}/readyz`).then(async (response) => {
      await response.body?.cancel();
      return response.ok;
    }, () => false);
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(
    `The gateway is not ready: ${over ? `it ended with ${over.code}: ${over.stderr}` : "2 minutes passed"}`,
  );
}
