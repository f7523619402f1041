// A gateway as people run it: a process of its own on the embedded model, asked over real HTTP.

import assert from "node:assert/strict";
import { join } from "node:path";
import { type Running, startTask } from "../commands/run_task.ts";

export interface GatewayProcess {
  address: string;
  running: Running;
  /** Ends it as an operator does and checks that it ends well. */
  stop(): Promise<void>;
}

/** A port that nobody listens on. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Starts a gateway over `folder` and waits until its model answers. */
export async function startGatewayProcess(
  folder: string,
  args: (string | number)[] = [],
  env: Record<string, string> = {},
): Promise<GatewayProcess> {
  const port = freePort(), address = `http://127.0.0.1:${port}`;
  const all = ["--port", port, "--data-dir", join(folder, "data"), "--workers", 1, ...args];
  const running = startTask("gateway", all, { cache: join(folder, "cache"), env });
  await untilReady(address, running);
  return {
    address,
    running,
    async stop() {
      running.process.kill("SIGTERM");
      const { code, stderr } = await running.ended;
      assert.equal(code, 0, stderr.split("\n").slice(-5).join("\n"));
    },
  };
}

/** @throws Error with what it said, where it ends instead */
async function untilReady(address: string, { ended }: Running): Promise<void> {
  let over: { code: number; stderr: string } | undefined;
  ended.then((end) => over = end);
  const give_up = Date.now() + 120_000;
  while (!over && Date.now() < give_up) {
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
