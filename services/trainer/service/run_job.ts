// One job from its request to a registered adapter: rows, the training loop, the gate, the registry. It may be ended at
// any moment and begun again; it then goes on and ends with the same adapter. It does not know the queue.

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ensureWritableFolder } from "../../../shared/atomic_file.ts";
import { InputError, InterruptedError } from "../../../shared/errors.ts";
import { type Reporter, silent } from "../../../shared/progress.ts";
import { dropRows } from "../../../shared/run_rows.ts";
import {
  checkRegistered,
  hashAdapterFiles,
  keepAdapter,
  keptFolder,
  UnusableAdapterError,
} from "../../../shared/runtime/kept_adapters.ts";
import { findModel, identityOf, openModel } from "../../../shared/runtime/open_model.ts";
import type { Database, Queries } from "../../../shared/store/database.ts";
import { addFile, newFileId, type StoredFile } from "../../../shared/store/files.ts";
import { addEvent, findJob, finishJob, type Job, noteData } from "../../../shared/store/jobs.ts";
import { servedAlias } from "../../../shared/store/aliases.ts";
import { listPromotions, promote, standing, UnservedBaseError } from "../../../shared/store/promotions.ts";
import { adapterOf, findAdapter, type GateResult, modelOf, registerAdapter } from "../../../shared/store/registry.ts";
import { removeCheckpoint } from "../checkpoint.ts";
import { defaultBudgets, judge } from "../gate.ts";
import { readHeldOut } from "../held_out.ts";
import { measureCandidate } from "../measure_candidate.ts";
import type { RunResult } from "../outputs.ts";
import { automaticLearningRate, parseTrainSettings, type TrainSettings } from "../settings.ts";
import { train } from "../train.ts";
import { reportJob, stepNews } from "./job_reporter.ts";
import { measureStaleness } from "./measure_staleness.ts";
import type { TrainerSettings } from "./settings.ts";
import { prepareTrainingFile } from "./training_file.ts";

/** What a run leaves for clients: its name there, and in the run's folder. */
const results = [
  ["metrics.jsonl", "metrics.jsonl"],
  ["adapter_model.safetensors", "adapter/adapter_model.safetensors"],
  ["adapter_config.json", "adapter/adapter_config.json"],
  ["report.html", "report.html"],
] as const;

/** The folder of a model's adapter; undefined for the base. @throws InputError for one that is gone, or has other files */
async function adapterFolder(database: Database, dataFolder: string, model: string): Promise<string | undefined> {
  if (model === "base") return undefined;
  const adapter = await findAdapter(database, adapterOf(model)!);
  if (adapter) return await checkRegistered(dataFolder, adapter);
  throw new InputError(`${model} is no longer in the registry; start from another model.`);
}

/**
 * The folder of the adapter that answers now; undefined for the base, also where what was promoted cannot be measured
 * here: it was taken out of the registry, is for another base, or has not the files that it was registered with.
 */
async function currentFolder(
  database: Database,
  dataFolder: string,
  base: string,
  reporter: Reporter,
): Promise<string | undefined> {
  const { current: { model } } = standing(await listPromotions(database, servedAlias));
  if (model === "base") return undefined;
  const adapter = await findAdapter(database, adapterOf(model)!);
  let why = `${model} is not in the registry for this base`;
  if (adapter?.base === base) {
    try {
      return await checkRegistered(dataFolder, adapter);
    } catch (error) {
      if (!(error instanceof UnusableAdapterError)) throw error;
      why = error.message.replace(/\.$/, "");
    }
  }
  reporter.warn(`${why}; the gate holds the candidate against the base.`);
  return undefined;
}

