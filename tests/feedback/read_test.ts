// Every format becomes the rows it means, and every unusable file is refused in one sentence that names the place.

import { assert, assertEquals, assertMatch, assertNotMatch, assertRejects } from "@std/assert";
import { basename } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { SHARED, sharedTest, withFile } from "./shared_files.ts";

const user = (content: string) => ({ role: "user", content });
const system = (content: string) => ({ role: "system", content });
const assistant = (content: string) => ({ role: "assistant", content });
const bare = ({ prompt, completion, label }: FeedbackRow) => ({ prompt, completion, label });

async function rowsOf(records: unknown[], asArray = false): Promise<FeedbackRow[]> {
  let rows: FeedbackRow[] = [];
  const text = asArray ? JSON.stringify(records, null, 2) : records.map((r) => JSON.stringify(r)).join("\n");
  await withFile(text, async (path) => {
    rows = (await readFeedback(path)).rows;
  });
  return rows;
}

async function refusal(content: string | Uint8Array<ArrayBuffer>, suffix?: string): Promise<string> {
  let message = "";
  await withFile(content, async (path) => {
    const error = await assertRejects(() => readFeedback(path), InputError);
    message = error.message.replaceAll(path, "FILE");
    assertNotMatch(message, /\n/);
  }, suffix);
  return message;
}

