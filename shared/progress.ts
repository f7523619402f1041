// How long work tells how far it is, and where its news goes: a bar on a terminal, a plain line now and then in a log
// file, one JSON event a line for programs, or events for a caller who keeps them. It does not know what is being
// counted, and it never decides an exit status.

import process from "node:process";
import { SingleBar } from "cli-progress";

/** A stream that a bar can be drawn on, for example `process.stderr`. */
export type Terminal = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** What a progress display counts. */
export interface ProgressOptions {
  /** What is being done, for example "reference passes". */
  label: string;
  /** How many units make the whole. 0 is allowed. */
  total: number;
  /** What is counted, in the plural, for example "tokens". */
  unit: string;
}

/** A running display. */
export interface Progress {
  /** Counts `units` more as done. `extra` is shown beside the numbers (in events: as fields) until it is replaced. */
  advance(units: number, extra?: Record<string, number | string>): void;
  /** Shows the last state and gives the terminal back. Call it in a `finally`; a second call does nothing. */
  done(): void;
}

/** Where the news of a job goes: a command's to its streams, a service's to whoever follows the job. */
export interface Reporter {
  /** A fact for programs. */
  event(name: string, fields?: Record<string, unknown>): void;
  /** A sentence for people. */
  line(text: string): void;
  /** A remark that must not be missed. */
  warn(text: string): void;
  /** Begins to count something; the first and the last state are always shown. */
  progress(options: ProgressOptions): Progress;
}

/** A reporter that says nothing. */
export const silent: Reporter = { event() {}, line() {}, warn() {}, progress: () => ({ advance() {}, done() {} }) };

/** Does work that is counted: shown from its begin to its end, however it ends. */
export async function withProgress<Result>(
  reporter: Reporter,
  options: ProgressOptions,
  work: (advance: (units: number) => void) => Promise<Result>,
): Promise<Result> {
  const progress = reporter.progress(options);
  try {
    return await work((units) => progress.advance(units));
  } finally {
    progress.done();
  }
}

/** Milliseconds that only grow; tests give a clock of their own. */
type Clock = () => number;

const SECONDS_BETWEEN_LINES = 5;
const SECONDS_BETWEEN_EVENTS = 1;
/** The rate is that of the last seconds, so that a slow start does not spoil the ETA of a long run. */
const RATE_WINDOW_SECONDS = 30;

/** The bar that is on the terminal now; other output has to clear its line first. */
let openBar: Terminal | undefined;

/**
 * The reporter of a command. With `json` events and progress are JSON lines on stdout and sentences for people are left
 * out; without, people's lines go to stdout, progress to stderr (a bar on a terminal, elsewhere a line at most every 5
 * seconds) and events are left out. Warnings go to stderr in both modes.
 *
 * @param options `out` and `err` receive lines without their newline in place of stdout and stderr; a terminal is only
 * drawn on where it is given, or where `err` is left out and stderr is one.
 */
export function createReporter({ json, out = console.log, err, terminal, now }: {
  json: boolean;
  out?: (line: string) => void;
  err?: (line: string) => void;
  terminal?: Terminal;
  now?: Clock;
}): Reporter {
  const write = err ?? console.error;
  const warn = (text: string) => {
    clearBarLine();
    write(text);
  };
  if (json) {
    return reportTo({
      event: (name, fields) => out(JSON.stringify({ event: name, ...fields })),
      line: () => {},
      warn,
    }, now);
  }
  const drawnOn = terminal ?? (err === undefined && process.stderr.isTTY ? process.stderr : undefined);
  return {
    event: () => {},
    line(text) {
      clearBarLine();
      out(text);
    },
    warn,
    progress: (options) => drawnOn ? progressBar(options, drawnOn, now) : progressLines(options, write, now),
  };
}

/**
 * The reporter of a caller who keeps the news: progress comes as events named "progress", at most one a second per
 * display, with `label`, `unit`, `done`, `total`, `rate` (units a second) and `eta_seconds` (null while no rate is known).
 */
export function reportTo(keeper: Required<Omit<Reporter, "progress">>, now?: Clock): Reporter {
  const { event, line, warn } = keeper;
  return {
    event,
    line,
    warn,
    progress({ label, total, unit }) {
      return sampled(SECONDS_BETWEEN_EVENTS, total, ({ done, rate, etaSeconds }, extra) => {
        event("progress", { ...extra, label, unit, done, total, rate, eta_seconds: etaSeconds });
      }, now);
    },
  };
}

/** A line at most every 5 seconds. */
function progressLines(options: ProgressOptions, write: (line: string) => void, now?: Clock): Progress {
  return sampled(
    SECONDS_BETWEEN_LINES,
    options.total,
    (reading, extra) => write(describe(options, reading, extra)),
    now,
  );
}

