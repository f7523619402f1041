// How the arms of an alias do, each version of each apart: how many answers they gave, to how many people, and how many
// thumbs each person put on them. Databases count by person, so that what is read is a few numbers for any number of
// thumbs. Does not know how requests are split, or what the numbers say (shared/statistics/rates.ts).

import type { SharedTally, Tally } from "../statistics/rates.ts";
import { published } from "./imports.ts";
import { personPrefix } from "./label_clusters.ts";
import type { Database, Value } from "./queries.ts";

/** What answered for an alias: one version of an adapter on one version of a base model. */
export interface ArmVersion {
  alias: string;
  /** `name@sha-256`; null in what was stored before that was noted. */
  base: string | null;
  /** null: the base itself. */
  adapter: string | null;
  /** sha-256 of the adapter's files; null for the base. */
  adapterVersion: string | null;
}

/** What an arm was asked and told, of what the store still keeps. */
export interface ArmCounts extends ArmVersion {
  /** Answers given; a completion's choices are several. */
  answers: number;
  /** Those of them whose request named nobody. */
  unnamedAnswers: number;
  /** People who were answered. */
  people: number;
  /** Answers that somebody judged. */
  judgedAnswers: number;
  /** Current thumbs of people who are known: who judged, else who asked. */
  named: Tally[];
  /** Current thumbs of nobody, each completion as if it were a person. */
  unnamed: Tally[];
}

const columns = ["alias", "base", "adapter", "adapter_version"];
/** The columns of a table that make an arm, to group by. */
const armOf = (table: string) => columns.map((column) => `${table}.${column}`).join(", ");
/** The same, under the names of `ArmVersion`. */
const versionOf = (table: string) => `${armOf(table)} AS "adapterVersion"`;

/** The condition that a cluster is a person's. */
const isNamed = (table: string) => `SUBSTR(${table}.cluster, 1, ${personPrefix.length}) = '${personPrefix}'`;

/** Thumbs of each person on each arm's answers; in the order of an index. */
const byPerson = (which: string) =>
  `SELECT ${armOf("l")}, l.cluster, COUNT(*) AS thumbs, SUM(l.label) AS desirable FROM labels l
   WHERE ${which} AND ${published("l")} GROUP BY ${armOf("l")}, l.cluster`;

