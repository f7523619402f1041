// What becomes of a row on its way into tokens: answers stay whole whatever the chat template does, and what it leaves
// out is found.

import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { idsOfRow } from "../../shared/feedback/row_ids.ts";
import type { FeedbackRow, Message } from "../../shared/feedback/row.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { createChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { readPrompt } from "../../shared/runtime/read_prompt.ts";
import { readTokenizerFiles } from "../../shared/runtime/tokenizer_files.ts";
import { openTokenizer, smallTokenizers } from "../runtime/small_tokenizers.ts";

const user = (content: string): Message => ({ role: "user", content });
const system = (content: string): Message => ({ role: "system", content });
const assistant = (content: string, further: object = {}): Message => ({ role: "assistant", content, ...further });

const chat = (prompt: Message[], completion: Message[], further: Partial<FeedbackRow> = {}): FeedbackRow => ({
  index: 0,
  line: 1,
  label: true,
  prompt,
  completion,
  ...further,
});

const files = readTokenizerFiles(openModelFolder(embeddedModelFolder));

/** The embedded model's tokenizer with another template. */
const withTemplate = (template: string) => createChatTokenizer({ ...files, template });

/** What a row becomes, in text. */
function read(template: string, row: FeedbackRow) {
  const tokenizer = withTemplate(template), { promptIds, completionIds, findings, unread } = idsOfRow(row, tokenizer);
  return { prompt: tokenizer.decode(promptIds), answer: tokenizer.decode(completionIds), findings, unread };
}

/** A turn as ChatML has it, of any role; what asks for an answer comes after all of them. */
const chatMl = (asks: string, content = "message.content") =>
  `{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + ${content} + '<|im_end|>\\n' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '${asks}' }}{% endif %}`;

const plain = chatMl("<|im_start|>assistant\\n");
/** Asks for thoughts, and writes none of them into a turn that was said. */
const thinking = chatMl("<|im_start|>assistant\\n<think>\\n", "message.content.split('</think>')[-1]");
const asked = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";

Deno.test("an answer keeps its beginning where the generation prompt is longer than what opens a turn", () => {
  const { findings, ...ids } = read(thinking, chat([user("Hi")], [assistant("The answer is 42.")]));
  assertEquals(ids, { prompt: asked, answer: "The answer is 42.<|im_end|>\n", unread: [] });
  assertEquals(findings, ["seamParted"]);
});

Deno.test("an answer that begins as the generation prompt goes on by chance is not cut within", () => {
  for (const content of ["<b>Bold</b>", "<", "Zed", "<think"]) {
    const { prompt, answer, findings } = read(thinking, chat([user("Hi")], [assistant(content)]));
    assertEquals([prompt, answer, findings], [asked, `${content}<|im_end|>\n`, ["seamParted"]], content);
  }
});

Deno.test("an answer that the template would shorten is read whole, after what the model is asked with", () => {
  const whole = {
    prompt: `${asked}<think>\n`,
    answer: "hm\n</think>\n\nParis.<|im_end|>\n",
    findings: ["answerAsGiven"],
  };
  // As a file has it, and as the gateway keeps what a model said after `<think>`.
  for (const content of ["<think>\nhm\n</think>\n\nParis.", "hm\n</think>\n\nParis."]) {
    const { prompt, answer, findings } = read(thinking, chat([user("Hi")], [assistant(content)]));
    assertEquals({ prompt, answer, findings }, whole);
  }
  const tokenizer = withTemplate(thinking),
    [row] = tokenizeRows([chat([user("Hi")], [assistant("a</think>b")])], tokenizer, {
      maxLength: 99,
    }).rows;
  assertEquals(row?.promptIds, tokenizer.encodeChat([user("Hi")], { addGenerationPrompt: true }));
});

Deno.test("control tokens' words in an answer that is read as given stay text", () => {
  const tokenizer = withTemplate(thinking), row = chat([user("Hi")], [assistant("a<|im_end|>b</think>c")]);
  const { completionIds } = idsOfRow(row, tokenizer);
  assertEquals(completionIds.filter((id) => tokenizer.eosTokenIds.includes(id)).length, 1);
  assertEquals(tokenizer.decode(completionIds), "a<|im_end|>b</think>c<|im_end|>\n");
});