/** Each format with the rows it means. */
const FORMATS: [string, unknown, ReturnType<typeof bare>[]][] = [
  ["TRL unpaired text", { prompt: "a", completion: " b", label: true }, [{
    prompt: "a",
    completion: " b",
    label: true,
  }]],
  ["TRL unpaired messages", { prompt: [user("a")], completion: [assistant("b")], label: false }, [
    { prompt: [user("a")], completion: [assistant("b")], label: false },
  ]],
  ["a single message object", { prompt: user("a"), completion: assistant("b"), label: 1 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["text prompt with a message completion", { prompt: "a", completion: [assistant("b")], label: 1 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["content in text parts", {
    prompt: [{ role: "user", content: [{ type: "text", text: "a" }] }],
    completion: "b",
    label: 1,
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["TRL pair", { prompt: "a", chosen: "b", rejected: "c" }, [
    { prompt: "a", completion: "b", label: true },
    { prompt: "a", completion: "c", label: false },
  ]],
  ["pair of whole conversations beside a prompt", {
    prompt: "a",
    chosen: [user("a"), assistant("b")],
    rejected: [user("a"), assistant("c")],
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
    { prompt: [user("a")], completion: [assistant("c")], label: false },
  ]],
  ["pair with its prompt inside", {
    chosen: [user("a"), assistant("b"), user("c"), assistant("d")],
    rejected: [user("a"), assistant("b"), user("c"), assistant("e")],
  }, [
    { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("d")], label: true },
    { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("e")], label: false },
  ]],
  ["pair of equal conversations", { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("b")] }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
    { prompt: [user("a")], completion: [assistant("b")], label: false },
  ]],
  ["pair of texts with a common beginning", { chosen: "The sky is blue.", rejected: "The sky is green." }, [
    { prompt: "The sky is", completion: " blue.", label: true },
    { prompt: "The sky is", completion: " green.", label: false },
  ]],
  ["messages with one label", { messages: [user("a"), assistant("b"), user("c"), assistant("d")], label: false }, [
    { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("d")], label: false },
  ]],
  ["ShareGPT with a label", {
    system: "s",
    conversations: [{ from: "human", value: "a" }, { from: "gpt", value: "b" }],
    kto_tag: "true",
  }, [{ prompt: [{ role: "system", content: "s" }, user("a")], completion: [assistant("b")], label: true }]],
  ["ShareGPT pair", {
    conversations: [{ from: "human", value: "a" }],
    chosen: { from: "gpt", value: "b" },
    rejected: { from: "gpt", value: "c" },
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
    { prompt: [user("a")], completion: [assistant("c")], label: false },
  ]],
  ["instruction pair", { instruction: "i", input: "x", output: "o", chosen: "b", rejected: "c" }, [
    { prompt: [user("i\n\nx")], completion: [assistant("b")], label: true },
    { prompt: [user("i\n\nx")], completion: [assistant("c")], label: false },
  ]],
  ["instruction with a label", { instruction: "i", input: "", output: "o", label: "bad" }, [
    { prompt: [user("i")], completion: [assistant("o")], label: false },
  ]],
  ["a thumb per turn", {
    messages: [
      user("a"),
      { ...assistant("b"), label: true },
      user("c"),
      assistant("d"),
      user("e"),
      { ...assistant("f"), thumb: "👎" },
    ],
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
    {
      prompt: [user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
      completion: [assistant("f")],
      label: false,
    },
  ]],
  ["system beside a text prompt", { system: "s", prompt: "a", completion: "b", label: 1 }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
  ]],
  ["system beside a pair of messages", { system_prompt: "s", prompt: [user("a")], chosen: "b", rejected: "c" }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
    { prompt: [system("s"), user("a")], completion: [assistant("c")], label: false },
  ]],
  ["system that the conversation has, too", {
    system: "s",
    messages: [system("s"), user("a"), assistant("b")],
    label: 0,
  }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: false },
  ]],
  ["Orca's pair", { system: "s", question: "a", chosen: "b", rejected: "c" }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
    { prompt: [system("s"), user("a")], completion: [assistant("c")], label: false },
  ]],
  ["a question with a label", { question: "a", completion: "b", label: 1 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["HALOs' binary feedback", { type: "binary_feedback", prompt: [user("a")], output: [assistant("b")], label: 0 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: false },
  ]],
  ["history in pairs of texts", {
    system: "s",
    instruction: "i",
    history: [["q", "r"]],
    output: "o",
    kto_tag: true,
  }, [
    { prompt: [system("s"), user("q"), assistant("r"), user("i")], completion: [assistant("o")], label: true },
  ]],
  ["history in messages beside a text prompt", {
    prompt: "a",
    history: [user("q"), assistant("r")],
    completion: "b",
    label: 1,
  }, [
    { prompt: [user("q"), assistant("r"), user("a")], completion: [assistant("b")], label: true },
  ]],
  ["messages that a completion answers", { messages: [user("a")], completion: "b", label: 1 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["a system message in the prompt of answers that bring their turns", {
    prompt: [system("s")],
    chosen: [user("a"), assistant("b")],
    rejected: [user("a"), assistant("c")],
  }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
    { prompt: [system("s"), user("a")], completion: [assistant("c")], label: false },
  ]],
  ["a prompt that answers repeat without its system message", {
    prompt: [system("s"), user("a")],
    chosen: [user("a"), assistant("b")],
    rejected: [assistant("c")],
  }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
    { prompt: [system("s"), user("a")], completion: [assistant("c")], label: false },
  ]],
  ["a completion that repeats its prompt", { prompt: "a", completion: [user("a"), assistant("b")], label: 1 }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["answers that go on from the prompt's turns", {
    prompt: [user("a"), assistant("b")],
    chosen: [user("c"), assistant("d")],
    rejected: [user("c"), assistant("e")],
  }, [
    { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("d")], label: true },
    { prompt: [user("a"), assistant("b"), user("c")], completion: [assistant("e")], label: false },
  ]],
  ["UltraFeedback, with what its other columns repeat", {
    prompt: "a",
    prompt_id: "1",
    chosen: [user("a"), assistant("b")],
    rejected: [user("a"), assistant("c")],
    messages: [user("a"), assistant("b")],
    score_chosen: 7,
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
    { prompt: [user("a")], completion: [assistant("c")], label: false },
  ]],
  ["a role that OpenAI calls developer", {
    messages: [{ role: "developer", content: "s" }, user("a"), assistant("b")],
    label: 1,
  }, [
    { prompt: [system("s"), user("a")], completion: [assistant("b")], label: true },
  ]],
  ["keys of turns that say nothing", {
    prompt: [{ ...user("a"), name: null, tool_calls: [] }],
    completion: [{ ...assistant("b"), tool_calls: null }],
    label: 1,
  }, [
    { prompt: [user("a")], completion: [assistant("b")], label: true },
  ]],
  ["a pair of texts of which one begins the other", {
    chosen: "The sky is blue",
    rejected: "The sky is blue and vast",
  }, [
    { prompt: "The sky is", completion: " blue", label: true },
    { prompt: "The sky is", completion: " blue and vast", label: false },
  ]],
  ["a pair of texts that part within a word", { chosen: "I say: I do not.", rejected: "I say: I don't." }, [
    { prompt: "I say: I", completion: " do not.", label: true },
    { prompt: "I say: I", completion: " don't.", label: false },
  ]],
  ["a pair of texts that part within a character", { chosen: "hi 😀 yes", rejected: "hi 😁 no" }, [
    { prompt: "hi", completion: " 😀 yes", label: true },
    { prompt: "hi", completion: " 😁 no", label: false },
  ]],
  ["a pair of texts with turns", {
    chosen: "\n\nHuman: Hi\n\nAssistant: I do not know.",
    rejected: "\n\nHuman: Hi\n\nAssistant: I don't know.",
  }, [
    { prompt: "\n\nHuman: Hi\n\nAssistant:", completion: " I do not know.", label: true },
    { prompt: "\n\nHuman: Hi\n\nAssistant:", completion: " I don't know.", label: false },
  ]],
  ["a pair of texts with turns, of which one begins the other", {
    chosen: "\n\nHuman: 2+2?\n\nAssistant: 4",
    rejected: "\n\nHuman: 2+2?\n\nAssistant: 42",
  }, [
    { prompt: "\n\nHuman: 2+2?\n\nAssistant:", completion: " 4", label: true },
    { prompt: "\n\nHuman: 2+2?\n\nAssistant:", completion: " 42", label: false },
  ]],
];

