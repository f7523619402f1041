// The tokenizer answers as transformers does: ids, templates from either file, end tokens, open last messages.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { type ChatTokenizer, loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { sharedTest } from "../feedback/shared_files.ts";

const FIXTURE = "fixtures/llama-genai";
const CHAT = [{ role: "user", content: "Hi there" }, { role: "assistant", content: " Hello. " }];

/** Loads the fixture's tokenizer after changing a copy of its small files. */
async function changed(fixture: string, change: (folder: string) => void): Promise<ChatTokenizer> {
  const folder = await Deno.makeTempDir();
  try {
    for (
      const file of [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "special_tokens_map.json",
      ]
    ) {
      cpSync(join(fixture, file), join(folder, file));
    }
    change(folder);
    return loadChatTokenizer(openModelFolder(folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function editJson(path: string, edit: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(readFileSync(path, "utf8"));
  edit(value);
  writeFileSync(path, JSON.stringify(value));
}

sharedTest(
  FIXTURE,
  "text survives encoding and decoding, special tokens are recognised and can be skipped",
  (path) => {
    const tokenizer = loadChatTokenizer(openModelFolder(path));
    const text = "Return  a list , don't you?\n\tπ 漢字 <|im_end|>";
    const ids = tokenizer.encode(text);
    assertEquals(ids.at(-1), 2);
    assertStrictEquals(tokenizer.decode(ids), text);
    assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), text.replace("<|im_end|>", ""));
    assertEquals(tokenizer.encode(""), []);
    assertEquals(tokenizer.decode([]), "");
  },
);

sharedTest(FIXTURE, "conversations are rendered closed, with a generation prompt, and left open", (path) => {
  const tokenizer = loadChatTokenizer(openModelFolder(path));
  const closed = "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n Hello. <|im_end|>\n";
  assertStrictEquals(tokenizer.render(CHAT), closed);
  assertEquals(tokenizer.render(CHAT, { addGenerationPrompt: true }), `${closed}<|im_start|>assistant\n`);
  assertEquals(tokenizer.render(CHAT, { continueFinal: true }), closed.replace(/<\|im_end\|>\n$/, ""));
  assertStrictEquals(
    tokenizer.render([...CHAT.slice(0, 1), { role: "assistant", content: "" }], { continueFinal: true }),
    tokenizer.render(CHAT.slice(0, 1), { addGenerationPrompt: true }),
  );
  assertEquals([tokenizer.eosToken, tokenizer.eosTokenId, tokenizer.eosTokenIds], ["<|im_end|>", 2, [2]]);
  assert(tokenizer.hasChatTemplate);
});

sharedTest(
  FIXTURE,
  "chat_template.jinja is read, goes before the config's, and changes the content hash",
  async (path) => {
    const original = loadChatTokenizer(openModelFolder(path));
    const jinja = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}" +
      "{% if tools %}{{ tools | length }} tools{% endif %}{{ mood }}";
    const tokenizer = await changed(path, (folder) => writeFileSync(join(folder, "chat_template.jinja"), jinja));
    assertEquals(
      tokenizer.render(CHAT.slice(0, 1), { tools: [{}, {}], templateArguments: { mood: "!" } }),
      "[user] Hi there<|im_end|>\n2 tools!",
    );
    assertNotStrictEquals(tokenizer.contentHash, original.contentHash);
    assertMatch(original.contentHash, /^[0-9a-f]{64}$/);
    const again = await changed(path, () => {});
    assertStrictEquals(again.contentHash, original.contentHash);
  },
);

sharedTest(FIXTURE, "named templates: the default one, and tool_use where tools are given", async (path) => {
  const tokenizer = await changed(path, (folder) =>
    editJson(join(folder, "tokenizer_config.json"), (config) => {
      config["chat_template"] = [{ name: "tool_use", template: "tools" }, { name: "default", template: "plain" }];
    }));
  assertEquals(tokenizer.render(CHAT), "plain");
  assertEquals(tokenizer.render(CHAT, { tools: [{}] }), "tools");
});

sharedTest(
  FIXTURE,
  "without a template conversations are refused in words, and so is what a template refuses",
  async (path) => {
    const without = await changed(
      path,
      (folder) => editJson(join(folder, "tokenizer_config.json"), (c) => delete c["chat_template"]),
    );
    assertEquals(without.hasChatTemplate, false);
    assertMatch(assertThrows(() => without.render(CHAT), InputError).message, /has no chat template/);
    const refusing = await changed(
      path,
      (folder) => writeFileSync(join(folder, "chat_template.jinja"), "{{ raise_exception('roles must alternate') }}"),
    );
    assertMatch(assertThrows(() => refusing.render(CHAT), InputError).message, /roles must alternate/);
  },
);

sharedTest(FIXTURE, "the end token is found wherever a repository keeps it", async (path) => {
  const noConfigToken = (folder: string) =>
    editJson(join(folder, "tokenizer_config.json"), (c) => delete c["eos_token"]);
  const fromMap = await changed(path, (folder) => {
    noConfigToken(folder);
    writeFileSync(join(folder, "special_tokens_map.json"), '{"eos_token":{"content":"<|im_end|>"}}');
  });
  const fromId = await changed(path, (folder) => {
    rmSync(join(folder, "tokenizer_config.json"));
    rmSync(join(folder, "special_tokens_map.json"));
  });
  const several = await changed(
    path,
    (folder) => editJson(join(folder, "generation_config.json"), (c) => c["eos_token_id"] = [0, 2]),
  );
  assertEquals([fromMap.eosToken, fromMap.eosTokenId], ["<|im_end|>", 2]);
  assertEquals([fromId.eosToken, fromId.eosTokenId], ["<|im_end|>", 2]);
  assertEquals(several.eosTokenIds, [2, 0]);
});

sharedTest(FIXTURE, "a tokenizer.json that is broken is an InputError that names it", async (path) => {
  assertMatch(
    (await assertRejects(
      () => changed(path, (folder) => writeFileSync(join(folder, "tokenizer.json"), "{}")),
      InputError,
    )).message,
    /tokenizer\.json cannot be loaded/,
  );
});

sharedTest(
  "models/SmolLM2-135M-Instruct",
  "SmolLM2 adds its system prompt and ends an answer with the end token and a newline",
  (path) => {
    const tokenizer = loadChatTokenizer(openModelFolder(path));
    const text = tokenizer.render(CHAT);
    assert(text.startsWith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"));
    const ids = tokenizer.encode(text);
    assertEquals(tokenizer.decode(ids.slice(-2)), "<|im_end|>\n");
    assertStrictEquals(tokenizer.decode(ids), text);
  },
);
