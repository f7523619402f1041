// How a long command tells its user how far it is: a bar on a terminal, a plain line now and then in a log file, or
// one JSON event a line for programs. It does not know what is being counted, and it never decides an exit status.

import process from "node:process";
import { SingleBar } from "cli-progress";

/** A stream that progress can be written to, for example `process.stderr`. */
export type ProgressStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** What a progress display counts. */
export interface ProgressOptions {
  /** What is being done, for example "reference passes". */
  label: string;
  /** How many units make the whole. 0 is allowed. */
  total: number;
  /** What is counted, in the plural, for example "tokens". */
  unit: string;
  /** JSON event lines on stdout in place of text on stderr. */
  json: boolean;
  /** Where to write, in place of stderr (text) or stdout (JSON). A terminal (`isTTY`) gets the bar. */
  stream?: ProgressStream;
  /** Milliseconds that only grow; for tests. Default `performance.now`. */
  now?: () => number;
}

/** A running display. */
export interface Progress {
  /** Counts `units` more as done. `extra` is shown beside the numbers (in JSON: as fields) until it is replaced. */
  advance(units: number, extra?: Record<string, number | string>): void;
  /** Shows the last state and gives the terminal back. Call it in a `finally`; a second call does nothing. */
  done(): void;
}

const SECONDS_BETWEEN_LINES = 5;
const SECONDS_BETWEEN_EVENTS = 1;
/** The rate is that of the last seconds, so that a slow start does not spoil the ETA of a long run. */
const RATE_WINDOW_SECONDS = 30;

/** The bar that is on the terminal now; other output has to clear its line first. */
let openBar: ProgressStream | undefined;

/**
 * Shows progress on a terminal as a bar with rate and ETA, elsewhere as a line at most every 5 seconds, with `json`
 * as `{"event":"progress","label","done","total","rate","eta_seconds",…}` lines at most every second. The last
 * state is always shown. `rate` is units a second; `eta_seconds` is null while no rate is known.
 */
export function createProgress(options: ProgressOptions): Progress {
  const { label, total, unit, json } = options;
  const stream = options.stream ?? (json ? process.stdout : process.stderr);
  const meter = createMeter(total, options.now ?? (() => performance.now()));
  let extra: Record<string, number | string> = {};
  let finished = false;
  const text = () => describe(label, unit, total, meter.read(), extra);

  if (!json && stream.isTTY === true) {
    const bar = openTerminalBar(stream, total, text);
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

  const pause = json ? SECONDS_BETWEEN_EVENTS : SECONDS_BETWEEN_LINES;
  let shownAt = -Infinity;
  let shown = "";
  const show = () => {
    const { done, rate, etaSeconds } = meter.read();
    const line = json
      ? JSON.stringify({ ...extra, event: "progress", label, unit, done, total, rate, eta_seconds: etaSeconds })
      : text();
    const isNews = line !== shown;
    shown = line;
    shownAt = meter.elapsedSeconds();
    if (isNews) stream.write(line + "\n");
  };
  return {
    advance(units, more) {
      meter.add(units);
      if (more !== undefined) extra = more;
      if (meter.elapsedSeconds() - shownAt >= pause) show();
    },
    done() {
      if (finished) return;
      finished = true;
      show();
    },
  };
}

/** Where a command's results and remarks go. */
export interface Reporter {
  /** A fact for programs: one JSON line on stdout with `json`, nothing otherwise. */
  event(name: string, fields?: Record<string, unknown>): void;
  /** A sentence for people: a line on stdout, nothing with `json`. */
  line(text: string): void;
  /** A remark that must not be missed: a line on stderr, in both modes. */
  warn(text: string): void;
}

/** A reporter. `out` and `err` receive lines without their newline; they default to stdout and stderr. */
export function createReporter(
  { json, out = console.log, err = console.error }: {
    json: boolean;
    out?: (line: string) => void;
    err?: (line: string) => void;
  },
): Reporter {
  return {
    event(name, fields = {}) {
      if (json) out(JSON.stringify({ event: name, ...fields }));
    },
    line(text) {
      if (json) return;
      clearBarLine();
      out(text);
    },
    warn(text) {
      clearBarLine();
      err(text);
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

interface Reading {
  done: number;
  rate: number;
  etaSeconds: number | null;
}

function createMeter(total: number, now: () => number) {
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

function describe(
  label: string,
  unit: string,
  total: number,
  { done, rate, etaSeconds }: Reading,
  extra: Record<string, number | string>,
): string {
  const percent = total > 0 ? ` (${Math.floor(100 * done / total)}%)` : "";
  const parts = [`${label}: ${count(done)}/${count(total)} ${unit}${percent}`];
  if (rate > 0) parts.push(`${count(rate)} ${unit}/s`);
  if (etaSeconds !== null && etaSeconds > 0) parts.push(`${formatSeconds(etaSeconds)} left`);
  for (const [name, value] of Object.entries(extra)) {
    parts.push(`${name} ${typeof value === "number" ? count(value) : value}`);
  }
  return parts.join(", ");
}

function openTerminalBar(stream: ProgressStream, total: number, text: () => string): SingleBar {
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
function withoutCursorMemory(stream: ProgressStream): NodeJS.WritableStream {
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