for (const [name, record, expected] of FORMATS) {
  Deno.test(`${name} is read as the rows it means, from lines and from an array`, async () => {
    for (const asArray of [false, true]) assertEquals((await rowsOf([record], asArray)).map(bare), expected);
  });
}

Deno.test("index counts all rows and line says where they stood, also past dropped rows and blank lines", async () => {
  await withFile(
    '{"prompt":"a","chosen":"b","rejected":""}\n\n{"prompt":"c","completion":"d","label":"up"}',
    async (path) => {
      const file = await readFeedback(path);
      assertEquals(file.rows.map(({ index, line }) => [index, line]), [[0, 1], [2, 3]]);
      assertEquals(file.emptyCompletions, [1]);
      assertEquals([file.desirable, file.undesirable], [2, 0]);
      assertEquals(file.summary.length, 2);
      assertMatch(file.summary[1] as string, /1 dropped: the completion is empty \(.*:1\)/);
    },
  );
});

Deno.test("tools and chat_template_kwargs reach the row, also as JSON text", async () => {
  const tool = { type: "function", function: { name: "f" } };
  const [row] = await rowsOf([{
    prompt: [user("a")],
    completion: [assistant("b")],
    label: 1,
    tools: JSON.stringify([tool]),
    chat_template_kwargs: { enable_thinking: false },
  }]);
  assertEquals(row?.tools, [tool]);
  assertEquals(row?.templateArguments, { enable_thinking: false });
});

Deno.test("every way to write a thumb is understood", async () => {
  const up = [
    true,
    1,
    "1",
    "true",
    "True",
    "desirable",
    "👍",
    "👍🏽",
    "up",
    "thumbs_up",
    "thumbs-up",
    ":thumbsup:",
    "good",
    "+1",
  ];
  const down = [false, 0, "0", "false", "undesirable", "👎", "👎🏿", "down", "thumbs_down", "bad", "Rejected"];
  const labels = async (values: unknown[]) =>
    (await rowsOf(values.map((label, i) => ({ prompt: `p${i}`, completion: "c", label })))).map((row) => row.label);
  assertEquals(await labels(up.filter((x) => x !== ":thumbsup:")), up.slice(1).map(() => true));
  assertEquals(await labels(down), down.map(() => false));
  assertEquals(await labels([1, -1, "-1"]), [true, false, false]);
});

