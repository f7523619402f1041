// The record formats feedback comes in, as rule tables: where the prompt stands, where the answers, and what a field beside
// them means. Every field of a record is used, or named as not used, or the record is refused by its name. Knows one
// record at a time; nothing of files (the caller names the place) or of tokens.

import { z } from "zod";
import { InputError } from "../errors.ts";
import { Fields, type JsonRecord, RefusedRecord } from "./fields.ts";
import { isUnlabelled, type LabelReader } from "./labels.ts";
import { asMessages, fieldError, readMessages, readSaid, type Said } from "./messages.ts";
import { type FeedbackRow, isNothing, type Message } from "./row.ts";
import { bringsTurns, hasAsked, splitConversation, splitPair, wholeOf } from "./split.ts";

/** What a format makes of a record: rows without their place in the file. */
export type DraftRow = Pick<FeedbackRow, "prompt" | "completion" | "label">;

/** The surroundings a record is read in. */
export interface Context {
  /** `file:line`, for errors. */
  where: string;
  label: LabelReader;
}

/** Fields a thumb may stand in, the usual one first (`kto_tag`: LLaMA-Factory). */
const LABEL_FIELDS = ["label", "feedback", "thumb", "kto_tag"];

/** Turns of a conversation: OpenAI's name, and ShareGPT's. */
const TURN_FIELDS = ["messages", "conversations"];

/** Answers that a label judges: TRL's name, and Alpaca's and HALOs'. */
const ANSWER_FIELDS = ["completion", "output"];

/** Where the prompt of a record stands, the more telling fields first. */
const PROMPTS: { name: string; fields: string[]; read(fields: Fields, context: Context): Said }[] = [
  {
    name: "prompt",
    fields: ["prompt"],
    read: (fields, { where }) => readSaid(fields.use("prompt"), where, "prompt"),
  },
  { name: "conversations", fields: TURN_FIELDS, read: (fields, context) => turns(fields, context).map(withoutThumb) },
  { name: "instruction", fields: ["instruction"], read: instruction },
  {
    // Orca's pairs and others.
    name: "question",
    fields: ["question"],
    read: (fields, { where }) => asMessages(readSaid(fields.use("question"), where, "question"), "user"),
  },
];

interface Format {
  /** In a summary, after where the prompt stands; alone where the format has no prompt of its own. */
  name: string;
  /** Whether the prompt stands in a field of its own. */
  prompted: boolean;
  matches(fields: Fields): boolean;
  rows(fields: Fields, context: Context, prompt: () => Said): DraftRow[];
}

/** The first format that matches reads the record, so the more telling fields come first. */
const FORMATS: Format[] = [
  {
    name: "chosen + rejected",
    prompted: true,
    matches: (fields) => fields.has("chosen", "rejected") && promptOf(fields) !== undefined,
    rows: (fields, context, prompt) => {
      const asked = prompt(), [chosen, rejected] = bothAnswers(fields, context);
      if (!bringsTurns(chosen) && !bringsTurns(rejected)) return pair({ prompt: asked, chosen, rejected });
      return pair(splitPair(wholeOf(asked, chosen), wholeOf(asked, rejected)));
    },
  },
  {
    name: "chosen + rejected",
    prompted: false,
    matches: (fields) => fields.has("chosen", "rejected"),
    rows: (fields, context) => {
      const split = splitPair(...bothAnswers(fields, context));
      const beside = CONTEXT.flatMap(({ fields: names }) => names).find((name) => !isNothing(fields.record[name]));
      if (typeof split.prompt === "string" && beside !== undefined) {
        throw new RefusedRecord(`${beside} stands beside texts whose prompt is how they begin: add a prompt field`);
      }
      return pair(split);
    },
  },
  {
    name: "completion + label",
    prompted: true,
    matches: (fields) => fields.has("prompt") && fields.first(...ANSWER_FIELDS) !== undefined,
    rows: judgedAnswer,
  },
  {
    name: "conversation with a label per turn",
    prompted: false,
    matches: (fields) => rawTurns(fields)?.some((turn) => LABEL_FIELDS.some((f) => !isUnlabelled(turn[f]))) ?? false,
    rows: labelledTurns,
  },
  {
    name: "completion + label",
    prompted: true,
    matches: (fields) => endsAsked(rawTurns(fields)) && fields.first(...ANSWER_FIELDS) !== undefined,
    rows: judgedAnswer,
  },
  {
    name: "messages + label",
    prompted: false,
    matches: (fields) => rawTurns(fields) !== undefined,
    rows: (fields, context) => {
      const label = rowLabel(fields, context), messages = turns(fields, context).map(withoutThumb);
      const last = messages.findLastIndex((message) => message.role === "assistant");
      if (last < 1) {
        throw new InputError(
          `${context.where}: the conversation has no assistant turn after a prompt, so nothing is judged.`,
        );
      }
      if (last < messages.length - 1) fields.ignore("turns after the judged answer");
      return [{ label, prompt: messages.slice(0, last), completion: messages.slice(last, last + 1) }];
    },
  },
  {
    name: "completion + label",
    prompted: true,
    matches: (fields) => promptOf(fields) !== undefined && fields.first(...ANSWER_FIELDS) !== undefined,
    rows: judgedAnswer,
  },
];

