// The prompts on which every candidate is looked at for degeneration. They never change with the data, so that one run
// compares with another. It knows no models.

import type { Message } from "../../shared/feedback/row.ts";

/** Short everyday questions that a small model can answer in a sentence, and a few that ask for more. */
const probeTexts = [
  "Hello!",
  "How are you today?",
  "What is 3 plus 4?",
  "What is the capital of France?",
  "What comes right after Tuesday?",
  "Which colour is a banana?",
  "What sound does a dog make?",
  "Is seven larger than five?",
  "Thank you!",
  "Name three animals.",
  "Why is the sky blue?",
  "Write two sentences about rain.",
  "How do I boil an egg?",
  "What can you help me with?",
  "Give me a short tip for sleeping better.",
  "Tell me a very short story about a cat.",
];

/** The probe prompts: a user's message for a chat model, else plain text. */
export function probePrompts(chat: boolean): (string | Message[])[] {
  return probeTexts.map((text) => chat ? [{ role: "user", content: text }] : text);
}
