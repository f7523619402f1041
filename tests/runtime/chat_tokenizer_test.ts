// The tokenizer answers as transformers does: ids, templates from either file, end tokens, open last messages.

import assert from "node:assert/strict";
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
    assert.equal(ids.at(-1), 2);
    assert.equal(tokenizer.decode(ids), text);
    assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), text.replace("<|im_end|>", ""));
    assert.deepEqual(tokenizer.encode(""), []);
    assert.equal(tokenizer.decode([]), "");
  },
);

sharedTest(FIXTURE, "conversations are rendered closed, with a generation prompt, and left open", (path) => {
  const tokenizer = loadChatTokenizer(openModelFolder(path));
  const closed = "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n Hello. <|im_end|>\n";
  assert.equal(tokenizer.render(CHAT), closed);
  assert.equal(tokenizer.render(CHAT, { addGenerationPrompt: true }), `${closed}<|im_start|>assistant\n`);
  assert.equal(tokenizer.render(CHAT, { continueFinal: true }), closed.replace(/<\|im_end\|>\n$/, ""));
  assert.equal(
    tokenizer.render([...CHAT.slice(0, 1), { role: "assistant", content: "" }], { continueFinal: true }),
    tokenizer.render(CHAT.slice(0, 1), { addGenerationPrompt: true }),
  );
  assert.deepEqual([tokenizer.eosToken, tokenizer.eosTokenId, tokenizer.eosTokenIds], ["<|im_end|>", 2, [2]]);
  assert.ok(tokenizer.hasChatTemplate);
});

sharedTest(
  FIXTURE,
  "chat_template.jinja is read, goes before the config's, and changes the content hash",
  async (path) => {
    const original = loadChatTokenizer(openModelFolder(path));
    const jinja = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}" +
      "{% if tools %}{{ tools | length }} tools{% endif %}{{ mood }}";
    const tokenizer = await changed(path, (folder) => writeFileSync(join(folder, "chat_template.jinja"), jinja));
    assert.equal(
      tokenizer.render(CHAT.slice(0, 1), { tools: [{}, {}], templateArguments: { mood: "!" } }),
      "[user] Hi there<|im_end|>\n2 tools!",
    );
    assert.notEqual(tokenizer.contentHash, original.contentHash);
    assert.match(original.contentHash, /^[0-9a-f]{64}$/);
    const again = await changed(path, () => {});
    assert.equal(again.contentHash, original.contentHash);
  },
);

sharedTest(FIXTURE, "named templates: the default one, and tool_use where tools are given", async (path) => {
  const tokenizer = await changed(path, (folder) =>
    editJson(join(folder, "tokenizer_config.json"), (config) => {
      config["chat_template"] = [{ name: "tool_use", template: "tools" }, { name: "default", template: "plain" }];
    }));
  assert.equal(tokenizer.render(CHAT), "plain");
  assert.equal(tokenizer.render(CHAT, { tools: [{}] }), "tools");
});

sharedTest(
  FIXTURE,
  "without a template conversations are refused in words, and so is what a template refuses",
  async (path) => {
    const without = await changed(
      path,
      (folder) => editJson(join(folder, "tokenizer_config.json"), (c) => delete c["chat_template"]),
    );
    assert.equal(without.hasChatTemplate, false);
    assert.throws(() => without.render(CHAT), (e) => e instanceof InputError && /has no chat template/.test(e.message));
    const refusing = await changed(
      path,
      (folder) => writeFileSync(join(folder, "chat_template.jinja"), "{{ raise_exception('roles must alternate') }}"),
    );
    assert.throws(
      () => refusing.render(CHAT),
      (e) => e instanceof InputError && /roles must alternate/.test(e.message),
    );
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
  assert.deepEqual([fromMap.eosToken, fromMap.eosTokenId], ["<|im_end|>", 2]);
  assert.deepEqual([fromId.eosToken, fromId.eosTokenId], ["<|im_end|>", 2]);
  assert.deepEqual(several.eosTokenIds, [2, 0]);
});

sharedTest(FIXTURE, "a tokenizer.json that is broken is an InputError that names it", async (path) => {
  await assert.rejects(
    changed(path, (folder) => writeFileSync(join(folder, "tokenizer.json"), "{}")),
    (error) => error instanceof InputError && /tokenizer\.json cannot be loaded/.test(error.message),
  );
});

sharedTest(
  "models/SmolLM2-135M-Instruct",
  "SmolLM2 adds its system prompt and ends an answer with the end token and a newline",
  (path) => {
    const tokenizer = loadChatTokenizer(openModelFolder(path));
    const text = tokenizer.render(CHAT);
    assert.ok(text.startsWith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"));
    const ids = tokenizer.encode(text);
    assert.deepEqual(tokenizer.decode(ids.slice(-2)), "<|im_end|>\n");
    assert.equal(tokenizer.decode(ids), text);
  },
);
