// Structured logs: one JSON object a line on stderr. Lines of one turn of the event loop leave in one write, so that a
// busy gateway does not spend its time on logging. It does not know what is logged.

export interface Log {
  info(event: string, fields?: Record<string, unknown>): void;
  error(event: string, fields?: Record<string, unknown>): void;
  /** Resolves when everything logged was written. */
  flush(): Promise<void>;
}

const encoder = new TextEncoder();

/** A log. @param write where lines go, stderr unless told otherwise */
export function createLog(
  write: (bytes: Uint8Array) => Promise<unknown> = (bytes) => writeAll(bytes),
): Log {
  let lines: string[] = [];
  let writing: Promise<void> | undefined;
  const drain = async () => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    while (lines.length > 0) {
      const text = lines.join("");
      lines = [];
      await write(encoder.encode(text)).catch(() => {});
    }
    writing = undefined;
  };
  const add = (level: string, event: string, fields: Record<string, unknown> = {}) => {
    lines.push(JSON.stringify({ time: new Date().toISOString(), level, event, ...fields }) + "\n");
    writing ??= drain();
  };
  return {
    info: (event, fields) => add("info", event, fields),
    error: (event, fields) => add("error", event, fields),
    flush: async () => {
      while (writing) await writing;
    },
  };
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await Deno.stderr.write(bytes.subarray(at));
}