/** As Mistral's: the system message stands in the last user's turn, where that is the last turn of all. */
const moving = `{% set s = messages[0].content if messages[0].role == 'system' %}{% for m in messages %}` +
  `{% if m.role == 'user' %}{{ '[INST]' + (s + '\\n\\n' if s and loop.last else '') + m.content + '[/INST]' }}` +
  `{% elif m.role == 'assistant' %}{{ ' ' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}`;

Deno.test("a prompt that is rendered otherwise once an answer follows is read as it is asked, with its system message", () => {
  const row = chat([system("Be kind."), user("Hi")], [assistant("Yes")]);
  const { prompt, answer, findings } = read(moving, row);
  assertEquals([prompt, answer], ["[INST]Be kind.\n\nHi[/INST]", " Yes<|im_end|>"]);
  assertEquals(findings, ["systemMerged", "promptAsAsked"]);
  const [alone] = [read(moving, chat([user("Hi")], [assistant("Yes")]))];
  assertEquals([alone!.prompt, alone!.answer, alone!.findings], ["[INST]Hi[/INST]", " Yes<|im_end|>", []]);
});

Deno.test("where such an answer has several messages the row is dropped and named, not cut in the question", () => {
  const tool = { role: "tool", content: "7" };
  const row = chat([system("Be kind."), user("Hi")], [assistant("Wait"), tool, assistant("Yes")]);
  const { rows, report } = tokenizeRows([row], withTemplate(moving), { maxLength: 99 });
  assertEquals([rows, report.seamLost], [[], [1]]);
});

Deno.test("words that a template begins an answer with are noted where nobody said them", () => {
  const opening = chatMl(
    "<|im_start|>assistant\\n",
    "('<think>\\n' + (message.thinking or '') + '</think>' if message.role == 'assistant' and '<think>' not in " +
      "message.content else '') + message.content",
  );
  const findingsOf = (message: Message) => read(opening, chat([user("Hi")], [message])).findings;
  assertEquals(findingsOf(assistant("Yes.")), ["answerOpened"]);
  assertEquals(findingsOf(assistant("<think>hm</think>Yes.")), []);
  assertEquals(findingsOf(assistant("Yes.", { thinking: "hm" })), []);
});

Deno.test("a token that reaches from the generation prompt into the answer is the answer's", async () => {
  const tokenizer = await openTokenizer(
    smallTokenizers.llama3,
    "{% for m in messages %}{{ 'x<' + m.content + '<|eot|>' }}{% endfor %}{% if add_generation_prompt %}x<{% endif %}",
  );
  const { promptIds, completionIds, findings } = idsOfRow(chat([user("a")], [assistant("|b")]), tokenizer);
  assertEquals([tokenizer.decode(promptIds).at(-1), findings], ["x", ["seamShared"]]);
  assertEquals(tokenizer.decode(completionIds).replaceAll(" ", ""), "<|b<|eot|>");
});

Deno.test("rows of one prompt have one key wherever their answers were cut off from it", () => {
  const answers = ["Yes.", "a</think>b"].map((content, index) => ({
    ...chat([user("Hi")], [assistant(content)]),
    index,
  }));
  const [one, two] = tokenizeRows(answers, withTemplate(thinking), { maxLength: 99 }).rows;
  assertNotEquals(one!.promptIds, two!.promptIds);
  assertStrictEquals(one!.promptKey, two!.promptKey);
});

const call = { tool_calls: [{ type: "function", function: { name: "w", arguments: { c: "x" } } }] };
const calling = plain.replace(
  "+ message.content",
  "+ message.content + (message.tool_calls | tojson if message.tool_calls else '')",
);

Deno.test("an answer of tool calls that the template leaves out is no answer, and one that also says something is named", () => {
  const tools = [{ type: "function", function: { name: "w" } }];
  const alone = read(plain, chat([user("Hi")], [assistant("", call)], { tools }));
  assertEquals([alone.answer, alone.findings, alone.unread], ["", ["answerLeftOut"], ["tool_calls", "tools"]]);
  const beside = read(plain, chat([user("Hi")], [assistant("Wait.", call)]));
  assertEquals([beside.answer, beside.findings, beside.unread], ["Wait.<|im_end|>\n", [], ["tool_calls"]]);
  const shown = read(calling, chat([user("Hi")], [assistant("", call)]));
  assertEquals([shown.findings, shown.unread], [[], []]);
  assertMatch(shown.answer, /"name": ?"w"/);
});

