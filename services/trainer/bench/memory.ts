// How much memory this process had at most, each page counted once. It does not know what for.
//
// Linux keeps the largest resident size of a process (VmHWM), but counts a page once per mapping: weights that four
// sessions map from one file are in it four times, though they are in memory once. What is counted twice or more is
// the mappings' Rss less their Pss (/proc/self/smaps), where a page has the share of it that is the mapping's own.

/** Peaks in bytes. */
export interface MemoryPeak {
  /** Pages counted once each. */
  peakBytes: number;
  /** As the system counts: VmHWM. */
  residentBytes: number;
}

const kilobytes = (text: string, field: string) =>
  1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);

/** Bytes of files under `folder` that are counted more than once in the resident size. */
export function countedAgain(smaps: string, folder: string): number {
  const mappings = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ofFolder = mappings.filter((mapping) => mapping.slice(0, mapping.indexOf("\n")).includes(` ${folder}/`));
  return ofFolder.reduce((sum, mapping) => sum + kilobytes(mapping, "Rss") - kilobytes(mapping, "Pss"), 0);
}

/** The largest size of this process, threads included: from Linux' own record, sampled elsewhere. */
export class PeakMemory {
  #sampled = 0;
  #beforeSteps = 0;

  #resident(): number {
    this.#sampled = Math.max(this.#sampled, Deno.memoryUsage().rss);
    if (Deno.build.os !== "linux") return this.#sampled;
    return kilobytes(Deno.readTextFileSync("/proc/self/status"), "VmHWM");
  }

  /** Call it when the sessions are open, and often after: without Linux' record, peaks between calls are not seen. */
  sample(): void {
    const resident = this.#resident();
    this.#beforeSteps ||= resident;
  }

  /**
   * The peaks so far. A peak from before the first sample is taken as it is; the one after it, when every session has
   * read all its weights, without what is counted again.
   *
   * @param folder of the files that sessions map
   */
  peak(folder: string): MemoryPeak {
    const residentBytes = this.#resident();
    if (Deno.build.os !== "linux") return { peakBytes: residentBytes, residentBytes };
    const again = countedAgain(Deno.readTextFileSync("/proc/self/smaps"), Deno.realPathSync(folder));
    return { peakBytes: Math.max(this.#beforeSteps, residentBytes - again), residentBytes };
  }
}
