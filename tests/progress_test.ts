import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { Writable } from "node:stream";
import { createReporter, formatSeconds, reportTo, type Terminal } from "../shared/progress.ts";

/** A clock that is set by hand. */
function handClock() {
  const clock = { seconds: 0, now: () => clock.seconds * 1000 };
  return clock;
}

/** A terminal that remembers. */
function recorder() {
  let text = "";
  const terminal: Terminal = new Writable({
    write(chunk, _encoding, callback) {
      text += chunk;
      callback();
    },
  });
  terminal.isTTY = true;
  terminal.columns = 60;
  return { terminal, text: () => text };
}

Deno.test("in a log file a line comes at most every five seconds, and the last state always", () => {
  const clock = handClock(), lines: string[] = [];
  const reporter = createReporter({ json: false, err: (line) => lines.push(line), now: clock.now });
  const progress = reporter.progress({ label: "reference", total: 100, unit: "rows" });
  for (let i = 0; i < 20; i++) {
    clock.seconds += 1;
    progress.advance(4, { loss: 0.51234567 });
  }
  progress.done();
  progress.done();
  assertEquals(lines.length, 5, lines.join("\n"));
  assertEquals(lines[0], "reference: 4/100 rows (4%), 4 rows/s, 24 s left, loss 0.5123");
  assertEquals(lines.at(-1), "reference: 80/100 rows (80%), 4 rows/s, 5 s left, loss 0.5123");
});

Deno.test("with json every line is an event with numbers, and a field cannot replace the counters", () => {
  const clock = handClock(), lines: string[] = [];
  const reporter = createReporter({ json: true, out: (line) => lines.push(line), now: clock.now });
  const progress = reporter.progress({ label: "train", total: 8, unit: "steps" });
  progress.advance(0);
  clock.seconds = 2;
  progress.advance(4, { loss: 0.5, done: 99 });
  clock.seconds = 2.5;
  progress.advance(1);
  progress.done();
  const events = lines.map((line) => JSON.parse(line));
  assertEquals(events.map((event) => [event.done, event.rate, event.eta_seconds]), [
    [0, 0, null],
    [4, 2, 2],
    [5, 2, 1.5],
  ]);
  assertEquals(Object.keys(events[1]).sort(), [
    "done",
    "eta_seconds",
    "event",
    "label",
    "loss",
    "rate",
    "total",
    "unit",
  ]);
});

Deno.test("the rate follows the last half minute, so a slow start does not spoil the ETA", () => {
  const clock = handClock(), news: Record<string, unknown>[] = [];
  const event = (_: string, fields: Record<string, unknown> = {}) => news.push(fields);
  const reporter = reportTo({ event, line: () => {}, warn: () => {} }, clock.now);
  const progress = reporter.progress({ label: "train", total: 1000, unit: "steps" });
  clock.seconds = 100;
  progress.advance(1);
  for (let i = 0; i < 60; i++) {
    clock.seconds += 1;
    progress.advance(10);
  }
  progress.done();
  assertEquals(news.at(-1)!.rate, 10);
});

Deno.test("on a terminal there is a bar that fits the width, and it leaves no timer behind", () => {
  const { terminal, text } = recorder();
  const progress = createReporter({ json: false, terminal }).progress({
    label: "a rather long label for a bar",
    total: 4,
    unit: "rows",
  });
  progress.advance(4, { note: "x".repeat(100) });
  progress.done();
  assertMatch(text(), /█████ *\] a rather long label/);
  // deno-lint-ignore no-control-regex
  const lines = text().replace(/\x1b\[\d*G/g, "\r").replace(/\x1b\[\d*K/g, "").split(/[\r\n]/);
  assert(!lines.join("").includes("\x1b"), "no cursor or wrapping mode is left to be repaired");
  assert(lines.every((line) => line.length < 60), JSON.stringify(lines));
});

Deno.test("nothing to do is no failure", () => {
  const { terminal, text } = recorder();
  let lines = "";
  const nothing = { label: "cached", total: 0, unit: "rows" };
  createReporter({ json: false, terminal }).progress(nothing).done();
  createReporter({ json: false, err: (line) => lines += line }).progress(nothing).done();
  for (const shown of [text(), lines]) {
    assertMatch(shown, /cached: 0\/0 rows/);
    assertNotMatch(shown, /NaN/);
  }
});

Deno.test("people's lines and programs' events never share a stream, and warnings come in both modes", () => {
  const run = (json: boolean) => {
    const [out, err]: [string[], string[]] = [[], []];
    const reporter = createReporter({ json, out: (line) => out.push(line), err: (line) => err.push(line) });
    reporter.line("12 rows");
    reporter.event("data", { rows: 12 });
    reporter.warn("careful");
    return { out, err };
  };
  assertEquals(run(false), { out: ["12 rows"], err: ["careful"] });
  assertEquals(run(true), { out: [`{"event":"data","rows":12}`], err: ["careful"] });
});

Deno.test("a caller who keeps the news gets lines, warnings, events and progress, and nothing is printed", () => {
  const clock = handClock(), news: unknown[] = [], printed: unknown[] = [];
  const { log, error } = console;
  console.log = console.error = (text: unknown) => printed.push(text);
  try {
    const reporter = reportTo({
      event: (name, fields) => news.push([name, fields]),
      line: (text) => news.push(text),
      warn: (text) => news.push(text),
    }, clock.now);
    reporter.line("12 rows");
    reporter.warn("careful");
    reporter.event("step", { step: 1 });
    const progress = reporter.progress({ label: "training", total: 2, unit: "steps" });
    clock.seconds = 4;
    progress.advance(1, { loss: 0.5 });
    clock.seconds = 4.5;
    progress.advance(1);
    progress.done();
  } finally {
    Object.assign(console, { log, error });
  }
  const counted = { loss: 0.5, label: "training", unit: "steps", total: 2 };
  assertEquals(news, [
    "12 rows",
    "careful",
    ["step", { step: 1 }],
    ["progress", { ...counted, done: 1, rate: 0.25, eta_seconds: 4 }],
    ["progress", { ...counted, done: 2, rate: 0.444, eta_seconds: 0 }],
  ]);
  assertEquals(printed, []);
});

Deno.test("durations read as people say them", () => {
  assertEquals([0.4, 59.6, 200, 7500].map(formatSeconds), ["0 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]);
});