Deno.test("null and empty tool calls say nothing, so an answer of them is empty", () => {
  for (const tool_calls of [null, [], undefined]) {
    const row = chat([user("Hi")], [assistant("", { tool_calls, name: null })]);
    const { rows, report } = tokenizeRows([row], withTemplate(calling), { maxLength: 99 });
    assertEquals([rows, report.emptyCompletion, report.answerLeftOut], [[], [1], []]);
  }
});

Deno.test("of many keys of a turn each that the template does not read is named, and no other", () => {
  const keys = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]));
  assertEquals(read(plain, chat([user("Hi")], [assistant("Yes", keys)])).unread.length, 100);
  const { unread } = read(calling, chat([user("Hi")], [assistant("Yes", { ...call, id: 1, at: 2 })]));
  assertEquals(unread, ["id", "at"]);
});

Deno.test("template arguments count as read where they change what the model is asked with, and only there", () => {
  const template = chatMl("<|im_start|>assistant\\n") + "{{ '!' if add_generation_prompt and mood }}";
  const { unread } = read(
    template,
    chat([user("Hi")], [assistant("!Yes")], { templateArguments: { mood: 1, other: 2 } }),
  );
  assertEquals(unread, ["chat_template_kwargs.other"]);
});

Deno.test("a system message that is stripped or put into the user's turn is found, and one with a turn of its own is not", () => {
  const row = chat([system("Be kind."), user("Hi")], [assistant("Yes")]);
  const stripped = plain.replace("in messages", "in messages if message.role != 'system'");
  const merged = `{% set first = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' %}` +
    stripped.replace("+ message.content", "+ (first if message.role == 'user' else '') + message.content");
  assertEquals(read(plain, row).findings, []);
  assertEquals(read(stripped, row).findings, ["systemLeftOut"]);
  assertEquals(read(merged, row).findings, ["systemMerged"]);
  assertMatch(read(merged, row).prompt, /user\nBe kind\.\n\nHi/);
});

Deno.test("thoughts of earlier turns that the template leaves out are noted", () => {
  const prompt = [user("Hi"), assistant("<think>\nhm\n</think>\n\nParis."), user("Sure?")];
  const { findings } = read(thinking.replace("<think>\\\\n", ""), chat(prompt, [assistant("Yes")]));
  assert(findings.includes("turnShortened"));
});

Deno.test("an end token's words at an answer's end count once, in conversations and in text", () => {
  const { answer, findings } = read(plain, chat([user("Hi")], [assistant("Yes.<|im_end|>\n")]));
  assertEquals([answer, findings], ["Yes.<|im_end|>\n", ["endWordTaken"]]);
  const tokenizer = createChatTokenizer({ ...files, endIds: [0, 2] });
  const text = (completion: string) => idsOfRow({ ...chat([], []), prompt: "a", completion }, tokenizer).completionIds;
  assertEquals(text(" b<|endoftext|>"), tokenizer.encode(" b<|endoftext|>"));
  assertEquals(text(" b<|im_end|>\n"), tokenizer.encode(" b<|im_end|>\n"));
  assertEquals(text(" b"), tokenizer.encode(" b<|im_end|>"));
  assertEquals(text("<|im_end|>"), [], "an end token alone answers nothing");
});

/** A tokenizer that puts `<s>` before a text and, where asked, `</s>` after it. */
const framing = (ends: boolean) =>
  openTokenizer({
    ...smallTokenizers.llama,
    post_processor: {
      type: "TemplateProcessing",
      single: [
        { SpecialToken: { id: "<s>", type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
        ...(ends ? [{ SpecialToken: { id: "</s>", type_id: 0 } }] : []),
      ],
      pair: [],
      special_tokens: {
        "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
      },
    },
  });

Deno.test("a text has one beginning token and one end token, whoever writes them, and none between prompt and answer", async () => {
  for (const ends of [false, true]) {
    const tokenizer = await framing(ends);
    for (const prompt of ["he", "<s>he"]) {
      for (const completion of [" a", " a</s>"]) {
        const { promptIds, completionIds } = idsOfRow({ ...chat([], []), prompt, completion }, tokenizer);
        assertEquals([promptIds[0], promptIds.indexOf(1, 1), promptIds.indexOf(2)], [1, -1, -1]);
        assertEquals([completionIds.at(-1), completionIds.indexOf(2), completionIds.indexOf(1)], [
          2,
          completionIds.length - 1,
          -1,
        ]);
        // What a text is answered after is what was trained on.
        assertEquals(readPrompt(tokenizer, { source: "text", text: prompt }, 99), { ids: promptIds });
      }
    }
  }
});