/** The arms that answered for `alias`, or for any. */
export async function countArms(database: Database, alias?: string): Promise<ArmCounts[]> {
  const values = alias === undefined ? [] : [alias];
  const of = (table: string) => `${table}.alias ${alias === undefined ? "IS NOT NULL" : "= $1"}`;
  const scan = <Counted>(sql: string) => database.scan<ArmVersion & Counted>(sql, values);
  type Answers = Pick<ArmCounts, "answers" | "unnamedAnswers" | "people">;
  const asked = await scan<Answers>(
    `SELECT ${versionOf("p")}, CAST(SUM(p.answers) AS BIGINT) AS answers, COUNT(p.end_user) AS people,
       CAST(SUM(CASE WHEN p.end_user IS NULL THEN p.answers ELSE 0 END) AS BIGINT) AS "unnamedAnswers"
     FROM (SELECT ${armOf("c")}, c.end_user, COUNT(*) AS answers FROM completions c WHERE ${of("c")}
       GROUP BY ${armOf("c")}, c.end_user) AS p
     GROUP BY ${armOf("p")}`,
  );
  // An answer is its completion's first choice, or one of the few beyond it.
  const further = await scan<Omit<Answers, "people">>(
    `SELECT ${versionOf("c")}, COUNT(*) AS answers,
       CAST(SUM(CASE WHEN c.end_user IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS "unnamedAnswers"
     FROM choices a CROSS JOIN completions c WHERE a.choice > 0 AND c.id = a.completion_id AND ${of("c")}
     GROUP BY ${armOf("c")}`,
  );
  const tallies = await scan<Tally & { named: 0 | 1 }>(
    `SELECT ${versionOf("s")}, s.named, s.thumbs, CAST(s.desirable AS BIGINT) AS desirable, COUNT(*) AS people
     FROM (SELECT ${armOf("p")}, p.thumbs, p.desirable, CASE WHEN ${isNamed("p")} THEN 1 ELSE 0 END AS named
       FROM (${byPerson(of("l"))}) AS p) AS s
     GROUP BY ${armOf("s")}, s.named, s.thumbs, s.desirable`,
  );
  // Few answers have more than one thumb, and an index has such thumbs side by side.
  const several = "SELECT completion_id, choice FROM labels GROUP BY completion_id, choice HAVING COUNT(*) > 1";
  const repeated = await scan<{ beyondFirst: number }>(
    `SELECT ${versionOf("c")}, CAST(SUM(s.thumbs - 1) AS BIGINT) AS "beyondFirst"
     FROM (SELECT l.completion_id, l.choice, COUNT(*) AS thumbs FROM (${several}) AS d CROSS JOIN labels l
       WHERE l.completion_id = d.completion_id AND l.choice = d.choice AND ${published("l")}
       GROUP BY l.completion_id, l.choice) AS s
     CROSS JOIN completions c WHERE c.id = s.completion_id AND ${of("c")} GROUP BY ${armOf("c")}`,
  );
  const arms = new Map<string, ArmCounts>();
  const at = ({ alias, base, adapter, adapterVersion }: ArmVersion) => {
    const version = { alias, base, adapter, adapterVersion }, key = JSON.stringify(Object.values(version));
    const nothing = { answers: 0, unnamedAnswers: 0, people: 0, judgedAnswers: 0 };
    const counts = arms.get(key) ?? { ...version, ...nothing, named: [], unnamed: [] };
    arms.set(key, counts);
    return counts;
  };
  for (const row of asked) {
    const { answers, unnamedAnswers, people } = row;
    Object.assign(at(row), { answers, unnamedAnswers, people });
  }
  for (const row of further) {
    at(row).answers += row.answers;
    at(row).unnamedAnswers += row.unnamedAnswers;
  }
  for (const row of tallies) {
    const { thumbs, desirable, people } = row, counts = at(row);
    (row.named === 1 ? counts.named : counts.unnamed).push({ thumbs, desirable, people });
    counts.judgedAnswers += thumbs * people;
  }
  for (const row of repeated) at(row).judgedAnswers -= row.beyondFirst;
  const inOrder = ({ alias, base, adapter, adapterVersion }: ArmVersion) =>
    JSON.stringify([alias, adapter ?? "", base ?? "", adapterVersion ?? ""]);
  return [...arms.values()].sort((a, b) => inOrder(a) < inOrder(b) ? -1 : 1);
}

/** An arm, and the people who judged its answers and the reference's. */
export interface SharedPeople extends ArmVersion {
  tallies: SharedTally[];
}

/** The people who judged answers of the reference and of another arm of its alias, by that arm. */
export async function countShared(database: Database, reference: ArmVersion): Promise<SharedPeople[]> {
  const values: Value[] = [reference.alias];
  const its = { base: reference.base, adapter: reference.adapter, adapter_version: reference.adapterVersion };
  const isReference = Object.entries(its).map(([column, value]) =>
    value === null ? `l.${column} IS NULL` : `l.${column} = $${values.push(value)}`
  ).join(" AND ");
  const people = `l.alias = $1 AND ${isNamed("l")}`;
  const rows = await database.scan<ArmVersion & SharedTally>(
    `SELECT ${versionOf("a")}, a.thumbs, CAST(a.desirable AS BIGINT) AS desirable, r.thumbs AS "referenceThumbs",
       CAST(r.desirable AS BIGINT) AS "referenceDesirable", COUNT(*) AS people
     FROM (${byPerson(`${people} AND (${isReference}) IS NOT TRUE`)}) AS a
       JOIN (${byPerson(`${people} AND ${isReference}`)}) AS r ON r.cluster = a.cluster
     GROUP BY ${armOf("a")}, a.thumbs, a.desirable, r.thumbs, r.desirable`,
    values,
  );
  const arms = Map.groupBy(rows, (row) => JSON.stringify([row.base, row.adapter, row.adapterVersion]));
  return [...arms.values()].map((rows) => {
    const { alias, base, adapter, adapterVersion } = rows[0]!;
    const tallies = rows.map(({ thumbs, desirable, referenceThumbs, referenceDesirable, people }) => ({
      thumbs,
      desirable,
      referenceThumbs,
      referenceDesirable,
      people,
    }));
    return { alias, base, adapter, adapterVersion, tallies };
  });
}
