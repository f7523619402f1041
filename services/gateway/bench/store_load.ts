// What weighs on a store while others press thumbs: a thread that calls one route after another until it is ended. It does
// not know what is measured.

export interface StoreLoad {
  address: string;
  /** Asked in turn; an import is a POST of so many rows. */
  calls: ({ path: string } | { rows: number })[];
  /** undefined goes on until the thread is ended. */
  rounds?: number;
}

/** Rows as one file of JSON Lines. */
function file(rows: number): string {
  const words = "word ".repeat(30);
  const line = (index: number) =>
    JSON.stringify({
      prompt: [{ role: "user", content: `question ${index} ${words}` }],
      completion: [{ role: "assistant", content: `answer ${index} ${words}` }],
      label: index % 3 > 0,
      end_user: `person ${index % 5000}`,
      tags: index % 10 === 0 ? ["a"] : [],
    });
  return Array.from({ length: rows }, (_, index) => line(index)).join("\n");
}

self.onmessage = async ({ data: { address, calls, rounds = Infinity } }: MessageEvent<StoreLoad>) => {
  for (let round = 0; round < rounds; round++) {
    for (const call of calls) {
      const response = "rows" in call
        ? await fetch(`${address}/v1/feedback/import`, {
          method: "POST",
          headers: { "Content-Type": "application/x-ndjson" },
          body: file(call.rows),
        })
        : await fetch(address + call.path);
      for await (const _ of response.body!);
      if (!response.ok) throw new Error(`${JSON.stringify(call)}: ${response.status}`);
    }
  }
  self.postMessage("done");
};