Deno.test("a byte order mark, CRLF and a missing last newline do not matter", async () => {
  await withFile(
    '\uFEFF{"prompt":"a","completion":"b","label":true}\r\n{"prompt":"c","completion":"d\u2028","label":false}',
    async (path) => {
      const { rows } = await readFeedback(path);
      assertEquals(rows.map((row) => row.completion), ["b", "d\u2028"]);
    },
  );
  await withFile('\uFEFF\r\n [{"prompt":"a","completion":"b","label":true}]', async (path) => {
    assertEquals((await readFeedback(path)).rows.length, 1);
  });
});

Deno.test("a line that crosses read blocks is put together again", async () => {
  const long = "é".repeat(900_000);
  const rows = await rowsOf([1, 2, 3].map((n) => ({ prompt: `${n}`, completion: long, label: n > 1 })));
  assertEquals(rows.map((row) => [row.prompt, row.completion === long, row.line]), [
    ["1", true, 1],
    ["2", true, 2],
    ["3", true, 3],
  ]);
});

/** Records that would become something else, and what is said of them. */
const REFUSED_RECORDS: [string, object, RegExp][] = [
  ["a question beside another prompt", { prompt: "a", question: "q", completion: "b", label: 1 }, /question says what/],
  ["input beside a prompt", { prompt: "a", input: "x", completion: "b", label: 1 }, /input says what/],
  ["turns that no row has", { prompt: "a", messages: [user("x")], completion: "b", label: 1 }, /messages says what/],
  ["pictures", { prompt: "a", images: ["x.png"], completion: "b", label: 1 }, /images says what/],
  [
    "a system message beside another",
    { system: "s", messages: [system("t"), user("a"), assistant("b")], label: 1 },
    /system is not the system message/,
  ],
  ["a system message beside texts without a prompt", { system: "s", chosen: "a b", rejected: "a c" }, /system stands/],
  [
    "a prompt that is not how the answers begin",
    { prompt: "x", chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] },
    /not how the prompt begins/,
  ],
  [
    "two system messages in one row",
    { prompt: [system("s"), user("a")], completion: [system("t"), user("a"), assistant("b")], label: 1 },
    /one system message/,
  ],
  [
    "an answer of turns of the user",
    { prompt: "a", completion: [assistant("b"), user("c")], label: 1 },
    /goes on with/,
  ],
  [
    "a pair that goes on after an equal answer",
    { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("b"), user("c")] },
    /rejected has a turn of the user/,
  ],
  ["faces of other colours", { chosen: "👍🏽 ok", rejected: "👍🏿 ok" }, /no common beginning/],
  [
    "texts that part in the question",
    { chosen: "\n\nHuman: Hi\n\nAssistant: a", rejected: "\n\nHuman: Ho\n\nAssistant: a" },
    /part in what was asked/,
  ],
  [
    "texts that part before their last question",
    { chosen: "\n\nHuman: H\n\nAssistant: a\n\nHuman: I\n\nAssistant: b", rejected: "\n\nHuman: H\n\nAssistant: c" },
    /part in what was asked/,
  ],
];

for (const [name, record, why] of REFUSED_RECORDS) {
  Deno.test(`${name}: the record is left out, counted and named, and a file of such records is refused`, async () => {
    assertMatch(await refusal(JSON.stringify(record)), new RegExp(`^FILE:1: .*${why.source}`));
    await withFile([GOOD.trim(), JSON.stringify(record), GOOD.trim()].join("\n"), async (path) => {
      const { rows, refused, warnings } = await readFeedback(path);
      assertEquals(rows.map(({ line, index }) => [line, index]), [[1, 0], [3, "chosen" in record ? 3 : 2]]);
      assertEquals(Object.values(refused), [[2]]);
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, new RegExp(`^1 record left out: .*${why.source}.*:2\\)\\.$`));
    });
  });
}

