// The part of a run's report that quotes people: where it stands in the page, and how it is taken out again. It does not
// know what else a report shows, or where reports lie.

const heading = `<h2 id="samples">Answers before and after</h2>`;
const begin = `<section aria-labelledby="samples">\n${heading}\n`, end = "\n</section>";

/** The part. @param html in which every text is escaped, so that none of them can look like the part's end */
export const samplesPart = (html: string): string => begin + html + end;

const takenOut = samplesPart(
  "<p>They were taken out: somebody whose words may have been among them has asked to be forgotten.</p>",
);

/** A report that quotes nobody. */
export function withoutSamples(report: string): string {
  const from = report.indexOf(begin), to = report.indexOf(end, from);
  return from < 0 || to < 0 ? report : report.slice(0, from) + takenOut + report.slice(to + end.length);
}
