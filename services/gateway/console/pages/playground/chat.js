// A conversation with one model, its answers judged one by one.

import { useStored } from "../../parts/state.js";
import { html } from "../../vendor.js";
import { Answer, ask, messagesOf, newAnswer, stoppedAnswer } from "./answer.js";
import { Composer } from "./composer.js";
import { NewConversation, useConversation, useFollowing } from "./conversation.js";
import { firstModel, ModelChoice, SettingsPanel, useSettings } from "./settings.js";

/** Questions to begin with, so that an empty page asks for something. */
const suggestions = ["Hello! Who are you?", "What is the capital of France?", "Tell me something kind."];

const stopped = (turn) => ({ ...turn, answer: stoppedAnswer(turn.answer) });

/** @param models as the API lists them */
export function Chat({ models }) {
  const [settings, change] = useSettings();
  const [chosen, choose] = useStored("chat model", firstModel(models));
  const model = models.some(({ id }) => id === chosen) ? chosen : firstModel(models);
  const { turns, user, busy, begin, update, stop, clear } = useConversation("chat", stopped);
  useFollowing(turns);
  const send = (question) => {
    const messages = messagesOf(settings.system, turns, question);
    begin(
      { question, answer: newAnswer(model) },
      (updateTurn, signal) =>
        ask(
          model,
          messages,
          settings,
          user,
          (change) => updateTurn((turn) => ({ ...turn, answer: change(turn.answer) })),
          signal,
        ),
    );
  };
  return html`
    <div class="beside">
      <section class="conversation" aria-label="Conversation">
        <div class="turns" role="log" aria-label="Turns">
          ${turns.length === 0 && html`
            <div class="welcome">
              <p>Ask anything, then tell the model with a thumb what you make of its answer.</p>
              <div class="suggestions">
                ${suggestions.map((text) => html`<button type="button" onClick=${() => send(text)}>${text}</button>`)}
              </div>
            </div>
          `}
          ${turns.map(({ id, question, answer }, index) =>
            html`
              <article key=${id} class="turn">
                <h2 class="visually-hidden">Question ${index + 1}</h2>
                <p class="question">${question}</p>
                <${Answer}
                  answer=${answer}
                  name="answer ${index + 1}"
                  showModel
                  update=${(change) => update(id, (turn) => ({ ...turn, answer: change(turn.answer) }))}
                />
              </article>
            `
          )}
        </div>
        ${turns.length > 0 && html`<${NewConversation} name="New chat" clear=${clear} />`}
        <${Composer} name="chat" busy=${busy} onAsk=${send} onStop=${stop} />
      </section>
      <${SettingsPanel} settings=${settings} change=${change}>
        <${ModelChoice} label="Model" models=${models} value=${model} onChoose=${choose} />
        <//>
        </div>
  `;
}