/** A bar with rate and ETA. */
function progressBar(options: ProgressOptions, terminal: Terminal, now?: Clock): Progress {
  const meter = createMeter(options.total, now);
  let extra: Extra = {};
  let finished = false;
  const bar = openTerminalBar(terminal, options.total, () => describe(options, meter.read(), extra));
  return {
    advance(units, more) {
      meter.add(units);
      if (more !== undefined) extra = more;
      bar.update(meter.read().done);
    },
    done() {
      if (finished) return;
      finished = true;
      bar.stop();
      openBar = undefined;
    },
  };
}

/** Shows the first state, then one at most every `pause` seconds, and the last; never the same twice in a row. */
function sampled(
  pause: number,
  total: number,
  show: (reading: Reading, extra: Extra) => void,
  now?: Clock,
): Progress {
  const meter = createMeter(total, now);
  let extra: Extra = {};
  let finished = false;
  let shownAt = -Infinity;
  let shown = "";
  const showNews = () => {
    const reading = meter.read(), state = JSON.stringify([reading, extra]);
    const isNews = state !== shown;
    shown = state;
    shownAt = meter.elapsedSeconds();
    if (isNews) show(reading, extra);
  };
  return {
    advance(units, more) {
      meter.add(units);
      if (more !== undefined) extra = more;
      if (meter.elapsedSeconds() - shownAt >= pause) showNews();
    },
    done() {
      if (finished) return;
      finished = true;
      showNews();
    },
  };
}

/** A duration in seconds for people: "8 s", "3 min 20 s", "2 h 05 min". */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`;
}

type Extra = Record<string, number | string>;

interface Reading {
  done: number;
  rate: number;
  etaSeconds: number | null;
}

function createMeter(total: number, now: Clock = () => performance.now()) {
  const start = now();
  const marks: { at: number; done: number }[] = [{ at: start, done: 0 }];
  let done = 0;
  return {
    add(units: number): void {
      done += units;
      const at = now();
      marks.push({ at, done });
      while (marks.length > 2 && at - marks[1]!.at >= RATE_WINDOW_SECONDS * 1000) marks.shift();
    },
    elapsedSeconds: () => (now() - start) / 1000,
    read(): Reading {
      const { at, done: before } = marks[0]!;
      const seconds = (marks.at(-1)!.at - at) / 1000;
      const rate = seconds > 0 ? round((done - before) / seconds) : 0;
      const left = Math.max(0, total - done);
      return { done, rate, etaSeconds: left === 0 ? 0 : rate > 0 ? round(left / rate) : null };
    },
  };
}

function describe({ label, unit, total }: ProgressOptions, { done, rate, etaSeconds }: Reading, extra: Extra): string {
  const percent = total > 0 ? ` (${Math.floor(100 * done / total)}%)` : "";
  const parts = [`${label}: ${count(done)}/${count(total)} ${unit}${percent}`];
  if (rate > 0) parts.push(`${count(rate)} ${unit}/s`);
  if (etaSeconds !== null && etaSeconds > 0) parts.push(`${formatSeconds(etaSeconds)} left`);
  for (const [name, value] of Object.entries(extra)) {
    parts.push(`${name} ${typeof value === "number" ? count(value) : value}`);
  }
  return parts.join(", ");
}

function openTerminalBar(stream: Terminal, total: number, text: () => string): SingleBar {
  const bar = new SingleBar({
    stream: withoutCursorMemory(stream),
    format: (_options, { progress }) => {
      // A terminal that does not know its width reports 0.
      const columns = stream.columns || 80;
      const width = columns < 100 ? 10 : 24;
      const filled = Math.min(width, Math.floor(progress * width));
      const line = `[${"█".repeat(filled)}${"░".repeat(width - filled)}] ${text()}`;
      // A line that wraps is not erased by the next one.
      return line.slice(0, Math.max(20, columns - 1));
    },
    // The terminal's cursor and wrapping stay as they are, so that a killed process leaves nothing to repair, and
    // signals stay with the command.
    hideCursor: null,
    linewrap: true,
    gracefulExit: false,
    forceRedraw: true,
    emptyOnZero: true,
    fps: 5,
  });
  bar.start(total, 0);
  openBar = stream;
  return bar;
}

/**
 * cli-progress stores the cursor's place when it starts and returns there when it stops. That place is wrong, and the
 * lines after it get overwritten, as soon as anything else was printed between, so those two commands are dropped.
 */
function withoutCursorMemory(stream: Terminal): NodeJS.WritableStream {
  const terminal = {
    isTTY: true,
    get columns() {
      return stream.columns;
    },
    write: (text: string) => text === "\x1b7" || text === "\x1b8" || stream.write(text),
  };
  // The bar uses nothing else of a stream.
  return terminal as unknown as NodeJS.WritableStream;
}

function clearBarLine(): void {
  openBar?.write("\r\x1b[K");
}

/** Whole numbers above 100, three figures below. */
function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

function count(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}