/** What stands beside a prompt and belongs to it, whichever the format: the first of these fields that says something. */
const CONTEXT: { fields: string[]; read(fields: Fields, name: string, context: Context): Message[] }[] = [
  { fields: ["system", "system_prompt"], read: systemMessage },
  { fields: ["history"], read: history },
];

/**
 * Fields that say what an answer was given to. Where no rule above has a use for one, and the rows do not say the same, the
 * record would become another: it is refused.
 */
const ASKED_FIELDS = [
  ...CONTEXT.flatMap(({ fields }) => fields),
  ...PROMPTS.flatMap(({ fields }) => fields),
  "input",
  "query",
  "context",
  "documents",
  "functions",
  ...["image", "images", "video", "videos", "audio", "audios"],
];

/** What is said of a thumb beside it. */
const REMARKS = ["end_user", "reason", "tags"];

/** What the store's export writes into a row beside the judgement, and a job's rows of it. */
const ORIGIN = [
  "id",
  "completion_id",
  "choice",
  "is_correction",
  "created_at",
  "source",
  "model",
  "base",
  "adapter",
  "adapter_version",
  "asked_by",
  "log_prob",
  "completion_tokens",
];
const EXPORTED = [...ORIGIN, "sequence", "metadata", "safety_identifier", "row"];

/** A record, read. */
export interface ReadRecord {
  /** The format's name. */
  format: string;
  /** One for each judged answer, in the record's order. */
  rows: Omit<FeedbackRow, "index" | "line">[];
  /** What the record says and no row has. */
  unused: string[];
}

/**
 * Reads one record.
 *
 * @throws InputError naming `where` and the field: the file is something else
 * @throws RefusedRecord where this record alone cannot be read as what it means
 */
export function readRecord(record: unknown, context: Context): ReadRecord {
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    throw new InputError(`${context.where}: expected a JSON object with fields such as prompt, completion and label.`);
  }
  const fields = new Fields(record as JsonRecord);
  const format = FORMATS.find((candidate) => candidate.matches(fields));
  if (format === undefined) {
    throw new InputError(
      `${context.where}: fields ${Object.keys(record).join(", ") || "(none)"} are no feedback format: use prompt, ` +
        `completion and label; prompt, chosen and rejected; messages and label; or conversations and a label.`,
    );
  }
  const prompt = format.prompted ? promptOf(fields)! : undefined;
  const rows = format.rows(fields, context, () => prompt!.read(fields, context))
    .map((row) => unify({ ...row, prompt: inContext(row.prompt, fields, context) }));
  rows.forEach(checkAnswer);
  const extras = { ...templateExtras(fields, context), ...remarksOf(fields, rows.length) };
  checkAsked(fields, rows);
  const name = prompt === undefined ? format.name : `${prompt.name} + ${format.name}`;
  return { format: name, rows: rows.map((row) => ({ ...row, ...extras })), unused: fields.leftOver() };
}

const promptOf = (fields: Fields) => PROMPTS.find(({ fields: names }) => fields.first(...names) !== undefined);

