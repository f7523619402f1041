// What a row may become on its way into tokens, by name. tokenize.ts has a sentence for each.

/** What may become of a row, beside being read as it is. */
export type Finding =
  /** Text: the prompt's ids are not how the joint ids begin, so that the answer loses or doubles a token, as in TRL. */
  | "seamMismatch"
  /** A token reaches from the generation prompt into the answer; it is the answer's. */
  | "seamShared"
  /** The generation prompt goes on otherwise than the template opens a turn that was said. */
  | "seamParted"
  /** The template renders the prompt otherwise once an answer follows; it is read as it is asked. */
  | "promptAsAsked"
  /** The same, of an answer of several messages, which nobody could cut off. */
  | "seamLost"
  /** The answer is in fields that the template does not read, and nothing else was said. */
  | "answerLeftOut"
  /** The template leaves out a part of the answer's text, which is therefore read as a model gives it. */
  | "answerAsGiven"
  /** The same, of several messages, of which only what the template leaves is read. */
  | "answerShortened"
  /** The template begins the answer with words that nobody said. */
  | "answerOpened"
  | "systemLeftOut"
  /** The system message has no turn of its own. */
  | "systemMerged"
  /** Of another earlier turn the template leaves out some or all. */
  | "turnShortened"
  /** The answer ended in an end token's words, which the template writes itself. */
  | "endWordTaken";
