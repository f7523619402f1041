// Arms of an alias are counted by version, their thumbs by person.

import { assertEquals } from "@std/assert";
import { storeCompletion } from "../../shared/store/completions.ts";
import { type Database, openDatabase } from "../../shared/store/database.ts";
import { countArms, countShared } from "../../shared/store/experiments.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { type ImportedRow, importFeedback } from "../../shared/store/import_feedback.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { migrate } from "../../shared/store/migrations.ts";
import { openPostgresDatabase } from "../../shared/store/postgres_database.ts";
import { openSqliteDatabase } from "../../shared/store/sqlite_database.ts";
import { databaseTest, placeTest } from "./databases.ts";
import { collect, completion, thumb } from "./records.ts";

/** What answers are of, where nothing else is said: the base itself, for the alias prospect, asked by nobody. */
const version = (adapter: string | null, adapterVersion = adapter && `version of ${adapter}`, base = "tiny") => ({
  alias: "prospect",
  base,
  adapter,
  adapterVersion,
});

/** An answer to a person, and thumbs on it. */
async function answer(
  database: Database,
  id: string,
  of: ReturnType<typeof version>,
  endUser: string | null,
  ...thumbs: [judge: string, label: boolean][]
): Promise<void> {
  await storeCompletion(database, completion(id, { ...of, endUser }));
  for (const [judge, label] of thumbs) await putLabel(database, thumb(id, { endUser: judge, label }));
}

const tallies = (...those: [thumbs: number, desirable: number, people: number][]) =>
  those.map(([thumbs, desirable, people]) => ({ thumbs, desirable, people }));

/** The same whatever the order. */
const sorted = (given: ReturnType<typeof tallies>) =>
  given.toSorted((a, b) => a.thumbs - b.thumbs || a.desirable - b.desirable);

databaseTest("an arm counts what it answered, whom, and what was judged, each apart", async (database) => {
  await storeCompletion(database, completion("b1", version(null), ["one", "two"]));
  await storeCompletion(database, completion("b2", { ...version(null), endUser: "ann" }));
  await storeCompletion(database, completion("b3", { ...version(null), endUser: "ann" }, ["one", "two", "three"]));
  await storeCompletion(database, completion("b4", { ...version(null), endUser: "bob" }));
  await storeCompletion(database, completion("n1", version("new")));
  await storeCompletion(database, completion("o1", { ...version("new"), alias: "other" }));
  await storeCompletion(database, completion("direct", { ...version("new"), alias: null }));
  await putLabel(database, thumb("b1", { label: false }));
  await putLabel(database, thumb("b1"));
  await putLabel(database, thumb("b1", { choice: 1, label: false }));
  await putLabel(database, thumb("b1", { choice: 1, endUser: "ann", label: false }));
  await putLabel(database, thumb("b3", { choice: 2 }));
  await putLabel(database, thumb("direct"));
  await putLabel(database, thumb("o1"));
  const [base, candidate, ...more] = await countArms(database, "prospect");
  assertEquals(base, {
    ...version(null),
    answers: 7,
    unnamedAnswers: 2,
    people: 2,
    judgedAnswers: 3,
    // Ann's word on what nobody asked for, and on her own.
    named: tallies([2, 1, 1]),
    // Two thumbs on the two choices of one request.
    unnamed: tallies([2, 1, 1]),
  });
  const unjudged = { people: 0, judgedAnswers: 0, named: [], unnamed: [] };
  assertEquals(candidate, { ...version("new"), answers: 1, unnamedAnswers: 1, ...unjudged });
  assertEquals(more, []);
  assertEquals(
    (await countArms(database)).map(({ alias, adapter, judgedAnswers }) => [alias, adapter, judgedAnswers]),
    [
      ["other", "new", 1],
      ["prospect", null, 3],
      ["prospect", "new", 0],
    ],
  );
  assertEquals(await countArms(database, "nobody's"), []);
});

databaseTest("every base model and every version of an adapter is an arm of its own", async (database) => {
  const versions = [
    version(null),
    version(null, null, "older"),
    version("new"),
    version("new", "next version of new"),
    version("new", "version of new", "older"),
  ];
  for (const [i, of] of versions.entries()) {
    for (let more = 0; more <= i; more++) await answer(database, `a${i}-${more}`, of, "ann", ["", more === 0]);
  }
  const counted = await countArms(database, "prospect");
  const shown = counted.map(({ base, adapter, adapterVersion, answers, named }) => [
    base,
    adapter,
    adapterVersion,
    answers,
    named,
  ]);
  const expected = versions.map(({ base, adapter, adapterVersion }, i) => [
    base,
    adapter,
    adapterVersion,
    i + 1,
    tallies([i + 1, 1, 1]),
  ]);
  const inOrder = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).toSorted();
  assertEquals(inOrder(shown), inOrder(expected));
});

databaseTest("a thumb is its judge's, else the asker's, else the request's own", async (database) => {
  for (let i = 0; i < 20; i++) {
    await answer(database, `judged${i}`, version(null), `asker ${i}`, ["judge", i < 5]);
    await answer(database, `asked${i}`, version("new"), "asker", ["", i < 5]);
    await answer(database, `neither${i}`, version("old"), null, ["", i < 5]);
  }
  const [judged, asked, neither] = await countArms(database, "prospect");
  assertEquals([judged!.named, judged!.unnamed, judged!.people], [tallies([20, 5, 1]), [], 20]);
  assertEquals([asked!.named, asked!.unnamed, asked!.people], [tallies([20, 5, 1]), [], 1]);
  assertEquals([neither!.named, sorted(neither!.unnamed), neither!.people], [
    [],
    tallies([1, 0, 15], [1, 1, 5]),
    0,
  ]);
});