async function trainSettings(
  settings: TrainerSettings,
  job: Job,
  data: string,
  out: string,
  initAdapter: string | undefined,
): Promise<TrainSettings> {
  const { hyperparameters, seed } = job.request;
  const chosen = (name: string) => {
    const value = hyperparameters[name];
    return value === "auto" ? undefined : value;
  };
  let learningRate = chosen("learning_rate");
  const multiplier = chosen("learning_rate_multiplier");
  if (typeof multiplier === "number") {
    const { config } = await findModel(settings.model, settings.dtype, silent);
    learningRate = multiplier * automaticLearningRate(config, false);
  }
  const all = {
    model: settings.model,
    data,
    out,
    dtype: settings.dtype,
    device: settings.device,
    workers: settings.workers,
    seed,
    resume: true,
    initAdapter,
    beta: chosen("beta"),
    epochs: chosen("n_epochs"),
    batchSize: chosen("batch_size"),
    learningRate,
    loraRank: initAdapter === undefined ? chosen("lora_rank") : undefined,
    desirableWeight: chosen("desirable_weight"),
    undesirableWeight: chosen("undesirable_weight"),
  };
  return parseTrainSettings(Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
}

/** The name of the job's adapter: its suffix where that is free, else with some or all of the job's own id. */
async function adapterName(queries: Queries, { id, request: { suffix } }: Job): Promise<string> {
  const own = id.slice(-6), names = suffix === null ? [`kto-${own}`] : [suffix, `${suffix.slice(0, 57)}-${own}`];
  for (const name of names) if (!await findAdapter(queries, name)) return name;
  return id;
}

/** Metrics of every step are events, also of those that a kill kept from being told. */
async function tellMissedSteps(database: Database, job: Job, folder: string): Promise<void> {
  const lines = (await Deno.readTextFile(join(folder, "metrics.jsonl"))).split("\n").filter((line) => line !== "");
  await database.write(async (queries) => {
    for (const line of lines) {
      await addEvent(queries, job.id, stepNews(JSON.parse(line)));
    }
  });
}

/** Forgets what only going on with a job would need. */
export async function tidyJob({ dataFolder }: TrainerSettings, jobId: string): Promise<void> {
  const folder = join(dataFolder, "runs", jobId);
  await dropRows(folder);
  await removeCheckpoint(folder);
}

/**
 * Does a job; when it returns, the job has ended in the store.
 *
 * @param interrupted asked between steps; true ends the work, to be gone on with later
 * @throws InterruptedError
 * @throws InputError and others: the job has failed, and why
 */
export async function runJob(
  settings: TrainerSettings,
  database: Database,
  job: Job,
  interrupted: () => boolean,
): Promise<void> {
  const { dataFolder } = settings;
  const relative = join("runs", job.id), folder = join(dataFolder, relative);
  await ensureWritableFolder(folder);
  let name = "", path = "";
  // Files are known by the names that people gave them.
  const named = (text: string) => path === "" ? text : text.replaceAll(path, name).replaceAll(basename(path), name);
  const { reporter, close } = reportJob(database, job.id, named);
  try {
    const dropStale = job.request.labels.drop_stale !== undefined;
    const file = await prepareTrainingFile(
      database,
      dataFolder,
      job,
      folder,
      (rows) => measureStaleness(settings, rows, dropStale, reporter, interrupted),
    );
    ({ name, path } = file);
    const parent = job.request.model;
    const initAdapter = await adapterFolder(database, dataFolder, parent);
    const training = await trainSettings(settings, job, path, folder, initAdapter);
    const result = await train(training, reporter, interrupted);
    const model = openModel(await findModel(settings.model, settings.dtype, silent), settings.dtype);
    const base = await identityOf(model);
    const current = await currentFolder(database, dataFolder, base, reporter);
    const heldOut = await readHeldOut(folder), { version } = await hashAdapterFiles(join(folder, "adapter"));
    const measured = await measureCandidate(
      {
        model: settings.model,
        dtype: settings.dtype,
        device: settings.device,
        workers: settings.workers ?? navigator.hardwareConcurrency,
        adapter: join(folder, "adapter"),
        current,
        heldOut,
        maxLength: training.maxLength,
        seed: training.seed,
      },
      reporter,
      interrupted,
    );
    const gate = judge(
      { ...measured, behaviour: result.behaviour },
      { ...defaultBudgets, behaviour: settings.behaviourBounds },
    );
    for (const { passed, message } of gate.findings) (passed ? reporter.line : reporter.warn)(`Gate: ${message}`);
    await close();
    await tellMissedSteps(database, job, folder);
    await leave(database, dataFolder, job, {
      relative,
      folder,
      parent,
      base,
      gate,
      version,
      result,
      kl: measured.kl,
      named,
    });
  } catch (error) {
    await close().catch(() => {});
    if (error instanceof InputError) error.message = named(error.message);
    throw error;
  }
}

interface Left {
  relative: string;
  folder: string;
  parent: string;
  base: string;
  gate: GateResult;
  /** Of the files that were measured. */
  version: string;
  result: RunResult;
  kl: number | null;
  /** A text in people's words for files. */
  named: (text: string) => string;
}

/** Ends the job: files, adapter, success and, where asked for, promotion are there together or not at all. */
async function leave(database: Database, dataFolder: string, job: Job, left: Left): Promise<void> {
  const { relative, folder, parent, base, gate, version, result } = left;
  const sizes = await Promise.all(results.map(async ([, path]) => (await Deno.stat(join(folder, path))).size));
  const run = JSON.parse(await Deno.readTextFile(join(folder, "run.json")));
  const { rows, notes, warnings, changed } = run.data;
  const data = {
    rows: rows.desirable + rows.undesirable,
    ...rows,
    notes: [...notes, ...warnings].map(left.named),
    changed,
  };
  // What is served is this copy, whatever happens to the run's own folder.
  if (await keepAdapter(dataFolder, join(folder, "adapter")) !== version) {
    throw new InputError("The adapter's files were changed while it was measured; run the job again.");
  }
  await database.write(async (queries) => {
    if ((await findJob(queries, job.id))?.forgetting) {
      throw new InterruptedError("Somebody whose rows were trained on was forgotten.");
    }
    if (!existsSync(join(dataFolder, keptFolder(version)))) throw new Error("The adapter's copy was taken away.");
    const name = await adapterName(queries, job);
    const files = results.map(([filename, path], i): StoredFile => ({
      id: newFileId(),
      createdAt: Date.now(),
      filename: `${name}-${filename}`,
      purpose: "fine-tune-results",
      bytes: sizes[i]!,
      path: join(relative, path),
    }));
    for (const file of files) await addFile(queries, file);
    await registerAdapter(queries, {
      name,
      createdAt: Date.now(),
      base,
      folder: keptFolder(version),
      version,
      parent,
      jobId: job.id,
      data: { source: job.request.trainingFile, watermark: job.watermark, ...data },
      metrics: { auc: gate.auc, kl: left.kl, steps: result.steps, seconds: result.seconds },
      gate,
      files: Object.fromEntries(results.map(([filename], i) => [filename.replace(/\.\w+$/, ""), files[i]!.id])),
    });
    // Of labels more was noted when they were selected.
    if (job.request.trainingFile !== "labels") await noteData(queries, job.id, { source: "file", ...data });
    if (job.request.promote && gate.passed) await promoteUnasked(queries, job.id, modelOf(name), version);
    const ended = await finishJob(queries, job.id, "succeeded", {
      outcome: { adapter: name, trainedTokens: result.trained_tokens, files: files.map(({ id }) => id) },
    });
    if (!ended) throw new Error("The job was ended by another trainer.");
  });
}

/** Promotes what nobody asked for; what the gateway could not answer with is kept, and it is said why. */
async function promoteUnasked(queries: Queries, jobId: string, model: string, version: string): Promise<void> {
  const reason = "Trained without being asked, and passed the gate.";
  try {
    await promote(queries, servedAlias, model, { version, reason, override: false, by: null });
  } catch (error) {
    if (!(error instanceof UnservedBaseError)) throw error;
    await addEvent(queries, jobId, { level: "warn", type: "message", message: `Not promoted: ${error.message}` });
  }
}
