import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { createProgress, createReporter, formatSeconds, type ProgressStream } from "../shared/progress.ts";

/** A stream that remembers, and a clock that is set by hand. */
function recorder(isTTY: boolean) {
  let text = "";
  const stream: ProgressStream = new Writable({
    write(chunk, _encoding, callback) {
      text += chunk;
      callback();
    },
  });
  stream.isTTY = isTTY;
  stream.columns = 60;
  const clock = { seconds: 0 };
  return { stream, clock, now: () => clock.seconds * 1000, text: () => text, lines: () => text.trimEnd().split("\n") };
}

Deno.test("in a log file a line comes at most every five seconds, and the last state always", () => {
  const { stream, clock, now, lines } = recorder(false);
  const progress = createProgress({ label: "reference", total: 100, unit: "rows", json: false, stream, now });
  for (let i = 0; i < 20; i++) {
    clock.seconds += 1;
    progress.advance(4, { loss: 0.51234567 });
  }
  progress.done();
  progress.done();
  assert.equal(lines().length, 5, lines().join("\n"));
  assert.equal(lines()[0], "reference: 4/100 rows (4%), 4 rows/s, 24 s left, loss 0.5123");
  assert.equal(lines().at(-1), "reference: 80/100 rows (80%), 4 rows/s, 5 s left, loss 0.5123");
});

Deno.test("with json every line is an event with numbers, and a field cannot replace the counters", () => {
  const { stream, clock, now, lines } = recorder(false);
  const progress = createProgress({ label: "train", total: 8, unit: "steps", json: true, stream, now });
  progress.advance(0);
  clock.seconds = 2;
  progress.advance(4, { loss: 0.5, done: 99 });
  clock.seconds = 2.5;
  progress.advance(1);
  progress.done();
  const events = lines().map((line) => JSON.parse(line));
  assert.deepEqual(events.map((event) => [event.done, event.rate, event.eta_seconds]), [
    [0, 0, null],
    [4, 2, 2],
    [5, 2, 1.5],
  ]);
  assert.deepEqual(Object.keys(events[1]).sort(), [
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
  const { stream, clock, now, lines } = recorder(false);
  const progress = createProgress({ label: "train", total: 1000, unit: "steps", json: true, stream, now });
  clock.seconds = 100;
  progress.advance(1);
  for (let i = 0; i < 60; i++) {
    clock.seconds += 1;
    progress.advance(10);
  }
  progress.done();
  assert.equal(JSON.parse(lines().at(-1)!).rate, 10);
});

Deno.test("on a terminal there is a bar that fits the width, and it leaves no timer behind", () => {
  const { stream, text } = recorder(true);
  const progress = createProgress({
    label: "a rather long label for a bar",
    total: 4,
    unit: "rows",
    json: false,
    stream,
  });
  progress.advance(4, { note: "x".repeat(100) });
  progress.done();
  assert.match(text(), /█████ *\] a rather long label/);
  // deno-lint-ignore no-control-regex
  const lines = text().replace(/\x1b\[\d*G/g, "\r").replace(/\x1b\[\d*K/g, "").split(/[\r\n]/);
  assert.ok(!lines.join("").includes("\x1b"), "no cursor or wrapping mode is left to be repaired");
  assert.ok(lines.every((line) => line.length < 60), JSON.stringify(lines));
});

Deno.test("nothing to do is no failure", () => {
  for (const isTTY of [true, false]) {
    const { stream, text } = recorder(isTTY);
    createProgress({ label: "cached", total: 0, unit: "rows", json: false, stream }).done();
    assert.match(text(), /cached: 0\/0 rows/);
    assert.doesNotMatch(text(), /NaN/);
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
  assert.deepEqual(run(false), { out: ["12 rows"], err: ["careful"] });
  assert.deepEqual(run(true), { out: [`{"event":"data","rows":12}`], err: ["careful"] });
});

Deno.test("durations read as people say them", () => {
  assert.deepEqual([0.4, 59.6, 200, 7500].map(formatSeconds), ["0 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]);
});