databaseTest("who judged two arms is found for the difference, whoever else did", async (database) => {
  for (let i = 0; i < 6; i++) {
    await answer(database, `b${i}`, version(null), null, [`judge ${i % 3}`, i < 4], ["", true]);
    await answer(database, `n${i}`, version("new"), null, [`judge ${i % 2}`, i % 2 === 0], ["", true]);
    await answer(database, `e${i}`, version(null, null, "older"), null, ["judge 2", true]);
    await answer(database, `o${i}`, { ...version("new"), alias: "other" }, null, ["judge 1", true]);
  }
  const shared = await countShared(database, version(null));
  const of = (base: string, adapter: string | null) =>
    shared.find((arm) => arm.base === base && arm.adapter === adapter)!.tallies;
  assertEquals(shared.length, 2);
  assertEquals(of("older", null), [{
    thumbs: 6,
    desirable: 6,
    referenceThumbs: 2,
    referenceDesirable: 1,
    people: 1,
  }]);
  assertEquals(of("tiny", "new").toSorted((a, b) => a.desirable - b.desirable), [
    { thumbs: 3, desirable: 0, referenceThumbs: 2, referenceDesirable: 1, people: 1 },
    { thumbs: 3, desirable: 3, referenceThumbs: 2, referenceDesirable: 2, people: 1 },
  ]);
  const others = await countShared(database, version("new"));
  assertEquals(others.map(({ base, adapter }) => [base, adapter]), [["tiny", null]], "judge 2 judged one of them");
});

databaseTest(
  "a thumb that is imported counts with those on the same answer once its import is whole",
  async (database) => {
    await answer(database, "a", version("new"), "asker", ["ann", false]);
    const [row] = await collect(exportFeedback(database));
    const ben = { ...row!, id: "label-ben", end_user: "ben", label: true };
    const origin = {
      labelId: ben.id,
      completionId: "a",
      choice: 0,
      isCorrection: false,
      judgedAt: undefined,
      source: "chat" as const,
      model: ben.model,
      base: ben.base,
      adapter: ben.adapter,
      adapterVersion: ben.adapter_version,
      askedBy: "asker",
      logProb: null,
      tokens: 3,
    };
    async function* rows(meanwhile: () => Promise<void>): AsyncGenerator<ImportedRow> {
      const { prompt, completion, label } = ben;
      yield { index: 0, line: 1, prompt, completion, label, endUser: "ben", origin };
      await meanwhile();
    }
    const counts = async () =>
      (await countArms(database, "prospect")).map(({ named, judgedAnswers }) => [named, judgedAnswers]);
    const before = await counts();
    await importFeedback(database, rows(async () => assertEquals(await counts(), before)));
    const [[named, judgedAnswers]] = await counts() as [[ReturnType<typeof tallies>, number]];
    assertEquals([sorted(named), judgedAnswers], [tallies([1, 0, 1], [1, 1, 1]), 1]);
    // As it is while an import moves its rows.
    await database.run("UPDATE imports SET published = NULL");
    assertEquals(await counts(), before);
  },
);

placeTest("thumbs from before versions were told apart are counted by version and person", async ({ kind, where }) => {
  const old = kind === "sqlite" ? openSqliteDatabase(where) : await openPostgresDatabase(where);
  try {
    await migrate(old, 8);
    for (
      const [id, version, asker, judge] of [
        ["a", "1", "ann", ""],
        ["b", "1", "ann", "ben"],
        ["c", "2", null, ""],
        ["d", "2", "ann", "ann"],
      ] as const
    ) {
      await old.run(
        `INSERT INTO completions (id, created_at, source, model, base, adapter, adapter_version, alias, prompt, parameters,
           end_user, prompt_tokens) VALUES ($1, 1, 'chat', 'prospect', 'tiny', 'new', $2, 'prospect', '"q"', '{}', $3, 1)`,
        [id, version, asker],
      );
      await old.run(
        `INSERT INTO choices (completion_id, choice, content, finish_reason, tokens) VALUES ($1, 0, '"x"', 'stop', 1)`,
        [id],
      );
      const [event] = await old.write((queries) =>
        queries.all<{ sequence: number }>(
          `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, tags)
           VALUES ($1, 'set', 2, 1, $1, 0, $2, 1, '[]') RETURNING sequence`,
          [id, judge],
        )
      );
      await old.run(
        `INSERT INTO labels (id, completion_id, choice, end_user, created_at, updated_at, sequence, label, source, model,
           base, adapter, alias) VALUES ($1, $1, 0, $2, 2, 2, $3, 1, 'chat', 'prospect', 'tiny', 'new', 'prospect')`,
        [id, judge, event!.sequence],
      );
    }
  } finally {
    await old.close();
  }
  const database = await openDatabase(where, () => {});
  try {
    const counted = await countArms(database);
    assertEquals(counted.map(({ adapterVersion, named, unnamed }) => [adapterVersion, named, unnamed]), [
      ["1", tallies([1, 1, 2]), []],
      ["2", tallies([1, 1, 1]), tallies([1, 1, 1])],
    ]);
  } finally {
    await database.close();
  }
});
