// `deno task serve` as a process of its own, for as long as it is needed. It knows only the address that it prints.

import { taskArguments } from "../../shared/tasks.ts";

export interface Server {
  address: string;
  stop(): Promise<void>;
}

/** Starts a server over a data folder and waits until its model answers. @throws Error with its last words */
export async function startServer(dataFolder: string): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...taskArguments("serve"), "--port", "0", "--data-dir", dataFolder],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let lastWords = "";
  child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        lastWords = (lastWords + text).slice(-2000);
      },
    }),
  ).catch(() => {});
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch { /* it has ended */ }
    await child.status;
  };
  let said = "";
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await lines.read();
    if (done) throw new Error(`the server ended: ${lastWords.trim().split("\n").at(-1) ?? ""}`);
    said += value;
    const [, address] = /Listening on (\S+)/.exec(said) ?? [];
    if (address === undefined) continue;
    // What it says later must go somewhere, or it would wait for a reader.
    lines.releaseLock();
    child.stdout.cancel().catch(() => {});
    return { address, stop };
  }
}
