// Runs the survey: every ONNX file of the fixture folders on each device, each in a process of its own, since a GPU
// provider may take its process down with it. Keeps the findings in a JSON file, so that a part can be measured again,
// and writes the page from all of them.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { writeFileAtomic } from "../../../shared/atomic_file.ts";
import { InputError } from "../../../shared/errors.ts";
import type { Reporter } from "../../../shared/progress.ts";
import { DTYPE_SUFFIXES } from "../../../shared/runtime/dtypes.ts";
import type { Device } from "../../../shared/runtime/session.ts";
import { readJsonLines } from "../bench/jobs.ts";
import { type Cell, cellSchema, exporterOf, type Stage } from "./cell.ts";
import type { Subject } from "./measure.ts";
import { renderModels, tidy } from "./table.ts";

export interface SurveySettings {
  /** Folders of model folders. */
  fixtures: string[];
  devices: Device[];
  /** Only files whose `folder/file` holds this. */
  only: string;
  /** Seconds that one file on one device may take. */
  seconds: number;
  /** The page; the findings lie beside it as .json. */
  out: string;
  /** Path of the command that answers `cell` with measureCell. */
  program: string;
}

/** The precision that the end of a file's name says; an unknown ending is fp32 in another dress, such as `_opset14`. */
export function dtypeOf(file: string): string {
  const endings = Object.entries(DTYPE_SUFFIXES).filter(([, suffix]) => suffix !== "");
  return endings.find(([, suffix]) => file.endsWith(`${suffix}.onnx`))?.[0] ?? "fp32";
}

/** Every ONNX file of the model folders in `fixtures`. @throws InputError where a folder is not there */
export function subjects(
  { fixtures, devices, only }: Pick<SurveySettings, "fixtures" | "devices" | "only">,
): Subject[] {
  return fixtures.flatMap((root) => {
    if (!existsSync(root) || !statSync(root).isDirectory()) {
      throw new InputError(`${root}: no such folder; --fixtures names folders that hold model folders with goldens.`);
    }
    const folders = readdirSync(root).sort().map((name) => join(resolve(root), name));
    const models = folders.filter((folder) =>
      existsSync(join(folder, "onnx")) && existsSync(join(folder, "log_probs.json"))
    );
    return models.flatMap((folder) =>
      readdirSync(join(folder, "onnx")).sort()
        .filter((file) => file.endsWith(".onnx") && `${basename(folder)}/${file}`.includes(only))
        .flatMap((file) =>
          devices.map((device) => ({
            folder,
            file,
            dtype: dtypeOf(file),
            device,
            rows: device === "cpu" ? Infinity : 4,
          }))
        )
    );
  });
}

const lineSchema = z.union([
  z.object({ stage: z.enum(["scoring", "training"]), finding: cellSchema.shape.scoring }),
  z.object({ suspect: z.string() }),
]);

type Findings = Pick<Cell, "scoring" | "training" | "suspect">;

/** Measures a subject in a new process. */
async function inNewProcess(
  subject: Subject,
  { program, seconds }: SurveySettings,
): Promise<Findings> {
  const config = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const argument = JSON.stringify({ ...subject, rows: Math.min(subject.rows, 1e9) });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--config", config, program, "cell", argument],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const findings = new Map<string, Stage>();
  let late = false, suspect: string | undefined;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, 1000 * seconds);
  const [, stderr] = await Promise.all([
    readJsonLines(child.stdout, (line) => {
      const found = lineSchema.parse(line);
      if ("suspect" in found) suspect = found.suspect;
      else findings.set(found.stage, found.finding);
    }),
    new Response(child.stderr).text(),
  ]);
  const { code, signal } = await child.status;
  clearTimeout(timer);
  const last = stderr.trim().split("\n").at(-1) ?? "";
  const lost: Stage = late
    ? { kind: "untested", sentence: `Not done within ${seconds} s.` }
    : { kind: "broken", sentence: signal ? `The process ended with ${signal}.` : `Exit code ${code}: ${last}` };
  return {
    scoring: findings.get("scoring") ?? lost,
    training: findings.get("training") ?? lost,
    ...(suspect === undefined ? {} : { suspect }),
  };
}

const findingsPath = (out: string) => out.replace(/(\.md)?$/, ".json").replace(/MODELS\.json$/, "models.json");

/** The findings of earlier runs. @throws InputError where the file is not what the survey wrote */
function readFindings(path: string): Cell[] {
  if (!existsSync(path)) return [];
  try {
    return z.array(cellSchema).parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new InputError(`${path}: not the survey's findings (${(error as Error).message.split("\n")[0]}); delete it.`);
  }
}

/** Measures, and writes findings and page after every cell. */
export async function survey(settings: SurveySettings, reporter: Reporter): Promise<Cell[]> {
  const { out } = settings, path = findingsPath(out);
  const wanted = subjects(settings);
  if (wanted.length === 0) throw new InputError("--only: no file of the fixtures has that in its name.");
  let cells = readFindings(path);
  const progress = reporter.progress({ label: "models", total: wanted.length, unit: "files" });
  try {
    for (const subject of wanted) {
      const { folder, file, dtype, device } = subject;
      const { model_type: family = "unknown" } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
      const roots = settings.fixtures.map((each) => resolve(each));
      const clean = (stage: Stage): Stage =>
        stage.kind === "measured"
          ? stage
          : { ...stage, sentence: tidy(stage.sentence, join(folder, "onnx", file), roots) };
      const { scoring, training, ...rest } = await inNewProcess(subject, settings);
      const model = basename(folder);
      const cell: Cell = {
        ...{ model, family, exporter: exporterOf(model), file, dtype, device },
        date: new Date().toISOString().slice(0, 10),
        scoring: clean(scoring),
        training: clean(training),
        ...rest,
      };
      cells = [
        ...cells.filter((each) => !(each.model === model && each.file === file && each.device === device)),
        cell,
      ];
      cells.sort((a, b) => `${a.model}/${a.file}/${a.device}` < `${b.model}/${b.file}/${b.device}` ? -1 : 1);
      await writeFileAtomic(path, JSON.stringify(cells, null, 2) + "\n");
      await writeFileAtomic(out, renderModels(cells));
      progress.advance(1);
      reporter.event("cell", { ...cell });
    }
  } finally {
    progress.done();
  }
  reporter.line(`${wanted.length} measured. Written to ${out} and ${path}.`);
  return cells;
}
