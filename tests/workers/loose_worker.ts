// A sandboxed worker that a test sets loose: it tries what it may do, loops, keeps a mark, or dies.

import { InputError } from "../../shared/errors.ts";
import { exposeBounded } from "../../workers/bounded.ts";

const attempts = {
  read: () => Deno.readTextFileSync("/etc/passwd"),
  list: () => [...Deno.readDirSync("/")],
  itself: () => Deno.readTextFileSync(new URL(import.meta.url)),
  write: () => Deno.writeTextFileSync("/tmp/loose", ""),
  net: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  run: () => new Deno.Command("true").outputSync(),
  env: () => Deno.env.get("HOME"),
  ffi: () => Deno.dlopen("libc.so.6", {}),
  sys: () => Deno.hostname(),
};

const loops = {
  code: () => {
    for (;;);
  },
  caught: () => {
    for (;;) {
      try {
        for (;;);
      } catch {
        // A template's loop may sit in anything.
      }
    }
  },
  pattern: () => /^(a+)+$/.test("a".repeat(60) + "b"),
  sort: () => Array.from({ length: 9 }).fill(0).sort(() => loops.code() as never),
};

let mark = 0;

const functions = {
  /** What the worker could do, of all that it tried. */
  tryAll: () =>
    Object.entries(attempts).filter(([, attempt]) => {
      try {
        attempt();
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.NotCapable) return false;
        throw error;
      }
    }).map(([name]) => name),
  readText: (path: string) => Deno.readTextFileSync(path),
  loop: (where: keyof typeof loops) => void loops[where](),
  mark: (value: number) => void (mark = value),
  marked: () => mark,
  refuse: () => {
    throw new InputError("Not this; try that.");
  },
  break: () => {
    throw new RangeError("broken");
  },
  die: () =>
    void setTimeout(() => {
      throw new Error("no more");
    }),
  later: () => Promise.resolve(1),
};

export type LooseWorker = typeof functions;

exposeBounded(functions);