Deno.test("fields that no row uses are named with their number, and those that are kept or repeated are not", async () => {
  const records = [
    { prompt: "a", completion: "b", label: true, id: "1", tags: ["x"], score: 3, note: "" },
    { prompt: "a b", question: "b", completion: "c", label: true, kto_tag: false, score: 4 },
    { messages: [user("a"), assistant("b"), user("c")], label: 0, id: "2" },
    { instruction: "i", output: "o", chosen: "b", rejected: "c", label: true },
    { messages: [{ ...user("a"), label: 1 }, { ...assistant("b"), label: 1 }] },
  ];
  await withFile(records.map((record) => JSON.stringify(record)).join("\n"), async (path) => {
    const { unused, summary } = await readFeedback(path);
    assertEquals(unused, {
      score: 2,
      kto_tag: 1,
      "turns after the judged answer": 1,
      output: 1,
      label: 1,
      "a label on a turn that is no answer": 1,
    });
    assertMatch(summary.join("\n"), /^Not used: score \(2 records\), kto_tag \(1 record\), turns after/m);
  });
});

Deno.test("of a file with other fields in every record the first ones are named, and the rest counted together", async () => {
  const records = Array.from(
    { length: 60 },
    (_, i) => ({ prompt: "a", completion: `${i}`, label: 1, [`f${i}`]: i + 1 }),
  );
  await withFile(records.map((record) => JSON.stringify(record)).join("\n"), async (path) => {
    const { unused } = await readFeedback(path);
    assertEquals([Object.keys(unused).length, unused["f39"], unused["other fields"]], [41, 1, 20]);
  });
});

const GOOD = '{"prompt":"a","completion":"b","label":true}\n';

/** Unusable content and what the sentence must say. */
const REFUSALS: [string, string, RegExp][] = [
  ["not JSON at line 3", GOOD + GOOD + "{oops\n", /^FILE:3: not JSON/],
  ["a row without a label", GOOD + '{"prompt":"a","completion":"b"}\n', /^FILE:2: the row has no label/],
  ["a label of null", GOOD + '{"prompt":"a","completion":"b","label":null}\n', /^FILE:2: the row has no label/],
  ["an unknown label", GOOD + '{"prompt":"a","completion":"b","label":"maybe"}\n', /^FILE:2: label is "maybe"/],
  ["a label of 3", '{"prompt":"a","completion":"b","label":3}\n', /^FILE:1: label is 3/],
  ["a label in a list", '{"prompt":"a","completion":"b","label":[true]}\n', /^FILE:1: label is \[true\]/],
  [
    "0 beside -1",
    [1, 0, -1].map((label) => JSON.stringify({ prompt: "a", completion: "b", label })).join("\n"),
    /FILE:3.*0 \(FILE:2\) and -1/,
  ],
  ["an empty file", "", /^FILE is empty/],
  ["a file of blank lines", "\n \r\n", /^FILE is empty/],
  ["an empty array", "[]", /^FILE is empty/],
  [
    "a broken array",
    '[\n{"prompt":"a","completion":"]","label":1},\n\n {"prompt":"a",\n"completion":}]',
    /^FILE:4: element 2: not JSON/,
  ],
  [
    "an array that never ends",
    '[\n{"prompt":"a","completion":"b","label":1},\n{"prompt":"a',
    /^FILE:3: element 2: not JSON/,
  ],
  ["text after an array", '[{"prompt":"a","completion":"b","label":1}]\n{}', /^FILE:2: element 2: not JSON/],
  ["an array element without a label", '[{"prompt":"a","completion":"b"}]', /^FILE: element 1: the row has no label/],
  ["a line that is no object", GOOD + "42\n", /^FILE:2: expected a JSON object/],
  ["unknown fields", '{"question":"a","answer":"b"}\n', /^FILE:1: fields question, answer are no feedback format/],
  [
    "content that is a number",
    '{"prompt":"a","completion":[{"role":"assistant","content":3}],"label":1}',
    /^FILE:1: field completion\[0\]\.content: /,
  ],
  [
    "a message without a role",
    '{"prompt":[{"content":"a"}],"completion":"b","label":1}',
    /^FILE:1: field prompt\[0\]\.role: /,
  ],
  [
    "an image",
    '{"prompt":[{"role":"user","content":[{"type":"image"}]}],"completion":"b","label":1}',
    /^FILE:1: field prompt\[0\]\.content: expected text/,
  ],
  ["an empty list of messages", '{"prompt":[],"completion":"b","label":1}', /^FILE:1: field prompt: /],
  [
    "a conversation that nobody answered",
    '{"messages":[{"role":"user","content":"a"}],"label":1}',
    /^FILE:1: .*no assistant turn/,
  ],
  ["a labelled user turn", '{"messages":[{"role":"user","content":"a","label":1}]}', /^FILE:1: only assistant turns/],
  [
    "a bad thumb on a turn",
    '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","thumb":"?"}]}',
    /^FILE:1: turn 2's thumb is "\?"/,
  ],
  ["a pair without a common beginning", '{"chosen":"a","rejected":"b"}', /^FILE:1: .*no common beginning/],
  [
    "only empty completions",
    '{"prompt":"a","completion":" ","label":true}',
    /^FILE has no row with anything in its completion/,
  ],
];