/** The turns of a conversation where they are a list of objects, unread. */
function rawTurns(fields: Fields): JsonRecord[] | undefined {
  const name = fields.first(...TURN_FIELDS), value = name === undefined ? undefined : fields.record[name];
  return Array.isArray(value) ? value.filter((turn) => typeof turn === "object" && turn !== null) : undefined;
}

function endsAsked(turns: JsonRecord[] | undefined): boolean {
  const last = turns?.at(-1);
  return last !== undefined && ["user", "human", "system"].includes(String(last["role"] ?? last["from"]));
}

function turns(fields: Fields, { where }: Context): Message[] {
  const name = fields.first(...TURN_FIELDS)!;
  return readMessages(fields.use(name), where, name);
}

function instruction(fields: Fields, { where }: Context): Said {
  const value = { instruction: fields.use("instruction"), input: fields.use("input") };
  const parsed = z.object({ instruction: z.string(), input: z.string().nullish() }).safeParse(value);
  if (!parsed.success) throw fieldError(parsed.error, where, "");
  const { instruction: text, input } = parsed.data;
  return [{ role: "user", content: input ? `${text}\n\n${input}` : text }];
}

const bothAnswers = (fields: Fields, { where }: Context): [chosen: Said, rejected: Said] => [
  readSaid(fields.use("chosen"), where, "chosen"),
  readSaid(fields.use("rejected"), where, "rejected"),
];

const pair = ({ prompt, chosen, rejected }: { prompt: Said; chosen: Said; rejected: Said }): DraftRow[] => [
  { prompt, completion: chosen, label: true },
  { prompt, completion: rejected, label: false },
];

function judgedAnswer(fields: Fields, context: Context, prompt: () => Said): DraftRow[] {
  const label = rowLabel(fields, context), asked = prompt(), name = fields.first(...ANSWER_FIELDS)!;
  const completion = readSaid(fields.use(name), context.where, name);
  if (!bringsTurns(completion)) return [{ label, prompt: asked, completion }];
  return [{ label, ...splitConversation(wholeOf(asked, completion)) }];
}

function labelledTurns(fields: Fields, context: Context): DraftRow[] {
  const messages = turns(fields, context), { where } = context;
  const rows = messages.flatMap((message, turn) => {
    const field = LABEL_FIELDS.find((f) => !isUnlabelled(message[f]));
    if (field === undefined) return [];
    if (message.role !== "assistant") {
      fields.ignore("a label on a turn that is no answer");
      return [];
    }
    if (turn === 0) throw new InputError(`${where}: the first turn is labelled, but nothing comes before it.`);
    return [{
      prompt: messages.slice(0, turn).map(withoutThumb),
      completion: [withoutThumb(message)],
      label: context.label(message[field], where, `turn ${turn + 1}'s ${field}`),
    }];
  });
  if (rows.length === 0) throw new InputError(`${where}: only assistant turns can carry a label.`);
  return rows;
}

function rowLabel(fields: Fields, { where, label }: Context): boolean {
  const field = LABEL_FIELDS.find((name) => !isUnlabelled(fields.record[name]));
  if (field === undefined) {
    throw new InputError(`${where}: the row has no label: add "label": true (desirable) or false (undesirable).`);
  }
  return label(fields.use(field), where, field);
}

/** Thumbs are not part of what was said: a template must not see them. */
function withoutThumb(message: Message): Message {
  const copy = { ...message };
  for (const field of LABEL_FIELDS) delete copy[field];
  return copy;
}

/** A prompt with what stands beside it in the record: a text becomes the user's turn where there is such. */
function inContext(prompt: Said, fields: Fields, context: Context): Said {
  const beside = CONTEXT.flatMap(({ fields: names, read }) => {
    const name = names.find((each) => !isNothing(fields.record[each]));
    return name === undefined ? [] : read(fields, name, context);
  });
  if (beside.length === 0) return prompt;
  const messages = asMessages(prompt, "user"), own = messages[0]?.role === "system" ? messages[0] : undefined;
  const [first, ...others] = beside;
  if (own === undefined || first!.role !== "system") {
    return own === undefined ? [...beside, ...messages] : [own, ...beside, ...messages.slice(1)];
  }
  if (own.content.trim() !== first!.content.trim()) {
    throw new RefusedRecord(
      "system is not the system message that the conversation begins with: leave one of the two out",
    );
  }
  return [own, ...others, ...messages.slice(1)];
}

