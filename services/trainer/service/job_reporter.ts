// Where a job's news go: into the store, a few times a second and in order. It does not know what a job does.

import { type Reporter, reportTo } from "../../../shared/progress.ts";
import type { Database } from "../../../shared/store/database.ts";
import { StoreUnavailableError } from "../../../shared/store/unavailable.ts";
import { addEvent, type JobProgress, noteProgress } from "../../../shared/store/jobs.ts";

/** How often news are written, in milliseconds. */
const interval = 250;

type News = Parameters<typeof addEvent>[2];

/** Fields of a reporter's progress events. */
type ProgressFields = Omit<JobProgress, "etaSeconds"> & { eta_seconds: number | null };

export interface JobReporter {
  reporter: Reporter;
  /** Writes what was not written yet. @throws what the store did not take */
  close(): Promise<void>;
}

/** A step's metrics as news. */
export function stepNews(data: Record<string, unknown>): News {
  const message = `Step ${data.step}: loss ${Number(data.loss).toFixed(4)}`;
  return { level: "info", type: "metrics", step: Number(data.step), message, data };
}

/** A reporter for a job. @param named puts a sentence into people's words for files */
export function reportJob(database: Database, jobId: string, named: (sentence: string) => string): JobReporter {
  let news: News[] = [], progress: JobProgress | null | undefined;
  let writing: Promise<void> = Promise.resolve(), failure: unknown;
  const write = async () => {
    const [told, shown] = [news, progress];
    [news, progress] = [[], undefined];
    if (told.length === 0 && shown === undefined) return;
    try {
      await tell(told, shown);
    } catch (error) {
      // The next turn tries again.
      [news, progress] = [[...told, ...news], progress === undefined ? shown : progress];
      throw error;
    }
  };
  const tell = async (told: News[], shown: JobProgress | null | undefined) => {
    const advanced = told.length > 0 && await database.write(async (queries) => {
      let advanced = false;
      for (const each of told) advanced = await addEvent(queries, jobId, each) && each.type === "metrics" || advanced;
      return advanced;
    });
    if (shown !== undefined || advanced) await noteProgress(database, jobId, shown, advanced);
  };
  const flush = () =>
    writing = writing.then(write).then(() => {
      if (failure instanceof StoreUnavailableError) failure = undefined;
    }, (error) => void (failure ??= error));
  const timer = setInterval(flush, interval);
  const reporter = reportTo({
    event(name, fields = {}) {
      if (name === "step") {
        news.push(stepNews(fields));
      } else if (name === "progress") {
        const { eta_seconds, ...counted } = fields as unknown as ProgressFields;
        progress = { ...counted, etaSeconds: eta_seconds };
      } else if (name === "data") {
        // The sentences come as messages of their own.
        const { notes: _, warnings: __, ...counts } = fields;
        news.push({ level: "info", type: "message", message: "The rows were read.", data: counts });
      } else if (name === "evaluation") {
        news.push({ level: "info", type: "message", message: "Held-out rows were scored.", data: fields });
      }
    },
    line: (message) => news.push({ level: "info", type: "message", message: named(message) }),
    warn: (message) => news.push({ level: "warn", type: "message", message: named(message) }),
  });
  return {
    reporter,
    async close() {
      clearInterval(timer);
      await flush();
      if (failure !== undefined) throw failure;
    },
  };
}