for (const [name, content, message] of REFUSALS) {
  Deno.test(`${name} is refused with the place and the reason`, async () => {
    assertMatch(await refusal(content), message);
  });
}

Deno.test("a missing file, a folder, other encodings and giant lines are refused", async () => {
  await assertRejects(() => readFeedback("/tmp/none.jsonl"), InputError, "There is no file /tmp/none.jsonl");
  const folder = await Deno.makeTempDir();
  await assertRejects(() => readFeedback(folder), Error, "is a folder");
  await Deno.remove(folder);
  assertMatch(await refusal(new Uint8Array([0x7b, 0xff, 0xfe, 0x0a])), /FILE:1: not UTF-8/);
  assertMatch(await refusal(`${GOOD}{"prompt":"${"x".repeat(17 << 20)}"}`), /FILE:2: the line is longer than 16 MB/);
});

sharedTest("data", "the public feedback files are read whole", async () => {
  const read = async (path: string) => {
    const { rows, desirable, formats } = await readFeedback(`${SHARED}/data/${path}`);
    return { rows: rows.length, desirable, formats: Object.keys(formats), first: rows[0] as FeedbackRow };
  };
  const kto = await read("llamafactory-demo/kto_en_demo.json");
  assertEquals([kto.rows, kto.formats], [300, ["messages + label"]]);
  const dpo = await read("llamafactory-demo/dpo_en_demo.json");
  assertEquals([dpo.rows, dpo.desirable, dpo.formats], [600, 300, ["conversations + chosen + rejected"]]);
  const rasbt = await read("rasbt-preference/instruction-data-with-preference.json");
  assertEquals([rasbt.rows, rasbt.desirable], [2200, 1100]);
  assertEquals((await read("gsm8k-solutions/feedback.jsonl")).rows, 5276);
  const train = await read("rasbt-preference/train.jsonl");
  assertEquals(train.rows, 400);
});

sharedTest(
  "data/rasbt-preference",
  "instruction pairs give the same rows as their published unpaired form",
  async (path) => {
    const key = ({ prompt, completion, label }: FeedbackRow) => JSON.stringify([prompt, completion, label]);
    const pairs = new Set((await readFeedback(`${path}/instruction-data-with-preference.json`)).rows.map(key));
    for (const name of ["train.jsonl", "held_out.jsonl"]) {
      for (const row of (await readFeedback(`${path}/${name}`)).rows) {
        assert(pairs.has(key(row)), `${basename(path)}/${name}:${row.line}`);
      }
    }
  },
);