function systemMessage(fields: Fields, name: string): Message[] {
  const content = fields.use(name);
  if (typeof content === "string") return [{ role: "system", content }];
  throw new RefusedRecord(`${name} is no text: write what the model was told there`);
}

/** Earlier turns: LLaMA-Factory's and ChatGLM's pairs of question and answer, or messages. */
function history(fields: Fields, name: string, { where }: Context): Message[] {
  const value = fields.use(name);
  const pairs = z.array(z.tuple([z.string(), z.string()])).safeParse(value);
  if (!pairs.success) return readMessages(value, where, name);
  return pairs.data.flatMap(([asked, said]) => [
    { role: "user", content: asked },
    { role: "assistant", content: said },
  ]);
}

/** A row is all text or all messages; one part in messages makes the other a message too. */
function unify({ prompt, completion, label }: DraftRow): DraftRow {
  if (typeof prompt === typeof completion) return { prompt, completion, label };
  return { prompt: asMessages(prompt, "user"), completion: asMessages(completion, "assistant"), label };
}

/** What a person wrote is no answer of a model's. */
function checkAnswer({ completion }: DraftRow): void {
  if (!hasAsked(completion)) return;
  throw new RefusedRecord(
    "the answer goes on with a turn of the user: put all turns before the judged one into prompt",
  );
}

/** @throws RefusedRecord for a field that nobody used, and that says what the rows do not */
function checkAsked(fields: Fields, rows: readonly DraftRow[]): void {
  const unused = fields.unused().filter((name) => ASKED_FIELDS.includes(name));
  if (unused.length === 0) return;
  const said = rows.flatMap(({ prompt, completion }) => [prompt, completion])
    .map((part) => typeof part === "string" ? part : part.map(({ content }) => content).join("\n")).join("\n");
  for (const name of unused) {
    const texts = textsOf(fields.record[name]);
    if (texts.length > 0 && texts.every((text) => said.includes(text.trim()))) fields.use(name);
    else {
      throw new RefusedRecord(
        `${name} says what the prompt does not, and has no place in this format: put it into the prompt, or leave it out`,
      );
    }
  }
}

/** The texts in a field's value, without what roles are called. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return value.trim() === "" ? [] : [value];
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  return Object.entries(value).flatMap(([key, each]) => ["role", "from", "type"].includes(key) ? [] : textsOf(each));
}

/** TRL's `tools` and `chat_template_kwargs` columns; data sets often keep them as JSON text. */
function templateExtras(fields: Fields, { where }: Context): Pick<FeedbackRow, "tools" | "templateArguments"> {
  const read = <T>(field: string, schema: z.ZodType<T>): T | undefined => {
    const value = fields.use(field);
    if (isNothing(value)) return undefined;
    const parsed = z.preprocess((text) => typeof text === "string" ? parseOrKeep(text) : text, schema).safeParse(value);
    if (!parsed.success) throw fieldError(parsed.error, where, field);
    return parsed.data;
  };
  const tools = read("tools", z.array(z.unknown()));
  const templateArguments = read("chat_template_kwargs", z.record(z.string(), z.unknown()));
  return { ...(tools?.length ? { tools } : {}), ...(templateArguments ? { templateArguments } : {}) };
}

/**
 * What is kept beside a row: remarks, and of one row where an export has it from; what a row's own ids say is of one
 * row, and a pair's two rows cannot both be it. Data sets have other things under these names, so they are not looked into.
 */
function remarksOf(fields: Fields, rows: number): Pick<FeedbackRow, "remarks"> {
  for (const field of EXPORTED) fields.use(field);
  const there = (rows === 1 ? [...REMARKS, ...ORIGIN] : REMARKS).filter((field) => fields.has(field));
  return there.length === 0 ? {} : { remarks: Object.fromEntries(there.map((field) => [field, fields.use(field)])) };
}

function parseOrKeep(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
