// The real worker, except that "worker 1" dies of a message: of an admission that asks for 13 tokens, or of being told to
// drop a sequence. A test starts an engine on it to see what becomes of the sequences that it held.

const name = Reflect.get(globalThis, "name");

self.addEventListener("message", ({ data }) => {
  const text = JSON.stringify(data, (_, value) => typeof value === "bigint" ? `${value}` : value) ?? "";
  const called = (data?.path ?? []).at(-1);
  if (name !== "worker 1") return;
  if (called === "admit" && text.includes('"maxTokens":13')) throw new Error("died of an admission");
  if (called === "drop") throw new Error("died of a drop");
});

await import("../../../workers/model_worker.ts");

export {};
