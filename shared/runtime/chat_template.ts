// Conversations to text, by the Jinja template that a model's folder has. It knows no tokens beyond the words that
// templates write for them.

import { InputError } from "../errors.ts";
import type { Message } from "../feedback/row.ts";
import { BoundedTemplate } from "./bounded_template.ts";

/** How a conversation is rendered. */
export interface RenderOptions {
  /** End with the words that open an assistant's turn. Default false. */
  addGenerationPrompt?: boolean;
  tools?: unknown[];
  /** Leave the last message open, so that the model goes on with it (transformers' `continue_final_message`). */
  continueFinal?: boolean;
  /** Further variables for the template, e.g. `enable_thinking`. */
  templateArguments?: Record<string, unknown>;
}

/** A template's source, or several under their names. */
export type TemplateSource = string | { name: string; template: string }[];

/** What a source is as one text. */
export function templateText(source: TemplateSource): string {
  return typeof source === "string" ? source : JSON.stringify(source);
}

/** Renders conversations of one model. */
export class ChatTemplate {
  /** Compiled templates by their source. */
  #compiled = new Map<string, BoundedTemplate>();

  /**
   * @param model The model's name, for what is refused.
   * @param words The control tokens that templates know by name, e.g. `bos_token`.
   */
  constructor(
    readonly source: TemplateSource | undefined,
    readonly model: string,
    readonly words: Readonly<Record<string, string>>,
  ) {}

  /** The conversation as the model reads it. @throws InputError without a template, or where the template refuses */
  render(messages: Message[], options: RenderOptions = {}): string {
    let { addGenerationPrompt = false, continueFinal = false } = options;
    const { tools, templateArguments = {} } = options;
    const chosen = this.source === undefined ? undefined : pick(this.source, tools);
    if (chosen === undefined) {
      throw new InputError(
        `${this.model} has no chat template (neither chat_template.jinja nor chat_template in tokenizer_config.json): ` +
          `it cannot read conversations, use plain text prompts or an instruct model.`,
      );
    }
    if (continueFinal && messages.at(-1)?.content === "") {
      // Nothing to leave open yet: the turn has only been opened.
      messages = messages.slice(0, -1);
      addGenerationPrompt = true;
      continueFinal = false;
    }
    let text: string;
    try {
      text = this.#compile(chosen).render({
        documents: null,
        ...this.words,
        ...templateArguments,
        messages,
        tools: tools ?? null,
        add_generation_prompt: addGenerationPrompt && !continueFinal,
      });
    } catch (error) {
      // Templates refuse by raise_exception (roles that do not alternate, a system message …): the input's fault.
      throw new InputError(`The chat template of ${this.model} refuses this conversation: ${(error as Error).message}`);
    }
    return continueFinal ? leaveOpen(text, messages) : text;
  }

  #compile(source: string): BoundedTemplate {
    const compiled = this.#compiled.get(source) ?? new BoundedTemplate(source);
    this.#compiled.set(source, compiled);
    return compiled;
  }
}

function pick(source: TemplateSource, tools: unknown[] | undefined): string | undefined {
  if (typeof source === "string") return source;
  const named = (name: string) => source.find((entry) => entry.name === name)?.template;
  return (tools === undefined ? undefined : named("tool_use")) ?? named("default") ?? source[0]?.template;
}

/** Cuts the rendered text after the last message's words, as transformers' `continue_final_message` does. */
function leaveOpen(text: string, messages: Message[]): string {
  const last = messages.at(-1)?.content ?? "";
  const at = text.lastIndexOf(last.trim());
  if (at < 0) throw new InputError("The chat template changes the last message, so it cannot be continued.");
  // A template may trim the message; where it did not, its last spaces belong to it.
  const whole = text.startsWith(last.trimStart(), at) ? last.trimStart() : last.trim();
  return text.slice(0, at + whole.length);
}
