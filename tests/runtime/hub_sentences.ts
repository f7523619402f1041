// What tests of hub models share: a repository's least, and how a refusal has to read.

import assert from "node:assert/strict";
import { InputError } from "../../shared/errors.ts";

/** The files of a repository besides its weights. */
export const small = {
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json": "{}",
  "README.md": "",
  ".gitattributes": "",
};

/** For assert.rejects: bad input in one sentence on one line. */
export const asSentence = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InputError, `${error}`);
  assert.match(error.message, message);
  assert.match(error.message, /^[^\n]+\.$/);
  return true;
};
